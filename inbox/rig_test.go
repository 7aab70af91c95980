package inbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatewayd/captcha"
	"gatewayd/db"
	"gatewayd/files"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

var ctx = context.Background()

const (
	host  = "hub.example.org"
	phone = "+491711111111"
	other = "+491712222222"
)

// rig is the door of the inboxes on a real queue and a real store, with a clock that
// stands still until it is moved, and the phones that get codes.
type rig struct {
	*Inbox
	t      testing.TB
	now    time.Time
	db     *db.DB
	q      *queue.Queue
	files  *files.Store
	texts  map[string][]string // by number
	items  map[string][]mirror.Item
	barred string // number that nothing is texted to
	gone   string // gateway that was deleted
	from   string // the address that requests come from
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), texts: map[string][]string{}, items: map[string][]mirror.Item{}, from: "192.0.2.1"}
	dir := t.TempDir()
	var err error
	if r.db, err = db.Open(ctx, db.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close() })
	now := func() time.Time { return r.now }
	if r.q, err = queue.Open(ctx, r.db, queue.Options{Now: now, Hub: true}); err != nil {
		t.Fatal(err)
	}
	if r.files, err = files.Open(files.Options{DB: r.db, Dir: dir, Queue: r.q, Now: now, Max: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	r.Inbox = New(Options{
		DB: r.db, Queue: r.q, Files: r.files, Now: now, Name: func() string { return "Example Org" }, Region: func() string { return "DE" },
		Keep: func() time.Duration { return 100 * 24 * time.Hour }, KeepTexts: func() time.Duration { return 30 * 24 * time.Hour },
		Title: func(gateway string) string { return strings.ToUpper(gateway) },
		Text: func(_ context.Context, n, text string, until time.Time) error {
			if n == r.barred {
				return ErrNotTexted
			}
			if !until.Equal(r.now.Add(codeLife)) {
				return errors.New("the code is texted after it is over")
			}
			r.texts[n] = append(r.texts[n], text)
			return nil
		},
		PutTx: func(tx *db.Tx, gateway string, i mirror.Item) error {
			if gateway == r.gone && i.Reply != nil {
				return sms.ErrNoGateway
			}
			tx.OnCommit(func() { r.items[gateway] = append(r.items[gateway], i) })
			return nil
		},
	})
	r.effort = 50
	return r
}

// browser is one, with its cookie.
type browser struct {
	*rig
	cookie *http.Cookie
	header map[string]string
}

func (r *rig) browser() *browser {
	return &browser{rig: r, header: map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "https://" + host}}
}

type answered struct {
	t testing.TB
	*httptest.ResponseRecorder
	what string
}

func (b *browser) ask(method, path string, body any) *answered {
	b.t.Helper()
	var content bytes.Buffer
	kind := "application/json"
	switch body := body.(type) {
	case nil:
		kind = ""
	case []byte:
		content.Write(body)
		kind = "application/octet-stream"
	default:
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			b.t.Fatal(err)
		}
	}
	q := httptest.NewRequest(method, "https://"+host+path, &content)
	q.RemoteAddr = b.from + ":1234"
	if kind != "" {
		q.Header.Set("Content-Type", kind)
	}
	for k, v := range b.header {
		q.Header.Set(k, v)
	}
	if b.cookie != nil && strings.HasPrefix(path, Prefix) {
		q.AddCookie(b.cookie)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, q)
	if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Content-Security-Policy") == "" {
		b.t.Errorf("%s %s is answered without the headers that every answer has: %v", method, path, w.Header())
	}
	for _, c := range w.Result().Cookies() {
		if b.cookie = c; c.MaxAge < 0 {
			b.cookie = nil
		}
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != Prefix {
			b.t.Errorf("the cookie is %v", c)
		}
	}
	return &answered{b.t, w, method + " " + path}
}

func (a *answered) want(status int, code ...string) *answered {
	a.t.Helper()
	var said struct{ Code string }
	_ = json.Unmarshal(a.Body.Bytes(), &said)
	if a.Code != status || len(code) > 0 && said.Code != code[0] {
		a.t.Fatalf("%s: %d %s, want %d %v: %s", a.what, a.Code, said.Code, status, code, a.Body)
	}
	return a
}

func (a *answered) into(v any) *answered {
	a.t.Helper()
	if err := json.Unmarshal(a.Body.Bytes(), v); err != nil {
		a.t.Fatalf("%s: %v: %s", a.what, err, a.Body)
	}
	return a
}

// asks wants a code to a number.
func (b *browser) asks(number, name string) *answered {
	b.t.Helper()
	var p struct{ Puzzle captcha.Challenge }
	b.ask("POST", "/inbox/v1/puzzle", map[string]any{}).want(200).into(&p)
	solution, err := captcha.Solve(p.Puzzle)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.ask("POST", "/inbox/v1/code", map[string]any{"number": number, "name": name, "solution": solution})
}

var digits = regexp.MustCompile(`^\d{6}\b`)

// texted is the newest code that a phone got.
func (r *rig) texted(number string) string {
	r.t.Helper()
	all := r.texts[number]
	if len(all) == 0 {
		r.t.Fatalf("nothing was texted to %s", number)
	}
	code := digits.FindString(all[len(all)-1])
	if code == "" {
		r.t.Fatalf("no code in %q", all[len(all)-1])
	}
	return code
}

// signedIn is a browser that has the inbox of a number open.
func (r *rig) signedIn(number, name string) *browser {
	r.t.Helper()
	b := r.browser()
	var got struct{ Ask string }
	b.asks(number, name).want(202).into(&got)
	b.ask("POST", "/inbox/v1/open", map[string]any{"ask": got.Ask, "code": r.texted("+" + strings.Map(digit, number))}).want(200)
	if b.cookie == nil {
		r.t.Fatal("no cookie")
	}
	return b
}

func digit(c rune) rune {
	if c < '0' || c > '9' {
		return -1
	}
	return c
}

// tells has a gateway tell a message for an inbox.
func (r *rig) tells(gateway string, m mirror.Inbox) (c sms.Copy) {
	r.t.Helper()
	if m.At.IsZero() {
		m.At = r.now
	}
	err := r.q.Do(func(tx *db.Tx) (err error) {
		c, err = r.DeliverTx(tx, gateway, m)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (b *browser) list(query string) (all []thread) {
	b.t.Helper()
	var got struct{ Threads []thread }
	b.ask("GET", "/inbox/v1/threads"+query, nil).want(200).into(&got)
	return got.Threads
}

func (b *browser) reads(path string) (all []message) {
	b.t.Helper()
	var got struct{ Messages []message }
	b.ask("GET", "/inbox/v1/"+path, nil).want(200).into(&got)
	return got.Messages
}
