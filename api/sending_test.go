package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/auth"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// seer foresees what it was told.
type seer struct{ o intake.Outlook }

func (s *seer) Foresee(_ context.Context, drafts []queue.Draft, _ bool) []intake.Outlook {
	all := make([]intake.Outlook, len(drafts))
	for i := range all {
		all[i] = s.o
		if !s.o.At.IsZero() {
			all[i].At = s.o.At.Add(time.Duration(i) * time.Minute)
		}
	}
	return all
}

func (s *seer) Outlook(context.Context, *sms.Message) (intake.Outlook, bool) { return s.o, true }

// foreseeing is a box whose desk foresees that.
func foreseeing(t *testing.T, s *seer) *box {
	return newBox(t, settings{desk: func(o *intake.Options) { o.Foreseer = s }})
}

func codes(m sms.Message) string {
	var all []string
	for _, w := range m.Warnings {
		all = append(all, string(w))
	}
	return strings.Join(all, " ")
}

func TestAnswerSaysWhatToExpect(t *testing.T) {
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	b := foreseeing(t, &seer{intake.Outlook{At: at, Modem: "office"}})
	once := bearer(b.send).with("Idempotency-Key", "1")
	const body = `{"to":"+491701234567","text":"szép idő 👍","client_id":"c1"}`
	first := b.ask("POST", "/v1/messages", once, body).accepted()
	if f := first.ForcedBy; f != (sms.Forced{Character: "ő", CodePoint: "U+0151", Position: 8}) || first.Encoding != sms.UCS2 || first.Parts != 1 {
		t.Errorf("forced by %+v, %s, %d parts", f, first.Encoding, first.Parts)
	}
	if !first.ExpectedAt.Equal(at) || first.ExpectedModem != "office" || codes(first) != "" {
		t.Errorf("expected %s through %q, warnings %q", first.ExpectedAt, first.ExpectedModem, codes(first))
	}
	// A repetition is told the same, though it would be foreseen otherwise by now.
	again := b.ask("POST", "/v1/messages", once, body)
	if again.Header().Get("Idempotency-Replayed") != "true" || again.Body.String() != b.ask("POST", "/v1/messages", once, body).Body.String() {
		t.Error("the repetition is another answer")
	}
	if m := again.accepted(); m.ID != first.ID || !m.ExpectedAt.Equal(at) || m.ForcedBy != first.ForcedBy || m.ExpectedModem != "office" {
		t.Errorf("the repetition says %+v", m)
	}
	// A large batch says it of each, and its events too.
	list := make([]string, 100)
	for i := range list {
		list[i] = `{"to":"+491701234567","text":"x"}`
	}
	var batch struct{ Messages []sms.Message }
	b.post("/v1/messages/batch", b.send, `{"messages":[`+strings.Join(list, ",")+`]}`).want(http.StatusAccepted).into(&batch)
	last := batch.Messages[99]
	if !last.ExpectedAt.Equal(at.Add(99 * time.Minute)) {
		t.Errorf("the last of a batch is expected at %s", last.ExpectedAt)
	}
	if got, err := b.queue.Message(ctx, last.ID); err != nil || !got.ExpectedAt.Equal(last.ExpectedAt) || got.ExpectedModem != "office" {
		t.Errorf("stored: %+v, %v", got, err)
	}
}

func TestLate(t *testing.T) {
	s := &seer{intake.Outlook{At: time.Now().Add(2 * time.Hour), Modem: "office"}}
	b := foreseeing(t, s)
	body := func(more string) string {
		return `{"to":"+491701234567","text":"x","expires_at":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"` + more + `}`
	}
	p := b.post("/v1/messages", b.send, body(`,"reject_if_late":true`)).problem(tooLate)
	if !strings.Contains(p.Detail, "expected to be sent at") {
		t.Errorf("it says %q", p.Detail)
	}
	b.post("/v1/messages/batch", b.send, `{"messages":[`+body("")+`,`+body(`,"reject_if_late":true`)+`]}`).problem(tooLate)
	b.nothingQueued()
	if m := b.post("/v1/messages", b.send, body("")).accepted(); codes(m) != "late" || m.Warnings[0].Detail() == "" {
		t.Errorf("warnings %q", codes(m))
	}
	s.o = intake.Outlook{}
	b.post("/v1/messages", b.send, body(`,"reject_if_late":true`)).problem(tooLate)
	if m := b.post("/v1/messages", b.send, body("")).accepted(); codes(m) != "no-modem" || !m.ExpectedAt.IsZero() {
		t.Errorf("warnings %q, expected %s", codes(m), m.ExpectedAt)
	}
	// One that was accepted in time is no other because its client asks once more.
	s.o = intake.Outlook{At: time.Now().Add(time.Minute), Modem: "office"}
	named := body(`,"client_id":"c1","reject_if_late":true`)
	first := b.post("/v1/messages", b.send, named).accepted()
	s.o = intake.Outlook{}
	if m := b.post("/v1/messages", b.send, named).accepted(); m.ID != first.ID {
		t.Errorf("the repetition is message %s, the first %s", m.ID, first.ID)
	}
	b.post("/v1/messages", b.key(auth.Limits{}, auth.Send), named).problem(tooLate)
	b.post("/v1/messages", b.send, body("")).accepted()
	// What it is by now is asked anew.
	id := b.messages()[0].ID
	s.o = intake.Outlook{At: time.Now().Add(time.Minute).Truncate(time.Millisecond), Modem: "backup"}
	var m sms.Message
	if b.get("/v1/messages/" + id).into(&m); !m.ExpectedAt.Equal(s.o.At) || m.ExpectedModem != "backup" || codes(m) != "no-modem" {
		t.Errorf("expected at %s through %s now, warnings %q", m.ExpectedAt, m.ExpectedModem, codes(m))
	}
}

func TestUnicode(t *testing.T) {
	b := newBox(t, settings{})
	post := func(text, mode string) *answer {
		return b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"`+text+`","unicode":`+mode+`}`)
	}
	if m := post("“Łódź” – ok…", `"transliterate"`).accepted(); m.Text != `"Lodz" - ok...` || m.Encoding != sms.GSM7 || codes(m) != "transliterated" {
		t.Errorf("%q as %s, warnings %q", m.Text, m.Encoding, codes(m))
	}
	if m := post("“друг”", `"transliterate"`).accepted(); m.Text != "“друг”" || codes(m) != "stays-unicode" || m.ForcedBy.Character != "“" {
		t.Errorf("%q, warnings %q, %+v", m.Text, codes(m), m.ForcedBy)
	}
	if m := post("plain", `"transliterate"`).accepted(); codes(m) != "" {
		t.Errorf("warnings %q", codes(m))
	}
	for _, mode := range []string{`"allow"`, "null"} {
		if m := post("“ok”", mode).accepted(); m.Text != "“ok”" || m.Encoding != sms.UCS2 {
			t.Errorf("%q as %s", m.Text, m.Encoding)
		}
	}
	if m := post("grün", `"reject"`).accepted(); m.Encoding != sms.GSM7 {
		t.Errorf("as %s", m.Encoding)
	}
	p := post("ab“", `"reject"`).problem(invalidFields, "text")
	if d := p.Errors[0].Detail; !strings.Contains(d, "“") || !strings.Contains(d, "U+201C") || !strings.Contains(d, "position 3") {
		t.Errorf("it says %q", d)
	}
	post("ok", `"maybe"`).problem(invalidFields, "unicode")
	post("ok", `true`).problem(invalidFields, "unicode")

	// A text that fits only once it is transliterated is taken.
	long := strings.Repeat("x", 1529) + "…"[:0] + "“"
	if m := post(long, `"transliterate"`).accepted(); m.Parts != 10 {
		t.Errorf("%d parts", m.Parts)
	}
	post(long, `"allow"`).problem(invalidFields, "text")

	b = newBox(t, settings{desk: func(o *intake.Options) { o.Unicode = intake.Reject }})
	post("“", "null").problem(invalidFields, "text")
	post("“", `"allow"`).accepted()
}

func TestOwnHeader(t *testing.T) {
	b := newBox(t, settings{})
	post := func(more string) *answer { return b.post("/v1/messages", b.send, `{"to":"+491701234567",`+more+`}`) }
	m := post(`"data":"SGk=","udh":"06050415821582"`).accepted()
	if string(m.UDH) != "\x06\x05\x04\x15\x82\x15\x82" || m.Parts != 1 || m.Encoding != sms.Octet {
		t.Errorf("%+v", m)
	}
	if got, err := b.queue.Message(ctx, m.ID); err != nil || string(got.UDH) != string(m.UDH) {
		t.Errorf("stored %X, %v", got.UDH, err)
	}
	post(`"data":"SGk=","udh":"0605041582158"`).problem(invalidFields, "udh")
	post(`"data":"SGk=","udh":"07050415821582"`).problem(invalidFields, "udh")
	post(`"data":"SGk=","udh":"0500030a0201"`).problem(invalidFields, "udh")
	post(`"data":"SGk=","udh":"06050415821582","port":5`).problem(invalidFields, "udh")
	post(`"text":"Hi","udh":"06050415821582"`).problem(invalidFields, "udh")
}

func TestPreview(t *testing.T) {
	at := time.Now().Add(time.Minute).UTC().Truncate(time.Second)
	b := foreseeing(t, &seer{intake.Outlook{At: at, Modem: "office", Because: []string{"so"}}})
	preview := func(body string) (p previewJSON) {
		t.Helper()
		b.post("/v1/messages/preview", b.send, body).want(http.StatusOK).into(&p)
		return p
	}
	p := preview(`{"to":"+49 170 1234567","text":"Grüße"}`)
	if p.To != "+491701234567" || *p.Text != "Grüße" || p.Encoding != sms.GSM7 || p.Parts != 1 || p.Units != 5 || p.UnitsLeft != 155 || p.ForcedBy != nil ||
		!p.ExpectedAt.Equal(at) || *p.ExpectedModem != "office" || len(p.ExpectedBecause) != 1 || len(p.Warnings) != 0 {
		t.Errorf("%+v", p)
	}
	p = preview(`{"to":"+491701234567","text":"naïve – ok","unicode":"transliterate","reject_if_late":true,"expires_at":"` + time.Now().Add(time.Second*30).UTC().Format(time.RFC3339) + `"}`)
	if *p.Text != "naive - ok" || len(p.Warnings) != 2 || p.Warnings[0] != sms.WarnTransliterated || p.Warnings[1] != sms.WarnLate {
		t.Errorf("%q, %v", *p.Text, p.Warnings)
	}
	p = preview(`{"to":"+491701234567","data":"SGk=","port":7}`)
	if p.Text != nil || p.Encoding != sms.Octet || p.Units != 2 || p.UnitsLeft != 131 {
		t.Errorf("%+v", p)
	}
	p = preview(`{"to":"+491701234567","text":"szép idő"}`)
	if p.ForcedBy == nil || p.ForcedBy.Position != 8 || p.UnitsLeft != 62 {
		t.Errorf("%+v", p)
	}
	b.post("/v1/messages/preview", b.send, `{"to":"nobody","text":"x","tekst":"y"}`).problem(invalidFields, "to", "tekst")
	b.post("/v1/messages/preview", b.read, `{"to":"+491701234567","text":"x"}`).want(http.StatusForbidden)
	b.nothingQueued()
}

func TestListByClientID(t *testing.T) {
	b := newBox(t, settings{})
	m := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x","client_id":"c 1"}`).accepted()
	b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x"}`).accepted()
	var page messagePage
	if b.get("/v1/messages?client_id=c+1").into(&page); len(page.Messages) != 1 || page.Messages[0].ID != m.ID {
		t.Errorf("%+v", page)
	}
}

// Whoever waits for a message gets it as soon as it is there, or as it is.
func TestWaitForAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, settings{single: true})
		m := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x"}`).accepted()
		start := time.Now()
		var got sms.Message
		b.get("/v1/messages/" + m.ID + "?wait=2s").into(&got)
		if d := time.Since(start); got.Status != sms.Queued || d != 2*time.Second {
			t.Errorf("%s after %s", got.Status, d)
		}
		row := b.messages()[0].Row
		advance := func(v *queue.Verdict, s *queue.Start) {
			if _, err := b.queue.Advance(v, s); err != nil {
				t.Error(err)
			}
		}
		go func() {
			time.Sleep(10 * time.Second)
			advance(nil, &queue.Start{Row: row, Part: 1, Modem: "office", SIM: "1", Local: "office", ExpectedMR: -1})
			time.Sleep(3 * time.Second)
			advance(&queue.Verdict{Row: row, Part: 1, Fate: queue.PartConfirmed, MR: 1}, nil)
		}()
		start = time.Now()
		b.get("/v1/messages/" + m.ID + "?wait=60&until=sent").into(&got)
		if d := time.Since(start); got.Status != sms.Sent || d < 13*time.Second || d > 14*time.Second {
			t.Errorf("%s after %s", got.Status, d)
		}
		start = time.Now()
		b.get("/v1/messages/" + m.ID + "?wait=5s").into(&got) // a report may come
		if d := time.Since(start); got.Status != sms.Sent || d != 5*time.Second {
			t.Errorf("%s after %s", got.Status, d)
		}
		start = time.Now()
		go func() {
			time.Sleep(time.Second)
			b.Stop()
		}()
		b.get("/v1/messages/" + m.ID + "?wait=30s").into(&got)
		if d := time.Since(start); d != time.Second {
			t.Errorf("ends %s after the server", d)
		}
		for _, bad := range []string{"wait=61s", "wait=-1", "wait=soon", "until=now"} {
			b.get("/v1/messages/"+m.ID+"?"+bad).problem(invalidFields, strings.SplitN(bad, "=", 2)[0])
		}
		b.get("/v1/messages/msg_none?wait=5s").problem(notFound)
	})
}

func TestWaitForEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, settings{single: true})
		page := func(query string) (p eventPageJSON, took time.Duration) {
			start := time.Now()
			b.ask("GET", "/v1/events?"+query, bearer(b.read).with("Accept", "application/json"), "").want(http.StatusOK).into(&p)
			return p, time.Since(start)
		}
		if p, d := page("after=0&wait=3s"); len(p.Events) != 0 || d != 3*time.Second || p.NextAfter != 0 {
			t.Errorf("%+v after %s", p, d)
		}
		go func() {
			time.Sleep(20 * time.Second)
			for range 3 {
				b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x"}`).accepted()
			}
			time.Sleep(5 * time.Second)
			m := b.messages()[0]
			if _, err := b.queue.Cancel(ctx, m.ID); err != nil {
				t.Error(err)
			}
		}()
		if p, d := page("after=0&wait=40s&types=message.canceled,modem.*"); len(p.Events) != 1 || p.Events[0].Type != "message.canceled" || d < 25*time.Second || d > 26*time.Second || p.NextAfter != 4 {
			t.Errorf("%+v after %s", p, d)
		}
		if p, d := page("after=0&wait=40s&types=message.*&limit=2"); len(p.Events) != 2 || d != 0 || p.NextAfter != 2 {
			t.Errorf("%+v after %s", p, d)
		}
		if p, _ := page("after=1&types=message.queued&limit=2"); len(p.Events) != 2 || p.NextAfter != 3 {
			t.Errorf("%+v", p)
		}
		b.post("/v1/messages", b.send, fmt.Sprintf(`{"to":"+491701234567","text":"later","send_at":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))).accepted()
		if p, _ := page("after=0&types=message.scheduled"); len(p.Events) != 1 || p.Events[0].Type != "message.scheduled" {
			t.Errorf("%+v", p)
		}
		if p, _ := page("after=99&wait=40s"); !p.Reset {
			t.Errorf("%+v", p)
		}
		for _, wrong := range []string{"message*", "bogus.type", "message.sent,bogus.type", "bogus.*", "webhook.test"} {
			b.get("/v1/events?types="+wrong).problem(invalidFields, "types")
		}
	})
}

// Who waits for few types and is far behind has what he waits for at once.
func TestWaitLooksToTheEndOfTheLog(t *testing.T) {
	b := newBox(t, settings{})
	drafts := make([]queue.Draft, mostLooked/5+10)
	for i := range drafts {
		drafts[i] = queue.Draft{Message: sms.Message{To: "+491701234567", Text: "x", Priority: 4}}
	}
	var last sms.Message
	for range 5 {
		all, _, err := b.queue.Submit(ctx, drafts, nil)
		if err != nil {
			t.Fatal(err)
		}
		last = all[0]
	}
	if _, err := b.queue.Cancel(ctx, last.ID); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"after=0&wait=30", "wait=30"} {
		start, page := time.Now(), eventPageJSON{}
		b.ask("GET", "/v1/events?types=message.canceled&"+query, bearer(b.read).with("Accept", "application/json"), "").want(http.StatusOK).into(&page)
		if took := time.Since(start); len(page.Events) != 1 || took > 20*time.Second {
			t.Errorf("%s: %d events after %s", query, len(page.Events), took)
		}
	}
}

// Neither a stream nor a long poll is cut off by the limits of ordinary requests.
func TestLimitsOfRequestsCutNobodyOff(t *testing.T) {
	b := newBox(t, settings{})
	s := b.Server()
	s.ReadTimeout, s.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	ts := httptest.NewUnstartedServer(nil)
	ts.Config = s
	ts.Start()
	defer ts.Close()
	get := func(target, accept string) *http.Response {
		t.Helper()
		req, err := http.NewRequest("GET", ts.URL+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+b.read)
		req.Header.Set("Accept", accept)
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		return r
	}
	r := get("/v1/events?after=0&wait=600ms", "application/json")
	if r.Body.Close(); r.StatusCode != http.StatusOK {
		t.Errorf("the poll: %d", r.StatusCode)
	}
	stream := get("/v1/events", "text/event-stream")
	defer stream.Body.Close()
	time.AfterFunc(600*time.Millisecond, func() { b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x"}`) })
	all, buffer := "", make([]byte, 4096)
	for !strings.Contains(all, "message.queued") {
		n, err := stream.Body.Read(buffer)
		if all += string(buffer[:n]); err != nil {
			t.Fatalf("the stream ends after %q: %v", all, err)
		}
	}
}

// slow foresees only after a while.
type slow struct {
	seer
	takes time.Duration
}

func (s *slow) Foresee(ctx context.Context, drafts []queue.Draft, explain bool) []intake.Outlook {
	time.Sleep(s.takes)
	return s.seer.Foresee(ctx, drafts, explain)
}

// A repetition waits for the first request, five seconds at most, and gets its answer.
func TestRepetitionWaitsForTheFirst(t *testing.T) {
	for takes, status := range map[time.Duration]int{3 * time.Second: http.StatusAccepted, 8 * time.Second: http.StatusConflict} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox(t, settings{single: true, desk: func(o *intake.Options) { o.Foreseer = &slow{takes: takes} }})
			post := func(key string) *answer {
				return b.ask("POST", "/v1/messages", bearer(b.send).with("Idempotency-Key", key), `{"to":"+491701234567","text":"x"}`)
			}
			first := make(chan *answer, 1)
			go func() { first <- post("1") }()
			time.Sleep(time.Second)
			start := time.Now()
			second := post("1").want(status)
			if d := time.Since(start); status == http.StatusConflict && d != 5*time.Second {
				t.Errorf("it waited %s", d)
			}
			want := (<-first).want(http.StatusAccepted).Body.String()
			if third := post("1").want(http.StatusAccepted).Body.String(); third != want || status == http.StatusAccepted && second.Body.String() != want {
				t.Errorf("answers differ: %s %s %s", want, second.Body, third)
			}
			if n := len(b.messages()); n != 1 {
				t.Errorf("%d messages", n)
			}
		})
	}
}
