package soak

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"gatewayd/db"
)

var (
	seed    = flag.Uint64("seed", 1, "of what happens when")
	days    = flag.Int("days", usualDays, "how many virtual days")
	rate    = flag.Int("rate", usualRate, "messages a modem a day, of both directions")
	folder  = flag.String("dir", "", "folder of the database, which stays; a fresh one that is removed if not given")
	verbose = flag.Bool("log", false, "log what the daemon does and what happens to it")
)

// size is what must not grow from week to week.
type size struct {
	heap       uint64
	goroutines int
	file       int64
}

func (w *world) size() size {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	info, err := os.Stat(filepath.Join(w.dir, db.FileName))
	if err != nil {
		w.t.Fatal(err)
	}
	return size{m.HeapAlloc, runtime.NumGoroutine(), info.Size()}
}

// cpu is how long the process has computed: in the bubble, clocks show virtual time.
func cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A month of everyday traffic and trouble: nothing is lost, nothing goes out
// twice without a mark, before its time or after it expired; everything is told;
// and the daemon is as small on the last day as it was on the fifth.
func TestMonth(t *testing.T) {
	dir := t.TempDir()
	if *folder != "" {
		dir = *folder
	} else if d, err := os.MkdirTemp("/dev/shm", "gatewayd-soak-"); err == nil { // what this tests is no disk
		t.Cleanup(func() { os.RemoveAll(d) })
		dir = d
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: go test -count=1 ./soak -run TestMonth -args -seed %d -days %d -rate %d -log", *seed, *days, *rate)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, *seed)
		defer w.net.Close()
		defer func() { w.end() }()
		w.settle()
		var early size
		for d := range *days {
			began := cpu()
			w.day(*rate*len(w.modems), true)
			w.check(false)
			if d == min(4, *days/2) {
				early = w.size()
			}
			if t.Failed() {
				t.Fatalf("day %d went wrong", d+1)
			}
			if *verbose || testing.Verbose() {
				t.Logf("day %d took %v: %v, %+v", d+1, cpu()-began, w.plan.counts, w.size())
			}
		}
		w.finish(early)
	})
}

// finish mends everything, lets all waits end, and compares what is left.
func (w *world) finish(early size) {
	w.pass(4 * time.Hour) // the last trouble mends itself
	for _, m := range w.modems {
		w.mend(m)
	}
	w.setAnswer(http.StatusNoContent)
	w.setClock(0, true)
	w.pass(verified)
	late := w.size()
	w.check(true)
	s := w.g.Queue().Stats()
	if s.Outbound.Depth != 0 || s.Inbound.Depth != 0 {
		w.t.Errorf("in the rings are left %d and %d messages", s.Outbound.Depth, s.Inbound.Depth)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, on := range w.alarms {
		if on {
			w.t.Errorf("the alarm %s goes on", name)
		}
	}
	for _, words := range w.bad {
		w.t.Error(words)
	}
	if late.heap > early.heap+early.heap/2+(4<<20) || late.goroutines > early.goroutines+8 || late.file > early.file+early.file/2 {
		w.t.Errorf("it grows: %+v early, %+v at the end", early, late)
	}
	w.t.Logf("seed %d, %d days: %v", *seed, *days, w.plan.counts)
}
