package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatewayd/clock"
	"gatewayd/modem"
	"gatewayd/modem/ports"
	"gatewayd/modem/transcript"
	"gatewayd/sms"
)

// ModemOptions describe one modem. Of Port, IMEI and ICCID one says which it is.
type ModemOptions struct {
	Name   string
	Port   string
	IMEI   string
	ICCID  string
	Open   func(context.Context) (io.ReadWriteCloser, error) // nil: the serial port where it is
	PIN    string
	Number string // the SIM's own number, if known

	NoRoaming bool   // only in the SIM's own network
	SMSC      string // the service centre to use; "": the SIM's
	Limits    Limits
	Account
}

// attached is one modem with its outbox.
type attached struct {
	o        ModemOptions
	listed   bool // in the configuration
	modem    *modem.Modem
	feed     *feed
	account  *account // nil: nothing of its SIM is watched
	alarms   *alarms
	clock    *clock.Clock
	port     atomic.Pointer[string]       // where it is plugged in, as far as that is known
	device   atomic.Pointer[ports.Device] // that it is; nil: none, or not on USB
	dialogue *transcript.Ring
	canary   atomic.Pointer[sms.Canary] // the last test message to it; nil: none
	stop     context.CancelFunc         // ends its loop; nil: it does not run
	ended    chan struct{}              // closed when it has ended
	retired  atomic.Bool                // it ends for good, while the daemon goes on
	noted    knownModem                 // what is remembered of it; its own goroutine's
	at       time.Time                  // since when
}

// dialogueKept is how many bytes of a modem's dialogue are kept in memory: some
// quarter of an hour of a modem that is idle, ten messages of one that sends.
const dialogueKept = 64 << 10

// newModem makes a modem that is at port, "" if that is yet to be found out.
func (g *Gateway) newModem(o ModemOptions, listed bool) *attached {
	log := g.log.With("modem", o.Name)
	a := &attached{o: o, listed: listed, alarms: g.alarms, clock: g.clock, feed: newFeed(g.dispatch, g.queue, log, o.Name)}
	a.feed.limits = o.Limits
	a.dialogue = transcript.NewRing(dialogueKept)
	a.port.Store(&a.o.Port)
	if o.Open == nil {
		o.Open = func(context.Context) (io.ReadWriteCloser, error) { return g.openPort(*a.port.Load()) }
	}
	a.modem = modem.New(modem.Options{
		Name: o.Name, Port: o.Port, Where: func() string { return *a.port.Load() }, Open: o.Open, PIN: o.PIN, PINs: g.known, Number: o.Number,
		SMSC: o.SMSC, NoRoaming: o.NoRoaming, PollEvery: g.o.PollEvery,
		Known: !listed || g.modems.knows(o.Name), LastSIM: g.modems.lastSIM(o.Name), PowerCycle: g.powerCycle(a),
		Outbox: a.feed, Inbox: g.queue, Log: g.logOf("modem"), Metrics: g.metrics, Record: a.dialogue.Add,
		OnCall: g.called, Ring: func() bool { return g.set.Load().CallsRing },
		Limit: a.feed.limited, OnSignal: g.signals.measured,
		OnState: func(m sms.Modem) {
			a.feed.update(m)
			g.alarm(m)
			g.tell(a.complete(m))
			g.remember(a, m)
		},
	})
	if o.Account.watches() {
		a.account = &account{Account: o.Account, name: o.Name, modem: a.modem, db: g.database, queue: g.queue, alarms: g.alarms,
			now: g.dispatch.now, trusted: g.clock.Trusted, gauge: g.balances}
	}
	return a
}

// snapshot is the modem as it is now.
func (a *attached) snapshot() sms.Modem { return a.complete(a.modem.Snapshot()) }

// complete adds to a modem's picture what only the gateway knows of it.
func (a *attached) complete(m sms.Modem) sms.Modem {
	m = a.feed.show(m)
	if !m.Since.IsZero() { // by the machine's clock, which may not have been set then
		m.Since = a.clock.At(m.Since)
	}
	if s := m.Signal; s != nil {
		told := *s
		told.At = a.clock.At(s.At)
		m.Signal = &told
	}
	for i := range m.Errors { // a list of its own
		m.Errors[i].At = a.clock.At(m.Errors[i].At).UTC().Truncate(time.Millisecond)
	}
	m.Canary = a.canary.Load()
	m.Alarms = a.alarms.of(m.Name)
	if a.account != nil {
		if b := a.account.shown.Load(); b != nil && b.SIM == modem.SIMOf(m) {
			m.Balance = b
		}
	}
	return m
}

// tell writes a modem's new state to the event log.
func (g *Gateway) tell(m sms.Modem) {
	if m.Balance != nil && m.Balance.Answer != "" { // for admins only
		b := *m.Balance
		b.Answer = ""
		m.Balance = &b
	}
	if err := g.queue.AppendModemState(m); err != nil {
		g.log.Error("a modem's new state could not be written to the event log", "modem", m.Name, "state", m.State, "error", err)
	}
}

// openPort opens a serial port, and says who has it if somebody else has.
func (g *Gateway) openPort(path string) (io.ReadWriteCloser, error) {
	if path == "" {
		return nil, modem.ErrNotPluggedIn
	}
	d := g.o.Discovery
	if d != nil && d.Open != nil {
		return d.Open(path)
	}
	rwc, err := modem.OpenSerial(path)
	if errors.Is(err, modem.ErrBusy) && d != nil {
		own := func(h ports.Holder) bool { return h.PID == os.Getpid() }
		return nil, &ports.BusyError{Path: path, Holders: slices.DeleteFunc(d.Machine.Holders(path), own)}
	}
	return rwc, err
}

// seenEvery is how often it is noted that a modem is still here.
const seenEvery = 24 * time.Hour

// remember keeps the name that goes with an IMEI, for the next time.
func (g *Gateway) remember(a *attached, m sms.Modem) {
	k := knownModem{IMEI: m.IMEI, Name: m.Name, ICCID: m.ICCID}
	now := g.dispatch.now()
	if k.IMEI == "" || k == a.noted && now.Sub(a.at) < seenEvery || k.ICCID == "" && m.State == sms.Probing {
		return
	}
	if err := g.known.remember(k); err != nil {
		g.log.Error("the modem's name could not be stored; it may get another one after a restart", "modem", m.Name, "error", err)
		return
	}
	a.noted, a.at = k, now
	g.modems.know(k)
}

// work does all that is done with a modem until ctx ends.
func (a *attached) work(ctx context.Context, log *slog.Logger) {
	var watch sync.WaitGroup
	if a.account != nil {
		watch.Go(func() { a.account.run(ctx) })
	}
	a.supervise(ctx, log)
	watch.Wait()
}

// supervise runs the modem's loop and restarts it should it ever fail, so that
// one modem's trouble stays its own.
func (a *attached) supervise(ctx context.Context, log *slog.Logger) {
	stop := context.AfterFunc(ctx, func() {
		if !a.retired.Load() {
			a.feed.end()
		}
	})
	defer stop()
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		err := a.runOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		a.feed.abandon()
		log.Error("the modem's loop failed and is started again", "modem", a.o.Name, "error", err, "in", wait)
		if !sleep(ctx, wait) {
			return
		}
	}
}

func (a *attached) runOnce(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return a.modem.Run(ctx)
}

// modems are all modems, and what the API sees of them.
type modems struct {
	mu      sync.Mutex
	all     []*attached
	others  map[string]sms.Modem // plugged in and not, or not yet, a modem; by the device's key
	names   map[string]string    // by IMEI
	sims    map[string]string    // by IMEI, the SIM that was in it last
	start   func(*attached)      // nil until they run
	known   known
	signals *signals
}

func newModems(k known, s *signals) *modems {
	return &modems{others: map[string]sms.Modem{}, names: map[string]string{}, sims: map[string]string{}, known: k, signals: s}
}

// add takes a modem in, and starts it if the others run.
func (ms *modems) add(a *attached) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.all = append(ms.all, a)
	if ms.start != nil {
		ms.start(a)
	}
}

// run starts all modems, and those that are added later.
func (ms *modems) run(start func(*attached)) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.start = start
	for _, a := range ms.all {
		start(a)
	}
}

func (ms *modems) know(k knownModem) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for imei, name := range ms.names {
		if name == k.Name {
			delete(ms.names, imei)
		}
	}
	ms.names[k.IMEI], ms.sims[k.IMEI] = k.Name, k.ICCID
}

// attached lists the modems that have a name.
func (ms *modems) attached() []*attached {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return slices.Clone(ms.all)
}

// find returns the first modem that is as wanted, nil if none is.
func (ms *modems) find(wanted func(*attached) bool) *attached {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if i := slices.IndexFunc(ms.all, wanted); i >= 0 {
		return ms.all[i]
	}
	return nil
}

func (ms *modems) named(name string) *attached {
	return ms.find(func(a *attached) bool { return a.o.Name == name })
}

// remembered returns the name and the SIM that go with an IMEI.
func (ms *modems) remembered(imei string) (name, iccid string) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return ms.names[imei], ms.sims[imei]
}

// knows tells whether a modem of that name was here before.
func (ms *modems) knows(name string) bool {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for _, n := range ms.names {
		if n == name {
			return true
		}
	}
	return false
}

// lastSIM is the SIM that was in the modem of that name last, "" if that is not
// known.
func (ms *modems) lastSIM(name string) string {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for imei, n := range ms.names {
		if n == name {
			return ms.sims[imei]
		}
	}
	return ""
}

// show has something that is plugged in and no modem be seen; false if it is
// seen so already.
func (ms *modems) show(key string, m sms.Modem) bool {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if old := ms.others[key]; old.State == m.State && old.Reason == m.Reason {
		return false
	}
	ms.others[key] = m
	return true
}

// hide takes it off again, and returns it as it was.
func (ms *modems) hide(key string) (sms.Modem, bool) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	m, ok := ms.others[key]
	delete(ms.others, key)
	return m, ok
}

// List returns a picture of every modem, in the order of the configuration,
// then those that were found, then what is plugged in besides.
func (ms *modems) List() []sms.Modem {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	all := make([]sms.Modem, 0, len(ms.all)+len(ms.others))
	for _, a := range ms.all {
		all = append(all, a.snapshot())
	}
	keys := make([]string, 0, len(ms.others))
	for key := range ms.others {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		all = append(all, ms.others[key])
	}
	return all
}

// Get returns the picture of one modem.
func (ms *modems) Get(name string) (sms.Modem, bool) {
	if a := ms.named(name); a != nil {
		return a.snapshot(), true
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for _, m := range ms.others {
		if m.Name == name {
			return m, true
		}
	}
	return sms.Modem{}, false
}

// Reset makes a modem start afresh.
func (ms *modems) Reset(name string) error {
	a := ms.named(name)
	if a == nil {
		return errors.New("it is not in use")
	}
	a.modem.Reset()
	return nil
}

// USSD does a step of a USSD session. An answer to the code of the balance is
// booked as if the watch had asked.
func (ms *modems) USSD(ctx context.Context, name string, step sms.USSD) (sms.USSDAnswer, error) {
	a := ms.named(name)
	if a == nil {
		return sms.USSDAnswer{}, errors.New("it is not in use")
	}
	answer, err := a.modem.USSD(ctx, step)
	if w := a.account; err == nil && w != nil && step.Code == w.Code && step.Code != "" && answer.State != sms.USSDFailed {
		w.book(answer)
	}
	return answer, err
}

// Transcript writes what went over a modem's port lately.
func (ms *modems) Transcript(name string, masked bool, w io.Writer) error {
	a := ms.named(name)
	if a == nil {
		return errors.New("it is not in use")
	}
	m := a.modem.Snapshot()
	entries, begin := a.dialogue.Entries()
	return transcript.Of(m, entries, begin, masked).Write(w)
}

// SignalHistory returns how well a modem heard its network since then.
func (ms *modems) SignalHistory(ctx context.Context, name string, since time.Time) ([]sms.SignalSample, error) {
	return ms.signals.of(ctx, name, since)
}

// Aim has a modem measure its signal often for a while, and returns it as it is.
func (ms *modems) Aim(name string) (sms.Modem, error) {
	a := ms.named(name)
	if a == nil {
		return sms.Modem{}, errors.New("it is not in use")
	}
	a.modem.Aim()
	return a.snapshot(), nil
}

// Forget drops what is remembered of a modem: its name, unless the
// configuration has it, and that its SIM refused a PIN.
func (ms *modems) Forget(name string) error {
	a := ms.named(name)
	if a == nil {
		return errors.New("unplug it; nothing is remembered of it")
	}
	m := a.modem.Snapshot()
	if !a.listed && m.State != sms.Absent {
		return errors.New("it is plugged in; unplug it first")
	}
	if err := ms.known.forget(name, modem.SIMOf(m)); err != nil {
		return err
	}
	if a.listed {
		return nil
	}
	ms.mu.Lock()
	ms.all = slices.DeleteFunc(ms.all, func(b *attached) bool { return a == b })
	for imei, n := range ms.names {
		if n == name {
			delete(ms.names, imei)
		}
	}
	ms.mu.Unlock()
	if a.stop != nil {
		a.stop()
	}
	a.feed.leave()
	a.alarms.drop(a.o.Name)
	return nil
}
