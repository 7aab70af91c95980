package twilio

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// A message's JSON has the types and the forms that clients read.
func TestCreate(t *testing.T) {
	r := newRig(t, send, Settings{})
	a := r.ask("POST", "/Messages.json", form("StatusCallback", "https://example.org/status?x=1", "SmartEncoded", "true",
		"MaxPrice", "1", "ProvideFeedback", "false", "ApplicationSid", "AP1", "TrafficType", "free", "ValidityPeriod", "60")).want(http.StatusCreated, 0)
	sid := a.str("sid")
	if !regexp.MustCompile(`^SM[0-9a-f]{32}$`).MatchString(sid) {
		t.Errorf("the SID is %q", sid)
	}
	created := r.now.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000")
	uri := "/2010-04-01/Accounts/" + r.sid + "/Messages/" + sid
	want := map[string]any{
		"sid": sid, "account_sid": r.sid, "api_version": "2010-04-01", "body": "hello", "to": phone, "from": ownNumber,
		"messaging_service_sid": nil, "status": "queued", "direction": "outbound-api", "num_segments": "1", "num_media": "0",
		"price": nil, "price_unit": "USD", "error_code": nil, "error_message": nil, "date_created": created, "date_updated": created,
		"date_sent": nil, "uri": uri + ".json", "subresource_uris": map[string]any{"media": uri + "/Media.json"},
	}
	got, _ := json.Marshal(a.body)
	expected, _ := json.Marshal(want)
	if string(got) != string(expected) {
		t.Errorf("got  %s\nwant %s", got, expected)
	}
	m := r.message(sid)
	if m.ExpiresAt.Sub(r.now) != time.Minute || m.CallbackURL != "" || m.Metadata[metaCallback] != "https://example.org/status?x=1" {
		t.Errorf("in the queue it is %+v", m)
	}
	if back, _ := idOf(sid); back != m.ID || sidOf(m.ID) != sid {
		t.Errorf("%s is %s and back %s", sid, m.ID, back)
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t, send, Settings{})
	r.o.Callback = func(url string) string {
		if strings.HasPrefix(url, "http:") {
			return "is plain http://"
		}
		return ""
	}
	r.exec(`INSERT INTO stop_list (number, since, word) VALUES ('+491709999999', 1, 'STOP')`)
	for name, c := range map[string]struct {
		form         url.Values
		status, code int
	}{
		"no To":              {form("To", ""), 400, 21604},
		"bad To":             {form("To", "+49"), 400, 21211},
		"a channel":          {form("To", "whatsapp:+491701234567"), 400, 21211},
		"no Body":            {form("Body", ""), 400, 21602},
		"not UTF-8":          {form("Body", "\xff"), 400, 20001},
		"no From":            {form("From", ""), 400, 21603},
		"a foreign From":     {form("From", "+15005550006"), 400, 21606},
		"a name as From":     {form("From", "MyBrand"), 400, 21212},
		"1,601 characters":   {form("Body", strings.Repeat("x", 1601)), 400, 21617},
		"too many parts":     {form("Body", strings.Repeat("x", 1600)), 400, 21617},
		"media":              {form("MediaUrl", "https://example.org/x.png"), 400, 21620},
		"content":            {form("ContentSid", "HX1"), 400, 21655},
		"bad callback":       {form("StatusCallback", "ftp://example.org"), 400, 21609},
		"plain callback":     {form("StatusCallback", "http://10.0.0.1"), 400, 21609},
		"bad service":        {form("MessagingServiceSid", "MG12"), 400, 21701},
		"bad validity":       {form("ValidityPeriod", "36001"), 400, 20001},
		"bad SendAt":         {form("ScheduleType", "fixed", "SendAt", "tomorrow"), 400, 35114},
		"scheduled for when": {form("ScheduleType", "fixed"), 400, 35114},
		"said STOP":          {form("To", "+491709999999"), 400, 21610},
		"two wrongs":         {form("To", "+49", "From", "nobody"), 400, 21211},
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			r.ask("POST", "/Messages.json", c.form).want(c.status, c.code)
		})
	}
	r.t = t
	if n := r.count(); n != 0 {
		t.Errorf("%d messages were queued", n)
	}
	for range 20 {
		r.ask("POST", "/Messages.json", form()).want(http.StatusCreated, 0)
	}
	if a := r.ask("POST", "/Messages.json", form()).want(http.StatusServiceUnavailable, 30001); a.Header().Get("Retry-After") == "" {
		t.Error("a full queue does not say when to come again")
	}
}

// Whatever is asked below the prefix is answered in JSON.
func TestAlwaysJSON(t *testing.T) {
	r := newRig(t, send, Settings{})
	at := func(method, path string, prepare func(*http.Request)) answered {
		req := httptest.NewRequest(method, path, strings.NewReader("To=x"))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(r.sid, r.token)
		if prepare != nil {
			prepare(req)
		}
		return r.do(req)
	}
	messages := Prefix + "Accounts/" + r.sid + "/Messages.json"
	at("GET", Prefix, nil).want(404, 20404)
	at("GET", Prefix+"Accounts/"+r.sid+"/Calls.json", nil).want(404, 20404)
	at("GET", Prefix+"Accounts/"+r.sid+"/Messages/SM1.json", nil).want(404, 20404)
	at("GET", Prefix+"Accounts/"+r.sid+"/Messages/SM"+strings.Repeat("0", 32)+".json", nil).want(404, 20404)
	if a := at("PUT", messages, nil).want(405, 20004); a.Header().Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %s", a.Header().Get("Allow"))
	}
	if a := at("GET", messages, func(q *http.Request) { q.Header.Del("Authorization") }).want(401, 20003); !strings.HasPrefix(a.Header().Get("WWW-Authenticate"), "Basic ") {
		t.Error("a 401 does not ask for credentials")
	}
	at("GET", messages, func(q *http.Request) { q.SetBasicAuth(r.sid, "wrong") }).want(401, 20003)
	at("GET", messages, func(q *http.Request) { q.SetBasicAuth("AC"+strings.Repeat("0", 32), r.token) }).want(401, 20003)
	at("POST", messages, func(q *http.Request) { q.Header.Set("Content-Type", "application/json") }).want(415, 20415)
	at("POST", messages, func(q *http.Request) { q.Body = http.NoBody }).want(400, 21604)
	big := httptest.NewRequest("POST", messages, strings.NewReader("Body="+strings.Repeat("x", maxForm)))
	big.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	big.SetBasicAuth(r.sid, r.token)
	r.do(big).want(413, 20413)
	r.ask("GET", ".json", nil).want(200, 0)
	if got := r.ask("GET", "", nil).want(200, 0).str("friendly_name"); got != "test" {
		t.Errorf("the account is named %q", got)
	}
}

// One account can't be used with the credentials of another, and a further key
// is worth what its account is.
func TestKeysOfAccounts(t *testing.T) {
	r := newRig(t, send, Settings{})
	other, _, err := r.accounts.Create(t.Context(), auth.Key{Name: "other", Scopes: send}, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	mine := r.sid
	r.sid = other
	r.ask("GET", "/Messages.json", nil).want(401, 20003)
	r.sid = mine
	before := r.token
	if r.token, err = r.accounts.Rotate(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	r.ask("GET", "/Messages.json", nil).want(200, 0)
	before, r.token = r.token, before
	r.ask("GET", "/Messages.json", nil).want(401, 20003)
	r.token = before
	if r.user, r.token, err = r.accounts.CreateKey(t.Context(), mine, auth.Key{Name: "app", Scopes: send}); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^SK[0-9a-f]{32}$`).MatchString(r.user) || !regexp.MustCompile(`^[0-9a-zA-Z]+$`).MatchString(r.token) {
		t.Errorf("a key is %q with %q", r.user, r.token)
	}
	sid := r.ask("POST", "/Messages.json", form()).want(201, 0).str("sid")
	r.ask("GET", "/Messages/"+sid+".json", nil).want(200, 0)
	sids, err := r.accounts.SIDs(t.Context())
	if err != nil || len(sids) != 3 {
		t.Errorf("SIDs: %v, %v", sids, err)
	}
	for id, s := range sids {
		if s == mine {
			if _, err := r.o.Keys.Revoke(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.ask("GET", "/Messages.json", nil).want(401, 20003)
}

// Without the scope read an account sees what is its own, with it everything,
// as with any API key.
func TestWhoSeesWhat(t *testing.T) {
	r := newRig(t, send, Settings{})
	sid := r.ask("POST", "/Messages.json", form()).want(201, 0).str("sid")
	sees := func(scopes []auth.Scope, status int) {
		t.Helper()
		other := *r
		var err error
		if other.sid, other.token, err = r.accounts.Create(t.Context(), auth.Key{Name: "other", Scopes: scopes}, Settings{}); err != nil {
			t.Fatal(err)
		}
		other.user = other.sid
		other.ask("GET", "/Messages/"+sid+".json", nil).want(status, 0)
		list := other.ask("GET", "/Messages.json", nil).want(200, 0).body["messages"].([]any)
		if len(list) != map[int]int{200: 1, 404: 0}[status] {
			t.Errorf("with %v the list has %d", scopes, len(list))
		}
		other.ask("POST", "/Messages/"+sid+".json", url.Values{"Body": {""}}).want(map[int]int{200: 403, 404: 404}[status], 0)
	}
	sees(send, 404)
	sees([]auth.Scope{auth.Read}, 200)
	sees([]auth.Scope{auth.Read, auth.Send}, 200)
	reader := newRig(t, []auth.Scope{auth.Read}, Settings{})
	reader.ask("POST", "/Messages.json", form()).want(403, 20003)
}

func TestScheduleCancelRedactDelete(t *testing.T) {
	r := newRig(t, send, Settings{})
	service := "MG" + strings.Repeat("0a", 16)
	at := r.now.Add(time.Hour).UTC().Format(time.RFC3339)
	f := form("From", service, "ScheduleType", "fixed", "SendAt", at, "ValidityPeriod", "600")
	a := r.ask("POST", "/Messages.json", f).want(201, 0)
	if a.str("status") != "scheduled" || a.str("messaging_service_sid") != service || a.body["from"] != nil {
		t.Errorf("scheduled it is %s", a.Body)
	}
	sid := a.str("sid")
	if m := r.message(sid); m.ExpiresAt.Sub(m.SendAt) != 10*time.Minute {
		t.Errorf("it expires at %v", m.ExpiresAt)
	}
	path := "/Messages/" + sid + ".json"
	r.ask("POST", path, url.Values{"Body": {""}}).want(409, 20009)
	r.ask("DELETE", path, nil).want(409, 20009)
	r.ask("POST", path, url.Values{"Body": {"other"}}).want(400, 20001)
	r.ask("POST", path, url.Values{"Status": {"sent"}}).want(400, 20001)
	r.ask("POST", path, url.Values{}).want(400, 20001)
	if got := r.ask("POST", path, url.Values{"Status": {"canceled"}}).want(200, 0).str("status"); got != "canceled" {
		t.Errorf("canceled it is %s", got)
	}
	r.ask("POST", path, url.Values{"Status": {"canceled"}}).want(409, 30409)
	if got := r.ask("POST", path, url.Values{"Body": {""}}).want(200, 0).str("body"); got != "" {
		t.Errorf("redacted it says %q", got)
	}
	media := r.ask("GET", "/Messages/"+sid+"/Media.json", nil).want(200, 0)
	if len(media.body["media_list"].([]any)) != 0 || media.body["next_page_uri"] != nil {
		t.Errorf("its media are %s", media.Body)
	}
	r.ask("DELETE", path, nil).want(204, 0)
	r.ask("GET", path, nil).want(404, 20404)
	r.ask("DELETE", path, nil).want(404, 20404)
	if n := r.count(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	past := form("ScheduleType", "fixed", "SendAt", "2020-01-01T00:00:00Z")
	if got := r.ask("POST", "/Messages.json", past).want(201, 0).str("status"); got != "queued" {
		t.Errorf("scheduled for the past it is %s", got)
	}
}

func TestAnyFrom(t *testing.T) {
	r := newRig(t, send, Settings{AnyFrom: true})
	for _, from := range []string{"+15005550006", "MyBrand", ""} {
		sid := r.ask("POST", "/Messages.json", form("From", from)).want(201, 0).str("sid")
		if m := r.message(sid); m.From != "" {
			t.Errorf("From %q became %q", from, m.From)
		}
	}
	sid := r.ask("POST", "/Messages.json", form("From", ownNumber)).want(201, 0).str("sid")
	if m := r.message(sid); m.From != ownNumber {
		t.Errorf("the number of a modem became %q", m.From)
	}
}

// Pages go by the queue's cursors: what comes meanwhile neither repeats nor
// hides anything.
func TestPages(t *testing.T) {
	r := newRig(t, send, Settings{})
	var want []string
	for range 7 {
		want = append(want, r.ask("POST", "/Messages.json", form()).want(201, 0).str("sid"))
	}
	slices.Reverse(want)
	var got []string
	var uris []string
	next := "/Messages.json?PageSize=3&To=" + url.QueryEscape(phone)
	for page := 0; next != ""; page++ {
		a := r.ask("GET", next, nil).want(200, 0)
		if a.body["page"] != float64(page) || a.body["page_size"] != 3.0 || a.body["start"] != float64(3*page) {
			t.Errorf("page %d: %s", page, a.Body)
		}
		list := a.body["messages"].([]any)
		if a.body["end"] != float64(3*page+len(list)-1) {
			t.Errorf("page %d ends at %v", page, a.body["end"])
		}
		for _, m := range list {
			got = append(got, m.(map[string]any)["sid"].(string))
		}
		uris = append(uris, a.str("uri"))
		r.ask("POST", "/Messages.json", form("To", "+491700000099"))
		if next = ""; a.body["next_page_uri"] != nil {
			next = strings.TrimPrefix(a.str("next_page_uri"), Prefix+"Accounts/"+r.sid)
		}
		if page == 2 {
			back := r.ask("GET", strings.TrimPrefix(a.str("previous_page_uri"), Prefix+"Accounts/"+r.sid), nil).want(200, 0)
			first := back.body["messages"].([]any)[0].(map[string]any)["sid"]
			if back.body["page"] != 1.0 || first != want[3] || back.body["next_page_uri"] == nil {
				t.Errorf("the page before: %s", back.Body)
			}
			if back.str("previous_page_uri") != uris[0] {
				t.Errorf("before page 1 is %s, want %s", back.str("previous_page_uri"), uris[0])
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed are\n%v, want\n%v", got, want)
	}
	for _, token := range []string{"x", "PAx", "PA", "XX" + got[0]} {
		r.ask("GET", "/Messages.json?PageToken="+token, nil).want(400, 20001)
	}
	r.ask("GET", "/Messages.json?Page=1", nil).want(400, 20001)
	if a := r.ask("GET", "/Messages.json?PageSize=9999", nil).want(200, 0); a.body["page_size"] != 1000.0 || a.body["next_page_uri"] != nil {
		t.Errorf("of the largest page: %v", a.body["page_size"])
	}
	if a := r.ask("GET", "/Messages.json?From=spare", nil).want(200, 0); len(a.body["messages"].([]any)) != 0 {
		t.Errorf("from the spare: %s", a.Body)
	}
}

// DateSent is a day or a second, and the operator is part of its name, escaped
// or not.
func TestDateSent(t *testing.T) {
	r := newRig(t, send, Settings{})
	sid := r.ask("POST", "/Messages.json", form()).want(201, 0).str("sid")
	r.ask("POST", "/Messages.json", form()) // never sent
	at := time.Date(2026, 11, 22, 6, 18, 55, 300e6, time.UTC)
	r.exec(`UPDATE messages SET sent_at = ? WHERE id = ?`, at.UnixMilli(), r.message(sid).ID)
	if got := r.ask("GET", "/Messages/"+sid+".json", nil).str("date_sent"); got != "Sun, 22 Nov 2026 06:18:55 +0000" {
		t.Errorf("date_sent is %q", got)
	}
	for query, want := range map[string]int{
		"DateSent=2026-11-22": 1, "DateSent=2026-11-21": 0, "DateSent=2026-11-23": 0,
		"DateSent%3E=2026-11-22": 1, "DateSent>=2026-11-22": 1, "DateSent%3E=2026-11-23": 0,
		"DateSent%3C=2026-11-22": 1, "DateSent%3C=2026-11-21": 0,
		"DateSent%3E=2026-11-22T06:18:55Z": 1, "DateSent%3E=2026-11-22T06:18:56Z": 0,
		"DateSent%3C=2026-11-22T06:18:55Z": 1, "DateSent%3C=2026-11-22T06:18:54Z": 0,
		"DateSent%3E=2026-11-22T07:18:55%2B01:00&DateSent%3C=2026-11-23": 1,
		"DateSent%3E=2026-11-20&DateSent%3C=2026-11-21":                  0,
		"": 2,
	} {
		if got := len(r.ask("GET", "/Messages.json?"+query, nil).want(200, 0).body["messages"].([]any)); got != want {
			t.Errorf("%s: %d messages, want %d", query, got, want)
		}
	}
	r.ask("GET", "/Messages.json?DateSent=yesterday", nil).want(400, 20001)
}

// A client that repeats itself sends one text, if the account says so.
func TestDedup(t *testing.T) {
	r := newRig(t, send, Settings{Dedup: 30 * time.Second})
	first := r.ask("POST", "/Messages.json", form()).want(201, 0)
	r.now = r.now.Add(29 * time.Second)
	again := r.ask("POST", "/Messages.json", form()).want(201, 0)
	if first.Body.String() != again.Body.String() || r.count() != 1 {
		t.Errorf("repeated it became\n%s and not\n%s", again.Body, first.Body)
	}
	for name, f := range map[string]url.Values{"To": form("To", "+491701234568"), "From": form("From", "spare"), "Body": form("Body", "Hello")} {
		if got := r.ask("POST", "/Messages.json", f).want(201, 0).str("sid"); got == first.str("sid") {
			t.Errorf("another %s is taken for the same message", name)
		}
	}
	r.now = r.now.Add(2 * time.Second)
	if later := r.ask("POST", "/Messages.json", form()).want(201, 0); later.str("sid") == first.str("sid") {
		t.Error("after the window it is still the first")
	}
	if r.count() != 5 {
		t.Errorf("%d messages", r.count())
	}
	if _, err := r.o.Queue.EraseNumber(t.Context(), phone); err != nil {
		t.Fatal(err)
	}
	r.ask("POST", "/Messages.json", form()).want(409, 20409)
	if err := r.o.DB.Write(func(tx *db.Tx) error { return Erase(tx, queue.Erasure{Number: phone}, r.now) }); err != nil {
		t.Fatal(err)
	}
	r.ask("POST", "/Messages.json", form()).want(201, 0)
}

// What is remembered of a text goes with it, and with the window: who knows an
// account's token could tell from it whether a text was sent.
func TestWhatIsRememberedOfATextGoes(t *testing.T) {
	r := newRig(t, send, Settings{Dedup: 30 * time.Second})
	r.o.Queue.OnErase(func(tx *db.Tx, e queue.Erasure) error { return Erase(tx, e, r.now) })
	remembered := func() (n int) {
		t.Helper()
		err := r.o.DB.Read(t.Context(), func(q db.Querier) error { return q.QueryRow(`SELECT count(*) FROM twilio_recent`).Scan(&n) })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	sid := r.ask("POST", "/Messages.json", form()).want(201, 0).str("sid")
	r.ask("POST", "/Messages/"+sid+".json", url.Values{"Status": {"canceled"}}).want(200, 0)
	if n := remembered(); n != 1 {
		t.Fatalf("%d texts are remembered", n)
	}
	r.ask("POST", "/Messages/"+sid+".json", url.Values{"Body": {""}}).want(200, 0)
	if n := remembered(); n != 0 {
		t.Errorf("%d texts are remembered after it was erased", n)
	}
	r.ask("POST", "/Messages.json", form("Body", "another")).want(201, 0)
	for after, want := range []int{1, 0} {
		r.now = r.now.Add(time.Duration(after) * 2 * time.Hour)
		if err := r.accounts.Prune(r.now); err != nil {
			t.Fatal(err)
		}
		if n := remembered(); n != want {
			t.Errorf("%d texts are remembered, want %d", n, want)
		}
	}
}

// So does one whose requests are under way at the same time.
func TestDedupAtOnce(t *testing.T) {
	r := newRig(t, send, Settings{Dedup: 30 * time.Second})
	var wg sync.WaitGroup
	sids := make([]string, 8)
	for i := range sids {
		wg.Go(func() {
			req := httptest.NewRequest("POST", Prefix+"Accounts/"+r.sid+"/Messages.json", strings.NewReader(form().Encode()))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.SetBasicAuth(r.sid, r.token)
			w := httptest.NewRecorder()
			r.ServeHTTP(w, req)
			var m messageJSON
			if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Code != http.StatusCreated {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
			sids[i] = m.SID
		})
	}
	wg.Wait()
	if slices.Sort(sids); sids[0] != sids[7] || r.count() != 1 {
		t.Errorf("%d messages: %v", r.count(), sids)
	}
}

// Whatever stands in a request, the answer is JSON, and no 5xx but for a full queue.
func FuzzRequest(f *testing.F) {
	r := newRig(f, []auth.Scope{auth.Admin}, Settings{Dedup: time.Second})
	f.Add("POST", "/Messages.json", "", "To=%2B491701234567&From=office&Body=x&ValidityPeriod=5")
	f.Add("POST", "/Messages.json", "", "To=1&From=MG00000000000000000000000000000000&Body=%ff&ScheduleType=fixed&SendAt=9999-12-31T23:59:59Z&ValidityPeriod=36000")
	f.Add("GET", "/Messages.json", "DateSent%3E=2026-11-22&DateSent<=0001-01-01&PageSize=0&Page=1&PageToken=PAbTE", "")
	f.Add("POST", "/Messages/SM01a219a20be0b841af736b83730bcb18.json", "", "Status=canceled&Body=")
	f.Add("DELETE", "/Messages/SMffffffffffffffffffffffffffffffff", "", "")
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		req := &http.Request{Method: method, URL: &url.URL{Path: Prefix + "Accounts/" + r.sid + path, RawQuery: query},
			Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: io.NopCloser(strings.NewReader(body))}
		req.SetBasicAuth(r.sid, r.token)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		if w.Code >= 500 && !strings.Contains(w.Body.String(), "30001") || w.Code != http.StatusNoContent && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s?%s with %q answered %d %s", method, path, query, body, w.Code, w.Body)
		}
	})
}

// usedUp is what a limit of a key says.
type usedUp struct{}

func (usedUp) Error() string             { return "today's messages are used up" }
func (usedUp) RetryAfter() time.Duration { return 90 * time.Second }

func TestErrors(t *testing.T) {
	r := newRig(t, send, Settings{})
	for name, c := range map[string]struct {
		err          error
		status, code int
		retry        string
	}{
		"a limit":      {fmt.Errorf("submit: %w", usedUp{}), 429, 20429, "90"},
		"a full ring":  {queue.ErrFull, 503, 30001, "30"},
		"a full disk":  {queue.ErrDiskFull, 503, 20503, "10"},
		"the database": {errors.New("disk I/O error"), 503, 20503, "10"},
		"another one":  {intake.ErrUnderWay, 409, 20409, ""},
		"a callback":   {intake.Refused{{Field: "callback_url", Detail: "must be https"}}, 400, 21609, ""},
		"a parameter":  {intake.Refused{{Field: "expires_at", Detail: "is in the past"}}, 400, 20001, ""},
	} {
		w := httptest.NewRecorder()
		r.fail(w, r.errorOf(c.err))
		var body struct{ Code, Status int }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if w.Code != c.status || body.Code != c.code || body.Status != c.status || w.Header().Get("Retry-After") != c.retry {
			t.Errorf("%s: %d %s, Retry-After %q", name, w.Code, w.Body, w.Header().Get("Retry-After"))
		}
	}
}

func TestStatuses(t *testing.T) {
	for s, want := range map[sms.Status]string{sms.Unconfirmed: "sending", sms.Expired: "failed", sms.Sent: "sent", sms.Canceled: "canceled"} {
		if got := statusOf(s); got != want {
			t.Errorf("%s shows as %s, want %s", s, got, want)
		}
	}
	for _, c := range []struct {
		m    sms.Message
		want int
	}{
		{sms.Message{Status: sms.Failed, Error: &sms.Error{Code: "opted-out"}}, 21610},
		{sms.Message{Status: sms.Failed, Error: &sms.Error{Code: "cms-1"}}, 30005},
		{sms.Message{Status: sms.Failed, Error: &sms.Error{Code: "unconfirmed"}}, 30008},
		{sms.Message{Status: sms.Undelivered}, 30008},
		{sms.Message{Status: sms.Expired}, 30036},
		{sms.Message{Status: sms.Queued, Error: &sms.Error{Code: "cms-38"}}, 0}, // it is tried again
	} {
		got := 0
		if code := codeOf(&c.m); code != nil {
			got = *code
		}
		if got != c.want {
			t.Errorf("%s with %v: %d, want %d", c.m.Status, c.m.Error, got, c.want)
		}
	}
}
