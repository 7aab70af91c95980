package api

import (
	"fmt"
	"strings"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
	"gatewayd/sms/pdu"
)

// maxBatch is the most messages of one batch.
const maxBatch = 1000

// draft reads one message that is to be sent; what is wrong is in f.
func (a *API) draft(f *fields, now time.Time) queue.Draft {
	d := queue.Draft{Message: sms.Message{
		Direction:      sms.Outbound,
		Priority:       f.integer("priority", 0, 9, sms.DefaultPriority),
		Flash:          f.boolean("flash", false),
		DeliveryReport: f.boolean("delivery_report", true),
		OnUnconfirmed:  sms.OnUnconfirmed(f.oneOf("on_unconfirmed", string(sms.Resend), string(sms.Fail))),
		CallbackURL:    f.httpURL("callback_url"),
		Metadata:       f.metadata("metadata"),
	}}
	if d.OnUnconfirmed == "" {
		d.OnUnconfirmed = sms.Resend
	}
	d.ClientID, _ = f.line("client_id", 255)
	a.recipient(f, &d)
	a.content(f, &d)
	a.sender(f, &d)
	a.life(f, &d, now)
	f.done()
	return d
}

func (a *API) recipient(f *fields, d *queue.Draft) {
	before := len(*f.errs)
	to, ok := f.text("to")
	if !ok {
		if len(*f.errs) == before {
			f.wrong("to", "is missing")
		}
		return
	}
	n, err := number.Parse(to, a.o.Region)
	if err != nil {
		f.wrong("to", "%s", err)
	}
	d.To = n
}

// content reads text, or data with port.
func (a *API) content(f *fields, d *queue.Draft) {
	v, hasText := f.take("text")
	_, hasData := f.take("data")
	d.Port = f.integer("port", 1, 65535, 0)
	if d.Port != 0 && !hasData {
		f.wrong("port", "belongs to data; a text has none")
	}
	switch text, isString := v.(string); {
	case hasText && hasData:
		f.wrong("data", "can't be sent together with text")
	case hasText && !isString:
		f.wrong("text", "must be a string")
	case hasText:
		a.text(f, d, text)
	case hasData:
		d.Data = f.base64("data")
		if n := pdu.AnalyseData(len(d.Data), d.Port != 0).Parts; n > a.maxParts() {
			f.wrong("data", "needs %d parts; at most %d are allowed", n, a.maxParts())
		}
	default:
		f.wrong("text", "is missing")
	}
}

func (a *API) text(f *fields, d *queue.Draft, text string) {
	analysis, err := pdu.Analyse(text)
	switch {
	case text == "":
		f.wrong("text", "is empty")
	case err != nil:
		f.wrong("text", "%s", strings.TrimPrefix(err.Error(), "text: "))
	case analysis.Parts > a.maxParts():
		f.wrong("text", "needs %d parts as %s%s; at most %d are allowed",
			analysis.Parts, analysis.Encoding, because(analysis), a.maxParts())
	}
	d.Text = text
}

// because names the character that made a text need more than twice the room.
func because(a pdu.Analysis) string {
	if a.ForcedBy == 0 {
		return ""
	}
	return fmt.Sprintf(" (because of %q)", a.ForcedBy)
}

func (a *API) maxParts() int {
	if a.o.MaxParts > 0 {
		return a.o.MaxParts
	}
	return pdu.MaxParts
}

// sender reads from: the name or the number of the modem that must send.
func (a *API) sender(f *fields, d *queue.Draft) {
	from, ok := f.line("from", 100)
	if !ok {
		return
	}
	m, ok := a.modemBy(from)
	if !ok {
		f.wrong("from", "is neither the name nor the number of a modem; GET /v1/modems lists them")
		return
	}
	d.Pin = m.Name
	if d.From = m.Number; d.From == "" {
		d.From = m.Name
	}
}

// modemBy finds a modem by its name, else by its SIM's number.
func (a *API) modemBy(nameOrNumber string) (sms.Modem, bool) {
	if a.o.Modems == nil {
		return sms.Modem{}, false
	}
	if m, ok := a.o.Modems.Get(nameOrNumber); ok && !m.Unidentified {
		return m, true
	}
	n, err := number.Parse(nameOrNumber, a.o.Region)
	if err != nil {
		return sms.Modem{}, false
	}
	for _, m := range a.o.Modems.List() {
		if m.Number != "" && m.Number == n {
			return m, true
		}
	}
	return sms.Modem{}, false
}

// life reads from when on and until when the message may be sent.
func (a *API) life(f *fields, d *queue.Draft, now time.Time) {
	d.SendAt = f.instant("send_at") // a time in the past means now
	d.ExpiresAt = f.instant("expires_at")
	switch {
	case d.ExpiresAt.IsZero():
	case !d.ExpiresAt.After(now) && a.o.Clock.Trusted():
		f.wrong("expires_at", "is in the past")
	case !d.ExpiresAt.After(d.SendAt):
		f.wrong("expires_at", "must be later than send_at")
	}
}
