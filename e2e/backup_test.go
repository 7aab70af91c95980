//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // to look at copies from outside

	"gatewayd/sms"
)

// messages lists the outbound ones.
func (s *site) messages() map[string]sms.Message {
	s.t.Helper()
	status, b := s.call(http.MethodGet, "/v1/messages?direction=outbound&limit=500", "")
	var page struct{ Messages []sms.Message }
	if err := json.Unmarshal(b, &page); err != nil || status != http.StatusOK {
		s.t.Fatalf("%d %s (%v)", status, b, err)
	}
	all := map[string]sms.Message{}
	for _, m := range page.Messages {
		all[m.Text] = m
	}
	return all
}

// came counts how often each text was shown by a handset.
func (s *site) came() map[string]int {
	n := map[string]int{}
	for _, h := range s.net.Handsets() {
		for _, text := range h.Received() {
			n[text]++
		}
	}
	return n
}

// must runs a command of the binary that has to succeed, and returns what it says.
func (s *site) must(args ...string) string {
	s.t.Helper()
	out, errs, status := s.gatewayd(append(args, "--config", s.config)...)
	if status != 0 {
		s.t.Fatalf("gatewayd %v: status %d, %s", args, status, errs)
	}
	return out + errs
}

// refuses runs a command that has to fail with these words.
func (s *site) refuses(want int, words string, args ...string) {
	s.t.Helper()
	if out, errs, status := s.gatewayd(append(args, "--config", s.config)...); status != want || !strings.Contains(errs, words) {
		s.t.Errorf("gatewayd %v: status %d, %s%s; want %d and %q", args, status, out, errs, want, words)
	}
}

// TestBackup makes a copy while messages flow, goes on, loses the database in
// two ways, and goes on with the copy.
func TestBackup(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	dir := filepath.Join(s.dir, "data")
	database, copied := filepath.Join(dir, "gatewayd.db"), filepath.Join(s.dir, "copy.db")
	const early, late = "+491701111111", "+491702222222" // when they say STOP
	stop := func(number string) {
		if err := s.net.Handset(number).Send(s.modems[0].Number(), "stop"); err != nil {
			t.Fatal(err)
		}
		s.eventually("STOP has come", 20*time.Second, func() bool {
			_, b := s.call(http.MethodGet, "/v1/messages?direction=inbound&from="+url.QueryEscape(number), "")
			return bytes.Contains(b, []byte(`"stop"`))
		})
	}
	key := strings.TrimSpace(s.must("keys", "create", "--name", "leaked", "--scope", "read"))
	stop(early)
	erased := s.post(phone, "to be erased")
	s.untilFinal(erased.ID)
	if status, b := s.call(http.MethodPost, "/v1/messages/"+erased.ID+"/redact", ""); status != http.StatusOK {
		t.Fatalf("%d %s", status, b)
	}
	s.net.SetLatency(3*time.Second, 0) // so that many wait when the backup is made
	var texts []string
	for i := range 16 {
		texts = append(texts, fmt.Sprintf("text %d", i))
		s.post(fmt.Sprintf("+49170333%04d", i), texts[i])
	}
	if status, b := s.call(http.MethodPost, "/v1/messages", fmt.Sprintf(`{"to": %q, "text": "once", "on_unconfirmed": "fail"}`, phone)); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, b)
	}
	texts = append(texts, "once")

	s.must("backup", copied)
	var machine struct {
		Backup struct {
			MadeAt time.Time `json:"made_at"`
			Bytes  int64
		} `json:"last_backup"`
	}
	_, b := s.call(http.MethodGet, "/v1/system", "")
	if err := json.Unmarshal(b, &machine); err != nil || time.Since(machine.Backup.MadeAt) > time.Minute || machine.Backup.Bytes == 0 {
		t.Errorf("the daemon does not know of the backup: %s (%v)", b, err)
	}
	if info, err := os.Stat(copied); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	s.refuses(1, "is there already", "backup", copied)
	s.refuses(1, "no such file", "backup", filepath.Join(s.dir, "missing", "copy.db"))
	if out, errs, status := s.gatewayd("backup", "--config", s.config, "-"); status != 0 || !strings.HasPrefix(out, "SQLite format 3\x00") {
		t.Errorf("to stdout: %d bytes, %s, status %d", len(out), errs, status)
	}
	if b, err := os.ReadFile(copied); err != nil || bytes.Contains(b, []byte("to be erased")) || !bytes.Contains(b, []byte("text 15")) {
		t.Errorf("the copy has what was erased, or lacks what was not (%v)", err)
	}
	waiting := 0
	for _, m := range s.messages() {
		if m.Status == sms.Queued || m.Status == sms.Sending {
			waiting++
		}
	}
	if waiting < 5 {
		t.Fatalf("only %d messages waited when the backup was made", waiting)
	}
	s.net.SetLatency(100*time.Millisecond, 0)

	// Life goes on after the backup.
	stop(late)
	s.must("keys", "revoke", "leaked")
	again := func() int {
		req, _ := http.NewRequest(http.MethodPost, s.base+"/v1/messages", strings.NewReader(fmt.Sprintf(`{"to": %q, "text": "asked again"}`, phone)))
		req.Header.Set("Authorization", "Bearer "+s.key)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "after-the-backup")
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		return r.StatusCode
	}
	if status := again(); status != http.StatusAccepted {
		t.Fatal(status)
	}
	s.eventually("all went out", 60*time.Second, func() bool {
		n := s.came()
		for _, text := range append(texts, "asked again") {
			if n[text] != 1 {
				return false
			}
		}
		return true
	})
	s.refuses(1, "a gatewayd runs", "restore", copied)
	s.refuses(1, "nothing is held", "restore", "--release")
	s.refuses(2, "exclude each other", "restore", copied, "--release", "--cancel")
	s.refuses(2, "give the backup", "restore")
	s.kill()

	// What is no good is not taken.
	before, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(s.dir, "bad.db")
	for _, c := range []struct {
		words string
		make  func() []byte
	}{
		{"not a database", func() []byte { return []byte(strings.Repeat("this is no database\n", 100)) }},
		{"the database of another program", func() []byte { return nil }},
		{"malformed", func() []byte { return whole[:len(whole)/2] }},
		{"install the newer gatewayd", func() []byte {
			write(t, bad, whole)
			change(t, bad, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
			b, _ := os.ReadFile(bad)
			return b
		}},
		{"the database of another program", func() []byte {
			os.Remove(bad)
			change(t, bad, `CREATE TABLE messages (subject TEXT)`)
			b, _ := os.ReadFile(bad)
			return b
		}},
	} {
		write(t, bad, c.make())
		s.refuses(1, c.words, "restore", bad)
	}
	if after, err := os.ReadFile(database); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a refused backup has changed the database (%v)", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "restore-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	// The database that is replaced tells what became of everything.
	said := s.must("restore", copied)
	if !strings.Contains(said, "is now "+dir) || strings.Contains(said, "unfinished") {
		t.Errorf("restore says %s", said)
	}
	s.start()
	for text, m := range s.messages() {
		if m.Held || m.PossibleDuplicate || strings.HasPrefix(text, "text") && m.Status != sms.Delivered && m.Status != sms.Sent {
			t.Errorf("%q is %s (held %v, possible duplicate %v)", text, m.Status, m.Held, m.PossibleDuplicate)
		}
	}
	checkConsent := func() {
		t.Helper()
		for _, number := range []string{early, late} {
			if m := s.post(number, "still there?"); s.message(m.ID).Status != sms.Failed {
				t.Errorf("%s said STOP and gets texts", number)
			}
		}
	}
	checkConsent()
	if status := again(); status != http.StatusConflict {
		t.Errorf("a request that was answered after the backup: %d", status)
	}
	if n := s.came()["asked again"]; n != 1 {
		t.Errorf("it went out %d times", n)
	}
	req, _ := http.NewRequest(http.MethodGet, s.base+"/v1/modems", nil)
	req.Header.Set("Authorization", "Bearer "+key)
	if r, err := http.DefaultClient.Do(req); err != nil || r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a key that was revoked after the backup: %v %v", r, err)
	}

	// Now the database is lost, and nobody knows what became of anything.
	s.kill()
	for _, end := range []string{"-wal", "-shm"} {
		os.Remove(database + end)
	}
	write(t, database, []byte(strings.Repeat("lost ", 1000)))
	said = s.must("restore", copied)
	if !strings.Contains(said, "can't be read") || !strings.Contains(said, "held until") {
		t.Errorf("restore says %s", said)
	}
	s.start()
	held := map[string]sms.Message{}
	for text, m := range s.messages() {
		if m.Held {
			held[text] = m
			if m.Status != sms.Queued {
				t.Errorf("%q is %s and held", text, m.Status)
			}
		}
	}
	if len(held) < 5 {
		t.Fatalf("%d messages are held", len(held))
	}
	s.eventually("the alarm begins", 10*time.Second, func() bool {
		_, b := s.call(http.MethodGet, "/", "")
		return bytes.Contains(b, []byte("gatewayd restore --release"))
	})
	gone := s.came()
	first := held["text 15"]
	if status, b := s.call(http.MethodDelete, "/v1/messages/"+first.ID, ""); status != http.StatusOK {
		t.Errorf("canceling one: %d %s", status, b)
	}
	new := s.post(phone, "new ones go out")
	s.untilFinal(new.ID)
	if fmt.Sprint(len(s.came())) != fmt.Sprint(len(gone)+1) {
		t.Errorf("held messages went out: %v", s.came())
	}
	s.must("restore", "--release")
	s.eventually("what was held goes out", 60*time.Second, func() bool {
		for text := range held {
			if m := s.message(held[text].ID); m.Held || m.Status == sms.Queued || m.Status == sms.Sending {
				return false
			}
		}
		return true
	})
	for text, was := range held {
		m := s.message(was.ID)
		switch {
		case text == first.Text:
			if m.Status != sms.Canceled {
				t.Errorf("%q is %s", text, m.Status)
			}
		case text == "once":
			if m.Status != sms.Failed || m.Error == nil || m.Error.Code != "unconfirmed" {
				t.Errorf("%q, at most once, is %s", text, m.Status)
			}
		case !m.PossibleDuplicate:
			t.Errorf("%q went out again and is not marked", text)
		}
	}
	s.refuses(1, "nothing is held", "restore", "--release")
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// change runs a statement on a database that nobody has open.
func change(t *testing.T, path, query string) {
	t.Helper()
	d, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.ExecContext(context.Background(), query); err != nil {
		t.Fatal(err)
	}
}
