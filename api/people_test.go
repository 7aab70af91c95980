package api

import (
	"bytes"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/auth"
	"gatewayd/sms"
)

func (b *box) form(target string, h header, values ...string) *answer {
	b.t.Helper()
	return b.ask("POST", target, h.with("Content-Type", "application/x-www-form-urlencoded"), form(values...))
}

// From the first-run code to people of every role, by the pages alone.
func TestFromTheFirstRunCodeToPeople(t *testing.T) {
	b := newBox(t, settings{})
	code, err := b.o.Keys.FirstRun(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if page := b.ask("GET", "/sign-in", nil, "").want(200).Body.String(); !strings.Contains(page, `href="/welcome">make the first one`) {
		t.Error("the sign-in does not lead to the first-run code")
	}
	page := b.ask("GET", "/welcome?code="+code, nil, "").want(200).Body.String()
	if !strings.Contains(page, "first admin") || strings.Contains(page, code) {
		t.Errorf("the page takes the code of a query, or says nothing: %s", page)
	}
	welcome := func(values ...string) *answer { return b.form("/welcome", nil, values...) }
	for status, values := range map[int][]string{
		401: {"code", "AAAAA-AAAAA", "name", "Anna", "password", goodPassword, "again", goodPassword},
		422: {"code", code, "name", "Anna", "password", goodPassword, "again", goodPassword + "x"},
	} {
		if page := welcome(values...).want(status).Body.String(); !strings.Contains(page, `role="alert"`) || strings.Contains(page, goodPassword) {
			t.Errorf("%q: %s", values, page)
		}
	}
	welcome("code", code, "name", "Anna", "password", "short", "again", "short").want(422)
	if to := welcome("code", code, "name", "Anna", "password", goodPassword, "again", goodPassword).want(303).Header().Get("Location"); to != "/" && to != "/setup" {
		t.Errorf("sent to %s", to)
	}
	b.ask("POST", "/welcome", formType.with("Sec-Fetch-Site", "cross-site"), form("code", code)).problem(foreignOrigin)

	anna := cookiesOf(b.form("/sign-in", nil, "name", "anna", "password", goodPassword).want(http.StatusSeeOther))
	for _, c := range b.form("/sign-in", nil, "name", "ANNA", "password", goodPassword).Result().Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.MaxAge <= 0 {
			t.Errorf("cookie %+v", c)
		}
	}
	welcome("code", code, "name", "Bert", "password", goodPassword, "again", goodPassword).want(401)
	same := anna.with("Sec-Fetch-Site", "same-origin")
	page = html.UnescapeString(b.form("/people", same, "do", "add", "name", "Tess", "role", "technician").want(200).Body.String())
	i := strings.Index(page, "http://example.com/welcome#")
	if i < 0 {
		t.Fatalf("no code to hand over: %s", page)
	}
	link := page[i+len("http://example.com/welcome#"):]
	link = link[:strings.Index(link, `"`)]
	invitation, name, _ := strings.Cut(link, "/")
	if name != "Tess" {
		t.Errorf("the link ends with %q", link)
	}
	a := welcome("code", strings.ToLower(invitation), "name", "tess", "password", goodPassword, "again", goodPassword).want(http.StatusSeeOther)
	if to := a.Header().Get("Location"); to != "/" {
		t.Errorf("sent to %s", to)
	}
	tess := cookiesOf(a)
	page = b.ask("GET", "/", tess, "").want(200).Body.String()
	for _, hidden := range []string{"491700000001", `href="/people"`, `href="/messages`} {
		if strings.Contains(page, hidden) {
			t.Errorf("a technician sees %s", hidden)
		}
	}
	page = b.ask("GET", "/people", tess.with("Accept", "text/html"), "").want(403).Body.String()
	if !strings.Contains(html.UnescapeString(page), `This is for admins (scope "admin"); you are signed in as Tess, technician.`) || !strings.Contains(page, `href="/account"`) {
		t.Errorf("refused with %s", page)
	}

	people, err := b.o.Keys.People(ctx)
	if err != nil || len(people) != 2 {
		t.Fatal(people, err)
	}
	id := people[1].ID
	b.form("/people", same, "do", "change", "id", id, "role", "technician", "sees_texts", "yes").want(200)
	b.ask("GET", "/", tess, "").problem(noKey) // she signs in anew
	tess = cookiesOf(b.form("/sign-in", nil, "name", "tess", "password", goodPassword).want(http.StatusSeeOther))
	if page := b.ask("GET", "/", tess, "").want(200).Body.String(); !strings.Contains(page, "491700000001") {
		t.Error("with texts she does not see the number")
	}
	for _, do := range []string{"sign-out", "disable"} {
		b.form("/people", same, "do", do, "id", id).want(200)
		b.ask("GET", "/", tess, "").problem(noKey)
	}
	if page := b.form("/sign-in", nil, "name", "tess", "password", goodPassword).want(401).Body.String(); !strings.Contains(page, "The name or the password is wrong.") {
		t.Error(page)
	}
	b.form("/people", same, "do", "enable", "id", id).want(200)
	b.form("/people", same, "do", "invite", "id", id).want(200)
	b.form("/people", same, "do", "remove", "id", people[0].ID).want(409)
	b.form("/people", same, "do", "add", "name", "tess", "role", "operator").want(422)
	b.form("/people", same, "do", "add", "name", "x", "role", "king").want(422)
	b.form("/people", same, "do", "dance").want(400)
	b.form("/people", same, "do", "remove", "id", "usr_nobody").want(404)
	b.form("/people", same, "do", "remove", "id", id).want(200)
	if people, err := b.o.Keys.People(ctx); err != nil || len(people) != 1 {
		t.Error(people, err)
	}
}

func TestAccountPage(t *testing.T) {
	b := newBox(t, settings{})
	agent := header{"User-Agent": "Mozilla/5.0 (X11; Linux armv7l; rv:140.0) Gecko/20100101 Firefox/140.0"}
	anna := b.signInAs(auth.Person{Name: "anna", Role: auth.Operator})
	second := cookiesOf(b.form("/sign-in", agent, "name", "anna", "password", goodPassword).want(303)).with("Sec-Fetch-Site", "same-origin")
	page := b.ask("GET", "/account", second, "").want(200).Body.String()
	if !strings.Contains(page, "Firefox on Linux</b> <span class=\"pill good\">this one") || strings.Count(page, "this one") != 1 || strings.Count(page, `value="end"`) != 2 {
		t.Errorf("the sessions: %s", page)
	}
	const next = "another long sentence"
	for _, values := range [][]string{
		{"old", "wrong", "password", next, "again", next},
		{"old", goodPassword, "password", next, "again", "x"},
		{"old", goodPassword, "password", "short", "again", "short"},
	} {
		if page := b.form("/account", second, append(values, "do", "password")...).want(422).Body.String(); !strings.Contains(page, `role="alert"`) {
			t.Errorf("%q: %s", values, page)
		}
	}
	a := b.form("/account", second, "do", "password", "old", goodPassword, "password", next, "again", next).want(200)
	if !strings.Contains(a.Body.String(), "Your password is changed.") || strings.Count(a.Body.String(), "this one") != 1 {
		t.Error(a.Body)
	}
	b.ask("GET", "/account", anna, "").problem(noKey)
	b.ask("GET", "/account", second, "").problem(noKey)
	third := cookiesOf(a).with("Sec-Fetch-Site", "same-origin")
	b.ask("GET", "/account", third, "").want(200)
	b.form("/sign-in", nil, "name", "anna", "password", goodPassword).want(401)
	b.form("/account", third, "do", "end-all").want(http.StatusSeeOther)
	b.ask("GET", "/account", third, "").problem(noKey)

	key := b.signInWith(b.read)
	if page := b.ask("GET", "/account", key, "").want(200).Body.String(); !strings.Contains(page, "signed in with an API key") {
		t.Error(page)
	}
	b.form("/account", key.with("Sec-Fetch-Site", "same-origin"), "do", "password").problem(wrongScope)
}

// A stranger can make a person wait at a browser that is new, and never at one that
// the person has used before; nor for good, once the stranger stops.
func TestNobodyIsLockedOut(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, settings{single: true, dir: dir})
		known := b.signInAs(auth.Person{Name: "anna", Role: auth.Operator})
		try := func(source, name, password string, h header) int {
			r := httptest.NewRequest("POST", "/sign-in", strings.NewReader(form("name", name, "password", password)))
			r.RemoteAddr = source + ":1234"
			for k, v := range h.with("Content-Type", "application/x-www-form-urlencoded") {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			b.handler.ServeHTTP(w, r)
			return w.Code
		}
		for range 15 { // right ones don't count
			if got := try("192.0.2.99", "anna", goodPassword, nil); got != 303 {
				t.Fatal(got)
			}
		}
		statuses := map[string]map[int]int{}
		for _, name := range []string{"anna", "nobody"} { // a name that nobody has is as any other
			statuses[name] = map[int]int{}
			for source := range 5 {
				for range 12 {
					statuses[name][try(fmt.Sprint(map[string]string{"anna": "192.0.2.", "nobody": "198.51.100."}[name], source), name, "wrong password", nil)]++
				}
			}
		}
		if fmt.Sprint(statuses["anna"]) != "map[401:30 429:30]" || fmt.Sprint(statuses["nobody"]) != "map[401:30 429:30]" {
			t.Errorf("%v", statuses)
		}
		if got := try("203.0.113.1", "anna", goodPassword, nil); got != 429 {
			t.Errorf("the name's tries are used up, and a new browser gets %d", got)
		}
		// The source of the attack, even: both may sit behind one proxy.
		if got := try("192.0.2.1", "anna", goodPassword, known); got != 303 {
			t.Errorf("a browser that she has used gets %d", got)
		}
		if got := try("192.0.2.1", "nobody", goodPassword, known); got != 429 {
			t.Errorf("her browser is known for another name: %d", got)
		}
		for range 10 { // whoever has her browser guesses no faster
			try("192.0.2.1", "anna", "wrong password", known)
		}
		if got := try("192.0.2.1", "anna", goodPassword, known); got != 429 {
			t.Errorf("a known browser may guess without end: %d", got)
		}
		time.Sleep(31 * time.Second)
		if got := try("203.0.113.1", "anna", goodPassword, nil); got != 303 {
			t.Errorf("after half a minute a new browser gets %d", got)
		}
	})
}

// The same words and the same status for who is not there and who is.
func TestSignInTellsNothing(t *testing.T) {
	b := newBox(t, settings{})
	b.signInAs(auth.Person{Name: "anna", Role: auth.Operator})
	one := b.form("/sign-in", nil, "name", "anna", "password", "wrong password").want(401)
	two := b.form("/sign-in", nil, "name", "bert", "password", "wrong password").want(401)
	if one.Body.String() != strings.ReplaceAll(two.Body.String(), "bert", "anna") {
		t.Errorf("%s\nand\n%s", one.Body, two.Body)
	}
}

func TestOfManyWelcomesOneWins(t *testing.T) {
	b := newBox(t, settings{})
	code, err := b.o.Keys.FirstRun(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			switch b.form("/welcome", nil, "code", code, "name", fmt.Sprint("admin", i), "password", goodPassword, "again", goodPassword).Code {
			case 303:
				won.Add(1)
			case 401:
				lost.Add(1)
			}
		})
	}
	wg.Wait()
	if people, err := b.o.Keys.People(ctx); err != nil || won.Load() != 1 || lost.Load() != 5 || len(people) != 1 {
		t.Errorf("%d won, %d lost, %d people, %v", won.Load(), lost.Load(), len(people), err)
	}
}

func TestPeopleByTheAPI(t *testing.T) {
	b := newBox(t, settings{})
	var p struct {
		ID, Name, Role, Code  string
		Scopes                []string
		SeesTexts             bool `json:"sees_texts"`
		HasPassword, Disabled bool
	}
	a := b.post("/v1/people", b.admin, `{"name":"Tess","role":"technician"}`).want(201).into(&p)
	if a.Header().Get("Location") != "/v1/people/"+p.ID || len(p.Code) != 11 || strings.Join(p.Scopes, " ") != "watch service" {
		t.Errorf("%+v", p)
	}
	b.form("/welcome", nil, "code", p.Code, "name", "Tess", "password", goodPassword, "again", goodPassword).want(303)
	tess := cookiesOf(b.form("/sign-in", nil, "name", "tess", "password", goodPassword).want(303))
	b.post("/v1/people", b.admin, `{"name":"tess","role":"operator","password":"`+goodPassword+`"}`).problem(invalidFields, "name")
	b.post("/v1/people", b.admin, `{"name":"x","role":"king"}`).problem(invalidFields, "role")
	b.post("/v1/people", b.admin, `{"name":"x","role":"operator","password":"short"}`).problem(invalidFields, "password")
	b.ask("GET", "/v1/people/tess", bearer(b.admin), "").want(200).into(&p)
	b.ask("PATCH", "/v1/people/"+p.ID, bearer(b.admin), `{"role":"operator"}`).want(200).into(&p)
	if p.Role != "operator" || !p.SeesTexts {
		t.Errorf("%+v", p)
	}
	b.ask("GET", "/v1/queue", tess, "").problem(noKey)
	b.ask("PATCH", "/v1/people/"+p.ID, bearer(b.admin), `{"role":"king"}`).problem(invalidFields, "role")
	b.ask("PATCH", "/v1/people/"+p.ID, bearer(b.admin), `{"password":"another long sentence"}`).want(200)
	b.form("/sign-in", nil, "name", "tess", "password", "another long sentence").want(303)
	b.ask("POST", "/v1/people/"+p.ID+"/sign-out", bearer(b.admin), "").want(200)
	b.ask("POST", "/v1/people/"+p.ID+"/invite", bearer(b.admin), "").want(200).into(&p)
	b.form("/sign-in", nil, "name", "tess", "password", "another long sentence").want(401)
	b.ask("GET", "/v1/people", bearer(b.admin), "").want(200)
	b.ask("DELETE", "/v1/people/"+p.ID, bearer(b.admin), "").want(204)
	b.ask("DELETE", "/v1/people/"+p.ID, bearer(b.admin), "").problem(notFound)
	b.post("/v1/people", b.admin, `{"name":"root","role":"admin","password":"`+goodPassword+`"}`).want(201).into(&p)
	b.ask("DELETE", "/v1/people/"+p.ID, bearer(b.admin), "").problem(conflict)
}

// What a person sends is the person's, over sign-ins: an Idempotency-Key of one session
// is known in the next, and means nothing to another person.
func TestWhatAPersonSendsIsThePersons(t *testing.T) {
	b := newBox(t, settings{})
	send := func(h header) sms.Message {
		return b.ask("POST", "/v1/messages", h.with("Sec-Fetch-Site", "same-origin", "Idempotency-Key", "1"), text(german)).accepted()
	}
	anna := b.signInAs(auth.Person{Name: "anna", Role: auth.Operator})
	first := send(anna)
	again := cookiesOf(b.form("/sign-in", nil, "name", "anna", "password", goodPassword).want(303))
	if m := send(again); m.ID != first.ID {
		t.Error("it was sent twice")
	}
	if m := send(b.signInAs(auth.Person{Name: "bert", Role: auth.Operator})); m.ID == first.ID {
		t.Error("what one person sends is another's")
	}
	var own struct {
		Principal string
		Person    struct{ Name, Role string }
	}
	b.ask("GET", "/v1/key", again, "").want(200).into(&own)
	if own.Person.Name != "anna" || own.Person.Role != "operator" || !strings.HasPrefix(own.Principal, "usr_") {
		t.Errorf("%+v", own)
	}
}

// Who can only watch sees how modems are, and nothing that leads to a subscriber.
func TestWatchingHidesNumbers(t *testing.T) {
	b := newBox(t, settings{})
	const imsi = "262019876543210"
	b.modems.all[1].IMSI = imsi
	b.modems.all[1].Balance = &sms.Balance{Answer: "Dear customer", Amount: "3.20"}
	watch, both := b.key(auth.Limits{}, auth.Watch), b.key(auth.Limits{}, auth.Watch, auth.Service)
	b.ask("GET", "/metrics", bearer(watch), "").want(200)
	b.ask("GET", "/v1/queue", bearer(watch), "").want(200)
	b.ask("GET", "/v1/clock", bearer(watch), "").want(200)
	for what, a := range map[string]*answer{
		"the list":  b.ask("GET", "/v1/modems", bearer(watch), "").want(200),
		"a modem":   b.ask("GET", "/v1/modems/office", bearer(watch), "").want(200),
		"the page":  b.ask("GET", "/", bearer(watch), "").want(200),
		"the reset": b.ask("POST", "/v1/modems/office/reset", bearer(both), "").want(202),
	} {
		for _, hidden := range []string{"491700000001", imsi, "8949000000000000001", "Dear customer"} {
			if strings.Contains(a.Body.String(), hidden) {
				t.Errorf("%s shows %s", what, hidden)
			}
		}
		if !strings.Contains(a.Body.String(), "Sim Mobile") {
			t.Errorf("%s hides the operator", what)
		}
	}
	if body := b.ask("GET", "/v1/modems", bearer(b.read), "").want(200).Body.String(); !strings.Contains(body, imsi) || strings.Contains(body, "Dear customer") {
		t.Error("a key that reads sees no number, or the network's text")
	}
}

// The log says who did what, and has no secret in it.
func TestTheLogTellsOfPeople(t *testing.T) {
	var log bytes.Buffer
	b := newBox(t, settings{change: func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) }})
	anna := b.signInAs(auth.Person{Name: "anna", Role: auth.Administrator}).with("Sec-Fetch-Site", "same-origin")
	b.form("/sign-in", nil, "name", "anna", "password", "wrong password").want(401)
	b.form("/sign-in", nil, "name", goodPassword, "password", "in the wrong field").want(401)
	page := b.form("/people", anna, "do", "add", "name", "tess", "role", "technician").want(200).Body.String()
	b.form("/welcome", nil, "code", "AAAAA-AAAAA", "name", "tess", "password", goodPassword, "again", goodPassword).want(401)
	for _, want := range []string{`msg="signed in" person=anna role=admin`, `msg="a sign-in failed" name=anna`, `msg="a sign-in failed" name=(nobody's)`,
		`msg="a person was added" person=tess role=technician sees_texts=false disabled=false by=anna`, `msg="a wrong code was tried"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	i := strings.Index(page, `<p class="code">`) + len(`<p class="code">`)
	for _, secret := range []string{goodPassword, "wrong password", "in the wrong field", page[i : i+11], strings.TrimPrefix(strings.Split(anna["Cookie"], ";")[0], cookieName+"=")} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
}
