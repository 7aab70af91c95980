package queue

import (
	"context"

	"gatewayd/db"
	"gatewayd/sms"
)

// ErrDiskFull means that the disk has no room for new messages beside what was
// accepted already.
var ErrDiskFull = db.ErrDiskFull

// unfinished is what a message may still put on the disk until it is over, in
// bytes: its events, the rows of its parts and of its deliveries, and their
// places in the indexes. One part without webhooks was measured to take 750; this
// is enough for ten parts, or for several webhooks.
const unfinished = 4 << 10

// Promised is how many bytes what was accepted may still need.
func (q *Queue) Promised(ctx context.Context) (int64, error) {
	var s sms.Ring
	err := q.db.Read(ctx, func(r db.Querier) (err error) {
		s, err = q.out.shown(r)
		return err
	})
	return int64(s.Depth) * unfinished, err
}

// MostPromised is Promised of a ring without a free slot.
func (q *Queue) MostPromised() int64 { return int64(q.out.capacity) * unfinished }

// Full reports which of the rings can take nothing more. A ring that was full
// is so until a twentieth of it is free again: what is told of it should not
// come and go with every message.
func (q *Queue) Full(ctx context.Context, wasOut, wasIn bool) (out, in bool, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		var reporting int
		// Slots that only wait for a report are given to new messages.
		if err := r.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM outbound_ring
			WHERE processed IS NULL AND confirmed IS NOT NULL LIMIT ?)`, q.out.margin(wasOut)).Scan(&reporting); err != nil {
			return err
		}
		free, err := q.out.vacant(r, q.out.margin(wasOut))
		if err != nil {
			return err
		}
		out = free+reporting < q.out.margin(wasOut)
		free, err = q.in.vacant(r, q.in.margin(wasIn))
		in = free < q.in.margin(wasIn)
		return err
	})
	return out, in, err
}

// margin is how many slots must be free for the ring not to be full.
func (r *ring) margin(was bool) int {
	if was {
		return max(1, r.capacity/20)
	}
	return 1
}

// vacant counts free slots, up to most.
func (r *ring) vacant(q db.Querier, most int) (int, error) {
	var unused, free int
	// A slot that was never used has no row; they are used in order.
	err := q.QueryRow(`SELECT max(0, ? - 1 - coalesce(max(address), -1)) FROM `+r.table, r.capacity).Scan(&unused)
	if err != nil || unused >= most {
		return unused, err
	}
	err = q.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM `+r.table+` WHERE processed IS NOT NULL AND address < ? LIMIT ?)`,
		r.capacity, most-unused).Scan(&free)
	return unused + free, err
}
