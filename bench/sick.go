package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gatewayd/gateway"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// crowd is how many modems there are in the comparison of measureSick; the
// last one is the sick one.
const crowd = 8

// sicknesses are tried in turn, one each round.
var sicknesses = []struct {
	name   string
	faults map[string]string
}{
	{"answers nothing", map[string]string{"hang": "mute"}},
	{"no answer to any message", map[string]string{"silent": "always", "lost": "on"}},
	{"every message fails", map[string]string{"hang": "sending_fails"}},
	{"floods its port", map[string]string{"flood": "1ms"}},
	{"reads no more", map[string]string{"block": "on"}},
}

// measureSick compares what seven modems send in a given time while an eighth
// is well with what they send while it is sick. Their network takes 150 ms a
// part, a tenth of what a real one does.
func measureSick(ctx context.Context, s settings, t *table) error {
	var well, sick series
	rounds := max(s.rounds, len(sicknesses))
	if s.rounds < full.rounds {
		rounds = s.rounds
	}
	for i := range rounds {
		a, err := withEighth(ctx, filepath.Join(s.dir, fmt.Sprint("well", i)), nil, s.crowdFor)
		if err != nil {
			return err
		}
		what := sicknesses[i%len(sicknesses)]
		b, err := withEighth(ctx, filepath.Join(s.dir, fmt.Sprint("sick", i)), what.faults, s.crowdFor)
		if err != nil {
			return fmt.Errorf("%s: %w", what.name, err)
		}
		well, sick = append(well, a), append(sick, b)
		fmt.Fprintf(os.Stderr, "bench: the eighth modem %s: the other seven send %.3f of what they do beside a well one\n", what.name, b/a)
	}
	t.add(compare(fmt.Sprintf("parts a second of %d modems beside a sick one ÷ beside a well one", crowd-1), "/s", "≥ 0.95", sick, well))
	return nil
}

// withEighth returns how many parts a second the first seven of eight modems
// sent, each busy all the time.
func withEighth(ctx context.Context, dir string, faults map[string]string, lasts time.Duration) (rate float64, err error) {
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	network := sim.NewNetwork(sim.NetworkOptions{Latency: 150 * time.Millisecond, Jitter: 30 * time.Millisecond, Keep: 100_000})
	defer network.Close()
	var modems []gateway.ModemOptions
	for i := range crowd {
		m := network.AddModem(sim.ModemOptions{Name: fmt.Sprintf("m%d", i+1)})
		port, err := m.OpenPTY("")
		if err != nil {
			return 0, err
		}
		modems = append(modems, gateway.ModemOptions{Name: m.Name(), Port: port, Number: m.Number()})
	}
	g, err := gateway.New(ctx, gateway.Options{DataDir: dir, Version: "bench", Modems: modems})
	if err != nil {
		return 0, err
	}
	// More than can be sent.
	each := int(lasts/(120*time.Millisecond)) + 20
	for i := range crowd {
		var drafts []queue.Draft
		for n := range each {
			drafts = append(drafts, queue.Draft{Pin: modems[i].Name, Message: sms.Message{
				To: fmt.Sprintf("+49171%d%06d", i, n), Text: benchText, Priority: sms.DefaultPriority}})
		}
		if _, _, err := g.Queue().Submit(ctx, drafts, nil); err != nil {
			return 0, err
		}
	}
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-done)
	}()
	sent := func() (others, all int) {
		for _, a := range network.Accepted() {
			if all++; a.Modem != modems[crowd-1].Name {
				others++
			}
		}
		return others, all
	}
	if err := waitFor(ctx, func() bool { n, all := sent(); return all > n && n >= crowd }); err != nil {
		return 0, fmt.Errorf("the modems did not begin to send: %w", err)
	}
	if err := network.Modems()[crowd-1].SetFaults(faults); err != nil {
		return 0, err
	}
	before, _ := sent()
	start := time.Now()
	timer := time.NewTimer(lasts)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	after, _ := sent()
	return float64(after-before) / time.Since(start).Seconds(), nil
}

// waitFor asks until it is so.
func waitFor(ctx context.Context, so func() bool) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	over := time.NewTimer(patience)
	defer over.Stop()
	for !so() {
		select {
		case <-ticker.C:
		case <-over.C:
			return errors.New("not in time")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// measureRecovery has the test of every fault on every simulated family tell
// how long each took, in virtual time: it is the same on every machine.
func measureRecovery(ctx context.Context, s settings, t *table) error {
	path := filepath.Join(s.dir, "recovery.md")
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^TestEveryFault$", "gatewayd/gateway", "-args", "-recovery-table", path)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the test of every fault: %w\n%s", err, strings.TrimSpace(string(b)))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	t.notes = append(t.notes, "Time to recover, in virtual time: from the moment that a fault begins until a message that is posted then was sent, and one that a phone sends then was received. A deaf modem is found by a test message each hour.\n\n"+string(b))
	return nil
}
