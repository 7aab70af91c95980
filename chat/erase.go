package chat

import (
	"context"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Delete erases what a conversation's messages say, its notes and its drafts, and takes it
// out of all lists. The messages stay, without text, so that what was sent can be accounted
// for; the SIM stays kept from others for as long as after any end of a conversation.
func (c *Chat) Delete(ctx context.Context, s Sender, id string) error {
	if _, err := c.seen(ctx, s, id); err != nil {
		return err
	}
	if err := c.o.Queue.EraseTexts(ctx, id); err != nil {
		return err
	}
	return c.o.Queue.Do(func(tx *db.Tx) error {
		e, err := c.theirs(tx, s, id)
		if err != nil {
			return err
		}
		if err := c.close(tx, e, queue.ReasonClosed); err != nil {
			return err
		}
		return c.bury(tx, e)
	})
}

// bury erases what is kept of a conversation itself, but for what its SIM rests by.
func (c *Chat) bury(tx *db.Tx, e *entry) error {
	for _, query := range []string{`DELETE FROM conversation_notes WHERE conversation = ?`, `DELETE FROM conversation_drafts WHERE conversation = ?`} {
		if _, err := tx.Exec(query, e.ID); err != nil {
			return err
		}
	}
	e.Name, e.pending, e.deleted, e.State = "", "", true, StateClosed
	if _, err := tx.Exec(`UPDATE conversations SET visitor_name = '', visitor_address = '' WHERE row = ?`, e.row); err != nil {
		return err
	}
	if err := c.save(tx, e); err != nil {
		return err
	}
	return c.o.Queue.AppendTx(tx, sms.EventConversationDeleted, e.told())
}

// erase erases what is kept of messages, and at last of a number.
func (c *Chat) erase(tx *db.Tx, x queue.Erasure) error {
	for _, m := range x.Messages {
		if _, err := tx.Exec(`UPDATE conversations SET last_message = 0 WHERE last_message = ?`, m.Row); err != nil {
			return err
		}
	}
	if x.Number == "" || len(x.Messages) > 0 {
		return nil
	}
	found, err := all(tx, `WHERE c.number = ?`, x.Number)
	if err != nil {
		return err
	}
	for _, e := range found {
		e.State = StateClosed
		if err := c.bury(tx, e); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM conversations WHERE row = ?`, e.row); err != nil {
			return err
		}
	}
	return nil
}
