package sms

import (
	"encoding/json"
	"errors"
	"strings"
)

// USSD is one step of a USSD session: the code that begins it, or a reply to
// what the network asks in it, or its end.
type USSD struct {
	Code   string
	Reply  string
	Cancel bool
}

// maxUSSD is how many characters of the default alphabet a step holds.
const maxUSSD = 182

// USSDCode says what is wrong with a code, nil if nothing is. Nothing but
// these characters can be dialled, so nothing else can reach a modem either.
func USSDCode(code string) error {
	switch {
	case len(code) > maxUSSD:
		return errors.New("is longer than 182 characters")
	case code == "" || strings.Trim(code, "0123456789*#+") != "":
		return errors.New("must consist of digits, *, # and +, such as *100#")
	}
	return nil
}

// USSDReply says what is wrong with a reply, nil if nothing is.
func USSDReply(reply string) error {
	switch {
	case len(reply) > maxUSSD:
		return errors.New("is longer than 182 characters")
	case reply == "" || strings.ContainsFunc(reply, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(" *#+.,:;!?()/&%'=<>-", r)
	}):
		return errors.New("must consist of letters a to z, digits, spaces and * # + . , : ; ! ? ( ) / & % ' = < > -")
	}
	return nil
}

// Check says what is wrong with a step, nil if nothing is.
func (u USSD) Check() error {
	switch {
	case u.Cancel:
		return nil
	case u.Reply != "":
		return USSDReply(u.Reply)
	}
	return USSDCode(u.Code)
}

// USSDState says what became of a step.
type USSDState string

// The states of a step.
const (
	USSDDone       USSDState = "done"        // the session is over
	USSDNeedsReply USSDState = "needs-reply" // the network waits for a reply
	USSDFailed     USSDState = "failed"      // Reason tells why; the session is over
)

// USSDAnswer is what came of a step.
type USSDAnswer struct {
	State  USSDState
	Text   string // the network's, "" if it gave none
	Reason string // why it failed, in words
}

// MarshalJSON writes every field; one without a value is null.
func (a USSDAnswer) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		State  USSDState `json:"state"`
		Text   *string   `json:"text"`
		Reason *string   `json:"reason"`
	}{a.State, orNil(a.Text), orNil(a.Reason)})
}
