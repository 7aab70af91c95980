package sms

// Status is where a message stands.
type Status string

// The statuses of outbound messages, and Received, the one of inbound ones.
const (
	Scheduled   Status = "scheduled"   // waits for send_at
	Queued      Status = "queued"      // durable, waits for a modem
	Sending     Status = "sending"     // a part was handed to a modem
	Sent        Status = "sent"        // the network has accepted every part
	Delivered   Status = "delivered"   // status reports say the phone has every part
	Undelivered Status = "undelivered" // a status report says the phone will not get it
	Unconfirmed Status = "unconfirmed" // nobody can know whether a part went out
	Failed      Status = "failed"
	Expired     Status = "expired"
	Canceled    Status = "canceled"
	Received    Status = "received"
)

// transitions is the one table of what a status may become. Every UPDATE of a
// status names the states it may come from, taken from here, so a lost race
// changes no row instead of rewriting history.
var transitions = map[Status][]Status{
	Scheduled: {Queued, Canceled, Expired, Failed},
	// Delivered and Undelivered: a report for the first copy arrives while
	// the resend still waits. Sent: so does a late +CMGS.
	Queued:  {Sending, Sent, Canceled, Expired, Failed, Delivered, Undelivered},
	Sending: {Sent, Queued, Unconfirmed, Failed, Expired, Delivered, Undelivered},
	Sent:    {Delivered, Undelivered},
	// Queued: the wait is over, or the doubtful part of a longer message was
	// settled and its next part may go.
	Unconfirmed: {Sent, Queued, Failed, Delivered, Undelivered},
	// Of an unconfirmed message that did arrive: message.sent is told before
	// message.delivered then too.
	Failed:      {Sent, Delivered},
	Undelivered: {},
	Delivered:   {},
	Expired:     {},
	Canceled:    {},
	Received:    {},
}

// Statuses lists every status in the order of a message's life.
var Statuses = []Status{Scheduled, Queued, Sending, Sent, Delivered, Undelivered,
	Unconfirmed, Failed, Expired, Canceled, Received}

// CanBecome reports whether the table allows the step from s to next.
func (s Status) CanBecome(next Status) bool {
	for _, t := range transitions[s] {
		if t == next {
			return true
		}
	}
	return false
}

// Sources lists the statuses that may become s.
func (s Status) Sources() []Status {
	var from []Status
	for _, f := range Statuses {
		if f.CanBecome(s) {
			from = append(from, f)
		}
	}
	return from
}

// Valid reports whether s is a status at all.
func (s Status) Valid() bool {
	_, ok := transitions[s]
	return ok
}
