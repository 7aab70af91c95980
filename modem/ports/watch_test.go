package ports

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

// watching is a Watch in virtual time, and what it told.
type watching struct {
	t     *testing.T
	tree  *tree
	wake  chan struct{} // nil: there are no uevents
	out   <-chan Snapshot
	looks atomic.Int64
	log   bytes.Buffer
	hook  atomic.Pointer[func(name string)] // called for each file that is opened
}

func (w *watching) Open(name string) (fs.File, error) {
	if name == ttyClass {
		w.looks.Add(1)
	}
	if hook := w.hook.Load(); hook != nil {
		(*hook)(name)
	}
	return w.tree.Open(name)
}

func watchIn(t *testing.T, uevents bool, plugged []usb, f func(w *watching)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &watching{t: t, tree: newTree()}
		w.tree.plug(plugged...)
		o := WatchOptions{Sys: w, Dev: "/dev", Log: slog.New(slog.NewTextHandler(&w.log, nil)),
			Wake: func(context.Context) (<-chan struct{}, error) { return nil, errors.New("not here") }}
		if uevents {
			w.wake = make(chan struct{}, 1)
			o.Wake = func(context.Context) (<-chan struct{}, error) { return w.wake, nil }
		}
		ctx, cancel := context.WithCancel(context.Background())
		w.out = Watch(ctx, o)
		defer func() { // the channel is closed at the end, or the bubble never ends
			cancel()
			for range w.out {
			}
		}()
		w.next(0)
		f(w)
	})
}

// uevent is what the kernel says after a change.
func (w *watching) uevent() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// next waits for a snapshot, for so long at most.
func (w *watching) next(within time.Duration) Snapshot {
	w.t.Helper()
	begin := time.Now()
	select {
	case s := <-w.out:
		if took := time.Since(begin); took > within {
			w.t.Fatalf("after %s, not within %s: %+v", took, within, s)
		}
		return s
	case <-time.After(within + time.Minute):
		w.t.Fatal("nothing was told")
		return Snapshot{}
	}
}

// quiet fails if anything is told within d.
func (w *watching) quiet(d time.Duration) {
	w.t.Helper()
	select {
	case s := <-w.out:
		w.t.Fatalf("%#v", s)
	case <-time.After(d):
	}
}

func told(devices []Device) string {
	var all []string
	for _, d := range devices {
		all = append(all, d.Key+" "+names(d.Ttys))
	}
	return strings.Join(all, "; ")
}

// What is there at the start is told at once, all of it.
func TestWatchTellsWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree()
		tr.plug(e1750, sim800.with("1-1.3", 3), disc("12d1:1446"))
		ctx, cancel := context.WithCancel(context.Background())
		out := Watch(ctx, WatchOptions{Sys: tr, Dev: "/dev", Wake: func(context.Context) (<-chan struct{}, error) { return nil, nil }})
		begin := time.Now()
		s := <-out
		if time.Since(begin) > 0 || len(s.Devices) != 2 || len(s.Came) != 2 || len(s.Gone) != 0 {
			t.Errorf("%+v after %s", s, time.Since(begin))
		}
		cancel()
		for range out {
		}
	})
}

// A stick whose ttys appear one after another is told once, with all of them,
// within a second of the last; one that is pulled out within two.
func TestPluggedInAndPulledOut(t *testing.T) {
	for name, c := range map[string]struct {
		uevents, lost bool
		came, gone    time.Duration
	}{
		"uevents":       {true, false, 500 * time.Millisecond, 50 * time.Millisecond},
		"uevents, lost": {true, true, 1500 * time.Millisecond, time.Second},
		"no uevents":    {false, false, time.Second, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			watchIn(t, c.uevents, []usb{hub, keyboard}, func(w *watching) {
				tell := func() {
					if c.uevents && !c.lost {
						w.uevent()
					}
				}
				for round := range 5 {
					w.quiet(time.Duration(round) * 137 * time.Millisecond) // at any moment of the clock's second
					w.tree.plug(e1750.bare())
					tell()
					for i, n := range []int{0, 1, 2} {
						w.quiet(150 * time.Millisecond)
						w.tree.tty(e1750, n, "ttyUSB"+string(rune('0'+i)))
						tell()
					}
					s := w.next(c.came)
					if told(s.Came) != "1-1.2 ttyUSB0 ttyUSB1 ttyUSB2" || len(s.Devices) != 1 || len(s.Changed)+len(s.Gone) != 0 {
						t.Fatalf("%+v", s)
					}
					w.quiet(20 * time.Second)
					w.tree.unplug("1-1.2")
					tell()
					s = w.next(c.gone)
					if told(s.Gone) != "1-1.2 ttyUSB0 ttyUSB1 ttyUSB2" || len(s.Devices)+len(s.Came)+len(s.Changed) != 0 {
						t.Fatalf("%+v", s)
					}
				}
			})
		})
	}
}

// A known stick is not told before its command port is there, however long the
// others have been; one that no table knows is told, and told again.
func TestTtysSecondsApart(t *testing.T) {
	watchIn(t, true, nil, func(w *watching) {
		w.tree.plug(e1750.bare())
		w.tree.tty(e1750, 0, "ttyUSB0")
		w.uevent()
		w.quiet(3 * time.Second)
		w.tree.tty(e1750, 2, "ttyUSB1")
		w.uevent()
		if s := w.next(time.Second); told(s.Came) != "1-1.2 ttyUSB0 ttyUSB1" {
			t.Errorf("%+v", s)
		}
		w.tree.tty(e1750, 1, "ttyUSB2")
		w.uevent()
		if s := w.next(time.Second); told(s.Changed) != "1-1.2 ttyUSB0 ttyUSB2 ttyUSB1" || len(s.Came)+len(s.Gone) != 0 {
			t.Errorf("%+v", s)
		}
	})
	watchIn(t, true, nil, func(w *watching) {
		u := unknown(4)
		w.tree.plug(u.bare())
		for i := range 4 {
			w.tree.tty(u, i, "ttyUSB"+string(rune('0'+i)))
			w.uevent()
			w.quiet(300 * time.Millisecond)
		}
		if s := w.next(time.Second); told(s.Came) != "1-1.2 ttyUSB0 ttyUSB1 ttyUSB2 ttyUSB3" {
			t.Errorf("%+v", s)
		}
	})
	watchIn(t, true, nil, func(w *watching) {
		u := unknown(2)
		w.tree.plug(u.bare())
		w.tree.tty(u, 0, "ttyUSB0")
		w.uevent()
		if s := w.next(time.Second); told(s.Came) != "1-1.2 ttyUSB0" {
			t.Errorf("%+v", s)
		}
		w.tree.tty(u, 1, "ttyUSB1")
		w.uevent()
		if s := w.next(time.Second); told(s.Changed) != "1-1.2 ttyUSB0 ttyUSB1" {
			t.Errorf("%+v", s)
		}
	})
}

// A stick that is switched in time is never told as a CD-ROM.
func TestSwitching(t *testing.T) {
	watchIn(t, true, nil, func(w *watching) {
		w.tree.plug(disc("12d1:1446"))
		w.uevent()
		w.quiet(3 * time.Second)
		w.tree.unplug("1-1.2")
		w.tree.plug(e1750)
		w.uevent()
		if s := w.next(time.Second); told(s.Came) != "1-1.2 ttyUSB0 ttyUSB1 ttyUSB2" || len(s.Gone) != 0 {
			t.Errorf("%+v", s)
		}
	})
	watchIn(t, true, nil, func(w *watching) {
		w.tree.plug(disc("12d1:1446"))
		w.uevent()
		w.quiet(3 * time.Second)
		if s := w.next(2 * time.Second); len(s.Came) != 1 || s.Came[0].Mode != NotSwitched {
			t.Errorf("%+v", s)
		}
		w.tree.unplug("1-1.2")
		w.tree.plug(e1750)
		w.uevent()
		s := w.next(time.Second)
		if len(s.Gone) != 1 || len(s.Devices) != 0 {
			t.Errorf("%+v", s)
		}
		if s = w.next(time.Second); told(s.Came) != "1-1.2 ttyUSB0 ttyUSB1 ttyUSB2" {
			t.Errorf("%+v", s)
		}
	})
}

// Pulled out and plugged in again between two looks, under the same names.
func TestQuickReplug(t *testing.T) {
	for _, uevents := range []bool{true, false} {
		watchIn(t, uevents, []usb{e1750}, func(w *watching) {
			w.quiet(1100 * time.Millisecond)
			w.tree.unplug("1-1.2")
			w.tree.plug(e1750)
			w.uevent()
			if s := w.next(500 * time.Millisecond); told(s.Gone) != "1-1.2 ttyUSB0 ttyUSB1 ttyUSB2" || len(s.Devices) != 0 {
				t.Errorf("%+v", s)
			}
			if s := w.next(time.Second); told(s.Came) != "1-1.2 ttyUSB0 ttyUSB1 ttyUSB2" {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Pulled out while it is being read: what is half there is not told.
func TestPulledOutWhileRead(t *testing.T) {
	watchIn(t, false, []usb{e1750}, func(w *watching) {
		pull := func(name string) {
			if strings.HasPrefix(name, usbDevices+"/1-1.2:1.1/") {
				w.hook.Store(nil)
				w.tree.unplug("1-1.2")
			}
		}
		w.hook.Store(&pull)
		if s := w.next(11 * time.Second); told(s.Gone) != "1-1.2 ttyUSB0 ttyUSB1 ttyUSB2" || len(s.Devices)+len(s.Changed) != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A reader that was away learns what has become of what it knows, not more.
func TestSlowReader(t *testing.T) {
	watchIn(t, true, []usb{e1750}, func(w *watching) {
		for range 3 {
			w.tree.unplug("1-1.2")
			w.uevent()
			<-time.After(5 * time.Second)
			w.tree.plug(ec25)
			w.uevent()
			<-time.After(5 * time.Second)
		}
		w.tree.plug(sim800.with("1-1.3", 9))
		w.uevent()
		<-time.After(5 * time.Second)
		s := w.next(0)
		if told(s.Gone) != "1-1.2 ttyUSB0 ttyUSB1 ttyUSB2" || told(s.Came) != "1-1.2 ttyUSB0 ttyUSB1 ttyUSB2 ttyUSB3; 1-1.3 ttyUSB9" || len(s.Devices) != 2 {
			t.Errorf("%+v", s)
		}
		w.quiet(time.Minute)
	})
}

// A storm of uevents, and no uevents at all, cost little.
func TestLooksAreFew(t *testing.T) {
	watchIn(t, true, []usb{e1750}, func(w *watching) {
		before := w.looks.Load()
		for range 1000 {
			w.uevent()
			w.quiet(time.Millisecond)
		}
		if n := w.looks.Load() - before; n > 25 {
			t.Errorf("%d looks in a second of 1000 uevents", n)
		}
		before = w.looks.Load()
		w.quiet(time.Minute)
		if n := w.looks.Load() - before; n > 80 {
			t.Errorf("%d looks in a quiet minute", n)
		}
	})
}

// The end of the uevents is not the end of the watch.
func TestUeventsEnd(t *testing.T) {
	watchIn(t, true, nil, func(w *watching) {
		close(w.wake)
		w.quiet(10*time.Second + 100*time.Millisecond)
		w.tree.plug(e1750)
		if s := w.next(time.Second); len(s.Came) != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A driver that is loaded late changes a device without any tty's coming or
// going.
func TestLateDriver(t *testing.T) {
	u := mc7455MBIM
	u.ifs = []usbIf{{n: 8, codes: vendorSpecific}}
	watchIn(t, false, []usb{u}, func(w *watching) {
		w.tree.change(func(files fstest.MapFS) { put(files, ifDir(u, u.ifs[0])+"/uevent", "DRIVER=qmi_wwan\n") })
		if s := w.next(11 * time.Second); len(s.Changed) != 1 || s.Changed[0].Mode != QMIOnly {
			t.Errorf("%+v", s)
		}
	})
}

// sysfs that can't be read is told once, and nothing is taken for gone.
func TestUnreadableSysfs(t *testing.T) {
	watchIn(t, false, []usb{e1750}, func(w *watching) {
		files := w.tree.files
		w.tree.change(func(files fstest.MapFS) { clear(files) })
		w.quiet(time.Minute)
		if n := strings.Count(w.log.String(), "can't be looked for"); n != 1 {
			t.Errorf("said %d times: %s", n, w.log.String())
		}
		w.tree.change(func(now fstest.MapFS) {
			for name, f := range files {
				now[name] = f
			}
		})
		w.quiet(time.Minute)
		w.tree.unplug("1-1.2")
		if s := w.next(time.Second); len(s.Gone) != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A configured link that appears, moves and vanishes.
func TestNamedLink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "modem")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		w := &watching{t: t, tree: newTree()}
		w.out = Watch(ctx, WatchOptions{Sys: w.tree, Dev: dir, Named: []string{link},
			Wake: func(context.Context) (<-chan struct{}, error) { return nil, errors.New("not here") }})
		w.next(0)
		for _, to := range []string{"/dev/null", "/dev/zero"} { // any character devices
			if err := os.Symlink(to, link); err != nil {
				t.Fatal(err)
			}
			if s := w.next(time.Second); told(s.Came) != to+" "+filepath.Base(to) || !s.Came[0].Named {
				t.Errorf("%+v", s)
			}
			if err := os.Remove(link); err != nil {
				t.Fatal(err)
			}
			if s := w.next(time.Second); len(s.Gone) != 1 {
				t.Errorf("%+v", s)
			}
		}
		cancel()
		for range w.out {
		}
	})
}
