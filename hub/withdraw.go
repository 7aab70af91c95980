package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
)

// withdraw takes messages out of their gateways' streams, as far as those never had them,
// and books each that is out. A message counts as never had if its gateway was handed
// nothing up to there, before it was deleted and after. taken are those that are out,
// kept those that their gateways have, or may have.
//
// What it is about to delete is written down before, so a hub that dies on the way
// goes on with it: what is not in the stream any more, and was handed to nobody, waits anew.
func (f *flow) withdraw(ctx context.Context, all []queue.Relayed, book func(tx *db.Tx, r queue.Relayed) error) (taken, kept []queue.Relayed, err error) {
	f.taking.Lock()
	defer f.taking.Unlock()
	of := map[string][]queue.Relayed{}
	for _, r := range all {
		of[r.Gateway] = append(of[r.Gateway], r)
	}
	for _, gateway := range slices.Sorted(maps.Keys(of)) {
		delivered, err := f.pulls.Delivered(ctx, gateway)
		if err != nil {
			return taken, kept, err
		}
		var out []queue.Relayed
		for _, r := range of[gateway] {
			if r.StreamSeq == 0 || r.StreamSeq <= delivered || !r.StoredAt.IsZero() {
				kept = append(kept, r)
			} else {
				out = append(out, r)
			}
		}
		if len(out) == 0 {
			continue
		}
		if err := f.d.Write(func(tx *db.Tx) error {
			for _, r := range out {
				if _, err := tx.Exec(`INSERT INTO hub_withdrawals (message, gateway, epoch, seq) VALUES (?, ?, ?, ?)
					ON CONFLICT (message) DO UPDATE SET gateway = excluded.gateway, epoch = excluded.epoch, seq = excluded.seq`,
					r.Row, r.Gateway, r.Epoch, r.StreamSeq); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return taken, kept, err
		}
		some, others, err := f.takeOut(ctx, gateway, out, book)
		taken, kept = append(taken, some...), append(kept, others...)
		if err != nil {
			return taken, kept, err
		}
	}
	return taken, kept, nil
}

// takeOut is withdraw of one gateway's messages that stand in hub_withdrawals.
func (f *flow) takeOut(ctx context.Context, gateway string, out []queue.Relayed, book func(tx *db.Tx, r queue.Relayed) error) (taken, kept []queue.Relayed, err error) {
	for _, r := range out {
		if err := f.deleteMessage(ctx, r); err != nil {
			return nil, nil, err
		}
	}
	delivered, err := f.pulls.Delivered(ctx, gateway)
	if err != nil {
		return nil, nil, err
	}
	var again []queue.Relayed
	for _, r := range out {
		if r.StreamSeq <= delivered {
			again = append(again, r)
		}
	}
	// It was being handed out when it was deleted: perhaps it got there, perhaps it was
	// lost on the way. In the stream it is safe in both cases.
	published := make([]publication, len(again))
	for i, r := range again {
		b, err := json.Marshal(mirror.Item{Message: f.written(r)})
		if err != nil {
			return nil, nil, err
		}
		published[i].msg = toGateway(gateway, fmt.Sprintf("%s.after-%d", publicationID(r), r.StreamSeq), b)
	}
	f.publish(ctx, published)
	back := map[int64]publication{}
	for i, r := range again {
		if err := published[i].err; err != nil {
			return nil, nil, fmt.Errorf("message %s can't be put back for gateway %s: %w", r.ID, gateway, err)
		}
		back[r.Row] = published[i]
	}
	err = f.q.Do(func(tx *db.Tx) error {
		taken, kept = nil, nil
		for _, r := range out {
			err := error(nil)
			if p, ok := back[r.Row]; ok {
				err = f.q.PublishedTx(tx, r.Row, p.seq)
				kept = append(kept, r)
			} else if err = book(tx, r); err == nil {
				taken = append(taken, r)
			} else if gone(err) {
				kept = append(kept, r) // it has ended meanwhile
			}
			if err != nil && !gone(err) {
				return err
			}
			if _, err := tx.Exec(`DELETE FROM hub_withdrawals WHERE message = ?`, r.Row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	f.burdens.add(gateway, -len(taken))
	return taken, kept, nil
}

// finishWithdrawals goes on with what a cut or the end of the last run left: it waits anew.
func (f *flow) finishWithdrawals(ctx context.Context) error {
	f.taking.Lock()
	defer f.taking.Unlock()
	type left struct {
		message    int64
		gateway    string
		epoch, seq int64
	}
	var all []left
	err := f.d.Read(ctx, func(r db.Querier) error {
		all = nil
		rows, err := r.Query(`SELECT message, gateway, epoch, seq FROM hub_withdrawals ORDER BY message`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var l left
			if err := rows.Scan(&l.message, &l.gateway, &l.epoch, &l.seq); err != nil {
				return err
			}
			all = append(all, l)
		}
		return rows.Err()
	})
	if err != nil || len(all) == 0 {
		return err
	}
	out, stale := map[string][]queue.Relayed{}, []int64{}
	for _, l := range all {
		some, err := f.q.RelaysOf(ctx, l.gateway, l.message-1, 1)
		if err != nil {
			return err
		}
		if len(some) == 0 || some[0].Row != l.message || some[0].Epoch != l.epoch || some[0].StreamSeq != uint64(l.seq) {
			stale = append(stale, l.message) // erased, or told of meanwhile
			continue
		}
		out[l.gateway] = append(out[l.gateway], some[0])
	}
	for gateway, some := range out {
		if _, _, err := f.takeOut(ctx, gateway, some, func(tx *db.Tx, r queue.Relayed) error { return f.q.TakeBackTx(tx, r.Row) }); err != nil {
			return err
		}
	}
	if len(stale) == 0 {
		return nil
	}
	return f.d.Write(func(tx *db.Tx) error {
		for _, row := range stale {
			if _, err := tx.Exec(`DELETE FROM hub_withdrawals WHERE message = ?`, row); err != nil {
				return err
			}
		}
		return nil
	})
}

// deleteMessage deletes a message at its place, unless another stands there: a cluster that
// lost its streams begins them anew.
func (f *flow) deleteMessage(ctx context.Context, r queue.Relayed) error {
	there, err := readAt(ctx, f.nc, mirror.Out(r.Gateway), r.StreamSeq, mirror.OutSubject(r.Gateway))
	if err != nil || there == nil || there.Sequence != r.StreamSeq {
		return err
	}
	var item mirror.Item
	if json.Unmarshal(there.Data, &item) != nil || item.Message == nil || item.Message.ID != r.ID {
		return nil
	}
	return deleteAt(ctx, f.nc, r.Gateway, r.StreamSeq)
}

// deleteAt deletes what stands at a place of a gateway's stream; that nothing does is
// no error.
func deleteAt(ctx context.Context, nc *nats.Conn, gateway string, seq uint64) error {
	refused, err := takeOut(ctx, nc, "MSG.DELETE", gateway, map[string]any{"seq": seq, "no_erase": true})
	if err != nil || refused == nil {
		return err
	}
	there, err := readAt(ctx, nc, mirror.Out(gateway), seq, mirror.OutSubject(gateway))
	if err != nil || there == nil || there.Sequence != seq {
		return err
	}
	return fmt.Errorf("stream %s: a message can't be deleted: %w", mirror.Out(gateway), refused)
}

// purge takes out of the stream all of a gateway's that stands before a place.
func purge(ctx context.Context, nc *nats.Conn, gateway string, seq uint64) error {
	refused, err := takeOut(ctx, nc, "PURGE", gateway, map[string]any{"filter": mirror.OutSubject(gateway), "seq": seq})
	if err == nil && refused != nil {
		err = fmt.Errorf("stream %s: what a gateway has can't be taken out: %w", mirror.Out(gateway), refused)
	}
	return err
}

// takeOut asks a gateway's stream to take something out; nil: it did.
func takeOut(ctx context.Context, nc *nats.Conn, how, gateway string, what map[string]any) (refused *jetstream.APIError, err error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	asked, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	m, err := nc.RequestWithContext(ctx, "$JS.API.STREAM."+how+"."+mirror.Out(gateway), asked)
	if err != nil {
		return nil, fmt.Errorf("stream %s: nothing can be taken out: %w", mirror.Out(gateway), err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	err = json.Unmarshal(m.Data, &answer)
	return answer.Error, err
}
