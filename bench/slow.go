package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"gatewayd/gateway"
	"gatewayd/queue"
)

// onAir is what the slow network takes for a part, as a real one does.
const onAir = 3 * time.Second

// measurePaced compares the gateway with the bare loop on a network that takes
// 50 ms a part.
func measurePaced(ctx context.Context, s settings, t *table) error {
	device, commit, end, err := besideBare(ctx, s.dir, simulation{modems: 1, latency: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	defer end()
	var bare, product series
	for i := range s.rounds {
		seen, err := onPort(device.port, s.paced, commit)
		if err != nil {
			return err
		}
		bare = append(bare, seen.rate())
		if seen, err = throughGateway(ctx, filepath.Join(s.dir, fmt.Sprint("paced", i)), device, s.paced); err != nil {
			return err
		}
		product = append(product, seen.rate())
	}
	t.add(row4("parts a second at 50 ms a part ÷ bare loop, one commit a part", "/s", "≥ 0.985", product, bare))
	return nil
}

// row4 is compare for ratios near one: it shows four digits.
func row4(figure, unit, goal string, value, floor series) row {
	return row{figure, fmt.Sprintf("%.2f%s", value.median(), unit), fmt.Sprintf("%.2f%s", floor.median(), unit), value.over(floor).spread("%.4f"), goal}
}

// eight is how many modems of one gateway are watched beside a single one.
const eight = 8

// measureLine reads how much of the time the network had a part in hand: with
// one gateway that has one modem and one that has eight, at the same time, and
// with the bare loop that commits before each part. Status reports are on, and
// every ten seconds a phone writes to each modem.
func measureLine(ctx context.Context, s settings, t *table) (err error) {
	device, err := startSimulator(ctx, simulation{modems: 1 + eight + 1, latency: onAir})
	if err != nil {
		return err
	}
	defer device.end()
	one, err := openOneRow(s.dir)
	if err != nil {
		return err
	}
	defer one.db.Close()
	commit, err := one.commits()
	if err != nil {
		return err
	}
	var gateways []*watched
	defer func() {
		for _, w := range gateways {
			err = errors.Join(err, w.stop())
		}
	}()
	for i, modems := range [][]terminal{device.modems[:1], device.modems[1 : 1+eight]} {
		dir := filepath.Join(s.dir, fmt.Sprint("line", i))
		defer os.RemoveAll(dir)
		w, err := watch(ctx, gateway.Options{DataDir: dir}, modems, s.line)
		if err != nil {
			return err
		}
		if err := handIn(ctx, w.Queue(), len(modems)*s.line, batch, func(n int) queue.Draft {
			d := benchDraft(n)
			d.Pin, d.DeliveryReport = modemName(n%len(modems)), true
			return d
		}); err != nil {
			return err
		}
		w.start(ctx)
		gateways = append(gateways, w)
	}
	writing, stop := context.WithCancel(ctx)
	phones := make(chan error, 1)
	go func() { phones <- device.writeTo(writing, 1+eight, 10*time.Second) }()
	bare := make(chan error, 1)
	var floor *tap
	go func() {
		var err error
		floor, err = onPort(device.modems[1+eight].port, s.line, commit)
		bare <- err
	}()
	var use, parts, gaps, owns [2]series
	var failed error
	for i, w := range gateways {
		for m := range w.opened {
			seen, err := w.sent(ctx, m)
			if err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			all, each := seen.lineUse()
			use[i], parts[i] = append(use[i], all), append(parts[i], each...)
			gap, own := seen.between()
			gaps[i], owns[i] = append(gaps[i], gap...), append(owns[i], own...)
		}
	}
	stop()
	if err := errors.Join(failed, <-bare, <-phones); err != nil {
		return err
	}
	least, _ := floor.lineUse()
	floorGap, floorOwn := floor.between()
	for i, who := range []string{"1 modem", fmt.Sprintf("%d modems", eight)} {
		t.add(row{fmt.Sprintf("line use at %v a part, %d parts a modem, %s", onAir, s.line, who), fmt.Sprintf("%s %%, worst part %.2f %%", use[i].spread("%.3f"), slices.Min(parts[i])),
			fmt.Sprintf("%.3f %%", least), fmt.Sprintf("%.4f", use[i].median()/least), "≥ 99.8 %"})
		t.add(compare("final result to the next Ctrl-Z at such a pace, median, "+who, "", "", series{gaps[i].median()}, series{floorGap.median()}))
		t.add(compare("own share of that, median, "+who, "", "", series{owns[i].median()}, series{floorOwn.median()}))
	}
	return nil
}

// writeTo has a phone write to each of the first n modems every so often.
func (s *simulator) writeTo(ctx context.Context, n int, every time.Duration) error {
	for pause(ctx, every) == nil {
		for i := range n {
			if at, err := s.ask("write %d", i); err != nil || at < 0 {
				return fmt.Errorf("a phone could not write to modem %s: %w", modemName(i), err)
			}
		}
	}
	return nil
}

// many is a whole bank of modems.
const many = 32

// measureCrowd compares what many modems send with what their network can take.
// Status reports are on. Every modem has sent two parts before the time is taken, and has more to send
// when it ends; the parts are as many for each.
func measureCrowd(ctx context.Context, s settings, t *table) (err error) {
	device, err := startSimulator(ctx, simulation{modems: many, latency: onAir})
	if err != nil {
		return err
	}
	defer device.end()
	dir := filepath.Join(s.dir, "crowd")
	defer os.RemoveAll(dir)
	p, err := startDaemon(ctx, s.binary, dir, list(device.modems))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := p.modemsReady(ctx, many); err != nil {
		return err
	}
	body, err := batchOf(many*(s.crowdParts+5), true)
	if err != nil {
		return err
	}
	if err := postBatch(ctx, p.address, p.key, body); err != nil {
		return err
	}
	const first = 2 * many
	var took int64
	limit := time.Now().Add(time.Duration(s.crowdParts+5)*onAir + patience)
	for took = -1; took < 0; {
		if time.Now().After(limit) {
			return fmt.Errorf("the network did not get %d parts by then", first+many*s.crowdParts)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
		if took, err = device.ask("took %d %d", first, first+many*s.crowdParts); err != nil {
			return err
		}
	}
	rate, most := float64(many*s.crowdParts)/time.Duration(took).Seconds(), many/onAir.Seconds()
	t.add(row4(fmt.Sprintf("parts a second of %d modems at %v a part, %d parts a modem ÷ what the network can take", many, onAir, s.crowdParts),
		"/s", "≥ 0.99", series{rate}, series{most}))
	return nil
}

// measureTrickle reads what a message costs the disk when nothing shares its
// commits: one message every three seconds, from its POST to the network's answer.
func measureTrickle(ctx context.Context, s settings, t *table) (err error) {
	device, err := startSimulator(ctx, simulation{modems: 1})
	if err != nil {
		return err
	}
	defer device.end()
	dir := filepath.Join(s.dir, "trickle")
	defer os.RemoveAll(dir)
	p, err := startDaemon(ctx, s.binary, dir, list(device.modems))
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, p.stop())
		}
	}()
	if err := p.modemsReady(ctx, 1); err != nil {
		return err
	}
	if err := pause(ctx, s.settle); err != nil {
		return err
	}
	before, err := p.used()
	if err != nil {
		return err
	}
	if _, _, err := p.post(ctx, 1, spaced(ctx, s.trickle, onAir)); err != nil {
		return err
	}
	if err := p.allSent(ctx); err != nil {
		return err
	}
	after, err := p.used()
	if err != nil {
		return err
	}
	stopped = true
	if err := p.stop(); err != nil {
		return err
	}
	// The kernel counts for a process that ended what it wrote, in blocks of 512.
	usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("the kernel does not tell what the daemon wrote")
	}
	n := float64(s.trickle)
	t.add(row{figure: fmt.Sprintf("written to disk a message, one in %v, %d messages", onAir, s.trickle),
		value: kilobytes(after.written-before.written, n) + ", " + kilobytes(512*float64(usage.Oublock)-before.written, n) + " with the checkpoint at the end",
		goal:  "≤ 130 KB"})
	return nil
}
