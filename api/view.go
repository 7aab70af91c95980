package api

import (
	"cmp"
	"context"
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
	"gatewayd/clock"
	"gatewayd/queue"
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

// modemWords says every state of a modem in plain words.
var modemWords = map[sms.ModemState]pill{
	sms.Absent:        {"not plugged in", bad},
	sms.Probing:       {"starting up", idle},
	sms.BusyElsewhere: {"used by another program", bad},
	sms.NoSIM:         {"no SIM card", bad},
	sms.PINRequired:   {"SIM needs its PIN", bad},
	sms.PUKRequired:   {"SIM is locked (PUK)", bad},
	sms.Searching:     {"looking for a network", warn},
	sms.Denied:        {"refused by the network", bad},
	sms.Ready:         {"ready", good},
	sms.Limited:       {"SIM limit reached", warn},
	sms.StorageFull:   {"storage full", warn},
	sms.Deaf:          {"receives nothing", bad},
	sms.Healing:       {"recovering", warn},
	sms.Parked:        {"set aside", bad},
	sms.ModemFailed:   {"failed", bad},
}

// statusKinds colours the statuses of messages.
var statusKinds = map[sms.Status]string{
	sms.Scheduled: idle, sms.Queued: idle, sms.Sending: idle, sms.Sent: good, sms.Delivered: good, sms.Received: good,
	sms.Canceled: idle, sms.Unconfirmed: warn, sms.Expired: warn, sms.Undelivered: bad, sms.Failed: bad,
}

type statusView struct {
	Summary  summaryView
	Alarms   []sms.Alarm // of the gateway itself
	Modems   []modemView
	Rings    []ringView
	Messages []messageLine
	Readers  []readerView
	MaySend  bool
	MayAsk   bool
}

type summaryView struct {
	Kind, Sentence string
	More           []string
}

type modemView struct {
	Usable                       bool // a message can name it
	Name                         string
	Pill                         pill
	Reason, Advice, Warning      string
	Operator, Technology, Number string
	Roaming, HasSignal           bool
	Bars, DBm                    int
	Quality                      string
	Balance                      *balanceView
	Alarms                       []sms.Alarm
	Limits                       []limitView
	Counts                       []countView
	Canary                       string // the last test message, in words
	Healing                      *healingView
}

// limitView is one limit of the SIM.
type limitView struct {
	Name              string
	Used, Limit, High int // High: from where it is nearly used up
}

type countView struct {
	Name  string
	Value int64
}

type ringView struct {
	Key, Title      string
	Capacity, Depth int
	Line            string
	Pointers        []pointerView
}

type pointerView struct {
	Flag          string
	Known         bool
	Address       int
	Radius, Angle int
	Top           int
}

type messageLine struct {
	ID, Number, Text string
	Inbound          bool
	Pill             pill
	At               time.Time
}

type readerView struct{ Name, Kind, Line string }

// recent is how many messages the status page shows.
const recent = 20

// statusPage is what a person sees first.
func (a *API) statusPage(c echo.Context) error {
	ctx := c.Request().Context()
	// Read before the rest: what changes in between is told again.
	_, newest, err := a.o.Queue.Span(ctx)
	if err != nil {
		return err
	}
	v, err := a.status(ctx, keyOf(c), newest)
	if err != nil {
		return err
	}
	v.MaySend, v.MayAsk = keyOf(c).Can(auth.Send), keyOf(c).Can(auth.Admin)
	f := a.frame(c, "Status")
	f.Live, f.Seq = true, newest
	return a.page(c, http.StatusOK, "status.html", f, v)
}

func (a *API) status(ctx context.Context, key *auth.Key, newest int64) (*statusView, error) {
	rings := a.o.Queue.Stats()
	counts := a.o.Queue.CountByStatus()
	var messages []sms.Message
	if key.Can(auth.Read) {
		var err error
		if messages, _, err = a.o.Queue.List(ctx, queue.Filter{Limit: recent}); err != nil {
			return nil, err
		}
	}
	readers, err := a.o.Queue.Readers(ctx)
	if err != nil {
		return nil, err
	}
	modems := a.modems(key)
	v := &statusView{Summary: summarise(modems, rings, a.now())}
	if a.o.Alarms != nil {
		v.Alarms = a.o.Alarms()
		v.Summary.refuse(v.Alarms)
		if slices.ContainsFunc(v.Alarms, func(a sms.Alarm) bool { return a.Code == "disk-full" }) {
			v.Alarms = slices.DeleteFunc(v.Alarms, func(a sms.Alarm) bool { return a.Code == "disk-low" }) // that goes without saying
		}
	}
	if advice := adviceOn(a.o.Clock.Status()); advice != "" {
		v.Summary.Kind = worse(v.Summary.Kind)
		if !slices.ContainsFunc(v.Alarms, func(a sms.Alarm) bool { return a.Title == clock.NotSet }) { // it says so itself
			v.Summary.More = append(v.Summary.More, clock.NotSet+". "+advice)
		}
	}
	for _, m := range modems {
		v.Modems = append(v.Modems, viewModem(m))
	}
	for _, m := range messages {
		v.Messages = append(v.Messages, lineOf(m))
	}
	v.Rings = []ringView{
		viewRing("outbound", "To send", rings.Outbound, waiting(counts)),
		viewRing("inbound", "Received", rings.Inbound, ""),
	}
	for _, name := range slices.Sorted(maps.Keys(readers)) {
		v.Readers = append(v.Readers, viewReader(name, newest-readers[name]))
	}
	return v, nil
}

// searchesFor is how long a modem that looks for a network is one that will
// be ready in a moment.
const searchesFor = 3 * time.Minute

// summarise answers the first question: can it send?
func summarise(modems []sms.Modem, rings sms.Rings, now time.Time) summaryView {
	var ready, able, coming int // able: it sends, and yet something is the matter with it
	var others []string
	for _, m := range modems {
		switch m.State {
		case sms.Ready:
			ready++
			continue
		case sms.StorageFull, sms.Deaf:
			able++
		case sms.Searching:
			if m.Since.IsZero() || now.Sub(m.Since) < searchesFor {
				coming++
			}
		case sms.Probing, sms.Healing:
			coming++
		}
		others = append(others, fmt.Sprintf("%s: %s", m.Name, modemWords[m.State].Word))
	}
	const most = 4
	if len(others) > most+1 {
		others = append(others[:most], fmt.Sprintf("and %d more", len(others)-most))
	}
	var s summaryView
	switch {
	case len(modems) == 0:
		s = summaryView{bad, "No text can be sent: there is no modem.", []string{waitOnDisk}}
	case ready == len(modems):
		s = summaryView{good, "Texts can be sent.", []string{countOf(ready, "modem is", "modems are") + " ready."}}
	case ready+able == len(modems):
		s = summaryView{warn, "Texts can be sent; receiving is in trouble.", others}
	case ready+able > 0:
		s = summaryView{warn, "Texts can be sent, but not by every modem.", others}
	case coming > 0:
		s = summaryView{idle, "One moment: no modem is ready yet.", others}
	default:
		s = summaryView{bad, "No text can be sent now.", others}
	}
	if full(rings.Outbound) {
		s.Kind, s.Sentence = bad, "The queue is full: new texts are refused."
		s.More = slices.DeleteFunc(s.More, func(more string) bool { return more == waitOnDisk })
	}
	if full(rings.Inbound) {
		s.Kind = worse(s.Kind)
		s.More = append(s.More, "Received texts are held back in SIM and network, because no webhook takes those that are here.")
	}
	return s
}

const waitOnDisk = "Texts that are handed in wait on disk."

// refuse says why new texts are refused, if an alarm tells; with any other not
// all is well.
func (s *summaryView) refuse(alarms []sms.Alarm) {
	for _, alarm := range alarms {
		s.Kind = worse(s.Kind)
		if alarm.Code == "disk-full" {
			s.Kind, s.Sentence = bad, "The disk is full: new texts are refused."
			s.More = slices.DeleteFunc(s.More, func(more string) bool { return more == waitOnDisk })
		}
	}
}

func full(r sms.Ring) bool { return r.Capacity > 0 && r.Depth >= r.Capacity }

func worse(kind string) string {
	if kind == bad {
		return bad
	}
	return warn
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

// OnAir reports whether anything is known of the network.
func (v modemView) OnAir() bool { return v.Operator != "" || v.HasSignal }

func viewModem(m sms.Modem) modemView {
	p, ok := modemWords[m.State]
	if !ok {
		p = pill{string(m.State), warn}
	}
	v := modemView{
		Name: m.Name, Usable: !m.Unidentified, Pill: p, Reason: m.Reason, Advice: m.Advice, Warning: m.Warning,
		Operator: m.Operator, Technology: m.Technology, Number: m.Number, Roaming: m.Registration == "roaming",
		Counts: []countView{
			{"sent", m.Counters.PartsSent}, {"failed", m.Counters.PartsFailed},
			{"received", m.Counters.Received}, {"reports", m.Counters.Reports},
		},
	}
	for _, alarm := range m.Alarms {
		if alarm.Detail != m.Reason+" "+m.Advice { // the card says it already
			v.Alarms = append(v.Alarms, alarm)
		}
	}
	v.Balance = viewBalance(m.Balance)
	if m.Limits != nil {
		names := map[string]string{"per_day": "Today", "per_month": "This month", "recipients_per_month": "Numbers this month"}
		for _, q := range m.Limits.All() {
			// The minute's is over before anybody has read it.
			if name := names[q.Name]; name != "" && q.Limit != nil {
				v.Limits = append(v.Limits, limitView{Name: name, Used: q.Used, Limit: *q.Limit, High: *q.Limit * 9 / 10})
			}
		}
	}
	if s := m.Signal; s != nil {
		v.HasSignal, v.DBm, v.Quality = true, s.DBm, s.Quality
		// A quarter of the scale for each bar, and one for any signal at all.
		v.Bars = min((s.Percent+24)/25, 4)
	}
	v.Canary = canaryLine(m.Canary)
	v.Healing = viewHealing(m.Healing)
	return v
}

// waiting says what the outbound ring is busy with.
func waiting(counts map[sms.Status]int) string {
	var parts []string
	for _, c := range []struct {
		status sms.Status
		word   string
	}{{sms.Queued, "waiting"}, {sms.Sending, "on the air"}, {sms.Scheduled, "scheduled"}, {sms.Unconfirmed, "unconfirmed"}} {
		if n := counts[c.status]; n > 0 {
			parts = append(parts, count(n)+" "+c.word)
		}
	}
	if len(parts) == 0 {
		return "Nothing waits."
	}
	return capital(strings.Join(parts, ", ")) + "."
}

// viewRing places the pointers of a ring on four circles, one in the other, so
// that they don't hide each other where they are close.
func viewRing(key, title string, r sms.Ring, line string) ringView {
	v := ringView{Key: key, Title: title, Capacity: r.Capacity, Depth: r.Depth, Line: line}
	at := pointers(r)
	for i, flag := range []string{"retrieved", "sent", "confirmed", "processed"} {
		p := pointerView{Flag: flag, Radius: 72 - 10*i}
		p.Top = 80 - p.Radius
		if address := at[flag]; address != nil && r.Capacity > 0 {
			p.Known, p.Address = true, *address
			p.Angle = *address * 360 / r.Capacity
		}
		v.Pointers = append(v.Pointers, p)
	}
	return v
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

func viewReader(name string, behind int64) readerView {
	if behind <= 0 {
		return readerView{name, good, "has taken every event."}
	}
	return readerView{name, warn, fmt.Sprintf("is %s behind.", countOf(int(behind), "event", "events"))}
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
