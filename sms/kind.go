package sms

import (
	"encoding/json"
	"time"
)

// Kind says what a message is. Only text and data can be sent.
type Kind string

// The kinds of messages.
const (
	KindText    Kind = "text"
	KindData    Kind = "data"             // octets for an application port, or for nobody in particular
	KindPush    Kind = "wap-push"         // Message.Push, if it could be read
	KindMMS     Kind = "mms-notification" // a multimedia message waits to be fetched: Message.MMS
	KindWaiting Kind = "message-waiting"  // a voicemail or the like waits: Message.Waiting; Text may say more
	KindUnknown Kind = "undecodable"      // its PDUs are kept; Message.Error says what is wrong with them
)

// Push is what a WAP push says (WAP-235, WAP-167, WAP-168). Data has all of it.
type Push struct {
	ContentType string
	URL         string
	Text        string
	ID          string
	Action      string // signal-none to signal-high, delete; execute-low, execute-high, cache
	CreatedAt   time.Time
	ExpiresAt   time.Time
}

// MarshalJSON writes every field; one without a value is null.
func (p Push) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ContentType *string    `json:"content_type"`
		URL         *string    `json:"url"`
		Text        *string    `json:"text"`
		ID          *string    `json:"id"`
		Action      *string    `json:"action"`
		CreatedAt   *time.Time `json:"created_at"`
		ExpiresAt   *time.Time `json:"expires_at"`
	}{orNil(p.ContentType), orNil(p.URL), orNil(p.Text), orNil(p.ID), orNil(p.Action), timeOrNil(p.CreatedAt), timeOrNil(p.ExpiresAt)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (p *Push) UnmarshalJSON(b []byte) error {
	var w struct {
		ContentType string     `json:"content_type"`
		URL         string     `json:"url"`
		Text        string     `json:"text"`
		ID          string     `json:"id"`
		Action      string     `json:"action"`
		CreatedAt   *time.Time `json:"created_at"`
		ExpiresAt   *time.Time `json:"expires_at"`
	}
	err := json.Unmarshal(b, &w)
	*p = Push{w.ContentType, w.URL, w.Text, w.ID, w.Action, value(w.CreatedAt), value(w.ExpiresAt)}
	return err
}

// MMS is what an m-notification.ind says (OMA MMS encapsulation): the message
// itself is to be fetched from Location, over the SIM's data connection.
type MMS struct {
	Location      string // X-Mms-Content-Location
	TransactionID string
	From          string // its sender; Message.From is whoever sent the notification
	Subject       string
	Class         string // personal, advertisement, informational, auto
	Size          int    // octets
	ExpiresAt     time.Time
}

// MarshalJSON writes every field; one without a value is null.
func (m MMS) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Location      *string    `json:"location"`
		TransactionID *string    `json:"transaction_id"`
		From          *string    `json:"from"`
		Subject       *string    `json:"subject"`
		Class         *string    `json:"message_class"`
		Size          *int       `json:"size"`
		ExpiresAt     *time.Time `json:"expires_at"`
	}{orNil(m.Location), orNil(m.TransactionID), orNil(m.From), orNil(m.Subject), orNil(m.Class), orNil(m.Size), timeOrNil(m.ExpiresAt)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *MMS) UnmarshalJSON(b []byte) error {
	var w struct {
		Location      string     `json:"location"`
		TransactionID string     `json:"transaction_id"`
		From          string     `json:"from"`
		Subject       string     `json:"subject"`
		Class         string     `json:"message_class"`
		Size          int        `json:"size"`
		ExpiresAt     *time.Time `json:"expires_at"`
	}
	err := json.Unmarshal(b, &w)
	*m = MMS{w.Location, w.TransactionID, w.From, w.Subject, w.Class, w.Size, value(w.ExpiresAt)}
	return err
}

// Waiting says that messages of another kind wait for the SIM's owner, or no
// longer do (TS 23.038 4, TS 23.040 9.2.3.24.2).
type Waiting struct {
	Type   string `json:"type"`   // voicemail, fax, email, video, other
	Active bool   `json:"active"` // false: none are left
	Count  *int   `json:"count"`  // nil: it was not told how many
}
