package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"gatewayd/gateway"
	"gatewayd/modem"
)

const benchText = "Your appointment is on Tuesday at 10:30. Reply STOP to get no more of these."

// recipient is one of a thousand numbers in turn.
func recipient(i int) string { return fmt.Sprintf("+4917012%05d", i%1000) }

// lane is one way to send, over the rounds.
type lane struct {
	rate                                       series
	idle, idle99, prompt, prompt99, own, own99 series
}

func (l *lane) take(t *tap) {
	l.rate = append(l.rate, t.rate())
	l.idle, l.idle99 = append(l.idle, t.idles.median()), append(l.idle99, t.idles.at(0.99))
	l.prompt, l.prompt99 = append(l.prompt, t.prompts.median()), append(l.prompt99, t.prompts.at(0.99))
	l.own, l.own99 = append(l.own, t.owns.median()), append(l.own99, t.owns.at(0.99))
}

// measureSending compares the gateway's send loop with bare ones on the same
// pseudo-terminal, whose network answers at once.
func measureSending(ctx context.Context, s settings, t *table) error {
	device, commit, end, err := besideBare(ctx, s.dir, simulation{modems: 1})
	if err != nil {
		return err
	}
	defer end()
	endProfile, err := profile(s.cpuprofile)
	if err != nil {
		return err
	}
	defer endProfile()

	var nothing, committing, product lane
	for i := range s.rounds {
		for _, turn := range []struct {
			into *lane
			run  func() (*tap, error)
		}{
			{&nothing, func() (*tap, error) { return onPort(device.port, s.parts, nil) }},
			{&committing, func() (*tap, error) { return onPort(device.port, s.parts, commit) }},
			{&product, func() (*tap, error) {
				return throughGateway(ctx, filepath.Join(s.dir, fmt.Sprint("send", i)), device, s.parts)
			}},
		} {
			seen, err := turn.run()
			if err != nil {
				return err
			}
			turn.into.take(seen)
		}
	}

	t.add(compare("parts a second ÷ bare loop, one commit a part", "/s", "≥ 0.70", product.rate, committing.rate))
	t.add(compare("parts a second ÷ bare loop that stores nothing", "/s", "", product.rate, nothing.rate))
	t.add(compare("idle gap (final result to AT+CMGS), median", "", "", product.idle, committing.idle))
	t.add(compare("idle gap, p99", "", "", product.idle99, committing.idle99))
	t.add(compare("prompt gap (`> ` to Ctrl-Z), median", "", "", product.prompt, committing.prompt))
	t.add(compare("prompt gap, p99", "", "", product.prompt99, committing.prompt99))
	t.add(compare("own share a part (both gaps), median", "", "≤ 1.4", product.own, committing.own))
	t.add(compare("own share a part, p99", "", "≤ 3", product.own99, committing.own99))
	return nil
}

// besideBare starts a simulated modem that the bare loop and the gateway send
// through in turn, with what the bare loop commits before each part.
func besideBare(ctx context.Context, dir string, o simulation) (device *simulator, commit func() error, end func(), err error) {
	if device, err = startSimulator(ctx, o); err != nil {
		return nil, nil, nil, err
	}
	end = func() { device.end() }
	release, err := hold(device.port)
	if err != nil {
		end()
		return nil, nil, nil, err
	}
	row, err := openOneRow(dir)
	if err == nil {
		commit, err = row.commits()
	}
	end = func() {
		if row != nil {
			row.db.Close()
		}
		release()
		device.end()
	}
	if err != nil {
		end()
	}
	return device, commit, end, err
}

// hold keeps a terminal open between those who use it in turn: the simulator
// undoes what the last one left behind, and what it says meanwhile is lost.
func hold(port string) (release func(), err error) {
	f, err := os.OpenFile(port, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// patience is how long a round may take before it is given up.
const patience = 2 * time.Minute

// onPort runs a bare loop on the port.
func onPort(port string, n int, before func() error) (*tap, error) {
	rwc, err := modem.OpenSerial(port)
	if err != nil {
		return nil, err
	}
	defer time.AfterFunc(patience, func() { rwc.Close() }).Stop()
	t, err := bareLoop(rwc, n, before)
	return t, errors.Join(err, rwc.Close())
}

// throughGateway sends n messages of one part, handed in before the start,
// through a whole gateway without HTTP.
func throughGateway(ctx context.Context, dir string, sim *simulator, n int) (t *tap, err error) {
	defer os.RemoveAll(dir)
	w, err := watch(ctx, gateway.Options{DataDir: dir}, sim.modems[:1], n)
	if err != nil {
		return nil, err
	}
	if err := handIn(ctx, w.Queue(), n, 250, benchDraft); err != nil {
		return nil, err
	}
	w.start(ctx)
	defer func() { err = errors.Join(err, w.stop()) }()
	return w.sent(ctx, 0)
}
