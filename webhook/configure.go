package webhook

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gatewayd/db"
)

// variable is what may change while Run runs, beside the endpoints.
type variable struct {
	mail       func(ctx context.Context, to []string, subject, text, id string) error
	keepFailed time.Duration
}

// Configuration is what the configuration says of webhooks, and may say
// otherwise while they run.
type Configuration struct {
	Endpoints  []Endpoint
	Mail       func(ctx context.Context, to []string, subject, text, id string) error
	KeepFailed time.Duration
}

// fromConfig makes the endpoints of the configuration, and changes nothing.
func (w *Webhooks) fromConfig(all []Endpoint, mail bool) (configured []*endpoint, err error) {
	names := map[string]int{}
	for _, c := range all {
		e, err := w.configured(c, mail)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(configured, func(o *endpoint) bool { return o.identity == e.identity }) {
			return nil, fmt.Errorf("webhook %s is there twice; give each its own name", e.name())
		}
		name := e.name()
		if names[name]++; names[name] > 1 { // two addresses on one host, both without a name
			e.use(*e.is(), fmt.Sprintf("%s-%d", name, names[name]))
		}
		configured = append(configured, e)
	}
	return configured, nil
}

// CheckConfiguration tells whether Configure would take it.
func (w *Webhooks) CheckConfiguration(c Configuration) error {
	_, err := w.fromConfig(c.Endpoints, c.Mail != nil)
	return err
}

// Configure puts the webhooks of another configuration in the place of those
// that are there, in one commit: on an error nothing has changed. One that stays
// keeps what waits for it and its order; one that is new gets the events from now
// on; what waits for one that is gone is left, should it come back. Endpoints of
// the API stay as they are.
func (w *Webhooks) Configure(ctx context.Context, c Configuration) error {
	w.managing.Lock()
	defer w.managing.Unlock()
	wanted, err := w.fromConfig(c.Endpoints, c.Mail != nil)
	if err != nil {
		return err
	}
	if len(wanted) > 0 {
		if err := w.follows(); err != nil {
			return err
		}
	}
	newest, err := w.newest(ctx)
	if err != nil {
		return err
	}
	was := map[string]*endpoint{}
	var made []*endpoint
	for _, e := range w.list() {
		if e.kind == ofConfig {
			was[e.identity] = e
		} else {
			made = append(made, e)
		}
	}
	var all, restarted []*endpoint
	var then []func() // once it is on disk
	err = w.o.DB.Write(func(tx *db.Tx) error {
		all, restarted, then = nil, nil, nil // the writer may begin anew
		if err := w.store.book(tx, wanted); err != nil {
			return err
		}
		for _, e := range wanted {
			settings, name, hash := *e.is(), e.name(), e.urlHash
			stays := was[e.identity]
			switch back := w.removed[e.identity]; {
			case stays != nil:
				moved := stays.urlHash != hash
				if moved {
					restarted = append(restarted, stays)
				}
				then = append(then, func() {
					stays.use(settings, name)
					if stays.urlHash = hash; moved { // a new address is a new start
						stays.disabled.Store(false)
						stays.failing.Store(0)
						stays.doomed.Store(0)
						stays.resume.Store(nil)
					}
				})
				all = append(all, stays)
				continue
			case back != nil: // an attempt of it may still be under way
				then = append(then, func() {
					back.use(settings, name)
					back.urlHash = hash
					back.removed.Store(false)
					delete(w.removed, back.identity)
				})
				e = back
			}
			if err := w.store.loadState(tx, e, newest, `identity = ?`, e.identity); err != nil {
				return err
			}
			e.after = max(e.after, newest)
			all = append(all, e)
		}
		tx.OnCommit(func() {
			for _, f := range then {
				f()
			}
			for identity, e := range was {
				if !slices.Contains(all, e) {
					e.removed.Store(true)
					w.removed[identity] = e
				}
			}
			for _, e := range made { // the configuration may have taken a name of theirs
				if name := unique(e.name(), e, append(slices.Clone(all), made...)); name != e.name() {
					e.use(*e.is(), name)
				}
			}
			w.replace(append(slices.Clone(all), made...))
			w.variable.Store(&variable{c.Mail, c.KeepFailed})
		})
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range restarted {
		if err := e.endGap(ctx); err != nil { // the next start ends it
			e.log().Error("that the webhook is told events again could not be booked", "error", err)
		}
	}
	for _, e := range all {
		e.poke()
	}
	w.tellAlarm()
	return nil
}
