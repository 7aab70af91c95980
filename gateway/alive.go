package gateway

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/pulse"
)

// How long one step of the gateway's own loops may take.
const (
	dispatchLimit = 40 * time.Second // a step takes in some thousand messages at most
	lockLimit     = 40 * time.Second // nobody holds the dispatcher's lock while a disk works
	houseLimit    = 3 * time.Minute  // after a long night much may be due at once
)

// Alive is nil while the loops that everything rests on make steps: the database's
// writer, the dispatcher, each modem's own, the webhooks', housekeeping. Else it says
// which one is stuck. It asks the loops, not the disk; a disk that hangs shows, for
// the writer waits for it.
func (g *Gateway) Alive() error {
	loops := []pulse.Loop{
		g.database.Loop(),
		{Name: "the dispatcher", Bound: dispatchLimit, Pulse: &g.dispatch.beat},
		{Name: "the dispatcher's lock", Bound: lockLimit, Pulse: &g.lock.Pulse},
		{Name: "housekeeping", Bound: houseLimit, Pulse: &g.house},
	}
	for _, a := range g.modems.attached() {
		loops = append(loops, a.modem.Loop())
	}
	return g.watch.Look(append(loops, g.webhooks.Loops()...))
}

// lookAlive looks after the loops, whoever else asks, and says it when one is stuck.
func (g *Gateway) lookAlive(ctx context.Context) {
	told := ""
	for sleep(ctx, pulse.Every) {
		g.lock.Begin()
		words := ""
		if err := g.Alive(); err != nil {
			words = err.Error()
		}
		switch {
		case words != "" && told == "":
			g.log.Error("a loop of the daemon is stuck; the watchdog and the dead-man signal stop", "which", words)
		case words == "" && told != "":
			g.log.Warn("the loop that was stuck goes on", "which", told)
		}
		told = words
	}
}

// aliveMeter tells whoever watches from outside what Alive says.
func (g *Gateway) aliveMeter() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatewayd_loops_alive", Help: "1 while every loop of the daemon makes steps, 0 when one is stuck; the log says which.",
	}, func() float64 {
		if g.Alive() != nil {
			return 0
		}
		return 1
	})
}

// touch takes the dispatcher's lock and gives it back.
func (d *dispatcher) touch() {
	d.mu.Lock()
	defer d.mu.Unlock()
}
