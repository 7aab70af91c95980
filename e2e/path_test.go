//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatewayd/sim"
	"gatewayd/sms"
)

const phone = "+491701234567"

var texts = map[string]string{
	"1,000 characters": strings.Repeat("The quick brown fox jumps! ", 37) + "x",
	"emoji":            "grüße 👍🏽 " + strings.Repeat("🎉", 60),
	"extension":        strings.Repeat(`€{}[]~\^|`, 30),
	"Arabic":           strings.Repeat("مرحبا بالعالم ", 10),
}

// The whole path: POST, modem, network, handset; and the handset's answer.
func TestTextsBothWays(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	for name, text := range texts {
		m := s.post(phone, text)
		s.until(m.ID, sms.Delivered, 30*time.Second)
		received := s.net.Handset(phone).Received()
		if len(received) == 0 || received[len(received)-1] != text {
			t.Errorf("%s: the handset shows %q", name, received)
		}
		if err := s.net.Handset(phone).Send(s.modems[0].Number(), text); err != nil {
			t.Fatal(err)
		}
		s.eventually("the answer was received", 30*time.Second, func() bool {
			_, b := s.call(http.MethodGet, "/v1/messages?direction=inbound&limit=1", "")
			var page struct{ Messages []sms.Message }
			if err := json.Unmarshal(b, &page); err != nil {
				t.Fatal(err)
			}
			return len(page.Messages) == 1 && page.Messages[0].Text == text && page.Messages[0].From == phone
		})
	}
}

func TestTypesOfNumber(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	for to, want := range map[string]struct {
		number string
		toa    byte
	}{"+491701234567": {"+491701234567", 0x91}, "0170 1234568": {"+491701234568", 0x91}, "12345": {"12345", 0x81}} {
		m := s.post(to, "x")
		if m.To != want.number {
			t.Errorf("%q was accepted as %q, want %q", to, m.To, want.number)
		}
		s.untilFinal(m.ID)
		a := s.net.Accepted()
		if last := a[len(a)-1]; last.To != want.number || last.TOA != want.toa {
			t.Errorf("%q: the network saw %s with type %#x", to, last.To, last.TOA)
		}
	}
}

// 202 means durable: a kill straight after it loses nothing, and since nothing
// was on the air, nothing is sent twice.
func TestKillAfter202(t *testing.T) {
	s := newSite(t, 1, fast(), "queue: {unconfirmed_wait: 2s}\n")
	seen := map[string]bool{}
	for i := range 8 {
		s.start()
		text := fmt.Sprintf("kill %d", i)
		m := s.post(phone, text)
		s.kill()
		s.start()
		got := s.untilFinal(m.ID)
		if got.Status != sms.Delivered && got.Status != sms.Sent {
			t.Fatalf("after the kill the message is %s (%v)", got.Status, got.Error)
		}
		seen[text] = got.PossibleDuplicate
		s.kill()
	}
	s.checkTwice(seen)
}

// A kill at any moment of sending: nothing lost, and nothing twice without
// possible_duplicate.
func TestKillWhileSending(t *testing.T) {
	s := newSite(t, 1, fast(), "queue: {unconfirmed_wait: 1s}\n")
	seen := map[string]bool{}
	for i := range 8 {
		s.start()
		var ids []string
		for n := range 3 {
			text := fmt.Sprintf("round %d text %d", i, n)
			ids = append(ids, s.post(fmt.Sprintf("+4917000000%02d", n), text).ID)
			seen[text] = false
		}
		wait := time.NewTimer(time.Duration(i) * 110 * time.Millisecond)
		<-wait.C
		s.kill()
		s.start()
		for _, id := range ids {
			got := s.untilFinal(id)
			if got.Status != sms.Delivered {
				t.Fatalf("after the kill the message is %s (%v)", got.Status, got.Error)
			}
			seen[got.Text] = got.PossibleDuplicate
		}
		s.kill()
	}
	s.checkTwice(seen)
}

func (s *site) untilFinal(id string) sms.Message {
	s.t.Helper()
	var m sms.Message
	s.eventually("the message is at its end", 60*time.Second, func() bool {
		m = s.message(id)
		switch m.Status {
		case sms.Delivered, sms.Undelivered, sms.Failed, sms.Expired:
			return true
		}
		return false
	})
	return m
}

// checkTwice compares what the network accepted with what was promised: each
// text at least once, and more than once only if it is marked.
func (s *site) checkTwice(marked map[string]bool) {
	s.t.Helper()
	times := map[string]int{}
	for _, a := range s.net.Accepted() {
		times[a.Text]++
	}
	for text, mark := range marked {
		switch n := times[text]; {
		case n == 0:
			s.t.Errorf("%q was lost", text)
		case n > 1 && !mark:
			s.t.Errorf("%q was sent %d times and is not marked possible_duplicate", text, n)
		}
	}
}

// SIGTERM lets the part on the air end and the daemon with it.
func TestSIGTERM(t *testing.T) {
	o := fast()
	o.Latency = 2 * time.Second
	s := newSite(t, 1, o, "")
	s.start()
	m := s.post(phone, "on the air")
	s.until(m.ID, sms.Sending, 20*time.Second)
	if took := s.terminate(); took > 10*time.Second {
		t.Errorf("the daemon took %v to end", took)
	}
	s.start()
	if got := s.until(m.ID, sms.Delivered, 20*time.Second); got.PossibleDuplicate {
		t.Error("an orderly end made the message doubtful")
	}
	if n := len(s.net.Accepted()); n != 1 {
		t.Errorf("the network saw it %d times", n)
	}
}

// A missing port and a port that is no modem are shown as what they are; the
// daemon serves the others and is ready.
func TestUnusablePorts(t *testing.T) {
	mute := sim.NewNetwork(sim.NetworkOptions{})
	defer mute.Close()
	silent := mute.AddModem(sim.ModemOptions{Name: "silent"})
	silent.Fault(func(f *sim.Faults) { f.Mute = true })
	dir := t.TempDir()
	port, err := silent.OpenPTY(filepath.Join(dir, "silent"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("no tty"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, 1, fast(), fmt.Sprintf("    - {name: gone, port: %s}\n    - {name: silent, port: %s}\n    - {name: file, port: %s}\n",
		filepath.Join(dir, "none"), port, file))
	s.start()
	m := s.post(phone, "the others work")
	s.until(m.ID, sms.Delivered, 20*time.Second)
	s.eventually("each port has its reason", 60*time.Second, func() bool {
		all := s.modemsNow()
		return all["gone"].State == sms.Absent && strings.Contains(all["gone"].Reason, filepath.Join(dir, "none")) &&
			all["silent"].State == sms.ModemFailed && all["silent"].Reason != "" && all["silent"].Advice != "" &&
			all["file"].State == sms.ModemFailed && all["file"].Reason != ""
	})
}

func TestWrongConfiguration(t *testing.T) {
	s := &site{t: t}
	dir := t.TempDir()
	file := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(file, []byte("data_dir: "+dir+"\nhttp: {listne: \"127.0.0.1:0\"}\nqueue: {report_wait: soon}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"run", "check-config"} {
		_, errs, status := s.gatewayd(command, "--config", file)
		lines := strings.Split(strings.TrimSpace(errs), "\n")
		if status != 2 || len(lines) != 2 || !strings.Contains(errs, "http.listne") || !strings.Contains(errs, "queue.report_wait") {
			t.Errorf("%s: exit %d, said:\n%s", command, status, errs)
		}
	}
	if _, errs, status := s.gatewayd("run", "--config", filepath.Join(dir, "none.yaml")); status != 2 || strings.Count(errs, "\n") != 1 {
		t.Errorf("a missing file: exit %d, said %q", status, errs)
	}
	for _, args := range [][]string{{"nonsense"}, {"run", "--nonsense"}, {"send"}, {"keys"}, {"keys", "create", "--name", "x", "--scope", "fly"}} {
		if _, errs, status := s.gatewayd(args...); status != 2 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: exit %d, said %q", args, status, errs)
		}
	}
}

// Keys are valid, and revoked, at once while the daemon runs.
func TestKeysWhileRunning(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	admin := s.key
	out, errs, status := s.gatewayd("keys", "create", "--config", s.config, "--name", "app", "--scope", "send,read")
	if status != 0 || strings.Count(out, "\n") != 1 {
		t.Fatalf("keys create printed %q, %q", out, errs)
	}
	s.key = strings.TrimSpace(out)
	if code, b := s.call(http.MethodGet, "/v1/queue", ""); code != http.StatusOK {
		t.Fatalf("the new key was answered %d %s", code, b)
	}
	if code, _ := s.call(http.MethodPost, "/v1/modems/m1/reset", ""); code != http.StatusForbidden {
		t.Errorf("a key without admin may reset a modem: %d", code)
	}
	if list, _, _ := s.gatewayd("keys", "list", "--config", s.config); !strings.Contains(list, "app") || strings.Contains(list, s.key) {
		t.Errorf("keys list printed %q", list)
	}
	out, errs, status = s.gatewayd("send", "--config", s.config, "--to", phone, "from the command line")
	if status != 0 || !strings.HasPrefix(out, "msg_") || !strings.Contains(errs, "GATEWAYD_KEY") || strings.Contains(errs, s.key) {
		t.Errorf("send: exit %d, printed %q, %q", status, out, errs)
	}
	if out, errs, status := s.gatewayd("status", "--config", s.config, "--json"); status != 0 || !json.Valid([]byte(out)) {
		t.Errorf("status --json: exit %d, printed %q, %q", status, out, errs)
	}
	if _, errs, status := s.gatewayd("keys", "revoke", "--config", s.config, "app"); status != 0 {
		t.Fatal(errs)
	}
	if code, _ := s.call(http.MethodGet, "/v1/queue", ""); code != http.StatusUnauthorized {
		t.Errorf("a revoked key is answered %d", code)
	}
	s.key = admin
}

// Two modems, forty messages: both work at once, and each recipient keeps its
// order and its sender.
func TestTwoModems(t *testing.T) {
	s := newSite(t, 2, fast(), "")
	s.start()
	s.eventually("both are ready", 20*time.Second, func() bool {
		modems := s.modemsNow()
		return modems["m1"].State == sms.Ready && modems["m2"].State == sms.Ready
	})
	for _, m := range s.batch(40, func(i int) map[string]any {
		return map[string]any{"to": fmt.Sprintf("+4917000000%02d", i%10), "text": fmt.Sprintf("text %d", i/10)}
	}) {
		s.untilFinal(m.ID)
	}
	sender, next, count := map[string]string{}, map[string]int{}, map[string]int{}
	for _, a := range s.net.Accepted() {
		if from, ok := sender[a.To]; ok && from != a.From {
			t.Errorf("%s got texts from %s and %s", a.To, from, a.From)
		}
		if want := fmt.Sprintf("text %d", next[a.To]); a.Text != want {
			t.Errorf("%s got %q, want %q", a.To, a.Text, want)
		}
		sender[a.To] = a.From
		next[a.To]++
		count[a.Modem]++
	}
	if count["m1"]+count["m2"] != 40 || count["m1"] < 12 || count["m2"] < 12 {
		t.Errorf("the work was shared %v", count)
	}
}

// What the command line writes belongs to the owner of data_dir, also when
// root runs it before the first start.
func TestKeysBelongToTheOwner(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	data := filepath.Join(s.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	owner := os.Geteuid()
	if owner == 0 { // as the package's service user would own it
		owner = 65534
		if err := os.Chown(data, owner, owner); err != nil {
			t.Fatal(err)
		}
		for dir := s.dir; dir != "/"; dir = filepath.Dir(dir) { // that user must get there
			if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
				if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if _, errs, status := s.gatewayd("keys", "create", "--config", s.config, "--name", "first", "--scope", "send"); status != 0 {
		t.Fatal(errs)
	}
	files, err := os.ReadDir(data)
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; int(uid) != owner || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s belongs to %d with mode %v, want %d and no rights for others", f.Name(), uid, info.Mode(), owner)
		}
	}
}
