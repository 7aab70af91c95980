package chat

import (
	"context"
	"fmt"

	"gatewayd/captcha"
	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Due does once what Run does over and over.
func (c *Chat) Due(ctx context.Context) error { return c.due(ctx) }

// Fill makes so many conversations with a message each, every second with a stranger.
func (c *Chat) Fill(n int) error {
	return c.o.Queue.Do(func(tx *db.Tx) error {
		now := c.o.Now()
		for i := range n {
			e := &entry{activeAt: now, Conversation: Conversation{Number: fmt.Sprintf("+4917%08d", i), SIM: "8949", Modem: "a", Local: "a", Mode: Transaction,
				State: StateOpen, Begun: "person", Name: fmt.Sprint("Person ", i), CreatedAt: now, UpdatedAt: now}}
			if i%2 == 1 {
				e.Mode = ByInvitation
			}
			if err := c.save(tx, e); err != nil {
				return err
			}
			if e.Mode == ByInvitation {
				if err := c.o.Queue.AskOptInTx(tx, e.ID, e.Number, e.SIM, queue.Source{Wording: "?"}); err != nil {
					return err
				}
			}
			_, err := c.o.Queue.SubmitTx(tx, queue.Draft{Pin: "a", KeyID: "k", Message: sms.Message{To: e.Number, Text: fmt.Sprint("hello ", i), Priority: 4, Conversation: e.ID}})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// EasyPuzzles has strangers try less, so that tests are quick.
func (c *Chat) EasyPuzzles(normal, hard captcha.Effort) { c.abuse.normal, c.abuse.hard = normal, hard }
