package twilio

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/auth"
	"gatewayd/intake"
	"gatewayd/sms/number"
)

// limit gives the account's keys other limits.
func (r *rig) limit(change func(*auth.Limits)) {
	r.t.Helper()
	account, err := r.accounts.Get(r.t.Context(), r.sid)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.o.Keys.Limit(r.t.Context(), account.KeyID, change); err != nil {
		r.t.Fatal(err)
	}
}

// with puts the API at another desk.
func (r *rig) with(o intake.Options) {
	o.Queue, o.Region, o.Modems = r.o.Queue, func() string { return "DE" }, modems{{Name: "office", Number: ownNumber}}
	r.o.Desk = intake.New(o)
}

// key makes the rig use a further key of the account.
func (r *rig) key() *rig {
	r.t.Helper()
	other := *r
	var err error
	if other.user, other.token, err = r.accounts.CreateKey(r.t.Context(), r.sid, auth.Key{Name: "app", Scopes: send}); err != nil {
		r.t.Fatal(err)
	}
	return &other
}

// An account's rate and quota hold for all of its keys together, those that were
// made before it got them too. Each key sees what the others sent.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, send, Settings{})
		before := r.key()
		r.limit(func(l *auth.Limits) { l.Rate, l.Burst, l.Quota = 6, 3, 5 })
		after := r.key()
		sid := r.ask("POST", "/Messages.json", form()).want(201, 0).str("sid")
		before.ask("POST", "/Messages.json", form()).want(201, 0)
		after.ask("POST", "/Messages.json", form()).want(201, 0)
		for _, k := range []*rig{r, before, after} {
			a := k.ask("POST", "/Messages.json", form()).want(http.StatusTooManyRequests, 20429)
			if a.Header().Get("Retry-After") != "10" || !strings.Contains(a.str("message"), "6 messages a minute") {
				t.Errorf("at the rate: %s, again in %s", a.Body, a.Header().Get("Retry-After"))
			}
			k.ask("GET", "/Messages/"+sid+".json", nil).want(200, 0)
			if list := k.ask("GET", "/Messages.json", nil).want(200, 0).body["messages"].([]any); len(list) != 3 {
				t.Errorf("a key sees %d messages", len(list))
			}
		}
		time.Sleep(10 * time.Second)
		after.ask("POST", "/Messages.json", form()).want(201, 0)
		time.Sleep(time.Minute)
		before.ask("POST", "/Messages.json", form()).want(201, 0)
		a := r.ask("POST", "/Messages.json", form()).want(http.StatusTooManyRequests, 20429)
		if wait := a.Header().Get("Retry-After"); wait == "" || wait == "0" || !strings.Contains(a.str("message"), "5 messages a day") {
			t.Errorf("at the quota: %s, again in %s", a.Body, wait)
		}
		if n := r.count(); n != 5 {
			t.Errorf("%d messages", n)
		}
	})
}

// Where the gateway or the account does not send, and what costs extra unless both
// say so, is Twilio's error for a region that is not enabled.
func TestDestinations(t *testing.T) {
	r := newRig(t, send, Settings{})
	to := func(n string, status, code int) {
		t.Helper()
		r.ask("POST", "/Messages.json", form("To", n)).want(status, code)
	}
	const french, premium = "+33612345678", "+19005550123"
	to(french, 201, 0)
	to(premium, 400, 21408)
	to("112", 400, 21408)
	r.limit(func(l *auth.Limits) { l.Premium = true })
	to(premium, 400, 21408) // the gateway does not
	r.with(intake.Options{Destinations: number.Rules{Premium: true}})
	to(premium, 201, 0)
	r.limit(func(l *auth.Limits) { l.Premium, l.Allow = false, []number.Destination{"DE"} })
	to(premium, 400, 21408)
	to(french, 400, 21408)
	to("+49", 400, 21211)
	to(phone, 201, 0)
	r.with(intake.Options{Destinations: number.Rules{Deny: []number.Destination{"DE"}}})
	to(phone, 400, 21408)
	r.key().ask("POST", "/Messages.json", form()).want(400, 21408)
}

// The gateway's way with Unicode holds here too.
func TestUnicode(t *testing.T) {
	r := newRig(t, send, Settings{})
	text := form("Body", "it’s “down”")
	for unicode, want := range map[intake.Unicode]string{"": "it’s “down”", intake.Transliterate: `it's "down"`} {
		r.with(intake.Options{Unicode: unicode})
		a := r.ask("POST", "/Messages.json", text).want(201, 0)
		if a.str("body") != want || r.message(a.str("sid")).Text != want {
			t.Errorf("%q: %s", unicode, a.Body)
		}
	}
	r.with(intake.Options{Unicode: intake.Reject})
	if a := r.ask("POST", "/Messages.json", text).want(400, 20001); !strings.Contains(a.str("message"), `Body has "’"`) {
		t.Errorf("rejected: %s", a.Body)
	}
	r.ask("POST", "/Messages.json", form("Body", strings.Repeat("x", 1600))).want(400, 21617)
}

// Requests are counted, under routes that hold no SID.
func TestCount(t *testing.T) {
	r := newRig(t, send, Settings{})
	got := map[string]int{}
	r.o.Count = func(route, method string, status int, _ time.Duration) { got[method+" "+route] = status }
	sid := r.ask("POST", "/Messages.json", form()).want(201, 0).str("sid")
	r.ask("GET", "/Messages", nil).want(200, 0)
	r.ask("GET", "/Messages/"+sid+".json", nil).want(200, 0)
	r.ask("GET", "/Messages/"+sid+"/Media.json", nil)
	r.ask("GET", ".json", nil).want(200, 0)
	r.ask("GET", "/Calls.json", nil).want(404, 0)
	r.ask("GET", "/Messages/"+sid+"/Feedback/x.json", nil).want(404, 0)
	r.user = "AC"
	r.ask("POST", "/Messages/"+sid+".json", form()).want(401, 0)
	for route, status := range map[string]int{
		"POST /2010-04-01/Accounts/:account/Messages": 201, "GET /2010-04-01/Accounts/:account/Messages": 200,
		"GET /2010-04-01/Accounts/:account/Messages/:sid": 200, "GET /2010-04-01/Accounts/:account/Messages/:sid/Media": 200,
		"GET /2010-04-01/Accounts/:account": 200, "GET ": 404, "POST /2010-04-01/Accounts/:account/Messages/:sid": 401,
	} {
		if got[route] != status {
			t.Errorf("%s: %d, want %d", route, got[route], status)
		}
		delete(got, route)
	}
	if len(got) != 0 {
		t.Errorf("also counted: %v", got)
	}
}
