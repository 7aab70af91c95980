package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// key makes a key with limits and returns its token.
func (b *box) key(l auth.Limits, scopes ...auth.Scope) string {
	b.t.Helper()
	if len(scopes) == 0 {
		scopes = []auth.Scope{auth.Send}
	}
	token, _, err := b.o.Keys.CreateLimited(ctx, "shop", scopes, time.Time{}, l)
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

func destinations(list string) []number.Destination {
	all, err := number.ParseDestinations(list)
	if err != nil {
		panic(err)
	}
	return all
}

// text is the body of a message.
func text(to string) string { return fmt.Sprintf(`{"to":%q,"text":"hi"}`, to) }

func batchOf(to ...string) string {
	bodies := make([]string, len(to))
	for i, n := range to {
		bodies[i] = text(n)
	}
	return `{"messages":[` + strings.Join(bodies, ",") + `]}`
}

const (
	german   = "+491701234567"
	austrian = "+436641234567"
	premium  = "+499001234567"
)

func TestDestinationsOfKeyAndGateway(t *testing.T) {
	for _, c := range []struct {
		gateway number.Rules
		key     auth.Limits
		allowed string
	}{
		{number.Rules{}, auth.Limits{}, "g a s"},
		{number.Rules{}, auth.Limits{Premium: true}, "g a s"},
		{number.Rules{Premium: true}, auth.Limits{}, "g a s"},
		{number.Rules{Premium: true}, auth.Limits{Premium: true}, "g a s p"},
		{number.Rules{}, auth.Limits{Allow: destinations("DE")}, "g"},
		{number.Rules{Allow: destinations("AT")}, auth.Limits{Allow: destinations("DE,AT,12345")}, "a"}, // narrows, never widens
		{number.Rules{Deny: destinations("short-codes")}, auth.Limits{Allow: destinations("12345,+49")}, "g"},
	} {
		b := newBox(t, settings{change: func(o *Options) { o.Desk = intake.New(intake.Options{Queue: o.Queue, Destinations: c.gateway}) }})
		token := b.key(c.key)
		for _, n := range [][2]string{{"g", german}, {"a", austrian}, {"s", "12345"}, {"p", premium}} {
			if strings.Contains(c.allowed, n[0]) {
				b.post("/v1/messages", token, text(n[1])).accepted()
				continue
			}
			before := len(b.messages())
			p := b.post("/v1/messages", token, text(n[1])).problem(invalidFields, "to")
			if strings.Contains(p.Detail, n[1]) {
				t.Errorf("the number stands in %q", p.Detail)
			}
			b.post("/v1/messages/batch", token, batchOf(german, n[1])).want(http.StatusUnprocessableEntity)
			if len(b.messages()) != before {
				t.Error("something was queued all the same")
			}
		}
	}
	b := newBox(t, settings{})
	token := b.key(auth.Limits{Allow: destinations("DE")})
	p := b.post("/v1/messages/batch", token, batchOf(german, austrian, german, premium, "112")).
		problem(invalidFields, "messages[1].to", "messages[3].to", "messages[4].to")
	for i, want := range []string{"is in AT; this API key sends to DE only", "is a premium-rate number; this gateway does not send to numbers that cost extra", "is an emergency number; this gateway sends to one only if allow names that very number"} {
		if p.Errors[i].Detail != want {
			t.Errorf("%q, want %q", p.Errors[i].Detail, want)
		}
	}
	b.nothingQueued()
}

func TestRateOfAKey(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		token := b.key(auth.Limits{Rate: 30, Burst: 3})
		a := b.post("/v1/messages", token, text(german)).want(http.StatusAccepted)
		if got := a.Header().Values("RateLimit-Policy"); len(got) != 1 || got[0] != `"minute";q=3;w=6;qu="messages"` {
			t.Errorf("RateLimit-Policy %q", got)
		}
		if got := a.Header().Values("RateLimit"); len(got) != 1 || got[0] != `"minute";r=2;t=2` {
			t.Errorf("RateLimit %q", got)
		}
		b.post("/v1/messages/batch", token, batchOf(german, german)).want(http.StatusAccepted)
		a = b.post("/v1/messages", token, text(german))
		a.problem(rateExceeded)
		if a.Header().Get("Retry-After") != "2" || a.Header().Get("RateLimit") != `"minute";r=0;t=6` {
			t.Errorf("Retry-After %q, RateLimit %q", a.Header().Get("Retry-After"), a.Header().Get("RateLimit"))
		}
		if n := len(b.messages()); n != 3 {
			t.Errorf("%d messages", n)
		}
		time.Sleep(2 * time.Second)
		b.post("/v1/messages", token, text(german)).want(http.StatusAccepted)
		// Nobody else is held up, and a refused body costs nothing.
		if h := b.post("/v1/messages", b.send, text(german)).want(http.StatusAccepted).Header(); h.Get("RateLimit") != "" {
			t.Errorf("a key without limits is told %q", h.Get("RateLimit"))
		}
		time.Sleep(6 * time.Second)
		for range 5 {
			b.post("/v1/messages", token, `{"to":"x"}`).want(http.StatusUnprocessableEntity)
		}
		b.post("/v1/messages/batch", token, batchOf(german, german, german)).want(http.StatusAccepted)
	})
}

// Both limits stand in one line each, as lists of structured fields.
func TestLimitsAreToldInOneLine(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		h := b.post("/v1/messages", b.key(auth.Limits{Rate: 60, Quota: 10}), text(german)).want(http.StatusAccepted).Header()
		policy, left := h.Values("RateLimit-Policy"), h.Values("RateLimit")
		if len(policy) != 1 || policy[0] != `"minute";q=60;w=60;qu="messages", "day";q=10;w=86400;qu="messages"` ||
			len(left) != 1 || !strings.HasPrefix(left[0], `"minute";r=59;t=1, "day";r=9;t=`) {
			t.Errorf("%q %q", policy, left)
		}
	})
}

func TestQuotaOfAKey(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		token := b.key(auth.Limits{Quota: 4})
		same := bearer(token).with("Idempotency-Key", "1")
		for range 3 { // the first, and two repetitions
			b.ask("POST", "/v1/messages", same, text(german)).want(http.StatusAccepted)
		}
		for range 3 {
			b.post("/v1/messages", token, `{"to":"`+german+`","text":"hi","client_id":"c"}`).want(http.StatusAccepted)
		}
		a := b.post("/v1/messages/batch", token, batchOf(german, german, german))
		p := a.problem(quotaExceeded)
		if !strings.Contains(p.Detail, "2 of today's are left, and these are 3") {
			t.Error(p.Detail)
		}
		a = b.post("/v1/messages/batch", token, batchOf(german, german)).want(http.StatusAccepted)
		if got := a.Header().Get("RateLimit"); !strings.HasPrefix(got, `"day";r=0;t=`) {
			t.Errorf("RateLimit %q", got)
		}
		a = b.post("/v1/messages", token, text(german))
		a.problem(quotaExceeded)
		wait, err := time.ParseDuration(a.Header().Get("Retry-After") + "s")
		if err != nil || wait <= 0 || wait > 24*time.Hour {
			t.Fatalf("Retry-After %q", a.Header().Get("Retry-After"))
		}
		// What was accepted is still answered.
		b.ask("POST", "/v1/messages", same, text(german)).want(http.StatusAccepted)
		time.Sleep(wait - time.Second)
		b.post("/v1/messages", token, text(german)).problem(quotaExceeded)
		time.Sleep(time.Second)
		b.post("/v1/messages", token, text(german)).want(http.StatusAccepted)
		if n := len(b.messages()); n != 5 {
			t.Errorf("%d messages, want 5", n)
		}
	})
}

// Neither more nor fewer than the quota go, however many ask at once.
func TestQuotaIsExactThroughTheAPI(t *testing.T) {
	b := newBox(t, settings{})
	token := b.key(auth.Limits{Quota: 100})
	var accepted atomic.Int64
	var wg sync.WaitGroup
	for client := range 16 {
		wg.Go(func() {
			for i := range 10 {
				body, n := text(german), int64(1)
				path := "/v1/messages"
				if i%3 == 0 {
					path, body, n = "/v1/messages/batch", batchOf(german, german), 2
				}
				r := httptest.NewRequest("POST", path, strings.NewReader(body))
				r.Header.Set("Authorization", "Bearer "+token)
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Idempotency-Key", fmt.Sprint(client, "-", i))
				w := httptest.NewRecorder()
				b.handler.ServeHTTP(w, r)
				switch w.Code {
				case http.StatusAccepted:
					accepted.Add(n)
				case http.StatusTooManyRequests:
				default:
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
	if n := len(b.messages()); accepted.Load() != 100 || n != 100 {
		t.Errorf("%d accepted, %d queued, want 100", accepted.Load(), n)
	}
}

func TestKeysThroughTheAPI(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		var made, next, own map[string]any
		b.post("/v1/keys", b.admin, `{"name":"shop","scopes":["send"],"rate":60,"quota":10,"allow":["de","+43"],"expires_at":"2030-01-01T00:00:00Z"}`).
			want(http.StatusCreated).into(&made)
		token := made["token"].(string)
		b.ask("POST", "/v1/messages", bearer(token).with("Idempotency-Key", "1"), text(german)).want(http.StatusAccepted)
		b.ask("GET", "/v1/key", bearer(token), "").want(http.StatusOK).into(&own)
		if own["id"] != made["id"] || own["token"] != nil || fmt.Sprint(own["allow"]) != "[DE +43]" ||
			own["day"].(map[string]any)["left"] != 9.0 || own["minute"].(map[string]any)["left"] != 59.0 {
			t.Errorf("own key: %v", own)
		}
		// Rotated, it is the same caller: replay and quota go on.
		b.post("/v1/keys/"+made["prefix"].(string)+"/rotate", b.admin, `{"overlap":3600}`).want(http.StatusCreated).into(&next)
		if next["principal"] != made["id"] || next["id"] == made["id"] || next["name"] != "shop" {
			t.Errorf("rotated: %v", next)
		}
		a := b.ask("POST", "/v1/messages", bearer(next["token"].(string)).with("Idempotency-Key", "1"), text(german)).want(http.StatusAccepted)
		if a.Header().Get("Idempotency-Replayed") != "true" {
			t.Error("a rotation lost what was answered before")
		}
		b.ask("GET", "/v1/key", bearer(next["token"].(string)), "").want(http.StatusOK).into(&own)
		if own["day"].(map[string]any)["left"] != 9.0 {
			t.Errorf("a rotation grants a new quota: %v", own["day"])
		}
		b.ask("GET", "/v1/key", bearer(token), "").want(http.StatusOK)
		time.Sleep(time.Hour)
		b.ask("GET", "/v1/key", bearer(token), "").problem(noKey)
		b.post("/v1/keys/"+made["id"].(string)+"/rotate", b.admin, "").problem(conflict)
		list := b.ask("GET", "/v1/keys", bearer(b.admin), "").want(http.StatusOK)
		var all struct{ Keys []map[string]any }
		list.into(&all)
		if len(all.Keys) != 5 || strings.Contains(list.Body.String(), token[20:]) {
			t.Errorf("%d keys listed: %s", len(all.Keys), list.Body)
		}
		b.ask("PATCH", "/v1/keys/"+next["id"].(string), bearer(b.admin), `{"quota":1,"rate":0,"allow":["AT"]}`).want(http.StatusOK)
		b.post("/v1/messages", next["token"].(string), text(german)).problem(invalidFields, "to")
		b.post("/v1/messages", next["token"].(string), text(austrian)).problem(quotaExceeded)
		b.ask("PATCH", "/v1/keys/"+next["id"].(string), bearer(b.admin), `{"quota":0,"allow":[]}`).want(http.StatusOK)
		b.post("/v1/messages", next["token"].(string), text(german)).want(http.StatusAccepted)
		b.ask("PATCH", "/v1/keys/"+next["id"].(string), bearer(b.admin), `{"name":"x","burst":2}`).problem(invalidFields, "name")
		b.ask("PATCH", "/v1/keys/nobody", bearer(b.admin), `{}`).problem(notFound)
		b.ask("DELETE", "/v1/keys/"+next["id"].(string), bearer(b.admin), "").want(http.StatusOK)
		b.ask("GET", "/v1/key", bearer(next["token"].(string)), "").problem(noKey)
		b.post("/v1/keys/"+next["id"].(string)+"/rotate", b.admin, "").problem(conflict)
		b.ask("DELETE", "/v1/keys/shop", bearer(b.admin), "").problem(notFound) // names are the command line's
		b.ask("GET", "/v1/keys", bearer(b.read), "").problem(wrongScope)
		b.post("/v1/keys", b.send, `{}`).problem(wrongScope)
		for body, fields := range map[string][]string{
			`{}`:                              {"name", "scopes"},
			`{"name":"a"}`:                    {"scopes"},
			`{"name":"a","scopes":["write"]}`: {"scopes"},
			`{"name":"a","scopes":"send"}`:    {"scopes"},
			`{"name":"a","scopes":["send"],"rate":0,"quota":-1,"allow":["XX"]}`:  {"rate", "quota", "allow[0]"},
			`{"name":"a","scopes":["send"],"burst":3}`:                           {"burst"},
			`{"name":"a","scopes":["send"],"expires_at":"1999-01-01T00:00:00Z"}`: {"expires_at"},
			`{"name":"a","scopes":["send"],"qouta":3}`:                           {"qouta"},
		} {
			b.post("/v1/keys", b.admin, body).problem(invalidFields, fields...)
		}
		b.post("/v1/keys/"+made["id"].(string)+"/rotate", b.admin, `{"overlap":-1}`).problem(invalidFields, "overlap")
		b.post("/v1/keys/"+made["id"].(string)+"/rotate", b.admin, `{"overlap":"8761h"}`).problem(invalidFields, "overlap")
		if p := b.post("/v1/keys", b.admin, `{"name":"a","scopes":["send"],"rate":0}`).problem(invalidFields, "rate"); p.Errors[0].Detail != "must be a whole number from 1 to 10000000" {
			t.Errorf("rate %s", p.Errors[0].Detail)
		}
	})
}

// A key that has no token of ours is not rotated here; it is said what to do.
func TestForeignKeysAreNotRotated(t *testing.T) {
	b := newBox(t, settings{})
	key, err := auth.New(b.db).CreateForeign(ctx, auth.Key{Name: "app", Scopes: []auth.Scope{auth.Send}}, func(*db.Tx, auth.Key) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	a := b.post("/v1/keys/"+key.ID+"/rotate", b.admin, "")
	a.problem(conflict)
	if !strings.Contains(a.Body.String(), "gatewayd keys twilio ACCOUNT-SID --new-token") {
		t.Errorf("answered %s", a.Body)
	}
}

// Wrong keys are counted by where they come from; a right one is never held up.
func TestWrongKeysAreLimited(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		forms := map[string]bool{}
		wrong := bearer("gw_0123456789_" + strings.Repeat("a", 43))
		codes := map[int]int{}
		for i := range 300 {
			if i%50 != 0 && i%50 != 49 { // the document is asked about some of them only
				w := httptest.NewRecorder()
				r := httptest.NewRequest("GET", "/v1/messages", nil)
				r.Header.Set("Authorization", wrong["Authorization"])
				b.handler.ServeHTTP(w, r)
				codes[w.Code]++
				continue
			}
			a := b.ask("GET", "/v1/messages", wrong, "")
			codes[a.Code]++
			var p map[string]json.RawMessage
			a.into(&p)
			for name := range p {
				forms[name] = true
			}
			if a.Code == http.StatusTooManyRequests && a.Header().Get("Retry-After") != "1" {
				t.Fatalf("Retry-After %q", a.Header().Get("Retry-After"))
			}
			b.get("/v1/messages").want(http.StatusOK)
		}
		if codes[401] != 200 || codes[429] != 100 || len(forms) != 4 {
			t.Errorf("answers %v with the fields %v", codes, forms)
		}
		time.Sleep(2 * time.Second)
		b.ask("GET", "/v1/messages", wrong, "").problem(noKey)
	})
}

// Event streams of one key are limited, and counted down when they end.
func TestStreamsOfOneKey(t *testing.T) {
	s := streams{open: map[string]int{}}
	one, other := &auth.Key{Principal: "a"}, &auth.Key{Principal: "b"}
	var leave func()
	for range maxListeners {
		var err error
		if leave, err = s.enter(one); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.enter(one); err == nil || problemOf(err).kind != tooManyListeners || problemOf(err).retry == 0 {
		t.Errorf("one more: %v", err)
	}
	if _, err := s.enter(other); err != nil {
		t.Errorf("another key: %v", err)
	}
	leave()
	if _, err := s.enter(one); err != nil {
		t.Errorf("after one left: %v", err)
	}
}

// held is a foresight that takes until goOn is closed.
type held struct{ begun, goOn chan struct{} }

func (h held) Foresee(context.Context, []queue.Draft, bool) []intake.Outlook {
	close(h.begun)
	<-h.goOn
	return nil
}

func (held) Outlook(context.Context, *sms.Message) (intake.Outlook, bool) {
	return intake.Outlook{}, false
}

// A repetition that comes while the first request goes on is told when to ask again:
// clients repeat no other conflict.
func TestRepetitionOfWhatIsUnderWay(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := held{make(chan struct{}), make(chan struct{})}
		b := newBox(t, settings{single: true, dir: dir, desk: func(o *intake.Options) { o.Foreseer = h }})
		same := bearer(b.send).with("Idempotency-Key", "1")
		first := make(chan *answer)
		go func() { first <- b.ask("POST", "/v1/messages", same, text(german)) }()
		<-h.begun
		a := b.ask("POST", "/v1/messages", same, text(german))
		if a.problem(conflict); a.Header().Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", a.Header().Get("Retry-After"))
		}
		close(h.goOn)
		m := (<-first).accepted()
		b.ask("DELETE", "/v1/messages/"+m.ID, same, "").want(http.StatusOK)
		a = b.ask("DELETE", "/v1/messages/"+m.ID, same, "")
		if a.problem(conflict); a.Header().Get("Retry-After") != "" {
			t.Error("a conflict that stays says when to ask again")
		}
	})
}
