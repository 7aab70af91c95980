package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"gatewayd/sms"
)

// mood is what a webhook receiver does just now.
type mood int

const (
	fine   mood = iota
	slow        // it takes its time to answer
	failed      // it answers 500 now and then
	dying       // it hangs up in the middle now and then, and has nothing then
	down        // nobody listens
	moods
)

// told is an event as a webhook or the log tells it.
type told struct {
	id     string // of the message
	status sms.Status
}

// receiver is what webhooks are posted to: the fourth ledger.
type receiver struct {
	address string
	taken   func(e event)

	mu     sync.Mutex
	mood   mood
	rand   *rand.Rand
	server *http.Server
	ids    map[string]bool   // webhook-ids taken
	order  map[string][]told // by number, each webhook-id once
	again  int               // how often one came again that had been taken
}

// event is what webhooks are told.
type event struct {
	Data sms.Message
}

func (e *event) number() string {
	if e.Data.Direction == sms.Inbound {
		return e.Data.From
	}
	return e.Data.To
}

func newReceiver(seed uint64, taken func(e event)) (*receiver, error) {
	r := &receiver{taken: taken, rand: newRand(seed, 4), ids: map[string]bool{}, order: map[string][]told{}}
	r.address = host(seed) + ":8090"
	return r, r.be(fine)
}

// be changes what the receiver does.
func (r *receiver) be(m mood) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mood = m
	switch {
	case m == down && r.server != nil:
		r.server.Close() // requests under way are cut off
		r.server = nil
	case m != down && r.server == nil:
		l, err := net.Listen("tcp", r.address)
		if err != nil {
			return err
		}
		r.server = &http.Server{Handler: r}
		go r.server.Serve(l) //nolint:errcheck // it ends with Close
	}
	return nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the daemon died in the middle of it
	}
	r.mu.Lock()
	m, dice := r.mood, r.rand.IntN(3)
	wait := time.Duration(r.rand.IntN(300)) * time.Millisecond
	r.mu.Unlock()
	switch {
	case m == failed && dice > 0:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case m == dying && dice > 0, m == down:
		panic(http.ErrAbortHandler)
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	r.take(req.Header.Get("webhook-id"), e)
	if m == slow {
		time.Sleep(wait)
	}
	w.WriteHeader(http.StatusNoContent)
}

// take books an event.
func (r *receiver) take(id string, e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids[id] {
		r.again++
		return
	}
	r.ids[id] = true
	r.order[e.number()] = append(r.order[e.number()], told{e.Data.ID, e.Data.Status})
	r.taken(e)
}

func (r *receiver) close() { _ = r.be(down) }

// host is a loopback address of this world's own: a port that a dead daemon has
// left must not become some connection's before the next one takes it again.
func host(seed uint64) string {
	return fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, seed/250%250, 1+seed%250)
}
