package twilio

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/webhook"
)

// The vector is of Twilio's documentation on securing requests.
func TestSignature(t *testing.T) {
	form := url.Values{"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+12349013030"}, "Digits": {"1234"}, "From": {"+12349013030"}, "To": {"+18005551212"}}
	if got := sign("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", form); got != "0/KCTR6DLpKmkAf8muzZqo1nDgQ=" {
		t.Errorf("the signature is %s", got)
	}
}

// targets asks who gets an event.
func (r *rig) targets(e *sms.Event) (all []webhook.Target) {
	r.t.Helper()
	err := r.o.DB.Read(context.Background(), func(q db.Querier) (err error) {
		all, err = r.Callbacks().Targets(q, e)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// event is the newest of the log about a message, at another status.
func (r *rig) event(sid string, change func(*sms.Message)) *sms.Event {
	r.t.Helper()
	all, err := r.o.Queue.EventsAfter(context.Background(), 0, 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	id, _ := idOf(sid)
	for i := len(all) - 1; i >= 0; i-- {
		if e := all[i]; e.Message == id {
			var m sms.Message
			if err := json.Unmarshal(e.Data, &m); err != nil {
				r.t.Fatal(err)
			}
			change(&m)
			e.Type = sms.EventOf(m.Status)
			e.Data, _ = json.Marshal(m)
			return &e
		}
	}
	r.t.Fatalf("no event of %s", sid)
	return nil
}

// Of a message's life is told what receivers know, and that only when it changes.
func TestStatusCallbacks(t *testing.T) {
	const here, other = "https://example.org/status", "https://example.org/default"
	r := newRig(t, send, Settings{StatusCallback: other})
	sid := r.ask("POST", "/Messages.json", form("StatusCallback", here)).want(201, 0).str("sid")
	for name, c := range map[string]struct {
		m    sms.Message
		want string
	}{
		"queued":             {sms.Message{Status: sms.Queued}, "queued"},
		"queued once more":   {sms.Message{Status: sms.Queued, Attempts: 1}, ""},
		"queued as a resend": {sms.Message{Status: sms.Queued, PossibleDuplicate: true}, ""},
		"sending":            {sms.Message{Status: sms.Sending}, ""},
		"unconfirmed":        {sms.Message{Status: sms.Unconfirmed}, ""},
		"scheduled":          {sms.Message{Status: sms.Scheduled}, ""},
		"canceled":           {sms.Message{Status: sms.Canceled}, ""},
		"sent":               {sms.Message{Status: sms.Sent}, "sent"},
		"delivered":          {sms.Message{Status: sms.Delivered}, "delivered"},
		"undelivered":        {sms.Message{Status: sms.Undelivered}, "undelivered 30008"},
		"failed":             {sms.Message{Status: sms.Failed, Error: &sms.Error{Code: "opted-out"}}, "failed 21610"},
		"expired":            {sms.Message{Status: sms.Expired}, "failed 30036"},
	} {
		e := r.event(sid, func(m *sms.Message) {
			m.Status, m.Attempts, m.PossibleDuplicate, m.Error = c.m.Status, c.m.Attempts, c.m.PossibleDuplicate, c.m.Error
		})
		to := r.targets(e)
		if c.want == "" {
			if len(to) != 0 {
				t.Errorf("%s is told to %v", name, to)
			}
			continue
		}
		if len(to) != 1 || to[0] != (webhook.Target{URL: here, Format: FormatName, Account: r.sid}) {
			t.Errorf("%s is told to %v", name, to)
			continue
		}
		req, err := r.Callbacks().Request(webhook.Delivery{ID: "dlv_1", Event: e, URL: to[0].URL, Account: to[0].Account, Attempt: 1})
		if err != nil || req == nil {
			t.Fatalf("%s: %v, %v", name, req, err)
		}
		f, err := url.ParseQuery(string(req.Body))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(f.Get("MessageStatus") + " " + f.Get("ErrorCode")); got != c.want || f.Get("SmsStatus") != f.Get("MessageStatus") {
			t.Errorf("%s is told as %q, want %q", name, got, c.want)
		}
		if f.Get("MessageSid") != sid || f.Get("SmsSid") != sid || f.Get("AccountSid") != r.sid || f.Get("To") != phone || f.Get("From") != ownNumber || f.Get("ApiVersion") != "2010-04-01" {
			t.Errorf("%s says %v", name, f)
		}
		if got := req.Header.Get("X-Twilio-Signature"); got != sign(r.token, here, f) {
			t.Errorf("%s is signed %s", name, got)
		}
	}
	plain := r.ask("POST", "/Messages.json", form()).want(201, 0).str("sid")
	if to := r.targets(r.event(plain, func(*sms.Message) {})); len(to) != 1 || to[0].URL != other {
		t.Errorf("without a StatusCallback it is told to %v", to)
	}
	// A further key of the account is the account's; a message of nobody's account is not.
	mine := r.token
	var err error
	if r.user, r.token, err = r.accounts.CreateKey(t.Context(), r.sid, auth.Key{Name: "app", Scopes: send}); err != nil {
		t.Fatal(err)
	}
	byKey := r.event(r.ask("POST", "/Messages.json", form()).want(201, 0).str("sid"), func(*sms.Message) {})
	if to := r.targets(byKey); len(to) != 1 || to[0].Account != r.sid {
		t.Errorf("with a key it is told to %v", to)
	}
	byKey.Key = "somebody"
	if to := r.targets(byKey); len(to) != 0 {
		t.Errorf("another key's message is told to %v", to)
	}
	// Once revoked, an account is told nothing more.
	r.token = mine
	account, err := r.accounts.Get(t.Context(), r.sid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.o.Keys.Revoke(t.Context(), account.KeyID); err != nil {
		t.Fatal(err)
	}
	req, err := r.Callbacks().Request(webhook.Delivery{ID: "dlv_2", Event: byKey, URL: other, Account: r.sid})
	if req != nil || err != nil {
		t.Errorf("a revoked account is told %v, %v", req, err)
	}
}

const smsURL = "https://example.org/sms"

// text is the event of a text that came in.
func text(change func(*sms.Message)) *sms.Event {
	m := sms.Message{ID: "msg_01JDAX3E4SM9B7Z1N3PTSQ9V5E", Direction: sms.Inbound, Status: sms.Received, Kind: sms.KindText,
		From: phone, To: ownNumber, Modem: "office", Text: "grüße 👍", Parts: 1}
	change(&m)
	data, _ := json.Marshal(m)
	return &sms.Event{Type: sms.EventOf(m.Status), Data: data, Number: m.From, Message: m.ID}
}

func same(*sms.Message) {}

func TestInboundCallback(t *testing.T) {
	r := newRig(t, send, Settings{SMSURL: smsURL, Modems: []string{"office", "+491700000002"}})
	if _, _, err := r.accounts.Create(t.Context(), auth.Key{Name: "deaf", Scopes: send}, Settings{}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*sms.Message)
		want   int
	}{
		"by modem":       {same, 1},
		"by number":      {func(m *sms.Message) { m.Modem, m.To = "spare", "+491700000002" }, 1},
		"another's":      {func(m *sms.Message) { m.Modem, m.To = "spare", "spare" }, 0},
		"an MMS notice":  {func(m *sms.Message) { m.Kind = sms.KindMMS }, 0},
		"an empty text":  {func(m *sms.Message) { m.Text = "" }, 1},
		"a port message": {func(m *sms.Message) { m.Kind = sms.KindData }, 0},
	} {
		if to := r.targets(text(c.change)); len(to) != c.want {
			t.Errorf("%s is told to %v", name, to)
		}
	}
	req, err := r.Callbacks().Request(webhook.Delivery{ID: "dlv_1", Event: text(same), URL: smsURL, Account: r.sid})
	if err != nil {
		t.Fatal(err)
	}
	f, _ := url.ParseQuery(string(req.Body))
	sid := f.Get("MessageSid")
	want := url.Values{"MessageSid": {sid}, "SmsSid": {sid}, "SmsMessageSid": {sid}, "AccountSid": {r.sid}, "From": {phone}, "To": {ownNumber},
		"Body": {"grüße 👍"}, "NumMedia": {"0"}, "NumSegments": {"1"}, "SmsStatus": {"received"}, "ApiVersion": {"2010-04-01"}}
	if f.Encode() != want.Encode() || !strings.HasPrefix(sid, "SM") {
		t.Errorf("it says %v", f)
	}
	req, err = r.Callbacks().Request(webhook.Delivery{ID: "dlv_1", Event: text(func(m *sms.Message) { m.Redacted = true }), URL: smsURL, Account: r.sid})
	if req != nil || err != nil {
		t.Errorf("an erased text is told: %v, %v", req, err)
	}
}

// answers has the receiver answer a text, and returns the replies that were queued.
func (r *rig) answers(id, contentType, body string) []sms.Message {
	r.t.Helper()
	d := webhook.Delivery{ID: id, Event: text(same), URL: smsURL, Account: r.sid, Attempt: 1}
	if err := r.Callbacks().Answered(r.t.Context(), d, http.Header{"Content-Type": {contentType}}, []byte(body)); err != nil {
		r.t.Fatal(err)
	}
	all, _, err := r.o.Queue.List(r.t.Context(), queue.Filter{})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func TestReplies(t *testing.T) {
	r := newRig(t, send, Settings{SMSURL: smsURL})
	for i, nothing := range [][2]string{{"", ""}, {"text/xml", "<Response/>"}, {"text/html", "OK"}, {"application/json", "{}"},
		{"text/xml", "<Response><Message>cut"}, {"text/xml", "<html/>"}, {"text/xml", "<Response><Message></Message></Response>"}} {
		if got := r.answers(fmt.Sprint(i), nothing[0], nothing[1]); len(got) != 0 {
			t.Fatalf("%q is answered by %v", nothing, got)
		}
	}
	doc := `<?xml version="1.0" encoding="UTF-8"?><Response><Message>one &amp; only</Message><Message to="+491709999991" from="spare" action="status"><Body>two</Body></Message></Response>`
	for range 2 { // a second attempt changes nothing
		got := r.answers("dlv_1", "text/xml; charset=utf-8", doc)
		if len(got) != 2 {
			t.Fatalf("%d replies were queued", len(got))
		}
		one, two := got[1], got[0]
		if one.To != phone || one.Text != "one & only" || one.From != ownNumber || directionOf(&one) != "outbound-reply" {
			t.Errorf("the first reply is %+v", one)
		}
		if two.To != "+491709999991" || two.Text != "two" || two.From != "spare" || two.Metadata[metaCallback] != "https://example.org/status" {
			t.Errorf("the second reply is %+v", two)
		}
	}
	if got := r.answers("dlv_1", "text/xml", "<Response><Message>another</Message></Response>"); len(got) != 2 {
		t.Error("another answer to the same delivery was queued too")
	}
	if got := r.answers("dlv_2", "text/plain", " plain\n"); len(got) != 3 || got[0].Text != "plain" {
		t.Errorf("a plain answer became %+v", got[0])
	}
	if v := view(r.sid, &r.answers("dlv_2", "", "")[0]); v.Direction != "outbound-reply" {
		t.Errorf("a reply shows as %s", v.Direction)
	}
	if got := r.answers("dlv_3", "text/xml", `<Response><Message to="nobody">x</Message><Message>y</Message></Response>`); len(got) != 4 || got[0].Text != "y" {
		t.Errorf("beside one that can't be sent came %+v", got[0])
	}
}

// A full queue must not lose a reply: the receiver is asked again.
func TestReplyToAFullQueue(t *testing.T) {
	r := newRig(t, send, Settings{SMSURL: smsURL})
	for range 20 {
		r.ask("POST", "/Messages.json", form()).want(201, 0)
	}
	d := webhook.Delivery{ID: "dlv_1", Event: text(same), URL: smsURL, Account: r.sid}
	err := r.Callbacks().Answered(t.Context(), d, http.Header{"Content-Type": {"text/plain"}}, []byte("x"))
	if err == nil {
		t.Error("a reply that found no room counts as sent")
	}
}

func TestRedirect(t *testing.T) {
	r := newRig(t, send, Settings{SMSURL: smsURL})
	var asked []string
	broken := true
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		f, _ := url.ParseQuery(string(body))
		address := "http://" + q.Host + q.URL.String()
		if got := q.Header.Get("X-Twilio-Signature"); got != sign(r.token, address, f) {
			t.Errorf("%s %s is signed %s", q.Method, q.URL, got)
		}
		asked = append(asked, q.Method+" "+q.URL.Path)
		if q.URL.Query().Get("Body")+f.Get("Body") != "grüße 👍" {
			t.Errorf("%s was not told the text", q.URL)
		}
		w.Header().Set("Content-Type", "text/xml")
		switch {
		case q.URL.Path == "/loop":
			io.WriteString(w, `<Response><Redirect>/loop</Redirect></Response>`)
		case q.URL.Path == "/a":
			io.WriteString(w, `<Response><Message>two</Message><Redirect method="GET">/b?x=1</Redirect><Message>never</Message></Response>`)
		case broken:
			http.Error(w, "", http.StatusBadGateway)
		default:
			io.WriteString(w, `<Response><Message>three</Message></Response>`)
		}
	}))
	defer site.Close()
	r.o.Client = site.Client()
	first := fmt.Sprintf(`<Response><Message>one</Message><Redirect>%s/a</Redirect></Response>`, site.URL)
	d := webhook.Delivery{ID: "dlv_1", Event: text(same), URL: smsURL, Account: r.sid}
	if err := r.Callbacks().Answered(t.Context(), d, http.Header{"Content-Type": {"text/xml"}}, []byte(first)); err == nil || r.count() != 0 {
		t.Errorf("with a Redirect that fails %d were queued: %v", r.count(), err)
	}
	broken = false
	got := r.answers("dlv_1", "text/xml", first)
	if len(got) != 3 || got[2].Text != "one" || got[1].Text != "two" || got[0].Text != "three" {
		t.Errorf("the replies are %v", got)
	}
	if want := "POST /a GET /b POST /a GET /b"; strings.Join(asked, " ") != want {
		t.Errorf("asked were %v, want %s", asked, want)
	}
	asked = nil
	r.answers("dlv_2", "text/xml", fmt.Sprintf(`<Response><Redirect>%s/loop</Redirect></Response>`, site.URL))
	if len(asked) != maxRedirects {
		t.Errorf("a loop was followed %d times", len(asked))
	}
}

// A Redirect must not reach where a webhook may not.
func TestRedirectIsGuarded(t *testing.T) {
	r := newRig(t, send, Settings{SMSURL: smsURL})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { t.Error("the guard let a request through") }))
	defer site.Close()
	r.o.Client = webhook.Client(false, time.Now)
	d := webhook.Delivery{ID: "dlv_1", Event: text(same), URL: smsURL, Account: r.sid}
	err := r.Callbacks().Answered(t.Context(), d, http.Header{"Content-Type": {"text/xml"}}, []byte(`<Response><Redirect>`+site.URL+`</Redirect></Response>`))
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a Redirect to this host: %v", err)
	}
}

// An answer sends texts for the account: only if that may send.
func TestRepliesNeedTheScopeSend(t *testing.T) {
	r := newRig(t, []auth.Scope{auth.Read}, Settings{SMSURL: smsURL})
	if got := r.answers("dlv_1", "text/plain", "x"); len(got) != 0 {
		t.Errorf("an account that may only read has sent %+v", got)
	}
}

// Addresses that a document names are checked as those of a new message are: no
// text goes to one that a callback may not have.
func TestAddressesOfADocumentAreChecked(t *testing.T) {
	r := newRig(t, send, Settings{SMSURL: smsURL})
	r.o.Callback = func(address string) string {
		if strings.HasPrefix(address, "http://") {
			return "is plain http://"
		}
		return ""
	}
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was followed") }))
	defer site.Close()
	r.o.Client = site.Client()
	doc := fmt.Sprintf(`<Response><Message action="http://example.org/status">x</Message><Redirect>%s</Redirect></Response>`, site.URL)
	if got := r.answers("dlv_1", "text/xml", doc); len(got) != 1 || got[0].Metadata[metaCallback] != "" {
		t.Errorf("the replies are %+v", got)
	}
}
