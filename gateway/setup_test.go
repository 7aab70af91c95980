package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// A technician gives the PIN on a page: a wrong one is entered once, the right one
// at each start from then on, and no trace of either is left.
func TestPINByAPerson(t *testing.T) {
	inWorld(t, 0, sim.OnTheAir(), func(w *world) {
		w.end()
		m := w.net.AddModem(sim.ModemOptions{Name: "locked", PIN: "4711"})
		w.modems = append(w.modems, m)
		w.start()
		state := func(want sms.ModemState, reason string) {
			t.Helper()
			var got sms.Modem
			for range 120 {
				if got, _ = w.g.modems.Get("locked"); got.State == want && strings.Contains(got.Reason, reason) {
					return
				}
				w.pass(time.Second)
			}
			t.Fatalf("it is %s (%s), want %s (%s)", got.State, got.Reason, want, reason)
		}
		enter := func(pin string) error { return w.g.modems.EnterPIN(context.Background(), "locked", pin) }
		state(sms.PINRequired, "asks for its PIN")
		if err := enter("1234"); err != nil {
			t.Fatal(err)
		}
		state(sms.PINRequired, "It has 2 of 3 tries left.")
		if err := enter("1234"); !errors.Is(err, queue.ErrConflict) {
			t.Errorf("a PIN that was refused: %v", err)
		}
		more := w.more
		w.restart(more)
		state(sms.PINRequired, "refused")
		w.pass(time.Hour)
		if n := m.Stats().PINTries; n != 1 {
			t.Errorf("%d PINs were entered, want 1", n)
		}
		if err := enter("4711"); err != nil {
			t.Fatal(err)
		}
		state(sms.Ready, "")
		if err := enter("4711"); !errors.Is(err, queue.ErrConflict) {
			t.Errorf("a PIN that nobody asks for: %v", err)
		}
		var said bytes.Buffer
		if err := w.g.modems.Transcript("locked", false, &said); err != nil || !strings.Contains(said.String(), "AT+CPIN=") || strings.Contains(said.String(), "4711") {
			t.Errorf("the transcript: %v\n%s", err, said.String())
		}
		// The SIM asks again after a loss of power, and gets it by itself.
		w.end()
		if err := m.PowerCycle(); err != nil {
			t.Fatal(err)
		}
		w.start()
		state(sms.Ready, "")
		if n := m.Stats().PINTries; n < 2 || n > 3 {
			t.Errorf("%d PINs were entered", n)
		}
		if info, err := os.Stat(filepath.Join(w.dir, db.FileName)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file with the PIN: %v %v", info.Mode(), err)
		}
		if err := w.g.modems.EnterPIN(context.Background(), "other", "4711"); !errors.Is(err, queue.ErrNotFound) {
			t.Error(err)
		}
	})
}

// The last try is left to a phone.
func TestLastTryIsLeft(t *testing.T) {
	inWorld(t, 0, sim.OnTheAir(), func(w *world) {
		w.end()
		m := w.net.AddModem(sim.ModemOptions{Name: "locked", PIN: "4711"})
		w.modems = append(w.modems, m)
		w.start()
		for i, pin := range []string{"0001", "0002", "0003"} {
			w.pass(time.Minute)
			if err := w.g.modems.EnterPIN(context.Background(), "locked", pin); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Minute)
			if n := m.Stats().PINTries; int(n) != min(i+1, 2) {
				t.Errorf("after %s %d were entered", pin, n)
			}
		}
		if got, _ := w.g.modems.Get("locked"); !strings.Contains(got.Reason, "last try") || got.State != sms.PINRequired {
			t.Errorf("%s: %s", got.State, got.Reason)
		}
	})
}

// What is set holds at once: for the API's door, for received texts, and after a
// restart. What the configuration file says wins.
func TestSettingsHoldAtOnce(t *testing.T) {
	inWorld(t, 1, sim.OnTheAir(), func(w *world) {
		ctx := context.Background()
		set := func(name, value string) error { return w.g.settings.Set(ctx, map[string]string{name: value}) }
		token, _, err := w.g.Keys().Create(ctx, "t", []auth.Scope{auth.Admin}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(method, path, body string) int {
			r := httptest.NewRequest(method, path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Content-Type", "application/json")
			a := httptest.NewRecorder()
			w.g.server.Handler.ServeHTTP(a, r)
			return a.Code
		}
		const national = `{"to":"0170 1234567","text":"x"}`
		if got := ask("POST", "/v1/messages", national); got != 422 {
			t.Errorf("a national number, and no country is set: %d", got)
		}
		if got := ask("PATCH", "/v1/settings", `{"default_region":"de"}`); got != 200 {
			t.Fatal(got)
		}
		if got := ask("POST", "/v1/messages", national); got != 202 || w.g.region() != "DE" {
			t.Errorf("a national number of %q: %d", w.g.region(), got)
		}
		if err := set(sms.SettingAlarmSMS, "0170 1234567, +491701234567,0171 2345678"); err != nil {
			t.Fatal(err)
		}
		if got := w.g.settings.get(sms.SettingAlarmSMS); got != "+491701234567,+491712345678" {
			t.Error(got)
		}
		for name, value := range map[string]string{
			sms.SettingRegion: "UK", sms.SettingName: "my box", sms.SettingAlarmSMS: "me", sms.SettingAlarmMail: "me",
		} {
			if err := set(name, value); !errors.As(err, new(intake.Refused)) {
				t.Errorf("%s %q: %v", name, value, err)
			}
		}
		// All or none, and the country first.
		if err := w.g.settings.Set(ctx, map[string]string{sms.SettingRegion: "AT", sms.SettingAlarmSMS: "x"}); err == nil || w.g.region() != "DE" {
			t.Errorf("%v, %s", err, w.g.region())
		}
		if err := w.g.settings.Set(ctx, map[string]string{sms.SettingRegion: "AT", sms.SettingAlarmSMS: "0664 1234567"}); err != nil || w.g.settings.get(sms.SettingAlarmSMS) != "+436641234567" {
			t.Errorf("%v, %s", err, w.g.settings.get(sms.SettingAlarmSMS))
		}
		w.restart(nil)
		if w.g.region() != "AT" {
			t.Errorf("after a restart the country is %q", w.g.region())
		}
		w.restart(func(o *Options) { o.Region = "CH" })
		if w.g.region() != "CH" || w.g.settings.look(sms.SettingRegion).Source != sms.FromConfiguration {
			t.Errorf("the file says CH, and it is %q", w.g.region())
		}
		if err := w.g.settings.Set(ctx, map[string]string{sms.SettingRegion: "DE"}); !errors.Is(err, queue.ErrConflict) {
			t.Error(err)
		}
		w.restart(nil)
		if w.g.region() != "AT" {
			t.Errorf("the file says nothing any more, and it is %q", w.g.region())
		}
		if err := w.g.settings.Set(ctx, map[string]string{sms.SettingRegion: ""}); err != nil || w.g.region() != "" {
			t.Errorf("%v %q", err, w.g.region())
		}
	})
}

// newcomers let in whoever has the code of this test.
type newcomers struct {
	mu    sync.Mutex
	codes int
	in    atomic.Bool
}

func (n *newcomers) FirstRun(context.Context) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.codes++
	return fmt.Sprintf("CODE%d-ABCDE", n.codes), nil
}

func (n *newcomers) Unclaimed(context.Context) (bool, error) { return !n.in.Load(), nil }

func (n *newcomers) LetsIn(_ context.Context, code string) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return code == fmt.Sprintf("CODE%d-ABCDE", n.codes), nil
}

// A code that is worth nothing any more, for another was made or the database is an
// older one, is not shown.
func TestNoDeadFirstRunCode(t *testing.T) {
	ctx, people, dir := context.Background(), &newcomers{}, t.TempDir()
	first, err := FirstRunCode(ctx, dir, people)
	if again, err2 := FirstRunCode(ctx, dir, people); err != nil || err2 != nil || again != first {
		t.Fatalf("%q, then %q, %v, %v", first, again, err, err2)
	}
	other, _ := people.FirstRun(ctx)
	code, err := FirstRunCode(ctx, dir, people)
	if good, _ := people.LetsIn(ctx, code); err != nil || !good || code == other {
		t.Errorf("%q is shown, %v", code, err)
	}
}

// buffer may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// The console shows the way in as long as nobody has come in: the same code after
// a restart, once in the journal, and nothing at all afterwards.
func TestConsoleUntilSomebodyComes(t *testing.T) {
	people, journal, run := &newcomers{}, &buffer{}, t.TempDir()
	options := func(o *Options) { o.Newcomers, o.Console, o.RuntimeDir = people, journal, run }
	inWorld(t, 0, sim.OnTheAir(), func(w *world) {
		w.restart(options)
		file := filepath.Join(run, "console")
		for range 3 {
			w.pass(time.Minute)
			b, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(b), "CODE1-ABCDE") {
				t.Fatalf("%v\n%s", err, b)
			}
			w.restart(options)
		}
		w.pass(time.Minute)
		if n := strings.Count(journal.String(), "First-run code: CODE1-ABCDE"); n != 4 {
			t.Errorf("the journal has it %d times, of 4 starts:\n%s", n, journal.String())
		}
		if info, err := os.Stat(filepath.Join(w.dir, firstRunFile)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info, err)
		}
		people.in.Store(true)
		w.pass(time.Minute)
		for _, path := range []string{file, filepath.Join(w.dir, firstRunFile)} {
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("%s is still there (%v)", path, err)
			}
		}
		before := journal.String()
		w.restart(options)
		w.pass(time.Minute)
		if journal.String() != before {
			t.Errorf("somebody is there, and the journal says:\n%s", journal.String()[len(before):])
		}
	})
}

// Two doors: plain on loopback, and TLS with the box's own certificate on the
// network, verified with its authority by Go's client.
func TestLAN(t *testing.T) {
	var doors []net.Listener
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		doors = append(doors, l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	dir := t.TempDir()
	g, err := New(ctx, Options{DataDir: dir, Listener: doors[0], LAN: LAN{doors[1], NoName}, MaxConnections: 20, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	token, _, err := g.Keys().Create(ctx, "t", []auth.Scope{auth.Admin}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	get := func(url string) []byte {
		t.Helper()
		r, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		a, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		b, err := io.ReadAll(a.Body)
		if err != nil || a.StatusCode != 200 {
			t.Fatalf("%s: %s %v", url, a.Status, err)
		}
		return b
	}
	authority, err := x509.ParseCertificate(get("http://" + doors[0].Addr().String() + "/authority.crt"))
	if err != nil {
		t.Fatal(err)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
	transport.TLSClientConfig.RootCAs.AddCert(authority)
	page := string(get("https://" + doors[1].Addr().String() + "/setup?step=name"))
	if !strings.Contains(page, g.network.Fingerprint()) || !strings.Contains(page, "https://"+doors[1].Addr().String()) {
		t.Errorf("the page names neither fingerprint nor address:\n%s", page)
	}
}

// A backup's settings hold again; what it knows nothing of stays, and so do the
// PINs of the SIMs that are there now.
func TestRestoreOfSettings(t *testing.T) {
	a := &archive{t: t, dir: t.TempDir()}
	write := func(queries ...string) func(*db.DB) {
		return func(d *db.DB) {
			for _, q := range queries {
				if err := d.Write(func(tx *db.Tx) error { _, err := tx.Exec(q); return err }); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	a.in(write(`INSERT INTO settings VALUES ('name','shop')`, `INSERT INTO pins VALUES ('1','1111'), ('2','2222')`))
	a.back()
	a.in(write(`UPDATE settings SET value = 'changed'`, `INSERT INTO settings VALUES ('default_region','DE')`, `UPDATE pins SET pin = '3333' WHERE sim = '1'`))
	if err := os.WriteFile(filepath.Join(a.dir, firstRunFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.restore(); err != nil {
		t.Fatal(err)
	}
	a.in(func(d *db.DB) {
		s, err := openSettings(context.Background(), d, nil)
		if err != nil {
			t.Fatal(err)
		}
		k := known{db: d}
		one, err1 := k.Given("1")
		two, err2 := k.Given("2")
		if s.get(sms.SettingName) != "shop" || s.get(sms.SettingRegion) != "DE" || one != "3333" || two != "2222" || err1 != nil || err2 != nil {
			t.Errorf("%+v, %q %q, %v %v", s.set, one, two, err1, err2)
		}
	})
	if _, err := os.Stat(filepath.Join(a.dir, firstRunFile)); !os.IsNotExist(err) {
		t.Error("a code of the database that was replaced is still shown")
	}
}
