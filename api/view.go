package api

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// The kinds that colours and signs stand for.
const (
	good = "good"
	warn = "warn"
	bad  = "bad"
	idle = "idle"
)

// pill is a word with its kind.
type pill struct{ Word, Kind string }

// statusKinds colours the statuses of messages.
var statusKinds = map[sms.Status]string{
	sms.Scheduled: idle, sms.Queued: idle, sms.Sending: idle, sms.Sent: good, sms.Delivered: good, sms.Received: good,
	sms.Canceled: idle, sms.Unconfirmed: warn, sms.Expired: warn, sms.Undelivered: bad, sms.Failed: bad,
}

// messageLine is a message in a list.
type messageLine struct {
	ID, Number, Text string
	Inbound          bool
	Pill             pill
	At               time.Time
}

func lineOf(m sms.Message) messageLine {
	l := messageLine{
		ID: m.ID, Number: m.To, Text: excerpt(m), Inbound: m.Direction == sms.Inbound,
		Pill: pill{string(m.Status), statusKinds[m.Status]}, At: m.CreatedAt,
	}
	if l.Inbound {
		l.Number = m.From
	}
	return l
}

// excerpt is the beginning of what a message says.
func excerpt(m sms.Message) string {
	if said := saidOf(m); said != "" {
		m.Text, m.Data = said, nil
	}
	switch {
	case m.Redacted:
		return "(erased)"
	case m.Data != nil:
		return countOf(len(m.Data), "byte of data", "bytes of data")
	}
	text := strings.Join(strings.Fields(m.Text), " ")
	const most = 120
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "…"
	}
	return text
}

// saidOf says what a message that is no text tells, "" if that is no more than
// its text or data.
func saidOf(m sms.Message) string {
	switch {
	case m.MMS != nil:
		return strings.TrimSpace("Multimedia message " + m.MMS.Subject)
	case m.Push != nil && m.Push.Text+m.Push.URL != "":
		return strings.TrimSpace(m.Push.Text + " " + m.Push.URL)
	case m.Kind == sms.KindUnknown:
		return "(can't be decoded)"
	case m.Kind == sms.KindWaiting && m.Text == "":
		return capital(waitingWords(m.Waiting))
	}
	return ""
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// count writes a whole number with its thousands apart.
func count(n any) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

type messageView struct {
	Message sms.Message
	Inbound bool
	Binary  string
	Said    string // in place of data or of a text that is empty
	Pill    pill
	Life    []stepView
	Facts   []factView
	Parts   []partView
	PDUs    []string // of a received message
}

type stepView struct {
	What string
	At   time.Time
}

type factView struct{ Name, Value string }

// Long reports whether the value needs the whole width.
func (f factView) Long() bool { return len(f.Value) > 24 }

type partView struct {
	Number, Attempts                   int
	Modem, MR, Report                  string
	StartedAt, ConfirmedAt, ReportedAt time.Time
}

// messagePage shows one message and what became of it.
func (a *API) messagePage(c echo.Context) error {
	ctx := c.Request().Context()
	m, err := a.o.Queue.Message(ctx, param(c, "id"))
	if err != nil {
		return err
	}
	parts, err := a.o.Queue.Parts(ctx, m.Row)
	if err != nil {
		return err
	}
	v := messageView{
		Message: *m, Inbound: m.Direction == sms.Inbound, Binary: hex.EncodeToString(m.Data), Said: saidOf(*m),
		Pill: pill{string(m.Status), statusKinds[m.Status]}, Life: lifeOf(m), Facts: factsOf(m),
	}
	if v.Inbound {
		pdus, err := a.o.Queue.PDUs(ctx, m.Row)
		if err != nil {
			return err
		}
		for _, p := range pdus {
			v.PDUs = append(v.PDUs, p.PDU)
		}
	}
	for _, p := range parts {
		v.Parts = append(v.Parts, partView{
			Number: p.Number, Attempts: p.Attempts, Modem: p.Modem, MR: numberOr(p.MR, "–"), Report: reportOf(p.Report),
			StartedAt: p.StartedAt, ConfirmedAt: deref(p.ConfirmedAt), ReportedAt: deref(p.ReportedAt),
		})
	}
	return a.page(c, http.StatusOK, "message.html", a.frame(c, "Message"), v)
}

func deref(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func numberOr(n *int, otherwise string) string {
	if n == nil {
		return otherwise
	}
	return strconv.Itoa(*n)
}

// lifeOf tells a message's life in the order of its times.
func lifeOf(m *sms.Message) []stepView {
	first, sent := "Accepted", "Sent"
	if m.Direction == sms.Inbound {
		first, sent = "Received", "Taken by the service centre"
	}
	steps := []stepView{{first, m.CreatedAt}, {"To be sent", m.SendAt}, {sent, m.SentAt}, {"Delivered", m.DeliveredAt}}
	switch m.Status {
	case sms.Failed, sms.Undelivered, sms.Expired, sms.Canceled, sms.Unconfirmed:
		steps = append(steps, stepView{capital(string(m.Status)), m.UpdatedAt})
	}
	steps = slices.DeleteFunc(steps, func(s stepView) bool { return s.At.IsZero() })
	steps = slices.DeleteFunc(steps, func(s stepView) bool { return s.At.Before(m.CreatedAt) && m.Direction == sms.Outbound })
	slices.SortStableFunc(steps, func(a, b stepView) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	return steps
}

func factsOf(m *sms.Message) []factView {
	facts := []factView{
		{"id", m.ID}, {"to", m.To}, {"from", m.From}, {"modem", m.Modem},
		{"encoding", string(m.Encoding)}, {"parts", strconv.Itoa(m.Parts)},
	}
	if m.Kind != sms.KindText {
		facts = append(facts, factView{"kind", string(m.Kind)})
	}
	if m.Port != 0 {
		facts = append(facts, factView{"port", strconv.Itoa(m.Port)})
	}
	if p := m.Push; p != nil {
		facts = append(facts, factView{"push.content_type", p.ContentType}, factView{"push.text", p.Text}, factView{"push.url", p.URL},
			factView{"push.action", p.Action}, factView{"push.expires_at", stamp(p.ExpiresAt)})
	}
	if p := m.MMS; p != nil {
		facts = append(facts, factView{"mms.from", p.From}, factView{"mms.subject", p.Subject}, factView{"mms.location", p.Location},
			factView{"mms.transaction_id", p.TransactionID}, factView{"mms.expires_at", stamp(p.ExpiresAt)})
		if p.Size > 0 {
			facts = append(facts, factView{"mms.size", countOf(p.Size, "byte", "bytes")})
		}
	}
	if m.Waiting != nil {
		facts = append(facts, factView{"waiting", waitingWords(m.Waiting)})
	}
	if m.Direction == sms.Outbound {
		facts = append(facts, factView{"priority", strconv.Itoa(m.Priority)}, factView{"attempts", strconv.Itoa(m.Attempts)},
			factView{"client_id", m.ClientID})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Metadata)) {
		facts = append(facts, factView{"metadata." + name, m.Metadata[name]})
	}
	return slices.DeleteFunc(facts, func(f factView) bool { return f.Value == "" })
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// waitingWords says what waits: "voicemail: 2 wait, fax: none waits".
func waitingWords(all []sms.Waiting) string {
	var words []string
	for _, w := range all {
		switch {
		case !w.Active:
			words = append(words, w.Type+": none waits")
		case w.Count == nil || *w.Count == 1:
			words = append(words, w.Type+": one waits")
		default:
			words = append(words, fmt.Sprintf("%s: %d wait", w.Type, *w.Count))
		}
	}
	return strings.Join(words, ", ")
}

// reportOf says a status report in words.
func reportOf(st *int) string {
	if st == nil {
		return ""
	}
	_, words := pdu.TPStatus(byte(*st))
	return words
}
