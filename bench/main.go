// Command bench measures the gateway against floors: the least that the same
// work can cost on the same machine at the same time. Every figure alternates
// with its floor, several times, and the ratio is taken within each round, so
// that a busy machine slows both sides. Nothing is asserted: it prints a table.
//
//	go run ./bench            about a quarter of an hour
//	go run ./bench -quick     three minutes, for a first impression, without the recovery
//	go run ./bench -only send,post some of its parts
//
// Its parts are
//
//	send     a modem that answers at once: parts a second, the gateway's own share of each
//	batches  the same while batches of messages arrive
//	paced    parts a second at 50 ms a part
//	line     line use at 3 s a part, one modem and eight
//	crowd    32 modems at 3 s a part
//	trickle  bytes written for a message when one is sent every 3 s
//	receive  from +CMTI to the webhook
//	post     POSTs a second
//	webhooks  webhooks a second to a fast receiver, and beside receivers in trouble
//	listeners a thousand streams of server-sent events
//	daemon   memory, processor time and bytes written, flat out
//	million  a million slots in use: start, memory, POSTs
//	appliance start, idle cost, open pages
//	chat     the chat page in a browser: its list, and from +CMTI to the window
//	link     a hub and gateways behind slow links
//	sick     seven modems beside a sick one
//	recovery how long each fault lasts, in virtual time
//
// line, crowd and trickle wait nearly all of their time, and are measured side
// by side.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// settings say how long the measurements run.
type settings struct {
	rounds        int           // of each comparison
	parts         int           // sent in one round
	posting       time.Duration // in one round
	inserts       int           // rows of the floor in one round
	messages      int           // sent before the memory is read again
	settle        time.Duration // from "ready" to the reading of the idle memory
	clients       int
	crowdFor      time.Duration // eight modems send
	paced         int           // parts in one round at 50 ms each
	line          int           // parts of each modem at 3 s each
	crowdParts    int           // the same of each of many modems, on average, while the time is taken
	trickle       int           // messages, one every 3 s
	texts         int           // received
	slots         int           // in use
	recovery      bool          // of every fault
	events        int           // that listeners hear
	deliveries    int           // of webhooks, in one round
	idle          time.Duration // that nothing happens
	conversations int           // on the server
	alone         int           // messages over a link, one at a time
	windowed      int           // and as many at once as the window allows
	linked        int           // to each of two gateways with modems
	only, dir     string
	binary        string
	cpuprofile    string
}

var full = settings{rounds: 7, parts: 1500, posting: 5 * time.Second, inserts: 20_000, messages: 10_000, settle: 10 * time.Second, clients: 64, crowdFor: 8 * time.Second,
	paced: 60, line: 13, crowdParts: 12, trickle: 20, texts: 300, slots: 1_000_000, recovery: true, events: 100, deliveries: 6_000, idle: time.Minute, conversations: 5_000,
	alone: 15, windowed: 1000, linked: 120}
var quick = settings{rounds: 2, parts: 250, posting: 1500 * time.Millisecond, inserts: 5_000, messages: 1_000, settle: 2 * time.Second, clients: 64, crowdFor: 5 * time.Second,
	paced: 20, line: 4, crowdParts: 2, trickle: 4, texts: 60, slots: 100_000, events: 20, deliveries: 1_500, idle: 15 * time.Second, conversations: 5_000,
	alone: 10, windowed: 1000, linked: 60}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	s := full
	short := flag.Bool("quick", false, "a short run: noisier figures, three minutes")
	flag.StringVar(&s.only, "only", "", "measure these alone: some of "+strings.Join(names(), ","))
	flag.StringVar(&s.dir, "dir", "", "where the databases go; it decides what a commit costs. A temporary folder if not given")
	flag.StringVar(&s.binary, "binary", "", "the gatewayd to measure; built from this module if not given")
	flag.StringVar(&s.cpuprofile, "cpuprofile", "", "write a CPU profile of the rounds that send through the gateway to this file")
	rounds := flag.Int("rounds", 0, "how often each comparison is made")
	simulator := flag.Bool("simulate", false, "be the simulated modem; the benchmark starts itself so")
	bareEcho := flag.Bool("echo", false, "be the bare handler that POSTs are compared with; the benchmark starts itself so")
	flag.Parse()
	if *bareEcho {
		return serveEcho(ctx, flag.Args())
	}
	if *simulator {
		return simulate(flag.Args())
	}
	if *short {
		q := quick
		q.only, q.dir, q.binary, q.cpuprofile = s.only, s.dir, s.binary, s.cpuprofile
		s = q
	}
	for _, name := range strings.Split(s.only, ",") {
		if name != "" && !slices.Contains(names(), name) {
			return fmt.Errorf("-only %s: there is no %q; say some of %s", s.only, name, strings.Join(names(), ","))
		}
	}
	if *rounds > 0 {
		s.rounds = *rounds
	}
	if s.dir, err = os.MkdirTemp(s.dir, "gatewayd-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)

	m, err := describe(s.dir)
	if err != nil {
		return err
	}
	fmt.Fprint(out, m)
	t := &table{}
	for _, group := range groups {
		if err := group.measure(ctx, &s, t); err != nil {
			return err
		}
	}
	t.print(out)
	return nil
}

// build compiles the daemon as users get it.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "gatewayd")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "gatewayd/cmd/gatewayd")
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building gatewayd: %w\n%s", err, strings.TrimSpace(string(b)))
	}
	return path, nil
}

// profile starts a CPU profile and returns how to end it.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}
