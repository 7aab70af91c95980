package chat

import (
	"context"
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// change runs what a sender does to a conversation that it may see, and returns it.
func (c *Chat) change(ctx context.Context, s Sender, id string, do func(tx *db.Tx, e *entry) error) (*Conversation, error) {
	err := c.o.Queue.Do(func(tx *db.Tx) error {
		e, err := c.theirs(tx, s, id)
		if err == nil {
			err = do(tx, e)
		}
		if err == nil {
			err = c.save(tx, e)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.Get(ctx, id)
}

// MarkRead notes that somebody of its owner has seen a conversation up to a message, ""
// all of it.
func (c *Chat) MarkRead(ctx context.Context, s Sender, id, upTo string) (*Conversation, error) {
	return c.change(ctx, s, id, func(tx *db.Tx, e *entry) error {
		row := e.lastRow
		if upTo == "" {
			e.Unread = 0 // whatever it counted
		} else {
			var err error
			if row, err = queue.RowOf(tx, id, upTo); errors.Is(err, queue.ErrNotFound) {
				return fail(Invalid, "up_to", "is no message of this conversation")
			} else if err != nil {
				return err
			}
		}
		if row <= e.readUpTo {
			return nil // somebody has seen more
		}
		e.readUpTo = row
		var err error
		e.Unread, err = queue.CountReceived(tx, id, row)
		return err
	})
}

// Changes are what may be changed of a conversation; nil stays.
type Changes struct {
	Name, OurName *string
	AssignedTo    *string // a person's id; "": nobody
	Team          *string // another team takes over; of a team's conversation
	Mode          *Mode
	State         *State // closed, open
}

// Change changes what is wanted of a conversation.
func (c *Chat) Change(ctx context.Context, s Sender, id string, w Changes) (*Conversation, error) {
	return c.change(ctx, s, id, func(tx *db.Tx, e *entry) error {
		if w.Name != nil {
			e.Name = *w.Name
		}
		if w.OurName != nil {
			e.OurName = *w.OurName
		}
		if w.Team != nil && *w.Team != e.Owner.Team {
			if e.Owner.Visitor != "" {
				return fail(Invalid, "team", "can't be given to a stranger's conversation")
			}
			e.Owner.Team = *w.Team
			if _, err := tx.Exec(`UPDATE conversations SET team = ? WHERE row = ?`, e.Owner.Team, e.row); err != nil {
				return err
			}
		}
		if w.AssignedTo != nil {
			if err := c.assign(tx, e, *w.AssignedTo); err != nil {
				return err
			}
		}
		if w.Mode != nil && *w.Mode != e.Mode {
			if e.Owner.Visitor != "" {
				return fail(Invalid, "mode", "of a stranger's conversation is always invite")
			}
			if e.Mode = *w.Mode; e.Mode == Transaction {
				if err := c.stated(tx, e, s); err != nil {
					return err
				}
			}
			if e.Mode == Transaction && (e.State == StateInvited || e.State == StateIdle) {
				e.State = StateOpen
			} else if e.Mode == ByInvitation && e.State != StateClosed && e.State != StateBlocked {
				e.State = StateIdle
			}
			if err := c.save(tx, e); err != nil {
				return err
			}
			if e.Mode == Transaction {
				if err := c.sendPending(tx, e); err != nil {
					return err
				}
			}
		}
		if w.State == nil {
			return nil
		}
		switch *w.State {
		case StateClosed:
			return c.close(tx, e, queue.ReasonClosed)
		case StateOpen:
			return c.openAgain(tx, e)
		}
		return fail(Invalid, "state", "must be closed or open")
	})
}

// stated notes that a person says of a number that it agreed elsewhere to be written to.
// Programs write in conversations that need no opt-in anyway.
func (c *Chat) stated(tx *db.Tx, e *entry, s Sender) error {
	if s.Kind != sms.AuthorPerson {
		return nil
	}
	return c.o.Queue.StateTx(tx, e.Number, e.ID, queue.Source{By: s.ID, Wording: "It has agreed already, says who wrote to it: its conversation needs no invitation."})
}

// assign gives a conversation to a person, "" to nobody.
func (c *Chat) assign(tx *db.Tx, e *entry, person string) error {
	if person != "" {
		people, err := c.o.People(tx)
		if err != nil {
			return err
		}
		known := false
		for _, p := range people {
			known = known || p.ID == person
		}
		if !known {
			return fail(Invalid, "assigned_to", "is nobody who can sign in here")
		}
	}
	e.AssignedTo = person
	return nil
}

// Close ends a conversation: its SIM is free for others, after a rest.
func (c *Chat) Close(ctx context.Context, s Sender, id string) (*Conversation, error) {
	return c.change(ctx, s, id, func(tx *db.Tx, e *entry) error { return c.close(tx, e, queue.ReasonClosed) })
}

func (c *Chat) close(tx *db.Tx, e *entry, why string) error {
	if !e.move(over) {
		return nil
	}
	e.activeAt = c.o.Now()
	e.pending = ""
	return c.endOptIn(tx, e, why)
}

// endOptIn ends what the phone agreed to, or was asked for. Also a conversation that needs
// none by now may have one.
func (c *Chat) endOptIn(tx *db.Tx, e *entry, why string) error {
	return c.o.Queue.EndOptInTx(tx, e.ID, why)
}

// openAgain is reopen, unless somebody else writes with the phone through its SIM now.
func (c *Chat) openAgain(tx *db.Tx, e *entry) error {
	if e.State != StateClosed {
		return nil
	}
	taken, err := c.taken(tx, e.Number, e.SIM, e.Owner, c.o.Now())
	if err != nil {
		return err
	}
	if taken {
		return fail(NoNumberFree, "", "Somebody else is writing with this phone through %s now. Begin a new conversation: it gets another number, if one is free.", e.Local)
	}
	c.reopen(e)
	return nil
}

// BlockTx blocks a conversation: nothing more goes out in it, and its number is told
// nothing more by anybody until it sends START.
func (c *Chat) BlockTx(tx *db.Tx, id, reason string) error {
	e, err := byID(tx, id)
	if err == nil && e == nil {
		err = notFound()
	}
	if err != nil {
		return err
	}
	if e.State != StateBlocked && !e.move(blocked) {
		return nil
	}
	e.Reason, e.pending = reason, ""
	c.stir(e)
	if err := c.save(tx, e); err != nil {
		return err
	}
	return c.endOptIn(tx, e, queue.ReasonBlocked)
}

// Block is BlockTx, by somebody who may see the conversation. The number is put on the
// stop list with it.
func (c *Chat) Block(ctx context.Context, s Sender, id, reason string) (*Conversation, error) {
	return c.change(ctx, s, id, func(tx *db.Tx, e *entry) error {
		if e.State == StateClosed {
			return fail(Closed, "", "This conversation is closed: nothing goes out in it. Block the number instead.")
		}
		err := c.BlockTx(tx, id, reason)
		if err == nil {
			err = c.o.Queue.OptOutTx(tx, e.Number, queue.Source{Reason: queue.ReasonBlocked, Wording: reason, By: s.ID})
		}
		if err == nil {
			err = c.consentChanged(tx, e.Number)
		}
		if err != nil {
			return err
		}
		now, err := byID(tx, id)
		if err == nil {
			*e = *now
		}
		return err
	})
}

// Unblock lets a conversation go on. Its number stays on the stop list: what it asked
// for, or was done for it, it takes back itself, or an admin does on its word.
func (c *Chat) Unblock(ctx context.Context, s Sender, id string) (*Conversation, error) {
	return c.change(ctx, s, id, func(tx *db.Tx, e *entry) error {
		if e.move(unblocked) {
			e.Reason = ""
			c.stir(e)
		}
		return nil
	})
}

// Note is what somebody wrote about a conversation for those who share it.
type Note struct {
	ID         string    `json:"id"`
	Text       string    `json:"text"`
	Author     string    `json:"author"`
	AuthorName string    `json:"author_name"`
	At         time.Time `json:"created_at"`
}
