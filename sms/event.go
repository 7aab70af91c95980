package sms

import (
	"encoding/json"
	"time"
)

// Event is one row of the event log: what happened, in the order of Seq.
type Event struct {
	Seq  int64
	Type string
	Time time.Time
	// ClockUncertain says that nobody knew then whether the clock was right.
	ClockUncertain bool
	// Data is the message or the modem as it was right after the event.
	Data json.RawMessage
	// Number is the phone number that the event is about, "" if none:
	// events of one number are told in order.
	Number string
	// Message is the id of the message that the event is about, "" if none.
	Message string
	// Row is that message's in the queue's table. It never leaves the process.
	Row int64
	// Key is the API key that handed that message in, "" if none did. It never
	// leaves the process.
	Key string
}

// Body is the event as webhooks and event streams carry it.
func (e Event) Body() []byte {
	b, err := json.Marshal(struct {
		Type           string          `json:"type"`
		Timestamp      time.Time       `json:"timestamp"`
		ClockUncertain bool            `json:"clock_uncertain"`
		Data           json.RawMessage `json:"data"`
	}{e.Type, e.Time.UTC().Truncate(time.Millisecond), e.ClockUncertain, e.Data})
	if err != nil { // Data was marshalled by ourselves
		panic("event " + e.Type + ": " + err.Error())
	}
	return b
}

// EventTypes are the types of the events that this version tells.
func EventTypes() []string {
	var names []string
	for _, s := range Statuses {
		names = append(names, EventOf(s))
	}
	names = append(names, EventModemState, EventGatewayState, EventCall, EventAlarmBegin, EventAlarmEnd, EventSenderBlocked, EventSenderReopened)
	for _, d := range Decisions {
		names = append(names, EventOfConsent(d))
	}
	return append(names, EventCopied, EventConversationNew, EventConversationUpdated, EventConversationDeleted)
}

// EventWebhookTest is the type of the event that tries out a webhook. It is in no log.
const EventWebhookTest = "webhook.test"

// The types of the events that tell of conversations: one came to be, its state, its
// person or what is unread in it changed, it was erased.
const (
	EventConversationNew     = "conversation.new"
	EventConversationUpdated = "conversation.updated"
	EventConversationDeleted = "conversation.deleted"
)

// EventCopied is the type of the event that tells what became of the internet copy of a
// message that went by SMS.
const EventCopied = "message.copied"

// EventGatewayState is the type of the event that tells, on a hub, that a gateway came or went.
const EventGatewayState = "gateway.state"

// EventModemState is the type of the event that tells a modem's new state.
const EventModemState = "modem.state"

// EventOf is the type of the event that tells a message's new status.
func EventOf(s Status) string { return "message." + string(s) }
