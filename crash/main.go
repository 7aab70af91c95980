// Command crash is the crash laboratory: it kills the daemon at every named
// step and at random moments, while modems are pulled, answers get lost and
// disks fill up, and then compares what clients were promised, what the network
// saw, what handsets sent and what webhooks told. docs/crash.md tells more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	l := &lab{tried: map[string]int{}, points: map[string]int{}, troubles: map[string]int{}, blamed: map[string]bool{}, kept: map[*world]string{}, retired: map[*world]bool{}}
	flag.IntVar(&l.kills, "kills", 1000, "how many kills to make")
	seed := flag.Uint64("seed", 0, "seed of the first world; the next ones follow. 0: another in each run")
	worlds := flag.Int("worlds", 12, "how many worlds live at once")
	flag.StringVar(&l.binary, "binary", "", "the gatewayd to kill, built with -tags crash; built from this module if not given")
	flag.StringVar(&l.dir, "dir", "", "where the databases go when no file system can be mounted for them; a temporary folder if not given")
	flag.BoolVar(&l.every, "every", false, "go on until every failpoint has killed")
	onDisk := flag.Bool("disk", false, "databases in -dir, whatever lies below: commits take the time they take there, and no disk is filled")
	flag.BoolVar(&l.powerCut, "powercut", false, "with each kill the daemon loses what it has not synced, as in a power cut")
	record := flag.String("record", "", "add the run to the record in this folder's docs/crash-record.json, docs/crash.md and README.md")
	flag.Parse()

	if os.Getenv(inside) == "" && !*onDisk {
		status, ok, err := isolate()
		if ok {
			os.Exit(status)
		}
		fmt.Printf("No disk will be filled: that takes a mount namespace, and there is none to be had (%v).\n", err)
	}
	if err := l.main(*seed, *worlds, *record); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

func (l *lab) main(seed uint64, worlds int, record string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if l.dir, err = os.MkdirTemp(l.dir, "gatewayd-crash-"); err != nil {
		return err
	}
	defer os.RemoveAll(l.dir)
	if os.Getenv(inside) != "" {
		if err := mount(l.dir, 256<<20); err != nil {
			os.Remove(l.dir)
			os.Exit(noMount)
		}
		defer unix.Unmount(l.dir, unix.MNT_DETACH) //nolint:errcheck // it vanishes with us
		l.mounts = true
	}
	if record != "" {
		l.version = versionOf(record) // of what is killed: it may be another one by the end
	}
	if l.binary == "" {
		if l.binary, err = build(ctx, l.dir); err != nil {
			return err
		}
	}
	if seed == 0 {
		seed = 1 + rand.Uint64N(1<<40)
	}
	fmt.Printf("Seed %d, %d worlds at once, %d kills.\n", seed, worlds, l.kills)
	began := time.Now()
	var next sync.Mutex
	var all sync.WaitGroup
	for range worlds {
		all.Go(func() {
			for l.goesOn(ctx) {
				next.Lock()
				mine := seed
				seed++
				next.Unlock()
				if err := l.world(ctx, mine); err != nil {
					l.fail(err)
				}
			}
		})
	}
	all.Wait()
	return l.end(ctx, time.Since(began), record)
}

// end reports, and records what was judged to its end: of a run that was cut off
// the last lives of each world were compared with nothing.
func (l *lab) end(ctx context.Context, took time.Duration, record string) error {
	if l.err != nil && !errors.Is(l.err, context.Canceled) {
		return l.err
	}
	l.print(took)
	if record != "" && ctx.Err() == nil {
		if err := l.record(record); err != nil {
			return err
		}
	}
	if t := l.total; t.Lost+t.Doubled+t.Wrong > 0 {
		return errors.New("promises were broken: see above")
	}
	if ctx.Err() != nil {
		return errors.New("cut off: the last lives were not judged, and nothing is recorded")
	}
	if missing := l.missing(); l.every && len(missing) > 0 {
		return fmt.Errorf("these failpoints killed nobody, so they check nothing: %s", strings.Join(missing, ", "))
	}
	return nil
}

// world makes a world and lets it live.
func (l *lab) world(ctx context.Context, seed uint64) error {
	w, err := newWorld(l, seed)
	if err != nil {
		return fmt.Errorf("world %d: %w", seed, err)
	}
	defer w.close()
	return w.run(ctx)
}

// build compiles the daemon with its failpoints.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "gatewayd")
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "crash", "-o", path, "gatewayd/cmd/gatewayd")
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building gatewayd: %w\n%s", err, strings.TrimSpace(string(b)))
	}
	return path, nil
}
