package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// message is what of the gateway's messages matters here.
type message struct {
	ID        string            `json:"id"`
	Direction string            `json:"direction"`
	From      string            `json:"from"`
	To        string            `json:"to"`
	Text      *string           `json:"text"`
	Metadata  map[string]string `json:"metadata"`
	Error     *struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	} `json:"error"`
}

// event is one of the gateway's log.
type event struct {
	ID   int64
	Type string
	Data json.RawMessage
}

// api asks the gateway.
type api struct {
	base, key string
	client    *http.Client
}

func newAPI(base, key string) *api { return &api{base: base, key: key, client: &http.Client{}} }

// refusal is the gateway's word that a request is wrong and stays so.
type refusal struct{ words string }

func (r refusal) Error() string { return r.words }

// attempt is how long one request may take.
const attempt = 20 * time.Second

// call asks once. An error that is no refusal is one that may pass.
func (a *api) call(ctx context.Context, method, path string, header http.Header, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return err
		}
	}
	r, err := a.request(ctx, method, path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	answer, err := a.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if b, err = io.ReadAll(io.LimitReader(answer.Body, 8<<20)); err != nil {
		return err
	}
	if answer.StatusCode < 300 {
		return json.Unmarshal(b, into)
	}
	var problem struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
		Errors []struct{ Field, Detail string }
	}
	words := answer.Status
	if json.Unmarshal(b, &problem) == nil && problem.Title != "" {
		words = strings.TrimSpace(problem.Title + ": " + problem.Detail)
		for _, e := range problem.Errors {
			words += fmt.Sprintf(" (%s %s)", e.Field, e.Detail)
		}
	}
	switch {
	case answer.StatusCode >= 500, answer.StatusCode == http.StatusTooManyRequests, answer.StatusCode == http.StatusConflict:
		return errors.New(words)
	}
	return refusal{words}
}

func (a *api) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err == nil {
		r.Header.Set("Authorization", "Bearer "+a.key)
	}
	return r, err
}

// submit hands in a text. The same key again is the same message.
func (a *api) submit(ctx context.Context, key, to, text string, metadata map[string]string) error {
	var m message
	return a.call(ctx, http.MethodPost, "/v1/messages", http.Header{"Idempotency-Key": {key}},
		map[string]any{"to": to, "text": text, "metadata": metadata}, &m)
}

// lastWriter finds who wrote to a number last, from here; "" if nobody did.
func (a *api) lastWriter(ctx context.Context, number string) (string, error) {
	var page struct{ Messages []message }
	query := url.Values{"to": {number}, "direction": {"outbound"}, "limit": {"100"}}
	if err := a.call(ctx, http.MethodGet, "/v1/messages?"+query.Encode(), nil, nil, &page); err != nil {
		var no refusal
		if errors.As(err, &no) { // a sender's name is no number to write to
			return "", nil
		}
		return "", err
	}
	for _, m := range page.Messages { // newest first
		if who := m.Metadata[metaFrom]; who != "" {
			return who, nil
		}
	}
	return "", nil
}

// newest is the place in the log from which everything is still to come.
func (a *api) newest(ctx context.Context) (int64, error) {
	var page struct {
		NextAfter int64 `json:"next_after"`
	}
	err := a.call(ctx, http.MethodGet, "/v1/events?after="+strconv.FormatInt(math.MaxInt64, 10), nil, nil, &page)
	return page.NextAfter, err
}

// follow hands over every event behind a place in the log, as server-sent
// events bring them, until the stream breaks or take fails.
func (a *api) follow(ctx context.Context, after int64, take func(event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := a.request(ctx, http.MethodGet, "/v1/events", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Last-Event-ID", strconv.FormatInt(after, 10))
	// Heartbeats come every 15 s; without them the other side is gone.
	alive := time.AfterFunc(time.Minute, cancel)
	defer alive.Stop()
	answer, err := a.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the events of the gateway: %s", answer.Status)
	}
	err = readEvents(answer.Body, func() { alive.Reset(time.Minute) }, take)
	return errors.Join(err, errors.New("the stream of the gateway's events ended"))
}

// readEvents reads server-sent events; with each line it tells that there is
// life on the other side.
func readEvents(r io.Reader, alive func(), take func(event) error) (err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	var e event
	var data []byte
	for lines.Scan() {
		alive()
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if e.Type != "" && data != nil {
				if err := e.read(data); err != nil {
					return err
				}
				if err := take(e); err != nil {
					return err
				}
			}
			e, data = event{}, nil
		case name == "id":
			if e.ID, err = strconv.ParseInt(value, 10, 64); err != nil {
				return fmt.Errorf("the events of the gateway: an id is %q", value)
			}
		case name == "event":
			e.Type = value
		case name == "data":
			data = append(data, value...)
		}
	}
	return lines.Err()
}

// read takes the data out of an event's body.
func (e *event) read(body []byte) error {
	var b struct{ Data json.RawMessage }
	if err := json.Unmarshal(body, &b); err != nil {
		return fmt.Errorf("event %d can't be read: %w", e.ID, err)
	}
	e.Data = b.Data
	return nil
}
