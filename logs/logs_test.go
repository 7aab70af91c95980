package logs

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestLevelsByPackage(t *testing.T) {
	var b bytes.Buffer
	log, s := New(&b, false, Levels{Least: slog.LevelInfo, Of: map[string]slog.Level{"modem": slog.LevelDebug, "webhook": slog.LevelWarn}})
	modem, webhook := log.With(Package, "modem").With("modem", "office"), log.With(Package, "webhook")
	say := func() string {
		b.Reset()
		for name, l := range map[string]*slog.Logger{"none": log, "modem": modem, "webhook": webhook} {
			l.Debug(name + "-debug")
			l.Info(name + "-info")
			l.Warn(name + "-warn")
		}
		return b.String()
	}
	has := func(out string, want ...string) {
		t.Helper()
		if n := strings.Count(out, "\n"); n != len(want) {
			t.Errorf("%d lines, want %d:\n%s", n, len(want), out)
		}
		for _, w := range want {
			if !strings.Contains(out, "msg="+w) {
				t.Errorf("no %s in\n%s", w, out)
			}
		}
	}
	has(say(), "none-info", "none-warn", "modem-debug", "modem-info", "modem-warn", "webhook-warn")
	s.Set(Levels{Least: slog.LevelWarn})
	has(say(), "none-warn", "modem-warn", "webhook-warn")
}

func TestJournalLines(t *testing.T) {
	var b bytes.Buffer
	log, _ := New(&b, true, Levels{Least: slog.LevelDebug})
	log.Error("e", "level", "x", "text", "two\nlines")
	log.Warn("w")
	log.Info("i")
	log.Debug("d")
	want := "<3>msg=e text=\"two\\nlines\"\n<4>msg=w\n<6>msg=i\n<7>msg=d\n"
	if got := strings.Replace(b.String(), " level=x", "", 1); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestToJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	for stream, want := range map[string]bool{fmt.Sprintf("%d:%d", s.Dev, s.Ino): true, fmt.Sprintf("%d:%d", s.Dev, s.Ino+1): false, "": false, "junk": false} {
		if got := ToJournal(f, stream); got != want {
			t.Errorf("%q: %v", stream, got)
		}
	}
}
