package api

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// titles are a timeline's steps, one after the other.
func titles(steps []lifeStep) string {
	var all []string
	for _, s := range steps {
		all = append(all, s.Title)
	}
	return strings.Join(all, "; ")
}

func TestLifeIsInOrder(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 1, 1, 0, 0, s, 0, time.UTC) }
	told := func(s int, m sms.Message) queue.Told {
		return queue.Told{Seq: int64(s), Type: sms.EventOf(m.Status), At: at(s), Message: m}
	}
	one, zero, bad := 1, 0, 70
	m := &sms.Message{Direction: sms.Outbound, Status: sms.Undelivered, Parts: 1, CreatedAt: at(1), SendAt: at(5)}
	rest := append(partSteps(m, []queue.Part{{Number: 1, Modem: "m1", MR: &zero, StartedAt: at(6), ConfirmedAt: timeRef(at(7)), ReportedAt: timeRef(at(9)), Report: &bad, Attempts: one}}, false), acceptedStep(m))
	steps := merged(eventSteps(m, []queue.Told{
		told(5, sms.Message{Status: sms.Queued, CreatedAt: at(1), SendAt: at(5)}), told(6, sms.Message{Status: sms.Sending, Modem: "m1", Attempts: 1}),
		told(7, sms.Message{Status: sms.Sent}), told(9, sms.Message{Status: sms.Undelivered, Error: &sms.Error{Code: "tp-st-70", Title: "x", Detail: "Y."}}),
	}, rest), rest)
	want := "Accepted; It is due, and waits for a modem; Handed to the modem m1; It goes to the modem; It is accepted by the network under TP-MR 0; " +
		"Sent: the network has it; Status report: validity period expired (permanent error, 0x46); Not delivered"
	if got := titles(steps); got != want {
		t.Errorf("life: %s", got)
	}
	if ms := steps[1].AfterMS; ms == nil || *ms != 4000 {
		t.Errorf("after %v", ms)
	}
	// A send_at in the past meant at once.
	if s := acceptedStep(&sms.Message{CreatedAt: at(5), SendAt: at(1)}); s.Detail != nil {
		t.Errorf("it says %s", *s.Detail)
	}
	// The clock was set back between two events: their order stays, and no time between them is told.
	steps = merged(eventSteps(m, []queue.Told{told(9, sms.Message{Status: sms.Queued}), told(2, sms.Message{Status: sms.Canceled})}, nil), nil)
	if titles(steps) != "Accepted: it waits for a modem; Canceled" || steps[1].AfterMS != nil {
		t.Errorf("after a clock that was set back: %s %v", titles(steps), steps[1].AfterMS)
	}
}

func timeRef(t time.Time) *time.Time { return &t }

func TestTimeline(t *testing.T) {
	b := newBox(t, settings{})
	m := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x","send_at":"2998-01-01T00:00:00Z"}`).accepted()
	b.ask("DELETE", "/v1/messages/"+m.ID, bearer(b.send), "").want(200)
	var got struct {
		Complete bool
		Slot     *int
		Steps    []struct{ Kind, Title string }
	}
	b.get("/v1/messages/" + m.ID + "/timeline").want(200).into(&got)
	if len(got.Steps) != 2 || got.Steps[0].Title != "Accepted, to be sent later" || got.Steps[1].Title != "Canceled" {
		t.Errorf("timeline: %+v", got)
	}
	b.get("/v1/messages/msg_1/timeline").problem(notFound)
	b.ask("GET", "/v1/messages/"+m.ID+"/timeline", bearer(b.send), "").problem(wrongScope)
}

// fakeTraces stand for the gateway's.
type fakeTraces struct{ asked []bool }

func (f *fakeTraces) Trace(_ context.Context, m *sms.Message, masked bool) (sms.Trace, error) {
	f.asked = append(f.asked, masked)
	return sms.Trace{Pieces: []sms.TracePiece{{What: "part 1", Modem: "office", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Text: "0.000 > \"AT\"\n"}}, Notes: []string{"Of part 2 nothing is there."}}, nil
}

func TestTraceFile(t *testing.T) {
	traces := &fakeTraces{}
	b := newBox(t, settings{change: func(o *Options) { o.Traces = traces }})
	m := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"quokka","callback_url":"https://app.example.org/491701234567"}`).accepted()
	a := b.get("/v1/messages/" + m.ID + "/trace").want(200)
	text := a.Body.String()
	for _, want := range []string{"message: " + m.ID, "version: test", "masked: true", "TIMELINE\n", "it waits for a modem", "== part 1, modem office, 2026-01-02 03:04:05.000 UTC\n0.000 > \"AT\"", "Of part 2 nothing is there."} {
		if !strings.Contains(text, want) {
			t.Errorf("the trace lacks %q:\n%s", want, text)
		}
	}
	for _, bad := range []string{"1701234567", "quokka", "the endpoint answered 500"} {
		if strings.Contains(text, bad) {
			t.Errorf("the masked trace has %q:\n%s", bad, text)
		}
	}
	if a.Header().Get("Content-Disposition") != `attachment; filename="`+m.ID+`.trace.txt"` {
		t.Errorf("named %s", a.Header().Get("Content-Disposition"))
	}
	b.get("/v1/messages/" + m.ID + "/trace?masked=false").problem(wrongScope)
	text = b.ask("GET", "/v1/messages/"+m.ID+"/trace?masked=false", bearer(b.admin), "").want(200).Body.String()
	if !strings.Contains(text, "quokka") || !strings.Contains(text, "+491701234567") {
		t.Errorf("the whole trace lacks them:\n%s", text)
	}
	if len(traces.asked) != 2 || !traces.asked[0] || traces.asked[1] {
		t.Errorf("asked for %v", traces.asked)
	}
	b.get("/v1/messages/msg_1/trace").problem(notFound)
}

// A page of messages finds what the form says, without script.
func TestMessagesPage(t *testing.T) {
	b := newBox(t, settings{})
	page := b.get("/messages").want(200).Body.String()
	if !strings.Contains(page, "There are none yet.") {
		t.Errorf("empty: %s", page)
	}
	var last sms.Message
	for i := range 55 {
		last = b.post("/v1/messages", b.send, `{"to":"+4917012345`+string(rune('0'+i/10))+string(rune('0'+i%10))+`","text":"Number <b>`+strings.Repeat("i", i)+`</b>"}`).accepted()
	}
	page = b.get("/messages").want(200).Body.String()
	if n := strings.Count(page, `href="/messages/msg_`); n != 50 || !strings.Contains(page, "The newest 50 messages; there may be more.") {
		t.Errorf("%d messages: %s", n, page)
	}
	next := html.UnescapeString(between(t, page, `<a class="button" href="`, `"`))
	page = b.get(next).want(200).Body.String()
	if n := strings.Count(page, `href="/messages/msg_`); n != 5 || !strings.Contains(page, "5 messages more, and then no more.") || !strings.Contains(page, `<a href="/messages">Back to the newest</a>`) {
		t.Errorf("%d more messages: %s", n, page)
	}
	for query, want := range map[string]string{
		"q=" + url.QueryEscape("01701234554") + "&direction=&status=&modem=&since=&until=": "1 message, and no more.",
		"q=4554":                           "1 message, and no more.",
		"q=no-such-thing":                  "No message is like that.",
		"direction=inbound":                "No message is like that.",
		"status=queued&q=iiiiiiiiii":       "45 messages, and no more.",
		"since=2998-01-01":                 "No message is like that.",
		"until=1998-01-01&direction=":      "No message is like that.",
		"since=yesterday":                  "From day must be a day such as",
		"status=lost":                      "No message has that status.",
		"direction=up":                     "there is no other direction",
		"q=" + strings.Repeat("x", 101):    "at most 100 characters",
		"modem=" + url.QueryEscape("<i>x"): "&lt;i&gt;x",
	} {
		if page := html.UnescapeString(b.get("/messages?" + query).want(200).Body.String()); !strings.Contains(page, html.UnescapeString(want)) {
			t.Errorf("%s does not say %q:\n%s", query, want, page)
		}
	}
	b.get("/messages?cursor=x").problem(invalidFields, "cursor")
	page = b.ask("GET", "/messages", bearer(b.admin), "").want(200).Body.String()
	for name, want := range map[string]string{"send": "The newest 50 messages", "read": "No message is like that."} {
		key := regexp.MustCompile(`<option value="([^"]+)">` + name + `</option>`).FindStringSubmatch(page)
		if key == nil {
			t.Fatalf("the key %s can't be chosen: %s", name, page)
		}
		if page := b.ask("GET", "/messages?key="+key[1], bearer(b.admin), "").want(200).Body.String(); !strings.Contains(page, want) {
			t.Errorf("of the key %s: %s", name, page)
		}
	}
	for _, path := range []string{"/messages", "/messages/" + last.ID} {
		page := b.get(path).want(200).Body.String()
		for _, bad := range []string{" style=", "<style", " onclick", "<b>i", "javascript:"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %q", path, bad)
			}
		}
	}
}

func between(t *testing.T, s, begin, end string) string {
	t.Helper()
	_, rest, ok := strings.Cut(s, begin)
	found, _, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%q is not in %s", begin, s)
	}
	return found
}

// Who may only watch sees nobody's text: no page, no timeline, no trace.
func TestWatchersSeeNoMessages(t *testing.T) {
	b := newBox(t, settings{})
	m := submit(b, "secret words")
	token, _, err := b.o.Keys.Create(ctx, "technician", []auth.Scope{auth.Send}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	err = b.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE api_keys SET scopes = ? WHERE name = 'technician'`, auth.Scopes([]auth.Scope{auth.Watch, auth.Service}))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/messages", "/messages?q=secret", "/messages/" + m.ID, "/v1/messages?q=secret", "/v1/messages/" + m.ID + "/timeline", "/v1/messages/" + m.ID + "/trace"} {
		a := b.ask("GET", path, bearer(token), "")
		if p := a.problem(wrongScope); !strings.Contains(p.Detail, `needs the scope "read"`) || strings.Contains(a.Body.String(), "secret words") {
			t.Errorf("%s: %s", path, a.Body)
		}
	}
	a := b.ask("POST", "/messages/"+m.ID, bearer(token).with("Content-Type", "application/x-www-form-urlencoded"), "do=cancel")
	a.problem(wrongScope)
	page := b.ask("GET", "/messages", bearer(token).with("Accept", "text/html"), "").want(http.StatusForbidden).Body.String()
	if strings.Contains(page, `href="/messages"`) {
		t.Errorf("the page leads there: %s", page)
	}
}

func TestButtonsOfAMessage(t *testing.T) {
	b := newBox(t, settings{})
	m := submit(b, "quokka")
	press := func(token, body string) *answer {
		return b.ask("POST", "/messages/"+m.ID, bearer(token).with("Content-Type", "application/x-www-form-urlencoded"), body)
	}
	page := b.get("/messages/" + m.ID).want(200).Body.String()
	if strings.Contains(page, `value="cancel"`) || strings.Contains(page, `value="redact"`) || strings.Contains(page, "masked=false") {
		t.Errorf("a reader gets buttons that he may not press: %s", page)
	}
	press(b.read, "do=cancel").problem(wrongScope)
	press(b.read, "do=retry&delivery=dlv_1").problem(wrongScope)
	press(b.admin, "do=explode").problem(badRequest)
	if page := press(b.admin, "do=redact").want(200).Body.String(); !strings.Contains(page, "That was not possible") || !strings.Contains(page, "cancel it first") {
		t.Errorf("erasing what is still to be sent: %s", page)
	}
	if page := press(b.admin, "do=cancel").want(200).Body.String(); !strings.Contains(page, "It is canceled and will not be sent") {
		t.Errorf("canceling: %s", page)
	}
	if page := press(b.admin, "do=redact").want(200).Body.String(); !strings.Contains(page, "The text is erased") || strings.Contains(page, "quokka") {
		t.Errorf("erasing: %s", page)
	}
	if page := press(b.admin, "do=retry&delivery=dlv_1").want(200).Body.String(); !strings.Contains(page, "The receiver is told again") {
		t.Errorf("retrying: %s", page)
	}
	if page := press(b.admin, "do=retry&delivery=dlv_done").want(200).Body.String(); !strings.Contains(page, "That was not possible") {
		t.Errorf("retrying what is over: %s", page)
	}
	// Another site's page presses nothing.
	browser := b.signInWith(b.admin).with("Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example.org")
	b.ask("POST", "/messages/"+m.ID, browser, "do=retry&delivery=dlv_1").problem(foreignOrigin)
}

func TestSearchInTheAPI(t *testing.T) {
	b := newBox(t, settings{})
	submit(b, "the quokka sleeps")
	submit(b, "nothing of it")
	var got struct {
		Messages   []json.RawMessage
		NextCursor *string `json:"next_cursor"`
	}
	b.get("/v1/messages?q=QUOKKA").want(200).into(&got)
	if len(got.Messages) != 1 || got.NextCursor != nil {
		t.Errorf("found %+v", got)
	}
	b.get("/v1/messages?q=").problem(invalidFields, "q")
	b.get("/v1/messages?q="+strings.Repeat("x", 101)).problem(invalidFields, "q")
}
