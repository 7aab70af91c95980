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
		if s != Scheduled { // a message is queued later, or it ends
			names = append(names, EventOf(s))
		}
	}
	return append(names, EventModemState, EventCall, EventAlarmBegin, EventAlarmEnd)
}

// EventWebhookTest is the type of the event that tries out a webhook. It is in no log.
const EventWebhookTest = "webhook.test"

// EventModemState is the type of the event that tells a modem's new state.
const EventModemState = "modem.state"

// EventOf is the type of the event that tells a message's new status.
func EventOf(s Status) string { return "message." + string(s) }
