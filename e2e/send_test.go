//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"gatewayd/client"
	"gatewayd/sim"
)

// command starts the binary with the site's key.
func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "GATEWAYD_KEY="+s.key, "GATEWAYD_URL="+s.base, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// api is the site as the Go client sees it.
func (s *site) api() *client.Client {
	s.t.Helper()
	c, err := client.New(s.base, s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// send --wait tells each step, and its exit status says how it ended.
func TestSendAndWait(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	s.net.Handset(phone)
	out, errs, status := s.gatewayd("send", "--url", s.base, "--wait", "--to", phone, "--metadata", "order=7", "--priority", "9", "--client-id", "c1", strings.Repeat("ü", 100)+"→")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if status != 0 || !strings.Contains(lines[0], "queued (2 parts, ucs2)") || !strings.HasPrefix(lines[len(lines)-1], "delivered after") {
		t.Fatalf("exit %d, %q, %q", status, out, errs)
	}
	id := strings.Fields(lines[0])[0]
	m, err := s.api().Get(t.Context(), id)
	if err != nil || *m.Priority != 9 || (*m.Metadata)["order"] != "7" || *m.ClientID != "c1" {
		t.Errorf("%+v, %v", m, err)
	}
	// What a pipe brings, and no report: sent is the end.
	cmd := s.command("send", "--wait", "--no-report", "--to", phone, "-")
	cmd.Stdin = strings.NewReader("from a pipe\n")
	piped, err := cmd.Output()
	if err != nil || !strings.HasSuffix(string(piped), "sent\n") {
		t.Errorf("%q, %v", piped, err)
	}
	s.shows(phone, "from a pipe")
	if got := s.net.Handset(phone).Received(); len(got) != 2 || got[1] != "from a pipe" {
		t.Errorf("the handset shows %q", got)
	}
	// What is to become of Unicode, and of a message that would be late.
	if out, errs, status := s.gatewayd("send", "--url", s.base, "--unicode", "transliterate", "--to", phone, "it’s"); status != 0 || !strings.Contains(out, "gsm7") || !strings.Contains(errs, "warning: ") {
		t.Errorf("exit %d, %q, %q", status, out, errs)
	}
	if out, errs, status := s.gatewayd("send", "--url", s.base, "--unicode", "perhaps", "--to", phone, "it’s"); status != 1 || !strings.Contains(errs, "unicode") {
		t.Errorf("exit %d, %q, %q", status, out, errs)
	}
	if _, errs, status := s.gatewayd("numbers", "erase", "--url", s.base, "+491709999999"); status != 1 || !strings.Contains(errs, "--yes") {
		t.Errorf("exit %d, %q", status, errs)
	}
	if out, errs, status := s.gatewayd("numbers", "export", "--url", s.base, phone); status != 0 || !strings.Contains(out, "from a pipe") || !strings.Contains(out, `"webhook_answers":[`) {
		t.Errorf("exit %d, %q, %q", status, out, errs)
	}
	// One that does not arrive: TP-ST 0x41, incompatible destination.
	const dead = "+491701234568"
	s.net.SetFate(dead, sim.Fate{Reports: []byte{0x41}})
	out, errs, status = s.gatewayd("send", "--url", s.base, "--wait", "--to", dead, "into the void")
	if status != 1 || !strings.Contains(out, "undelivered: ") || !strings.Contains(errs, "not delivered") {
		t.Errorf("exit %d, %q, %q", status, out, errs)
	}
}

// On a terminal progress is one line, and a bar.
func TestSendOnATerminal(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	onTerminal := func(args ...string) string {
		cmd := s.command(args...)
		terminal, err := pty.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		defer terminal.Close()
		shown, _ := io.ReadAll(terminal) // its end is an error: the other side is gone
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, shown)
		}
		return string(shown)
	}
	if shown := onTerminal("send", "--wait", "--to", phone, "hello"); !regexp.MustCompile(`(?m)^msg_\w+ queued \(1 part, gsm7\) → .*sent → delivered after [0-9.]+ s\r?$`).MatchString(shown) {
		t.Errorf("shown:\n%s", shown)
	}
	file := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(file, []byte("to,text\n"+strings.Repeat(phone+",x\n", 150)), 0o600); err != nil {
		t.Fatal(err)
	}
	if shown := onTerminal("send", "--csv", file, "--at", "1h"); !strings.Contains(shown, "░] 100 of 150\r[███") || !strings.Contains(shown, "█] 150 of 150\r\n") {
		t.Errorf("shown:\n%s", shown)
	}
}

// A file's sending is killed again and again, and the daemon too: in the end
// everybody has one message.
func TestSendFileKilled(t *testing.T) {
	const people = 900
	s := newSite(t, 0, fast(), "")
	s.start()
	file := filepath.Join(t.TempDir(), "people.csv")
	var b strings.Builder
	b.WriteString("to,name\n")
	for i := range people {
		fmt.Fprintf(&b, "+49170%07d,Nr. %d\n", i, i)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"send", "--csv", file, "--text", "Hello {{.name}}", "--at", "24h"}
	noted := func() int {
		b, err := os.ReadFile(file + ".sent")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return bytes.Count(b, []byte("\n"))
	}
	for _, lines := range []int{1, 2, 102, 302, 302, 602} {
		cmd := s.command(args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		s.eventually("the file is being sent", 30*time.Second, func() bool { return noted() >= lines })
		if lines == 602 { // the daemon goes first, and comes back
			s.kill()
			s.start()
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if n := noted(); n > people {
		t.Fatalf("%d lines are noted: the file was through before the last kill", n)
	}
	out, err := s.command(args...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "going on: ") || !strings.Contains(string(out), fmt.Sprintf("%d messages are with the daemon", people)) {
		t.Fatalf("%v:\n%s", err, out)
	}
	out, err = s.command(args...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("all %d were sent before", people)) {
		t.Errorf("once more: %v:\n%s", err, out)
	}
	texts := map[string]int{}
	for m, err := range s.api().List(context.Background(), client.Filter{Limit: new(500)}) {
		if err != nil {
			t.Fatal(err)
		}
		texts[*m.To+*m.Text]++
	}
	if len(texts) != people {
		t.Errorf("%d have a message, want %d", len(texts), people)
	}
	for text, n := range texts {
		if n != 1 {
			t.Errorf("%s: %d messages", text, n)
		}
	}
}

// What is wrong in a file is told before anything is sent, and what only the
// daemon knows with its line too.
func TestSendWrongFile(t *testing.T) {
	s := newSite(t, 0, fast(), "")
	s.start()
	file := filepath.Join(t.TempDir(), "people.csv")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("to,text\n" + strings.Repeat("+491701234567,fine\n", 150) + "+49,too short\n,nobody\n")
	_, errs, status := s.gatewayd("send", "--url", s.base, "--csv", file)
	if status != 1 || !strings.Contains(errs, ":152: to ") || !strings.Contains(errs, ":153: to ") || !strings.Contains(errs, "nothing was sent") {
		t.Errorf("exit %d: %s", status, errs)
	}
	write("to,text,from\n" + strings.Repeat("+491701234567,fine,\n", 120) + "+491701234567,x,nobody\n+491701234567,y,\n")
	_, errs, status = s.gatewayd("send", "--url", s.base, "--csv", file)
	if status != 1 || !strings.Contains(errs, ":122: from ") || !strings.Contains(errs, "100 were sent") {
		t.Errorf("exit %d: %s", status, errs)
	}
	// Mended, it goes on.
	write("to,text,from\n" + strings.Repeat("+491701234567,fine,\n", 120) + "+491701234567,x,\n+491701234567,y,\n")
	out, errs, status := s.gatewayd("send", "--url", s.base, "--csv", file)
	if status != 0 || !strings.Contains(out, "122 messages are with the daemon, 100 of them since before") {
		t.Errorf("exit %d: %s%s", status, out, errs)
	}
	n := 0
	for range s.api().List(context.Background(), client.Filter{}) {
		n++
	}
	if n != 122 {
		t.Errorf("%d messages", n)
	}
	out, errs, status = s.gatewayd("send", "--csv", file, "--dry-run")
	if status != 0 || !strings.Contains(out, "122 messages; nothing was sent") {
		t.Errorf("--dry-run: exit %d: %s%s", status, out, errs)
	}
	for _, args := range [][]string{{"--csv", file, "--to", phone}, {"--csv", file, "text"}, {"--to", phone}, {"--to", phone, "--dry-run", "x"}, {"--csv", "none.csv"},
		{"--to", phone, "--at", "soon", "x"}, {"--to", phone, "--metadata", "x", "x"}, {"--to", phone, "--data", "!"}} {
		if _, errs, status := s.gatewayd(append([]string{"send", "--url", s.base}, args...)...); status != 2 {
			t.Errorf("%q: exit %d: %s", args, status, errs)
		}
	}
}

// listen passes events on in order, each once, whatever is down meanwhile.
func TestListen(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	r := newReceiver(t)
	r.answer(http.StatusServiceUnavailable)
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := func(more ...string) (*exec.Cmd, *logBuffer) {
		cmd := s.command(append([]string{"listen", "--forward-to", r.server.URL + "/sms", "--secret-file", secretFile, "--events", "message.received,message.sent,message.del*"}, more...)...)
		said := &logBuffer{}
		cmd.Stdout, cmd.Stderr = said, said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, said
	}
	cmd, said := listen("--from-start")
	m := s.post(phone, "out")
	s.untilFinal(m.ID)
	s.eventually("the receiver was asked in vain", 20*time.Second, func() bool { _, _, n := r.taken(); return n >= 2 })
	s.kill()
	for i := range 3 {
		if err := s.net.Handset(phone).Send(s.modems[0].Number(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	r.answer(http.StatusOK)
	s.start()
	s.eventually("all events have come", 60*time.Second, func() bool { got, _, _ := r.taken(); return len(got) >= 5 })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C: %v\n%s", err, said.withoutPolls())
	}
	text := said.withoutPolls()
	_, after, ok := strings.Cut(text, "ended; --after ")
	if !ok || !strings.Contains(text, "signing with the secret of "+secretFile) || strings.Contains(text, "whsec_") || !strings.Contains(text, "→ 503 in ") || !strings.Contains(text, "→ 200 in ") {
		t.Fatalf("said:\n%s", text)
	}
	if err := s.net.Handset(phone).Send(s.modems[0].Number(), "while nobody listened"); err != nil {
		t.Fatal(err)
	}
	cmd, _ = listen("--after", strings.Fields(after)[0])
	s.eventually("what came meanwhile has come", 60*time.Second, func() bool { got, _, _ := r.taken(); return len(got) >= 6 })
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	got, types, _ := r.taken()
	var texts []string
	for _, m := range got {
		texts = append(texts, m.Text)
	}
	if fmt.Sprint(types[:2], texts) != "[message.sent message.delivered] [out out 0 1 2 while nobody listened]" {
		t.Errorf("came: %v %q", types, texts)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.bad {
		t.Errorf("a request with a fault: %v", err)
	}
}
