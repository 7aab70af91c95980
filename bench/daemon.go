package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// measureDaemon reads what a daemon with one modem uses: memory when idle and
// after messages, and processor time and writes for each message from its POST
// to the network's answer.
func measureDaemon(ctx context.Context, s settings, t *table) (err error) {
	device, err := startSimulator(ctx, simulation{modems: 1})
	if err != nil {
		return err
	}
	p, err := startDaemon(ctx, s.binary, filepath.Join(s.dir, "daemon"), list(device.modems))
	if err != nil {
		_, e := device.end()
		return errors.Join(err, e)
	}
	defer func() {
		err = errors.Join(err, p.stop())
		parts, e := device.end()
		if err = errors.Join(err, e); err == nil && parts != s.messages {
			err = fmt.Errorf("the modem was given %d parts, not %d", parts, s.messages)
		}
	}()
	if err := p.modemsReady(ctx, 1); err != nil {
		return err
	}
	if err := pause(ctx, s.settle); err != nil {
		return err
	}
	idle, err := p.used()
	if err != nil {
		return err
	}
	rate, _, err := p.post(ctx, s.clients, func(i int) bool { return i < s.messages })
	if err != nil {
		return err
	}
	if err := p.allSent(ctx); err != nil {
		return err
	}
	after, err := p.used()
	if err != nil {
		return err
	}
	if err := pause(ctx, s.settle); err != nil {
		return err
	}
	rest, err := p.used()
	if err != nil {
		return err
	}
	n := float64(s.messages)
	t.add(row{figure: "resident memory, one modem, idle", value: fmt.Sprintf("%.1f MB", idle.resident), goal: "≤ 40 MB"})
	t.add(row{figure: fmt.Sprintf("resident memory after %d messages", s.messages),
		value: fmt.Sprintf("%.1f MB, %.1f MB %v later", after.resident, rest.resident, s.settle)})
	t.add(row{figure: fmt.Sprintf("CPU a message, POST to +CMGS, flat out (posted at %.0f/s)", rate),
		value: fmt.Sprintf("%.2f ms", float64(after.cpu-idle.cpu)/n/float64(time.Millisecond)), goal: "≤ 1.5 ms"})
	t.add(row{figure: "written to disk a message, flat out", value: kilobytes(after.written-idle.written, n), goal: "≤ 16 KB"})
	return nil
}

// kilobytes is a share of what was written to disk.
func kilobytes(written, n float64) string {
	if written <= 0 {
		return "0 (not counted on this file system: see -dir)"
	}
	return fmt.Sprintf("%.1f KB", written/n/1024)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
