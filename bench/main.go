// Command bench measures the gateway against floors: the least that the same
// work can cost on the same machine at the same time. Every figure alternates
// with its floor, several times, and the ratio is taken within each round, so
// that a busy machine slows both sides. Nothing is asserted: it prints a table.
//
//	go run ./bench            about six minutes
//	go run ./bench -quick     a minute, for a first impression, without the recovery
//	go run ./bench -only send one part of it: send, post, daemon, sick or recovery
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
	"strings"
	"time"
)

// settings say how long the measurements run.
type settings struct {
	rounds     int           // of each comparison
	parts      int           // sent in one round
	posting    time.Duration // in one round
	inserts    int           // rows of the floor in one round
	messages   int           // sent before the memory is read again
	settle     time.Duration // from "ready" to the reading of the idle memory
	clients    int
	crowdFor   time.Duration // eight modems send
	recovery   bool          // of every fault
	only, dir  string
	binary     string
	cpuprofile string
}

var full = settings{rounds: 7, parts: 1500, posting: 5 * time.Second, inserts: 20_000, messages: 10_000, settle: 10 * time.Second, clients: 64, crowdFor: 8 * time.Second, recovery: true}
var quick = settings{rounds: 2, parts: 250, posting: 1500 * time.Millisecond, inserts: 5_000, messages: 1_000, settle: 2 * time.Second, clients: 64, crowdFor: 5 * time.Second}

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
	short := flag.Bool("quick", false, "a short run: noisier figures, a minute")
	flag.StringVar(&s.only, "only", "", "measure this alone: send, post, daemon, sick or recovery")
	flag.StringVar(&s.dir, "dir", "", "where the databases go; it decides what a commit costs. A temporary folder if not given")
	flag.StringVar(&s.binary, "binary", "", "the gatewayd to measure; built from this module if not given")
	flag.StringVar(&s.cpuprofile, "cpuprofile", "", "write a CPU profile of the rounds that send through the gateway to this file")
	rounds := flag.Int("rounds", 0, "how often each comparison is made")
	simulator := flag.Bool("simulate", false, "be the simulated modem; the benchmark starts itself so")
	flag.Parse()
	if *simulator {
		return simulate()
	}
	if *short {
		q := quick
		q.only, q.dir, q.binary, q.cpuprofile = s.only, s.dir, s.binary, s.cpuprofile
		s = q
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
	for _, step := range []struct {
		name    string
		measure func(context.Context, settings, *table) error
	}{{"send", measureSending}, {"post", measurePosts}, {"daemon", measureDaemon}, {"sick", measureSick}, {"recovery", measureRecovery}} {
		if s.only != "" && s.only != step.name || step.name == "recovery" && !s.recovery && s.only == "" {
			continue
		}
		if (step.name == "post" || step.name == "daemon") && s.binary == "" {
			if s.binary, err = build(ctx, s.dir); err != nil {
				return err
			}
		}
		start := time.Now()
		if err := step.measure(ctx, s, t); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintf(os.Stderr, "bench: %s took %.0f s\n", step.name, time.Since(start).Seconds())
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
