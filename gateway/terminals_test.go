package gateway

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"gatewayd/modem/ports"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// Each fault once on a real pseudo-terminal, all at the same time: one gateway
// has a modem for each, of one family after the other. In real time faults last
// shorter, and the hang is one that a reset cures.
func TestEveryFaultOnTerminals(t *testing.T) {
	t.Parallel() // it waits most of the time
	dir := t.TempDir()
	w := &world{t: t, dir: t.TempDir(), net: sim.NewNetwork(sim.NetworkOptions{
		Latency: 50 * time.Millisecond, Jitter: 30 * time.Millisecond, Delivery: 10 * time.Millisecond, Report: 10 * time.Millisecond, Retry: 5 * time.Second,
	})}
	defer w.net.Close()
	families := sim.Profiles()
	byModem := map[string]trial{}
	var options []ModemOptions
	for i, name := range slices.Sorted(maps.Keys(alone)) {
		tr, family := alone[name], families[i%len(families)]
		switch name {
		case "hang":
			tr = trial{set: map[string]string{"hang": string(sim.HangMute), "hang_cure": string(sim.CureReset)}, doubt: true}
		case "unplug_after":
			tr.set = maps.Clone(tr.set)
			tr.set["renumber"] = "off" // its link is what finds it
		case "late": // behind every family's deadline but Quectel's
			tr.set = map[string]string{"late": "1", "late_by": "75s"}
			family = sim.Generic
		case "silent", "network_timeout":
			tr.set = map[string]string{name: "1"}
		case "cfun_forgets":
			tr.set = map[string]string{"cfun_forgets": "on", "hang": string(sim.HangMute), "hang_cure": string(sim.CureCFUN)}
			tr.doubt = true
		}
		if tr.set == nil {
			continue
		}
		tr.name = name
		tr.lasts = min(tr.lasts, 20*time.Second)
		m := w.net.AddModem(sim.ModemOptions{Name: "m" + strings.ReplaceAll(name, "_", "-"), Profile: family})
		port := filepath.Join(dir, name)
		if _, err := m.OpenPTY(port); err != nil {
			t.Fatal(err)
		}
		w.modems = append(w.modems, m)
		byModem[m.Name()] = tr
		options = append(options, ModemOptions{Name: m.Name(), Port: port, Number: m.Number()})
	}
	w.more = func(o *Options) {
		o.Modems = options
		o.Queue = queue.Options{UnconfirmedWait: 2 * time.Second}
		o.SingleConn = false
		o.Discovery = &Discovery{Machine: ports.Machine{Sys: fstest.MapFS{"class/tty/ttyS0": {Mode: fs.ModeDir}}, Dev: "/dev"}}
	}
	w.start()
	defer func() { w.end() }()
	var all sync.WaitGroup
	for i, m := range w.modems {
		all.Go(func() { w.tryOnTerminal(m, byModem[m.Name()], fmt.Sprintf("+4917055%05d", i)) })
	}
	all.Wait()
}

// tryOnTerminal puts one of many modems through a fault.
func (w *world) tryOnTerminal(m *sim.Modem, tr trial, number string) {
	if _, ok := w.becomes(m.Name(), sms.Ready, time.Minute); !ok {
		return
	}
	if err := m.SetFaults(tr.set); err != nil {
		w.t.Errorf("%s: %v", tr.name, err)
		return
	}
	var sent []sms.Message
	var received []string
	for i := range 3 {
		text := fmt.Sprintf("%s %d", tr.name, i)
		if i == 1 {
			text += strings.Repeat(" and more of it", 14)
		}
		to := number
		if tr.name == "reject_for" {
			to = phone
		}
		sent = append(sent, w.submit(to, text, func(d *queue.Draft) { d.Pin = m.Name() }))
		in := "to you: " + text
		if err := w.net.Handset(number).Send(m.Number(), in); err != nil {
			w.t.Errorf("%s: %v", tr.name, err)
		}
		received = append(received, in)
	}
	if tr.lasts > 0 {
		w.pass(tr.lasts)
		m.ClearFaults()
	}
	if tr.name == "cmti_missing" { // the sweep of a start finds them as that of the slow timer does
		if err := w.g.modems.Reset(m.Name()); err != nil {
			w.t.Errorf("%s: %v", tr.name, err)
		}
	}
	start := time.Now()
	w.settled(tr, sent, 0, 8*time.Minute)
	w.arrived(tr, received, 0, 8*time.Minute)
	w.t.Logf("%s: settled after %.0f s", tr.name, time.Since(start).Seconds())
}
