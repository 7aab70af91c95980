package sms

import "time"

// Delivery is one event on its way to one webhook endpoint.
type Delivery struct {
	ID             string         `json:"id"`         // also the header webhook-id
	Endpoint       string         `json:"endpoint"`   // its name, else its host
	Webhook        *string        `json:"webhook_id"` // nil: the message named its receiver itself
	Event          int64          `json:"event"`      // the event's sequence
	Type           string         `json:"type"`       // the event's type
	MessageID      *string        `json:"message_id"` // nil: the event is not about a message
	Status         DeliveryStatus `json:"status"`
	Attempts       int            `json:"attempts"`
	ResponseStatus *int           `json:"response_status"` // of the last attempt; nil: none, or no answer
	Error          *string        `json:"error"`           // of the last attempt, in words
	LatencyMS      *int64         `json:"latency_ms"`      // of the last attempt; nil: none
	Response       *string        `json:"response"`        // its first bytes, as far as they can be printed; nil: none
	History        []Attempt      `json:"history"`         // the failed attempts before the last one, the newest of them
	CreatedAt      time.Time      `json:"created_at"`
	LastAttemptAt  *time.Time     `json:"last_attempt_at"`
	NextAttemptAt  *time.Time     `json:"next_attempt_at"` // nil: none by itself, or an earlier event of the number goes first
	DeliveredAt    *time.Time     `json:"delivered_at"`
}

// Attempt is one that failed, of a Delivery.
type Attempt struct {
	At             time.Time `json:"at"`
	ResponseStatus *int      `json:"response_status"`
	LatencyMS      int64     `json:"latency_ms"`
	Error          string    `json:"error"`
}

// DeliveryStatus is where a Delivery stands.
type DeliveryStatus string

// The statuses of a Delivery.
const (
	DeliveryPending   DeliveryStatus = "pending"
	DeliveryDelivered DeliveryStatus = "delivered"
	DeliveryFailed    DeliveryStatus = "failed"  // kept until somebody retries or drops it
	DeliveryDropped   DeliveryStatus = "dropped" // its message was erased, or somebody dropped it
)

// DeliveryFilter selects deliveries; zero fields select all.
type DeliveryFilter struct {
	Status   DeliveryStatus
	Endpoint string    // its name or its id
	Type     string    // of the event
	Message  string    // its id
	Since    time.Time // made then or later
	Cursor   string    // from the page before
	Limit    int       // 0: 50; 500 at most
}
