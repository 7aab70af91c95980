package hooks

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

func TestTokenIsTheCredential(t *testing.T) {
	r := newRig(t)
	h, token := r.hook("text", nil)
	if a := r.told(token, "", "hi"); len(a.Messages) != 1 || a.Messages[0].Length != 2 || a.Messages[0].Parts != 1 {
		t.Errorf("%+v", a)
	}
	m := r.queued()[0]
	if m.To != "+491701234567" || m.Text != "hi" || m.Metadata["hook"] != h.ID || m.Priority != sms.DefaultPriority {
		t.Errorf("queued %+v", m)
	}
	refused := func(token string) {
		t.Helper()
		if _, err := r.post(token, "", "hi"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a token that is not good: %v", err)
		}
	}
	for _, wrong := range []string{"", "x", token[:len(token)-1], token + "a", token[:len(token)-1] + "1", h.ID + "_" + strings.Repeat("a", secretLength), strings.ToUpper(token)} {
		refused(wrong)
	}
	// A new token; the old one is good for a minute more.
	r.now = r.now.Add(time.Second)
	again, newer, err := r.Rotate(ctx, h.ID, time.Minute)
	if err != nil || again.OldUntil == nil || !again.OldUntil.Equal(r.now.Add(time.Minute).Truncate(time.Millisecond)) {
		t.Fatalf("%+v, %v", again, err)
	}
	r.told(token, "", "hi")
	r.told(newer, "", "hi")
	// Repeated because its answer got lost, a rotation cuts off nobody.
	if _, _, err := r.Rotate(ctx, h.ID, time.Hour); !errors.Is(err, queue.ErrConflict) || !strings.Contains(err.Error(), again.OldUntil.Format(time.RFC3339)) {
		t.Errorf("within the overlap: %v", err)
	}
	r.told(token, "", "hi")
	r.told(newer, "", "hi")
	r.now = r.now.Add(time.Minute)
	refused(token)
	newest := newer
	if _, newest, err = r.Rotate(ctx, h.ID, 0); err != nil {
		t.Fatal(err)
	}
	refused(newer)
	r.told(newest, "", "hi")
	s := h.HookSettings
	s.Enabled = false
	if _, err := r.Update(ctx, h.ID, s); err != nil {
		t.Fatal(err)
	}
	refused(newest)
	s.Enabled = true
	if _, err := r.Update(ctx, h.ID, s); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Get(ctx, h.ID); err != nil || got.LastUsedAt == nil {
		t.Errorf("%+v, %v", got, err)
	}
	if err := r.Delete(ctx, h.ID); err != nil {
		t.Fatal(err)
	}
	refused(newest)
	for _, err := range []error{r.Delete(ctx, h.ID), func() error { _, err := r.Get(ctx, h.ID); return err }(), func() error { _, _, err := r.Rotate(ctx, h.ID, 0); return err }()} {
		if !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("a deleted hook: %v", err)
		}
	}
}

// The file has no token, and nothing of what was said but the messages.
func TestNothingIsKept(t *testing.T) {
	dir := t.TempDir()
	r := rigIn(t, dir)
	_, token := r.hook("supabase", func(s *sms.HookSettings) {
		s.To, s.Secret = nil, "v1,whsec_"+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	})
	body := golden(t, "supabase.json")
	if _, err := r.post(token, asJSON, body, signed(strings.Repeat("k", 32), "msg_1", r.now, body)...); err != nil {
		t.Fatal(err)
	}
	_, plain := r.hook("text", func(s *sms.HookSettings) { s.DedupWindow = 60 })
	r.told(plain, "", "the secret of the day", "Idempotency-Key", "visible-key-of-a-sender")
	if err := r.db.Write(func(tx *db.Tx) error {
		for _, query := range []string{`DELETE FROM messages`, `DELETE FROM events`} {
			if _, err := tx.Exec(query); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.db.Scrub(ctx); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{token[26:], plain[26:], "561166", "secret of the day", "visible-key-of-a-sender"} {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s has %q", filepath.Base(file), secret)
			}
		}
	}
}

// signed are the headers of Standard Webhooks.
func signed(key, id string, at time.Time, body string) []string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	sum := mac([]byte(key), []byte(id+"."+stamp+"."+body))
	return []string{"webhook-id", id, "webhook-timestamp", stamp, "webhook-signature", "v1,d3Jvbmc=, v1," + base64.StdEncoding.EncodeToString(sum)}
}

func TestSupabase(t *testing.T) {
	r := newRig(t)
	key := strings.Repeat("k", 32)
	_, token := r.hook("supabase", func(s *sms.HookSettings) {
		s.To, s.Secret = nil, "v1,whsec_"+base64.StdEncoding.EncodeToString([]byte(key))
	})
	body := golden(t, "supabase.json")
	if a := r.told(token, asJSON, body, signed(key, "a", r.now, body)...); len(a.Messages) != 1 || a.Preset != "supabase" {
		t.Errorf("%+v", a)
	}
	if m := r.queued()[0]; m.Text != "Your code is 561166" || m.To != "+491701234567" || m.OnUnconfirmed != sms.Fail {
		t.Errorf("%+v", m)
	}
	// It tries again under another id.
	if a := r.told(token, asJSON, body, signed(key, "b", r.now, body)...); !a.Replayed || len(a.Messages) != 1 {
		t.Errorf("%+v", a)
	}
	// Another code is another text.
	other := strings.Replace(body, "561166", "661166", 1)
	r.told(token, asJSON, other, signed(key, "c", r.now, other)...)
	if n := len(r.queued()); n != 2 {
		t.Errorf("%d messages", n)
	}
	for name, h := range map[string][]string{
		"not signed":   nil,
		"another key":  signed("wrong", "d", r.now, body),
		"another body": signed(key, "d", r.now, other),
		"old":          signed(key, "d", r.now.Add(-6*time.Minute), body),
		"of tomorrow":  signed(key, "d", r.now.Add(6*time.Minute), body),
	} {
		var refusal *sms.HookError
		if _, err := r.post(token, asJSON, body, h...); !errors.As(err, &refusal) || refusal.Refusal != sms.HookUnsigned {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOtherSignatures(t *testing.T) {
	r := newRig(t)
	const secret, body = "a secret of mine", `{"text":"hi"}`
	_, token := r.hook("text", func(s *sms.HookSettings) { s.Secret = secret })
	sum := hex.EncodeToString(mac([]byte(secret), []byte(body)))
	stamp := strconv.FormatInt(r.now.Unix(), 10)
	stamped := hex.EncodeToString(mac([]byte(secret), []byte(stamp+":"+body)))
	for _, good := range [][]string{
		{"X-Hub-Signature-256", "sha256=" + sum},
		{"X-Grafana-Alerting-Signature", sum},
		{"X-Grafana-Alerting-Signature", stamped, grafanaTime, stamp},
	} {
		r.told(token, asJSON, body, good...)
	}
	for _, bad := range [][]string{
		{"X-Hub-Signature-256", sum}, {"X-Hub-Signature-256", "sha256=00" + sum[2:]}, {"X-Grafana-Alerting-Signature", ""},
		{"X-Grafana-Alerting-Signature", stamped}, {"X-Grafana-Alerting-Signature", stamped, grafanaTime, "1"},
		{"X-Hub-Signature-256", "sha256=" + sum, "webhook-signature", "v1,x"},
	} {
		if _, err := r.post(token, asJSON, body, bad...); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestRepetitionsSendNothingTwice(t *testing.T) {
	alerts := golden(t, "alertmanager.json")
	for _, c := range []struct {
		name, preset string
		window       int
		first, again []string // body and headers
		twice        bool
	}{
		{"Idempotency-Key", "text", 0, []string{"a", "Idempotency-Key", "k"}, []string{"a", "Idempotency-Key", "k"}, false},
		{"webhook-id", "text", 0, []string{"a", "webhook-id", "1"}, []string{"b", "webhook-id", "1"}, false},
		{"another webhook-id", "text", 0, []string{"a", "webhook-id", "1"}, []string{"a", "webhook-id", "2"}, true},
		{"GitHub", "github", 0, []string{golden(t, "push.json"), "X-GitHub-Event", "push", "X-GitHub-Delivery", "g"}, []string{golden(t, "push.json"), "X-GitHub-Event", "push", "X-GitHub-Delivery", "g"}, false},
		{"nothing", "text", 0, []string{"a"}, []string{"a"}, true},
		{"a window", "text", 60, []string{"a"}, []string{"a"}, false},
		{"a window, another text", "text", 60, []string{"a"}, []string{"b"}, true},
		{"a group of alerts", "alertmanager", 300, []string{alerts}, []string{strings.Replace(alerts, "alertmanager.example.org", "other.example.org", 1)}, false},
		{"the group is resolved", "alertmanager", 300, []string{alerts}, []string{strings.Replace(alerts, `"status":"firing"`, `"status":"resolved"`, 1)}, true},
		{"the group has one alert more", "alertmanager", 300, []string{alerts}, []string{strings.Replace(alerts, "2a1b2c3d4e5f6071", "3a1b2c3d4e5f6071", 1)}, true},
		{"another group", "alertmanager", 300, []string{alerts}, []string{strings.Replace(alerts, `"groupKey":"{}/`, `"groupKey":"{}/x`, 1)}, true},
		{"Uptime Kuma", "uptime-kuma", 60, []string{golden(t, "kuma.json")}, []string{golden(t, "kuma.json")}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			_, token := r.hook(c.preset, func(s *sms.HookSettings) { s.DedupWindow, s.To = c.window, []string{"+491701234567", "+491701234568"} })
			first := r.told(token, asJSON2(c.first[0]), c.first[0], c.first[1:]...)
			again := r.told(token, asJSON2(c.again[0]), c.again[0], c.again[1:]...)
			if n := len(r.queued()); again.Replayed == c.twice || n != 2 && !c.twice || n != 4 && c.twice {
				t.Errorf("%d messages, answered with %+v", n, again)
			}
			if !c.twice && (len(again.Messages) != 2 || again.Messages[0].ID != first.Messages[0].ID) {
				t.Errorf("answered with %+v and then %+v", first, again)
			}
			if c.window == 0 {
				return
			}
			r.now = r.now.Add(time.Duration(c.window) * time.Second)
			if later := r.told(token, asJSON2(c.first[0]), c.first[0], c.first[1:]...); later.Replayed {
				t.Error("it is not told after the window either")
			}
		})
	}
	r := newRig(t)
	_, token := r.hook("text", nil)
	r.told(token, "", "a", "Idempotency-Key", "k")
	if _, err := r.post(token, "", "b", "Idempotency-Key", "k"); !errors.Is(err, queue.ErrKeyReused) {
		t.Errorf("another body under the same key: %v", err)
	}
	// Another hook's key is another key.
	_, other := r.hook("text", nil)
	if a := r.told(other, "", "a", "Idempotency-Key", "k"); a.Replayed {
		t.Error("a key is good for one hook only")
	}
	// What is erased is not sent again.
	if _, err := r.queue.EraseNumber(ctx, "+491701234567"); err != nil {
		t.Fatal(err)
	}
	if a, err := r.post(token, "", "a", "Idempotency-Key", "k"); err != nil || len(a.Messages) != 0 || !a.Replayed {
		t.Errorf("%+v, %v", a, err)
	}
}

func asJSON2(body string) string {
	if strings.HasPrefix(body, "{") {
		return asJSON
	}
	return "text/plain"
}

// Senders that are two, and repeat at the same moment, make one text.
func TestRepetitionsAtOnce(t *testing.T) {
	r := newRig(t)
	_, token := r.hook("alertmanager", nil)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := r.post(token, asJSON, golden(t, "alertmanager.json")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(r.queued()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// Of two requests that come together, the one that is booked second may have come first.
func TestRepetitionThatWasOvertaken(t *testing.T) {
	r := newRig(t)
	_, token := r.hook("alertmanager", nil)
	r.told(token, asJSON, golden(t, "alertmanager.json"))
	r.now = r.now.Add(-7 * time.Millisecond)
	if a := r.told(token, asJSON, golden(t, "alertmanager.json")); !a.Replayed || len(r.queued()) != 1 {
		t.Errorf("it was told again: %+v", a)
	}
}

// A window goes on over a restart.
func TestWindowSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	r := rigIn(t, dir)
	_, token := r.hook("alertmanager", nil)
	r.told(token, asJSON, golden(t, "alertmanager.json"))
	r.db.Close()
	r = rigIn(t, dir)
	if a := r.told(token, asJSON, golden(t, "alertmanager.json")); !a.Replayed {
		t.Error("it was told again")
	}
}

func TestRecipients(t *testing.T) {
	r := newRig(t)
	_, token := r.hook("template", func(s *sms.HookSettings) {
		s.Template, s.ToTemplate = "{{.text}}", `{{.to}},{{query "to"}}`
		s.Priority, s.ExpiresAfter = 9, 60
	})
	r.told(token, asJSON, `{"text":"a","to":["0170 1234568","+49 170 1234569","+491701234568"]}`)
	r.told(token, asJSON, `{"text":"b"}`)
	var got []string
	for _, m := range r.queued() {
		got = append(got, m.Text+m.To)
		if m.Priority != 9 || !m.ExpiresAt.Equal(r.now.Add(time.Minute).Truncate(time.Millisecond)) {
			t.Errorf("%+v", m)
		}
	}
	if want := "[a+491701234568 a+491701234569 b+491701234567]"; fmt.Sprint(got) != want {
		t.Errorf("sent %v, want %v", got, want)
	}
	// All or none.
	var refused intake.Refused
	if _, err := r.post(token, asJSON, `{"text":"c","to":["+491701234568","nobody","+49"]}`); !errors.As(err, &refused) || len(refused) != 2 || refused[0].Field != "to[1]" {
		t.Errorf("%v", err)
	}
	_, none := r.hook("template", func(s *sms.HookSettings) { s.Template, s.ToTemplate, s.To = "x", "{{.to}}", nil })
	if _, err := r.post(none, asJSON, `{}`); !errors.As(err, &refused) || refused[0].Field != "to" {
		t.Errorf("%v", err)
	}
	if _, err := r.post(none, asJSON, `{"to":"`+strings.Repeat("+491701234567,", 101)+`"}`); !errors.As(err, &refused) || refused[0].Field != "to" {
		t.Errorf("%v", err)
	}
	_, unknown := r.hook("text", func(s *sms.HookSettings) { s.From, s.To = "nobody", []string{"+491701234567", "+491701234568"} })
	if _, err := r.post(unknown, "", "x"); !errors.As(err, &refused) || len(refused) != 1 || refused[0].Field != "from" {
		t.Errorf("%v", err)
	}
	if n := len(r.queued()); n != 3 {
		t.Errorf("%d messages", n)
	}
}

func TestWhoMayAsk(t *testing.T) {
	r := newRig(t)
	_, token := r.hook("text", func(s *sms.HookSettings) {
		s.AllowFrom = []string{"192.0.2.0/28", "2001:db8::1", "::ffff:198.51.100.7"}
	})
	for remote, good := range map[string]bool{"192.0.2.1": true, "::ffff:192.0.2.2": true, "192.0.2.16": false, "2001:db8::1": true, "2001:db8::2": false, "198.51.100.7": true, "": false, "fe80::1%eth0": false} {
		_, err := r.Receive(ctx, &Request{Token: token, Remote: remote, Method: "POST", Header: http.Header{}, Body: []byte("x")})
		if good && err != nil || !good && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", remote, err)
		}
	}
	_, token = r.hook("text", nil)
	for method, good := range map[string]bool{"POST": true, "PUT": true, "GET": false, "HEAD": false} {
		_, err := r.Receive(ctx, &Request{Token: token, Method: method, Header: http.Header{}, Query: url.Values{"text": {"x"}}})
		var refusal *sms.HookError
		if good && err != nil || !good && (!errors.As(err, &refusal) || refusal.Refusal != sms.HookMethod) {
			t.Errorf("%s: %v", method, err)
		}
	}
	_, token = r.hook("text", func(s *sms.HookSettings) { s.AllowGet = true })
	if a, err := r.Receive(ctx, &Request{Token: token, Method: "GET", Header: http.Header{}, Query: url.Values{"text": {"x"}}}); err != nil || len(a.Messages) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	var refusal *sms.HookError
	if _, err := r.post(token, asJSON, `{"text":`); !errors.As(err, &refusal) || refusal.Refusal != sms.HookUnreadable {
		t.Errorf("%v", err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	r := newRig(t)
	bad := sms.HookSettings{Name: " ", Preset: "pager", Template: "{{", ToTemplate: "{{nope}}", To: []string{"x", "+491701234567"}, From: "a\nb", Priority: 10, MaxParts: 0,
		ExpiresAfter: -1, DedupWindow: 1e6, AllowFrom: []string{"10.0.0.0/8", "300.1.1.1"}, Secret: "short"}
	_, _, err := r.Create(ctx, bad)
	var refused intake.Refused
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	var named []string
	for _, e := range refused {
		named = append(named, e.Field)
	}
	if want := "[name preset template to_template max_parts to[0] priority expires_after dedup_window from allow_from[1] secret]"; fmt.Sprint(named) != want {
		t.Errorf("named %v, want %v", named, want)
	}
	for field, s := range map[string]sms.HookSettings{
		"template": {Name: "a", Preset: "template", To: []string{"+491701234567"}, MaxParts: 1},
		"to":       {Name: "a", Preset: "text", MaxParts: 1},
		"secret":   {Name: "a", Preset: "supabase", MaxParts: 1, Secret: "whsec_%%%%"},
	} {
		if _, _, err := r.Create(ctx, s); !errors.As(err, &refused) || len(refused) != 1 || refused[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	h, _ := r.hook("text", func(s *sms.HookSettings) {
		s.To, s.AllowFrom = []string{"0170 1234567", "+491701234567"}, []string{"10.1.2.3/8"}
	})
	if len(h.To) != 1 || h.To[0] != "+491701234567" || h.AllowFrom[0] != "10.0.0.0/8" {
		t.Errorf("%+v", h)
	}
	if all, err := r.List(ctx); err != nil || len(all) != 1 || all[0].Name != "text" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestPreviewSendsNothing(t *testing.T) {
	r := newRig(t)
	s := Defaults("alertmanager")
	s.To = []string{"0170 1234567"}
	q := &Request{Method: "POST", Header: http.Header{"Content-Type": {asJSON}}, Body: []byte(golden(t, "alertmanager.json"))}
	p, err := r.Preview(ctx, s, q)
	if err != nil || p.Parts != 1 || p.To[0] != "+491701234567" || !strings.HasPrefix(p.Text, "FIRING") || p.Encoding != sms.GSM7 || p.ForcedBy != nil {
		t.Errorf("%+v, %v", p, err)
	}
	s.Template = "{{.status}} 漢"
	if p, err := r.Preview(ctx, s, q); err != nil || p.Text != "firing 漢" || *p.ForcedBy != "漢" {
		t.Errorf("%+v, %v", p, err)
	}
	s.Template = "a\n  {{index .alerts 9}}"
	var refused intake.Refused
	if _, err := r.Preview(ctx, s, q); !errors.As(err, &refused) || refused[0].Field != "template" || !strings.Contains(refused[0].Detail, "line 2, column 5") {
		t.Errorf("%v", err)
	}
	s = Defaults("supabase")
	q.Body = []byte(golden(t, "supabase.json"))
	if p, err := r.Preview(ctx, s, q); err != nil || p.To[0] != "+491701234567" {
		t.Errorf("%+v, %v", p, err)
	}
	if n := len(r.queued()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

// Of a restored backup no token comes back that was rotated or deleted since.
func TestRestoreBringsNoTokenBack(t *testing.T) {
	old, dir := t.TempDir(), t.TempDir()
	r := rigIn(t, dir)
	rotated, before := r.hook("text", nil)
	signing, signed := r.hook("text", func(s *sms.HookSettings) { s.Secret = "the secret before" })
	deleted, gone := r.hook("text", nil)
	off, abused := r.hook("text", nil)
	copyOf(t, dir, old, r)
	r = rigIn(t, dir)
	off.Enabled = false
	if _, err := r.Update(ctx, off.ID, off.HookSettings); err != nil {
		t.Fatal(err)
	}
	_, newer, err := r.Rotate(ctx, rotated.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(ctx, deleted.ID); err != nil {
		t.Fatal(err)
	}
	signing.Secret = "the secret since"
	if _, err := r.Update(ctx, signing.ID, signing.HookSettings); err != nil {
		t.Fatal(err)
	}
	_, added := r.hook("text", nil)
	r.db.Close()
	d, err := db.Open(ctx, db.Options{Dir: old, Attach: filepath.Join(dir, db.FileName)})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(func(tx *db.Tx) error { return Restore(tx) }); err != nil {
		t.Fatal(err)
	}
	d.Close()
	r = rigIn(t, old)
	for _, token := range []string{newer, added} {
		r.told(token, "", "x")
	}
	for secret, good := range map[string]bool{"the secret before": false, "the secret since": true} {
		sum := "sha256=" + hex.EncodeToString(mac([]byte(secret), []byte("x")))
		if _, err := r.post(signed, "", "x", "X-Hub-Signature-256", sum); (err == nil) != good {
			t.Errorf("%s: %v", secret, err)
		}
	}
	for _, token := range []string{before, gone, abused} {
		if _, err := r.post(token, "", "x"); !errors.Is(err, ErrNotFound) {
			t.Errorf("an old token: %v", err)
		}
	}
}

// copyOf closes a rig and copies its file.
func copyOf(t *testing.T, from, to string, r *rig) {
	t.Helper()
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(from, db.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, db.FileName), b, 0o600); err != nil {
		t.Fatal(err)
	}
}
