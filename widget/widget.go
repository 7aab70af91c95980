// Package widget puts a chat on other people's web sites: one line of script that
// opens a frame of this gateway, in which a stranger writes with a phone.
package widget

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"time"

	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/db"
	"gatewayd/queue"
)

// Prefix is the path that everything of the widgets lives under that strangers reach.
const Prefix = "/widget/"

// Options are what New needs. DB, Queue and Chat must be given.
type Options struct {
	DB     *db.DB
	Queue  *queue.Queue
	Chat   *chat.Chat
	Region func() string        // default_region; nil or "": none
	Keep   func() time.Duration // history.keep: visitors are forgotten with what they wrote; nil: for good
	// Trusted tells whether Now is the time of day; nil: it is. While it is not, nobody
	// is forgotten.
	Trusted func() bool
	Now     func() time.Time
	Log     *slog.Logger
	Count   func(route, method string, status int, took time.Duration) // requests, for the metrics; nil: nobody counts
}

// Widgets are the widgets of a gateway, and the door of their visitors.
type Widgets struct {
	o       Options
	log     *slog.Logger
	door    http.Handler
	secret  []byte // signs tickets; with a restart they end, and pages ask for new ones
	looks   looks
	streams streams
	asked   *auth.Attempts // tickets and puzzles, by address
	begun   *auth.Attempts // chats, by address
	said    *auth.Attempts // what visitors do in them, by visitor
	guessed *auth.Attempts // wrong tokens, by address
}

// New takes over the package's tables.
func New(ctx context.Context, o Options) (*Widgets, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Region == nil {
		o.Region = func() string { return "" }
	}
	if o.Count == nil {
		o.Count = func(string, string, int, time.Duration) {}
	}
	w := &Widgets{
		o: o, log: o.Log, secret: make([]byte, 32),
		// A page asks for one ticket when it is loaded and one when its button is pressed.
		asked: auth.NewAttempts(120, 200*time.Millisecond),
		// What limits people who write to many phones is the chat's; this is against programs.
		begun: auth.NewAttempts(10, 20*time.Second),
		// The fallback of the event stream asks every few seconds.
		said:    auth.NewAttempts(120, 500*time.Millisecond),
		guessed: auth.NewAttempts(30, 5*time.Second),
		streams: streams{most: 500, each: 20, open: map[string]int{}, first: make(chan struct{}, 1)},
	}
	_, _ = rand.Read(w.secret) // never fails; it ends the program instead
	w.join()
	w.door = w.routes()
	return w, nil
}

// ServeHTTP answers what is below Prefix.
func (w *Widgets) ServeHTTP(rw http.ResponseWriter, r *http.Request) { w.door.ServeHTTP(rw, r) }
