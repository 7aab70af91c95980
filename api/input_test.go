package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"gatewayd/queue"
)

// maxMetadata is how many members a message's metadata may have, by the document.
const maxMetadata = 50

// What is refused, how, and which fields the answer names. Nothing is queued.
func TestBadInput(t *testing.T) {
	b := newBox(t, settings{})
	msg := func(members string) string { return `{"to":"+491701234567","text":"x",` + members + `}` }
	text := func(s string) string {
		j, _ := json.Marshal(s)
		return `{"to":"+491701234567","text":` + string(j) + `}`
	}
	many := make([]string, maxMetadata+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":"v"`, i)
	}
	for _, c := range []struct {
		what   string
		body   string
		kind   *kind
		fields string
	}{
		{"no JSON", `hello`, notJSON, ""},
		{"only spaces", "  \n", notJSON, ""},
		{"cut off", `{"to":"+491701234567","text":"x"`, notJSON, ""},
		{"garbage behind", `{"to":"+491701234567","text":"x"} x`, notJSON, ""},
		{"two values", `{"to":"+491701234567","text":"x"}{}`, notJSON, ""},
		{"comma at the end", `{"to":"+491701234567","text":"x",}`, notJSON, ""},
		{"single quotes", `{'to':'+491701234567','text':'x'}`, notJSON, ""},
		{"a comment", `{"to":"+491701234567",/**/"text":"x"}`, notJSON, ""},
		{"Latin-1", "{\"to\":\"+491701234567\",\"text\":\"gr\xfc\xdfe\"}", notJSON, ""},
		{"byte order mark", "\ufeff" + msg(`"flash":true`), notJSON, ""},
		{"a line end in a string", "{\"to\":\"+491701234567\",\"text\":\"a\nb\"}", notJSON, ""},
		{"half a character", `{"to":"+491701234567","text":"\ud83d"}`, notJSON, ""},
		{"the other half", `{"to":"+491701234567","text":"a\udE00"}`, notJSON, ""},
		{"two first halves", `{"to":"+491701234567","text":"\ud83d\ud83d"}`, notJSON, ""},
		{"nested deeply", strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000), notJSON, ""},
		{"NaN", msg(`"priority":NaN`), notJSON, ""},

		{"an array", `[]`, invalidFields, "body"},
		{"null", `null`, invalidFields, "body"},
		{"a string", `"x"`, invalidFields, "body"},
		{"empty object", `{}`, invalidFields, "to text"},
		{"nulls", `{"to":null,"text":null}`, invalidFields, "to text"},
		{"unknown field", msg(`"sendAt":"2026-01-01T00:00:00Z"`), invalidFields, "sendAt"},
		{"other case", `{"To":"+491701234567","TEXT":"x"}`, invalidFields, "to text To TEXT"},
		{"given twice", `{"to":"+491701234567","text":"x","to":"+491701234568"}`, invalidFields, "to"},
		{"unknown and twice", msg(`"bogus":1,"bogus":2`), invalidFields, "bogus bogus"},

		{"no to", `{"text":"x"}`, invalidFields, "to"},
		{"empty to", `{"to":"","text":"x"}`, invalidFields, "to"},
		{"letters in to", `{"to":"+49170abc4567","text":"x"}`, invalidFields, "to"},
		{"a name as to", `{"to":"office","text":"x"}`, invalidFields, "to"},
		{"a number as to", `{"to":491701234567,"text":"x"}`, invalidFields, "to"},
		{"several to", `{"to":["+491701234567"],"text":"x"}`, invalidFields, "to"},
		{"to too long", `{"to":"+4917012345678901234","text":"x"}`, invalidFields, "to"},
		{"a command in to", `{"to":"+491701234567\r\nATD112;","text":"x"}`, invalidFields, "to"},

		{"no text", `{"to":"+491701234567"}`, invalidFields, "text"},
		{"empty text", text(""), invalidFields, "text"},
		{"text is no string", `{"to":"+491701234567","text":5}`, invalidFields, "text"},
		{"40 KB of text", text(strings.Repeat("a", 40_000)), invalidFields, "text"},
		{"1531 characters", text(strings.Repeat("a", 1531)), invalidFields, "text"},
		{"671 of Unicode", text(strings.Repeat("ж", 671)), invalidFields, "text"},
		{"NUL", text("a\x00b"), invalidFields, "text"},
		{"escape", text("a\x1bb"), invalidFields, "text"},
		{"Ctrl-Z", text("a\x1ab"), invalidFields, "text"},
		{"text and data", msg(`"data":"AAA="`), invalidFields, "data"},
		{"port of a text", msg(`"port":80`), invalidFields, "port"},
		{"no base64", `{"to":"+491701234567","data":"A A="}`, invalidFields, "data"},
		{"base64 with line ends", `{"to":"+491701234567","data":"AA\r\nA="}`, invalidFields, "data"},
		{"no padding", `{"to":"+491701234567","data":"AAA"}`, invalidFields, "data"},
		{"empty data", `{"to":"+491701234567","data":""}`, invalidFields, "data"},
		{"data too long", `{"to":"+491701234567","data":"` + strings.Repeat("AAAA", 500) + `"}`, invalidFields, "data"},
		{"port 0", `{"to":"+491701234567","data":"AAAA","port":0}`, invalidFields, "port"},
		{"port 65536", `{"to":"+491701234567","data":"AAAA","port":65536}`, invalidFields, "port"},

		{"unknown from", msg(`"from":"nobody"`), invalidFields, "from"},
		{"number that no modem has", msg(`"from":"+491709999999"`), invalidFields, "from"},
		{"empty from", msg(`"from":""`), invalidFields, "from"},
		{"priority 10", msg(`"priority":10`), invalidFields, "priority"},
		{"priority -1", msg(`"priority":-1`), invalidFields, "priority"},
		{"priority 4.5", msg(`"priority":4.5`), invalidFields, "priority"},
		{"priority as a string", msg(`"priority":"4"`), invalidFields, "priority"},
		{"priority 1e999", msg(`"priority":1e999`), invalidFields, "priority"},
		{"send_at is no time", msg(`"send_at":"tomorrow"`), invalidFields, "send_at"},
		{"send_at without offset", msg(`"send_at":"2030-01-01T00:00:00"`), invalidFields, "send_at"},
		{"send_at as a number", msg(`"send_at":1767225600`), invalidFields, "send_at"},
		{"30 February", msg(`"send_at":"2030-02-30T00:00:00Z"`), invalidFields, "send_at"},
		{"year 9999", msg(`"send_at":"9999-12-31T23:59:59-12:00"`), invalidFields, "send_at"},
		{"expires_at in the past", msg(`"expires_at":"2020-01-01T00:00:00Z"`), invalidFields, "expires_at"},
		{"expires before sent", msg(`"send_at":"2998-01-02T00:00:00Z","expires_at":"2998-01-01T00:00:00Z"`), invalidFields, "expires_at"},
		{"flash as a string", msg(`"flash":"yes"`), invalidFields, "flash"},
		{"delivery_report as a number", msg(`"delivery_report":1`), invalidFields, "delivery_report"},
		{"on_unconfirmed", msg(`"on_unconfirmed":"retry"`), invalidFields, "on_unconfirmed"},
		{"callback_url without scheme", msg(`"callback_url":"example.org"`), invalidFields, "callback_url"},
		{"callback_url ftp", msg(`"callback_url":"ftp://example.org"`), invalidFields, "callback_url"},
		{"callback_url without host", msg(`"callback_url":"http:///x"`), invalidFields, "callback_url"},
		{"callback_url with a fragment", msg(`"callback_url":"https://example.org/#x"`), invalidFields, "callback_url"},
		{"callback_url with a line end", msg(`"callback_url":"https://example.org/\r\nX: y"`), invalidFields, "callback_url"},
		{"callback_url too long", msg(`"callback_url":"https://example.org/` + strings.Repeat("x", 2048) + `"`), invalidFields, "callback_url"},
		{"metadata is no object", msg(`"metadata":[]`), invalidFields, "metadata"},
		{"metadata with a number", msg(`"metadata":{"a":1,"b":null,"c":{}}`), invalidFields, "metadata.a metadata.b metadata.c"},
		{"too much metadata", msg(`"metadata":{` + strings.Join(many, ",") + `}`), invalidFields, "metadata"},
		{"metadata value too long", msg(`"metadata":{"a":"` + strings.Repeat("x", 501) + `"}`), invalidFields, "metadata.a"},
		{"metadata twice", msg(`"metadata":{"a":"1","a":"2"}`), invalidFields, "metadata.a"},
		{"metadata without a name", msg(`"metadata":{"":"1"}`), invalidFields, "metadata"},
		{"empty client_id", msg(`"client_id":""`), invalidFields, "client_id"},
		{"client_id too long", msg(`"client_id":"` + strings.Repeat("x", 256) + `"`), invalidFields, "client_id"},
		{"client_id with NUL", msg(`"client_id":"a\u0000"`), invalidFields, "client_id"},
		{"all at once", `{"to":"x","text":"","priority":99,"flash":0,"from":"nobody","send_at":"x","bogus":1}`,
			invalidFields, "to text from priority send_at flash bogus"},
	} {
		t.Run(c.what, func(t *testing.T) {
			b.t = t
			b.post("/v1/messages", b.send, c.body).problem(c.kind, strings.Fields(c.fields)...)
			if c.kind == notJSON {
				b.post("/v1/messages/batch", b.send, c.body).problem(notJSON)
			}
			b.nothingQueued()
		})
	}
	b.t = t
}

// maxBatchBody is what the document says of a batch.
const maxBatchBody = 4 << 20

func TestContentTypesAndSizes(t *testing.T) {
	b := newBox(t, settings{})
	const body = `{"to":"+491701234567","text":"x"}`
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/jsonx",
		"application/vnd.api+json", "json", "multipart/form-data; boundary=x"} {
		b.ask("POST", "/v1/messages", bearer(b.send).with("Content-Type", media), body).problem(wrongMediaType)
	}
	const option = "-H 'Content-Type: application/json'"
	if p := b.ask("POST", "/v1/messages", bearer(b.send).with("Content-Type", ""), "").problem(wrongMediaType); !strings.Contains(p.Detail, "send JSON such as {") || !strings.Contains(p.Detail, option) {
		t.Errorf("no body: %s", p.Detail)
	}
	form := bearer(b.send).with("Content-Type", "application/x-www-form-urlencoded") // what curl says unless it is told
	if p := b.ask("POST", "/v1/messages", form, body).problem(wrongMediaType); !strings.Contains(p.Detail, option) {
		t.Errorf("a form: %s", p.Detail)
	}
	b.ask("POST", "/v1/messages", bearer(b.send).with("Content-Type", "application/json"), "").problem(notJSON)

	large := `{"to":"+491701234567","text":"` + strings.Repeat("a", maxMessageBody) + `"}`
	b.post("/v1/messages", b.send, large).problem(tooLarge)
	b.post("/v1/messages/batch", b.send, `{"messages":[`+strings.Repeat(" ", maxBatchBody)+body+`]}`).problem(tooLarge)
	b.nothingQueued()
	// Only the body's size makes it 413.
	b.post("/v1/messages", b.send, body+strings.Repeat(" ", maxMessageBody-len(body))).accepted()
	for _, media := range []string{"application/json;charset=utf-8", "Application/JSON; charset=UTF-8"} {
		b.ask("POST", "/v1/messages", bearer(b.send).with("Content-Type", media), body).accepted()
	}
}

// A body of unknown length is cut off at the limit too.
func TestBodyWithoutLengthIsLimited(t *testing.T) {
	b := newBox(t, settings{})
	b.streamBody(`{"to":"+491701234567","text":"` + strings.Repeat("a", maxMessageBody) + `"}`).problem(tooLarge)
	b.nothingQueued()
}

// What a client makes up must not make the answer, or the memory it takes, large.
func TestHugeNonsenseIsRefusedBriefly(t *testing.T) {
	b := newBox(t, settings{})
	b.post("/v1/messages/batch", b.send, `{"messages":[`+strings.Repeat(`[],`, maxBatchBody/3-10)+`1]}`).problem(tooLarge)
	var names []string
	for i := range 5000 {
		names = append(names, fmt.Sprintf(`"%d":0`, i))
	}
	var p problemBody
	b.post("/v1/messages", b.send, `{`+strings.Join(names, ",")+`}`).want(422).into(&p)
	if len(p.Errors) != maxErrors {
		t.Errorf("%d errors are listed", len(p.Errors))
	}
	b.post("/v1/messages", b.send, `{"`+strings.Repeat("x", 60_000)+`":0}`).want(422).into(&p)
	for _, e := range p.Errors {
		if len(e.Field) > 100 {
			t.Errorf("a field of %d bytes is repeated", len(e.Field))
		}
	}
	b.nothingQueued()
}

func TestLimitsThatAreJustKept(t *testing.T) {
	b := newBox(t, settings{})
	members := make([]string, maxMetadata)
	for i := range members {
		members[i] = fmt.Sprintf(`"%s%02d":"%s"`, strings.Repeat("k", 62), i, strings.Repeat("ü", 500))
	}
	for what, body := range map[string]string{
		"10 parts of GSM 7-bit": `{"to":"+491701234567","text":"` + strings.Repeat("a", 1530) + `"}`,
		"10 parts of Unicode":   `{"to":"+491701234567","text":"` + strings.Repeat("ж", 670) + `"}`,
		"escaped emoji":         `{"to":"+491701234567","text":"\ud83d\ude00"}`,
		"an escaped backslash":  `{"to":"+491701234567","text":"\\ud83d"}`,
		"metadata":              `{"to":"+491701234567","text":"x","metadata":{` + strings.Join(members, ",") + `}}`,
		"the longest number":    `{"to":"+123456789012345","text":"x"}`,
		"far in the future":     `{"to":"+491701234567","text":"x","send_at":"9998-01-01T00:00:00Z"}`,
		"times with offsets":    `{"to":"+491701234567","text":"x","send_at":"2998-01-01T00:00:00.123+05:30"}`,
	} {
		t.Run(what, func(t *testing.T) {
			b.t = t
			b.post("/v1/messages", b.send, body).accepted()
		})
	}
}

func TestUnicodeNamesTheCharacter(t *testing.T) {
	b := newBox(t, settings{})
	p := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"`+strings.Repeat("a", 1000)+`ż"}`).problem(invalidFields, "text")
	if !strings.Contains(p.Detail, "ż") || !strings.Contains(p.Detail, "ucs2") {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestCanonical(t *testing.T) {
	same := func(a, b string) bool {
		t.Helper()
		x, err := parseJSON([]byte(a))
		if err != nil {
			t.Fatal(err)
		}
		y, err := parseJSON([]byte(b))
		if err != nil {
			t.Fatal(err)
		}
		return string(canonical(x)) == string(canonical(y))
	}
	for _, c := range [][2]string{
		{`{"a":1,"b":[1,2]}`, ` { "b" : [ 1.0 , 2e0 ] , "a" : 10E-1 } `}, {`"\u0041\/"`, `"A/"`}, {`{}`, `{ }`},
		{`-0`, `-0.0`}, {`100000000000000000000`, `1e20`},
	} {
		if !same(c[0], c[1]) {
			t.Errorf("%s and %s are the same JSON", c[0], c[1])
		}
	}
	for _, c := range [][2]string{
		{`{"a":1}`, `{"a":"1"}`}, {`{"a":null}`, `{}`}, {`[1,2]`, `[2,1]`}, {`"a"`, `"A"`}, {`1e999`, `2e999`}, {`true`, `"true"`}, {`[]`, `{}`},
	} {
		if same(c[0], c[1]) {
			t.Errorf("%s and %s are different", c[0], c[1])
		}
	}
}

// FuzzSubmitBody sends any bytes as a message: the answer is always one that the
// document promises, and what is not accepted leaves nothing behind.
func FuzzSubmitBody(f *testing.F) {
	for _, seed := range []string{
		`{"to":"+491701234567","text":"x"}`, `{"to":"12345","data":"AAAA","port":80,"metadata":{"a":"b"},"send_at":"2998-01-01T00:00:00Z"}`,
		`{"to":"+491701234567","text":"\ud83d\ude00","priority":9e0,"flash":true,"from":"office"}`, `[]`, `{"to":`, "\xff", `{"a":{"a":{"a":[]}}}`,
		`{"messages":[{"to":"+491701234567","text":"x"},{}]}`, `{"to":"+491701234567","text":"x","expires_at":"2998-01-01T00:00:00+14:00","on_unconfirmed":"fail"}`,
	} {
		f.Add([]byte(seed))
	}
	b := newBox(f, settings{queue: queue.Options{OutboundCapacity: 1 << 20}})
	f.Fuzz(func(t *testing.T, body []byte) {
		b.t = t
		for _, path := range []string{"/v1/messages", "/v1/messages/batch"} {
			_, before, err := b.queue.Span(ctx)
			if err != nil {
				t.Fatal(err)
			}
			a := b.ask("POST", path, bearer(b.send).with("Content-Type", "application/json"), string(body))
			_, after, err := b.queue.Span(ctx)
			if err != nil {
				t.Fatal(err)
			}
			switch a.Code {
			case 202:
				if after == before {
					t.Errorf("202, and nothing is in the log")
				}
			case 400, 413, 422:
				if after != before {
					t.Errorf("%d, and something is in the log", a.Code)
				}
			default:
				t.Errorf("%s: status %d: %s", path, a.Code, a.Body)
			}
			if !utf8.Valid(a.Body.Bytes()) {
				t.Error("the answer is not UTF-8")
			}
		}
	})
}
