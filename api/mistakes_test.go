package api

import (
	"fmt"
	"strings"
	"testing"
)

// What is wrong with a field is said in words that read on from its name.
func TestMistakesInWords(t *testing.T) {
	b := newBox(t, settings{})
	const to = `"to":"+491701234567","text":"x"`
	for body, want := range map[string]string{
		`{"text":"x"}`:                                           "to is missing",
		`{"to":null,"text":"x"}`:                                 "to is missing",
		`{"to":5,"text":"x"}`:                                    "to must be a string",
		`{"to":"","text":"x"}`:                                   "to is empty",
		`[]`:                                                     "body must be a JSON object",
		`{` + to + `,"priority":10}`:                             "priority must be a whole number from 0 to 9",
		`{` + to + `,"priority":4.5}`:                            "priority must be a whole number from 0 to 9",
		`{` + to + `,"priority":"4"}`:                            "priority must be a whole number from 0 to 9",
		`{` + to + `,"priority":1e999}`:                          "priority must be a whole number from 0 to 9",
		`{` + to + `,"flash":"yes"}`:                             "flash must be true or false",
		`{` + to + `,"on_unconfirmed":"x"}`:                      "on_unconfirmed must be one of resend, fail",
		`{` + to + `,"send_at":"tomorrow"}`:                      "send_at must be a time such as 2026-11-30T08:00:00Z (RFC 3339, with its offset)",
		`{` + to + `,"send_at":"9999-12-31T23:59:59Z"}`:          "send_at must be a time from 1970 to 9998",
		`{` + to + `,"callback_url":"ftp://x"}`:                  "callback_url must be an http or https URL with a host and without a fragment",
		`{` + to + `,"client_id":"a\u0000"}`:                     "client_id contains the control character U+0000",
		`{` + to + `,"client_id":""}`:                            "client_id is empty",
		`{` + to + `,"from":"` + strings.Repeat("x", 101) + `"}`: "from is longer than 100 characters",
		`{` + to + `,"metadata":[]}`:                             "metadata must be an object of strings",
		`{` + to + `,"metadata":{"a":null}}`:                     "metadata.a must be a string",
		`{` + to + `,"metadata":{"":"x"}}`:                       "metadata has a member without a name",
		`{` + to + `,"metadata":{"a\n":"x"}}`:                    "metadata.a\n has a name that contains the control character U+000A",
		`{"to":"12345","data":"A"}`:                              "data must be base64 (RFC 4648, with padding)",
		`{` + to + `,"bogus":1}`:                                 "bogus is not a known field",
		`{` + to + `,"to":"x"}`:                                  "to is given twice",
	} {
		var p problemBody
		b.post("/v1/messages", b.send, body).want(422).into(&p)
		if got := fmt.Sprintf("%s %s", p.Errors[0].Field, p.Errors[0].Detail); got != want || len(p.Errors) != 1 {
			t.Errorf("%s: %q, want %q", body, p.Errors, want)
		}
	}
	var p problemBody
	b.post("/v1/messages/batch", b.send, `{"messages":[`+strings.Repeat(`{},`, 1000)+`{}]}`).want(422).into(&p)
	if want := "has 1001 messages; at most 1000 are allowed"; p.Errors[0].Detail != want {
		t.Errorf("%q, want %q", p.Errors[0].Detail, want)
	}
	for query, want := range map[string]string{
		"limit=0": "limit must be a whole number from 1 to 500", "limit=": "limit is empty; leave it out instead", "limit=1&limit=2": "limit is given more than once",
		"direction=up": "direction must be one of outbound, inbound", "since=x": "since must be a time such as 2026-11-30T08:00:00Z (RFC 3339, with its offset)",
		"bogus=1": "bogus is not a known parameter", "to=a%00": "to contains the control character U+0000",
	} {
		b.get("/v1/messages?" + query).want(422).into(&p)
		if got := fmt.Sprintf("%s %s", p.Errors[0].Field, p.Errors[0].Detail); got != want || len(p.Errors) != 1 {
			t.Errorf("%s: %q, want %q", query, p.Errors, want)
		}
	}
}
