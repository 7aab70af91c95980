package modem

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/warthog618/modem/info"

	"gatewayd/failpoint"
	"gatewayd/modem/at"
	"gatewayd/sms"
)

// Limits of sending one part.
const (
	promptLimit   = 15 * time.Second
	promptSettles = 20 * time.Millisecond // of a prompt that comes byte by byte: what is written too early is lost
	resultLimit   = 60 * time.Second
	okLimit       = 5 * time.Second  // from +CMGS to its OK
	giveBackAfter = 20 * time.Second // without an answer, what waits goes to others
	lastGrace     = 8 * time.Second  // for a part on the air when the process ends
	parkMin       = 5 * time.Minute
	parkMax       = time.Hour
	holdFor       = 10 * time.Second
)

// sending is how the attempt to send one part ended.
type sending struct {
	outcome *Outcome // nil: the part was never begun
	booked  bool     // the part before is booked
	dropped bool     // the Outbox took the part back itself
	err     error    // of the Outbox
	follow  *load    // chosen meanwhile
}

// sendAll sends first and what follows it, one commit per part, until nothing
// is next, something else is due, or a part was not confirmed.
func (m *Modem) sendAll(ctx context.Context, first *Part) *trouble {
	next := pack(first)
	var previous *Outcome
	for next != nil {
		if err := m.port.Drain(); err != nil {
			m.lose(err)
		}
		if m.urgent(time.Now()) || ctx.Err() != nil || !m.maySend() {
			m.book(previous)
			previous = nil
			if t := m.duties(ctx, true); t != nil || ctx.Err() != nil || !m.maySend() {
				m.o.Outbox.Return(next.part)
				return t
			}
		}
		if next = m.latest(next); next == nil {
			break
		}
		m.keepLink(ctx, next.part)
		s := m.send(ctx, previous, next)
		if s.booked {
			previous = nil
		}
		if s.outcome == nil || s.outcome.Result != Confirmed {
			m.book(previous)
			if s.follow != nil {
				m.o.Outbox.Return(s.follow.part)
			}
			if s.outcome == nil && !s.dropped {
				m.o.Outbox.Return(next.part)
			}
			m.book(s.outcome)
			if s.err != nil {
				m.log.Error("the queue could not begin a part", "msg_id", next.part.MessageID, "error", s.err)
				m.rest(ctx)
			}
			return nil // duties know what is next
		}
		previous, next = s.outcome, s.follow
		if next == nil {
			select {
			case <-m.o.Outbox.Ready():
				next = pack(m.o.Outbox.Next())
			default:
			}
		}
	}
	m.book(previous)
	return nil
}

// latest asks for another part than the chosen one if the Outbox says that there may
// be a better one by now: what is urgent goes before what only was chosen earlier.
func (m *Modem) latest(chosen *load) *load {
	select {
	case <-m.o.Outbox.Ready():
		m.o.Outbox.Return(chosen.part)
		return pack(m.o.Outbox.Next())
	default:
		return chosen
	}
}

// book commits an outcome. Nothing is sent before that has succeeded: a part
// whose fate is not on disk must not be followed by another.
func (m *Modem) book(o *Outcome) {
	for n := 0; o != nil; n++ {
		failpoint.Hit("modem.before-book")
		err := m.o.Outbox.Finish(*o)
		if err == nil {
			failpoint.Hit("modem.booked")
			return
		}
		m.log.Error("an outcome could not be booked; trying again", "msg_id", o.Part.MessageID, "error", err)
		if n >= 1 && m.ending() {
			return // at the next start it is a part that was sent and not confirmed
		}
		m.rest(context.Background())
	}
}

// rest waits a second before the disk is asked again.
func (m *Modem) rest(ctx context.Context) {
	m.timer.Reset(time.Second)
	select {
	case <-m.timer.C:
	case <-ctx.Done():
	}
}

// send sends one part: the command is on its way while the Outbox commits that
// the part is about to go; the PDU follows when both are done.
func (m *Modem) send(ctx context.Context, previous *Outcome, l *load) (s sending) {
	expected := -1
	if m.lastMR >= 0 {
		expected = (m.lastMR + 1) & 0xff
	}
	failpoint.Hit("modem.before-cmgs")
	if err := m.port.Begin(l.command); err != nil {
		m.lose(err)
		return s
	}
	m.atPrompt = true
	failpoint.Hit("modem.after-cmgs")
	m.clerk.jobs <- job{previous, l.part, expected}
	refusal := m.awaitPrompt(ctx, &s)
	if !s.booked || s.dropped {
		m.port.Abandon() // the modem must leave the prompt
		return s
	}
	s.outcome = &Outcome{Part: l.part, MR: -1, ExpectedMR: -1}
	if refusal == nil {
		failpoint.Hit("modem.prompted")
		if err := m.port.Data(l.pdu); err != nil {
			refusal = err
		}
	}
	if refusal != nil {
		s.follow = <-m.clerk.next
		m.notSent(s.outcome, refusal)
		return s
	}
	s.outcome.ExpectedMR = expected
	m.await(ctx, &s)
	return s
}

// awaitPrompt waits for the Outbox's commit and the modem's prompt. It returns
// why the modem won't take the PDU.
func (m *Modem) awaitPrompt(ctx context.Context, s *sending) (refusal error) {
	begun, prompted := false, false
	over := ctx.Done()
	var settled <-chan time.Time
	m.timer.Reset(promptLimit)
	take := func(t at.Token) {
		switch m.port.Take(t) {
		case at.Prompted:
			prompted = true
		case at.Prompting:
			settled = time.After(promptSettles)
		case at.Done:
			refusal = m.port.Result()
		case at.Gone:
			refusal = m.port.Cause()
		}
	}
	for !begun || s.booked && !s.dropped && !prompted && refusal == nil {
		select {
		case v := <-m.clerk.begun:
			begun, s.booked, s.dropped, s.err = true, v.err == nil, v.err == nil && !v.ok, v.err
		case t := <-m.port.Tokens():
			take(t)
		case <-settled:
			prompted = true
		case <-m.timer.C:
			if !prompted && refusal == nil {
				m.port.Abandon()
				refusal = errNoPrompt
			}
		case <-over:
			over = nil
			if refusal == nil {
				m.port.Abandon()
				refusal = ctx.Err()
			}
		}
	}
	// A modem that is tired of waiting for the commit has left its prompt.
	for refusal == nil && len(m.port.Tokens()) > 0 {
		take(<-m.port.Tokens())
	}
	if refusal == nil && s.booked && !s.dropped && m.echoesAnew() {
		m.forgot() // in text mode the PDU would be the text
		m.port.Abandon()
		refusal = errForgot
	}
	return refusal
}

// PortGone is the code of a part that was not sent because its port went away:
// no fault of the message's, however often it happens.
const PortGone = "port-gone"

// Stopped is the code of a part that was not sent because the gateway was stopped.
const Stopped = "stopped"

var errForgot = errors.New("the modem has forgotten its settings")

var errNoPrompt = fmt.Errorf("no prompt: %w", at.ErrTimeout)

// notSent judges a part that never left.
func (m *Modem) notSent(o *Outcome, refusal error) {
	m.lose(refusal)
	e := answer(refusal)
	o.Result = NotSent
	switch {
	case e != nil:
		var mean *meaning
		o.Err, mean = classify(e, m.now.Manufacturer, 0)
		switch {
		case o.Err.Class == sms.Unknown, o.Err.Class == sms.Accepted, mean.silent && e.Set == "":
		default:
			o.Result = Refused
		}
		m.refused(o, mean)
		return
	case errors.Is(refusal, context.Canceled), errors.Is(refusal, context.DeadlineExceeded):
		o.Err = &sms.Error{Code: Stopped, Title: "the gateway stopped", Detail: "The message had not left the gateway.", Class: sms.Now}
		m.tally(o)
		return
	case errors.Is(refusal, at.ErrGone) && !errors.Is(refusal, at.ErrHung):
		o.Err = &sms.Error{Code: PortGone, Title: "the modem was unplugged", Detail: "The message had not left the gateway.", Class: sms.Now}
		m.tally(o)
		return
	default:
		o.Err = &sms.Error{Code: "not-sent", Title: "the modem did not take the message",
			Detail: fmt.Sprintf("Before the message was handed over: %v.", refusal), Class: sms.Fault}
	}
	m.tally(o)
	m.fault("")
}

// result is how a submitted command ended.
type result struct {
	lines  []string
	err    error // of the modem, or why there is no answer
	silent bool  // no answer in time
	gone   bool  // the port went away
}

// await submits the part and waits for its fate.
func (m *Modem) await(ctx context.Context, s *sending) {
	rival := m.rival() // whose late answer might be taken for ours
	start := time.Now()
	failpoint.Hit("modem.before-ctrl-z")
	m.atPrompt = false
	if err := m.port.Submit(); err != nil {
		s.follow = <-m.clerk.next
		m.doubt = m.doubtOf(s.outcome, start)
		m.unknown(s.outcome, "The port failed while the message was handed over.", err)
		return
	}
	failpoint.Hit("modem.after-ctrl-z")
	deadline, giveBack := start.Add(m.resultLimit()), false
	chosen, over := m.clerk.next, ctx.Done()
	m.timer.Reset(giveBackAfter)
	var r, first *result // first: may be the rival's
	for r == nil {
		select {
		case t := <-m.port.Tokens():
			switch m.port.Take(t) {
			case at.Gone:
				r = &result{lines: m.port.Lines(), err: m.port.Cause(), gone: true}
				if rival != nil && rival.mayHaveSaid(r) {
					r.lines = nil
				}
			case at.Done:
				r = &result{lines: m.port.Lines(), err: m.port.Result()}
				if rival != nil && first == nil && rival.mayHaveSaid(r) {
					first, r = &result{lines: append([]string(nil), r.lines...), err: r.err}, nil
					m.port.Resume()
				}
			case at.Nothing:
				// The network has it and only the OK is missing, or the modem
				// said that it has started again and forgot the question.
				if rival == nil && len(m.port.Lines()) > 0 || m.sick != nil {
					deadline = minTime(deadline, time.Now().Add(okLimit))
					m.timer.Reset(time.Until(deadline))
				}
			}
		case s.follow = <-chosen:
			chosen = nil
			if giveBack {
				m.giveBack(s)
			}
		case now := <-m.timer.C:
			if !now.Before(deadline) {
				r = &result{lines: m.port.Lines(), err: at.ErrTimeout, silent: true}
				m.port.Abandon()
				break
			}
			giveBack = true
			m.giveBack(s)
			m.timer.Reset(time.Until(deadline))
		case <-over:
			over = nil
			deadline = minTime(deadline, time.Now().Add(lastGrace))
			m.timer.Reset(time.Until(deadline))
		}
	}
	waited := time.Since(start)
	m.meters.seconds.Observe(waited.Seconds())
	if chosen != nil {
		s.follow = <-chosen
	}
	if first != nil {
		m.doubt = nil // two messages, and there will be no third answer
		switch {
		case r.silent: // one answer: a modem does one thing after the other
			r, first = first, nil
		case r.gone: // one answer, and perhaps a second one lost: nobody's
			first = nil
		case later(first, r):
			r, first = first, r
		}
	}
	m.judgeResult(s.outcome, r, start, waited)
	failpoint.Hit("modem.answered")
	if first != nil {
		m.lateResult(rival, first)
	}
}

// giveBack lets others have the part that waits behind one without an answer.
func (m *Modem) giveBack(s *sending) {
	if s.follow != nil {
		m.o.Outbox.Return(s.follow.part)
		s.follow = nil
	}
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// judgeResult reads a part's fate from how its command ended.
func (m *Modem) judgeResult(o *Outcome, r *result, start time.Time, waited time.Duration) {
	if r.gone {
		m.lose(r.err)
	}
	if mr, ok := reference(r.lines); ok {
		m.confirmed(o, mr) // accepted by the network, whatever became of the OK after it
		return
	}
	switch {
	case r.silent:
		m.doubt = m.doubtOf(o, start)
		m.muted(o.Part.To)
		m.unknown(o, fmt.Sprintf("The modem gave no answer within %d seconds.", int(waited.Seconds())), nil)
	case r.gone:
		m.doubt = m.doubtOf(o, start)
		m.unknown(o, "The port went away before the modem's answer.", nil)
	case r.err == nil:
		m.unknown(o, "The modem said OK without a message reference.", nil)
	default:
		e := answer(r.err)
		var mean *meaning
		o.Err, mean = classify(e, m.now.Manufacturer, waited)
		switch o.Err.Class {
		case sms.Unknown:
			m.mute = 0
			m.sameSIM()
			m.run.read(o, mean, time.Now())
			m.still(m.run.breath())
			m.unknown(o, o.Err.Detail, nil)
		case sms.Accepted:
			o.Err = nil
			m.confirmed(o, -1)
		default:
			o.Result = Refused
			m.refused(o, mean)
		}
	}
}

// reference finds the TP-MR of a +CMGS line; -1 if the modem gave none.
func reference(lines []string) (mr int, ok bool) {
	if len(lines) == 0 {
		return -1, false
	}
	digits := info.TrimPrefix(lines[0], "+CMGS")
	digits, _, _ = strings.Cut(digits, ",")
	mr, err := strconv.Atoi(strings.TrimSpace(digits))
	if err != nil || mr < 0 || mr > 255 {
		return -1, true
	}
	return mr, true
}

func (m *Modem) confirmed(o *Outcome, mr int) {
	o.Result, o.MR, o.ExpectedMR = Confirmed, mr, -1
	m.lastMR = mr
	m.sameSIM()
	m.run.success(o.Part.To)
	if m.run.pace > 0 {
		m.still(m.run.breath())
	}
	m.healed(provenBySending)
	m.faults, m.unanswers, m.mute, m.losses, m.parkFor = 0, 0, 0, 0, 0
	m.tally(o)
}

func (m *Modem) unknown(o *Outcome, why string, cause error) {
	m.lose(cause)
	m.lastMR = -1 // it may have used one up, or not
	o.Result = Unknown
	title := "nobody knows whether it was sent"
	o.Err = &sms.Error{Code: "unconfirmed", Title: title, Detail: why + " The network may have the message or not.", Class: sms.Unknown}
	m.tally(o)
}

// refused draws the conclusions of a refusal for the modem itself.
func (m *Modem) refused(o *Outcome, mean *meaning) {
	m.unanswers, m.mute = 0, 0
	m.sameSIM()
	m.cure(o, mean)
	m.run.read(o, mean, time.Now())
	m.tally(o)
	if mean.hint == hintPDU {
		m.log.Warn("a message was called malformed", "msg_id", o.Part.MessageID, "error", o.Err.Code)
		m.log.Debug("the message called malformed", "msg_id", o.Part.MessageID, "tpdu", fmt.Sprintf("%X", o.Part.TPDU))
	}
	switch o.Err.Class {
	case sms.Account:
		m.faults = 0
		m.park(o, mean)
	case sms.Fault:
		m.fault(o.Part.To)
	default:
		m.faults = 0
		m.still(max(mean.hold, m.run.breath()))
	}
}

// cure does, or sets about, what the table says of an error.
func (m *Modem) cure(o *Outcome, mean *meaning) {
	switch mean.cure {
	case makeRoom:
		m.sweepDue = true
	case closeLink:
		m.linkOpen, m.noLink = true, true // for the rest of the session
	case findNetwork:
		m.holdEnd, m.pollSoon = time.Now().Add(holdFor), true
	case dropValidity:
		o.Plain = true
	case waitForBoot:
		if time.Since(m.upSince) < bootTime {
			o.Err.Class = sms.Now
			m.still(5 * time.Second)
		}
	case setCentre:
		if m.o.SMSC != "" && m.sick == nil && time.Since(m.centred) > time.Hour {
			m.centred, o.Err.Class = time.Now(), sms.Now
			m.sick = &trouble{state: sms.Healing, reason: "The modem has lost its SMSC number.", advice: mean.hint, retry: time.Second}
		}
	case resetOnce:
		if m.run.code != o.Err.Code && m.sick == nil {
			m.sick = &trouble{state: sms.Healing, reason: "The modem can't use its SIM: " + o.Err.Title + " (" + o.Err.Code + ").",
				advice: hintInsert, ill: simFails}
		}
	}
}

// sameSIM lets what is known of a SIM's results end with the SIM.
func (m *Modem) sameSIM() {
	if !m.run.of(SIMOf(m.now)) {
		m.parkFor = 0
	}
}

// still keeps the modem from sending for a while: not worth a state of its own.
func (m *Modem) still(d time.Duration) {
	if until := time.Now().Add(d); d > 0 && until.After(m.stillEnd) {
		m.stillEnd = until
	}
}

// maySend tells whether parts may be taken from the Outbox now.
func (m *Modem) maySend() bool { return m.sendable() && m.stillEnd.IsZero() }

// fault counts faults; three in a row are cured by starting the modem afresh.
func (m *Modem) fault(to string) {
	m.faults++
	if m.run.fault(to, m.faults) && m.sick == nil {
		m.sick = &trouble{state: sms.Healing, reason: "The modem failed three times in a row.", advice: powerAdvice, ill: failing}
	}
}

// muted counts parts that got no answer, like faults: a modem may go on answering
// everything but what it is given to send.
func (m *Modem) muted(to string) {
	m.mute++
	if m.run.fault(to, m.mute) && m.sick == nil {
		m.sick = &trouble{state: sms.Healing, reason: "The modem gave no answer to three messages in a row.", advice: powerAdvice, ill: failing}
	}
}

// behindOthers is how long after the end of the park the message that caused it
// is tried by this SIM: those that were never refused go first.
const behindOthers = time.Minute

// park sets the modem aside for a while that doubles each time.
func (m *Modem) park(o *Outcome, mean *meaning) {
	m.parkFor = min(max(2*m.parkFor, parkMin), parkMax)
	m.parkEnd = time.Now().Add(m.parkFor)
	o.Elsewhere, o.After = false, m.parkFor+behindOthers
	advice := hintSIM
	switch {
	case mean.class == sms.Permanent:
		advice = "Check the SMSC number that the SIM uses, and the form of the numbers."
	case mean.hint != "" && mean.hint != hintSIM:
		advice = mean.hint + " " + hintSIM
	}
	m.parked = &trouble{reason: fmt.Sprintf("The network or the SIM refuses to send: %s (%s).", o.Err.Title, o.Err.Code),
		advice: advice + " It is tried again from time to time."}
}

func (m *Modem) tally(o *Outcome) {
	m.meters.parts[o.Result].Inc()
	switch o.Result {
	case Confirmed:
		m.count.partsSent.Add(1)
		m.tallied.sent()
	case Unknown:
		m.count.unconfirmed.Add(1)
	default:
		m.count.partsFailed.Add(1)
	}
	m.tallied.failed(o.Err)
}
