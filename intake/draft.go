package intake

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
	"gatewayd/sms/pdu"
)

// Message is what somebody wants sent, as he wrote it. Doors differ in how they
// are spoken to and check that; what a message may be is checked by Draft.
type Message struct {
	To   string // E.164, national where a region is set, or a short code
	From string // name or number of the modem that must send; "": any
	// Gateway is, on a hub, the gateway that is to send it, or "group:" and a group's
	// name; "": as the hub's routes say.
	Gateway string
	// A message has a text or data.
	Text           *string
	Data           []byte // nil: none
	Port           int    // application port of data; 0: none
	UDH            []byte // data's own user data header, its length in front; nil: none
	Priority       *int   // 0 to 9; nil: sms.DefaultPriority
	SendAt         time.Time
	ExpiresAt      time.Time
	RejectIfLate   bool    // refuse it if it is expected to be sent after ExpiresAt, or no modem can send it now
	Unicode        Unicode // "": as the desk has it
	Flash          bool
	DeliveryReport *bool             // nil: yes
	OnUnconfirmed  sms.OnUnconfirmed // "": sms.Resend
	CallbackURL    string
	ClientID       string
	Metadata       map[string]string
}

// reading is a message that is being read, and what is wrong with it.
type reading struct {
	*Desk
	who  Caller
	m    Message
	d    queue.Draft
	errs []FieldError
}

func (r *reading) wrong(field, format string, args ...any) {
	r.errs = append(r.errs, FieldError{field, fmt.Sprintf(format, args...)})
}

// Draft makes a message ready for Submit. The errors are all that is wrong with
// it; their fields have the names of the API.
func (d *Desk) Draft(who Caller, m Message) (queue.Draft, []FieldError) {
	r := reading{Desk: d, who: who, m: m, d: queue.Draft{KeyID: who.KeyID, RejectIfLate: m.RejectIfLate, Message: sms.Message{
		Direction: sms.Outbound, Priority: sms.DefaultPriority, Flash: m.Flash, DeliveryReport: true, OnUnconfirmed: m.OnUnconfirmed,
		CallbackURL: m.CallbackURL, ClientID: m.ClientID, Metadata: m.Metadata, SendAt: m.SendAt, ExpiresAt: m.ExpiresAt,
	}}}
	if m.DeliveryReport != nil {
		r.d.DeliveryReport = *m.DeliveryReport
	}
	if m.OnUnconfirmed == "" {
		r.d.OnUnconfirmed = sms.Resend
	}
	if m.Priority != nil {
		if r.d.Priority = *m.Priority; r.d.Priority < 0 || r.d.Priority >= queue.Priorities {
			r.wrong("priority", "must be a whole number from 0 to %d", queue.Priorities-1)
		}
	}
	if m.CallbackURL != "" && d.o.Callback != nil {
		if what := d.o.Callback(m.CallbackURL); what != "" {
			r.wrong("callback_url", "%s", what)
		}
	}
	switch m.Unicode {
	case "", Allow, Transliterate, Reject:
	default:
		r.wrong("unicode", "must be one of %s, %s, %s", Allow, Transliterate, Reject)
	}
	r.recipient()
	r.content()
	r.sender()
	r.gateway()
	r.life()
	return r.d, r.errs
}

func (r *reading) recipient() {
	if r.m.To == "" {
		r.wrong("to", "is missing")
		return
	}
	n, err := number.Parse(r.m.To, r.o.Region())
	if err != nil {
		r.wrong("to", "%s", err)
	} else if why := r.Refuses(r.who, n); why != "" {
		r.wrong("to", "%s", why)
	}
	r.d.To = n
}

// content reads text, or data with port.
func (r *reading) content() {
	if r.m.Port != 0 && r.m.Data == nil {
		r.wrong("port", "belongs to data; a text has none")
	}
	if r.m.UDH != nil && r.m.Data == nil {
		r.wrong("udh", "belongs to data; a text has none")
	}
	switch {
	case r.m.Text != nil && r.m.Data != nil:
		r.wrong("data", "can't be sent together with text")
	case r.m.Text != nil:
		r.text(*r.m.Text)
	case r.m.Data != nil:
		r.d.Data, r.d.Port, r.d.UDH = r.m.Data, r.m.Port, r.m.UDH
		r.data()
	default:
		r.wrong("text", "is missing")
	}
}

func (r *reading) data() {
	a, err := analyse(r.d)
	bad := (*pdu.Error)(nil)
	switch {
	case len(r.d.Data) == 0:
		r.wrong("data", "is empty")
	case errors.As(err, &bad):
		r.wrong(bad.Field, "%s", bad.Detail)
	case err != nil:
		r.wrong("data", "%s", err)
	case a.Parts > r.o.MaxParts:
		r.wrong("data", "needs %d parts; at most %d are allowed", a.Parts, r.o.MaxParts)
	}
	r.d.Encoding, r.d.Parts = a.Encoding, a.Parts
}

func analyse(d queue.Draft) (pdu.Analysis, error) {
	return pdu.Submit{Text: d.Text, Data: d.Data, Port: d.Port, UDH: d.UDH}.Analyse()
}

func (r *reading) text(text string) {
	analysis, err := pdu.Analyse(text)
	if err == nil && analysis.ForcedBy != 0 {
		text, analysis = r.unicode(text, analysis)
	}
	switch {
	case text == "":
		r.wrong("text", "is empty")
	case err != nil:
		r.wrong("text", "%s", strings.TrimPrefix(err.Error(), "text: "))
	case analysis.Parts > r.o.MaxParts:
		r.wrong("text", "needs %d parts as %s%s; at most %d are allowed",
			analysis.Parts, analysis.Encoding, because(analysis), r.o.MaxParts)
	}
	r.d.Text, r.d.Encoding, r.d.Parts = text, analysis.Encoding, analysis.Parts
}

// unicode does with a text that is not in the GSM 7-bit alphabet what is to be done.
func (r *reading) unicode(text string, a pdu.Analysis) (string, pdu.Analysis) {
	switch cmp.Or(r.m.Unicode, r.Unicode()) {
	case Allow:
	case Transliterate:
		plain, whole := pdu.Transliterate(text)
		b, err := pdu.Analyse(plain)
		if !whole || err != nil {
			r.d.Warnings = append(r.d.Warnings, sms.WarnUnicode)
			break
		}
		r.d.Warnings = append(r.d.Warnings, sms.WarnTransliterated)
		return plain, b
	case Reject:
		f := a.Forced()
		r.wrong("text", "has %q (%s) at position %d, which is not in the GSM 7-bit alphabet; unicode is reject", f.Character, f.CodePoint, f.Position)
	}
	return text, a
}

// because names the character that made a text need more than twice the room.
func because(a pdu.Analysis) string {
	if a.ForcedBy == 0 {
		return ""
	}
	return fmt.Sprintf(" (because of %q)", a.ForcedBy)
}

// sender reads from: the name or the number of the modem that must send.
func (r *reading) sender() {
	if r.m.From == "" {
		return
	}
	m, ok := r.modem(r.m.From)
	if !ok {
		r.wrong("from", "is neither the name nor the number of a modem; GET /v1/modems lists them")
		return
	}
	r.d.Pin = m.Name
	if r.d.From = m.Number; r.d.From == "" {
		r.d.From = m.Name
	}
}

// gateway reads which of a hub's gateways is to send.
func (r *reading) gateway() {
	switch name := r.m.Gateway; {
	case name == "":
	case r.o.Fleet == nil:
		r.wrong("gateway", "can't be chosen: this gateway has no hub part, and sends with its own modems; leave it out, or ask the hub")
	case !r.o.Fleet.Wanted(name):
		r.wrong("gateway", "is neither a gateway nor “group:” and the name of a group that has one; GET /v1/gateways lists them")
	case r.d.Pin != "" && !r.holds(name, r.d.Pin):
		r.wrong("from", "is a modem of another gateway than the one that gateway names; leave one of them out")
	default:
		r.d.Gateway = name
	}
}

// holds tells whether a modem of the fleet, NAME@GATEWAY, may be meant by who names a gateway.
// Which gateways a group has is for the hub to say.
func (r *reading) holds(gateway, modem string) bool {
	_, at, ok := strings.Cut(modem, "@")
	return !ok || at == gateway || strings.HasPrefix(gateway, "group:")
}

// modem finds a modem by its name, its SIM's number, or on a hub its SIM's ICCID.
func (d *Desk) modem(nameOrNumber string) (sms.Modem, bool) {
	if d.o.Modems == nil {
		return sms.Modem{}, false
	}
	if m, ok := d.o.Modems.Get(nameOrNumber); ok && !m.Unidentified {
		return m, true
	}
	n, err := number.Parse(nameOrNumber, d.o.Region())
	for _, m := range d.o.Modems.List() {
		if err == nil && m.Number != "" && m.Number == n || d.o.Fleet != nil && m.ICCID != "" && m.ICCID == nameOrNumber {
			return m, true
		}
	}
	return sms.Modem{}, false
}

// life checks from when on and until when the message may be sent. A send_at in
// the past means now.
func (r *reading) life() {
	switch {
	case r.m.ExpiresAt.IsZero():
	case !r.m.ExpiresAt.After(r.o.Now()) && r.o.Clock.Trusted():
		r.wrong("expires_at", "is in the past")
	case !r.m.ExpiresAt.After(r.m.SendAt):
		r.wrong("expires_at", "must be later than send_at")
	}
}
