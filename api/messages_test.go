package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/wire"
)

func TestSendMessage(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	b := newBox(t, settings{queue: queue.Options{Now: func() time.Time { return now }}, change: func(o *Options) { o.Now = func() time.Time { return now } }})
	a := b.post("/v1/messages", b.send, `{"to":"+49 (170) 123-4567","text":"Grüße €"}`)
	m := a.accepted()
	if m.To != "+491701234567" || m.Text != "Grüße €" || m.Status != sms.Queued || m.Priority != 4 || !m.DeliveryReport ||
		m.OnUnconfirmed != sms.Resend || m.Parts != 1 || m.Encoding != sms.GSM7 || !m.CreatedAt.Equal(now) {
		t.Errorf("accepted as %+v", m)
	}
	if at := a.Header().Get("Location"); at != "/v1/messages/"+m.ID {
		t.Errorf("Location %s", at)
	}
	var again sms.Message
	b.get("/v1/messages/" + m.ID).want(200).into(&again)
	if again.ID != m.ID || again.Text != m.Text {
		t.Errorf("read back as %+v", again)
	}

	m = b.post("/v1/messages", b.send, `{"to":"12345","data":"AAEC/w==","port":2948,"from":"+49 170 0000001","priority":0,
		"send_at":"2026-11-23T10:00:00+02:00","expires_at":"2026-11-24T00:00:00Z","flash":true,"delivery_report":false,
		"on_unconfirmed":"fail","callback_url":"https://chat.example.org/x?y=z","metadata":{"order":"17","empty":""},"client_id":"c-1"}`).accepted()
	if m.To != "12345" || !bytes.Equal(m.Data, []byte{0, 1, 2, 255}) || m.Port != 2948 || m.Priority != 0 || !m.Flash || m.DeliveryReport ||
		m.OnUnconfirmed != sms.Fail || m.CallbackURL != "https://chat.example.org/x?y=z" || m.Metadata["order"] != "17" || m.ClientID != "c-1" ||
		m.Status != sms.Scheduled || !m.SendAt.Equal(time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)) || m.From != "+491700000001" {
		t.Errorf("accepted as %+v", m)
	}

	// A time in the past means now; null is the same as leaving out.
	m = b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x","send_at":"2020-01-01T00:00:00Z","from":null,"priority":null,"metadata":null,"data":null}`).accepted()
	if m.Status != sms.Queued || m.Priority != 4 {
		t.Errorf("accepted as %+v", m)
	}
	// A modem without a number is named instead.
	m = b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x","from":"backup"}`).accepted()
	if m.From != "backup" {
		t.Errorf("from %q", m.From)
	}
}

// from binds the message to one modem, whichever way it is named.
func TestFromPinsTheModem(t *testing.T) {
	b := newBox(t, settings{})
	for from, pin := range map[string]string{`"office"`: "office", `"+49 170 0000001"`: "office", `"backup"`: "backup", "null": ""} {
		var m wire.NewMessage
		if err := json.Unmarshal([]byte(`{"to":"+491701234567","text":"x","from":`+from+`}`), &m); err != nil {
			t.Fatal(err)
		}
		if d, errs := b.o.Desk.Draft(intake.Caller{}, order(m)); d.Pin != pin || len(errs) > 0 {
			t.Errorf("from %s is bound to %q, %v", from, d.Pin, errs)
		}
	}
}

func TestNationalNumbersNeedARegion(t *testing.T) {
	b := newBox(t, settings{change: func(o *Options) { o.Region = func() string { return "DE" } }})
	if m := b.post("/v1/messages", b.send, `{"to":"0170 1234567","text":"x"}`).accepted(); m.To != "+491701234567" {
		t.Errorf("to %s", m.To)
	}
	b.get("/v1/messages?to=01701234567").want(200)
	b = newBox(t, settings{})
	b.post("/v1/messages", b.send, `{"to":"0170 1234567","text":"x"}`).problem(invalidFields, "to")
}

func TestBatchIsAllOrNone(t *testing.T) {
	b := newBox(t, settings{})
	p := b.post("/v1/messages/batch", b.send, `{"messages":[{"to":"+491701234567","text":"a"},{"to":"x","text":""},7,{"text":"d","bogus":1}]}`).
		problem(invalidFields, "messages[1].to", "messages[1].text", "messages[2]", "messages[3].to", "messages[3].bogus")
	if !strings.Contains(p.Detail, "and 2 more") {
		t.Errorf("detail %q", p.Detail)
	}
	b.nothingQueued()
	b.post("/v1/messages/batch", b.send, `{"messages":[]}`).problem(invalidFields, "messages")
	b.post("/v1/messages/batch", b.send, `{"messages":{}}`).problem(invalidFields, "messages")
	b.post("/v1/messages/batch", b.send, `{"message":[]}`).problem(invalidFields, "messages", "message")
	b.post("/v1/messages/batch", b.send, `{"messages":[`+strings.Repeat(`{},`, 1000)+`{}]}`).problem(invalidFields, "messages")
	b.nothingQueued()

	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf(`{"to":"+49170%07d","text":"t%d"}`, i, i))
	}
	var got struct{ Messages []sms.Message }
	b.post("/v1/messages/batch", b.send, `{"messages":[`+strings.Join(many, ",")+`]}`).want(202).into(&got)
	if len(got.Messages) != 1000 {
		t.Fatalf("%d accepted", len(got.Messages))
	}
	for i, m := range got.Messages {
		if m.Text != fmt.Sprintf("t%d", i) {
			t.Fatalf("message %d is %q", i, m.Text)
		}
	}
}

func TestFullQueueSaysSo(t *testing.T) {
	b := newBox(t, settings{queue: queue.Options{OutboundCapacity: 2}})
	send := func() *answer { return b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x"}`) }
	b.post("/v1/messages/batch", b.send, `{"messages":[{"to":"+491701234567","text":"1"},{"to":"+491701234567","text":"2"},{"to":"+491701234567","text":"3"}]}`).problem(queueFull)
	b.nothingQueued()
	send().accepted()
	send().accepted()
	a := send()
	a.problem(queueFull)
	if a.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if n := len(b.messages()); n != 2 {
		t.Errorf("%d messages", n)
	}
	if page := b.get("/").want(200).Body.String(); !strings.Contains(page, "The queue is full") {
		t.Error("the status page does not say that the queue is full")
	}
}

func TestBrokenDatabaseIs503(t *testing.T) {
	b := newBox(t, settings{})
	b.get("/v1/queue").want(200) // the key is known for a moment
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	a := b.post("/v1/messages", b.read, `{"to":"+491701234567","text":"x"}`)
	if a.Code != 403 && a.Code != 503 {
		t.Errorf("status %d", a.Code)
	}
	a = b.ask("GET", "/v1/messages", bearer(b.admin), "")
	a.problem(storage)
	if a.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.ask("GET", "/readyz", nil, "").problem(notReady)
	b.ask("GET", "/healthz", nil, "").want(200)
}

func TestIdempotency(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	b := newBox(t, settings{queue: queue.Options{Now: clock}, change: func(o *Options) { o.Now = clock }})
	send := func(key, body string) *answer {
		return b.ask("POST", "/v1/messages", bearer(b.send).with("Idempotency-Key", key), body)
	}
	const body = `{"to":"+491701234567","text":"x","priority":4,"from":"office","expires_at":"2026-11-22T09:00:00Z","metadata":{"a":"1","b":"2"}}`
	first := send("k1", body)
	m := first.accepted()
	if first.Header().Get("Idempotency-Replayed") != "" {
		t.Error("the first answer is called a replay")
	}
	again := func(what, body string) {
		t.Helper()
		a := send("k1", body)
		if got := a.accepted(); got.ID != m.ID || a.Header().Get("Idempotency-Replayed") != "true" || a.Header().Get("Location") != first.Header().Get("Location") {
			t.Errorf("%s: %s, replayed %q", what, got.ID, a.Header().Get("Idempotency-Replayed"))
		}
		if a.Body.String() != first.Body.String() {
			t.Errorf("%s: the answer differs:\n%s%s", what, first.Body, a.Body)
		}
	}
	again("the same bytes", body)
	again("the same JSON", `{ "metadata": {"b":"2", "a":"\u0031"}, "from":"office", "priority": 4.0, "text":"x", "to":"+491701234567", "expires_at":"2026-11-22T09:00:00Z"}`)
	for _, other := range []string{
		`{"to":"+491701234567","text":"y"}`,
		strings.Replace(body, `"priority":4`, `"priority":5`, 1),
		`{"to":"nobody","text":""}`, // wrong besides
	} {
		send("k1", other).problem(keyReused)
	}
	b.ask("POST", "/v1/messages/batch", bearer(b.send).with("Idempotency-Key", "k1"), `{"messages":[{"to":"+491701234567","text":"x"}]}`).problem(keyReused)

	// By now the request would be refused: it has expired, and its modem is gone.
	now = now.Add(2 * time.Hour)
	b.modems.all = nil
	again("two hours later", body)
	send("k2", body).problem(invalidFields, "from", "expires_at")
	// A refusal is not remembered.
	if a := send("k2", `{"to":"+491701234567","text":"now right"}`); a.accepted().ID == m.ID {
		t.Error("another key got the first answer")
	}
	// Keys belong to an API key.
	other := b.ask("POST", "/v1/messages", bearer(b.admin).with("Idempotency-Key", "k1"), `{"to":"+491701234567","text":"mine"}`).accepted()
	if other.ID == m.ID {
		t.Error("another API key's answer was given away")
	}
	for _, bad := range []string{" ", "a b", "ä", strings.Repeat("x", 256), "a\tb"} {
		send(bad, body).problem(invalidFields, "Idempotency-Key")
	}
	if n := len(b.messages()); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
}

func TestIdempotentRequestsAtTheSameTime(t *testing.T) {
	b := newBox(t, settings{})
	ids := make([]string, 32)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			a := b.ask("POST", "/v1/messages", bearer(b.send).with("Idempotency-Key", "once"), `{"to":"+491701234567","text":"x"}`)
			var m sms.Message
			if a.Code == http.StatusAccepted && json.Unmarshal(a.Body.Bytes(), &m) == nil {
				ids[i] = m.ID
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Fatalf("answers differ: %v", ids)
		}
	}
	if n := len(b.messages()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestIdempotentBatch(t *testing.T) {
	b := newBox(t, settings{})
	const body = `{"messages":[{"to":"+491701234567","text":"a"},{"to":"+491701234568","text":"b"}]}`
	h := bearer(b.send).with("Idempotency-Key", "batch")
	first := b.ask("POST", "/v1/messages/batch", h, body).want(202)
	again := b.ask("POST", "/v1/messages/batch", h, body).want(202)
	if first.Body.String() != again.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("first %s, then %s", first.Body, again.Body)
	}
	b.ask("POST", "/v1/messages", h, body).problem(keyReused) // not half of the batch's answer
	if n := len(b.messages()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

func TestAnswerSurvivesRestartButNotErasing(t *testing.T) {
	dir := t.TempDir()
	b := newBox(t, settings{dir: dir})
	const body = `{"to":"+491701234567","text":"x"}`
	m := b.ask("POST", "/v1/messages", bearer(b.send).with("Idempotency-Key", "k"), body).accepted()
	token := b.send
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	b = newBox(t, settings{dir: dir})
	h := bearer(token).with("Idempotency-Key", "k")
	if got := b.ask("POST", "/v1/messages", h, body).accepted(); got.ID != m.ID {
		t.Errorf("after a restart %s, before %s", got.ID, m.ID)
	}
	b.ask("DELETE", "/v1/numbers/+491701234567", bearer(b.admin), "").want(200)
	b.ask("POST", "/v1/messages", h, body).problem(conflict)
	if n := len(b.messages()); n != 0 {
		t.Errorf("%d messages after erasing", n)
	}
}

func TestClientID(t *testing.T) {
	b := newBox(t, settings{})
	m := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x","client_id":"order-1"}`).accepted()
	if got := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x","client_id":"order-1"}`).accepted(); got.ID != m.ID {
		t.Errorf("sent twice: %s and %s", m.ID, got.ID)
	}
	b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"other","client_id":"order-1"}`).problem(keyReused)
}

func TestCancelRedactErase(t *testing.T) {
	b := newBox(t, settings{})
	m := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"secret"}`).accepted()
	b.ask("POST", "/v1/messages/"+m.ID+"/redact", bearer(b.admin), "").problem(conflict) // still needed
	b.ask("DELETE", "/v1/messages/"+m.ID, bearer(b.send), "").want(200).into(&m)
	if m.Status != sms.Canceled {
		t.Errorf("canceled message is %s", m.Status)
	}
	b.ask("DELETE", "/v1/messages/"+m.ID, bearer(b.send), "").problem(conflict)
	a := b.ask("POST", "/v1/messages/"+m.ID+"/redact", bearer(b.admin), "").want(200)
	if strings.Contains(a.Body.String(), "secret") || strings.Contains(b.get("/v1/messages/"+m.ID).Body.String(), "secret") {
		t.Error("the text is still there")
	}
	for _, unknown := range []string{"msg_01KB2N8Q7R5V3W1X9Y8Z7A6B5C", "x", "%2e%2e", "'", "a%2Fb"} {
		b.get("/v1/messages/" + unknown).problem(notFound)
		b.ask("DELETE", "/v1/messages/"+unknown, bearer(b.send), "").problem(notFound)
		b.ask("POST", "/v1/messages/"+unknown+"/redact", bearer(b.admin), "").problem(notFound)
	}
	for _, written := range []string{"+491701234567", "%2B49%20170%201234567"} {
		b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x"}`).accepted()
		var got struct {
			Number string
			Erased int
		}
		b.ask("DELETE", "/v1/numbers/"+written, bearer(b.admin), "").want(200).into(&got)
		if got.Number != "+491701234567" || got.Erased == 0 {
			t.Errorf("erased %+v", got)
		}
	}
	if n := len(b.messages()); n != 0 {
		t.Errorf("%d messages left", n)
	}
	b.ask("DELETE", "/v1/numbers/%2B49", bearer(b.admin), "").problem(invalidFields, "number")
	b.ask("DELETE", "/v1/numbers/Vodafone", bearer(b.admin), "").want(200)
}

func TestListing(t *testing.T) {
	b := newBox(t, settings{})
	var sent []sms.Message
	for i := range 60 {
		sent = append(sent, b.post("/v1/messages", b.send, fmt.Sprintf(`{"to":"+4917012345%02d","text":"t%d"}`, i%10, i)).accepted())
	}
	b.ask("DELETE", "/v1/messages/"+sent[3].ID, bearer(b.send), "").want(200)
	page := func(query string) messagePage {
		t.Helper()
		var p messagePage
		b.get("/v1/messages" + query).want(200).into(&p)
		return p
	}
	p := page("")
	if len(p.Messages) != 50 || p.Messages[0].ID != sent[59].ID || p.NextCursor == nil {
		t.Errorf("the first page has %d messages, begins with %s", len(p.Messages), p.Messages[0].Text)
	}
	b.post("/v1/messages", b.send, `{"to":"+491701234500","text":"in between"}`).accepted()
	p = page("?cursor=" + *p.NextCursor)
	if len(p.Messages) != 10 || p.Messages[9].ID != sent[0].ID || p.NextCursor != nil {
		t.Errorf("the second page has %d messages", len(p.Messages))
	}
	for query, want := range map[string]int{
		"?limit=500": 61, "?limit=1": 1, "?to=%2B491701234505": 6, "?to=%2B49%20170%201234505": 6, "?from=office": 0,
		"?status=canceled": 1, "?status=canceled,queued&limit=500": 61, "?status=canceled&status=queued&limit=7": 7,
		"?direction=inbound": 0, "?direction=outbound&limit=500": 61, "?modem=office": 0,
		"?since=2020-01-01T00:00:00Z&limit=500": 61, "?until=2020-01-01T00:00:00Z": 0, "?since=2020-01-01T00:00:00+01:00&limit=2": 2,
	} {
		if p := page(query); len(p.Messages) != want {
			t.Errorf("%s: %d messages, want %d", query, len(p.Messages), want)
		}
	}
	for query, field := range map[string]string{
		"?limit=0": "limit", "?limit=501": "limit", "?limit=x": "limit", "?limit=1.0": "limit", "?limit=": "limit", "?limit=-1": "limit",
		"?limit=99999999999999999999": "limit", "?limit=1&limit=2": "limit",
		"?status=done": "status", "?status=": "status", "?status=sent,": "status", "?direction=both": "direction", "?direction=": "direction",
		"?since=yesterday": "since", "?until=2026-13-01T00:00:00Z": "until", "?since=1": "since",
		"?cursor=x": "cursor", "?cursor=": "cursor", "?cursor=%00": "cursor", "?stauts=sent": "stauts", "?to=": "to",
		"?to=" + strings.Repeat("1", 300): "to", "?a%ZZ": "query", "?offset=10": "offset",
	} {
		b.get("/v1/messages"+query).problem(invalidFields, field)
	}
	b.get("/v1/messages?limit=0&status=x&bogus=1").problem(invalidFields, "status", "limit", "bogus")
}
