package twilio

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"gatewayd/auth"
)

// Every resource is asked with nothing, with what opens the other API, and with a key
// that lacks the scope. A browser's cookie means nothing here, whichever page sends it,
// so there is no foreign origin to fear.
func TestEveryResourceIsGuarded(t *testing.T) {
	r := newRig(t, send, Settings{})
	sid := r.ask("POST", "/Messages.json", form()).want(201, 0).str("sid")
	token, _, err := r.o.Keys.Create(t.Context(), "admin", []auth.Scope{auth.Admin}, r.now.AddDate(100, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	cookie, err := r.o.Keys.Login(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	for _, below := range []string{"", "/Messages", "/Messages/" + sid, "/Messages/" + sid + "/Media"} {
		path := Prefix + "Accounts/" + r.sid + below + ".json"
		what, _ := r.find(strings.TrimPrefix(path, Prefix))
		for method := range what {
			asked = append(asked, method+" "+strings.ReplaceAll(below, sid, "SID"))
			for name, prepare := range map[string]func(*http.Request){
				"nothing":           func(*http.Request) {},
				"a wrong token":     func(q *http.Request) { q.SetBasicAuth(r.sid, strings.Repeat("0", 32)) },
				"no token":          func(q *http.Request) { q.SetBasicAuth(r.sid, "") },
				"an API key":        func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+token) },
				"an API key as one": func(q *http.Request) { q.SetBasicAuth(r.sid, token) },
				"a page's cookie":   func(q *http.Request) { q.Header.Set("Cookie", "gatewayd_session="+cookie) },
				"a foreign page": func(q *http.Request) {
					q.Header.Set("Cookie", "gatewayd_session="+cookie)
					q.Header.Set("Origin", "https://evil.example")
				},
			} {
				q := httptest.NewRequest(method, path, strings.NewReader(form().Encode()))
				q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				prepare(q)
				if a := r.do(q); a.Code != http.StatusUnauthorized {
					t.Errorf("%s %s with %s: %d", method, path, name, a.Code)
				}
			}
		}
	}
	slices.Sort(asked)
	if got := strings.Join(asked, ", "); got != "DELETE /Messages/SID, GET , GET /Messages, GET /Messages/SID, GET /Messages/SID/Media, POST /Messages, POST /Messages/SID" {
		t.Errorf("asked were %s: a new resource is to be asked here too", got)
	}
	if n := r.count(); n != 1 {
		t.Errorf("%d messages", n)
	}
	for _, scope := range []auth.Scope{auth.Watch, auth.Service, auth.Read} {
		other := newRig(t, []auth.Scope{scope}, Settings{})
		other.ask("POST", "/Messages.json", form()).want(403, 20003)
		if scope != auth.Read {
			other.exec(`UPDATE messages SET key_id = 'somebody'`)
			if list := other.ask("GET", "/Messages.json", nil).want(200, 0).body["messages"].([]any); len(list) != 0 {
				t.Errorf("with %s others' messages are listed", scope)
			}
		}
	}
}
