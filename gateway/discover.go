package gateway

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"gatewayd/modem"
	"gatewayd/modem/ports"
	"gatewayd/sms"
)

// Discovery says where modems are looked for. A device is asked who it is only
// if its id or driver says that it is a modem: others may take harm from it.
type Discovery struct {
	Machine ports.Machine
	Use     bool         // use modems too that the configuration does not list
	Open    ports.Opener // nil: modem.OpenSerial, where nobody else has the port
	// Wake tells that something may have been plugged in or out; nil: the kernel does.
	Wake func(context.Context) (<-chan struct{}, error)
	// PowerCycle switches a device off and on; nil: nobody here may.
	PowerCycle func(context.Context, ports.Device) error
}

// Pauses before a device that could not be identified is asked again.
const (
	askAgain      = 2 * time.Second // doubled each time
	askAgainMax   = time.Minute
	askAgainBusy  = 5 * time.Second // another program has it
	identifyLimit = 40 * time.Second
)

// finder gives every modem its port. All of it belongs to run's goroutine.
type finder struct {
	g      *Gateway
	log    *slog.Logger
	open   ports.Opener
	sights map[string]*sight // by Device.Key
	asked  chan finding
	cycled map[string]time.Time // by socket: when its power was switched, for it said nothing
	cycles sync.WaitGroup       // a device must not stay off because the daemon ends
}

// sight is a device that is plugged in.
type sight struct {
	device ports.Device
	modem  *attached          // that is there; nil: none, or not known yet
	stop   context.CancelFunc // of the question under way
	tries  int
}

// finding is what came of asking a device who it is.
type finding struct {
	sight *sight
	ports.Found
	err error
}

// find follows what is plugged in until ctx ends.
func (g *Gateway) find(ctx context.Context) {
	d := g.o.Discovery
	f := &finder{g: g, log: g.log, open: d.Open, sights: map[string]*sight{}, asked: make(chan finding), cycled: map[string]time.Time{}}
	if f.open == nil {
		f.open = d.Machine.Polite(os.Getpid(), modem.OpenSerial)
	}
	defer f.cycles.Wait()
	named := g.namedPorts()
	var stop context.CancelFunc
	watch := func() <-chan ports.Snapshot {
		var watching context.Context
		watching, stop = context.WithCancel(ctx)
		return ports.Watch(watching, ports.WatchOptions{Sys: d.Machine.Sys, Dev: d.Machine.Dev, Named: named, Wake: d.Wake, Log: g.logOf("ports")})
	}
	snapshots, first := watch(), false
	defer func() { stop() }()
	for {
		select {
		case <-g.relook:
			if now := g.namedPorts(); !slices.Equal(now, named) {
				stop()
				for range snapshots { // it ends
				}
				named, first = now, true
				snapshots = watch()
			}
			f.lookAgain(ctx)
		case s, ok := <-snapshots:
			if !ok {
				return
			}
			if first { // of another watch, which does not know what the one before has told
				first = false
				for _, at := range f.sights {
					if !slices.ContainsFunc(s.Devices, func(d ports.Device) bool { return d.Key == at.device.Key }) {
						f.gone(at.device)
					}
				}
			}
			for _, d := range s.Gone {
				f.gone(d)
			}
			for _, d := range append(s.Changed, s.Came...) {
				f.came(ctx, d)
			}
		case got := <-f.asked:
			f.identified(ctx, got)
		}
	}
}

// namedPorts are the ports that the configuration names.
func (g *Gateway) namedPorts() (named []string) {
	for _, m := range g.set.Load().Modems {
		if m.Port != "" && m.Open == nil {
			named = append(named, m.Port)
		}
	}
	return named
}

// lookAgain looks at all that is plugged in after the configuration has changed.
func (f *finder) lookAgain(ctx context.Context) {
	attached := f.g.modems.attached()
	for _, s := range f.sights {
		wanted := f.configuredAt(s.device)
		if s.modem != nil && (!slices.Contains(attached, s.modem) || wanted != nil && wanted != s.modem) {
			s.leave()
		}
		if s.modem == nil && s.stop == nil {
			f.hide(s.device.Key)
			f.look(ctx, s)
		}
	}
}

// gone takes the port from the modem that was there. It notices by itself, for
// its port hangs up; if it was waiting for something else, it looks now.
func (f *finder) gone(d ports.Device) {
	s := f.sights[d.Key]
	if s == nil {
		return
	}
	s.leave()
	delete(f.sights, d.Key)
	f.hide(d.Key)
}

// leave ends what goes on at s.
func (s *sight) leave() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
	if s.modem != nil {
		s.modem.port.Store(&s.modem.o.Port) // back to where the configuration expects it
		s.modem.device.Store(nil)
		s.modem.modem.Wake()
		s.modem = nil
	}
}

// came looks at a device that is new, or has changed.
func (f *finder) came(ctx context.Context, d ports.Device) {
	s := f.sights[d.Key]
	if s == nil {
		s = &sight{}
		f.sights[d.Key] = s
	}
	s.device = d
	if s.modem != nil {
		if _, ok := d.Find(*s.modem.port.Load()); ok {
			s.modem.modem.Wake()
			return
		}
	}
	s.leave()
	f.look(ctx, s)
}

// look decides what becomes of a device.
func (f *finder) look(ctx context.Context, s *sight) {
	d := s.device
	if a := f.configuredAt(d); a != nil {
		f.displace(ctx, a, s)
		f.seat(a, a.o.Port, s)
		return
	}
	if d.Policy != ports.Free {
		return
	}
	if reason, advice := d.Trouble(); reason != "" {
		f.show(s, sms.ModemFailed, reason, advice)
		return
	}
	if f.g.discovers() || f.wanted() {
		f.show(s, sms.Probing, "It is asked who it is.", "")
		f.ask(ctx, s, 0)
	}
}

// configuredAt finds the modem whose configured port is one of d's.
func (f *finder) configuredAt(d ports.Device) *attached {
	return f.g.modems.find(func(a *attached) bool {
		if a.o.Port == "" {
			return false
		}
		_, ok := d.Find(a.o.Port)
		return ok
	})
}

// displace takes a modem from where it was found when its own port is back:
// what the configuration says goes before what was found out.
func (f *finder) displace(ctx context.Context, a *attached, s *sight) {
	for _, other := range f.sights {
		if other != s && other.modem == a {
			other.leave()
			f.look(ctx, other)
		}
	}
}

// wanted tells whether any configured modem is to be looked for: one that is
// configured by IMEI or ICCID, or whose port is not there.
func (f *finder) wanted() bool {
	return f.g.modems.find(func(a *attached) bool {
		return a.listed && a.o.Open == nil && f.sightOf(a) == nil
	}) != nil
}

func (f *finder) sightOf(a *attached) *sight {
	for _, s := range f.sights {
		if s.modem == a {
			return s
		}
	}
	return nil
}

// ask finds out in the background who is at s.
func (f *finder) ask(ctx context.Context, s *sight, after time.Duration) {
	ctx, s.stop = context.WithCancel(ctx)
	d := s.device
	go func() {
		if !sleep(ctx, after) {
			return
		}
		limited, cancel := context.WithTimeout(ctx, identifyLimit)
		defer cancel()
		found, err := ports.Probe(limited, f.open, d)
		select {
		case f.asked <- finding{s, found, err}:
		case <-ctx.Done():
		}
	}()
}

// identified seats the modem that was found, or asks again later.
func (f *finder) identified(ctx context.Context, got finding) {
	s := got.sight
	if f.sights[s.device.Key] != s || s.stop == nil || s.modem != nil {
		return // something else is there now
	}
	s.stop()
	s.stop = nil
	if got.err != nil {
		f.unidentified(ctx, s, got.err)
		return
	}
	a := f.owner(got)
	switch {
	case a == nil:
		f.hide(s.device.Key) // a modem, and none of those that are to be used
	case f.sightOf(a) != nil:
		f.show(s, sms.ModemFailed, "It has the same identity as "+a.o.Name+", which is plugged in elsewhere.",
			"Use one of the two: modems with a copied IMEI can't be told apart.")
	default:
		f.seat(a, got.Port.Path, s)
	}
}

func (f *finder) unidentified(ctx context.Context, s *sight, err error) {
	state, reason, advice := sms.ModemFailed, "It could not be asked who it is: "+err.Error()+".", "Unplug it for ten seconds, then plug it in again."
	var failed *ports.Error
	if errors.As(err, &failed) {
		reason, advice = failed.Words()
	}
	pause := min(askAgain<<min(s.tries, 10), askAgainMax)
	s.tries++
	if errors.Is(err, modem.ErrBusy) {
		state, pause = sms.BusyElsewhere, askAgainBusy
	}
	d := s.device
	if s.tries >= silentTries && failed != nil && failed.Mute() && f.g.o.Discovery.PowerCycle != nil && time.Since(f.cycled[d.Key]) > cycleAgain {
		// A modem that hung before the daemon was started: nobody knows yet
		// who it is, but its id says what it is.
		f.cycled[d.Key] = time.Now()
		f.log.Warn("a modem that says nothing is switched off and on", "device", d.String(), "socket", d.Socket())
		f.cycles.Go(func() {
			limited, cancel := context.WithTimeout(ctx, identifyLimit)
			defer cancel()
			if err := f.g.o.Discovery.PowerCycle(limited, d); err != nil {
				f.log.Warn("its power could not be switched", "socket", d.Socket(), "error", err)
			}
		})
	}
	f.log.Debug("a device could not be identified", "device", s.device.String(), "socket", s.device.Key, "error", err)
	f.show(s, state, reason, advice)
	f.ask(ctx, s, pause)
}

// silentTries is how often a device may say nothing at all before its power is
// switched, and for how long that is not done again.
const (
	silentTries = 4
	cycleAgain  = time.Hour
)

// owner finds, or makes, the modem that was found: by its IMEI or its SIM if
// the configuration names those, else by the name that its IMEI had before.
func (f *finder) owner(got finding) *attached {
	ms := f.g.modems
	name, iccid := ms.remembered(got.IMEI)
	if got.ICCID != "" {
		iccid = got.ICCID // else the SIM does not tell before its PIN
	}
	if a := ms.find(func(a *attached) bool { return a.o.IMEI != "" && a.o.IMEI == got.IMEI }); a != nil {
		return a
	}
	if a := ms.find(func(a *attached) bool { return a.o.ICCID != "" && a.o.ICCID == iccid }); a != nil {
		return a
	}
	if a := ms.named(name); a != nil && got.IMEI != "" && (!a.listed || a.o.Port != "" && f.sightOf(a) == nil) {
		return a // a modem that has moved
	}
	if !f.g.discovers() {
		return nil
	}
	taken := func(name string) bool { return ms.named(name) != nil }
	name = ports.Name(got.IMEI, got.Device.Key, taken)
	if a := ms.named(name); a != nil {
		return a // it tells no IMEI, and was in this socket before
	}
	a := f.g.newModem(ModemOptions{Name: name, Limits: f.g.set.Load().Limits}, false)
	ms.add(a)
	return a
}

// seat tells a modem where it is.
func (f *finder) seat(a *attached, port string, s *sight) {
	f.hide(s.device.Key)
	s.modem, s.tries = a, 0
	before := *a.port.Load()
	a.port.Store(&port)
	device := s.device
	a.device.Store(&device)
	f.log.Info("modem found", "modem", a.o.Name, "port", port, "device", s.device.String(), "socket", s.device.Key)
	if before != port && before != "" && a.modem.Snapshot().State != sms.Absent {
		a.modem.Reset() // it works at another port
		return
	}
	a.modem.Wake()
}

// powerCycle switches a modem off and on, whatever it is in.
func (g *Gateway) powerCycle(a *attached) func(context.Context) error {
	if g.o.Discovery == nil || g.o.Discovery.PowerCycle == nil {
		return nil
	}
	return func(ctx context.Context) error {
		d := a.device.Load()
		if d == nil || d.Socket() == "" {
			return errors.New("it is in no USB socket")
		}
		g.log.Warn("a modem is switched off and on", "modem", a.o.Name, "socket", d.Socket())
		return g.o.Discovery.PowerCycle(ctx, *d)
	}
}

// show has a device be seen that is no modem, or not yet.
func (f *finder) show(s *sight, state sms.ModemState, reason, advice string) {
	if !f.g.discovers() {
		return
	}
	d := s.device
	m := sms.Modem{
		Name: "usb-" + d.Key, Unidentified: true, State: state, Reason: d.String() + ": " + reason, Advice: advice, Since: f.g.dispatch.now(),
		Manufacturer: d.Manufacturer, Model: d.Name,
	}
	if c := d.Candidates(); len(c) > 0 {
		m.Port = c[0].Path
	}
	if f.g.modems.show(d.Key, m) {
		f.g.tell(m)
	}
}

// hide ends that, for what is a modem now, or is gone.
func (f *finder) hide(key string) {
	if m, ok := f.g.modems.hide(key); ok {
		m.State, m.Reason, m.Advice, m.Since = sms.Absent, "It is gone, or has become a modem with a name.", "", f.g.dispatch.now()
		f.g.tell(m)
	}
}
