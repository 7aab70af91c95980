package chat

import (
	"context"
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

// How long a conversation of which nothing is said any more keeps its SIM from others,
// until it closes by itself: a stranger's a day, a team's a month, for people come back to
// what they wrote with whom they know.
const (
	strangersEnd = 24 * time.Hour
	teamsEnd     = 30 * 24 * time.Hour
)

// look is how often Run looks at what is due.
const look = 20 * time.Second

// Run does what is due: conversations become idle, opt-ins end, what nobody says anything
// in any more is closed and at last forgotten. It returns nil when ctx ends.
func (c *Chat) Run(ctx context.Context) error {
	for {
		if err := c.due(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, queue.ErrDiskFull) {
			c.log.Error("conversations could not be looked through; tried again", "in", look, "error", err)
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return nil
		}
	}
}

// slice is how many conversations one transaction changes.
const slice = 50

// due does what is due now.
func (c *Chat) due(ctx context.Context) error {
	now := c.o.Now()
	for _, d := range []struct {
		where string
		args  []any
		do    func(tx *db.Tx, e *entry) error
		once  bool // what is left over is for the next look: it may be as it was
	}{
		{`c.state = 'open' AND c.active_at <= ?`, []any{ms(now.Add(-c.rules().IdleAfter))}, c.rests, false},
		{`c.state IN ('new', 'invited', 'idle', 'blocked') AND c.active_at <= CASE WHEN c.visitor = '' OR c.state = 'blocked' THEN ? ELSE ? END`, []any{ms(now.Add(-teamsEnd)), ms(now.Add(-strangersEnd))},
			func(tx *db.Tx, e *entry) error { return c.close(tx, e, queue.ReasonClosed) }, false},
		{`c.pending IS NOT NULL AND c.state = 'open'`, nil, func(tx *db.Tx, e *entry) error { return c.sendPending(tx, e) }, true},
	} {
		for ctx.Err() == nil {
			var ids []string
			err := c.o.DB.Read(ctx, func(r db.Querier) error {
				found, err := all(r, `WHERE `+d.where+` ORDER BY c.active_at LIMIT ?`, append(d.args, slice)...)
				for _, e := range found {
					ids = append(ids, e.ID)
				}
				return err
			})
			if err != nil || len(ids) == 0 {
				if err != nil {
					return err
				}
				break
			}
			err = c.o.Queue.Do(func(tx *db.Tx) error {
				for _, id := range ids {
					// As it is by now: somebody may just have written.
					e, err := one(tx, `WHERE c.id = ? AND `+d.where, append([]any{id}, d.args...)...)
					if err == nil && e != nil {
						if err = d.do(tx, e); err == nil {
							err = c.save(tx, e)
						}
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			if len(ids) < slice || d.once {
				break
			}
		}
	}
	return c.forget(ctx, now)
}

// rests makes a conversation idle. While what was written in it waits for the morning it is
// not, for the opt-in that ended with that would keep it from going out then.
func (c *Chat) rests(tx *db.Tx, e *entry) error {
	if e.Mode == ByInvitation {
		waits, err := c.o.Queue.WaitsForMorning(tx, e.ID, e.Number)
		if err != nil {
			return err
		}
		if waits {
			e.activeAt = c.o.Now()
			return nil
		}
	}
	if !e.move(quiet) || e.Mode != ByInvitation || c.rules().KeepsOptIn {
		return nil
	}
	return c.endOptIn(tx, e, queue.ReasonIdle)
}

// forget erases closed conversations of which the history has no message any more, once
// their SIM is free for all.
func (c *Chat) forget(ctx context.Context, now time.Time) error {
	if c.o.Clock != nil && !c.o.Clock.Trusted() {
		return nil // nobody knows how old anything is
	}
	return c.o.DB.Write(func(tx *db.Tx) error {
		if err := c.tidyAbuse(tx, now); err != nil {
			return err
		}
		found, err := all(tx, `WHERE c.state = 'closed' AND c.active_at < ? AND (c.last_message = 0 OR c.deleted = 1) LIMIT ?`, ms(now.Add(-rest)), slice)
		for _, e := range found {
			row := int64(0)
			if !e.deleted {
				if row, err = queue.NewestRow(tx, e.ID); err != nil {
					return err
				}
			}
			if row != 0 { // the newest was erased alone
				_, err = tx.Exec(`UPDATE conversations SET last_message = ? WHERE row = ?`, row, e.row)
			} else {
				_, err = tx.Exec(`DELETE FROM conversations WHERE row = ?`, e.row)
			}
			if err != nil {
				return err
			}
		}
		return err
	})
}
