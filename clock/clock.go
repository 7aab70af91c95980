// Package clock is the time that the gateway works with.
//
// A Pi has no clock of its own: it starts in 1970, or where it was switched
// off, and jumps once it hears the time. So the gateway's time goes on by the
// monotonic clock and follows the wall clock only when that can be trusted:
// the kernel says that it is synchronised, or the phone network agrees with it.
// A step is handed to the caller, who moves what waits along with it.
package clock

import (
	"fmt"
	"sync"
	"time"
)

// Source is who says that the time is right.
type Source string

// The sources.
const (
	Nobody     Source = ""
	Configured Source = "configured" // clock.trust: always
	Kernel     Source = "kernel"     // adjtimex: an NTP client keeps it
	Network    Source = "network"    // the phone network agrees
)

const (
	// tolerance is how far from the network's time a right clock may be: a
	// service centre takes a while, and its own clock is minutes off at worst.
	tolerance = 5 * time.Minute
	// noticeable is the least difference that is a step. An NTP client that
	// slews changes the monotonic clock's pace too, so nothing adds up.
	noticeable = time.Second
	// witnesses is how many voices of the network there must be. One may be a
	// report that is credited to the wrong part.
	witnesses = 2
	// heard is how many voices are kept, and how long one counts.
	heard, remembered = 8, 24 * time.Hour
)

// released is a day before which nobody ran this program: modems that don't
// know the time say 1970, 1980 or 2004, and so do Pis.
var released = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Options are what New needs.
type Options struct {
	Always bool             // the wall clock is right, whatever else says
	Wall   func() time.Time // nil: time.Now
	Synced func() bool      // what the kernel says; nil: ask it
}

// Clock is the gateway's time. Any goroutine may use it.
type Clock struct {
	o Options

	mu     sync.Mutex
	start  time.Time // with a monotonic reading
	anchor time.Time // the gateway's time at start; no monotonic reading
	since  time.Time // the gateway's time when this run began
	source Source
	voices []voice // newest last
}

// voice is what the network said: how far its time is ahead of ours.
type voice struct {
	from  string
	ahead time.Duration
	at    time.Time // monotonic
	floor bool      // it only says that it is this late at least
}

// New starts a clock at the wall clock's time.
func New(o Options) *Clock {
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Synced == nil {
		o.Synced = synced
	}
	c := &Clock{o: o, start: time.Now()}
	c.anchor = o.Wall().Round(0)
	c.since = c.anchor
	if o.Always {
		c.source = Configured
	}
	return c
}

// Now is the gateway's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clock) now() time.Time { return c.anchor.Add(time.Since(c.start)) }

// At is when something was by the gateway's time, as that is set now: t is a
// reading of time.Now in this process.
func (c *Clock) At(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.anchor.Add(t.Sub(c.start))
}

// Trusted tells whether Now is the time of day. Once it is, it stays so: what
// the wall clock does after that doesn't matter until it is right again.
func (c *Clock) Trusted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.source != Nobody
}

// Status is the clock for people to see.
type Status struct {
	Time   time.Time
	Source Source    // who vouched for it last
	Wall   time.Time // what the machine's clock says
}

// Status returns the clock as it is now.
func (c *Clock) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Status{c.now(), c.source, c.o.Wall().Round(0)}
}

// Began is the gateway's time when this run began.
func (c *Clock) Began() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since
}

// Resume goes on after last, the newest time that is known from the run before
// (zero: none); certain says whether it was trusted then. A wall clock that
// nobody vouches for is not believed that it is earlier than that. It returns
// what must be added to times that something waits by: only between two
// trusted times the time that went by in between counts.
func (c *Clock) Resume(last time.Time, certain bool) (shift time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall := c.o.Wall().Round(0)
	c.source = c.vouched(wall)
	now := wall
	if c.source == Nobody && last.After(now) {
		now = last
	}
	c.start, c.anchor, c.since = time.Now(), now, now
	if last.IsZero() || c.source != Nobody && certain && !now.Before(last) {
		return 0
	}
	return now.Sub(last)
}

// Look asks whether the wall clock is right, and returns how far it is ahead,
// 0 if that is nothing to speak of or nobody vouches for it.
func (c *Clock) Look() (step time.Duration, source Source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall := c.o.Wall().Round(0)
	source = c.vouched(wall)
	if source == Nobody {
		return 0, c.source
	}
	step = wall.Sub(c.now())
	if step.Abs() < noticeable {
		step = 0
	}
	return step, source
}

// Step moves the clock, and trusts it from now on if source is somebody.
func (c *Clock) Step(step time.Duration, source Source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.anchor, c.since = c.anchor.Add(step), c.since.Add(step)
	for i := range c.voices {
		c.voices[i].ahead -= step
	}
	c.source = source
}

// Heard takes in what the network says: its time is ahead of the gateway's by
// so much. Two of the same origin are one voice.
func (c *Clock) Heard(from string, ahead time.Duration) { c.hear(voice{from: from, ahead: ahead}) }

// HeardAtLeast takes in a time of the network that may be old, such as when a
// text was sent that waited since: a clock that is behind it is wrong.
func (c *Clock) HeardAtLeast(from string, ahead time.Duration) {
	c.hear(voice{from: from, ahead: ahead, floor: true})
}

func (c *Clock) hear(v voice) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Add(v.ahead).Before(released) {
		return
	}
	v.at = time.Now()
	for i, old := range c.voices {
		if old.from == v.from {
			c.voices = append(c.voices[:i], c.voices[i+1:]...)
			break
		}
	}
	if len(c.voices) == heard {
		c.voices = append(c.voices[:0], c.voices[1:]...)
	}
	c.voices = append(c.voices, v)
}

// vouched tells who says that the wall clock is right.
func (c *Clock) vouched(wall time.Time) Source {
	switch {
	case c.o.Always:
		return Configured
	case c.o.Synced():
		return Kernel
	case wall.Before(released):
		return Nobody
	}
	ahead, agree := wall.Sub(c.now()), 0
	for _, v := range c.voices {
		switch {
		case time.Since(v.at) > remembered:
		case v.floor && ahead < v.ahead-tolerance:
			return Nobody
		case v.floor:
		case (ahead - v.ahead).Abs() > tolerance:
			return Nobody // they don't agree with each other, or it is wrong
		default:
			agree++
		}
	}
	if agree < witnesses {
		return Nobody
	}
	return Network
}

// NotSet is what people are told of a clock that nobody vouches for.
const NotSet = "The clock is not set"

// Advice says what that means and what to do. The wall clock is what an
// administrator sees.
func Advice(wall time.Time) string {
	says := "Texts with send_at wait and nothing expires until it is; all else goes on. The machine's clock says " +
		wall.UTC().Format("2006-01-02 15:04") + " UTC, and neither the kernel nor the phone network says that this is right. "
	if _, err := askKernel(); err != nil {
		return says + fmt.Sprintf("The kernel can't be asked (adjtimex: %v): have the sandbox or container allow that call, "+
			"or set clock.trust: always if the clock is right.", err)
	}
	return says + "Let the machine reach a time server (timedatectl shows whether it does), or set clock.trust: always if its clock is right by itself."
}
