// Package inbox keeps, on a hub, the inboxes of people whose number was verified: what
// reaches them by internet, and what they write back.
package inbox

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"time"

	"gatewayd/auth"
	"gatewayd/captcha"
	"gatewayd/db"
	"gatewayd/files"
	"gatewayd/mirror"
	"gatewayd/queue"
)

// Prefix is the path that people have their inbox under, Links that of files' links.
const (
	Prefix = "/inbox/"
	Links  = "/f/"
)

// Options are what New needs. DB, Queue, Files, Text and PutTx must be given.
type Options struct {
	DB    *db.DB
	Queue *queue.Queue
	Files *files.Store
	// Text sends a text with a code, that is of no use after until. ErrNotTexted: nothing
	// is sent to that number.
	Text func(ctx context.Context, number, text string, until time.Time) error
	// PutTx hands an item to a gateway. sms.ErrNoGateway: it was deleted, and nobody gets a reply.
	PutTx func(tx *db.Tx, gateway string, i mirror.Item) error
	// Title is what a gateway is called; nil: its name.
	Title func(gateway string) string
	// Name is who this is, to those who get a code.
	Name      func() string
	Region    func() string        // default_region; nil or "": none
	Keep      func() time.Duration // history.keep; nil or 0: for good
	KeepTexts func() time.Duration // history.keep_texts
	Trusted   func() bool          // whether Now is the time of day; nil: it is
	Now       func() time.Time
	Log       *slog.Logger
	Count     func(route, method string, status int, took time.Duration) // requests, for the metrics; nil: nobody counts
}

// Inbox are the inboxes of a hub, and the door of the people who have them.
type Inbox struct {
	o       Options
	log     *slog.Logger
	door    http.Handler
	puzzles *captcha.Captcha
	effort  captcha.Effort
	codes   codes
	here    here
	limits  limits
}

// limits are against programs, and against those who would have phones texted for nothing.
type limits struct {
	asked   *auth.Attempts // requests without a session, by address
	links   *auth.Attempts // links, by address
	texted  *auth.Attempts // codes, by address
	number  *auth.Attempts // codes, by number
	all     *auth.Attempts // codes, all of them
	guessed *auth.Attempts // codes and cookies that were wrong, by address
	said    *auth.Attempts // requests of a person
	written *auth.Attempts // messages of a person
	upload  *auth.Attempts // uploads of a person
}

// New takes over the package's tables: what is kept about a number is erased and
// exported with it.
func New(o Options) *Inbox {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Region == nil {
		o.Region = func() string { return "" }
	}
	if o.Name == nil {
		o.Name = func() string { return "" }
	}
	if o.Title == nil {
		o.Title = func(gateway string) string { return gateway }
	}
	if o.Count == nil {
		o.Count = func(string, string, int, time.Duration) {}
	}
	key := make([]byte, captcha.KeySize)
	_, _ = rand.Read(key) // never fails; it ends the program instead
	b := &Inbox{
		o: o, log: o.Log, puzzles: captcha.New(key, o.Now), effort: captcha.Normal, codes: codes{key: key},
		here: here{most: 5000, each: 40, ofOne: 8, open: map[string]int{}, people: map[string]map[chan struct{}]bool{}},
		limits: limits{
			asked: auth.NewAttempts(120, 500*time.Millisecond), links: auth.NewAttempts(300, 200*time.Millisecond),
			texted: auth.NewAttempts(6, 10*time.Minute), number: auth.NewAttempts(3, 2*time.Hour), all: auth.NewAttempts(100, 15*time.Second),
			guessed: auth.NewAttempts(20, 30*time.Second), said: auth.NewAttempts(300, 200*time.Millisecond),
			written: auth.NewAttempts(30, 2*time.Second), upload: auth.NewAttempts(20, 30*time.Second),
		},
	}
	b.join()
	b.door = b.routes()
	return b
}

// ServeHTTP answers what is below Prefix and Links.
func (b *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) { b.door.ServeHTTP(w, r) }
