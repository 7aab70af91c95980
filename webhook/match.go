package webhook

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"gatewayd/sms"
)

// Match narrows the received messages that an endpoint gets. What is empty
// matches any; what is set must match all together.
type Match struct {
	Modem      string
	To         string
	FromPrefix string
	Keyword    string // the text's first word, letter case ignored
}

// wants reports whether the endpoint gets an event.
func (c *Endpoint) wants(e *sms.Event) bool {
	if !slices.Contains(c.Events, "*") && !slices.Contains(c.Events, e.Type) {
		return false
	}
	if e.Type != sms.EventOf(sms.Received) || c.Match == (Match{}) {
		return true
	}
	var m sms.Message
	if err := json.Unmarshal(e.Data, &m); err != nil {
		return true // rather told than lost
	}
	return c.Match.fits(&m)
}

// stops reports whether an event that the endpoint gets goes to no later one. One
// that has a match stops what was matched, so a rule for a few texts does not take
// everything else away.
func (c *Endpoint) stops(e *sms.Event) bool {
	return c.Stop && (c.Match == (Match{}) || e.Type == sms.EventOf(sms.Received))
}

func (f Match) fits(m *sms.Message) bool {
	return (f.Modem == "" || f.Modem == m.Modem) &&
		(f.To == "" || f.To == m.To) &&
		strings.HasPrefix(m.From, f.FromPrefix) &&
		(f.Keyword == "" || startsWith(m.Text, f.Keyword))
}

// startsWith reports whether keyword is the text's first word, with or without
// the punctuation that people put around it.
func startsWith(text, keyword string) bool {
	words := strings.Fields(text)
	return len(words) > 0 && (strings.EqualFold(words[0], keyword) ||
		strings.EqualFold(strings.TrimFunc(words[0], unicode.IsPunct), keyword))
}
