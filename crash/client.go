package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"gatewayd/sms"
)

// request is what a client posts, again and again until it gets its 202.
type request struct {
	path     string
	key      string // Idempotency-Key; "": none
	body     []byte
	messages []*message
}

// backlog is how many messages may be on their way before clients make a pause.
const backlog = 14

// client posts messages while there is traffic.
func (w *world) client(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		if !w.mayAsk() {
			sleep(ctx, 10*time.Millisecond)
			continue
		}
		q := w.request(r)
		w.ask(ctx, q, r)
		w.answered()
		sleep(ctx, time.Duration(r.IntN(30))*time.Millisecond)
	}
}

// mayAsk lets a client begin a request; answered ends it.
func (w *world) mayAsk() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.traffic || w.underway >= backlog {
		return false
	}
	w.asking++
	return true
}

func (w *world) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asking--
}

// request makes up one to twelve messages.
func (w *world) request(r *rand.Rand) *request {
	n, kind := 1, r.IntN(20)
	if kind >= 12 && kind < 16 {
		n = 2 + r.IntN(3)
	}
	q := &request{path: "/v1/messages"}
	w.mu.Lock()
	defer w.mu.Unlock()
	var bodies []map[string]any
	for range n {
		m, body := w.compose(r)
		m.keyless = kind == 19
		if kind >= 16 && kind < 19 {
			body["client_id"] = m.tag
		}
		q.messages, bodies = append(q.messages, m), append(bodies, body)
	}
	if kind < 16 {
		q.key = "key-" + q.messages[0].tag
	}
	var body any = bodies[0]
	if n > 1 {
		q.path, body = "/v1/messages/batch", map[string]any{"messages": bodies}
	}
	q.body, _ = json.Marshal(body) // of strings and numbers
	return q
}

// compose makes up a message. Called with w.mu held.
func (w *world) compose(r *rand.Rand) (*message, map[string]any) {
	to := r.IntN(silentNumber)
	if r.IntN(12) == 0 {
		to = silentNumber + r.IntN(handsets-silentNumber)
	}
	m := &message{tag: w.nextTag("m"), to: number(to), onlyOnce: r.IntN(4) == 0, refused: to == refusedNumber,
		asked: true, ids: map[string]bool{}, seen: map[string][]int{}}
	m.text = words(r, m.tag, length(r))
	w.messages[m.tag] = m
	w.underway++
	body := map[string]any{"to": m.to, "text": m.text}
	if m.onlyOnce {
		body["on_unconfirmed"] = sms.Fail
	}
	if r.IntN(3) == 0 {
		body["priority"] = r.IntN(10)
	}
	if r.IntN(8) == 0 {
		body["delivery_report"] = false
	}
	return m, body
}

// ask posts a request until it is answered 202; one without a key only once.
func (w *world) ask(ctx context.Context, q *request, r *rand.Rand) {
	again := r.IntN(4) == 0 // it forgets that it has had its answer
	for ctx.Err() == nil {
		status, answer, err := w.post(ctx, q)
		switch {
		case err == nil && status == http.StatusAccepted:
			w.promise(q, answer)
			if !again || q.messages[0].keyless {
				return
			}
			again = false
		case err == nil && status >= 400 && status < 500 && status != http.StatusConflict && status != http.StatusTooManyRequests:
			w.blame(q.messages[0].tag, refusedRequest, "POST %s was answered %d %s", q.path, status, answer)
			return
		case q.messages[0].keyless:
			w.drop(q.messages[0])
			return
		}
		sleep(ctx, 15*time.Millisecond)
	}
}

// drop lets a client without a key forget a message that it was not promised.
func (w *world) drop(m *message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settledNow(m.tag)
}

func (w *world) post(ctx context.Context, q *request) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+q.path, bytes.NewReader(q.body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+w.key)
	req.Header.Set("Content-Type", "application/json")
	if q.key != "" {
		req.Header.Set("Idempotency-Key", q.key)
	}
	a, err := w.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	return a.StatusCode, b, err
}

// promise notes a 202.
func (w *world) promise(q *request, answer []byte) {
	var given []sms.Message
	var err error
	if len(q.messages) == 1 {
		given = make([]sms.Message, 1)
		err = json.Unmarshal(answer, &given[0])
	} else {
		var batch struct{ Messages []sms.Message }
		err = json.Unmarshal(answer, &batch)
		given = batch.Messages
	}
	if err != nil || len(given) != len(q.messages) {
		w.blame(q.messages[0].tag, refusedRequest, "a 202 can't be read: %v %s", err, answer)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, m := range q.messages {
		m.promised, m.parts = true, given[i].Parts
		m.ids[given[i].ID] = true
	}
}

// get reads a page of the API into v.
func (w *world) get(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+w.key)
	req.Header.Set("Accept", "application/json")
	a, err := w.http.Do(req)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(a.Body)
		return fmt.Errorf("GET %s: %s %s", path, a.Status, b)
	}
	return json.NewDecoder(a.Body).Decode(v)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
