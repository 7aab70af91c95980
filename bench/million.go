package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

// measureMillion reads what a million slots in use cost: the time to start, the
// memory with many idle modems, and what a POST takes beside one that is made to
// a daemon with a thousand slots in use.
//
// The messages in the slots are queued for a modem that is away, each for another
// recipient: of all that may fill slots that is what costs the most, for the
// gateway keeps in memory the place of what waits. Of what is scheduled it does
// not, so memory and start are read again with the same messages set to be sent
// in a year.
func measureMillion(ctx context.Context, s settings, t *table) (err error) {
	full, few := filepath.Join(s.dir, "million"), filepath.Join(s.dir, "thousand")
	defer os.RemoveAll(full)
	defer os.RemoveAll(few)
	start := time.Now()
	if err := fill(ctx, full, s.slots); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench: %d slots were filled in %.0f s\n", s.slots, time.Since(start).Seconds())
	if err := fill(ctx, few, 1000); err != nil {
		return err
	}
	if err := startFull(ctx, s, full, "queued", t); err != nil {
		return err
	}
	if err := postsBeside(ctx, s, few, full, t); err != nil {
		return err
	}
	if err := schedule(ctx, full); err != nil {
		return err
	}
	return startFull(ctx, s, full, "scheduled", t)
}

// postsBeside compares what POSTs take of two daemons that run side by side.
func postsBeside(ctx context.Context, s settings, few, full string, t *table) (err error) {
	var daemons [2]*process
	for i, dir := range []string{few, full} {
		p, err := startDaemon(ctx, s.binary, dir, "")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.stop()) }()
		if _, err := p.quiet(ctx); err != nil {
			return err
		}
		daemons[i] = p
	}
	var p50, p99 [2]series
	for range min(s.rounds, 5) {
		for i, p := range daemons {
			const clients, space = 4, 5 * time.Millisecond
			_, took, err := p.post(ctx, clients, spaced(ctx, int(s.posting*3/5/space), space))
			if err != nil {
				return err
			}
			p50[i], p99[i] = append(p50[i], took.median()), append(p99[i], took.at(0.99))
		}
	}
	const figure = "POST latency at 200/s with %d slots used ÷ with 1000, %s"
	t.add(compare(fmt.Sprintf(figure, s.slots, "median"), "", "", p50[1], p50[0]))
	t.add(compare(fmt.Sprintf(figure, s.slots, "p99"), "", "≤ 1.3", p99[1], p99[0]))
	return nil
}

// startFull starts a daemon with many modems on a ring in use.
func startFull(ctx context.Context, s settings, dir, how string, t *table) (err error) {
	device, err := startSimulator(ctx, simulation{modems: many})
	if err != nil {
		return err
	}
	defer device.end()
	p, err := startDaemon(ctx, s.binary, dir, list(device.modems))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := p.modemsReady(ctx, many); err != nil {
		return err
	}
	if err := pause(ctx, s.settle); err != nil {
		return err
	}
	later, err := p.quiet(ctx)
	if err != nil {
		return err
	}
	u, err := p.used()
	if err != nil {
		return err
	}
	t.add(row{figure: fmt.Sprintf("start with %d slots used (%s) and %d modems, to /readyz", s.slots, how, many),
		value: fmt.Sprintf("%.1f s, quiet %.0f s later, after %.1f s of CPU", p.start.Seconds(), (s.settle + later).Seconds(), u.cpu.Seconds()), goal: "< 10 s"})
	t.add(row{figure: fmt.Sprintf("resident memory, %d modems and %d slots used (%s), idle", many, s.slots, how), value: fmt.Sprintf("%.1f MB", u.resident), goal: "≤ 80 MB"})
	return nil
}

// fill puts n messages into the slots of the gateway in dir.
func fill(ctx context.Context, dir string, n int) error {
	if err := os.MkdirAll(dataDir(dir), 0o700); err != nil {
		return err
	}
	d, err := db.Open(ctx, db.Options{Dir: dataDir(dir)})
	if err != nil {
		return err
	}
	q, err := queue.Open(ctx, d, queue.Options{OutboundCapacity: slots})
	if err == nil {
		err = handIn(ctx, q, n, batch, func(i int) queue.Draft {
			m := benchDraft(i)
			m.To, m.Pin = fmt.Sprintf("+491511%07d", i), "away"
			return m
		})
	}
	return errors.Join(err, d.Close())
}

// schedule sets all queued messages to be sent in a year.
func schedule(ctx context.Context, dir string) error {
	d, err := openRaw(filepath.Join(dataDir(dir), db.FileName))
	if err != nil {
		return err
	}
	_, err = d.ExecContext(ctx, `UPDATE messages SET status = 'scheduled', send_at = ?, queued_seq = NULL WHERE status = 'queued'`,
		time.Now().AddDate(1, 0, 0).UnixMilli())
	return errors.Join(err, d.Close())
}

// quiet waits until the daemon does next to nothing for a second, and tells how
// long that took to come.
func (p *process) quiet(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	before, err := p.used()
	for err == nil && time.Since(start) < patience {
		if err = pause(ctx, time.Second); err != nil {
			break
		}
		var now used
		if now, err = p.used(); err == nil && now.cpu-before.cpu <= 20*time.Millisecond {
			return time.Since(start) - time.Second, nil
		}
		before = now
	}
	return 0, errors.Join(err, errors.New("the daemon does not come to rest"))
}
