package hooks

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

var ctx = context.Background()

// rig is hooks on a real queue in a fresh folder.
type rig struct {
	*Hooks
	t     testing.TB
	db    *db.DB
	queue *queue.Queue
	now   time.Time
}

func newRig(t testing.TB) *rig { return rigIn(t, t.TempDir()) }

func rigIn(t testing.TB, dir string) *rig {
	t.Helper()
	d, err := db.Open(ctx, db.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	q, err := queue.Open(ctx, d, queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, db: d, queue: q, now: time.Now()}
	now := func() time.Time { return r.now }
	r.Hooks = New(Options{DB: d, Desk: intake.New(intake.Options{Queue: q, Region: func() string { return "DE" }}), Now: now})
	return r
}

// hook makes a hook of a preset, as changed, and returns it with its token.
func (r *rig) hook(preset string, change func(*sms.HookSettings)) (sms.Hook, string) {
	r.t.Helper()
	s := Defaults(preset)
	s.Name, s.To = preset, []string{"+491701234567"}
	if change != nil {
		change(&s)
	}
	h, token, err := r.Create(ctx, s)
	if err != nil {
		r.t.Fatal(err)
	}
	return h, token
}

// post sends a body to a hook.
func (r *rig) post(token, contentType, body string, headers ...string) (sms.HookAnswer, error) {
	q := &Request{Token: token, Remote: "192.0.2.1", Method: http.MethodPost, Header: http.Header{}, Query: url.Values{}, Body: []byte(body)}
	if contentType != "" {
		q.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	return r.Receive(ctx, q)
}

// told sends a body, and wants it to be taken.
func (r *rig) told(token, contentType, body string, headers ...string) sms.HookAnswer {
	r.t.Helper()
	a, err := r.post(token, contentType, body, headers...)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// queued are the messages that there are, oldest first.
func (r *rig) queued() []sms.Message {
	r.t.Helper()
	all, _, err := r.queue.List(ctx, queue.Filter{Limit: 500})
	if err != nil {
		r.t.Fatal(err)
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

func golden(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
