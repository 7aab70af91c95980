package modem

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatewayd/modem/at"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// A USSD session belongs to the modem's goroutine like everything else, but it
// is never waited for: the request is written, and the answer is an unsolicited
// line, half a minute later or never. Meanwhile messages are fetched and polls
// go on; only sending waits, for while a session stands it may fail.

// Limits of a USSD session.
const (
	ussdOK      = 15 * time.Second // from the command to its OK
	ussdAnswer  = 90 * time.Second // from the OK to the network's answer
	ussdReply   = time.Minute      // for the user to reply; texts wait as long
	ussdSession = 3 * time.Minute  // a session of many replies, all in all
	ussdLate    = 20 * time.Second // how long the answer of a request that was given up is waited for
	ussdTotal   = 4 * time.Minute  // for one step, the wait for a part on the air included
	ussdQuit    = 2 * time.Second  // to end a session when the port is to be closed
	ussdCancel  = 10 * time.Second // for AT+CUSD=2
)

// Errors of a step that was not begun.
var (
	errUSSDBusy   = errors.New("another USSD request is under way; wait for its answer, or cancel it")
	errUSSDStarts = errors.New("the modem's port is just being closed or opened; try again in a minute")
	errUSSDOpen   = errors.New("a USSD session is open; reply to it, or cancel it")
	errUSSDClosed = errors.New("no USSD session is open: the network asks nothing, or took back what it asked after a minute without a reply")
)

// ussdForm is how a request is coded for the modem.
type ussdForm int

const (
	ussdPlain ussdForm = iota
	ussdPacked
	ussdUCS2
)

// ussd is the modem's USSD session.
type ussd struct {
	wake chan struct{} // holds one: something is in the fields below mu

	mu     sync.Mutex
	call   *ussdCall     // waits for the goroutine, or is under way
	open   bool          // the network waits for a reply
	cancel chan struct{} // the session is to be ended; closed when it is

	// All below belongs to Run's goroutine.
	asked    *ussdCall  // the network has been asked
	forms    []ussdForm // to try, the present one first
	awaiting bool       // the next +CUSD is the answer
	said     string     // the answer
	deadline time.Time  // for it
	replyEnd time.Time  // until when a reply may come; zero: no session is open
	begun    time.Time  // the session
	ending   bool       // CUSD=2 is due
	lateEnd  time.Time  // until then a +CUSD may be the answer of a request that was given up
	worked   map[string]ussdForm
}

type ussdCall struct {
	step  sms.USSD
	begun bool                // under mu
	done  chan sms.USSDAnswer // holds one
}

func newUSSD() ussd { return ussd{wake: make(chan struct{}, 1), worked: map[string]ussdForm{}} }

func (s *ussd) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// USSD does one step of a USSD session and waits for the network's answer,
// which may take minutes. Its error says why the step was not begun. Anybody
// may call it; when ctx ends, so does the session.
func (m *Modem) USSD(ctx context.Context, step sms.USSD) (sms.USSDAnswer, error) {
	if err := step.Check(); err != nil {
		return sms.USSDAnswer{}, fmt.Errorf("the USSD code or reply %w", err)
	}
	if now := m.Snapshot(); !m.asksNetwork(now.State) {
		if asksNetwork(now.State) && now.State != sms.Parked {
			return sms.USSDAnswer{}, errUSSDStarts
		}
		return sms.USSDAnswer{}, fmt.Errorf("the modem is not ready, but %s: %s", now.State, strings.TrimSuffix(now.Reason, "."))
	}
	if step.Cancel {
		return m.cancelUSSD(ctx)
	}
	s := &m.ussd
	c := &ussdCall{step: step, done: make(chan sms.USSDAnswer, 1)}
	s.mu.Lock()
	var err error
	switch {
	case s.call != nil:
		err = errUSSDBusy
	case s.open && step.Reply == "":
		err = errUSSDOpen
	case !s.open && step.Reply != "":
		err = errUSSDClosed
	default:
		s.call = c
	}
	s.mu.Unlock()
	if err != nil {
		return sms.USSDAnswer{}, err
	}
	if now := m.Snapshot(); !m.asksNetwork(now.State) { // since just now
		m.turnAwayUSSD(now.Reason)
	}
	s.poke()
	limit := time.NewTimer(ussdTotal)
	defer limit.Stop()
	select {
	case a := <-c.done:
		return a, nil
	case <-limit.C:
		m.withdraw(c)
		return failedUSSD("The modem had no time for it within four minutes."), nil
	case <-ctx.Done():
		m.withdraw(c)
		return failedUSSD("Nobody waits for the answer any more."), nil
	}
}

// asksNetwork is for whoever is not Run's goroutine. A modem may also be parked,
// or seem ready for a moment longer, with its port closed.
func (m *Modem) asksNetwork(state sms.ModemState) bool { return m.up.Load() && asksNetwork(state) }

// asksNetwork tells whether a modem in this state can use USSD: also one that
// the network lets send nothing, for that may be cured by topping up.
func asksNetwork(state sms.ModemState) bool {
	switch state {
	case sms.Ready, sms.StorageFull, sms.Parked, sms.Limited:
		return true
	}
	return false
}

func failedUSSD(why string) sms.USSDAnswer {
	return sms.USSDAnswer{State: sms.USSDFailed, Reason: why}
}

// turnAwayUSSD answers a step that can't be begun any more. Anybody may call it.
func (m *Modem) turnAwayUSSD(why string) {
	s := &m.ussd
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.call != nil && !s.call.begun {
		s.call.done <- failedUSSD(why)
		s.call = nil
	}
}

// withdraw ends a step that nobody waits for.
func (m *Modem) withdraw(c *ussdCall) {
	s := &m.ussd
	s.mu.Lock()
	if s.call == c && s.cancel == nil {
		s.cancel = make(chan struct{})
	}
	s.mu.Unlock()
	s.poke()
}

// cancelUSSD has the session ended and waits until it is.
func (m *Modem) cancelUSSD(ctx context.Context) (sms.USSDAnswer, error) {
	s := &m.ussd
	s.mu.Lock()
	if s.call == nil && !s.open {
		s.mu.Unlock()
		return sms.USSDAnswer{}, errUSSDClosed
	}
	if s.cancel == nil {
		s.cancel = make(chan struct{})
	}
	ended := s.cancel
	s.mu.Unlock()
	s.poke()
	limit := time.NewTimer(ussdTotal)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
	case <-ctx.Done():
	}
	return sms.USSDAnswer{State: sms.USSDDone}, nil
}

// inSession tells whether sending must wait.
func (s *ussd) inSession() bool { return s.asked != nil || s.ending || !s.replyEnd.IsZero() }

// nextDue is when something is to be done if nothing comes; zero: never.
func (s *ussd) nextDue() time.Time {
	switch {
	case s.asked != nil:
		return s.deadline
	case !s.replyEnd.IsZero():
		return s.replyEnd
	}
	return s.lateEnd
}

// due tells whether step has something to do.
func (s *ussd) due(now time.Time) bool {
	if next := s.nextDue(); s.said != "" || s.ending || !next.IsZero() && !now.Before(next) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cancel != nil || s.call != nil && s.asked == nil && s.lateEnd.IsZero()
}

// stepUSSD does one thing for the session.
func (m *Modem) stepUSSD(ctx context.Context) error {
	s := &m.ussd
	now := time.Now()
	s.mu.Lock()
	call, cancel := s.call, s.cancel
	s.mu.Unlock()
	if !s.lateEnd.IsZero() && !now.Before(s.lateEnd) {
		s.lateEnd = time.Time{}
	}
	switch {
	case cancel != nil:
		m.finishUSSD(failedUSSD("It was canceled."))
		err := m.closeUSSD(ctx)
		s.mu.Lock()
		s.cancel = nil
		s.mu.Unlock()
		close(cancel)
		return err
	case s.said != "":
		return m.answeredUSSD(ctx)
	case s.ending:
		return m.closeUSSD(ctx)
	case s.asked != nil && !now.Before(s.deadline):
		m.finishUSSD(failedUSSD(fmt.Sprintf("The network gave no answer within %d seconds.", int(ussdAnswer.Seconds()))))
		return nil
	case call != nil && s.asked == nil && s.lateEnd.IsZero():
		return m.beginUSSD(ctx, call)
	case !s.replyEnd.IsZero() && !now.Before(s.replyEnd):
		m.log.Info("a USSD session is ended: nobody replied, and texts wait")
		m.finishUSSD(failedUSSD("The session was over before the reply came."))
	}
	return nil
}

// beginUSSD asks the network. The first step of a session finds out how this
// modem wants requests coded; later ones keep to it.
func (m *Modem) beginUSSD(ctx context.Context, call *ussdCall) error {
	s := &m.ussd
	s.mu.Lock()
	waits := s.call == call
	call.begun = waits
	s.mu.Unlock()
	if !waits {
		return nil // it was turned away
	}
	s.asked, s.replyEnd = call, time.Time{}
	if call.step.Code != "" {
		s.begun, s.forms = time.Now(), m.ussdForms()
	} else {
		s.forms = s.forms[:1]
	}
	return m.askUSSD(ctx)
}

// ussdForms are the codings in the order in which this modem most probably
// takes them.
func (m *Modem) ussdForms() []ussdForm {
	if form, ok := m.ussd.worked[m.firmware()]; ok {
		return []ussdForm{form}
	}
	if m.huawei() {
		return []ussdForm{ussdPacked, ussdPlain, ussdUCS2}
	}
	return []ussdForm{ussdPlain, ussdUCS2, ussdPacked}
}

func (m *Modem) firmware() string { return m.now.IMEI + " " + m.now.Firmware }

func (m *Modem) huawei() bool { return strings.Contains(strings.ToUpper(m.now.Manufacturer), "HUAWEI") }

// askUSSD sends the present step in the first of the forms.
func (m *Modem) askUSSD(ctx context.Context) error {
	s := &m.ussd
	for {
		text := s.asked.step.Code + s.asked.step.Reply
		switch s.forms[0] {
		case ussdPacked:
			packed, err := pdu.PackUSSD(text)
			if err != nil {
				m.finishUSSD(failedUSSD("The modem can't take this text."))
				return nil
			}
			text = packed
		case ussdUCS2:
			text = pdu.UCS2Hex(text)
		case ussdPlain:
			if m.huawei() { // there is a switch, and some need it
				if _, err := m.port.Do(ctx, at.Command{Line: "AT^USSDMODE=0", Timeout: short}); dropAnswer(err) != nil {
					m.finishUSSD(failedUSSD("The modem did not answer."))
					return err
				}
			}
		}
		// What came before is not the answer.
		if err := m.port.Drain(); err != nil {
			return err
		}
		s.awaiting, s.said = true, ""
		_, err := m.port.Do(ctx, at.Command{Line: `AT+CUSD=1,"` + text + `",15`, Timeout: ussdOK, Name: "AT+CUSD"})
		s.deadline = time.Now().Add(ussdAnswer)
		refusal := answer(err)
		switch {
		case err == nil, s.said != "":
			return nil
		case refusal == nil:
			if ctx.Err() == nil {
				m.finishUSSD(failedUSSD("The modem did not take the request in time."))
			}
			return err
		}
		s.awaiting = false
		if len(s.forms) == 1 || !aboutCoding(refusal) {
			m.finishUSSD(failedUSSD("The modem refused the request: " + lookUp(refusal, m.now.Manufacturer).title + "."))
			return nil
		}
		s.forms = s.forms[1:]
	}
}

// aboutCoding tells whether a refusal may be one of the request's form.
func aboutCoding(e *at.Error) bool {
	if e.Set != "CME" {
		return true
	}
	switch e.Code {
	case -1, 3, 4, 24, 25, 26, 27, 50, 100:
		return true
	}
	return false
}

// saidUSSD takes a +CUSD. The first after a request is its answer; the network
// may also say something by itself, which is nobody's answer.
func (m *Modem) saidUSSD(rest string) {
	s := &m.ussd
	if s.awaiting {
		s.awaiting, s.said = false, rest
		return
	}
	mode, text, _ := parseUSSD(rest)
	switch {
	case !s.lateEnd.IsZero():
		s.lateEnd = time.Time{} // no other will come
		m.log.Debug("a USSD answer came too late", "line", rest)
	case text != "":
		m.log.Info("the network sent a USSD notice; its text is in the modem's transcript")
		m.log.Debug("USSD notice", "line", rest)
	}
	if mode == 1 && s.asked == nil && s.replyEnd.IsZero() {
		s.ending = true // nobody will reply
	}
}

// answeredUSSD reads the network's answer.
func (m *Modem) answeredUSSD(ctx context.Context) error {
	s := &m.ussd
	mode, raw, dcs := parseUSSD(s.said)
	s.said = ""
	text := pdu.DecodeUSSD(raw, dcs, s.forms[0] == ussdPacked)
	m.log.Debug("USSD answer", "mode", mode, "text", text)
	if (mode == 4 || mode == 2 && text == "") && len(s.forms) > 1 && m.huawei() {
		s.forms = s.forms[1:] // the network did not know what the modem made of it
		return m.askUSSD(ctx)
	}
	a := sms.USSDAnswer{State: sms.USSDDone, Text: text}
	switch {
	case mode == 1:
		a.State = sms.USSDNeedsReply
	case mode == 0, mode == 2 && text != "":
	case mode == 2:
		a.Reason = "The network ended the session without an answer."
	case mode == 3:
		a.Reason = "Another program or the SIM itself has replied to the network."
	case mode == 4:
		a.Reason = "The network does not know this code, or not for this SIM."
	case mode == 5:
		a.Reason = "The network took too long; try again later."
	default:
		a.Reason = "The modem gave an answer that can't be read."
	}
	if a.Reason != "" {
		a.State = sms.USSDFailed
	}
	if text != "" {
		s.worked[m.firmware()] = s.forms[0]
	}
	m.finishUSSD(a)
	return nil
}

// finishUSSD gives the step its answer. Unless a reply is due, the session is
// to be ended.
func (m *Modem) finishUSSD(a sms.USSDAnswer) {
	s := &m.ussd
	now := time.Now()
	if s.awaiting { // it was given up, and may still be answered
		s.lateEnd = now.Add(ussdLate)
	}
	open := a.State == sms.USSDNeedsReply
	s.asked, s.awaiting, s.said, s.replyEnd, s.ending = nil, false, "", time.Time{}, !open
	if open {
		s.replyEnd = minTime(now.Add(ussdReply), s.begun.Add(ussdSession))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open = open; s.call != nil {
		s.call.done <- a
		s.call = nil
	}
}

// closeUSSD ends the session in the modem.
func (m *Modem) closeUSSD(ctx context.Context) error {
	m.ussd.ending = false
	_, err := m.port.Do(ctx, at.Command{Line: "AT+CUSD=2", Timeout: ussdCancel})
	return dropAnswer(err) // there was none any more
}

// quitUSSD ends the session because the port's is over; nothing of it is left.
func (m *Modem) quitUSSD(why string) {
	s := &m.ussd
	inSession := s.inSession()
	m.finishUSSD(failedUSSD(why))
	s.ending, s.lateEnd = false, time.Time{}
	s.mu.Lock()
	if s.cancel != nil {
		close(s.cancel)
		s.cancel = nil
	}
	s.mu.Unlock()
	if inSession && !m.port.Stale() && m.port.Drain() == nil {
		ctx, cancel := context.WithTimeout(context.Background(), ussdQuit)
		defer cancel()
		_ = m.closeUSSD(ctx)
	}
}

// parseUSSD reads `m[,"str"[,dcs]]`. The text may have quotes in it, and lack
// the closing one; mode is -1 if it is no number, dcs if there is none.
func parseUSSD(rest string) (mode int, text string, dcs int) {
	head, tail, _ := strings.Cut(rest, ",")
	mode, err := strconv.Atoi(strings.TrimSpace(head))
	if err != nil || mode < 0 {
		mode = -1
	}
	dcs = -1
	text = strings.TrimLeft(tail, " ")
	if i := strings.LastIndexByte(text, ','); i >= 0 && (text[0] != '"' || strings.HasSuffix(strings.TrimRight(text[:i], " "), `"`) && i > 1) {
		if n, err := strconv.Atoi(strings.Trim(text[i+1:], " \x00")); err == nil && n >= 0 {
			dcs, text = n, strings.TrimRight(text[:i], " ")
		}
	}
	if unquoted, ok := strings.CutPrefix(text, `"`); ok {
		text = strings.TrimSuffix(unquoted, `"`)
	}
	return mode, text, dcs
}
