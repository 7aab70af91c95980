package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// entry is what the runs of one version on one kind of machine found together.
type entry struct {
	Version string `json:"version"`
	Machine string `json:"machine"`
	Death   string `json:"death"` // what a kill takes: the process, or what was not synced too
	Runs    int    `json:"runs"`
	tally
}

// recordFile is where the record lies, in the project.
const recordFile = "docs/crash-record.json"

// Files that show the record, between a begin and an end.
const (
	recordBegin = "<!-- crash: generated -->\n"
	recordEnd   = "<!-- end of crash -->"
)

// record adds the run to the project's record, and shows it anew.
func (l *lab) record(dir string) error {
	all, err := readRecord(dir)
	if err != nil {
		return err
	}
	now := entry{Version: l.version, Machine: machine(l.mounts), Death: l.death(), Runs: 1, tally: l.total}
	found := false
	for i := range all {
		if e := &all[i]; e.Version == now.Version && e.Machine == now.Machine && e.Death == now.Death {
			e.Runs++
			e.tally.add(l.total)
			found = true
		}
	}
	if !found {
		all = append(all, now)
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, recordFile), append(b, '\n'), 0o644); err != nil {
		return err
	}
	return errors.Join(show(filepath.Join(dir, "docs/crash.md"), table(all)), show(filepath.Join(dir, "README.md"), sentence(all)))
}

func readRecord(dir string) (all []entry, err error) {
	b, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", recordFile, err)
	}
	return all, nil
}

// show puts a text between the marks of a file.
func show(path, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), recordBegin)
	_, after, ok2 := strings.Cut(rest, recordEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for the record: %s…%s", path, strings.TrimSpace(recordBegin), recordEnd)
	}
	return os.WriteFile(path, []byte(before+recordBegin+text+recordEnd+after), 0o644)
}

// sum adds up the record.
func sum(all []entry) (t tally, runs int) {
	for _, e := range all {
		t.add(e.tally)
		runs += e.Runs
	}
	return t, runs
}

// sentence is the record in the README.
func sentence(all []entry) string {
	t, runs := sum(all)
	return fmt.Sprintf("Over %d %s of the crash laboratory, simulated modems, **%d kills: %d lost, %d doubled without saying so**, %d marked\n"+
		"of %d texts sent and %d received ([docs/crash.md](docs/crash.md), `make crash`).\n",
		runs, plural(runs, "run"), t.Kills, t.Lost, t.Doubled, t.Marked+t.LettersMarked, t.Messages, t.Letters)
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// table is the record in docs/crash.md.
func table(all []entry) string {
	var b strings.Builder
	b.WriteString("| version | machine | what a kill takes | runs | kills | sent | received | lost | doubled | wrong | marked | of them twice | unconfirmed | late |\n" +
		strings.Repeat("| --- ", 14) + "|\n")
	row := func(e entry) {
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %d | %d | %d | %d | %d | %d | %d + %d | %d + %d | %d | %d |\n", e.Version, e.Machine, e.Death, e.Runs, e.Kills, e.Messages, e.Letters,
			e.Lost, e.Doubled, e.Wrong, e.Marked, e.LettersMarked, e.Twice, e.LettersTwice, e.Unconfirmed, e.Late)
	}
	for _, e := range all {
		row(e)
	}
	t, runs := sum(all)
	row(entry{Version: "all", Runs: runs, tally: t})
	return b.String()
}

// versionOf is the commit of the code that was killed. The record itself, which
// the last run may have changed, is no part of that.
func versionOf(dir string) string {
	git := func(args ...string) (string, error) {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	version, err := git("rev-parse", "--short", "HEAD")
	if err != nil {
		return "unknown"
	}
	if changed, err := git("status", "--porcelain", "--", ".", ":!docs", ":!README.md"); err != nil || changed != "" {
		version += "-dirty"
	}
	return version
}

// machine says what kind of machine it is.
func machine(mounts bool) string {
	disk := "databases on a disk"
	if mounts {
		disk = "databases in memory"
	}
	return fmt.Sprintf("%d cores (%s), %s/%s, %s", runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH, disk)
}

func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			if n := strings.TrimSpace(name); n == "model name" || n == "Model" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "processor unknown"
}

// death says what a kill takes with it.
func (l *lab) death() string {
	if l.powerCut {
		return "process and unsynced writes"
	}
	return "process"
}
