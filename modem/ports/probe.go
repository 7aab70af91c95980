package ports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"gatewayd/modem"
	"gatewayd/modem/at"
)

// Opener opens a port for this process alone; modem.OpenSerial is one.
type Opener func(path string) (io.ReadWriteCloser, error)

// Found is a modem and the port on which it takes SMS commands.
type Found struct {
	Identity
	Device   Device
	Port     Tty
	Attempts []Attempt // the device's ports that were asked, Port too
}

// Attempt is what came of asking one port.
type Attempt struct {
	Port Tty
	Err  error // nil: it takes SMS commands
}

// Error says why a device's modem could not be found on any of its ports.
type Error struct {
	Device   Device
	Attempts []Attempt
}

func (e *Error) Error() string {
	if len(e.Attempts) == 0 {
		reason, _ := e.Device.Trouble()
		if reason == "" {
			reason = "it has no port that could take AT commands"
		}
		return fmt.Sprintf("%s: %s", e.Device, reason)
	}
	whys := make([]string, len(e.Attempts))
	for i, a := range e.Attempts {
		whys[i] = a.Port.Path + ": " + Why(a.Err)
	}
	return fmt.Sprintf("%s: no port takes SMS commands: %s", e.Device, strings.Join(whys, "; "))
}

// Unwrap lets errors.Is find the reason of each port.
func (e *Error) Unwrap() []error {
	all := make([]error, 0, len(e.Attempts))
	for _, a := range e.Attempts {
		all = append(all, a.Err)
	}
	return all
}

// Mute tells whether the device was asked, on every port that could take
// commands, and has not said a word: so is a modem that hangs.
func (e *Error) Mute() bool {
	return len(e.Attempts) > 0 && !slices.ContainsFunc(e.Attempts, func(a Attempt) bool { return !errors.Is(a.Err, at.ErrSilent) })
}

// Why says in a few words why a port was not taken; "" for nil.
func Why(err error) string {
	var busy *BusyError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &busy):
		if len(busy.Holders) == 0 {
			return "another program holds it"
		}
		return "held by " + busy.HeldBy()
	case errors.Is(err, modem.ErrBusy):
		return "another program holds it"
	case errors.Is(err, fs.ErrPermission):
		return "no permission to open it"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, at.ErrGone):
		return "it went away"
	case errors.Is(err, at.ErrSilent):
		return "nothing answers"
	case errors.Is(err, at.ErrParrot):
		return "it answers AT, but no question"
	case errors.Is(err, at.ErrTimeout):
		return "it stopped answering"
	case errors.Is(err, errBeaten):
		return "another port was faster"
	}
	return err.Error()
}

// errBeaten ends asking once a better port has been found.
var errBeaten = errors.New("another port takes the commands")

const (
	// hedge is how long the port that ought to take the commands is waited for
	// before the device's second command port is asked too.
	hedge = 1500 * time.Millisecond
	// grace is how long a likelier port may still take after another was found.
	grace = time.Second
)

// Probe finds the port of d that takes SMS commands, and whose it is. It opens
// candidates only (Device.Candidates), writes nothing that dials, resets or
// enters a PIN, and has closed every port when it returns. A device whose
// command port is busy is busy: its other ports are left alone.
//
// Whether d may be asked at all is its Policy, and the caller's to heed.
func Probe(ctx context.Context, open Opener, d Device) (Found, error) {
	candidates := d.Candidates()
	if len(candidates) == 0 {
		return Found{}, &Error{Device: d}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := race{d: d, candidates: candidates, open: open, results: make(chan result, len(candidates)),
		attempts: make([]*result, len(candidates))}
	return r.run(ctx, cancel)
}

type result struct {
	rank int
	id   Identity
	err  error
}

// race asks the candidates of one device at the same time.
type race struct {
	d          Device
	candidates []Tty
	open       Opener
	results    chan result
	attempts   []*result // by rank; nil: not asked, or not done
	started    int
	done       int
}

func (r *race) run(ctx context.Context, cancel context.CancelCauseFunc) (Found, error) {
	r.start(ctx, r.firstWave())
	late := time.NewTimer(hedge)
	defer late.Stop()
	var over <-chan time.Time // grace
	for r.done < r.started {
		select {
		case got := <-r.results:
			r.done++
			r.attempts[got.rank] = &got
			switch best := r.best(); {
			case best >= 0 && r.settled(best):
				cancel(errBeaten)
				over = nil
			case best >= 0:
				if over == nil {
					over = time.After(grace)
				}
			case got.rank == 0 && r.d.known && errors.Is(got.err, modem.ErrBusy):
				cancel(errBeaten)
			case r.done == r.started && ctx.Err() == nil:
				r.start(ctx, len(r.candidates))
			}
		case <-late.C:
			if r.best() < 0 && ctx.Err() == nil {
				r.start(ctx, len(r.candidates))
			}
		case <-over:
			cancel(errBeaten)
		}
	}
	return r.verdict(ctx)
}

// firstWave is how many candidates are asked at once: of a known device those
// that ought to answer, else all.
func (r *race) firstWave() int {
	n := 0
	for n < len(r.candidates) && r.d.known && r.candidates[n].Role == r.candidates[0].Role {
		n++
	}
	if n == 0 {
		return len(r.candidates)
	}
	return n
}

// start asks the candidates up to the n-th.
func (r *race) start(ctx context.Context, n int) {
	for ; r.started < n; r.started++ {
		go func(rank int) {
			id, err := ask(ctx, r.open, r.candidates[rank].Path)
			r.results <- result{rank, id, err}
		}(r.started)
	}
}

// best is the likeliest port that was accepted, -1 if none was.
func (r *race) best() int {
	for i, a := range r.attempts {
		if a != nil && a.err == nil {
			return i
		}
	}
	return -1
}

// settled tells whether no likelier port than best is still being asked.
func (r *race) settled(best int) bool {
	for i := range min(best, r.started) {
		if r.attempts[i] == nil {
			return false
		}
	}
	return true
}

func (r *race) verdict(ctx context.Context) (Found, error) {
	var all []Attempt
	for i, a := range r.attempts {
		if a != nil {
			all = append(all, Attempt{Port: r.candidates[i], Err: a.err})
		}
	}
	if best := r.best(); best >= 0 {
		return Found{Identity: r.attempts[best].id, Device: r.d, Port: r.candidates[best], Attempts: all}, nil
	}
	if err := ctx.Err(); err != nil && !errors.Is(context.Cause(ctx), errBeaten) {
		return Found{}, err
	}
	return Found{}, &Error{Device: r.d, Attempts: all}
}

// ask opens one port, asks it, and closes it.
func ask(ctx context.Context, open Opener, path string) (Identity, error) {
	if ctx.Err() != nil {
		return Identity{}, context.Cause(ctx)
	}
	rwc, err := open(path)
	if err != nil {
		return Identity{}, err
	}
	l := talk(ctx, rwc)
	defer l.Close()
	return l.interrogate()
}
