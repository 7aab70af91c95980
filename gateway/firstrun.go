package gateway

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatewayd/lan"
)

// Newcomers lets the first person in.
type Newcomers interface {
	// FirstRun returns a new code for the first person, "" if there are people. The
	// code of the call before is worth nothing then.
	FirstRun(ctx context.Context) (code string, err error)
	// Unclaimed reports whether there are no people yet.
	Unclaimed(ctx context.Context) (bool, error)
	// LetsIn reports whether a code still lets the first person in: it may have been
	// used, replaced, or have ended.
	LetsIn(ctx context.Context, code string) (bool, error)
}

const (
	// firstRunFile in data_dir keeps the first-run code, so that a restart or `gatewayd
	// setup` shows the one that somebody has written down. The database beside it is no
	// less secret.
	firstRunFile = "first-run"
	// codeKept is how long that is done: codes end some time.
	codeKept = 20 * 24 * time.Hour
	// consoleFile in the runtime directory is what the console shows.
	consoleFile = "console"
	// lookClaimed is how often it is looked whether somebody has come.
	lookClaimed = 3 * time.Second
)

// FirstRunCode is the code for the first person, "" once there is one.
func FirstRunCode(ctx context.Context, dir string, people Newcomers) (string, error) {
	path := filepath.Join(dir, firstRunFile)
	unclaimed, err := people.Unclaimed(ctx)
	if err != nil {
		return "", err
	}
	if !unclaimed {
		return "", remove(path)
	}
	if b, err := os.ReadFile(path); err == nil {
		kept, made, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
		if at, err := time.Parse(time.RFC3339, made); err == nil && kept != "" && time.Since(at).Abs() < codeKept {
			if good, err := people.LetsIn(ctx, kept); err != nil {
				return "", err
			} else if good {
				return kept, nil
			}
		}
	}
	code, err := people.FirstRun(ctx)
	if err != nil || code == "" {
		return code, err
	}
	return code, writeFile(path, code+" "+time.Now().UTC().Format(time.RFC3339)+"\n", 0o600)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeFile makes a file that is whole or not there.
func writeFile(path, content string, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".gatewayd-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // not there any more when all is well
	_, err = io.WriteString(f, content)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// newcomers are who lets the first person in.
func (g *Gateway) newcomers() Newcomers {
	if g.o.Newcomers != nil {
		return g.o.Newcomers
	}
	return g.keys
}

// welcomeFirst shows the way in until somebody has come in.
func (g *Gateway) welcomeFirst(ctx context.Context) {
	people := g.newcomers()
	if g.o.Console == nil && g.o.RuntimeDir == "" {
		return
	}
	path := ""
	if g.o.RuntimeDir != "" {
		path = filepath.Join(g.o.RuntimeDir, consoleFile)
		defer func() {
			if err := remove(path); err != nil {
				g.log.Warn("the console still shows a first-run code that is of no use", "error", err)
			}
		}()
	}
	code, shown, written := "", "", ""
	dead := 0 // looks in a row that found the code of no use
	for {
		unclaimed, err := people.Unclaimed(ctx)
		if err == nil && unclaimed && code != "" {
			var good bool
			if good, err = people.LetsIn(ctx, code); good {
				dead = 0
			} else if err == nil {
				dead++
			}
		}
		// The clock may be set meanwhile, and the code's end is moved a moment later:
		// this run keeps the code that it has shown unless it stays dead.
		if err == nil && (!unclaimed || code == "" || dead > 1) {
			dead = 0
			code, err = FirstRunCode(ctx, g.o.DataDir, people)
		}
		switch {
		case err != nil && ctx.Err() == nil:
			g.log.Error("the first-run code can't be shown", "error", err)
		case err == nil && code == "":
			return
		case err == nil:
			text := g.console(code).Text()
			if path != "" && text != written {
				// Whoever stands before the box may read it: that is what it is for.
				if err := writeFile(path, text, 0o644); err != nil {
					g.log.Error("the console can't be written", "error", err)
				}
				written = text
			}
			if g.o.Console != nil && code != shown && g.settled() {
				shown = code
				if _, err := io.WriteString(g.o.Console, "\n"+text+"\n"); err != nil {
					g.log.Debug("the console's text went nowhere", "error", err)
				}
			}
		}
		if !sleep(ctx, lookClaimed) {
			return
		}
	}
}

// nameLimit is how long the text for the journal waits for the box's name.
const nameLimit = 5 * time.Second

// settled tells whether it is known by now where the box is found.
func (g *Gateway) settled() bool {
	n := g.network
	return n == nil || n.announcer == nil || *n.name.Load() != "" || time.Since(g.started) > nameLimit
}

// FirstRun is the code for the first person, "" if there is one.
func (g *Gateway) FirstRun(ctx context.Context) (string, error) {
	return FirstRunCode(ctx, g.o.DataDir, g.newcomers())
}

// console is what the box says to who stands before it.
func (g *Gateway) console(code string) lan.Console {
	c := lan.Console{Addresses: g.network.Addresses(), Code: code, Fingerprint: g.network.Fingerprint()}
	c.Own = g.network != nil && g.network.certificates != nil
	if g.o.Listener != nil {
		c.Local = scheme(g.o.Certificate) + g.o.Listener.Addr().String()
	}
	return c
}
