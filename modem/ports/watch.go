package ports

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Times of Watch. The ttys of one device appear one after another, some seconds
// apart in bad cases.
const (
	settle    = 400 * time.Millisecond // a device that can be used is shown when nothing of it has changed for so long
	reluctant = 4 * time.Second        // so long one is waited for that can't be used yet: modes are switched, drivers loaded
	lookOften = 100 * time.Millisecond // while something is about to settle
	lookLess  = 500 * time.Millisecond // without uevents
	lookEver  = time.Second            // with them: should one be lost
	scanEver  = 10 * time.Second       // even if nothing seems to have changed: drivers come late
	lookGap   = 50 * time.Millisecond  // between two looks, however many uevents there are
)

// WatchOptions say what Watch looks at.
type WatchOptions struct {
	Sys   fs.FS    // sysfs
	Dev   string   // the folder of the device nodes
	Named []string // ports that the configuration names, see Scan
	// Wake tells that something may have changed; nil: Uevents. If it fails, or
	// its channel is closed, Watch looks more often.
	Wake func(context.Context) (<-chan struct{}, error)
	Log  *slog.Logger // nil: nothing is logged
}

// Snapshot is what is plugged in, and what has changed since the snapshot that
// was received before.
type Snapshot struct {
	Devices []Device
	Came    []Device
	Changed []Device // as they are now: more or fewer ttys, another mode
	Gone    []Device // as they were; a device that was plugged in again is in Came as well
}

// Watch tells what is plugged in now, at once, and again whenever that changes:
// within half a second of a device's last tty, and at once when one is pulled
// out. A slow reader misses states in between, never the last one. The channel
// is closed when ctx ends.
func Watch(ctx context.Context, o WatchOptions) <-chan Snapshot {
	if o.Wake == nil {
		o.Wake = Uevents
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &watch{o: o, seen: map[string]*seen{}, out: make(chan Snapshot)}
	go w.run(ctx)
	return w.out
}

type watch struct {
	o     WatchOptions
	out   chan Snapshot
	seen  map[string]*seen // by Device.Key
	print string           // fingerprint of the last look
	scan  time.Time        // the last whole one
	first bool             // the first snapshot was received
	sent  []Device
	ill   bool // sysfs can't be read, which was logged
}

type seen struct {
	device Device
	since  time.Time // of its last change
	shown  bool
}

func (w *watch) run(ctx context.Context) {
	defer close(w.out)
	every := lookEver
	wake, err := w.o.Wake(ctx)
	if err != nil {
		w.o.Log.Info("the kernel does not tell of devices that come and go; the ports are looked at twice a second", "error", err)
		every = lookLess
	}
	w.look(time.Now().Add(-time.Hour)) // what is there from the start has settled
	last := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		devices, unsettled := w.shown(now)
		wait := every
		if unsettled {
			wait = lookOften
		}
		timer.Reset(last.Add(wait).Sub(now))
		out, next := w.out, Snapshot{}
		if w.first && same(devices, w.sent) {
			out = nil
		} else {
			next = compare(w.sent, devices)
		}
		select {
		case <-ctx.Done():
			return
		case out <- next:
			w.first, w.sent = true, devices
			continue
		case _, ok := <-wake:
			if !ok {
				wake, every = nil, lookLess
				continue
			}
			if early := time.Until(last.Add(lookGap)); early > 0 {
				timer.Reset(early)
				select {
				case <-timer.C:
				case <-ctx.Done():
					return
				}
			}
		case <-timer.C:
		}
		last = time.Now()
		w.look(last)
	}
}

// look reads what is plugged in, if anything seems to have changed.
func (w *watch) look(now time.Time) {
	print := w.fingerprint()
	if print == w.print && now.Sub(w.scan) < scanEver {
		return
	}
	devices, err := Scan(w.o.Sys, w.o.Dev, w.o.Named...)
	for range 3 { // a device that was pulled out meanwhile is half there
		before := print
		if print = w.fingerprint(); print == before {
			break
		}
		devices, err = Scan(w.o.Sys, w.o.Dev, w.o.Named...)
	}
	if err != nil {
		if !w.ill {
			w.o.Log.Error("modems can't be looked for", "error", err)
		}
		w.ill = true
		return
	}
	w.ill, w.print, w.scan = false, print, now
	there := map[string]bool{}
	for _, d := range devices {
		there[d.Key] = true
		s := w.seen[d.Key]
		switch {
		case s == nil || !s.device.Same(d):
			w.seen[d.Key] = &seen{device: d, since: now}
		case !reflect.DeepEqual(s.device, d):
			s.device, s.since = d, now
		}
	}
	for key := range w.seen {
		if !there[key] {
			delete(w.seen, key)
		}
	}
}

// shown lists the devices that have settled, and tells whether others have not.
func (w *watch) shown(now time.Time) (devices []Device, unsettled bool) {
	for _, s := range w.seen {
		wait := settle
		if !s.device.ready() {
			wait = reluctant
		}
		if s.shown = s.shown || now.Sub(s.since) >= wait; s.shown {
			devices = append(devices, s.device)
		} else {
			unsettled = true
		}
	}
	slices.SortFunc(devices, func(a, b Device) int { return compareKeys(a.Key, b.Key) })
	return devices, unsettled
}

// fingerprint is cheap to take and changes with everything that is plugged in
// or out, also within a second: the device number is another one then.
func (w *watch) fingerprint() string {
	var b strings.Builder
	ttys, err := fs.ReadDir(w.o.Sys, ttyClass)
	if err != nil {
		return err.Error()
	}
	for _, t := range ttys {
		b.WriteString(t.Name() + " ")
	}
	devices, _ := fs.ReadDir(w.o.Sys, usbDevices)
	for _, d := range devices {
		b.WriteString(d.Name())
		if !strings.Contains(d.Name(), ":") {
			b.WriteString("#" + text(w.o.Sys, path.Join(usbDevices, d.Name()), "devnum"))
		}
		b.WriteByte(' ')
	}
	for _, p := range w.o.Named {
		real := resolve(p)
		b.WriteString(real)
		if _, err := os.Stat(real); err == nil {
			b.WriteByte('!')
		}
		b.WriteByte(' ')
	}
	return b.String()
}

func same(a, b []Device) bool {
	return slices.EqualFunc(a, b, func(a, b Device) bool { return reflect.DeepEqual(a, b) })
}

// compare says what has become of before.
func compare(before, now []Device) Snapshot {
	s := Snapshot{Devices: now}
	for _, d := range now {
		i := slices.IndexFunc(before, d.Same)
		switch {
		case i < 0:
			s.Came = append(s.Came, d)
		case !reflect.DeepEqual(before[i], d):
			s.Changed = append(s.Changed, d)
		}
	}
	for _, d := range before {
		if !slices.ContainsFunc(now, d.Same) {
			s.Gone = append(s.Gone, d)
		}
	}
	return s
}
