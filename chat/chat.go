// Package chat keeps conversations: everything exchanged with one phone number
// through one SIM, shared by a team or held by one stranger in a widget. It decides
// which SIM a conversation has, in which state it is, and who may still write in it.
// Texts and numbers of messages stay in the queue's rows; consent is the queue's.
package chat

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"github.com/oklog/ulid/v2"

	"gatewayd/clock"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Options are what New needs. DB, Queue and Desk must be given.
type Options struct {
	DB     *db.DB
	Queue  *queue.Queue
	Desk   *intake.Desk
	Modems func() []sms.Modem // that there are, with their SIMs
	// SIMOf names a modem's SIM as the queue does; nil: by its ICCID, else the modem's name.
	SIMOf  func(sms.Modem) string
	Region func() string // default_region; nil or "": none
	// NameOf is what the contacts of a team call a number; nil or "": nothing.
	NameOf func(r db.Querier, team, number string) (string, error)
	// Named are the numbers that the contacts call so, or much like it, by team; nil: none.
	Named func(r db.Querier, name string) (map[string][]string, error)
	// Consented tells whether a team has a number's consent from elsewhere, so that its
	// chats need no invitation; nil: it never has.
	Consented func(r db.Querier, team, number string) (bool, error)
	// Person tells whether a message was submitted by somebody who signed in, by the id of
	// who did; nil: it never was.
	Person func(id string) bool
	// People are those who can sign in; nil: none. It is asked in transactions.
	People func(r db.Querier) ([]Person, error)
	Rules  func() Rules // which may change; nil: the defaults
	// Internet is the hub that the gateway belongs to; nil: none, and all goes by SMS.
	Internet Internet
	Files    Files        // nil: there are none
	Clock    *clock.Clock // nil: the machine's clock is right
	Now      func() time.Time
	Log      *slog.Logger
}

// Rules are what the configuration says of conversations.
type Rules struct {
	IdleAfter  time.Duration // without a word a conversation is idle; 0: an hour
	KeepsOptIn bool          // an idle conversation's opt-in goes on
	PerOptIn   int           // messages after which a new opt-in is needed; 0: 10
	Invitation string        // {name} stands for who writes; "": Invitation
}

// rules are those that hold now.
func (c *Chat) rules() Rules {
	r := c.o.Rules()
	if r.IdleAfter <= 0 {
		r.IdleAfter = time.Hour
	}
	if r.Invitation == "" {
		r.Invitation = Invitation
	}
	return r
}

// Invitation is what a phone is asked with.
const Invitation = "{name}: chat by text? Reply YES to go on, STOP to stop. Standard rates apply."

// Person is somebody who can sign in.
type Person struct {
	ID, Name, Team string
	Online         bool // has looked lately
}

// Chat is the desk of every conversation.
type Chat struct {
	o   Options
	log *slog.Logger

	origins   origins
	reachable presences

	// Only functions that run on the database's writer touch these.
	lastPlace int64
	live      map[string][]ref // teams' conversations by number
	ids       *ulid.MonotonicEntropy
	abuse     abuse
}

// New takes over the package's tables and hears from the queue of every message.
func New(ctx context.Context, o Options) (*Chat, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.SIMOf == nil {
		o.SIMOf = func(m sms.Modem) string { return cmp.Or(m.ICCID, m.Name) }
	}
	if o.Region == nil {
		o.Region = func() string { return "" }
	}
	if o.Consented == nil {
		o.Consented = func(db.Querier, string, string) (bool, error) { return false, nil }
	}
	if o.NameOf == nil {
		o.NameOf = func(db.Querier, string, string) (string, error) { return "", nil }
	}
	if o.Person == nil {
		o.Person = func(string) bool { return false }
	}
	if o.People == nil {
		o.People = func(db.Querier) ([]Person, error) { return nil, nil }
	}
	if o.Modems == nil {
		o.Modems = func() []sms.Modem { return nil }
	}
	if o.Rules == nil {
		o.Rules = func() Rules { return Rules{} }
	}
	c := &Chat{o: o, log: o.Log, live: map[string][]ref{}, ids: ulid.Monotonic(rand.Reader, 0)}
	err := o.DB.Read(ctx, func(r db.Querier) error {
		if err := r.QueryRow(`SELECT coalesce(max(place), 0) FROM conversations`).Scan(&c.lastPlace); err != nil {
			return err
		}
		found, err := all(r, `WHERE c.state NOT IN ('closed', 'blocked') AND c.visitor = '' ORDER BY c.place`)
		for _, e := range found {
			c.live[e.Number] = append(c.live[e.Number], ref{e.ID, e.Modem})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	if err := c.openAbuse(ctx); err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	o.Queue.OnReceive(c.receive)
	o.Queue.OnHeard(c.heard)
	o.Queue.OnSubmit(c.submitted)
	o.Queue.OnBegin(c.begins)
	o.Queue.OnConsent(c.consentChanged)
	o.Queue.OnErase(c.erase)
	o.Queue.OnExport("conversations", c.export)
	return c, nil
}

// Conversation is everything exchanged with one number through one SIM.
type Conversation struct {
	ID         string // conv_ and a ULID
	Number     string // the phone's
	Name       string // what the phone's owner is called: by its contact, else as it was given here
	OurName    string // whom the phone is told it writes with; its texts begin with it while it is a stranger's
	SIM        string // ICCID, or the modem's name: what a SIM is to the queue
	Modem      string // the modem that has the SIM now, else that had it last
	Local      string // the SIM's number, else the modem's name
	Mode       Mode
	State      State
	Owner      Owner
	AssignedTo string       // the id of a person; "": nobody
	Unread     int          // received messages that nobody of its owner has seen
	Reason     string       // why it is blocked
	Waiting    bool         // a text goes out once the phone says YES
	Begun      string       // who began: phone, person, visitor, key
	Carrier    string       // of the number, by its prefix; "": not known
	Country    string       // ISO; "": not known
	OptIn      *queue.OptIn // nil: it needs none
	Stopped    bool         // the number said STOP
	Last       *sms.Message // its newest message; nil: none
	Sent       *sms.Message // what Begin sent, or had sent under the same client_id; nil: nothing
	CreatedAt  time.Time
	UpdatedAt  time.Time // of its last message or change of state
	ClosedAt   time.Time // zero: it is not closed
}

// State is how a conversation stands.
type State string

// The states.
const (
	StateNew     State = "new"     // the phone began, and nobody has answered yet
	StateInvited State = "invited" // the phone was asked, and has not said YES: nothing else goes out
	StateOpen    State = "open"
	StateIdle    State = "idle"    // nothing was said for a while; a new invitation may be needed
	StateClosed  State = "closed"  // its SIM is free for others
	StateBlocked State = "blocked" // for abuse, or its number is blocked
)

// Mode says what a conversation needs of consent.
type Mode string

// The modes.
const (
	ByInvitation Mode = "invite" // the phone is asked first
	Transaction  Mode = "open"   // consent was given elsewhere, or the phone began
)

// Owner is who shares a conversation: a team of people, or one visitor of a widget.
type Owner struct {
	Team    string // "": the team of everybody who has none
	Visitor string // its id; "": it is a team's
	Widget  string // the widget that the visitor came by
	Name    string // of the visitor, as it was given
	Address string // the network address that the visitor came from
}

// same tells whether two owners are one.
func (o Owner) same(p Owner) bool { return o.Team == p.Team && o.Visitor == p.Visitor }

// Sender is who writes, or asks for something.
type Sender struct {
	Kind    sms.AuthorKind
	ID      string // of the person, the visitor or the API key
	Name    string // as recipients are told it
	SignOff string // what a person's texts end with; "": nothing
	Address string // the network address, "": not known
	Team    string // of a person
	Widget  string // of a visitor
	KeyID   string // whose client_ids these are; "": ID
	All     bool   // may do everything in every conversation: an admin, a program
	Caller  intake.Caller
}

func (s Sender) owner() Owner {
	if s.Kind == sms.AuthorVisitor {
		return Owner{Visitor: s.ID, Widget: s.Widget, Name: s.Name, Address: s.Address}
	}
	return Owner{Team: s.Team}
}

// May tells whether a conversation is the sender's.
func (s Sender) May(v *Conversation) bool { return s.All || v.Owner.same(s.owner()) }

func (s Sender) keyID() string {
	switch {
	case s.KeyID != "":
		return s.KeyID
	case s.Caller.KeyID != "":
		return s.Caller.KeyID
	}
	return s.ID
}

func (s Sender) author() *sms.Author {
	return &sms.Author{Kind: s.Kind, ID: s.ID, Name: s.Name, Widget: s.Widget, Address: s.Address}
}
