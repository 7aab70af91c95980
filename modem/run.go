package modem

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"gatewayd/modem/at"
	"gatewayd/pulse"
	"gatewayd/sms"
)

// Options are what a modem needs.
type Options struct {
	Name    string
	Port    string        // for people to read
	Where   func() string // Port as it is now, for a modem that moves; nil: it does not
	Open    func(context.Context) (io.ReadWriteCloser, error)
	PIN     string
	PINs    PINs   // nil: remembered until Run ends
	Number  string // the SIM's own, if known
	Outbox  Outbox
	Inbox   Inbox
	OnState func(sms.Modem) // called by Run's goroutine when state or reason change
	// OnSignal is called by Run's goroutine whenever the signal was measured; may be nil.
	OnSignal func(sms.Modem)
	OnCall   func(sms.Call) // called by Run's goroutine, once for each incoming call; may be nil
	Ring     func() bool    // whether incoming calls are left to ring; else, and if nil, they are hung up
	// Limit says why the SIM may not send for now, "" if it may; nil: it always
	// may. It is only for the state: what is sent, Outbox decides.
	Limit     func(sms.Modem) (reason, advice string)
	Log       *slog.Logger
	Metrics   *Metrics
	PollEvery time.Duration // how often an idle modem is asked how it is; 0: 30 s
	// Record gets every byte of the port, numbers, texts and PINs too; out: to
	// the modem. It is called from two goroutines.
	Record func(out bool, b []byte)
	// PowerCycle switches the modem's USB power off and on; nil: nobody here may.
	PowerCycle func(context.Context) error
	Known      bool   // it was a modem before, so if it is silent now it is sick
	NoRoaming  bool   // send and receive in the SIM's own network only
	SMSC       string // the service centre to use, "": the SIM's
	LastSIM    string // that was in it when it was here last, "": not known
}

// Modem drives one modem. All fields below the line belong to Run's goroutine.
type Modem struct {
	o       Options
	log     *slog.Logger
	meters  *meters
	picture atomic.Pointer[sms.Modem]
	count   counters
	tallied tally
	aim     aim
	reset   chan struct{}
	wake    chan struct{}
	ussd    ussd

	deafened chan string
	beat     pulse.Pulse // of Run's goroutine
	up       atomic.Bool // bring-up is done, and the port still there

	// ---

	over  <-chan struct{} // Run's context is over
	port  *at.Port
	clerk *clerk
	timer *time.Timer
	now   sms.Modem // published as picture

	reg        registration
	parked     *trouble      // SIM or account: until parkEnd
	parkEnd    time.Time     //
	parkFor    time.Duration // doubles each time
	holdEnd    time.Time     // no service for a part: nothing is sent until then
	stillEnd   time.Time     // nothing is sent until then, for the SIM or the network is busy
	linkOpen   bool          // AT+CMMS=0 is due
	ladder     ladder
	lost       time.Time // since when there is no network; zero: there is one
	radioRest  time.Time // so long nothing is done about that
	deaf       bool      // what the network had for it did not arrive
	sick       *trouble  // ends the session
	faults     int       // class Fault in a row
	unanswers  int       // commands without an answer in a row
	mute       int       // parts without one in a row
	run        run
	centred    time.Time // when it was last started afresh for the SMSC
	linked     int64     // the message for whose parts the link is kept
	noLink     bool      // +CMMS is refused
	lastMR     int       // -1: not known
	doubt      *doubt    // the part whose answer may still come
	atPrompt   bool      // a part was begun after that, and not given its Ctrl-Z
	wasModem   bool      // this port, or this name, was a modem before
	upSince    time.Time
	sessions   int    // of the port so far
	losses     int    // sessions in a row that ended badly
	entered    string // the SIM that got enteredPIN and has not said yet what it thinks of it
	enteredPIN string
	refusedSIM string // the SIM that refused a PIN last
	triesKnown int    // it had left then; -1: not known
	calling    calling
	details    *measure // how the signal is told in full; nil: not at all
	unmeasured string   // the IMEI of a modem that left such a question unanswered

	// Receiving.
	announced []announcement
	direct    []direct
	acks      int    // CNMA owed
	ackForm   string // what this modem takes
	csms      int
	cnmi      string
	ds        int
	reading   string // mem1 of CPMS
	storage   string // mem1 as brought up
	reportMem string // where reports are stored, if apart
	sweepDue  bool
	resyncs   int   // of the port, when it was last swept
	blocked   error // why Inbox refuses
	retryAt   time.Time
	rx        receiving

	// Polling.
	pollAt, checkAt, sweepAt time.Time
	pollStep                 int
	pollSoon                 bool
}

// New makes a modem; Run starts it.
func New(o Options) *Modem {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Ring == nil {
		o.Ring = func() bool { return false }
	}
	if o.PINs == nil {
		o.PINs = pinsInMemory{}
	}
	m := &Modem{
		o: o, log: o.Log.With("modem", o.Name), meters: o.Metrics.of(o.Name),
		reset: make(chan struct{}, 1), wake: make(chan struct{}, 1), deafened: make(chan string, 1), lastMR: -1,
		ussd: newUSSD(), tallied: newTally(), aim: aim{wake: make(chan struct{}, 1)},
	}
	if m.o.PollEvery == 0 {
		m.o.PollEvery = pollEvery
	}
	m.now = sms.Modem{Name: o.Name, Port: o.Port, Number: o.Number, State: sms.Absent, Reason: "Not started yet.", Since: time.Now()}
	m.ladder.next, m.wasModem = reopen, o.Known
	m.shown()
	return m
}

// Reset asks for the port to be closed, opened and brought up again now.
func (m *Modem) Reset() {
	select {
	case m.reset <- struct{}{}:
	default: // it is asked for already
	}
}

// Wake has a port that could not be used tried again now: something was plugged
// in or out. A modem that works does not mind.
func (m *Modem) Wake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// stuckAfter is longer than anything that is waited for between two steps: a part's
// answer, a USSD session's, a modem that starts.
const stuckAfter = 10 * time.Minute

// Loop is Run's goroutine as one that looks after it sees it. One that waits for its
// modem is alive: every wait has its bound.
func (m *Modem) Loop() pulse.Loop {
	return pulse.Loop{Name: "the loop of modem " + m.o.Name, Bound: stuckAfter, Pulse: &m.beat}
}

// Run drives the modem until ctx is over; whatever happens to the port, it
// opens it again. A part on the air gets eight seconds to be answered then.
func (m *Modem) Run(ctx context.Context) error {
	defer m.beat.Rest()
	m.over = ctx.Done()
	m.clerk = hire(m.o.Outbox)
	defer m.clerk.leave()
	m.timer = time.NewTimer(time.Hour)
	defer m.timer.Stop()
	for ctx.Err() == nil {
		t := m.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if t.err != nil {
			m.log.Debug("session over", "error", t.err)
		}
		switch {
		case t.ill != nil:
			m.climb(ctx, t)
		case m.awaited(t):
			if m.now.State != sms.Healing { // it was up already
				m.enter(t.state, t.reason, t.advice)
			}
			m.pause(ctx, betweenRungs)
		default:
			m.enter(t.state, t.reason, t.advice)
			m.pause(ctx, t.retry)
		}
	}
	return nil
}

// pause waits before the port is opened again: as long as the trouble says, or
// one second after a loss, growing to thirty while losses follow each other.
func (m *Modem) pause(ctx context.Context, d time.Duration) {
	if d == 0 {
		d = min(time.Second<<min(m.losses, 5), 30*time.Second)
		m.losses++
	}
	m.timer.Reset(d)
	m.beat.Rest()
	defer m.beat.Work()
	select {
	case <-m.timer.C:
	case <-m.reset:
	case <-m.wake:
	case <-ctx.Done():
	}
}

// session opens the port, brings the modem up, and works until that ends.
func (m *Modem) session(ctx context.Context) *trouble {
	m.beat.Work()
	select {
	case <-m.wake: // what it told of is seen now
	default:
	}
	if m.o.Where != nil {
		m.now.Port = m.o.Where()
	}
	rwc, err := m.o.Open(ctx)
	if err != nil {
		return m.openTrouble(err)
	}
	if m.sessions > 0 {
		m.count.restarts.Add(1)
		m.meters.restarts.Inc()
	}
	if m.o.Record != nil {
		rwc = recorded{rwc, m.o.Record}
	}
	m.port = at.Attach(rwc, m.log, m.unsolicited)
	defer func() {
		if err := m.port.Close(); err != nil {
			m.log.Debug("close", "error", err)
		}
	}()
	m.fresh()
	defer m.endSession(ctx)
	if t := m.apply(ctx); t != nil || ctx.Err() != nil {
		return t
	}
	if t := m.bringUp(ctx); t != nil || ctx.Err() != nil {
		return t
	}
	m.ladder.until = time.Time{} // it has come back
	m.healed(provenByAnswer)
	m.upSince, m.resyncs = time.Now(), m.port.Resyncs()
	select {
	case <-m.deafened: // it says nothing of a modem that has just come up
	default:
	}
	m.up.Store(true)
	defer func() {
		m.up.Store(false)
		if time.Since(m.upSince) > time.Minute {
			m.losses = 0
		}
	}()
	return m.work(ctx)
}

// endSession has nobody wait for an answer of this session, nor take the
// network that it had for one that it has.
func (m *Modem) endSession(ctx context.Context) {
	m.callEnded()
	m.now.Operator, m.now.Technology, m.now.Registration, m.now.Cell, m.now.Signal = "", "", "", "", nil
	m.meters.hears(nil)
	m.publish()
	if ctx.Err() != nil {
		m.leavePrompt()
		m.quitUSSD("The gateway is stopping.")
		return
	}
	m.quitUSSD("The modem went away or was restarted before the answer came.")
}

// quitLimit is how long a modem may take to come back to its command mode when
// the process ends.
const quitLimit = 2 * time.Second

// leavePrompt brings the modem back to its command mode before the process ends:
// what the next program says to an open prompt would be the text of a message.
// One that was given its last part and has not answered for it is left alone.
func (m *Modem) leavePrompt() {
	if !m.port.Stale() || m.doubt != nil && !m.atPrompt {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), quitLimit)
	defer cancel()
	if err := m.port.Resync(ctx, 1); err != nil {
		m.log.Debug("the modem does not say that it is in command mode", "error", err)
	}
}

// recorded is a port whose bytes are kept.
type recorded struct {
	io.ReadWriteCloser
	record func(out bool, b []byte)
}

func (r recorded) Read(p []byte) (int, error) {
	n, err := r.ReadWriteCloser.Read(p)
	if n > 0 {
		r.record(false, p[:n])
	}
	return n, err
}

func (r recorded) Write(p []byte) (int, error) {
	r.record(true, p) // before the answer can come
	return r.ReadWriteCloser.Write(p)
}

// fresh forgets what held for the last session only.
func (m *Modem) fresh() {
	m.sessions++
	m.sick, m.faults, m.unanswers, m.mute, m.lastMR = nil, 0, 0, 0, -1
	m.linked, m.noLink = 0, false
	m.reg = registration{-1, -1, -1}
	m.announced, m.acks, m.ackForm, m.sweepDue, m.rx = nil, 0, "", false, receiving{}
	m.holdEnd, m.stillEnd, m.retryAt, m.pollSoon, m.linkOpen = time.Time{}, time.Time{}, time.Time{}, false, false
	if len(m.direct) > 0 {
		m.retryAt = time.Now() // what came behind them waits too
	}
	switch m.now.State {
	case sms.NoSIM, sms.PINRequired, sms.PUKRequired, sms.ModemFailed, sms.Healing, sms.Deaf, sms.Parked:
		// Looking again changes nothing until the look is over.
	default:
		m.enter(sms.Probing, "The modem is being started.", "")
	}
}

// work sends, receives and polls until ctx or the session is over.
func (m *Modem) work(ctx context.Context) *trouble {
	m.judge()
	for {
		if t := m.duties(ctx, false); t != nil || ctx.Err() != nil {
			return t
		}
		if m.maySend() {
			if p := m.o.Outbox.Next(); p != nil {
				if t := m.sendAll(ctx, p); t != nil {
					return t
				}
				continue
			}
		}
		m.wait(ctx)
	}
}

// wait sleeps until something comes or is due.
func (m *Modem) wait(ctx context.Context) {
	if m.urgent(time.Now()) {
		return // it came with the last duty's answer
	}
	var ready <-chan struct{}
	if m.maySend() {
		ready = m.o.Outbox.Ready()
	}
	m.timer.Reset(time.Until(m.nextDue()))
	m.beat.Rest()
	defer m.beat.Work()
	select {
	case t := <-m.port.Tokens():
		if m.port.Take(t) == at.Gone {
			m.lose(m.port.Cause())
		}
	case <-ready:
	case <-m.ussd.wake:
	case <-m.aim.wake:
	case <-m.timer.C:
	case <-m.reset:
		m.sick = resetTrouble()
	case reason := <-m.deafened:
		m.hearsNothing(reason)
	case <-ctx.Done():
	}
}

func (m *Modem) hearsNothing(reason string) {
	m.deaf = true
	if m.sick == nil {
		m.sick = deafTrouble(reason)
	}
}

func resetTrouble() *trouble {
	return &trouble{state: sms.Healing, reason: "A reset was asked for.", advice: "Wait until the modem is up again.",
		retry: time.Millisecond}
}

func (m *Modem) nextDue() time.Time {
	next := m.pollAt
	for _, t := range [...]time.Time{m.checkAt, m.sweepAt, m.parkEnd, m.holdEnd, m.stillEnd, m.retryAt, m.tidyDue(), m.ussd.nextDue(), m.calling.nextDue(m.o.Ring()), m.aim.due()} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return next
}

// urgent tells whether anything but sending is to be done now. It is asked
// between two parts and costs next to nothing.
func (m *Modem) urgent(now time.Time) bool {
	return m.sick != nil || m.port.Stale() || m.doubt != nil && m.doubt.answered ||
		len(m.announced) > 0 && m.retryAt.IsZero() || m.acks > 0 ||
		m.sweepDue && m.retryAt.IsZero() || m.linkOpen || len(m.reset) > 0 || len(m.deafened) > 0 || len(m.ussd.wake) > 0 || m.ussd.said != "" || m.ussd.ending ||
		!now.Before(m.nextDue())
}

// duties does what is due besides sending. With busy, a part waits: at most
// one question is polled then. It returns why the session must end.
func (m *Modem) duties(ctx context.Context, busy bool) *trouble {
	for {
		m.beat.Work()
		if err := m.port.Drain(); err != nil {
			m.lose(err)
		}
		if n := m.port.Resyncs(); n != m.resyncs {
			m.resyncs = n
			// An announcement may have been lost. A sweep that is not answered needs
			// a resync itself, and must not go on for ever.
			m.sweepDue = m.sweepDue || m.rx.failures < 2
		}
		if m.echoesAnew() {
			m.forgot()
		}
		select {
		case <-m.reset:
			m.sick = resetTrouble()
		case reason := <-m.deafened:
			m.hearsNothing(reason)
		default:
		}
		select {
		case <-m.ussd.wake: // its duty looks for itself
		default:
		}
		if t := m.lookForIllness(time.Now()); t != nil && m.sick == nil {
			m.sick = t
		}
		if m.sick != nil {
			return m.sick
		}
		if ctx.Err() != nil {
			return nil
		}
		more, err := m.duty(ctx, busy)
		if err != nil {
			if t := m.failed(err); t != nil {
				return t
			}
		}
		if !more {
			m.judge()
			return m.sick
		}
	}
}

// duty does one thing that is due and tells whether there may be more.
func (m *Modem) duty(ctx context.Context, busy bool) (more bool, err error) {
	now := time.Now()
	switch {
	case m.port.Stale():
		err := m.port.Resync(ctx, 3)
		m.resynced(err)
		return true, err
	case m.doubt != nil && m.doubt.answered:
		m.settle()
		return true, nil
	case !m.retryAt.IsZero() && !now.Before(m.retryAt):
		m.retryAt = time.Time{}
		m.retryDirect()
		return true, nil
	case m.acks > 0:
		return true, m.acknowledge(ctx)
	case m.sweepDue && m.retryAt.IsZero(), !now.Before(m.sweepAt): // in order, with what is announced
		return true, m.sweep(ctx, !m.sweepDue)
	case len(m.announced) > 0 && m.retryAt.IsZero():
		return true, m.fetch(ctx)
	case m.calling.due(now, m.o.Ring()):
		return true, m.attendCall(ctx)
	case m.ussd.due(now):
		return true, m.stepUSSD(ctx)
	case m.parked != nil && !now.Before(m.parkEnd):
		m.parked, m.parkEnd = nil, time.Time{}
		return true, nil
	case !m.holdEnd.IsZero() && !now.Before(m.holdEnd):
		m.holdEnd, m.pollSoon = time.Time{}, true
		return true, nil
	case !m.stillEnd.IsZero() && !now.Before(m.stillEnd):
		m.stillEnd = time.Time{}
		return true, nil
	case m.linkOpen:
		m.linkOpen = false
		_, err := m.port.Do(ctx, at.Command{Line: "AT+CMMS=0", Timeout: pollTimeout})
		return true, dropAnswer(err)
	case !now.Before(m.checkAt):
		return !busy, m.check(ctx)
	case !m.aim.due().IsZero() && !now.Before(m.aim.due()):
		return false, m.takeAim(ctx)
	case m.pollSoon, !now.Before(m.pollAt):
		return false, m.poll(ctx, busy)
	case !m.tidyDue().IsZero() && !now.Before(m.tidyDue()):
		err = m.tidy(ctx)
		return len(m.announced) > 0 || m.sweepDue, err
	}
	return false, nil
}

// failed turns an error of a command into the end of the session, if it is one.
func (m *Modem) failed(err error) *trouble {
	if t := m.lossTrouble(err); t != nil {
		return t
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	if errors.Is(err, at.ErrTimeout) {
		if m.unanswers++; m.unanswers >= 3 {
			return m.lossTrouble(at.ErrSilent)
		}
	}
	m.log.Debug("command failed", "error", err)
	return nil
}

// lose ends the session if err is the port's own.
func (m *Modem) lose(err error) {
	if m.sick == nil {
		m.sick = m.lossTrouble(err)
	}
}

// ask runs a command that only reads; such a one is repeated once when it gets
// no answer, for URCs in front of an answer make some modems lose it.
func (m *Modem) ask(ctx context.Context, c at.Command) ([]string, error) {
	lines, err := m.port.Do(ctx, c)
	if errors.Is(err, at.ErrTimeout) {
		lines, err = m.port.Do(ctx, c)
	}
	return lines, err
}

func (m *Modem) ending() bool {
	select {
	case <-m.over:
		return true
	default:
		return false
	}
}

// answer is the modem's own answer in err, nil if err is something else.
func answer(err error) *at.Error {
	var e *at.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
