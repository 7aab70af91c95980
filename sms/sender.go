package sms

// The types of the events that tell that nothing more is taken from somebody who
// writes by chat, and that it is again. Their data has the sender's id and the reason,
// no name, number or address.
const (
	EventSenderBlocked  = "sender.blocked"
	EventSenderReopened = "sender.reopened"
)
