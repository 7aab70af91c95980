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
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a `gatewayd run` of its own, as users start it.
type process struct {
	cmd     *exec.Cmd
	log     bytes.Buffer
	address string
	key     string
	start   time.Duration // until it was ready
}

// slots is the capacity of a gateway's outbound ring: a million may be in use,
// and some more come.
const slots = 1_100_000

// dataDir is where a daemon in dir keeps its database.
func dataDir(dir string) string { return filepath.Join(dir, "data") }

// configName is the name of a daemon's configuration in its folder.
const configName = "gatewayd.yaml"

// startDaemon is start for a gateway.
func startDaemon(ctx context.Context, binary, dir, rest string) (*process, error) {
	return start(ctx, binary, dir, rest, "run")
}

// start writes a configuration in dir and runs a command of the binary with it; rest is its
// end in YAML, behind modems, which may begin with their list.
func start(ctx context.Context, binary, dir, rest string, command ...string) (*process, error) {
	p := &process{}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.address = l.Addr().String()
	l.Close()
	config := filepath.Join(dir, configName)
	yaml := fmt.Sprintf("data_dir: %s\nhttp: {listen: %q}\nqueue: {outbound_capacity: %d}\nmodems:\n  discover: false\n%s",
		dataDir(dir), p.address, slots, rest)
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		return nil, err
	}
	key, err := exec.CommandContext(ctx, binary, "keys", "create", "--config", config, "--name", "bench", "--scope", "admin").Output()
	if err != nil {
		return nil, fmt.Errorf("keys create: %w", err)
	}
	p.key = strings.TrimSpace(string(key))
	p.cmd = exec.CommandContext(ctx, binary, append(command, "--config", config)...)
	p.cmd.Stderr = &p.log
	begun := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.until(ctx, patience, "/readyz", func(body string) bool { return true }); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	p.start = time.Since(begun)
	return p, nil
}

func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("gatewayd: %w\n%s", err, p.log.String())
	}
	return nil
}

// until asks for a page until its 200 satisfies ok.
func (p *process) until(ctx context.Context, within time.Duration, path string, ok func(body string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if body, err := p.get(ctx, path); err == nil && ok(body) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not say what it should within %v", path, within)
		}
	}
}

func (p *process) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r.Body); err != nil {
		return "", err
	}
	if r.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: %s", path, r.Status)
	}
	return b.String(), nil
}

// modemsReady waits until so many modems are.
func (p *process) modemsReady(ctx context.Context, n int) error {
	return p.until(ctx, time.Minute, "/v1/modems", func(body string) bool {
		var list struct{ Modems []struct{ State string } }
		ready := 0
		if json.Unmarshal([]byte(body), &list) == nil {
			for _, m := range list.Modems {
				if m.State == "ready" {
					ready++
				}
			}
		}
		return ready == n
	})
}

// allSent waits until no slot of the outbound ring is in use.
func (p *process) allSent(ctx context.Context) error {
	return p.until(ctx, 5*time.Minute, "/v1/queue", func(body string) bool {
		var q struct{ Outbound struct{ Depth int } }
		return json.Unmarshal([]byte(body), &q) == nil && q.Outbound.Depth == 0
	})
}

// used is what a process has used up so far.
type used struct {
	resident float64       // MB
	cpu      time.Duration // user and system
	written  float64       // bytes
}

func (p *process) used() (u used, err error) {
	dir := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return u, err
	}
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return u, err
	}
	io, err := os.ReadFile(dir + "io")
	if err != nil {
		return u, err
	}
	u.resident = number(status, "VmRSS:") / 1024
	u.written = number(io, "write_bytes:")
	// Behind the name in brackets: utime and stime are the 12th and 13th, in
	// hundredths of a second.
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return u, errors.New("/proc/PID/stat is not as expected")
	}
	for _, ticks := range f[11:13] {
		n, err := strconv.Atoi(ticks)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(n) * 10 * time.Millisecond
	}
	return u, nil
}

// number reads a line "name number …".
func number(b []byte, name string) float64 {
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseFloat(f[0], 64)
				return n
			}
		}
	}
	return 0
}
