package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

const (
	// checkWait is how long what differs is looked at again.
	checkWait = 60 * time.Second
	// looksAlike is how often a difference must be seen unchanged: what is under way
	// changes between two looks.
	looksAlike = 3
)

// counterpart is what one end says of one message.
type counterpart struct {
	direction       sms.Direction
	address, mirror int
	status          sms.Status
	epoch           int64
	stored          bool // the gateway has it, as the hub knows
}

// check compares both ends' messages until what differs is not under way any more.
func (f *flow) check(ctx context.Context, gateway string) (sms.CheckResult, error) {
	p := (&fleet{places: f.places()}).place(gateway)
	if p == nil {
		return sms.CheckResult{}, fmt.Errorf("%w: %s", sms.ErrNoGateway, gateway)
	}
	end, seen := f.now().Add(checkWait), map[sms.Difference]int{}
	for {
		compared, differences, untold, err := f.compare(ctx, gateway)
		if err != nil {
			return sms.CheckResult{}, err
		}
		settled, now := true, map[sms.Difference]int{}
		for _, d := range differences {
			now[d] = seen[d] + 1
			settled = settled && now[d] >= looksAlike
		}
		if settled && untold {
			under, err := f.underWay(ctx, gateway)
			settled = err == nil && !under
		}
		if seen = now; settled || f.now().After(end) {
			return sms.CheckResult{Compared: compared, Differences: differences}, nil
		}
		if !sleep(ctx, 300*time.Millisecond) {
			return sms.CheckResult{}, ctx.Err()
		}
	}
}

// compare asks the gateway what it has, waits until the hub has heard all that the
// gateway knew then, and looks at both. untold: what a receipt from the hub may mend.
func (f *flow) compare(ctx context.Context, gateway string) (compared int, differences []sms.Difference, untold bool, err error) {
	theirs := map[string]counterpart{}
	for after, more := "", true; more; {
		answer, err := f.command(ctx, gateway, mirror.CommandRequest{Mirror: &mirror.Slice{After: after, Limit: page}})
		if err != nil {
			return 0, nil, false, err
		}
		for _, s := range answer.Slots {
			theirs[s.ID] = counterpart{direction: s.Direction, address: s.Address, mirror: s.Mirror, status: s.Status, epoch: s.Epoch}
			after = s.ID
		}
		more = answer.More && len(answer.Slots) > 0
		if !more {
			if err := f.heard(ctx, gateway, answer.Newest); err != nil {
				return 0, nil, false, err
			}
		}
	}
	ours := map[string]counterpart{}
	for after := int64(0); ; {
		all, err := f.q.RelaysOf(ctx, gateway, after, page)
		if err != nil {
			return 0, nil, false, err
		}
		for _, r := range all {
			after = r.Row
			ours[r.ID] = counterpart{direction: r.Message.Direction, address: r.Address, mirror: r.Mirror, status: r.Message.Status, epoch: r.Epoch, stored: !r.StoredAt.IsZero()}
		}
		if len(all) < page {
			break
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ours)) {
		us := ours[id]
		them, ok := theirs[id]
		before := len(differences)
		switch {
		case ok:
			compared++
			differences = append(differences, us.against(id, them)...)
		case us.direction == sms.Inbound || us.stored:
			compared++
			differences = append(differences, sms.Difference{ID: id, Field: "message", Hub: string(us.status)})
		} // what the gateway has not stored yet is the hub's alone
		untold = untold || us.direction == sms.Inbound && len(differences) > before
	}
	for _, id := range slices.Sorted(maps.Keys(theirs)) {
		them := theirs[id]
		if _, ok := ours[id]; ok || them.status == "" { // the gateway has forgotten it too
			continue
		}
		if elsewhere, err := f.elsewhere(ctx, gateway, id); err != nil {
			return 0, nil, false, err
		} else if elsewhere {
			continue
		}
		compared++
		differences = append(differences, sms.Difference{ID: id, Field: "message", Gateway: string(them.status)})
	}
	if differences == nil {
		differences = []sms.Difference{}
	}
	return compared, differences, untold, nil
}

// against lists what two ends say differently of one message.
func (us counterpart) against(id string, them counterpart) (all []sms.Difference) {
	differ := func(field, ours, theirs string) {
		if ours != theirs {
			all = append(all, sms.Difference{ID: id, Field: field, Hub: ours, Gateway: theirs})
		}
	}
	differ("direction", string(us.direction), string(them.direction))
	if us.direction == sms.Outbound {
		if them.epoch < us.epoch && !us.stored {
			return all // it is on its way there once more; what it was before is over
		}
		differ("epoch", strconv.FormatInt(us.epoch, 10), strconv.FormatInt(them.epoch, 10))
		if them.status != "" {
			differ("status", string(us.status), string(them.status))
		}
		if !us.stored {
			differ("message", "not stored", "stored")
		}
	}
	differ("address", strconv.Itoa(us.address), strconv.Itoa(them.address))
	if us.mirror >= 0 && them.mirror >= 0 { // a slot may be used again by now
		differ("mirror", strconv.Itoa(us.mirror), strconv.Itoa(them.mirror))
	}
	return all
}

// elsewhere tells whether the hub has a message that was moved away from a gateway, or one
// that is kept beside the inbound ring.
func (f *flow) elsewhere(ctx context.Context, gateway, id string) (bool, error) {
	var kept bool
	if err := f.d.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT EXISTS (SELECT 1 FROM hub_arrivals WHERE gateway = ? AND message = ?)`, gateway, id).Scan(&kept)
	}); err != nil || kept {
		return kept, err
	}
	r, err := f.q.RelayOf(ctx, id)
	if err == nil {
		return r.Gateway != gateway, nil
	}
	if !errors.Is(err, queue.ErrNotFound) {
		return false, err
	}
	if _, err = f.q.Message(ctx, id); errors.Is(err, queue.ErrNotFound) {
		return false, nil
	}
	return err == nil, err // it waits at the hub
}

// heard waits until the hub has applied a gateway's events up to one.
func (f *flow) heard(ctx context.Context, gateway string, seq int64) error {
	for end := f.now().Add(checkWait); ; {
		applied, err := f.applied(ctx, gateway)
		if err != nil || applied >= seq || f.now().After(end) {
			return err
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// mirrorOf shows the pointers of both sides.
func (f *flow) mirrorOf(ctx context.Context, gateway string, extendedAfter time.Duration) (m sms.Mirror, err error) {
	p := (&fleet{places: f.places()}).place(gateway)
	if p == nil {
		return m, fmt.Errorf("%w: %s", sms.ErrNoGateway, gateway)
	}
	ours, err := f.q.RelayPointers(ctx, gateway)
	if err != nil {
		return m, err
	}
	m.Outbound.Hub, m.Inbound.Hub = ours.Outbound, ours.Inbound
	m.Outbound.Gateway, m.Inbound.Gateway = p.rings.Outbound, p.rings.Inbound
	m.SeenAt = p.heard
	if m.Outbound.Gap, err = f.gap(ctx, gateway); err != nil {
		return m, err
	}
	m.Inbound.Gap = p.rings.Inbound.Depth // received, and not known to be here
	if !p.connected && !p.heard.IsZero() {
		m.InterruptedAt = p.heard
		if p.away >= extendedAfter {
			m.ExtendedAt = p.heard.Add(extendedAfter)
		}
	}
	return m, nil
}

// gap counts the messages that were given to a gateway and that it has not stored, as far
// as the hub knows.
func (f *flow) gap(ctx context.Context, gateway string) (n int, err error) {
	_, err = f.each(ctx, gateway, 0, func(all []queue.Relayed) error {
		for _, r := range all {
			if r.StoredAt.IsZero() {
				n++
			}
		}
		return nil
	})
	return n, err
}
