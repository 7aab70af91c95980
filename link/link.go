// Package link is a gateway's side of its hub: it dials out, takes what waits for this
// gateway into the gateway's own ring, and tells the hub what the event log says.
//
// A connection is a session. It says hello, and then three loops live as long as it: one
// says hello again, one pulls, one tells. Whatever ends one of them ends the session, and
// the next begins with what is in the database: what was pulled and not acknowledged comes
// again and is known by its id, what was told and not confirmed is told again under the
// same sequence.
package link

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Options are what New needs. URL and CredentialsFile come from the configuration; DB,
// Queue and the functions from the gateway.
type Options struct {
	URL             string // tls, wss, or on this machine nats; several are separated by commas
	CredentialsFile string // as the hub made it
	CAFile          string // "": the machine's own authorities

	DB      *db.DB
	Queue   *queue.Queue
	Version string
	Modems  func() []sms.Modem
	Alarms  func() []sms.Alarm
	Reset   func(modem string) error
	USSD    func(ctx context.Context, modem string, step sms.USSD) (sms.USSDAnswer, error)
	// Apply has what the hub sets hold; its error says in words what can't be.
	Apply func(ctx context.Context, c mirror.Configuration) error
	// File opens a file that goes with a message; nil: there are none.
	File func(ctx context.Context, id string) (io.ReadCloser, error)
	// Changed is called when the link has come up or gone down, or is down for another reason.
	Changed func(Status)
	Now     func() time.Time
	Trusted func() bool // whether Now is the time of day; nil: it is
	Log     *slog.Logger
}

// Status is how the link stands.
type Status struct {
	Name       string // of this gateway, as the hub calls it; "": its credentials could not be read yet
	Connected  bool
	Since      time.Time // it has been so
	Error      string    // in words, why there is no link; "": there is one, or nobody has tried yet
	Untold     int64     // events that the hub's stream does not have yet
	Reconnects int64     // sessions after the first
	PublicURL  string    // of the hub, as it said last; "": it has none
}

// Reader is the name under which the event log is read for the hub.
const Reader = "hub"

// Link is a gateway's link to its hub.
type Link struct {
	o     Options
	times times
	began time.Time
	read  atomic.Int64 // up to where the event log was read in this session
	wire  atomic.Int64 // the sequence that was told last in this session
	heard atomic.Int64 // when the hub was heard, since began, in nanoseconds; 0: not yet

	mu       sync.Mutex
	state    state
	status   Status
	cursor   int64 // up to where the hub's stream has the event log
	sessions int64
	nc       *nats.Conn // nil: no hello was answered in this session
	refused  refused
}

// refused is a configuration that could not be applied. It is tried again after a
// restart: what spoke against it may be another configuration file by then.
type refused struct {
	version int64
	why     string
}

// times are how long things take; tests have less.
type times struct {
	hello       time.Duration // between two
	answer      time.Duration // to wait for one
	first, most time.Duration // between two sessions
	timeout     time.Duration // of dialling, and of a write
	ping        time.Duration
	fetch       time.Duration // that a pull waits for something
	ack         time.Duration // to wait for the stream to have an event
	look        time.Duration // at what nothing tells of by itself
	book        time.Duration // what was confirmed is booked after
}

var usual = times{
	hello: mirror.HelloEvery, answer: 10 * time.Second, first: 500 * time.Millisecond, most: 15 * time.Second,
	timeout: 20 * time.Second, ping: 10 * time.Second, fetch: 30 * time.Second, ack: 20 * time.Second, look: time.Second, book: 500 * time.Millisecond,
}

// New takes over the package's table and the reader of the event log, which from now on
// holds what the hub has not heard.
func New(o Options) (*Link, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Trusted == nil {
		o.Trusted = func() bool { return true }
	}
	if o.Changed == nil {
		o.Changed = func(Status) {}
	}
	l := &Link{o: o, times: usual, began: time.Now()}
	var err error
	if l.state, err = readState(context.Background(), o.DB); err != nil {
		return nil, err
	}
	if l.cursor, err = o.Queue.Cursor(Reader); err != nil {
		return nil, err
	}
	l.status = Status{Since: o.Now(), Name: nameOf(l.state.name), PublicURL: l.state.publicURL}
	if l.state.clustered {
		if err := l.change(func(s *state) { s.log++ }); err != nil {
			return nil, err
		}
	}
	o.Queue.SetLease(l.leased)
	return l, nil
}

// Up tells whether the hub answers.
func (l *Link) Up() bool { return l.Status().Connected }

// Since is when the link came up, or went down.
func (l *Link) Since() time.Time { return l.Status().Since }

// PublicURL is the hub's, as it said last; "": it has none.
func (l *Link) PublicURL() string { return l.Status().PublicURL }

// Status is how the link stands.
func (l *Link) Status() Status {
	l.mu.Lock()
	s, cursor := l.status, l.cursor
	s.PublicURL, s.Reconnects = l.state.publicURL, max(0, l.sessions-1)
	l.mu.Unlock()
	if _, newest, err := l.o.Queue.Span(context.Background()); err == nil {
		s.Untold = max(0, newest-cursor)
	}
	return s
}

// set notes how the link stands, and tells it where that is news.
func (l *Link) set(connected bool, why string) {
	l.mu.Lock()
	s := &l.status
	if s.Connected == connected && s.Error == why {
		l.mu.Unlock()
		return
	}
	if s.Connected != connected {
		s.Since = l.o.Now()
	}
	s.Connected, s.Error = connected, why
	told := *s
	l.mu.Unlock()
	if connected {
		l.o.Log.Info("the hub answers", "name", told.Name)
	} else {
		l.o.Log.Warn("there is no link to the hub; it is tried again", "error", cmp.Or(why, "it ended"))
	}
	l.o.Changed(told)
}

// leased tells whether messages of the hub may be begun: it was heard lately enough. It
// goes by the monotonic clock.
func (l *Link) leased() bool {
	l.mu.Lock()
	lease := l.state.lease
	l.mu.Unlock()
	if lease <= 0 {
		return true
	}
	heard := l.heard.Load()
	return heard > 0 && time.Since(l.began)-time.Duration(heard) < lease
}
