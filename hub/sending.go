package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// openFlow makes what carries messages to the gateways.
func (h *Hub) openFlow() error {
	f := &flow{
		q: h.queue, d: h.db, nc: h.nc, log: h.log, now: h.now,
		routes: h.o.Routes, fallback: h.o.Default, awayAfter: h.o.AwayAfter, lease: h.o.Lease,
		places: h.places, raise: h.raise, applied: h.applied, wake: h.wake, command: h.command,
	}
	f.burdens.most = h.o.MostInLink
	if err := f.open(); err != nil {
		return err
	}
	if h.o.Pull == PullRequest {
		h.requests = &requests{nc: h.nc, js: h.js, d: h.db, window: h.o.Window, now: h.now, log: h.log, allowed: func(gateway string) bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			k := h.known[gateway]
			return k != nil && !k.disabled
		}}
		f.pulls = h.requests
	} else {
		f.pulls = &consumers{js: h.js, window: h.o.Window}
	}
	h.flow = f
	return nil
}

// retention is of the streams with the messages to gateways.
func (h *Hub) retention() jetstream.RetentionPolicy { return h.flow.pulls.Retention() }

// forward gives what waits to gateways.
func (h *Hub) forward(ctx context.Context) error {
	h.flow.run(ctx)
	return nil
}

// places is the fleet as routing sees it.
func (h *Hub) places() []*place {
	h.mu.Lock()
	defer h.mu.Unlock()
	all, now := make([]*place, 0, len(h.known)), h.now()
	for name, k := range h.known {
		p := &place{name: name, group: k.group, disabled: k.disabled, epoch: k.epoch, heard: k.seen, connected: k.online(now), modems: slices.Clone(k.modems)}
		if !p.connected {
			p.away = now.Sub(cmp.Or(k.seen, k.created))
		}
		if k.hello != nil {
			p.rings = k.hello.Rings
		}
		all = append(all, p)
	}
	return byName(all)
}

// raise begins a gateway's next epoch.
func (h *Hub) raise(tx *db.Tx, gateway string) (epoch int64, err error) {
	if err := tx.QueryRow(`UPDATE gateways SET epoch = epoch + 1 WHERE name = ? RETURNING epoch`, gateway).Scan(&epoch); err != nil {
		return 0, fmt.Errorf("gateway %s: %w", gateway, err)
	}
	tx.OnCommit(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if k := h.known[gateway]; k != nil {
			k.epoch = max(k.epoch, epoch)
		}
	})
	return epoch, nil
}

// applied is up to where a gateway's event log is booked here.
func (h *Hub) applied(ctx context.Context, gateway string) (seq int64, err error) {
	err = h.db.Read(ctx, func(r db.Querier) error {
		g, err := load(r, gateway)
		seq = g.seq
		return err
	})
	return seq, err
}

// PutTx has an item go to a gateway once the transaction is on disk. To one that was deleted
// goes nothing: sms.ErrNoGateway, if somebody waits for it there.
func (h *Hub) PutTx(tx *db.Tx, gateway string, item mirror.Item) error {
	switch _, err := load(tx, gateway); {
	case errors.Is(err, sms.ErrNoGateway) && item.Reply == nil:
		return nil
	case err != nil:
		return err
	}
	return h.flow.putTx(tx, gateway, item)
}

// Move hands a gateway's messages to another one, or to group:NAME; "": to the others of
// its group. The gateway sends none of what it was given before, as soon as it hears of it.
func (h *Hub) Move(ctx context.Context, from, to string) (sms.MoveResult, error) {
	return h.flow.move(ctx, from, to)
}

// Cancel cancels a message wherever it is. Errors: queue.ErrNotFound, queue.ErrConflict.
func (h *Hub) Cancel(ctx context.Context, id string) (*sms.Message, error) {
	return h.flow.cancel(ctx, id)
}

// Check compares both ends' messages, once what is under way has settled.
func (h *Hub) Check(ctx context.Context, name string) (sms.CheckResult, error) {
	return h.flow.check(ctx, name)
}

// Mirror shows the pointers of both sides.
func (h *Hub) Mirror(ctx context.Context, name string) (sms.Mirror, error) {
	return h.flow.mirrorOf(ctx, name, h.o.ExtendedAfter)
}

// Waiting tells how many messages have no gateway yet, by the reason in words.
func (h *Hub) Waiting() map[string]int { return h.flow.waits.get() }

// NoneFor tells of which messages, handed in now, no gateway takes that is connected and can
// send: they wait at the hub, or in the stream of one that is away.
func (h *Hub) NoneFor(ctx context.Context, drafts []queue.Draft) []bool {
	var numbers []string
	for _, m := range drafts {
		if m.Pin == "" {
			numbers = append(numbers, m.To)
		}
	}
	sims, err := h.queue.SIMsOf(ctx, numbers)
	if err != nil {
		sims = nil // it is a forecast: without that it is a little worse
	}
	none := make([]bool, len(drafts))
	all, now := h.flow.fleet(), h.now()
	for i, m := range drafts {
		if m.Via == sms.ViaInternet || m.SendAt.After(now) {
			continue
		}
		c := all.route(ask{to: m.To, wish: m.Gateway, pin: m.Pin, sim: sims[m.To]})
		p := all.place(c.gateway)
		none[i] = c.why != "" || p == nil || !p.connected || !p.ready()
	}
	return none
}

// WaitsFor says in words why a message has no gateway yet; "": it has one, needs none, or
// gets it now.
func (h *Hub) WaitsFor(ctx context.Context, id string) (why string, err error) {
	u, err := h.queue.UnroutedOf(ctx, id)
	if u == nil || err != nil {
		return "", err
	}
	if u.NotBefore.After(h.now()) {
		return "it is not to go before " + u.NotBefore.UTC().Format("2006-01-02 15:04 UTC"), nil
	}
	c := h.flow.fleet().route(ask{to: u.To, wish: u.Wish, pin: u.Pin, sim: u.SIM})
	return c.why, nil
}
