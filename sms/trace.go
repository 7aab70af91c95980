package sms

import "time"

// Trace is what went over the modems' ports around one message.
type Trace struct {
	Pieces []TracePiece // in the order of their times
	Notes  []string     // in words, of what is not there
}

// TracePiece is the dialogue around one step of a message's life.
type TracePiece struct {
	What  string    `json:"what"` // "part 1, attempt 2"
	Modem string    `json:"modem"`
	At    time.Time `json:"at"`   // when the step was
	Text  string    `json:"text"` // a transcript
}
