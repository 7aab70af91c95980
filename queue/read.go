package queue

import (
	"context"
	"time"

	"gatewayd/sms"
)

// Filter selects messages; zero fields select all.
type Filter struct {
	Direction    sms.Direction
	Status       []sms.Status
	To, From     string
	Modem        string
	Since, Until time.Time // by created_at: since inclusive, until exclusive
	Cursor       string    // from the page before
	Limit        int
}

// ErrBadCursor means that a cursor is not one that List gave.
var ErrBadCursor error

// Message returns the message with this id, or ErrNotFound.
func (q *Queue) Message(ctx context.Context, id string) (*sms.Message, error) { panic("") }

// List returns messages newest first and the cursor of the next page, "" at the end.
func (q *Queue) List(ctx context.Context, f Filter) (page []sms.Message, next string, err error) {
	panic("")
}

// Part is one SMS of a message as the log of its life shows it.
type Part struct {
	Number      int        `json:"number"`
	Modem       string     `json:"modem"`
	MR          *int       `json:"tp_mr"`
	StartedAt   time.Time  `json:"started_at"`
	ConfirmedAt *time.Time `json:"confirmed_at"`
	ReportedAt  *time.Time `json:"reported_at"`
	Report      *int       `json:"tp_st"` // TP-ST of the last status report
	Attempts    int        `json:"attempts"`
}

// Parts returns the parts of a message that were handed to a modem so far.
func (q *Queue) Parts(ctx context.Context, row int64) ([]Part, error) { panic("") }

// Stats returns both rings with their pointers.
func (q *Queue) Stats(ctx context.Context) (sms.Rings, error) { panic("") }

// CountByStatus counts the messages that are not yet at a final status.
func (q *Queue) CountByStatus(ctx context.Context) (map[sms.Status]int, error) { panic("") }
