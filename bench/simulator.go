package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatewayd/sim"
)

// simulation is what the simulator's process is told to be.
type simulation struct {
	modems  int
	latency time.Duration // of the network, for each part; 0: it answers at once
	texts   bool          // phones will write to the modems
}

// A network that takes seconds for a part takes one to deliver it and one more
// to report that.
const deliverySlow = time.Second

// terminal is where a simulated modem is, and its SIM's number.
type terminal struct{ port, number string }

// writer is the phone that writes to the modems.
const writer = "+491719999999"

// simulator is simulated modems in a process of their own, as real ones are
// outside of the gateway.
type simulator struct {
	terminal // of the first
	modems   []terminal

	cmd *exec.Cmd
	mu  sync.Mutex // of a question and its answer
	in  io.WriteCloser
	out *bufio.Reader
}

// simulate is the simulator's process: it tells the modems' ports and numbers,
// answers questions until its input ends, and tells how many parts it was given.
func simulate(args []string) error {
	if len(args) != 3 {
		return errors.New("-simulate: say how many modems, the network's latency, and whether phones write to them")
	}
	var o simulation
	var errs [3]error
	o.modems, errs[0] = strconv.Atoi(args[0])
	o.latency, errs[1] = time.ParseDuration(args[1])
	o.texts, errs[2] = strconv.ParseBool(args[2])
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	options := sim.NetworkOptions{Latency: o.latency, Keep: 100}
	if o.latency > 0 {
		options.Keep = 10_000
	}
	if o.latency >= time.Second {
		options.Delivery, options.Report = deliverySlow, deliverySlow
	}
	network := sim.NewNetwork(options)
	defer network.Close()
	dir, err := os.MkdirTemp("", "gatewayd-bench-ports-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	announced := &announcements{at: make(chan int64, 16)}
	for i := range o.modems {
		m := sim.ModemOptions{Name: modemName(i)}
		if o.texts {
			m.Trace = announced
		}
		modem := network.AddModem(m)
		port, err := modem.OpenPTY(filepath.Join(dir, modemName(i))) // a link, which outlives a pull
		if err != nil {
			return err
		}
		fmt.Println(port, modem.Number())
	}
	phone := network.Handset(writer)
	questions := bufio.NewScanner(os.Stdin)
	for questions.Scan() {
		fmt.Println(answer(questions.Text(), network, phone, announced))
	}
	parts := 0
	for _, m := range network.Modems() {
		parts += m.Stats().Sends
	}
	fmt.Println(parts)
	return questions.Err()
}

// modemName is what modem i is called, in the simulator and in configurations.
func modemName(i int) string { return fmt.Sprintf("m%d", i+1) }

// answer answers a question with a number, -1 if there is no answer.
func answer(question string, network *sim.Network, phone *sim.Handset, announced *announcements) int64 {
	var a, b int
	switch word, rest, _ := strings.Cut(question, " "); word {
	case "text": // has a phone write to modem a, b ms after the text before was deleted, and tells when that was announced
		if _, err := fmt.Sscan(rest, &a, &b); err != nil {
			return -1
		}
		modem := network.Modems()[a]
		for until := time.Now().Add(10 * time.Second); len(modem.Stored("SM")) > 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(until) {
				return -1
			}
		}
		time.Sleep(time.Duration(b) * time.Millisecond)
		announced.awaited.Store(true)
		if phone.Send(modem.Number(), benchText) != nil {
			return -1
		}
		select {
		case at := <-announced.at:
			return at
		case <-time.After(10 * time.Second):
			return -1
		}
	case "write": // has a phone write to modem a
		if _, err := fmt.Sscan(rest, &a); err != nil || phone.Send(network.Modems()[a].Number(), benchText) != nil {
			return -1
		}
		return 0
	case "pull": // pulls modem a out
		if _, err := fmt.Sscan(rest, &a); err != nil {
			return -1
		}
		network.Modems()[a].Unplug()
		return 0
	case "plug": // plugs modem a in
		if _, err := fmt.Sscan(rest, &a); err != nil || network.Modems()[a].Plug() != nil {
			return -1
		}
		return 0
	case "took": // how long it took from the a-th part that the network had to the b-th
		accepted := network.Accepted()
		if _, err := fmt.Sscan(rest, &a, &b); err != nil || len(accepted) < b {
			return -1
		}
		return int64(accepted[b-1].At.Sub(accepted[a-1].At))
	}
	return -1
}

// announcements takes the time of +CMTI in the modems' dialogue, which is told
// just before it is written to the terminal.
type announcements struct {
	awaited atomic.Bool
	at      chan int64
}

func (a *announcements) Write(b []byte) (int, error) {
	if a.awaited.Load() && bytes.Contains(b, []byte("+CMTI: ")) {
		a.at <- time.Now().UnixNano()
		a.awaited.Store(false)
	}
	return len(b), nil
}

func startSimulator(ctx context.Context, o simulation) (*simulator, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &simulator{cmd: exec.CommandContext(ctx, self, "-simulate", strconv.Itoa(o.modems), o.latency.String(), strconv.FormatBool(o.texts))}
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
	for range o.modems {
		var m terminal
		if _, err := fmt.Fscanln(s.out, &m.port, &m.number); err != nil {
			s.end()
			return nil, fmt.Errorf("the simulator did not start: %w", err)
		}
		s.modems = append(s.modems, m)
	}
	s.terminal = s.modems[0]
	return s, nil
}

// ask asks the simulator's process a question; see answer.
func (s *simulator) ask(format string, args ...any) (n int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := fmt.Fprintf(s.in, format+"\n", args...); err != nil {
		return 0, err
	}
	_, err = fmt.Fscanln(s.out, &n)
	return n, err
}

// end ends the simulator and returns how many parts it was given.
func (s *simulator) end() (parts int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in.Close()
	_, err = fmt.Fscanln(s.out, &parts)
	if e := s.cmd.Wait(); err == nil {
		err = e
	}
	return parts, err
}

// list is modems in the words of a configuration, without limits.
func list(modems []terminal) string {
	var b strings.Builder
	b.WriteString("  list:\n")
	for i, m := range modems {
		fmt.Fprintf(&b, "    - {name: %s, port: %s, number: %q, max_per_minute: 0, max_per_day: 0}\n", modemName(i), m.port, m.number)
	}
	return b.String()
}
