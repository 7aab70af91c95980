package api

import (
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

	"gatewayd/auth"
	"gatewayd/sms"
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
	Name             string // of the contact that has the number; "": none has
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
	Name     string // of the contact
	Message  sms.Message
	Inbound  bool
	Binary   string
	Said     string // in place of data or of a text that is empty
	Pill     pill
	Steps    []stepView
	Ahead    []stepView
	Complete bool
	Facts    []factView
	PDUs     []string // of a received message
	Notice   *saidView
	// what the reader may do with it
	MayCancel, MayRedact, MayUnmask, MayRetry bool
}

// stepView is a step of the timeline as the page shows it.
type stepView struct {
	lifeStep
	Mark, After, Network, Facts string
	Retry                       bool
}

type factView struct{ Name, Value string }

// Long reports whether the value needs the whole width.
func (f factView) Long() bool { return len(f.Value) > 24 }

// messagePage is GET /messages/{id}: one message and its whole life.
func (a *API) messagePage(c echo.Context) error { return a.showMessage(c, nil) }

func (a *API) showMessage(c echo.Context, notice *saidView) error {
	ctx, key := c.Request().Context(), keyOf(c)
	m, err := a.message(ctx, key, param(c, "id"))
	if err != nil {
		return err
	}
	a.o.Desk.Foreseen(ctx, m)
	_, newest, err := a.o.Queue.Span(ctx) // before what is shown: what comes meanwhile is told
	if err != nil {
		return err
	}
	t, err := a.timeline(ctx, m)
	if err != nil {
		return err
	}
	over := !slices.Contains([]sms.Status{sms.Scheduled, sms.Queued, sms.Sending, sms.Unconfirmed}, m.Status)
	v := messageView{
		Message: *m, Inbound: m.Direction == sms.Inbound, Binary: hex.EncodeToString(m.Data), Said: saidOf(*m),
		Pill: pill{string(m.Status), statusKinds[m.Status]}, Complete: t.Complete, Facts: factsOf(m), Notice: notice,
		MayCancel: key.Can(auth.Send) && m.Status.CanBecome(sms.Canceled) && !m.PossibleDuplicate,
		MayRedact: key.Can(auth.Admin) && over && !m.Redacted, MayUnmask: key.Can(auth.Admin), MayRetry: key.Can(auth.Admin),
	}
	names, err := a.namesOf(ctx, key, m.From, m.To)
	if err != nil {
		return err
	}
	if v.Name = names[m.To]; v.Inbound {
		v.Name = names[m.From]
	}
	for _, s := range t.Steps {
		v.Steps = append(v.Steps, viewStep(s))
	}
	for _, s := range t.Ahead {
		v.Ahead = append(v.Ahead, viewStep(s))
	}
	if t.Slot != nil {
		v.Facts = append(v.Facts, factView{"slot in the ring", strconv.Itoa(*t.Slot)})
	}
	atGateway, atHub, err := a.o.Queue.OtherSlots(ctx, m.Row)
	if err != nil {
		return err
	}
	if a.o.Fleet != nil && m.Status == sms.Queued {
		why, err := a.o.Fleet.WaitsFor(ctx, m.ID)
		if err != nil {
			return err
		}
		if why != "" {
			v.Facts = append(v.Facts, factView{"waits because", why})
		}
	}
	if atGateway != nil {
		v.Facts = append(v.Facts, factView{"slot at the gateway", strconv.Itoa(*atGateway)})
	}
	if atHub != nil {
		v.Facts = append(v.Facts, factView{"slot at the hub", strconv.Itoa(*atHub)})
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
	frame := a.frame(c, "Message")
	frame.Style, frame.Script = "messages.css", "messages.js"
	frame.Live, frame.Seq = true, newest
	return a.page(c, http.StatusOK, "message.html", frame, v)
}

func viewStep(s lifeStep) stepView {
	v := stepView{lifeStep: s, Mark: s.pill, Network: networkCode(or(s.Code, "")), Retry: s.failed}
	if s.AfterMS != nil {
		v.After = later(*s.AfterMS)
	}
	var facts []string
	if s.ResponseStatus != nil {
		facts = append(facts, fmt.Sprintf("HTTP %d", *s.ResponseStatus))
	}
	if s.LatencyMS != nil {
		facts = append(facts, fmt.Sprintf("%d ms", *s.LatencyMS))
	}
	if s.Kind == stepWebhook && s.Attempt != nil && *s.Attempt > 1 {
		facts = append(facts, fmt.Sprintf("attempt %d", *s.Attempt))
	}
	if s.ClockUncertain {
		facts = append(facts, "the clock was not set then")
	}
	v.Facts = strings.Join(facts, " · ")
	return v
}

// networkCode writes a code as the standards do.
func networkCode(code string) string {
	for prefix, words := range map[string]string{"cms-": "+CMS ERROR ", "cme-": "+CME ERROR ", "tp-st-": "TP-Status "} {
		if rest, ok := strings.CutPrefix(code, prefix); ok {
			return words + rest
		}
	}
	return code
}

func numberOr(n *int, otherwise string) string {
	if n == nil {
		return otherwise
	}
	return strconv.Itoa(*n)
}

func factsOf(m *sms.Message) []factView {
	facts := []factView{
		{"id", m.ID}, {"to", m.To}, {"from", m.From}, {"gateway", m.Gateway}, {"modem", m.Modem},
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
