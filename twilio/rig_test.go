package twilio

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// rig is the API with a real queue, and an account that uses it.
type rig struct {
	*API
	t     testing.TB
	sid   string
	token string
	user  string // instead of sid
	now   time.Time
}

// modems are those that the desk knows.
type modems []sms.Modem

func (l modems) List() []sms.Modem { return l }

func (l modems) Get(name string) (sms.Modem, bool) {
	for _, m := range l {
		if m.Name == name {
			return m, true
		}
	}
	return sms.Modem{}, false
}

const (
	ownNumber = "+491700000001"
	phone     = "+491701234567"
)

func newRig(t testing.TB, scopes []auth.Scope, s Settings) *rig {
	t.Helper()
	d, err := db.Open(t.Context(), db.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{t: t, now: time.Now().Truncate(time.Second)}
	now := func() time.Time { return r.now }
	q, err := queue.Open(t.Context(), d, queue.Options{Now: now, OutboundCapacity: 20})
	if err != nil {
		t.Fatal(err)
	}
	keys := auth.New(d)
	desk := intake.New(intake.Options{Queue: q, Modems: modems{{Name: "office", Number: ownNumber}, {Name: "spare"}}, Region: func() string { return "DE" }, Now: now})
	r.API = New(Options{Queue: q, Desk: desk, Keys: keys, DB: d, Region: func() string { return "DE" }, Now: now})
	if r.sid, r.token, err = r.accounts.Create(t.Context(), auth.Key{Name: "test", Scopes: scopes}, s); err != nil {
		t.Fatal(err)
	}
	r.user = r.sid
	return r
}

var send = []auth.Scope{auth.Send}

// answered is an answer and its JSON.
type answered struct {
	t testing.TB
	*httptest.ResponseRecorder
	body map[string]any
}

// ask makes a request below the account; form nil: it has no body.
func (r *rig) ask(method, path string, form url.Values) answered {
	r.t.Helper()
	req := httptest.NewRequest(method, Prefix+"Accounts/"+r.sid+path, strings.NewReader(form.Encode()))
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	}
	req.SetBasicAuth(r.user, r.token)
	return r.do(req)
}

func (r *rig) do(req *http.Request) answered {
	r.t.Helper()
	a := answered{r.t, httptest.NewRecorder(), nil}
	r.ServeHTTP(a.ResponseRecorder, req)
	if a.Code == http.StatusNoContent {
		return a
	}
	if err := json.Unmarshal(a.Body.Bytes(), &a.body); err != nil || a.Header().Get("Content-Type") != "application/json" {
		r.t.Fatalf("%s %s answered %d %s, which is no JSON: %v", req.Method, req.URL, a.Code, a.Body, err)
	}
	if a.Code >= 400 {
		more, _ := a.body["more_info"].(string)
		if a.body["status"] != float64(a.Code) || a.body["message"] == "" || !strings.HasPrefix(more, "https://www.twilio.com/docs/errors/") {
			r.t.Errorf("%s %s: the error is %s", req.Method, req.URL, a.Body)
		}
	}
	return a
}

// want checks the status and, of errors, the code.
func (a answered) want(status, code int) answered {
	a.t.Helper()
	got, _ := a.body["code"].(float64)
	if a.Code != status || code != 0 && int(got) != code {
		a.t.Fatalf("answered %d %s, want %d with the code %d", a.Code, a.Body, status, code)
	}
	return a
}

func (a answered) str(field string) string {
	a.t.Helper()
	s, ok := a.body[field].(string)
	if !ok {
		a.t.Fatalf("%s of %s is no string", field, a.Body)
	}
	return s
}

func form(pairs ...string) url.Values {
	f := url.Values{"To": {phone}, "From": {"office"}, "Body": {"hello"}}
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return f
}

// message is what the queue has under a SID.
func (r *rig) message(sid string) *sms.Message {
	r.t.Helper()
	id, ok := idOf(sid)
	if !ok {
		r.t.Fatalf("%q is no SID", sid)
	}
	m, err := r.o.Queue.Message(context.Background(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (r *rig) count() int {
	r.t.Helper()
	all, _, err := r.o.Queue.List(context.Background(), queue.Filter{Limit: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	return len(all)
}

func (r *rig) exec(query string, args ...any) {
	r.t.Helper()
	if err := r.o.DB.Write(func(tx *db.Tx) error { _, err := tx.Exec(query, args...); return err }); err != nil {
		r.t.Fatal(err)
	}
}
