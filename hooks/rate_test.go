package hooks

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// with makes the rig's hooks anew, at a desk with these rules.
func (r *rig) with(o intake.Options) {
	o.Queue, o.Region = r.queue, func() string { return "DE" }
	r.Hooks = New(Options{DB: r.db, Desk: intake.New(o), Now: func() time.Time { return r.now }})
}

func wantTooFast(t *testing.T, err error, wait time.Duration) {
	t.Helper()
	var e *sms.HookError
	if !errors.As(err, &e) || e.Refusal != sms.HookTooFast || e.Wait != wait {
		t.Errorf("got %+v (%v), want that it is too fast, and a wait of %v", e, err, wait)
	}
	if again := "try again in " + wait.Round(time.Second).String(); !strings.Contains(err.Error(), again) {
		t.Errorf("%q does not say %q", err, again)
	}
}

// What a hook makes is counted in the commit that takes it: all its requests share
// the rate, whatever token they come with, and repetitions are free.
func TestRate(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigIn(t, dir)
		h, token := r.hook("text", func(s *sms.HookSettings) { s.MaxPerMinute = 3 })
		for i := range 3 {
			r.told(token, "text/plain", fmt.Sprint("text ", i), "Idempotency-Key", fmt.Sprint(i))
		}
		_, err := r.post(token, "text/plain", "text 3")
		wantTooFast(t, err, 20*time.Second)
		if a := r.told(token, "text/plain", "text 0", "Idempotency-Key", "0"); !a.Replayed {
			t.Error("a repetition is no repetition")
		}
		_, rotated, err := r.Rotate(ctx, h.ID, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.post(rotated, "text/plain", "text 3")
		wantTooFast(t, err, 20*time.Second)
		_, other := r.hook("text", nil)
		r.told(other, "text/plain", "another hook's")
		time.Sleep(20 * time.Second)
		r.told(token, "text/plain", "text 3")
		if n := len(r.queued()); n != 5 {
			t.Errorf("%d messages", n)
		}
		// What is not taken costs nothing.
		time.Sleep(time.Minute)
		for range 10 {
			if _, err := r.post(token, "text/plain", ""); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			r.told(token, "text/plain", fmt.Sprint("later ", i))
		}
		r.settings(h.ID, func(s *sms.HookSettings) { s.MaxPerMinute = 0 })
		for i := range 5 {
			r.told(token, "text/plain", fmt.Sprint("without ", i))
		}
	})
}

func (r *rig) settings(id string, change func(*sms.HookSettings)) {
	r.t.Helper()
	h, err := r.Get(ctx, id)
	if err != nil {
		r.t.Fatal(err)
	}
	change(&h.HookSettings)
	if _, err := r.Update(ctx, id, h.HookSettings); err != nil {
		r.t.Fatal(err)
	}
}

// An on-call list that is longer than the rate is told whole, and is owed then.
// What is refused leaves nothing behind, so the same gets through later.
func TestRateLetsAListThrough(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigIn(t, dir)
		_, token := r.hook("alertmanager", func(s *sms.HookSettings) {
			s.MaxPerMinute, s.To = 2, nil
			for i := range 5 {
				s.To = append(s.To, fmt.Sprintf("+49170123456%d", i))
			}
		})
		body := golden(t, "alertmanager.json")
		if a := r.told(token, asJSON, body); len(a.Messages) != 5 {
			t.Fatalf("told %d", len(a.Messages))
		}
		resolved := strings.ReplaceAll(body, `"firing"`, `"resolved"`)
		for range 3 {
			_, err := r.post(token, asJSON, resolved)
			wantTooFast(t, err, 150*time.Second) // five are owed, and two must be there
		}
		if n := r.seen(); n != 1 {
			t.Errorf("%d windows are kept", n)
		}
		if a := r.told(token, asJSON, body); !a.Replayed {
			t.Error("a repetition is refused")
		}
		time.Sleep(150 * time.Second)
		if a := r.told(token, asJSON, resolved); len(a.Messages) != 5 || a.Replayed {
			t.Errorf("told %+v", a)
		}
	})
}

func (r *rig) seen() (n int) {
	r.t.Helper()
	err := r.db.Read(ctx, func(q db.Querier) error { return q.QueryRow(`SELECT count(*) FROM hook_seen`).Scan(&n) })
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// A full queue takes nothing of the rate: the commit is rolled back.
func TestWhatIsRolledBackIsNotCharged(t *testing.T) {
	r := newRig(t)
	h, _ := r.hook("text", func(s *sms.HookSettings) { s.MaxPerMinute = 2 })
	refused := errors.New("refused")
	for range 3 {
		err := r.db.Write(func(tx *db.Tx) error {
			if err := r.rates.charge(h.ID, 2)(tx, 2); err != nil {
				return err
			}
			return refused
		})
		if !errors.Is(err, refused) {
			t.Fatal(err)
		}
	}
}

// Hooks that were made before there was a rate have one.
func TestOldHooksHaveARate(t *testing.T) {
	r := newRig(t)
	h, _ := r.hook("text", nil)
	err := r.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE hooks SET settings = json_remove(settings, '$.max_per_minute', '$.unicode')`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := r.Get(ctx, h.ID); err != nil || h.MaxPerMinute != defaultRate || h.Unicode != "" {
		t.Errorf("%+v, %v", h, err)
	}
}

// Where the gateway does not send, no hook does: not from its list, and not to
// whom a request names.
func TestDestinations(t *testing.T) {
	r := newRig(t)
	r.with(intake.Options{Destinations: rules(t, "DE")})
	for _, to := range []string{"+33612345678", "+19005550123", "112"} {
		s := Defaults("text")
		s.Name, s.To = "test", []string{to}
		if _, _, err := r.Create(ctx, s); !strings.Contains(fmt.Sprint(err), "to[0] ") {
			t.Errorf("a list with %s: %v", to, err)
		}
	}
	_, token := r.hook("text", func(s *sms.HookSettings) { s.ToTemplate = `{{query "to"}}{{.to}}` })
	_, err := r.post(token, asJSON, `{"text":"hi","to":"+33612345678"}`)
	if refused := (intake.Refused)(nil); !errors.As(err, &refused) || refused[0].Field != "to[0]" {
		t.Errorf("told to send abroad: %v", err)
	}
	r.told(token, asJSON, `{"text":"hi","to":"+491701234568"}`)
	if len(r.queued()) != 1 {
		t.Errorf("queued %+v", r.queued())
	}
	// Nor to numbers that cost extra, unless the gateway does.
	premium := `{"text":"hi","to":"+19005550123"}`
	r.with(intake.Options{})
	if _, err := r.post(token, asJSON, premium); !strings.Contains(fmt.Sprint(err), "cost extra") {
		t.Errorf("told to send to a number that costs extra: %v", err)
	}
	// The list is held against the rules of today.
	r.with(intake.Options{Destinations: rules(t, "FR")})
	if _, err := r.post(token, asJSON, `{"text":"hi"}`); err == nil {
		t.Error("a list from before is told where the gateway does not send any more")
	}
}

func rules(t *testing.T, country string) number.Rules {
	t.Helper()
	d, err := number.ParseDestination(country)
	if err != nil {
		t.Fatal(err)
	}
	return number.Rules{Allow: []number.Destination{d}}
}

// A text is cut to what is sent of it: transliterated, twice as much fits.
func TestUnicode(t *testing.T) {
	r := newRig(t)
	text := strings.Repeat("it’s “down” ", 30)
	for _, c := range []struct {
		gateway  intake.Unicode
		hook     string
		encoding sms.Encoding
		least    int
	}{
		{"", "", sms.UCS2, 55},
		{intake.Transliterate, "", sms.GSM7, 140},
		{"", "transliterate", sms.GSM7, 140},
		{intake.Reject, "transliterate", sms.GSM7, 140},
		{intake.Transliterate, "allow", sms.UCS2, 55},
	} {
		r.with(intake.Options{Unicode: c.gateway})
		_, token := r.hook("text", func(s *sms.HookSettings) { s.MaxParts, s.Unicode = 1, c.hook })
		a := r.told(token, "text/plain", text)
		if m := a.Messages[0]; m.Encoding != c.encoding || m.Parts != 1 || m.Length < c.least {
			t.Errorf("%q with %q: %+v", c.gateway, c.hook, m)
		}
		s := Defaults("text")
		s.To, s.MaxParts, s.Unicode = []string{"+491701234567"}, 1, c.hook
		p, err := r.Preview(ctx, s, &Request{Method: "POST", Body: []byte(text)})
		all := r.queued()
		if err != nil || p.Text != all[len(all)-1].Text || p.Encoding != c.encoding || p.Parts != 1 {
			t.Errorf("%q with %q: the preview is %+v, %v", c.gateway, c.hook, p, err)
		}
	}
	r.with(intake.Options{})
	_, token := r.hook("text", func(s *sms.HookSettings) { s.Unicode = "reject" })
	if _, err := r.post(token, "text/plain", text); !strings.Contains(fmt.Sprint(err), "text has ") {
		t.Errorf("reject: %v", err)
	}
	if _, err := r.post(token, "text/plain", "plain"); err != nil {
		t.Error(err)
	}
	s := Defaults("text")
	s.Name, s.To, s.Unicode, s.MaxPerMinute = "bad", []string{"+491701234567"}, "perhaps", -1
	_, _, err := r.Create(ctx, s)
	if said := fmt.Sprint(err); !strings.Contains(said, "unicode must") || !strings.Contains(said, "max_per_minute must") {
		t.Errorf("wrong settings: %s", said)
	}
}
