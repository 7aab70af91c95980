package queue

import (
	"context"

	"gatewayd/db"
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
func (q *Queue) Promised() int64 {
	q.out.mu.Lock()
	defer q.out.mu.Unlock()
	return int64(q.out.depth+q.out.promised) * unfinished
}

// MostPromised is Promised of a ring without a free slot.
func (q *Queue) MostPromised() int64 { return int64(q.out.capacity) * unfinished }

// Full reports which of the rings can take nothing more. A ring that was full
// is so until a twentieth of it is free again: what is told of it should not
// come and go with every message.
func (q *Queue) Full(ctx context.Context, wasOut, wasIn bool) (out, in bool, err error) {
	var reporting int
	err = q.db.Read(ctx, func(r db.Querier) error {
		// Slots that only wait for a report are given to new messages.
		return r.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM outbound_ring WHERE `+q.reporting()+` LIMIT ?)`, q.out.margin(wasOut)).Scan(&reporting)
	})
	return q.out.free()+reporting < q.out.margin(wasOut), q.in.free() < q.in.margin(wasIn), err
}

// margin is how many slots must be free for the ring not to be full.
func (r *ring) margin(was bool) int {
	if was {
		return max(1, r.capacity/20)
	}
	return 1
}

// free is how many slots are, and not promised. Those in use beyond the end of a
// ring that was made smaller are in nobody's way.
func (r *ring) free() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count() - r.promised
}
