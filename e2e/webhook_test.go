//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"gatewayd/sms"
	"gatewayd/webhook"
)

const secret = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"

// receiver is a webhook receiver that can be down.
type receiver struct {
	server *httptest.Server
	mu     sync.Mutex
	status int
	asked  int
	ids    map[string]int
	got    []sms.Message // of the events that were taken
	types  []string
	bad    []error
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusNoContent, ids: map[string]int{}}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if err == nil {
		err = webhook.Verify(secret, req.Header, body, time.Now())
	}
	if err != nil {
		r.bad = append(r.bad, err)
	}
	if r.status >= 300 {
		w.WriteHeader(r.status)
		return
	}
	var e struct {
		Type string
		Data sms.Message
	}
	if err := json.Unmarshal(body, &e); err != nil {
		r.bad = append(r.bad, err)
	}
	if id := req.Header.Get("webhook-id"); r.ids[id] == 0 {
		r.got, r.types = append(r.got, e.Data), append(r.types, e.Type)
	}
	r.ids[req.Header.Get("webhook-id")]++
	w.WriteHeader(r.status)
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) taken() ([]sms.Message, []string, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]sms.Message(nil), r.got...), append([]string(nil), r.types...), r.asked
}

// A receiver that was down gets everything once it is back, in order per
// number, also when the daemon was killed meanwhile.
func TestWebhookReceiverThatWasDown(t *testing.T) {
	r := newReceiver(t)
	s := newSite(t, 1, fast(), fmt.Sprintf(`webhooks:
  - {url: %q, secret: %q, events: [message.received, message.sent, message.delivered], allow_private: true}
`, r.server.URL, secret))
	s.start()
	r.answer(http.StatusServiceUnavailable)
	phones := []string{"+491700000001", "+491700000002"}
	for i := range 3 {
		for _, p := range phones {
			if err := s.net.Handset(p).Send(s.modems[0].Number(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	m := s.post(phone, "out")
	s.untilFinal(m.ID)
	s.eventually("the receiver was asked in vain", 30*time.Second, func() bool { _, _, n := r.taken(); return n >= 3 })
	s.eventually("all was received", 30*time.Second, func() bool {
		_, b := s.call(http.MethodGet, "/v1/messages?direction=inbound", "")
		var page struct{ Messages []sms.Message }
		if err := json.Unmarshal(b, &page); err != nil {
			t.Fatal(err)
		}
		return len(page.Messages) == 6
	})
	s.kill()
	s.start()
	r.answer(http.StatusNoContent)
	s.eventually("everything has come", 120*time.Second, func() bool { got, _, _ := r.taken(); return len(got) >= 8 })
	got, types, _ := r.taken()
	next := map[string]int{}
	var told []string
	for i, m := range got {
		if m.Direction == sms.Outbound {
			told = append(told, types[i])
			continue
		}
		if want := fmt.Sprint(next[m.From]); m.Text != want {
			t.Errorf("%s: %q came, want %q", m.From, m.Text, want)
		}
		next[m.From]++
	}
	if fmt.Sprint(told) != "[message.sent message.delivered]" {
		t.Errorf("of the outbound message was told %v", told)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.bad {
		t.Errorf("a request with a fault: %v", err)
	}
}
