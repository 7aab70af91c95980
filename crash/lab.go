package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gatewayd/failpoint"
)

// tally is what a run counts.
type tally struct {
	Kills         int `json:"kills"`
	Messages      int `json:"messages"` // that clients asked to be sent
	Parts         int `json:"parts"`
	Letters       int `json:"letters"` // texts of handsets
	Lost          int `json:"lost"`
	Doubled       int `json:"doubled"` // without a mark
	Wrong         int `json:"wrong"`   // untrue statuses, events out of order, right requests refused
	Marked        int `json:"marked"`
	Twice         int `json:"twice"` // of the marked: the network saw a part of it more than once
	Unconfirmed   int `json:"unconfirmed"`
	LettersMarked int `json:"letters_marked"`
	LettersTwice  int `json:"letters_twice"`
	Late          int `json:"late"`
}

func (t *tally) add(o tally) {
	t.Kills += o.Kills
	t.Messages += o.Messages
	t.Parts += o.Parts
	t.Letters += o.Letters
	t.Lost += o.Lost
	t.Doubled += o.Doubled
	t.Wrong += o.Wrong
	t.Marked += o.Marked
	t.Twice += o.Twice
	t.Unconfirmed += o.Unconfirmed
	t.LettersMarked += o.LettersMarked
	t.LettersTwice += o.LettersTwice
	t.Late += o.Late
}

// lab is one run of the laboratory.
type lab struct {
	dir     string
	binary  string
	version string // that is recorded
	kills   int
	every   bool // until each failpoint has killed, that which did least is next
	mounts  bool // small file systems can be mounted
	quiet   bool // in tests of its own
	// powerCut has the daemon lose with each kill what it has not synced.
	powerCut bool

	mu       sync.Mutex
	total    tally
	tried    map[string]int // lives that were to end at a failpoint
	points   map[string]int // kills by failpoint; "": from outside, at a random moment
	troubles map[string]int
	lived    time.Duration
	checks   int
	checking time.Duration
	blamed   map[string]bool
	kept     map[*world]string // where the evidence is
	retired  map[*world]bool
	err      error
}

// goesOn tells whether more kills are wanted.
func (l *lab) goesOn(ctx context.Context) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return ctx.Err() == nil && l.err == nil && (l.total.Kills < l.kills || l.every && len(l.missing()) > 0 && l.total.Kills < 20*l.kills)
}

// missing are the failpoints that have not killed yet. Called with l.mu held.
func (l *lab) missing() (all []string) {
	for _, name := range failpoint.Names {
		if l.points[name] == 0 {
			all = append(all, name)
		}
	}
	return all
}

// least is one of these failpoints that killed least so far. What is under way
// counts already, lest all worlds choose the same.
func (l *lab) least(r *rand.Rand, points []string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var best []string
	for _, name := range points {
		n := l.points[name]*1000 + l.tried[name]
		switch {
		case len(best) == 0 || n < l.points[best[0]]*1000+l.tried[best[0]]:
			best = []string{name}
		case n == l.points[best[0]]*1000+l.tried[best[0]]:
			best = append(best, name)
		}
	}
	name := best[r.IntN(len(best))]
	l.tried[name]++
	return name
}

// count notes a kill.
func (l *lab) count(point string, lived time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total.Kills++
	l.points[point]++
	l.lived += lived
	if l.total.Kills%100 == 0 {
		fmt.Fprintf(os.Stderr, "crash: %d kills, %s\n", l.total.Kills, l.total.verdict())
	}
}

func (l *lab) met(trouble string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.troubles[trouble]++
}

func (l *lab) settled(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checks++
	l.checking += took
}

func (l *lab) add(t tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total.add(t)
}

// late notes what takes longer than it should.
func (l *lab) late(w *world, open []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total.Late += len(open)
	fmt.Fprintf(os.Stderr, "crash: world %d: not at its end %v after the last kill: %s\n", w.seed, lateAfter, strings.Join(open, "; "))
}

// fail ends the run because of a fault of the laboratory's own.
func (l *lab) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

// retire lets a world end that can't go on.
func (l *lab) retire(w *world) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired[w] = true
}

func (l *lab) isRetired(w *world) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retired[w]
}

func (l *lab) keeps(w *world) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept[w] != ""
}

// blame reports what must not be, once for each message and kind, with what is
// needed to look into it.
func (w *world) blame(tag, kind, format string, args ...any) {
	l := w.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	about := fmt.Sprintf("%d %s %s", w.seed, tag, kind)
	if l.blamed[about] {
		return
	}
	l.blamed[about] = true
	switch kind {
	case lost:
		l.total.Lost++
	case doubled:
		l.total.Doubled++
	default:
		l.total.Wrong++
	}
	if l.kept[w] == "" {
		l.kept[w] = w.keep()
	}
	if l.quiet {
		return
	}
	fmt.Printf("\n%s: %s\n  in the world of seed %d: go run ./crash -seed %d -worlds 1\n  kept in %s\n  the lives since the last check:\n",
		strings.TrimSpace(strings.ToUpper(kind)+" "+tag), fmt.Sprintf(format, args...), w.seed, w.seed, l.kept[w])
	for _, life := range w.lives {
		fmt.Println("    " + life)
	}
}

// keep copies a world's files where they outlive the run.
func (w *world) keep() string {
	to, err := os.MkdirTemp("", fmt.Sprintf("gatewayd-crash-%d-", w.seed))
	if err != nil {
		return err.Error()
	}
	if out, err := exec.Command("cp", "-r", filepath.Clean(w.dir)+"/data", w.log, w.config, to).CombinedOutput(); err != nil {
		return fmt.Sprintf("%s (not all of it: %s)", to, strings.TrimSpace(string(out)))
	}
	return to
}

func (t tally) verdict() string {
	return fmt.Sprintf("%d lost, %d doubled, %d wrong, %d marked, %d late", t.Lost, t.Doubled, t.Wrong, t.Marked+t.LettersMarked, t.Late)
}

// print is the run's report.
func (l *lab) print(took time.Duration) {
	t := l.total
	fmt.Printf("\n%d kills in %v (%.1f a second): %d at %d failpoints, %d at random moments.\n", t.Kills, took.Round(time.Second),
		float64(t.Kills)/took.Seconds(), t.Kills-l.points[""], len(failpoint.Names)-len(l.missing()), l.points[""])
	fmt.Printf("A life took %v, from its start to its kill; settling took %v, %d times.\n",
		(l.lived / time.Duration(max(t.Kills, 1))).Round(time.Millisecond), (l.checking / time.Duration(max(l.checks, 1))).Round(time.Millisecond), l.checks)
	fmt.Printf("Outbound: %d messages, %d parts; %d were sent again or may have been, and say so (%d were seen twice); %d failed as unconfirmed.\n",
		t.Messages, t.Parts, t.Marked, t.Twice, t.Unconfirmed)
	fmt.Printf("Inbound: %d texts; %d came with a mark, %d more than once.\n", t.Letters, t.LettersMarked, t.LettersTwice)
	if missing := l.missing(); len(missing) > 0 {
		fmt.Printf("Failpoints that killed nobody: %s.\n", strings.Join(missing, ", "))
	}
	fmt.Printf("Troubles:")
	for i, name := range sorted(l.troubles) {
		if i > 0 {
			fmt.Print(";")
		}
		fmt.Printf(" %s %d", name, l.troubles[name])
	}
	fmt.Println(".")
	fmt.Printf("Lost %d, doubled without a mark %d, wrong %d, late %d.\n", t.Lost, t.Doubled, t.Wrong, t.Late)
}
