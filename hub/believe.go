package hub

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatewayd/mirror"
	"gatewayd/sms"
)

// What a gateway may say, at most, in bytes. Whoever has stolen one has its credentials, and
// is not to fill the hub's memory and disk with what no gateway says, nor its pages and logs.
const (
	longestText = 256 << 10 // a text of 255 parts is half of that
	longestNote = 4 << 10   // an error, a wording, a subject, a name
	longestSlip = 200       // a modem, a SIM, a number, a version
	largestJSON = 64 << 10  // the state of a modem, an alarm
	mostConsent = 1000      // decisions in one event
	mostFiles   = 100       // that go with a message
)

var (
	messageForm = regexp.MustCompile(`^msg_[0-9A-Z]{26}$`)
	reasonForm  = regexp.MustCompile(`^[a-z-]{1,32}$`)
)

// claim is what a gateway tells, as far as it was looked at.
type claim struct{ err error }

func (c *claim) deny(is bool, what string) {
	if is && c.err == nil {
		c.err = fmt.Errorf("no gateway says that: %s", what)
	}
}

func (c *claim) short(what string, most int, all ...string) {
	for _, s := range all {
		c.deny(len(s) > most || !utf8.ValidString(s), what+" is too long, or no text")
	}
}

func (c *claim) id(id string) {
	c.deny(!messageForm.MatchString(id), "a message's id is not one")
}

func (c *claim) number(n string) {
	c.deny(n == "" || strings.ContainsFunc(n, unicode.IsControl), "a number is none")
	c.short("a number", longestSlip, n)
}

func (c *claim) files(all ...sms.File) {
	c.deny(len(all) > mostFiles, "there are too many files")
	for _, f := range all {
		c.short("a file's id", longestSlip, f.ID)
		c.short("what is said of a file", longestNote, f.Name, f.Type)
	}
}

// wrong tells why a gateway can't have told that; nil: it can.
func wrong(e mirror.Event) error {
	c := &claim{}
	c.short("the name of its log", longestSlip, e.Log)
	if s := e.State; s != nil {
		c.id(s.ID)
		c.deny(!slices.Contains(sms.Statuses, s.Status), "there is no such status")
		c.short("a modem or a SIM", longestSlip, s.Modem, s.SIM, s.Local)
		if s.Error != nil {
			c.short("an error", longestNote, s.Error.Code, s.Error.Title, s.Error.Detail)
		}
	}
	if a := e.Arrived; a != nil {
		m := a.Message
		c.id(m.ID)
		c.short("a number, a modem or a SIM", longestSlip, m.From, m.To, m.Modem, a.SIM)
		c.short("a text", longestText, m.Text)
		c.deny(len(m.Data) > longestText, "a text is too long")
	}
	c.deny(len(e.Consent) > mostConsent, "there are too many decisions")
	for _, d := range e.Consent {
		c.number(d.Number)
		c.deny(!reasonForm.MatchString(d.Reason), "there is no such reason")
		c.short("a wording", longestText, d.Wording)
	}
	if m := e.Inbox; m != nil {
		c.id(m.ID)
		c.number(m.To)
		c.short("a name or a subject", longestNote, m.Name, m.Subject)
		c.short("a text", longestText, m.Text)
		c.files(m.Files...)
	}
	if p := e.Chunk; p != nil {
		c.files(p.File)
	}
	c.deny(len(e.Modem) > largestJSON || len(e.Alarm) > largestJSON, "a modem's state or an alarm is too long")
	return c.err
}
