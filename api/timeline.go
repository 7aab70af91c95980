package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// timeline is a message's whole life, as far as it is kept.
type timeline struct {
	MessageID string     `json:"message_id"`
	Status    sms.Status `json:"status"`
	Complete  bool       `json:"complete"` // no event of it is pruned
	Slot      *int       `json:"slot"`
	Steps     []lifeStep `json:"steps"`
	Ahead     []lifeStep `json:"ahead"` // what is waited for
}

// lifeStep is one thing that happened, or will.
type lifeStep struct {
	At             time.Time `json:"at"`
	AfterMS        *int64    `json:"after_ms"` // since the step before; nil: it is the first, or by another clock
	Kind           stepKind  `json:"kind"`
	Title          string    `json:"title"`
	Detail         *string   `json:"detail"`
	Code           *string   `json:"code"`
	Event          *int64    `json:"event"`
	Attempt        *int      `json:"attempt"`
	Modem          *string   `json:"modem"`
	Part           *int      `json:"part"`
	MR             *int      `json:"tp_mr"`
	Report         *int      `json:"tp_st"`
	Delivery       *string   `json:"delivery_id"`
	Endpoint       *string   `json:"endpoint"`
	ResponseStatus *int      `json:"response_status"`
	LatencyMS      *int64    `json:"latency_ms"`
	Response       *string   `json:"response"`
	ClockUncertain bool      `json:"clock_uncertain"`

	pill     string // its colour
	rank     int    // among what happened in the same millisecond
	strange  bool   // Detail, Endpoint and Response are a stranger's words
	told     string // to a receiver: the event's type
	failed   bool   // a delivery that can be retried
	otherEnd bool   // the time is not our clock's
}

// stepKind says where a step is known from.
type stepKind string

const (
	stepAccepted stepKind = "accepted"
	stepEvent    stepKind = "event"
	stepPart     stepKind = "part"
	stepReport   stepKind = "report"
	stepPDU      stepKind = "pdu"
	stepSMSC     stepKind = "service-centre"
	stepWebhook  stepKind = "webhook"
)

// The order within a millisecond: what is one commit has one time.
const (
	rankBegun = iota
	rankStarted
	rankConfirmed
	rankTold // an event that nothing else says more of
	rankReported
	rankReportTold
	rankWebhook
)

// GetTimeline tells a message's whole life.
func (a server) GetTimeline(ctx context.Context, r GetTimelineRequestObject) (GetTimelineResponseObject, error) {
	m, err := a.message(ctx, from(ctx).key, r.ID)
	if err != nil {
		return nil, err
	}
	t, err := a.timeline(ctx, m)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: t}, nil
}

// timeline reads what is kept of a message's life and puts it in order.
func (a *API) timeline(ctx context.Context, m *sms.Message) (timeline, error) {
	h, err := a.o.Queue.History(ctx, m.Row)
	if err != nil {
		return timeline{}, err
	}
	t := timeline{MessageID: m.ID, Status: m.Status, Complete: !h.Cut, Slot: h.Slot, Ahead: aheadOf(m, h)}
	var rest []lifeStep
	if m.Direction == sms.Inbound {
		pdus, err := a.o.Queue.PDUs(ctx, m.Row)
		if err != nil {
			return t, err
		}
		rest = pduSteps(m, pdus)
	} else {
		parts, err := a.o.Queue.Parts(ctx, m.Row)
		if err != nil {
			return t, err
		}
		rest = partSteps(m, parts, !h.Cut)
		if len(h.Told) == 0 || !h.Told[0].At.Equal(m.CreatedAt) {
			rest = append(rest, acceptedStep(m))
		}
	}
	if a.o.Deliveries != nil {
		page, more, err := a.o.Deliveries.List(ctx, sms.DeliveryFilter{Message: m.ID, Limit: maxLimit})
		if err != nil {
			return t, err
		}
		t.Complete = t.Complete && more == ""
		for _, d := range page {
			done, ahead := deliverySteps(d)
			rest, t.Ahead = append(rest, done...), append(t.Ahead, ahead...)
		}
	}
	t.Steps = merged(eventSteps(m, h.Told, rest), rest)
	slices.SortStableFunc(t.Ahead, func(a, b lifeStep) int { return a.At.Compare(b.At) })
	return t, nil
}

// merged puts steps between the events, which have an order of their own: the
// clock may have been set between them.
func merged(events, rest []lifeStep) []lifeStep {
	slices.SortStableFunc(rest, func(a, b lifeStep) int {
		if a.Kind == stepPart && b.Kind == stepPart { // one commit ends a part and begins the next
			return cmp.Or(a.At.Compare(b.At), cmp.Compare(or(a.Part, 0), or(b.Part, 0)), cmp.Compare(a.rank, b.rank))
		}
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.rank, b.rank))
	})
	for i := len(events) - 2; i >= 0; i-- { // what a later event begins stands behind it
		if events[i].At.Equal(events[i+1].At) {
			events[i].rank = min(events[i].rank, events[i+1].rank)
		}
	}
	all := make([]lifeStep, 0, len(events)+len(rest))
	for len(events) > 0 || len(rest) > 0 {
		if len(events) == 0 || len(rest) > 0 && (rest[0].otherEnd || cmp.Or(rest[0].At.Compare(events[0].At), cmp.Compare(rest[0].rank, events[0].rank)) < 0) {
			all, rest = append(all, rest[0]), rest[1:]
		} else {
			all, events = append(all, events[0]), events[1:]
		}
	}
	for i := range all {
		if i > 0 && !all[i].otherEnd && !all[i-1].otherEnd && !all[i].At.Before(all[i-1].At) {
			ms := all[i].At.Sub(all[i-1].At).Milliseconds()
			all[i].AfterMS = &ms
		}
	}
	return all
}

func acceptedStep(m *sms.Message) lifeStep {
	s := lifeStep{At: m.CreatedAt, Kind: stepAccepted, Title: "Accepted", pill: idle, ClockUncertain: m.ClockUncertain}
	if m.SendAt.After(m.CreatedAt) { // else it meant at once
		s.Detail = orNil("It is to be sent at " + sayTime(m.SendAt) + ".")
	}
	return s
}

// eventSteps words what the event log tells. What it means may depend on the
// status before, and on what the parts say of that moment.
func eventSteps(m *sms.Message, told []queue.Told, rest []lifeStep) (all []lifeStep) {
	var before sms.Message
	for i, t := range told {
		now := t.Message
		s := lifeStep{At: t.At, Kind: stepEvent, Event: &told[i].Seq, ClockUncertain: t.ClockUncertain, rank: rankTold, pill: statusKinds[now.Status], Modem: orNil(now.Modem)}
		if e := now.Error; e != nil {
			s.Detail, s.Code = orNil(sentence(e.Title)+" "+e.Detail), orNil(e.Code)
			s.strange = m.Direction == sms.Inbound
		}
		switch now.Status {
		case sms.Queued:
			queuedStep(&s, now, before, i == 0)
		case sms.Scheduled:
			s.Title, s.rank, s.Detail = "Accepted, to be sent later", rankBegun, orNil("It is to be sent at "+sayTime(now.SendAt)+".")
		case sms.Sending:
			s.Title, s.rank, s.Attempt = "Handed to the modem "+now.Modem, rankBegun, intPtr(now.Attempts)
			if now.Attempts > 1 {
				s.Title += fmt.Sprintf(", attempt %d", now.Attempts)
			}
		case sms.Sent:
			s.Title = "Sent: the network has it"
			if before.Status == sms.Unconfirmed || before.Status == sms.Failed || before.Status == sms.Queued {
				s.Detail = orNil("The doubt is over: " + settledBy(rest, t.At) + " shows that it went out.")
			}
		case sms.Delivered:
			s.Title, s.rank = "Delivered: the phone has it", rankReportTold
		case sms.Undelivered:
			s.Title, s.rank = "Not delivered", rankReportTold
		case sms.Failed:
			s.Title = "Failed"
			if before.Status == sms.Unconfirmed {
				s.Title = "Given up: nobody knows whether it went out, and it is not to be sent twice"
			}
		case sms.Unconfirmed:
			s.Title = "In doubt: it may or may not have gone out"
		case sms.Received:
			s.Title = "Received and stored"
			if m.Parts > 1 {
				s.Title = fmt.Sprintf("Put together from %d parts and stored", m.Parts)
			}
			if m.Incomplete {
				s.Title, s.pill = "Stored without the parts that did not come", warn
			}
		default:
			s.Title = capital(string(now.Status))
		}
		if now.PossibleDuplicate && !before.PossibleDuplicate {
			s.Detail = orNil(strings.TrimSpace(or(s.Detail, "") + " From here on it is marked possible_duplicate: it may arrive twice."))
		}
		if now.Held {
			s.Title = "Held: it was restored from a backup and waits for somebody's word"
		}
		all, before = append(all, s), now
	}
	return all
}

func queuedStep(s *lifeStep, now, before sms.Message, first bool) {
	switch {
	case now.Error != nil && before.Status != sms.Unconfirmed:
		s.Title, s.pill, s.Attempt = "It did not go out and will be tried again", warn, intPtr(now.Attempts)
	case first || before.Status == sms.Scheduled:
		s.Title, s.rank, s.Modem = "Accepted: it waits for a modem", rankBegun, nil
		if now.SendAt.After(now.CreatedAt) && !now.SendAt.After(s.At) {
			s.Title = "It is due, and waits for a modem"
		}
		if now.ExpectedModem != "" {
			s.Detail = orNil("It was expected to be sent at " + sayTime(now.ExpectedAt) + " through " + now.ExpectedModem + ".")
		}
	case before.Status == sms.Unconfirmed && now.PossibleDuplicate:
		s.Title, s.pill, s.Code, s.Detail = "No answer came in time: it is sent again", warn, nil, nil
	case before.Status == sms.Unconfirmed:
		s.Title = "The doubtful part went out after all; the next one follows"
	default:
		s.Title = "It waits for a modem again"
	}
}

// settledBy says what told, at a moment, that a part had gone out.
func settledBy(rest []lifeStep, at time.Time) string {
	for _, s := range rest {
		if s.Kind == stepReport && s.At.Equal(at) {
			return "the status report"
		}
	}
	return "the modem's late answer"
}

// partSteps tells of the parts, each as it went the last time. The begin of a single
// one is told by its event already.
func partSteps(m *sms.Message, parts []queue.Part, told bool) (all []lifeStep) {
	for _, p := range parts {
		name := "It"
		if m.Parts > 1 {
			name = fmt.Sprintf("Part %d of %d", p.Number, m.Parts)
		}
		of := lifeStep{Kind: stepPart, Part: intPtr(p.Number), Modem: orNil(p.Modem), Attempt: intPtr(p.Attempts), MR: p.MR, pill: idle}
		if m.Parts > 1 || !told {
			all = append(all, begunStep(of, p, name))
		}
		if p.ConfirmedAt != nil {
			s := of
			s.At, s.rank, s.pill, s.Title = *p.ConfirmedAt, rankConfirmed, good, name+" is accepted by the network"
			if p.MR != nil {
				s.Title += fmt.Sprintf(" under TP-MR %d", *p.MR)
			}
			all = append(all, s)
		}
		if p.ReportedAt != nil && p.Report != nil {
			s := of
			outcome, words := pdu.TPStatus(byte(*p.Report))
			s.Kind, s.At, s.rank, s.Report = stepReport, *p.ReportedAt, rankReported, p.Report
			s.Title, s.pill = "Status report: "+words, map[pdu.Outcome]string{pdu.Delivered: good, pdu.Failed: bad, pdu.StillTrying: warn}[outcome]
			if m.Parts > 1 {
				s.Title = fmt.Sprintf("Status report of part %d: %s", p.Number, words)
			}
			s.Code = orNil(fmt.Sprintf("tp-st-%d", *p.Report))
			all = append(all, s)
		}
	}
	return all
}

func begunStep(s lifeStep, p queue.Part, name string) lifeStep {
	s.At, s.rank, s.Title, s.MR = p.StartedAt, rankStarted, name+" goes to the modem", nil
	if p.Attempts > 1 {
		s.Detail = orNil(fmt.Sprintf("This was attempt %d of this part; of the earlier ones only what the events tell is kept.", p.Attempts))
	}
	return s
}

// pduSteps tells where a received message's parts came from.
func pduSteps(m *sms.Message, pdus []queue.PDU) (all []lifeStep) {
	if !m.SentAt.IsZero() {
		all = append(all, lifeStep{At: m.SentAt, Kind: stepSMSC, Title: "The service centre took it, by its own clock", pill: idle, otherEnd: true})
	}
	for i, p := range pdus {
		s := lifeStep{At: p.ReceivedAt, Kind: stepPDU, Modem: orNil(p.Modem), pill: idle, rank: rankStarted, Title: "It came in on the modem " + p.Modem}
		if m.Parts > 1 {
			s.Title = fmt.Sprintf("A part came in on the modem %s", p.Modem)
			if !m.Incomplete {
				s.Title, s.Part = fmt.Sprintf("Part %d of %d came in on the modem %s", i+1, m.Parts, p.Modem), intPtr(i+1)
			}
		}
		s.Detail = orNil("The modem handed it over without storing it.")
		if p.Storage != nil && p.Index != nil {
			s.Detail = orNil(fmt.Sprintf("It lay in place %d of the storage %s.", *p.Index, *p.Storage))
		}
		all = append(all, s)
	}
	return all
}

// deliverySteps are the attempts to tell a receiver, as far as they are kept,
// and the next one.
func deliverySteps(d sms.Delivery) (done, ahead []lifeStep) {
	who := "the webhook " + d.Endpoint
	if d.Webhook == nil {
		who = "the message's callback URL at " + d.Endpoint
	}
	of := lifeStep{Kind: stepWebhook, Delivery: orNil(d.ID), Endpoint: orNil(d.Endpoint), Event: &d.Event, rank: rankWebhook, strange: true, told: d.Type}
	lost := d.Attempts - 1 - len(d.History) // before those that are kept
	for i, h := range d.History {
		s := of
		s.At, s.Title, s.pill, s.Detail = h.At, capital(who)+" did not take "+d.Type, warn, orNil(sentence(h.Error))
		s.Attempt, s.ResponseStatus, s.LatencyMS = intPtr(max(0, lost)+i+1), h.ResponseStatus, &d.History[i].LatencyMS
		done = append(done, s)
	}
	if d.LastAttemptAt != nil {
		s := of
		s.At, s.Attempt, s.ResponseStatus, s.LatencyMS, s.Response = *d.LastAttemptAt, intPtr(d.Attempts), d.ResponseStatus, d.LatencyMS, d.Response
		s.Title, s.pill = capital(who)+" took "+d.Type, good
		if d.Status != sms.DeliveryDelivered {
			s.Title, s.pill = capital(who)+" did not take "+d.Type, warn
			if d.Error != nil {
				s.Detail = orNil(sentence(*d.Error))
			}
		}
		if d.Status == sms.DeliveryFailed {
			s.Title, s.pill, s.failed = s.Title+", and is not asked again by itself", bad, true
		}
		done = append(done, s)
	}
	if d.Status == sms.DeliveryPending {
		s := of
		s.Title, s.pill = capital(who)+" is told "+d.Type, idle
		if s.At = d.CreatedAt; d.NextAttemptAt != nil {
			s.At = *d.NextAttemptAt
		} else {
			s.Detail = orNil("Something that it was not told yet of the same number goes first.")
		}
		ahead = append(ahead, s)
	}
	return done, ahead
}

// aheadOf is what a message waits for.
func aheadOf(m *sms.Message, h queue.History) []lifeStep {
	s := lifeStep{Kind: stepEvent, pill: idle}
	switch {
	case m.Held:
		return []lifeStep{}
	case m.Status == sms.Scheduled:
		s.At, s.Title = m.SendAt, "It is due"
	case !h.TriedAgain.IsZero():
		s.At, s.Title = h.TriedAgain, "It may be tried again"
	case !h.DoubtEnds.IsZero():
		s.At, s.Title = h.DoubtEnds, "If nothing tells by then that it went out, it is sent again"
		if m.OnUnconfirmed == sms.Fail {
			s.Title = "If nothing tells by then that it went out, it is given up"
		}
	case m.Status == sms.Queued && !m.ExpectedAt.IsZero():
		s.At, s.Title, s.Modem = m.ExpectedAt, "It is expected to be sent", orNil(m.ExpectedModem)
	default:
		return []lifeStep{}
	}
	return []lifeStep{s}
}

func intPtr(n int) *int { return &n }

// sentence ends words with a full stop.
func sentence(s string) string {
	if s = capital(s); s != "" && !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "…") {
		s += "."
	}
	return s
}

func sayTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
