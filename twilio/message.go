package twilio

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"gatewayd/sms"
)

// What Twilio's API says of a message beyond ours stands in its metadata, so
// that it comes, stays and goes with the message.
const (
	metaService  = "twilio.messaging_service_sid"
	metaCallback = "twilio.status_callback"
	metaReplyTo  = "twilio.in_reply_to" // the SID of the received message
)

const idPrefix = "msg_"

// sidOf is a message's SID: SM and the 16 bytes of its ULID.
func sidOf(id string) string {
	u, err := ulid.ParseStrict(strings.TrimPrefix(id, idPrefix))
	if err != nil {
		return "" // of a message that is none of ours
	}
	return "SM" + hex.EncodeToString(u[:])
}

// idOf is the id of the message with a SID; ok is false if it can't be one.
func idOf(sid string) (id string, ok bool) {
	digits, ok := strings.CutPrefix(sid, "SM")
	if !ok {
		return "", false
	}
	var u ulid.ULID
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(u) {
		return "", false
	}
	copy(u[:], b)
	return idPrefix + u.String(), true
}

// statusOf is a status in Twilio's words. While nobody knows whether a message
// went out, it is on its way for them.
func statusOf(s sms.Status) string {
	switch s {
	case sms.Unconfirmed:
		return string(sms.Sending)
	case sms.Expired:
		return string(sms.Failed)
	}
	return string(s)
}

// codeOf is Twilio's code for why a message did not get there.
func codeOf(m *sms.Message) *int {
	code := 0
	switch {
	case m.Status == sms.Expired:
		code = 30036 // its validity period is over
	case m.Status != sms.Failed && m.Status != sms.Undelivered:
		return nil
	case m.Error == nil:
		code = 30008
	default:
		switch m.Error.Code {
		case "opted-out":
			code = 21610
		case "cms-1", "cms-30": // unassigned number, unknown subscriber
			code = 30005
		case "cms-27": // the phone is off or out of reach
			code = 30003
		case "cms-8", "cms-10", "cms-21": // barred, rejected
			code = 30006
		default:
			code = 30008
		}
	}
	return &code
}

// messageJSON is a message as Twilio's clients expect it: numbers as strings,
// and null for what is not known yet.
type messageJSON struct {
	SID             string            `json:"sid"`
	AccountSID      string            `json:"account_sid"`
	APIVersion      string            `json:"api_version"`
	Body            string            `json:"body"`
	To              string            `json:"to"`
	From            *string           `json:"from"`
	ServiceSID      *string           `json:"messaging_service_sid"`
	Status          string            `json:"status"`
	Direction       string            `json:"direction"`
	NumSegments     string            `json:"num_segments"`
	NumMedia        string            `json:"num_media"`
	Price           *string           `json:"price"`
	PriceUnit       string            `json:"price_unit"`
	ErrorCode       *int              `json:"error_code"`
	ErrorMessage    *string           `json:"error_message"`
	DateCreated     string            `json:"date_created"`
	DateUpdated     string            `json:"date_updated"`
	DateSent        *string           `json:"date_sent"`
	URI             string            `json:"uri"`
	SubresourceURIs map[string]string `json:"subresource_uris"`
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// date is a time in RFC 2822.
func date(t time.Time) string { return t.UTC().Format(time.RFC1123Z) }

// view is a message as an account sees it.
func view(account string, m *sms.Message) messageJSON {
	uri := Prefix + "Accounts/" + account + "/Messages/" + sidOf(m.ID)
	v := messageJSON{
		SID: sidOf(m.ID), AccountSID: account, APIVersion: apiVersion, Body: m.Shown(), To: m.To, From: orNil(m.From),
		ServiceSID: orNil(m.Metadata[metaService]), Status: statusOf(m.Status), Direction: directionOf(m),
		NumSegments: strconv.Itoa(m.Parts), NumMedia: "0", PriceUnit: "USD",
		ErrorCode: codeOf(m), DateCreated: date(m.CreatedAt), DateUpdated: date(m.UpdatedAt),
		URI: uri + ".json", SubresourceURIs: map[string]string{"media": uri + "/Media.json"},
	}
	if v.ErrorCode != nil {
		said := "The message's time was over before it could be sent"
		if m.Error != nil {
			said = m.Error.Title
		}
		v.ErrorMessage = &said
	}
	if !m.SentAt.IsZero() {
		v.DateSent = orNil(date(m.SentAt))
	}
	return v
}

func directionOf(m *sms.Message) string {
	switch {
	case m.Direction == sms.Inbound:
		return "inbound"
	case m.Metadata[metaReplyTo] != "":
		return "outbound-reply"
	}
	return "outbound-api"
}
