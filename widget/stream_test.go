package widget

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// told reads the events of a stream, by their kinds.
func (r *rig) told(h header, query string) (next func(kind string, ok func(data string) bool), end func()) {
	r.t.Helper()
	server := httptest.NewServer(r)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	q, err := http.NewRequestWithContext(ctx, "GET", server.URL+Prefix+"v1/events"+query, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for k, v := range h {
		if k != "Origin" {
			q.Header.Set(k, v)
		}
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil || answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		r.t.Fatalf("%v: %+v", err, answer)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	next = func(kind string, ok func(data string) bool) {
		r.t.Helper()
		now := ""
		for lines.Scan() {
			if k, found := strings.CutPrefix(lines.Text(), "event: "); found {
				now = k
			}
			if data, found := strings.CutPrefix(lines.Text(), "data: "); found && now == kind {
				if !json.Valid([]byte(data)) {
					r.t.Fatalf("told is %s", data)
				}
				if ok(data) {
					return
				}
			}
		}
		r.t.Fatalf("the stream ended before %s was told: %v", kind, lines.Err())
	}
	return next, func() { cancel(); answer.Body.Close(); server.Close() }
}

// An open frame hears what its phone says, and how it looks, as it happens; and nothing
// of others.
func TestOpenFramesAreTold(t *testing.T) {
	r := newRig(t, 2)
	one := r.make()
	ann := r.begin(one, nil)
	r.begin(one, order{"name": "Bob"})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	next, end := r.told(ann, "")
	defer end()
	has := func(words string) func(string) bool {
		return func(data string) bool {
			if strings.Contains(data, "For Bob") {
				t.Errorf("Ann is told %s", data)
			}
			return strings.Contains(data, words)
		}
	}
	next("look", has("Chat by text"))
	next("chat", has(`"state":"invited"`))
	r.says(phone, "b", "YES")
	r.says(phone, "b", "For Bob")
	r.says(phone, "a", "YES")
	next("chat", has(`"state":"open"`))
	r.says(phone, "a", "For Ann")
	next("chat", has("For Ann"))
	if _, err := r.Change(ctx, one.ID, admin, func(s *Settings) error { s.Title = "Another"; return nil }); err != nil {
		t.Fatal(err)
	}
	next("look", has("Another"))
	if _, _, err := r.ChangeCommon(ctx, admin, func(c *Common) error { c.Banner.Text = "Closed on Monday"; return nil }); err != nil {
		t.Fatal(err)
	}
	next("look", has("Closed on Monday"))
	// Who has not begun yet hears of looks alone.
	other, endOther := r.told(nil, named(one))
	defer endOther()
	other("look", has("Another"))
}

// Streams are few for one address, and in all.
func TestStreamsAreBounded(t *testing.T) {
	s := streams{most: 3, each: 2, open: map[string]int{}}
	for _, c := range []struct {
		who string
		ok  bool
	}{{"a", true}, {"a", true}, {"a", false}, {"b", true}, {"c", false}} {
		if err := s.enter(c.who); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.who, err)
		}
	}
	s.leave("a")
	if err := s.enter("c"); err != nil {
		t.Error(err)
	}
}
