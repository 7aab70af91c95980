package main

import (
	"fmt"
	"slices"
	"strings"

	"gatewayd/sms"
)

// Kinds of what may be found.
const (
	lost           = "lost"
	doubled        = "doubled"
	untrue         = "untrue"   // a status that says what is not so
	disorder       = "disorder" // events that are missing, too many, or not in order
	refusedRequest = "refused"  // a right request that was answered with an error
)

// mostCopies of a part can come about with all marks: the first, the resend, and
// once more a resend that the daemon's own end cut off.
const mostCopies = 3

// judge compares what was promised of a message with what the network saw and
// what the API says of it. Called with w.mu held.
func (w *world) judge(m *message, api []sms.Message, t *tally) {
	t.Messages++
	switch {
	case len(api) == 0 && m.promised:
		w.blame(m.tag, lost, "202 was answered, and there is no such message")
		return
	case len(api) == 0: // its client was not promised anything
		if len(m.seen) > 0 {
			w.blame(m.tag, untrue, "the network saw it, and there is no such message")
		}
		return
	case len(api) > 1:
		w.blame(m.tag, doubled, "one request made %d messages", len(api))
		return
	}
	a := api[0]
	if m.promised && (len(m.ids) != 1 || !m.ids[a.ID]) {
		w.blame(m.tag, untrue, "202 named %v, and the message is %s", sorted(m.ids), a.ID)
	}
	each, most, wholes := m.copies(a.Parts)
	t.Parts += a.Parts
	what := fmt.Sprintf("%s, on_unconfirmed %s, possible_duplicate %v, its parts were seen %v times", a.Status, a.OnUnconfirmed, a.PossibleDuplicate, each)
	if a.PossibleDuplicate {
		t.Marked++
	}
	if slices.Max(each) > 1 {
		t.Twice++
		switch {
		case m.onlyOnce && (most > 1 || wholes > 1):
			w.blame(m.tag, doubled, "it was to be sent at most once: %s", what)
		case !a.PossibleDuplicate:
			w.blame(m.tag, doubled, "without a mark: %s", what)
		case wholes > mostCopies:
			w.blame(m.tag, doubled, "more often than resends go: %s", what)
		}
	}
	w.judgeStatus(m, a, what, each, t)
}

// judgeStatus holds the status against what the network saw.
func (w *world) judgeStatus(m *message, a sms.Message, what string, each []int, t *tally) {
	switch a.Status {
	case sms.Sent, sms.Delivered:
		switch {
		case slices.Min(each) == 0:
			w.blame(m.tag, lost, "not every part was seen: %s", what)
		case !m.whole:
			w.blame(m.tag, untrue, "no phone could make it whole, or it said something else: %s", what)
		case a.Status == sms.Delivered && (m.to == number(expiredNumber) || m.to == number(silentNumber)):
			w.blame(m.tag, untrue, "no report said that it was delivered: %s", what)
		}
	case sms.Undelivered:
		if m.to != number(expiredNumber) {
			w.blame(m.tag, untrue, "it was delivered: %s", what)
		}
	case sms.Failed:
		code := ""
		if a.Error != nil {
			code = a.Error.Code
		}
		switch {
		case code == "unconfirmed" && a.OnUnconfirmed == sms.Resend && !a.PossibleDuplicate:
			w.blame(m.tag, lost, "it was given up without its resend: %s", what)
		case code == "unconfirmed":
			t.Unconfirmed++
		case m.refused && slices.Max(each) > 0:
			w.blame(m.tag, untrue, "it failed with %s, and the network saw it: %s", code, what)
		case !m.refused:
			w.blame(m.tag, lost, "it failed with %s: %s", code, what)
		}
	default:
		w.blame(m.tag, lost, "it did not come to its end: %s", what)
	}
}

// judgeLetter compares what a handset sent with what the receiver took: at
// least one message, and all but one marked. Called with w.mu held.
func (w *world) judgeLetter(l *letter, t *tally) {
	var unmarked []string
	for id, marked := range l.taken {
		if !marked {
			unmarked = append(unmarked, id)
		}
	}
	slices.Sort(unmarked)
	now := tally{Letters: 1}
	if len(unmarked) < len(l.taken) {
		now.LettersMarked = 1
	}
	if len(l.taken) > 1 {
		now.LettersTwice = 1
	}
	t.Letters += now.Letters - l.counted.Letters
	t.LettersMarked += now.LettersMarked - l.counted.LettersMarked
	t.LettersTwice += now.LettersTwice - l.counted.LettersTwice
	l.counted = now
	if len(unmarked) > 1 {
		w.blame(l.tag, doubled, "a handset sent it once, and without a mark it came as %s", strings.Join(unmarked, ", "))
	}
}
