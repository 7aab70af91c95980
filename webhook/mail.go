package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"gatewayd/sms"
)

func isMail(raw string) bool { return len(raw) > 7 && strings.EqualFold(raw[:7], "mailto:") }

// recipients reads a mailto: URL; nil: it is not one, or has more than addresses.
func recipients(raw string) []string {
	u, err := url.Parse(raw)
	if err != nil || !strings.EqualFold(u.Scheme, "mailto") || u.RawQuery != "" || u.Fragment != "" {
		return nil
	}
	plain, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return nil
	}
	var all []string
	for one := range strings.SplitSeq(plain, ",") {
		a, err := mail.ParseAddress(one)
		if err != nil || a.Name != "" || a.Address != strings.TrimSpace(one) {
			return nil
		}
		all = append(all, a.Address)
	}
	return all
}

// mailTimeout is for handing one e-mail over: servers take their time to look at it.
const mailTimeout = time.Minute

// mail tells an event by e-mail.
func (w *Webhooks) mail(ctx context.Context, d Delivery) result {
	send := w.variable.Load().mail
	if send == nil {
		return result{verdict: again, words: "no mail server is set up in the configuration"}
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	subject, text := letter(d.Event)
	err := send(ctx, recipients(d.URL), subject, text, d.ID)
	if err == nil {
		return result{verdict: delivered}
	}
	r := result{verdict: again, words: describe(err)}
	var final interface{ Permanent() bool }
	if errors.As(err, &final) && final.Permanent() {
		r.verdict = refused
	}
	return r
}

// letter words an event for people.
func letter(e *sms.Event) (subject, text string) {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	kind, what, _ := strings.Cut(e.Type, ".")
	switch kind {
	case "message":
		var m sms.Message
		_ = json.Unmarshal(e.Data, &m)
		if subject = "SMS to " + m.To + ": " + what; m.Direction == sms.Inbound {
			subject = "SMS from " + m.From
		}
		switch {
		case m.Text != "":
			b.WriteString(m.Text + "\n\n")
		case m.Redacted:
			b.WriteString("(The text was erased.)\n\n")
		case len(m.Data) > 0:
			b.WriteString("(This message is not a text.)\n\n")
		}
		line("From", m.From)
		line("To", m.To)
		line("Modem", m.Modem)
		line("Status", string(m.Status))
		if m.Error != nil {
			line("Error", m.Error.Title+". "+m.Error.Detail)
		}
		line("Message", m.ID)
	case "alarm":
		var a sms.Alarm
		_ = json.Unmarshal(e.Data, &a)
		if subject = "Alarm: " + a.Title; !a.EndedAt.IsZero() {
			subject = "Over: " + a.Title
		}
		b.WriteString(a.Detail + "\n\n")
		line("Modem", a.Modem)
		line("Code", a.Code)
	case "modem":
		var m sms.Modem
		_ = json.Unmarshal(e.Data, &m)
		subject = "Modem " + m.Name + ": " + string(m.State)
		line("Reason", m.Reason)
		line("Advice", m.Advice)
	case "call":
		var c sms.Call
		_ = json.Unmarshal(e.Data, &c)
		from := c.From
		if from == "" {
			from = "a withheld number"
		}
		subject = "Call from " + from
		line("To", c.To)
		line("Modem", c.Modem)
	case "consent":
		var c sms.Consent
		_ = json.Unmarshal(e.Data, &c)
		subject = "Consent of " + c.Number + ": " + what
		b.WriteString(c.Wording + "\n\n")
		line("Reason", c.Reason)
		line("Source", c.Source)
		line("Conversation", c.Conversation)
	default:
		subject = "gatewayd: " + e.Type
		fmt.Fprintf(&b, "%s\n", e.Data)
	}
	line("Time", e.Time.UTC().Format("2006-01-02 15:04:05 UTC"))
	return oneLine(subject), b.String()
}

// oneLine keeps what others wrote from adding headers to an e-mail.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 }), " ")
}
