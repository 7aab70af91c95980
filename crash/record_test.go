package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What README and docs/crash.md say of the record is what the record says.
func TestRecordIsShown(t *testing.T) {
	all, err := readRecord("..")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"../README.md": sentence(all), "../docs/crash.md": table(all)} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), recordBegin+want+recordEnd) {
			t.Errorf("%s does not show %s as it is", path, recordFile)
		}
	}
}

// Runs of the same version on the same machine add up; others stand beside them.
func TestRecordAddsUp(t *testing.T) {
	dir := t.TempDir()
	for path, text := range map[string]string{recordFile: "[]\n", "docs/crash.md": recordBegin + recordEnd + "\nend\n", "README.md": "begin\n" + recordBegin + "x\n" + recordEnd} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l := &lab{total: tally{Kills: 10, Messages: 20, Marked: 1}}
	cut, stop := context.WithCancel(t.Context())
	stop()
	if err := l.end(cut, 0, dir); err == nil {
		t.Error("a run that was cut off has judged nothing, and says that all is well")
	}
	if all, err := readRecord(dir); err != nil || len(all) > 0 {
		t.Errorf("it was recorded: %+v, %v", all, err)
	}
	for i := range 3 {
		l.powerCut = i == 2
		if err := l.record(dir); err != nil {
			t.Fatal(err)
		}
	}
	all, err := readRecord(dir)
	if err != nil {
		t.Fatal(err)
	}
	if total, runs := sum(all); len(all) != 2 || all[0].Runs != 2 || all[0].Kills != 20 || runs != 3 || total.Messages != 60 {
		t.Errorf("%+v", all)
	}
	b, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil || !strings.HasPrefix(string(b), "begin\n"+recordBegin+"Over 3 runs") || !strings.Contains(string(b), "30 kills: 0 lost") || strings.Contains(string(b), "x\n"+recordEnd) {
		t.Errorf("%v %s", err, b)
	}
}
