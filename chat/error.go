package chat

import (
	"fmt"
	"time"
)

// Error says why something can't be done in a conversation.
type Error struct {
	Code       Code
	Field      string        // what was asked for, by its name in the API; "": none
	Detail     string        // in words, a sentence
	RetryAfter time.Duration // of a limit: when it may be tried again; 0: not known
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Detail }

// Code is what an Error is about.
type Code string

// The codes.
const (
	NoNumberFree  Code = "no-number-free" // every SIM that works has a conversation of somebody else's with the number
	NotOptedIn    Code = "not-opted-in"   // the phone was not asked, or has not said YES
	OptedOut      Code = "opted-out"      // the phone said STOP
	BlockedSender Code = "blocked-sender"
	BlockedNumber Code = "blocked-number"
	Keyword       Code = "keyword"     // the text has a word that is not let through
	Destination   Code = "destination" // nothing is sent to such numbers
	Limit         Code = "limit"       // too much, for now
	Captcha       Code = "captcha"     // a stranger has to solve a puzzle first: see Challenge
	Closed        Code = "closed"
	NotFound      Code = "not-found"
	TooLong       Code = "too-long"
	NoHub         Code = "no-internet" // nothing goes by internet from here
	LinkDown      Code = "link-down"   // the hub is not reached now
	NoInbox       Code = "no-inbox"    // the recipient has none
	NoLink        Code = "no-link"     // a file has no public address
	Invalid       Code = "invalid"     // the field can't be as it is
)

func fail(code Code, field, format string, args ...any) error {
	return &Error{Code: code, Field: field, Detail: fmt.Sprintf(format, args...)}
}

func notFound() error {
	return fail(NotFound, "", "There is no such conversation, or it is not yours.")
}
