package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"gatewayd/sim"
)

// simulator is a simulated modem in a process of its own, as a real one is
// outside of the gateway. Its network answers at once.
type simulator struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	port   string
	number string
}

// simulate is the simulator's process: it tells its port and its number, waits
// until its input ends, and tells how many parts it was given.
func simulate() error {
	network := sim.NewNetwork(sim.NetworkOptions{Keep: 100})
	defer network.Close()
	m := network.AddModem(sim.ModemOptions{Name: "bench"})
	port, err := m.OpenPTY("")
	if err != nil {
		return err
	}
	fmt.Println(port, m.Number())
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Println(m.Stats().Sends)
	return nil
}

func startSimulator(ctx context.Context) (*simulator, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &simulator{cmd: exec.CommandContext(ctx, self, "-simulate")}
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := fmt.Fscanln(s.out, &s.port, &s.number); err != nil {
		s.end()
		return nil, fmt.Errorf("the simulator did not start: %w", err)
	}
	return s, nil
}

// end ends the simulator and returns how many parts it was given.
func (s *simulator) end() (parts int, err error) {
	s.in.Close()
	_, err = fmt.Fscanln(s.out, &parts)
	if e := s.cmd.Wait(); err == nil {
		err = e
	}
	return parts, err
}
