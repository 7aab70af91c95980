package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/sms"
	"gatewayd/twilio"
)

// twilioApp is a program that gets callbacks and answers texts with TwiML. While
// it is down it answers 500.
type twilioApp struct {
	mu    sync.Mutex
	down  bool
	asked int
	got   []string // in order, what was taken
}

func (a *twilioApp) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	answer := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/xml"}}, Body: http.NoBody, Request: r}
	switch {
	case r.Header.Get("X-Twilio-Signature") == "" || a.down:
		answer.StatusCode = http.StatusInternalServerError
		return answer, nil
	case form.Get("SmsStatus") == "received":
		a.got = append(a.got, form.Get("Body"))
		text := fmt.Sprintf(`<Response><Message action="/status">re: %s</Message></Response>`, form.Get("Body"))
		answer.Body = io.NopCloser(strings.NewReader(text))
	default:
		a.got = append(a.got, form.Get("MessageStatus"))
	}
	return answer, nil
}

func (a *twilioApp) taken() (got []string, asked int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.got), a.asked
}

func (a *twilioApp) be(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
}

// An app that was down while texts came, and while the gateway was started anew,
// gets each once, in order, and its replies reach the phone once. What becomes of
// them it is told in the order of their lives.
func TestTwilioAppThatWasDown(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		app := &twilioApp{down: true}
		with := func(o *Options) { o.Transport = app }
		w.restart(with)
		_, _, err := w.g.Twilio().Create(context.Background(), auth.Key{Name: "app", Scopes: []auth.Scope{auth.Send}}, twilio.Settings{SMSURL: "https://app.test/sms"})
		if err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Second)
		for _, text := range []string{"one", "two"} {
			if err := w.net.Handset(phone).Send(w.modems[0].Number(), text); err != nil {
				t.Fatal(err)
			}
			w.pass(20 * time.Second)
		}
		if _, asked := app.taken(); asked < 2 || len(w.inbound()) != 2 {
			t.Fatalf("%d received, the app was asked %d times", len(w.inbound()), asked)
		}
		w.restart(with)
		app.be(false)
		w.pass(time.Hour)
		if got := w.net.Handset(phone).Received(); !slices.Equal(got, []string{"re: one", "re: two"}) {
			t.Errorf("the phone shows %q", got)
		}
		got, _ := app.taken()
		texts := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s != "one" && s != "two" })
		if !slices.Equal(texts, []string{"one", "two"}) {
			t.Errorf("the app got the texts %q", texts)
		}
		counted := map[string]int{}
		for _, s := range got {
			counted[s]++
		}
		if counted["queued"] != 2 || counted["sent"] != 2 || counted["delivered"] != 2 || len(got) != 8 {
			t.Errorf("the app was told %q", got)
		}
		if i := slices.Index(got, "queued"); i < 0 || slices.Index(got, "sent") < i || slices.Index(got, "delivered") < slices.Index(got, "sent") {
			t.Errorf("the app was told %q", got)
		}
		// A number that says STOP gets no reply, whatever the app answers.
		if err := w.net.Handset(phone).Send(w.modems[0].Number(), "STOP"); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		if got := w.net.Handset(phone).Received(); len(got) != 2 {
			t.Errorf("after STOP the phone shows %q", got)
		}
		if got, _ := app.taken(); got[len(got)-1] != "failed" {
			t.Errorf("of the reply to STOP the app was told %q", got[8:])
		}
		// What is erased with the number is not told any more, and leaves nothing.
		if _, err := w.g.Queue().EraseNumber(context.Background(), phone); err != nil {
			t.Fatal(err)
		}
		if left := w.inbound(); len(left) != 0 || w.g.Queue().CountByStatus()[sms.Queued] != 0 {
			t.Errorf("left are %v", left)
		}
	})
}
