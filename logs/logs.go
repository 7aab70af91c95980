// Package logs is how the daemon logs: to the journal as it wants its lines, else
// as text, from levels on that differ by package and may change while it runs.
package logs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// Package is the attribute that names the package which logs; With(Package,
// "modem") has the levels of modem hold.
const Package = "package"

// Levels say what is logged.
type Levels struct {
	Least slog.Level            // of packages that Of does not name
	Of    map[string]slog.Level // by package
}

func (l *Levels) of(pkg string) slog.Level {
	if level, ok := l.Of[pkg]; ok {
		return level
	}
	return l.Least
}

// Switch changes what a logger logs.
type Switch struct{ levels atomic.Pointer[Levels] }

// Set has other levels hold from now on.
func (s *Switch) Set(l Levels) { s.levels.Store(&l) }

// New returns a logger and its switch. For the journal, lines have no time of
// their own and begin with their priority.
func New(w io.Writer, journal bool, l Levels) (*slog.Logger, *Switch) {
	s := &Switch{}
	s.Set(l)
	h := &handler{levels: s, out: &output{w: w, journal: journal}}
	o := slog.HandlerOptions{Level: slog.LevelDebug - 4}
	if journal {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		}
	}
	h.inner = slog.NewTextHandler(h.out, &o)
	return slog.New(h), s
}

// handler asks the switch, and tells the output how urgent a line is.
type handler struct {
	inner  slog.Handler
	levels *Switch
	out    *output
	pkg    string
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool {
	return l >= h.levels.levels.Load().of(h.pkg)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.priority = priority(r.Level)
	return h.inner.Handle(ctx, r)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	for _, a := range attrs {
		if a.Key == Package {
			next.pkg = a.Value.String()
		}
	}
	next.inner = h.inner.WithAttrs(attrs)
	return &next
}

func (h *handler) WithGroup(name string) slog.Handler {
	next := *h
	next.inner = h.inner.WithGroup(name)
	return &next
}

// output writes a line at a time.
type output struct {
	w       io.Writer
	journal bool

	mu       sync.Mutex
	priority int // of the line that is being written
}

func (o *output) Write(line []byte) (int, error) {
	if !o.journal {
		return o.w.Write(line)
	}
	_, err := o.w.Write(append(fmt.Appendf(nil, "<%d>", o.priority), line...)) // at once: two writes could be two lines
	return len(line), err
}

// priority is a level as syslog counts.
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

// ToJournal tells whether what is written to f goes to the journal. The variable
// JOURNAL_STREAM names the socket that it came with; f may have been redirected since.
func ToJournal(f *os.File, stream string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}
