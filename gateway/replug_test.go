package gateway

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"gatewayd/modem/ports"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// Two hundred times a stick is pulled out, at any moment, and plugged in again
// somewhere else under another name, while messages go through.
func TestReplugs(t *testing.T) {
	inHub(t, 2, func(w *world, h *hub) {
		rnd := rand.New(rand.NewPCG(4, 2))
		sockets := []string{"1-1", "1-2"}
		for i, s := range sockets {
			h.plug(s, e3372, w.modems[i])
		}
		var sent []sms.Message
		for cycle := range 200 {
			for range 2 {
				sent = append(sent, w.submit(fmt.Sprintf("+4917000000%02d", rnd.IntN(20)), fmt.Sprintf("message %d", len(sent))))
			}
			w.pass(time.Duration(rnd.IntN(8000)) * time.Millisecond)
			i := cycle % 2
			h.unplug(sockets[i])
			w.pass(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			sockets[i] = fmt.Sprintf("1-%d", 3+cycle)
			h.plug(sockets[i], e3372, w.modems[i])
		}
		marked, doubtful := w.settled(trial{doubt: true}, sent, 0, 30*time.Minute)
		t.Logf("%d messages through 200 unplugs, %d of them marked possible_duplicate, %d of those in doubt twice", len(sent), marked, doubtful)
		if got := len(w.g.modems.List()); got != 2 {
			t.Errorf("there are %v", w.names())
		}
	})
}

// The same on real pseudo-terminals, whose numbers change each time: neither
// goroutines nor file descriptors are left behind.
func TestReplugsOnTerminals(t *testing.T) {
	const modems, cycles = 4, 50
	dir := t.TempDir()
	w := &world{t: t, net: sim.NewNetwork(sim.NetworkOptions{Latency: 20 * time.Millisecond, Jitter: 15 * time.Millisecond, Delivery: time.Millisecond}), dir: t.TempDir()}
	defer w.net.Close()
	wake := make(chan struct{}, 1)
	w.more = func(o *Options) {
		o.Modems = nil
		for i, m := range w.modems {
			o.Modems = append(o.Modems, ModemOptions{Name: m.Name(), Port: filepath.Join(dir, fmt.Sprint(i)), Number: m.Number()})
		}
		o.Queue = queue.Options{UnconfirmedWait: time.Second}
		o.SingleConn = false
		o.Discovery = &Discovery{
			Machine: ports.Machine{Sys: fstest.MapFS{"class/tty/ttyS0": {Mode: fs.ModeDir}}, Dev: "/dev"},
			Wake:    func(context.Context) (<-chan struct{}, error) { return wake, nil },
		}
	}
	for i := range modems {
		m := w.net.AddModem(sim.ModemOptions{Name: fmt.Sprintf("m%d", i+1)})
		if _, err := m.OpenPTY(filepath.Join(dir, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		w.modems = append(w.modems, m)
	}
	descriptors, goroutines := openFiles(t), runtime.NumGoroutine()
	w.start()

	var mu sync.Mutex
	var sent []sms.Message
	var pulled sync.WaitGroup
	for i, m := range w.modems {
		pulled.Go(func() {
			rnd := rand.New(rand.NewPCG(7, uint64(i)))
			for cycle := range cycles {
				mu.Lock()
				for range 2 {
					sent = append(sent, w.submit(fmt.Sprintf("+4917000000%02d", rnd.IntN(30)), fmt.Sprintf("modem %d cycle %d message %d", i, cycle, len(sent))))
				}
				mu.Unlock()
				w.pass(time.Duration(rnd.IntN(1800)) * time.Millisecond)
				m.Unplug()
				if err := m.Plug(); err != nil {
					t.Error(err)
				}
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		})
	}
	pulled.Wait()
	marked, doubtful := w.settled(trial{doubt: true}, sent, 0, 2*time.Minute)
	t.Logf("%d messages through %d unplugs, %d of them marked possible_duplicate, %d of those in doubt twice", len(sent), modems*cycles, marked, doubtful)
	w.end()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		d, g := openFiles(t), runtime.NumGoroutine()
		if d <= descriptors && g <= goroutines {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d file descriptors and %d goroutines are left, there were %d and %d", d, g, descriptors, goroutines)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
