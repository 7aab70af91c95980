package queue

import (
	"context"

	"gatewayd/sms"
)

// Cancel cancels a message that no modem was handed yet; else ErrConflict.
func (q *Queue) Cancel(ctx context.Context, id string) (*sms.Message, error) { panic("") }

// Redact erases the text of a message. A message that is still to be sent
// can't be redacted: ErrConflict (cancel it first).
func (q *Queue) Redact(ctx context.Context, id string) (*sms.Message, error) { panic("") }

// EraseNumber erases everything kept about a number except its consent
// entries, and returns how many messages that were. Messages still waiting for
// a modem are erased too; one that a modem has in hand gives ErrConflict.
func (q *Queue) EraseNumber(ctx context.Context, number string) (int, error) { panic("") }
