package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

const (
	// takeBackEvery is how often the hub looks what is to be taken back.
	takeBackEvery = 2 * time.Second
	// page is how many messages of a gateway are read at once.
	page = 500
	// mostExpired is how many messages that have expired are looked at together.
	mostExpired = 5000
)

// takeBack takes back what expired in the link, what waits for gateways that are away for
// long, and goes on with what a cut or the last run left.
func (f *flow) takeBack(ctx context.Context) {
	swept, unseen := map[string]sweep{}, map[string]bool{}
	for _, p := range f.places() {
		unseen[p.name] = true
	}
	// findLost looks once for what a stream has lost, behind what finishWithdrawals knows of.
	findLost := func(ctx context.Context) error {
		for name := range unseen {
			if err := f.lostOf(ctx, name); err != nil {
				return err
			}
			delete(unseen, name)
		}
		return nil
	}
	for {
		for _, step := range []func(context.Context) error{
			f.finishWithdrawals, findLost, f.finishMoves, f.expire,
			func(ctx context.Context) error { return f.sweepAway(ctx, swept) },
		} {
			if err := step(ctx); err != nil {
				if ctx.Err() == nil {
					f.log.Warn("messages can't be taken back from gateways now; it is tried again", "error", err)
				}
				break // each rests on those before it
			}
		}
		if !sleep(ctx, takeBackEvery) {
			return
		}
	}
}

// expire ends what has expired in the link and never came to its gateway. What did come
// there, the gateway ends.
func (f *flow) expire(ctx context.Context) error {
	all, err := f.q.ExpireRelayed(ctx, f.now(), mostExpired)
	if err != nil || len(all) == 0 {
		return err
	}
	_, _, err = f.withdraw(ctx, all, func(tx *db.Tx, r queue.Relayed) error {
		return f.q.EndRelayedTx(tx, r.Row, sms.Expired, &sms.Error{Code: "expired", Title: "It was not sent before expires_at",
			Detail: fmt.Sprintf("Gateway %s did not fetch it in time.", r.Gateway)})
	})
	return err
}

// sweep is how far a gateway that is away was looked through.
type sweep struct {
	after int64     // messages up to this row have ended
	at    time.Time // when it was
}

// sweepAway takes back what was never delivered to gateways that are away for long, if
// another of their group can send it.
func (f *flow) sweepAway(ctx context.Context, swept map[string]sweep) error {
	fleet := f.fleet()
	for _, p := range fleet.places {
		if p.connected || p.group == "" || p.away <= f.awayAfter || f.now().Sub(swept[p.name].at) < 5*takeBackEvery {
			continue
		}
		if fleet.among(p.group, "", p.name).why != "" {
			continue // there it waits as well as at the hub
		}
		after, n := swept[p.name].after, 0
		upTo, err := f.each(ctx, p.name, after, func(all []queue.Relayed) error {
			var some []queue.Relayed
			for _, r := range all {
				// Whoever named this gateway, or a modem of it, wants no other.
				if r.StoredAt.IsZero() && r.Wish != p.name && f.mayLeave(r) {
					some = append(some, r)
				}
			}
			if len(some) == 0 {
				return nil
			}
			taken, _, err := f.withdraw(ctx, some, func(tx *db.Tx, r queue.Relayed) error { return f.q.TakeBackTx(tx, r.Row) })
			n += len(taken)
			return err
		})
		if n > 0 {
			f.log.Info("messages that a gateway never got go to others of its group", "gateway", p.name, "group", p.group, "messages", n)
			f.lookAgain()
		}
		if err != nil {
			return err
		}
		swept[p.name] = sweep{after: upTo, at: f.now()}
	}
	return nil
}

// mayLeave tells whether another gateway may send a message: it names no modem, or one
// that is elsewhere now.
func (f *flow) mayLeave(r queue.Relayed) bool {
	if r.Pin == "" {
		return true
	}
	c := (&fleet{places: f.places()}).pinned(ask{pin: r.Pin})
	return c.why == "" && c.gateway != r.Gateway
}

// undecided tells whether a message may still be sent.
func undecided(s sms.Status) bool {
	return s == sms.Queued || s == sms.Sending || s == sms.Unconfirmed
}

// each reads the outbound messages of a gateway that may still be sent, behind a row, and
// tells up to which row none may.
func (f *flow) each(ctx context.Context, gateway string, after int64, do func([]queue.Relayed) error) (over int64, err error) {
	over, open := after, false
	for {
		all, err := f.q.RelaysOf(ctx, gateway, after, page)
		if err != nil || len(all) == 0 {
			return over, err
		}
		var some []queue.Relayed
		for _, r := range all {
			if after = r.Row; r.Message.Direction == sms.Outbound && undecided(r.Message.Status) {
				some, open = append(some, r), true
			}
			if !open {
				over = r.Row
			}
		}
		if len(some) == 0 {
			continue
		}
		if err := do(some); err != nil {
			return over, err
		}
	}
}

// Move hands a gateway's messages to another gateway or to group:NAME; "": to the others
// of its group. From now on the gateway sends none that it was given before, as soon as it
// hears of it: what it has may have gone out until then.
func (f *flow) move(ctx context.Context, from, to string) (sms.MoveResult, error) {
	var none sms.MoveResult
	fleet := f.fleet()
	p := fleet.place(from)
	if p == nil {
		return none, fmt.Errorf("%w: %s", sms.ErrNoGateway, from)
	}
	if to == "" {
		if p.group == "" {
			return none, &sms.WrongGateway{Field: "to", Detail: "must name a gateway or group:NAME: gateway " + from + " has no group whose others could take its messages"}
		}
		to = groupMark + p.group
	}
	if to == from {
		return none, &sms.WrongGateway{Field: "to", Detail: "must be another gateway"}
	}
	if c := fleet.standIn(to, from); c.why != "" {
		return none, &sms.WrongGateway{Field: "to", Detail: "can't take them: " + c.why}
	}
	// Looked at before: it may hear of its epoch, and give back what it has, at any moment from then on.
	had := map[string]queue.Relayed{}
	if _, err := f.unbegun(ctx, from, math.MaxInt64, had); err != nil {
		return none, err
	}
	var epoch int64
	err := f.d.Write(func(tx *db.Tx) (err error) {
		if epoch, err = f.raise(tx, from); err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO hub_moves (gateway, epoch, target) VALUES (?1, ?2, ?3)
			ON CONFLICT (gateway) DO UPDATE SET epoch = ?2, target = ?3`, from, epoch, to)
		return err
	})
	if err != nil {
		return none, err
	}
	f.log.Warn("somebody moves a gateway's messages", "gateway", from, "to", to, "epoch", epoch)
	f.moves.set(from, to)
	var obeyed sms.MoveResult
	var back []queue.Relayed
	if p.connected {
		if obeyed, back, err = f.obey(ctx, from, epoch, had); err != nil {
			return none, err
		}
	}
	rest, err := f.finishMove(ctx, from, to, epoch, back)
	f.wake(from)
	rest.Moved, rest.Kept = rest.Moved+obeyed.Moved, rest.Kept+obeyed.Kept
	return rest, err
}

// obey has a gateway that is there hear of its epoch, and waits a while for its word: what it
// had not begun, which is in had, comes back by itself, and certainly did not go out. Of that,
// back is what nobody was given yet: it waits, and may name the gateway that it came back from.
func (f *flow) obey(ctx context.Context, from string, epoch int64, had map[string]queue.Relayed) (result sms.MoveResult, back []queue.Relayed, err error) {
	f.wake(from)
	for end := f.now().Add(commandWait); ; {
		n, err := f.unbegun(ctx, from, epoch, had)
		if err != nil {
			return result, nil, err
		}
		if n == 0 || f.now().After(end) {
			break
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return result, nil, ctx.Err()
		}
	}
	for id, was := range had {
		m, err := f.q.Message(ctx, id)
		if errors.Is(err, queue.ErrNotFound) || err == nil && !undecided(m.Status) {
			continue // it went out after all, or ended
		}
		if err != nil {
			return result, nil, err
		}
		switch r, err := f.q.RelayOf(ctx, id); {
		case errors.Is(err, queue.ErrNotFound):
			back = append(back, was)
		case err == nil && r.Gateway != from:
			result.Moved++
		case err != nil:
			return result, nil, err
		case r.Epoch >= epoch: // its modem is there
			result.Kept++
		} // else it has not come back, and finishMove counts it
	}
	return result, back, nil
}

// unbegun adds to had what a gateway was given before an epoch, has stored, and has not begun
// as far as is known, and counts it.
func (f *flow) unbegun(ctx context.Context, gateway string, epoch int64, had map[string]queue.Relayed) (n int, err error) {
	_, err = f.each(ctx, gateway, 0, func(all []queue.Relayed) error {
		for _, r := range all {
			if r.Epoch < epoch && !r.StoredAt.IsZero() && r.Message.Status == sms.Queued {
				had[r.ID] = r
				n++
			}
		}
		return nil
	})
	return n, err
}

// moves are the moves under way: what would go to these gateways goes where their
// messages go.
type moves struct {
	mu sync.Mutex
	to map[string]string
}

func (m *moves) set(from, to string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.to == nil {
		m.to = map[string]string{}
	}
	if m.to[from] = to; to == "" {
		delete(m.to, from)
	}
}

func (m *moves) get() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.to)
}

// cutMove is a move that is not done yet.
type cutMove struct {
	from, to string
	epoch    int64
}

func (f *flow) cutMoves(ctx context.Context) (all []cutMove, err error) {
	err = f.d.Read(ctx, func(r db.Querier) error {
		all = nil
		rows, err := r.Query(`SELECT gateway, target, epoch FROM hub_moves`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var m cutMove
			if err := rows.Scan(&m.from, &m.to, &m.epoch); err != nil {
				return err
			}
			all = append(all, m)
		}
		return rows.Err()
	})
	return all, err
}

// finishMoves goes on with moves that were cut.
func (f *flow) finishMoves(ctx context.Context) error {
	all, err := f.cutMoves(ctx)
	for _, l := range all {
		f.moves.set(l.from, l.to)
		if _, err := f.finishMove(ctx, l.from, l.to, l.epoch, nil); err != nil {
			return err
		}
	}
	return err
}

// finishMove moves what a gateway was given before an epoch, and what came back from it.
func (f *flow) finishMove(ctx context.Context, from, to string, epoch int64, back []queue.Relayed) (result sms.MoveResult, err error) {
	f.moving.Lock()
	defer f.moving.Unlock()
	result.Epoch = epoch
	fleet := f.fleet()
	source := fleet.place(from)
	// stays tells whether a message must go by the gateway's own modem; it goes on there,
	// under the new epoch.
	stays := func(r queue.Relayed) bool {
		if r.Pin == "" {
			return false
		}
		c := fleet.pinned(ask{pin: r.Pin})
		return c.why != "" || c.gateway == "" || c.gateway == from
	}
	var fresh, given []queue.Relayed // of this commit, and of all
	give := func(tx *db.Tx, r queue.Relayed) error {
		target, under := source, epoch
		if !stays(r) {
			c := fleet.standIn(to, from)
			if r.Pin != "" {
				c = fleet.pinned(ask{pin: r.Pin})
			}
			if target = fleet.place(c.gateway); target == nil {
				return nil // it waits, and is routed
			}
			under = target.epoch
		}
		if target == nil {
			return nil
		}
		target.outstanding++
		one, err := f.q.GiveTx(tx, r.Row, target.name, under)
		if one != nil {
			fresh = append(fresh, *one)
		}
		return err
	}
	err = f.q.Do(func(tx *db.Tx) error {
		fresh = nil
		for _, r := range back {
			if err := give(tx, r); err != nil && !gone(err) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return result, err
	}
	given = append(given, fresh...)
	for _, r := range back {
		if stays(r) {
			result.Kept++
		} else {
			result.Moved++
		}
	}
	_, err = f.each(ctx, from, 0, func(all []queue.Relayed) error {
		all = slices.DeleteFunc(all, func(r queue.Relayed) bool { return r.Epoch >= epoch })
		// What it has begun, it ends: if it is there, it tells soon.
		old := slices.DeleteFunc(slices.Clone(all), func(r queue.Relayed) bool {
			return r.Message.Status != sms.Queued && (stays(r) || source != nil && source.connected)
		})
		result.Kept += len(all) - len(old)
		fresh = nil
		taken, kept, err := f.withdraw(ctx, old, func(tx *db.Tx, r queue.Relayed) error {
			if err := f.q.TakeBackTx(tx, r.Row); err != nil {
				return err
			}
			return give(tx, r)
		})
		given = append(given, fresh...)
		for _, r := range taken {
			if stays(r) {
				result.Kept++
			} else {
				result.Moved++
			}
		}
		if err != nil || len(kept) == 0 {
			return err
		}
		var more sms.MoveResult
		err = f.q.Do(func(tx *db.Tx) error {
			more, fresh = sms.MoveResult{}, nil
			for _, r := range kept {
				mayHaveGone := !stays(r) && f.mayHaveGone(source, r)
				err := f.q.MoveTx(tx, r.Row, mayHaveGone)
				switch {
				case gone(err): // it was sent meanwhile
					more.Kept++
					continue
				case err != nil:
					return err
				case stays(r):
					more.Kept++
				default:
					more.Moved++
				}
				if mayHaveGone {
					more.MayDuplicate++
				}
				if err := give(tx, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		given = append(given, fresh...)
		result.Moved, result.Kept, result.MayDuplicate = result.Moved+more.Moved, result.Kept+more.Kept, result.MayDuplicate+more.MayDuplicate
		return nil
	})
	for _, r := range given {
		f.burdens.add(r.Gateway, 1)
		f.lanes[mirror.Out(r.Gateway)].add(r)
	}
	f.lookAgain()
	if err == nil {
		err = f.d.Write(func(tx *db.Tx) error {
			_, err := tx.Exec(`DELETE FROM hub_moves WHERE gateway = ? AND epoch <= ?`, from, epoch)
			return err
		})
	}
	if err == nil {
		f.moves.set(from, "")
	}
	return result, err
}

// mayHaveGone tells whether a gateway may have sent, or still may send, what it was given. It can't
// have if its lease had run out before that was given.
func (f *flow) mayHaveGone(p *place, r queue.Relayed) bool {
	return f.lease == 0 || p == nil || p.heard.IsZero() || !r.GivenAt.After(p.heard.Add(f.lease))
}

// standIn is who takes the messages of another gateway: the one that is named, or of a
// group the one that can send and has the least to do, else any that is not disabled.
func (f *fleet) standIn(to, from string) choice {
	group, ok := strings.CutPrefix(to, groupMark)
	if !ok {
		c := f.take(choice{gateway: to})
		if p := f.place(to); p != nil && p.full {
			return choice{gateway: to} // it is somebody's word
		}
		return c
	}
	c := f.among(group, "", from)
	if c.why == "" {
		return c
	}
	var best *place
	for _, p := range f.places {
		if p.group == group && p.name != from && !p.disabled && (best == nil || p.away < best.away || p.away == best.away && p.outstanding < best.outstanding) {
			best = p
		}
	}
	if best == nil {
		return choice{why: fmt.Sprintf("group %s has no other gateway that is not disabled", group)}
	}
	return choice{gateway: best.name}
}
