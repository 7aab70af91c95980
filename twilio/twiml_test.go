package twilio

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]document{
		`<Response/>`:                                                   {},
		`<Response></Response>`:                                         {},
		`<!-- x --><Response><!-- y --></Response>`:                     {},
		`<Response><Message>a</Message></Response>`:                     {replies: []reply{{body: "a"}}},
		"<Response>\n  <Message>\n  a\n  b\n </Message>\n</Response>\n": {replies: []reply{{body: "a\n  b"}}},
		`<Response><Message> <Body>a</Body> <Media>https://x</Media></Message></Response>`:                                {replies: []reply{{body: "a"}}},
		`<Response><Message>x<Body>a</Body><Body>b</Body></Message></Response>`:                                           {replies: []reply{{body: "ab"}}},
		`<Response><Message to="1" from="2" statusCallback="3" action="4">a</Message></Response>`:                         {replies: []reply{{"1", "2", "a", "3"}}},
		`<Response><Sms>a</Sms><Say>no</Say><Message>b</Message></Response>`:                                              {replies: []reply{{body: "a"}, {body: "b"}}},
		`<Response><Message>a</Message><Redirect method="get"> /x?a=1&amp;b=2 </Redirect><Message>b</Message></Response>`: {replies: []reply{{body: "a"}}, redirect: "/x?a=1&b=2", method: "GET"},
		`<Response><Message><![CDATA[<3 & more]]> &#x1F44D;&lt;</Message></Response>`:                                     {replies: []reply{{body: "<3 & more 👍<"}}},
		`<?xml version="1.0" encoding="ISO-8859-1"?><Response><Message>` + "gr\xfc\xdfe" + `</Message></Response>`:        {replies: []reply{{body: "grüße"}}},
		`<Response><Gather><Message>nested</Message></Gather></Response>`:                                                 {},
	} {
		got, err := parse([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nis %+v (%v)\nwant %+v", text, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	bomb := `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]><Response><Message>&b;</Message></Response>`
	file := `<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Response><Message>&f;</Message></Response>`
	for name, text := range map[string]string{
		"nothing":          ``,
		"no XML":           `OK`,
		"another root":     `<html><body/></html>`,
		"cut":              `<Response><Message>a`,
		"two roots":        `<Response/><Response/>`,
		"an entity bomb":   bomb,
		"an outside file":  file,
		"deep":             `<Response>` + strings.Repeat(`<a>`, 1000) + strings.Repeat(`</a>`, 1000) + `</Response>`,
		"eleven":           `<Response>` + strings.Repeat(`<Message>a</Message>`, 11) + `</Response>`,
		"an empty address": `<Response><Redirect/></Response>`,
		"a charset":        `<?xml version="1.0" encoding="EBCDIC"?><Response/>`,
		"crossed":          `<Response><Message></Response></Message>`,
	} {
		if got, err := parse([]byte(text)); err == nil {
			t.Errorf("%s is read as %+v", name, got)
		}
	}
	if _, err := read(http.Header{}, []byte(`<Response>`+strings.Repeat(" ", maxDocument)+`</Response>`)); err == nil {
		t.Error("a document of more than 64 KiB is read")
	}
}

func FuzzTwiML(f *testing.F) {
	for _, s := range []string{`<Response><Message to="1">a<Body>b</Body></Message><Redirect>/x</Redirect></Response>`, `<Response/>`, "plain",
		`<!DOCTYPE x [<!ENTITY a "b">]><Response><Message>&a;</Message></Response>`, `<?xml version="1.0" encoding="latin1"?><Response/>`} {
		f.Add("text/xml", s)
	}
	f.Fuzz(func(t *testing.T, media, s string) {
		doc, err := read(http.Header{"Content-Type": {media}}, []byte(s))
		if err != nil {
			if len(doc.replies) > 0 || doc.redirect != "" {
				t.Errorf("what is refused says %+v", doc)
			}
			return
		}
		if len(doc.replies) > maxReplies {
			t.Errorf("%d replies", len(doc.replies))
		}
		size := 0
		for _, r := range doc.replies {
			if r.body == "" || strings.TrimSpace(r.body) != r.body {
				t.Errorf("the reply %q", r.body)
			}
			size += len(r.body)
		}
		if size > 2*len(s) { // a byte of Latin-1 becomes two
			t.Errorf("%d bytes became %d", len(s), size)
		}
		_ = resolve("https://example.org/a", doc.redirect)
	})
}
