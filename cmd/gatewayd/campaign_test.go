package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatewayd/client"
)

func somebody(n int) (rows []row, messages []client.Message) {
	for i := range n {
		rows = append(rows, row{line: i + 2, m: client.NewMessage{To: "+491701234567", Text: new(strings.Repeat("x", i/2+1))}})
		messages = append(messages, client.Message{ID: "msg_" + strings.Repeat("x", i)})
	}
	return rows, messages
}

// What is noted is found again, whatever a crash cut off, and rows have the same
// client_id in every run.
func TestCampaignGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.csv.sent")
	c, err := openCampaign(path, "how", "key", noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openCampaign(path, "how", "key", noon); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("two at once: %v", err)
	}
	rows, messages := somebody(4)
	twins, err := c.name(rows)
	if err != nil || len(twins) != 2 || *rows[0].m.ClientID == *rows[1].m.ClientID {
		t.Fatalf("twins %q, %v", twins, err)
	}
	if err := c.note(rows[:3], messages[:3]); err != nil {
		t.Fatal(err)
	}
	if err := c.note(rows[3:], messages[:2]); err == nil {
		t.Error("two answers to one message were noted")
	}
	c.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 || strings.Contains(string(whole), "+49") {
		t.Errorf("mode %v, content %s", info.Mode(), whole)
	}
	ends := []int{}
	for i, b := range whole {
		if b == '\n' {
			ends = append(ends, i+1)
		}
	}
	for cut := range whole {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		lines := 0
		for _, e := range ends {
			if e <= cut {
				lines++
			}
		}
		again, err := openCampaign(path, "how", "key", noon.AddDate(0, 0, 1))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if len(again.taken) != max(lines-1, 0) || again.fresh != (lines == 0) || lines > 0 && (again.ID != c.ID || !again.Begun.Equal(noon)) {
			t.Errorf("cut at %d: %+v", cut, again)
		}
		if lines > 0 {
			same, _ := somebody(4)
			if _, err := again.name(same); err != nil || *same[2].m.ClientID != *rows[2].m.ClientID {
				t.Errorf("cut at %d: another client_id, %v", cut, err)
			}
		}
		again.Close()
	}
}

// What was cut off does not come back behind what is noted next.
func TestCampaignAfterALongTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.csv.sent")
	c, err := openCampaign(path, "how", "key", noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.file.WriteString(strings.Repeat("x", 4000)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for want := range 2 {
		if c, err = openCampaign(path, "how", "key", noon); err != nil || len(c.taken) != want {
			t.Fatalf("%+v, %v", c, err)
		}
		rows, messages := somebody(1)
		if _, err := c.name(rows); err != nil {
			t.Fatal(err)
		}
		if err := c.note(rows, messages); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

func TestCampaignOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.csv.sent")
	c, err := openCampaign(path, "how", "key", noon)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for want, open := range map[string][2]string{"another API key": {"how", "other"}, "another --text": {"other", "key"}} {
		if _, err := openCampaign(path, open[0], open[1], noon); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	for _, content := range []string{"to,text\n", "{}\n", "{\"campaign\":\"x\"}\nnonsense\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openCampaign(path, "how", "key", noon); err == nil {
			t.Errorf("%q was taken for a campaign", content)
		}
		if b, _ := os.ReadFile(path); string(b) != content {
			t.Errorf("what is somebody else's became %q", b)
		}
	}
}
