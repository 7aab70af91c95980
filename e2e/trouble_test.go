//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gatewayd/sms"
)

// troubled is a receiver in trouble until it is mended. It notes what it took.
type troubled struct {
	server  *httptest.Server
	trouble func(w http.ResponseWriter, r *http.Request) (taken bool) // with the body read
	mended  chan struct{}
	// talks is what it answers once it has taken an event: whoever sends does not hear it to
	// its end, and the next event comes while it is talking still.
	talks func(w http.ResponseWriter)

	mu    sync.Mutex
	asked int
	ids   map[string]bool
	texts map[string][]string // by number, each event once
}

func newTroubled(t *testing.T, trouble func(w http.ResponseWriter, r *http.Request) bool) *troubled {
	x := &troubled{trouble: trouble, mended: make(chan struct{}), ids: map[string]bool{}, texts: map[string][]string{}}
	x.server = httptest.NewServer(x)
	t.Cleanup(x.server.Close)
	t.Cleanup(x.mend) // before it: what hangs ends
	return x
}

func (x *troubled) mend() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.isMended() {
		return
	}
	close(x.mended)
}

func (x *troubled) isMended() bool {
	select {
	case <-x.mended:
		return true
	default:
		return false
	}
}

func (x *troubled) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e struct{ Data sms.Message }
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &e) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	x.mu.Lock()
	x.asked++
	x.mu.Unlock()
	if x.trouble != nil && !x.isMended() && !x.trouble(w, r) {
		return
	}
	x.mu.Lock()
	if id := r.Header.Get("webhook-id"); !x.ids[id] {
		x.ids[id] = true
		x.texts[e.Data.To] = append(x.texts[e.Data.To], e.Data.Text)
	}
	x.mu.Unlock()
	if x.talks != nil && !x.isMended() {
		x.talks(w)
	}
}

func (x *troubled) taken() (n, asked int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.ids), x.asked
}

// Receivers in every kind of trouble delay nobody: the one that is well has
// everything while they have nothing. Once they are mended they get it all, in
// order for each number.
func TestReceiversInTrouble(t *testing.T) {
	const numbers, each = 12, 4
	well := newTroubled(t, nil)
	var hangs *troubled
	hangs = newTroubled(t, func(http.ResponseWriter, *http.Request) bool { <-hangs.mended; return true })
	mendable := map[string]*troubled{
		"hangs": hangs,
		"fails": newTroubled(t, func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return false
		}),
		"resets": newTroubled(t, func(w http.ResponseWriter, r *http.Request) bool {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
			}
			return false
		}),
		"talks": newTroubled(t, nil), // and takes it, at that
	}
	mendable["talks"].talks = func(w http.ResponseWriter) {
		piece := make([]byte, 64<<10)
		for range 20 << 20 / len(piece) {
			if _, err := w.Write(piece); err != nil {
				break
			}
		}
	}
	redirects := newTroubled(t, func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, well.server.URL, http.StatusTemporaryRedirect)
		return false
	})
	var more strings.Builder
	more.WriteString("webhooks:\n")
	add := func(name string, x *troubled) {
		fmt.Fprintf(&more, "  - {name: %s, url: %q, secret: %q, events: [message.queued], allow_private: true}\n", name, x.server.URL, secret)
	}
	add("well", well)
	add("redirects", redirects)
	for name, x := range mendable {
		add(name, x)
	}
	s := newSite(t, 1, fast(), more.String())
	s.start()
	for i := range each {
		s.batch(numbers, func(n int) map[string]any {
			return map[string]any{"to": fmt.Sprintf("+4917500000%02d", n), "text": fmt.Sprint(i)}
		})
	}
	s.eventually("the one that is well has all", 30*time.Second, func() bool { n, _ := well.taken(); return n == numbers*each })
	for name, x := range mendable {
		s.eventually(name+" was asked", 30*time.Second, func() bool { _, asked := x.taken(); return asked > 0 })
		if n, _ := x.taken(); n > 0 && name != "talks" {
			t.Errorf("%s has taken %d before it was mended", name, n)
		}
		x.mend()
	}
	for name, x := range mendable {
		s.eventually(name+" has all", 90*time.Second, func() bool { n, _ := x.taken(); return n == numbers*each })
	}
	mendable["well"] = well
	for name, x := range mendable {
		x.mu.Lock()
		for number, texts := range x.texts {
			if fmt.Sprint(texts) != "[0 1 2 3]" {
				t.Errorf("%s: %s got %v", name, number, texts)
			}
		}
		x.mu.Unlock()
	}
	// A redirect that was followed would have come here again.
	if n, asked := well.taken(); asked != n {
		t.Errorf("the one that is well was asked %d times for %d events", asked, n)
	}
}
