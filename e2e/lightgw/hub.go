package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// start starts a hub in a directory of its own, and returns how to stop it.
func (s *settings) start(ctx context.Context) (stop func() error, err error) {
	var doors [2]net.Listener // both at once, lest they are the same
	var addresses [2]string
	for i := range doors {
		// Outside of the range of which systems take the ports of connections, so nothing
		// takes it before it is used.
		for tries := 0; ; tries++ {
			if doors[i], err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))); err == nil {
				break
			}
			if tries == 1000 {
				return nil, err
			}
		}
		addresses[i] = doors[i].Addr().String()
	}
	for _, l := range doors {
		l.Close()
	}
	config := filepath.Join(s.dir, "hub.yaml")
	yaml := fmt.Sprintf("data_dir: %s\nhttp: {listen: %q}\ndefault_region: DE\nqueue: {outbound_capacity: %d}\nhub: {listen: %q}\n",
		filepath.Join(s.dir, "data"), addresses[0], max(10_000, 2*s.gateways*s.messages), addresses[1])
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		return nil, err
	}
	key, err := exec.CommandContext(ctx, s.binary, "keys", "create", "--config", config, "--name", "light", "--scope", "admin").Output()
	if err != nil {
		return nil, fmt.Errorf("keys create: %w", err)
	}
	s.base, s.nats, s.key = "http://"+addresses[0], "nats://"+addresses[1], strings.TrimSpace(string(key))
	log, err := os.Create(filepath.Join(s.dir, "hub.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, s.binary, "hub", "run", "--config", config)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.pid = cmd.Process.Pid
	stop = func() error {
		begun := time.Now()
		err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait(), log.Close())
		fmt.Printf("the hub ended within %v\n", time.Since(begun).Round(time.Millisecond))
		said, _ := os.ReadFile(log.Name()) // it is shown, no more
		for line := range strings.Lines(string(said)) {
			if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
				fmt.Print("the hub said: ", line)
			}
		}
		return err
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		r, err := http.Get(s.base + "/readyz")
		if err != nil {
			continue
		}
		r.Body.Close()
		if r.StatusCode == http.StatusOK {
			return stop, nil
		}
	}
	return nil, errors.Join(errors.New("the hub is not ready within 30 s"), stop())
}
