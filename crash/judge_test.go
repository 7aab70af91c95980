package main

import (
	"strings"
	"testing"

	"gatewayd/sms"
)

// The ledgers' comparison finds each thing that must not be, and nothing else.
func TestJudge(t *testing.T) {
	sent := func(status sms.Status, marked bool, code string) []sms.Message {
		m := sms.Message{ID: "msg_1", Status: status, Parts: 2, PossibleDuplicate: marked, OnUnconfirmed: sms.Resend}
		if code != "" {
			m.Error = &sms.Error{Code: code}
		}
		return []sms.Message{m}
	}
	once := map[string][]int{"a": {1, 1}}
	for name, c := range map[string]struct {
		seen     map[string][]int
		api      []sms.Message
		change   func(m *message)
		lost     int
		doubled  int
		untrue   int
		promised bool
	}{
		"as promised":              {seen: once, api: sent(sms.Delivered, false, "")},
		"gone":                     {seen: once, api: nil, lost: 1},
		"never promised, never in": {api: nil, change: func(m *message) { m.promised, m.keyless = false, true }},
		"never promised, and sent": {seen: once, change: func(m *message) { m.promised, m.keyless = false, true }, untrue: 1},
		"accepted twice":           {seen: once, api: append(sent(sms.Delivered, false, ""), sent(sms.Delivered, false, "")...), doubled: 1},
		"another id":               {seen: once, api: sent(sms.Delivered, false, ""), change: func(m *message) { m.ids = map[string]bool{"msg_2": true} }, untrue: 1},
		"half of it":               {seen: map[string][]int{"a": {1, 0}}, api: sent(sms.Sent, false, ""), lost: 1},
		"garbled":                  {seen: once, api: sent(sms.Sent, false, ""), change: func(m *message) { m.whole = false }, untrue: 1},
		"a part twice":             {seen: map[string][]int{"a": {1, 2}}, api: sent(sms.Delivered, false, ""), doubled: 1},
		"a part twice, marked":     {seen: map[string][]int{"a": {1, 2}}, api: sent(sms.Delivered, true, "")},
		"far too often, marked":    {seen: map[string][]int{"a": {4, 4}}, api: sent(sms.Delivered, true, ""), doubled: 1},
		"twice, though only once was asked for": {seen: map[string][]int{"a": {2, 1}}, api: sent(sms.Delivered, true, ""),
			change: func(m *message) { m.onlyOnce = true }, doubled: 1},
		"begun anew from another SIM": {seen: map[string][]int{"a": {1, 0}, "b": {1, 1}}, api: sent(sms.Delivered, true, ""), change: func(m *message) { m.onlyOnce = true }},
		"given up without a resend":   {api: sent(sms.Failed, false, "unconfirmed"), lost: 1},
		"begun anew twice, from the first SIM again": {seen: map[string][]int{"a under 1": {1, 0}, "b under 2": {1, 0}, "a under 3": {1, 1}},
			api: sent(sms.Delivered, true, ""), change: func(m *message) { m.onlyOnce = true }},
		"whole from two SIMs": {seen: map[string][]int{"a under 1": {1, 1}, "b under 2": {1, 1}},
			api: sent(sms.Delivered, true, ""), change: func(m *message) { m.onlyOnce = true }, doubled: 1},
		"given up after its resend":   {seen: once, api: sent(sms.Failed, true, "unconfirmed")},
		"failed":                      {api: sent(sms.Failed, false, "cms-500"), lost: 1},
		"refused":                     {api: sent(sms.Failed, false, "cms-1"), change: func(m *message) { m.refused = true }},
		"refused, and seen":           {seen: once, api: sent(sms.Failed, false, "cms-1"), change: func(m *message) { m.refused = true }, untrue: 1},
		"undelivered":                 {seen: once, api: sent(sms.Undelivered, false, "tp-st-70"), change: func(m *message) { m.to = number(expiredNumber) }},
		"undelivered, and delivered":  {seen: once, api: sent(sms.Undelivered, false, "tp-st-70"), untrue: 1},
		"delivered, without a report": {seen: once, api: sent(sms.Delivered, false, ""), change: func(m *message) { m.to = number(silentNumber) }, untrue: 1},
		"never at its end":            {api: sent(sms.Queued, false, ""), lost: 1},
	} {
		w := &world{lab: &lab{blamed: map[string]bool{}, kept: map[*world]string{}, quiet: true}}
		w.lab.kept[w] = "nowhere"
		m := &message{tag: "m1", to: number(0), promised: true, whole: len(c.seen) > 0, ids: map[string]bool{"msg_1": true}, seen: c.seen}
		if c.change != nil {
			c.change(m)
		}
		var n tally
		w.judge(m, c.api, &n)
		if l := w.lab.total; l.Lost != c.lost || l.Doubled != c.doubled || l.Wrong != c.untrue {
			t.Errorf("%s: %s", name, l.verdict())
		}
	}
}

func TestJudgeLetter(t *testing.T) {
	for name, c := range map[string]struct {
		taken   map[string]bool
		doubled int
	}{
		"once":            {map[string]bool{"a": false}, 0},
		"once, marked":    {map[string]bool{"a": true}, 0},
		"twice, marked":   {map[string]bool{"a": false, "b": true}, 0},
		"twice, unmarked": {map[string]bool{"a": false, "b": false}, 1},
	} {
		w := &world{lab: &lab{blamed: map[string]bool{}, kept: map[*world]string{}, quiet: true}}
		w.lab.kept[w] = "nowhere"
		var n tally
		w.judgeLetter(&letter{tag: "h1", taken: c.taken}, &n)
		if w.lab.total.Doubled != c.doubled || n.Letters != 1 {
			t.Errorf("%s: %s", name, w.lab.total.verdict())
		}
	}
}

// A text that comes again lives after it was compared is compared again, and
// counted once.
func TestLateRepetitionOfALetter(t *testing.T) {
	w := &world{lab: &lab{blamed: map[string]bool{}, kept: map[*world]string{}, quiet: true}, hook: &receiver{}}
	w.lab.kept[w] = "nowhere"
	l := &letter{tag: "h1", from: number(0), text: "<h1>", taken: map[string]bool{}}
	w.letters = map[string]*letter{"h1": l}
	for _, id := range []string{"a", "b"} {
		w.told(event{sms.Message{ID: id, Direction: sms.Inbound, From: l.from, Text: l.text}})
		if err := w.compare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.lab.total; got.Doubled != 1 || got.Letters != 1 || got.LettersTwice != 1 {
		t.Errorf("%+v", got)
	}
}

// Each part of a text has its tag in it, but for an end that is too short.
func TestTags(t *testing.T) {
	r := newRand(1, 1)
	for range 200 {
		text := words(r, "m12", length(r))
		for at := 0; at+60 <= len(text); at += 10 {
			if !strings.Contains(text[at:at+60], "<m12>") {
				t.Fatalf("no tag in %q", text[at:at+60])
			}
		}
	}
}
