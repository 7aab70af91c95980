package sms

import (
	"strings"
	"time"
)

// Webhook is a receiver of events as the API shows it.
type Webhook struct {
	ID             string            `json:"id"` // whk_ and a ULID
	Name           string            `json:"name"`
	Description    *string           `json:"description"`
	URL            string            `json:"url"`
	Source         string            `json:"source"`  // WebhookOfConfig, WebhookOfAPI
	Enabled        bool              `json:"enabled"` // as its owner wants it
	Status         string            `json:"status"`  // WebhookActive, WebhookPaused, WebhookDisabled
	Reason         *string           `json:"reason"`  // why it is disabled
	DisabledAt     *time.Time        `json:"disabled_at"`
	FailingSince   *time.Time        `json:"failing_since"` // nil: its last attempt was a success, or there was none
	Events         []string          `json:"events"`
	Match          WebhookMatch      `json:"match"`
	Stop           bool              `json:"stop"`
	Position       *int              `json:"position"` // nil: of the configuration, which come first
	Headers        map[string]string `json:"headers"`  // values are hidden
	AllowPrivate   bool              `json:"allow_private"`
	Secret         *string           `json:"secret"`           // shown when it was just made
	OldSecretUntil *time.Time        `json:"old_secret_until"` // an older one signs too until then
	Waiting        int               `json:"waiting"`          // deliveries that are pending
	WaitingSince   *time.Time        `json:"waiting_since"`    // the oldest of them; nil: none waits
	Failed         int               `json:"failed"`
	CreatedAt      *time.Time        `json:"created_at"`
}

// Where a Webhook comes from, and how it is.
const (
	WebhookOfConfig = "config"
	WebhookOfAPI    = "api"

	WebhookActive   = "active"
	WebhookPaused   = "paused"   // Enabled is false
	WebhookDisabled = "disabled" // by itself: it answered 410, or failed for three days
)

// WebhookMatch narrows the received messages that a Webhook gets; nil: any.
type WebhookMatch struct {
	Modem      *string `json:"modem"`
	To         *string `json:"to"`
	FromPrefix *string `json:"from_prefix"`
	Keyword    *string `json:"keyword"`
}

// WebhookChange is what somebody wants of a new Webhook, or of one that is
// there; nil is left as it is.
type WebhookChange struct {
	Name        *string
	Description *string
	URL         *string
	Secret      *string // of a new one only; "": one is made
	Events      *[]string
	Match       *WebhookMatchChange
	Stop        *bool
	Position    *int
	Headers     map[string]*string // nil value: it goes
	NoHeaders   bool               // all go first
	Enabled     *bool
}

// WebhookMatchChange is a change of a WebhookMatch; "" matches any.
type WebhookMatchChange struct{ Modem, To, FromPrefix, Keyword *string }

// HiddenValue stands for a secret value of a Webhook; sent back, it changes nothing.
const HiddenValue = "(hidden)"

// WebhookMistake says what is wrong with one field; it reads on from its name.
type WebhookMistake struct{ Field, Detail string }

// WebhookMistakes are why a WebhookChange was refused.
type WebhookMistakes []WebhookMistake

func (m WebhookMistakes) Error() string {
	said := make([]string, len(m))
	for i, f := range m {
		said[i] = f.Field + " " + f.Detail
	}
	return strings.Join(said, "; ")
}

// WebhookTest is how a test event fared.
type WebhookTest struct {
	ID             string  `json:"id"` // its webhook-id
	Delivered      bool    `json:"delivered"`
	ResponseStatus *int    `json:"response_status"`
	LatencyMS      int64   `json:"latency_ms"`
	Response       *string `json:"response"` // its first bytes
	Error          *string `json:"error"`
}

// WebhookReplay says which events a Webhook is to get again.
type WebhookReplay struct {
	Since, Until time.Time // zero Until: up to now
	All          bool      // those that were delivered too
}

// WebhookReplayed is how far a WebhookReplay came.
type WebhookReplayed struct {
	Replayed int        `json:"replayed"`
	More     bool       `json:"more"` // ask again with since = next_since
	Next     *time.Time `json:"next_since"`
}

// CallbackSecret signs what callback URLs get.
type CallbackSecret struct {
	Secret   string     `json:"secret"`
	OldUntil *time.Time `json:"old_secret_until"`
}
