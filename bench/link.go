package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"gatewayd/e2e/badlink"
)

// measureLink takes what a slow link between a hub and its gateways costs: without modems
// the window is what counts, and its floor is one message at a time; with modems that are
// slower than the link nothing is, and the floor is a gateway beside the hub.
func measureLink(ctx context.Context, s settings, t *table) error {
	var one, many, short, long series
	for i := range s.rounds {
		for _, m := range []struct {
			window, messages int
			rates            *series
		}{{1, s.alone, &one}, {255, s.windowed, &many}} {
			rate, err := flatOut(ctx, s, filepath.Join(s.dir, fmt.Sprintf("%d-%d", m.window, i)), m.window, m.messages)
			if err != nil {
				return err
			}
			*m.rates = append(*m.rates, rate)
		}
	}
	for i := range s.rounds {
		near, far, err := s.besides(ctx, filepath.Join(s.dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		short, long = append(short, near), append(long, far)
	}
	perSecond := func(rates series) string { return fmt.Sprintf("%.2f/s", rates.median()) }
	t.add(row{"messages a second to a gateway without modems, 200 ms there and back, window 255 ÷ one at a time",
		perSecond(many), perSecond(one), many.over(one).spread("%.0f"), "≥ 20"})
	t.add(row{"messages a second by two modems at 150 ms a part, link of 500 ms there and back ÷ of none",
		perSecond(long), perSecond(short), long.over(short).spread("%.3f"), "≥ 0.95"})
	return nil
}

// hub is a hub of its own, and where its gateways dial in.
type hub struct {
	*process
	dir, config, nats string
}

func startHub(ctx context.Context, binary, dir string, window int) (*hub, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hub{dir: dir, config: filepath.Join(dir, "hub", configName), nats: l.Addr().String()}
	l.Close()
	h.process, err = start(ctx, binary, filepath.Join(dir, "hub"), fmt.Sprintf("hub: {listen: %q, window: %d}\n", h.nats, window), "hub", "run")
	return h, err
}

// branch is a gateway of a hub behind a link of its own.
type branch struct {
	*process
	link *badlink.Link
}

// branch adds a gateway to the hub and starts it; there is how long the link is, one way.
func (h *hub) branch(ctx context.Context, binary, name string, there time.Duration, modems string) (*branch, error) {
	credentials, err := exec.CommandContext(ctx, binary, "hub", "add-gateway", "--config", h.config, name).Output()
	if err != nil {
		return nil, fmt.Errorf("hub add-gateway: %w", err)
	}
	file := filepath.Join(h.dir, name+".creds")
	if err := os.WriteFile(file, credentials, 0o600); err != nil {
		return nil, err
	}
	if err := h.until(ctx, patience, "/v1/gateways/"+name, func(string) bool { return true }); err != nil {
		return nil, err
	}
	b := &branch{}
	if b.link, err = badlink.New(h.nats); err != nil {
		return nil, err
	}
	b.link.Set(badlink.Weather{Delay: there})
	b.process, err = startDaemon(ctx, binary, filepath.Join(h.dir, name), fmt.Sprintf("%shub: {url: %q, credentials_file: %q}\n", modems, "nats://"+b.link.Address(), file))
	if err != nil {
		b.link.Close()
	}
	return b, err
}

func (b *branch) end() error {
	err := b.stop()
	b.link.Close()
	return err
}

// give posts messages for a gateway, each to a number of its own.
func (h *hub) give(ctx context.Context, gateway string, n int) error {
	for done := 0; done < n; {
		var batch []map[string]any
		for range min(100, n-done) {
			batch = append(batch, map[string]any{"gateway": gateway, "to": fmt.Sprintf("+49171%07d", done), "text": benchText})
			done++
		}
		body, err := json.Marshal(map[string]any{"messages": batch})
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.address+"/v1/messages/batch", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+h.key)
		req.Header.Set("Content-Type", "application/json")
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		r.Body.Close()
		if r.StatusCode >= 300 {
			return fmt.Errorf("POST /v1/messages/batch: %s", r.Status)
		}
	}
	return nil
}

// flatOut returns how many messages a second come to a gateway that has no modems, over a
// link of 200 ms. What stands in its ring at the first look is not counted.
func flatOut(ctx context.Context, s settings, dir string, window, n int) (rate float64, err error) {
	h, err := startHub(ctx, s.binary, dir, window)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	b, err := h.branch(ctx, s.binary, "far", 100*time.Millisecond, "")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.end()) }()
	depth := 0
	has := func(least int) func(string) bool {
		return func(body string) bool {
			var q struct{ Outbound struct{ Depth int } }
			if json.Unmarshal([]byte(body), &q) != nil {
				return false
			}
			depth = q.Outbound.Depth
			return depth >= least
		}
	}
	// What is given while the link is cut stands in the stream when it is whole again.
	b.link.Cut()
	if err := h.give(ctx, "far", n); err != nil {
		return 0, err
	}
	if err := h.until(ctx, patience, "/v1/gateways/far", func(body string) bool {
		var g struct {
			InLink int `json:"in_link"`
		}
		return json.Unmarshal([]byte(body), &g) == nil && g.InLink == n
	}); err != nil {
		return 0, err
	}
	b.link.Heal()
	if err := b.until(ctx, patience, "/v1/queue", has(1)); err != nil {
		return 0, err
	}
	first, begun := depth, time.Now()
	if err := b.until(ctx, patience, "/v1/queue", has(n)); err != nil {
		return 0, err
	}
	return float64(n-first) / time.Since(begun).Seconds(), nil
}

// besides returns what two gateways send with two modems each, at the same time on the same
// machine: one beside the hub, and one behind half a second there and back.
func (s settings) besides(ctx context.Context, dir string) (near, far float64, err error) {
	h, err := startHub(ctx, s.binary, dir, 255)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	names, rates := []string{"near", "far"}, []*float64{&near, &far}
	var devices []*simulator
	for i, there := range []time.Duration{0, 250 * time.Millisecond} {
		device, err := startSimulator(ctx, simulation{modems: 2, latency: 150 * time.Millisecond})
		if err != nil {
			return 0, 0, err
		}
		defer device.end()
		devices = append(devices, device)
		b, err := h.branch(ctx, s.binary, names[i], there, list(device.modems))
		if err != nil {
			return 0, 0, err
		}
		defer func() { err = errors.Join(err, b.end()) }()
		if err := b.modemsReady(ctx, 2); err != nil {
			return 0, 0, err
		}
	}
	for _, name := range names {
		if err := h.give(ctx, name, s.linked); err != nil {
			return 0, 0, err
		}
	}
	for i, device := range devices {
		took := int64(-1)
		for over := time.Now().Add(patience); took < 0; {
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return 0, 0, err
			}
			if took, err = device.ask("took 1 %d", s.linked); err != nil || time.Now().After(over) {
				return 0, 0, errors.Join(err, errors.New("not all that was given to "+names[i]+" was sent"))
			}
		}
		*rates[i] = float64(s.linked-1) / time.Duration(took).Seconds()
	}
	return near, far, nil
}
