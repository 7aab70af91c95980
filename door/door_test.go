package door

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A browser says which page asks; what says nothing of it is a program, and one that names
// another origin is another page of an old browser.
func TestOwnPage(t *testing.T) {
	for _, c := range []struct {
		site, origin string
		want         bool
	}{
		{"", "", true}, {"same-origin", "https://evil.example", true}, {"cross-site", "http://example.com", false}, {"same-site", "", false}, {"none", "", false},
		{"", "http://example.com", true}, {"", "https://EXAMPLE.com", true}, {"", "https://evil.example", false}, {"", "null", false}, {"", "http://example.com:8080", false},
	} {
		r := httptest.NewRequest("POST", "http://example.com/inbox/v1/code", nil)
		for name, value := range map[string]string{"Sec-Fetch-Site": c.site, "Origin": c.origin} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if got := OwnPage(r); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// A handler that panics answers with an error, and one that has begun to answer is cut off.
func TestAround(t *testing.T) {
	var counted []int
	d := Door{Headers: Headers(), Broken: "See the log.", Log: slog.New(slog.DiscardHandler),
		Count: func(_, _ string, status int, _ time.Duration) { counted = append(counted, status) }, RefusalOf: func(err error) *Refusal { return err.(*Refusal) }}
	for _, c := range []struct {
		handler Handler
		status  int
		body    string
	}{
		{func(http.ResponseWriter, *http.Request) error { panic("x") }, 500, `{"code":"internal","detail":"See the log.","status":500,"title":"Internal Server Error","type":"about:blank"}` + "\n"},
		{func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = w.Write([]byte("half"))
			return Refuse(403, "no", "no")
		}, 200, "half"},
		{func(http.ResponseWriter, *http.Request) error {
			return Later(429, "limit", "Wait.", 1500*time.Millisecond)
		}, 429, `{"code":"limit","detail":"Wait.","status":429,"title":"Too Many Requests","type":"about:blank"}` + "\n"},
	} {
		w := httptest.NewRecorder()
		d.Around("/x", c.handler)(w, httptest.NewRequest("GET", "/x", nil))
		if w.Code != c.status || w.Body.String() != c.body || w.Header().Get("X-Content-Type-Options") != "nosniff" || counted[len(counted)-1] != c.status {
			t.Errorf("%d %s, want %d %s; counted %v", w.Code, w.Body, c.status, c.body, counted)
		}
		if got := w.Header().Get("Retry-After"); (got == "2") != (c.status == 429) {
			t.Errorf("Retry-After %q of a %d", got, c.status)
		}
	}
}
