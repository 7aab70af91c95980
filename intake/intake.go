// Package intake is the desk at which every door hands messages in: the API,
// and whatever else takes texts. It reads what somebody wants sent, says all
// that is wrong with it at once, and queues it. What one door may not do, none
// may.
package intake

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatewayd/clock"
	"gatewayd/failpoint"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
	"gatewayd/sms/pdu"
)

// Modems are the modems that a message may name.
type Modems interface {
	// List returns all modems that are configured or known, in a fixed order.
	List() []sms.Modem
	Get(name string) (sms.Modem, bool)
}

// Fleet are the gateways of a hub.
type Fleet interface {
	// Wanted tells whether a message may name this: a gateway, or "group:" and the
	// name of a group that has one.
	Wanted(name string) bool
	// NoneFor tells of which messages, handed in now, no gateway that is there takes.
	NoneFor(ctx context.Context, drafts []queue.Draft) []bool
}

// Options are what New needs. Queue must be given.
type Options struct {
	Queue    *queue.Queue
	Modems   Modems        // nil: none
	Region   func() string // ISO country whose national numbers are accepted, which may change; nil or "": none
	MaxParts int           // of a message; 0: pdu.MaxParts
	Unicode  Unicode       // of messages that don't say; "": Allow
	Foreseer Foreseer      // nil: nothing is foreseen
	// Destinations are where the gateway sends at all: what a caller may narrows it.
	Destinations number.Rules
	Clock        *clock.Clock
	Now          func() time.Time
	// Callback says what is wrong with a callback_url, "" if nothing is; nil: nothing.
	Callback func(url string) string
	// Fleet are a hub's gateways; nil: this is no hub.
	Fleet Fleet
}

// Desk takes messages in.
type Desk struct {
	o     Options
	rules atomic.Pointer[rules]

	mu       sync.Mutex
	underWay map[request]chan struct{} // requests with an Idempotency-Key; closed when they are over
}

// request names one that may be repeated.
type request struct{ keyID, key string }

// waitForFirst is how long a repetition waits for a request that is under way.
const waitForFirst = 5 * time.Second

// ErrUnderWay means that the request with this Idempotency-Key is still under way.
var ErrUnderWay = errors.New("the first request with this Idempotency-Key is still under way")

// New returns a desk.
func New(o Options) *Desk {
	if o.MaxParts <= 0 {
		o.MaxParts = pdu.MaxParts
	}
	if o.Clock == nil {
		o.Clock = clock.New(clock.Options{Always: true})
	}
	if o.Region == nil {
		o.Region = func() string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Desk{o: o, underWay: map[request]chan struct{}{}}
	d.TurnTo(o.Unicode, o.Destinations)
	return d
}

// rules are what may change while the desk is open.
type rules struct {
	unicode      Unicode
	destinations number.Rules
}

// TurnTo has other rules hold for what is handed in from now on.
func (d *Desk) TurnTo(u Unicode, destinations number.Rules) {
	d.rules.Store(&rules{cmp.Or(u, Allow), destinations})
}

// Caller is who hands messages in.
type Caller struct {
	KeyID  string       // of its API key, or what stands for one: whose Idempotency-Keys and client_ids these are
	Rules  number.Rules // where it may send, as far as the gateway does; the zero value: all but numbers that cost extra
	Charge queue.Charge // what its messages are charged to, in the commit that accepts them; nil: nothing
}

// Unicode is what becomes of texts of which nothing is said.
func (d *Desk) Unicode() Unicode { return d.rules.Load().unicode }

// RefusesUnicode tells whether a text of which nothing is said is refused for its
// characters, rather than its length.
func (d *Desk) RefusesUnicode(text string) bool {
	a, err := pdu.Analyse(text)
	return err == nil && a.ForcedBy != 0 && d.Unicode() == Reject
}

// Destinations are where the gateway sends at all.
func (d *Desk) Destinations() number.Rules { return d.rules.Load().destinations }

// Refuses tells in words why a caller may not send to a normalised number; "":
// he may.
func (d *Desk) Refuses(who Caller, normalised string) string {
	t := number.Look(normalised, d.o.Region())
	return cmp.Or(d.Destinations().Refuses(t, "this gateway"), who.Rules.Refuses(t, "this API key"))
}

// Unicode says what becomes of a text that the GSM 7-bit alphabet lacks characters for.
type Unicode string

// What may become of it.
const (
	Allow         Unicode = "allow"         // it is sent as Unicode
	Transliterate Unicode = "transliterate" // it is written in that alphabet if that changes nothing of what it says
	Reject        Unicode = "reject"        // it is refused
)

// FieldError says what is wrong with one field. Its detail reads on from the
// field's name: "must be a whole number from 0 to 9".
type FieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// Refused are the fields for which messages were refused. Nothing was queued.
type Refused []FieldError

func (r Refused) Error() string {
	said := make([]string, len(r))
	for i, f := range r {
		said[i] = f.Field + " " + f.Detail
	}
	return strings.Join(said, "; ")
}

// Submit queues all drafts or none and returns them once they are durable, as
// queue.Queue.Submit does. A caller that hangs up does not leave it open whether
// they were taken: they are. A repetition waits for the first a while. Errors: Refused,
// *Late, ErrUnderWay, those of the queue and those of who.Charge.
func (d *Desk) Submit(ctx context.Context, who Caller, drafts []queue.Draft, once *queue.Idempotency) (accepted []sms.Message, replayed bool, err error) {
	for i := range drafts {
		drafts[i].KeyID = who.KeyID
	}
	if once != nil {
		over, waited, err := d.begin(ctx, request{once.KeyID, once.Key})
		if err != nil {
			return nil, false, err
		}
		defer over()
		if waited { // what would be said of it now does not count
			if accepted, replayed, err = d.o.Queue.Replay(ctx, once); replayed || err != nil {
				return accepted, replayed, err
			}
		}
	}
	if err := d.foresee(ctx, drafts); err != nil {
		return nil, false, err
	}
	failpoint.Hit("api.before-commit")
	accepted, replayed, err = d.o.Queue.SubmitCharged(context.WithoutCancel(ctx), drafts, once, who.Charge)
	var bad *queue.DraftError
	if errors.As(err, &bad) {
		return nil, false, Refused{{bad.Field, strings.TrimPrefix(bad.Detail, bad.Field+": ")}}
	}
	return accepted, replayed, err
}

// begin makes a request the only one with its Idempotency-Key until over is called.
func (d *Desk) begin(ctx context.Context, r request) (over func(), waited bool, err error) {
	patience := time.NewTimer(waitForFirst)
	defer patience.Stop()
	for {
		d.mu.Lock()
		first := d.underWay[r]
		if first == nil {
			done := make(chan struct{})
			d.underWay[r] = done
			d.mu.Unlock()
			return func() {
				d.mu.Lock()
				defer d.mu.Unlock()
				delete(d.underWay, r)
				close(done)
			}, waited, nil
		}
		d.mu.Unlock()
		select {
		case <-first:
			waited = true
		case <-patience.C:
			return nil, true, ErrUnderWay
		case <-ctx.Done():
			return nil, true, ctx.Err()
		}
	}
}
