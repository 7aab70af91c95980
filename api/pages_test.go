package api

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
)

func TestStatusPageShows(t *testing.T) {
	b := newBox(t, settings{})
	m := submit(b, "Hello\nthere")
	if _, err := b.queue.Cursor("webhook:chat"); err != nil {
		t.Fatal(err)
	}
	submit(b, "second")
	page := b.get("/").want(200).Body.String()
	for _, want := range []string{
		"Texts can be sent, but not by every modem.", "backup: SIM needs its PIN", "Set pin in the configuration.",
		"Sim Mobile", "−71 dBm, good", "Signal: 3 of 4 bars", "+491700000001",
		"2 of 100,000 slots are in use", "last retrieved</th><td>1<", "last sent</th><td>–<", "2 waiting.",
		`href="/messages/` + m.ID + `"`, "Hello there", "+491701234567", "queued",
		"webhook:chat</b> is 1 event behind.", `data-seq="2"`, "The key that you signed in with may look but not send.",
	} {
		if !strings.Contains(html.UnescapeString(page), want) {
			t.Errorf("the status page lacks %q", want)
		}
	}
	if strings.Contains(page, `id="send"`) {
		t.Error("a key that can't send gets the form")
	}
	page = b.ask("GET", "/", bearer(b.admin), "").want(200).Body.String()
	if !strings.Contains(page, `id="send"`) || !strings.Contains(page, "<option>office</option>") {
		t.Error("the form to send is missing")
	}
	// Nothing inline, which the policy would refuse, and nothing from elsewhere.
	for _, bad := range []string{" style=", "<style", " onclick", "javascript:", "http://", "https://"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, script := range regexp.MustCompile(`<script[^>]*>(.*)`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(script[1], "</script>") {
			t.Errorf("inline script: %s", script[0])
		}
	}
}

func TestTextsStayTexts(t *testing.T) {
	b := newBox(t, settings{})
	b.modems.all[0].Name = `<i>"'&`
	b.modems.all[0].Reason = `<script>alert(1)</script>`
	m := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"<b>bold</b> <img src=x onerror=alert(1)> \" ' ${x}","metadata":{"<u>":"</dd><script>"}}`).accepted()
	for _, path := range []string{"/", "/messages/" + m.ID} {
		page := b.ask("GET", path, bearer(b.admin), "").want(200).Body.String()
		for _, bad := range []string{"<b>bold", "<img", "<script>", "<i>", "<u>"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
		if !strings.Contains(page, "&lt;b&gt;bold&lt;/b&gt;") {
			t.Errorf("%s does not show the text", path)
		}
	}
	page := b.ask("GET", "/sign-in?next=%2F%22%3E%3Cscript%3E", nil, "").want(200).Body.String()
	if strings.Contains(page, `"><script>`) {
		t.Errorf("the sign-in form has %s", page)
	}
}

func TestMessagePage(t *testing.T) {
	b := newBox(t, settings{})
	m := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x","send_at":"2998-01-01T00:00:00Z","metadata":{"order":"17"}}`).accepted()
	page := b.get("/messages/" + m.ID).want(200).Body.String()
	for _, want := range []string{"To +491701234567", m.ID, "scheduled", "2998-01-01T00:00:00.000Z", "metadata.order", "17"} {
		if !strings.Contains(html.UnescapeString(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	b.ask("DELETE", "/v1/messages/"+m.ID, bearer(b.send), "").want(200)
	b.ask("POST", "/v1/messages/"+m.ID+"/redact", bearer(b.admin), "").want(200)
	page = b.get("/messages/" + m.ID).want(200).Body.String()
	if !strings.Contains(page, "The text was erased.") || !strings.Contains(page, "Canceled") {
		t.Errorf("after cancelling and erasing: %s", page)
	}
	data := b.post("/v1/messages", b.send, `{"to":"12345","data":"3q2+7w=="}`).accepted()
	if page := b.get("/messages/" + data.ID).want(200).Body.String(); !strings.Contains(page, "deadbeef") {
		t.Error("data is not shown")
	}
	a := b.ask("GET", "/messages/msg_1", bearer(b.read).with("Accept", "text/html,*/*"), "").want(404)
	if !strings.Contains(a.Body.String(), "<h1>There is no such thing here</h1>") {
		t.Errorf("a browser gets %s", a.Body)
	}
	b.get("/messages/msg_1").problem(notFound)
}

func TestFurtherPages(t *testing.T) {
	var asked []string
	b := newBox(t, settings{change: func(o *Options) {
		o.Pages = map[string]http.Handler{"/handsets/": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method+" "+r.URL.Path)
			fmt.Fprint(w, "a handset")
		})}
	}})
	browser := b.signInWith(b.admin)
	if page := b.ask("GET", "/", browser, "").want(200).Body.String(); !strings.Contains(page, `<a href="/handsets/">Handsets</a>`) {
		t.Error("the navigation lacks the page")
	}
	same := browser.with("Sec-Fetch-Site", "same-origin")
	b.ask("GET", "/handsets/", same, "").want(200)
	b.ask("GET", "/handsets/+491700000009", same, "").want(200)
	b.ask("POST", "/handsets/+491700000009", same, "text=hello").want(200)
	a := b.ask("GET", "/handsets/1", header{"Accept": "text/html"}, "").want(http.StatusSeeOther)
	if a.Header().Get("Location") != "/sign-in?next=%2Fhandsets%2F1" {
		t.Errorf("sent to %s", a.Header().Get("Location"))
	}
	if got := strings.Join(asked, ", "); got != "GET /handsets/, GET /handsets/+491700000009, POST /handsets/+491700000009" {
		t.Errorf("asked %s", got)
	}
}

func TestAssets(t *testing.T) {
	b := newBox(t, settings{})
	for file, media := range map[string]string{"style.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		a := b.ask("GET", "/assets/"+file, nil, "").want(200)
		if got := a.Header().Get("Content-Type"); !strings.HasPrefix(got, media) {
			t.Errorf("%s is %s", file, got)
		}
		b.ask("GET", "/assets/"+file, header{"If-None-Match": a.Header().Get("ETag")}, "").want(http.StatusNotModified)
	}
}

func TestSummary(t *testing.T) {
	modem := func(states ...sms.ModemState) (all []sms.Modem) {
		for i, s := range states {
			all = append(all, sms.Modem{Name: fmt.Sprint("m", i), State: s})
		}
		return all
	}
	ring := func(depth int) sms.Ring { return sms.Ring{Capacity: 10, Depth: depth} }
	for _, c := range []struct {
		modems         []sms.Modem
		out, in        int
		kind, sentence string
		more           string
	}{
		{nil, 0, 0, bad, "No text can be sent: there is no modem.", "Texts that are handed in wait on disk."},
		{modem(sms.Ready), 0, 0, good, "Texts can be sent.", "1 modem is ready."},
		{modem(sms.Ready, sms.Ready), 5, 5, good, "Texts can be sent.", "2 modems are ready."},
		{modem(sms.Ready, sms.Parked), 0, 0, warn, "Texts can be sent, but not by every modem.", "m1: set aside"},
		{modem(sms.Ready, sms.Deaf), 0, 0, warn, "Texts can be sent; receiving is in trouble.", "m1: receives nothing"},
		{modem(sms.StorageFull), 0, 0, warn, "Texts can be sent; receiving is in trouble.", "m0: storage full"},
		{modem(sms.Probing, sms.Denied), 0, 0, idle, "One moment: no modem is ready yet.", "m0: starting up|m1: refused by the network"},
		{[]sms.Modem{{Name: "m0", State: sms.Searching, Since: time.Now().Add(-time.Hour)}}, 0, 0, bad, "No text can be sent now.", "m0: looking for a network"},
		{[]sms.Modem{{Name: "m0", State: sms.Searching, Since: time.Now()}}, 0, 0, idle, "One moment: no modem is ready yet.", "m0: looking for a network"},
		{modem(sms.NoSIM), 0, 0, bad, "No text can be sent now.", "m0: no SIM card"},
		{modem(sms.Ready), 10, 0, bad, "The queue is full: new texts are refused.", "1 modem is ready."},
		{modem(sms.Ready), 0, 10, warn, "Texts can be sent.", "1 modem is ready.|Received texts are held back in SIM and network, because no webhook takes those that are here."},
		{modem(sms.Absent), 0, 10, bad, "No text can be sent now.", "m0: not plugged in|Received texts are held back in SIM and network, because no webhook takes those that are here."},
	} {
		got := summarise(c.modems, sms.Rings{Outbound: ring(c.out), Inbound: ring(c.in)}, time.Now())
		if got.Kind != c.kind || got.Sentence != c.sentence || strings.Join(got.More, "|") != c.more {
			t.Errorf("%+v with %d and %d in use: %+v", c.modems, c.out, c.in, got)
		}
	}
}

// Every state and status has its words, so that none is shown blank.
func TestWordsForEverything(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	states := doc.Components.Schemas["Modem"].Value.Properties["state"].Value.Enum
	for _, s := range states {
		if modemWords[sms.ModemState(s.(string))].Word == "" {
			t.Errorf("no words for the modem state %s", s)
		}
	}
	if len(states) != len(modemWords) {
		t.Errorf("%d states are documented, %d have words", len(states), len(modemWords))
	}
	for _, s := range sms.Statuses {
		if statusKinds[s] == "" {
			t.Errorf("no colour for the status %s", s)
		}
	}
	if got := len(doc.Components.Schemas["Status"].Value.Enum); got != len(sms.Statuses) {
		t.Errorf("%d statuses are documented, there are %d", got, len(sms.Statuses))
	}
}

func TestSignalBars(t *testing.T) {
	for percent, bars := range map[int]int{0: 0, 1: 1, 25: 1, 26: 2, 50: 2, 51: 3, 75: 3, 76: 4, 100: 4} {
		if got := viewModem(sms.Modem{Signal: &sms.Signal{Percent: percent}}).Bars; got != bars {
			t.Errorf("%d%% shows %d bars, want %d", percent, got, bars)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 100000: "100,000", 1234567: "1,234,567", -1: "-1", -999: "-999", -1000: "-1,000"} {
		if got := count(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
}

// With an alarm of the gateway's own the page is not green.
func TestAlarmsShowInTheSummary(t *testing.T) {
	for code, want := range map[string]string{"": good, "disk-low": warn, "messages-held": warn, "disk-full": bad} {
		s := summaryView{Kind: good, Sentence: "Texts can be sent.", More: []string{waitOnDisk}}
		if code != "" {
			s.refuse([]sms.Alarm{{Code: code}})
		}
		if s.Kind != want {
			t.Errorf("with %q it is %s, want %s", code, s.Kind, want)
		}
		if says := len(s.More) > 0; says != (want != bad) { // what is refused waits nowhere
			t.Errorf("with %q it says %v", code, s.More)
		}
	}
}
