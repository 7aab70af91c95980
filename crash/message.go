package main

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"

	"gatewayd/sim"
	"gatewayd/sms"
)

// message is a text that a client wants sent, and what the four ledgers know of
// it: what the client was promised, what the network saw, what webhooks told.
type message struct {
	tag      string // in each of its parts
	to, text string
	parts    int
	onlyOnce bool // on_unconfirmed is fail
	refused  bool // the network refuses the number, for good

	// Guarded by world.mu.
	asked    bool             // a request with it was made
	keyless  bool             // without a key: its client asked once, whatever came of it
	promised bool             // 202 was read
	ids      map[string]bool  // that 202s gave it
	seen     map[string][]int // by sender and reference: how often the network accepted each part
	whole    bool             // the network had all parts of it at once, and they said what was posted
	settled  bool             // it is at its end, as far as webhooks told
	checked  bool
}

// saw notes that the network accepted a part.
func (m *message) saw(s sim.Submission) {
	set := fmt.Sprint(s.From, " under ", s.Ref)
	if m.seen[set] == nil {
		m.seen[set] = make([]int, s.Parts)
	}
	m.seen[set][s.Part-1]++
}

// copies counts how often each part was seen, the most that one sender sent of
// a part under one reference, and how many whole messages a phone can have made of
// what it got: it joins parts of one sender and one reference only.
func (m *message) copies(parts int) (each []int, most, wholes int) {
	each = make([]int, parts)
	for _, seen := range m.seen {
		least := seen[0]
		for i, n := range seen {
			if i < parts {
				each[i] += n
			}
			most, least = max(most, n), min(least, n)
		}
		wholes += least
	}
	return each, most, wholes
}

// letter is a text that a handset sent to a modem.
type letter struct {
	tag, from, text string
	taken           map[string]bool // ids of the messages by which the receiver got it; true: marked
	checked         bool
	counted         tally // what it counts for
}

var tags = regexp.MustCompile(`<([a-z0-9]+)>`)

// tagOf finds the sign of a message in a text.
func tagOf(text string) string {
	if m := tags.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// words makes a text of about so many characters in which no stretch of 60
// lacks the tag, so that each part of it is known.
func words(r *rand.Rand, tag string, length int) string {
	fillings := []string{"ready", "at noon", "{x}", "ok?", "äöü", "€5", "line\nbreak", "42"}
	if r.IntN(4) == 0 {
		fillings = append(fillings, "日本", "🎉", "привет")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<%s>", tag)
	for b.Len() < length {
		fmt.Fprintf(&b, " %s", fillings[r.IntN(len(fillings))])
		if b.Len() < length {
			fmt.Fprintf(&b, " <%s>", tag)
		}
	}
	return b.String()
}

// length is how long texts are: most are short, some take several parts.
func length(r *rand.Rand) int {
	switch n := r.IntN(10); {
	case n < 6:
		return 10 + r.IntN(50)
	case n < 9:
		return 170 + r.IntN(150)
	default:
		return 320 + r.IntN(230)
	}
}

// The numbers of a world. Few, so that each has much to keep in order.
const handsets = 12

func number(i int) string { return fmt.Sprintf("+4917000001%02d", i) }

// What the network has in store for some of them.
const (
	refusedNumber = handsets - 1 // the network refuses it for good
	expiredNumber = handsets - 2 // what it is sent is never delivered, and a report says so
	silentNumber  = handsets - 3 // reports are never sent
)

// final tells whether nothing more is to come. Without a report a message stays
// sent.
func final(s sms.Status) bool {
	switch s {
	case sms.Sent, sms.Delivered, sms.Undelivered, sms.Failed, sms.Expired, sms.Canceled:
		return true
	}
	return false
}
