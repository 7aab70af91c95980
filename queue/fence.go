package queue

import (
	"context"
	"slices"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// hubEpoch is among the sequences the newest epoch that a gateway has heard of.
const hubEpoch = "hub epoch"

// Epoch is the newest epoch that this gateway has heard of.
func (q *Queue) Epoch() int64 { return q.epoch.Load() }

// FenceTx notes an epoch: from its commit on no message of an older one is begun.
func (q *Queue) FenceTx(tx *db.Tx, epoch int64) error {
	had := q.epoch.Load()
	if epoch <= had {
		return nil
	}
	q.epoch.Store(epoch)
	tx.OnRollback(func() { q.epoch.Store(had) })
	_, err := tx.Exec(`INSERT OR REPLACE INTO sequences (name, last) VALUES (?,?)`, hubEpoch, epoch)
	return err
}

// Fence is FenceTx, and ends what waits of older epochs: what was not begun is canceled,
// with the code "moved".
func (q *Queue) Fence(ctx context.Context, epoch int64) error {
	if epoch > q.epoch.Load() {
		if err := q.db.Write(func(tx *db.Tx) error { return q.FenceTx(tx, epoch) }); err != nil {
			return err
		}
	}
	var rows []int64
	err := q.db.Read(ctx, func(r db.Querier) error {
		return eachRow(r, `SELECT m.row FROM outbound_ring o JOIN messages m ON m.row = o.message JOIN mirrored x ON x.message = m.row
			WHERE o.processed IS NULL AND o.confirmed IS NULL AND m.relay = 4 AND m.status IN ('scheduled', 'queued') AND x.epoch < ?`, func(scan func(...any) error) error {
			var row int64
			err := scan(&row)
			rows = append(rows, row)
			return err
		}, q.epoch.Load())
	})
	for some := range slices.Chunk(rows, slice) {
		if err == nil {
			err = q.write(func(tx *db.Tx) error { return q.fence(tx, some) })
		}
	}
	return err
}

// fence ends those of the messages that still wait under an older epoch.
func (q *Queue) fence(tx *db.Tx, rows []int64) error {
	for _, row := range rows {
		r, err := load(tx, row)
		if err != nil {
			continue // erased
		}
		if r.Status != sms.Queued && r.Status != sms.Scheduled {
			continue
		}
		if _, err := q.fenced(tx, r, q.o.Now()); err != nil {
			return err
		}
	}
	return nil
}

// endMoved ends a message that the hub has given to another gateway. Of one that was begun
// nobody is told that it did not go.
func (q *Queue) endMoved(tx *db.Tx, r *record, now time.Time) error {
	var begun bool
	err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM parts WHERE message = ? AND (confirmed_at IS NOT NULL OR doubted_at IS NOT NULL))`, r.Row).Scan(&begun)
	if err != nil {
		return err
	}
	r.Error = &sms.Error{Code: codeMoved, Title: "The hub has given it to another gateway", Detail: "This gateway was away for too long."}
	next := sms.Canceled
	if begun {
		next, r.PossibleDuplicate = sms.Failed, true
	}
	return q.step(tx, r, next, now)
}

// SetLease has f asked, on the database's writer, before a message of the hub is begun:
// false puts it off. It is to be called before the queue is used.
func (q *Queue) SetLease(f func() bool) { q.lease = f }

// leaseWait is after how long it is looked again whether the lease has come back.
const leaseWait = 15 * time.Second

// fenced tells whether a message of the hub is not to be begun: it is another gateway's by
// now, and ends; or the lease has run out, and it waits.
func (q *Queue) fenced(tx *db.Tx, r *record, now time.Time) (bool, error) {
	if r.relay != relayMirrored {
		return false, nil
	}
	var epoch int64
	if err := tx.QueryRow(`SELECT epoch FROM mirrored WHERE message = ?`, r.Row).Scan(&epoch); err != nil {
		return false, err
	}
	if epoch < q.epoch.Load() {
		return true, q.endMoved(tx, r, now)
	}
	if q.lease == nil || q.lease() {
		return false, nil
	}
	r.notBefore = now.Add(leaseWait)
	q.line(tx, r)
	return true, r.save(tx, sms.Queued, r.lastEvent)
}

// CancelMirrored cancels a message at the hub's word. One that is canceled already is no
// error.
func (q *Queue) CancelMirrored(ctx context.Context, id string) (*sms.Message, error) {
	m, err := q.Message(ctx, id)
	if err != nil || m.Status == sms.Canceled {
		return m, err
	}
	return q.Cancel(ctx, id)
}
