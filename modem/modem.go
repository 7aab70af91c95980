// Package modem drives one modem: bring-up, the send/confirm loop, receiving,
// healing. One goroutine owns the port and everything known about the modem.
package modem

import (
	"time"

	"gatewayd/sms"
)

// Part is one SMS, encoded and ready for the air.
type Part struct {
	Row       int64  // of the message
	MessageID string // for logs
	Number    int    // 1 to Total
	Total     int
	To        string
	TPDU      []byte // SMS-SUBMIT without the SMSC address
}

// Result says what is known of a part's fate.
type Result int

// The four fates of a part.
const (
	NotSent   Result = iota // it never left: no prompt, an error before Ctrl-Z, or taken back
	Refused                 // modem or network refused it: Err tells why, Err.Class what to do
	Unknown                 // nobody can know
	Confirmed               // the network has it, under reference MR
)

// Outcome is the fate of a part.
type Outcome struct {
	Part       *Part
	Result     Result
	MR         int        // TP-MR when Confirmed
	ExpectedMR int        // when Unknown: the TP-MR that it would have got; -1 if not known
	Err        *sms.Error // when NotSent, Refused or Unknown

	// When Refused, what the code and the SIM's other results say besides.
	Elsewhere bool          // another SIM may do better
	Blames    bool          // this SIM was accepted before, and only this recipient refused since
	Plain     bool          // it may go without a validity period
	Times     int           // so many such refusals fail the message; 0: see its class
	Lasts     time.Duration // or such refusals for so long; 0: see its class
	After     time.Duration // this SIM should not be tried with it sooner
}

// Outbox is where parts come from and where their fate is written. A modem
// calls it from two goroutines: Begin and Next from the one that books while a
// part is on its way, the others from the one that owns the port.
type Outbox interface {
	// Next chooses the part to send next, nil if there is none now. While a
	// part is on the air it may choose that message's following part: a part
	// that was chosen and can't be begun goes back with Return. Next does not
	// wait for anything but the disk.
	Next() *Part
	Return(*Part)
	// Ready is signalled when Next may have something that it had not before, or
	// something more urgent than what it gave out and is not begun.
	Ready() <-chan struct{}
	// Begin commits, in one transaction, the outcome of the part before (nil:
	// none) and that next is about to be sent. expectedMR is the TP-MR that next
	// will probably get, -1 if not known. With ok false next must not be sent
	// (canceled, opted out) and is the Outbox's again; the outcome is booked all
	// the same. After an error nothing was booked, and next comes with Return.
	Begin(previous *Outcome, next *Part, expectedMR int) (ok bool, err error)
	// Finish commits an outcome alone. It also takes the late answer of a part
	// whose outcome was Unknown before.
	Finish(Outcome) error
}

// Inbox is where received PDUs go.
type Inbox interface {
	// Receive makes the PDU durable; after nil it may be deleted or acknowledged.
	Receive(sms.Incoming) error
	// Deleted books that the modem has confirmed a deletion.
	Deleted(sim, storage string, index int) error
}
