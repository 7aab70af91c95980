// Package sms holds the words everybody uses: Message, Status, Event, Error
// and the picture of a modem. It imports the standard library only and does
// nothing but describe.
package sms

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// Direction says who wrote a message.
type Direction string

// The two directions, as seen from the gateway.
const (
	Outbound Direction = "outbound"
	Inbound  Direction = "inbound"
)

// Encoding is the alphabet of a message's user data (3GPP TS 23.038).
type Encoding string

// The encodings of TP-DCS that messages are shown with.
const (
	GSM7  Encoding = "gsm7" // 160 septets in one part, 153 in each of several
	UCS2  Encoding = "ucs2" // 70 UTF-16 units in one part, 67 in each of several
	Octet Encoding = "8bit" // 140 octets in one part, 134 in each of several
)

// OnUnconfirmed says what becomes of a message when nobody can know whether
// it went out.
type OnUnconfirmed string

const (
	// Resend sends once more, marked possible_duplicate: at least once.
	Resend OnUnconfirmed = "resend"
	// Fail gives up with the code "unconfirmed": at most once, for one-time codes.
	Fail OnUnconfirmed = "fail"
)

// DefaultPriority is the priority of a message that names none; 0 is the
// lowest, 9 goes first.
const DefaultPriority = 4

// Message is one SMS as the API, the webhooks, the events and the pages show
// it. Its JSON has every field, null where there is no value.
type Message struct {
	Row               int64 // the row in the queue's table; never leaves the process
	ID                string
	Direction         Direction
	Status            Status
	Kind              Kind
	To                string
	From              string
	Text              string
	Data              []byte // binary user data instead of Text
	Port              int    // application port (TP-UDH IE 05) of Data; 0: none
	UDH               []byte // outbound: Data's own user data header, its length in front
	Push              *Push  // what Data says, if Kind is KindPush and it can be read
	MMS               *MMS   // the same for KindMMS
	Waiting           []Waiting
	Encoding          Encoding
	ForcedBy          Forced // outbound, UCS2: why not GSM7
	Parts             int
	Modem             string
	Priority          int
	Flash             bool // class 0: shown at once, not stored
	DeliveryReport    bool
	OnUnconfirmed     OnUnconfirmed
	CallbackURL       string
	Metadata          map[string]string
	ClientID          string
	CreatedAt         time.Time
	SendAt            time.Time
	ExpiresAt         time.Time
	ExpectedAt        time.Time // when it is expected to be sent, as far as that can be told
	ExpectedModem     string    // through which modem
	Warnings          []Warning
	SentAt            time.Time // inbound: the service centre's time stamp (TP-SCTS)
	DeliveredAt       time.Time
	UpdatedAt         time.Time
	Attempts          int
	PossibleDuplicate bool
	ClockUncertain    bool    // a time of it was taken before the clock was set
	Incomplete        bool    // inbound: parts are missing and will not come
	Redacted          bool    // the text was erased, or is for the recipient alone: it is not shown
	Held              bool    // restored from a backup: not sent until somebody says so
	Conversation      string  // the id of the conversation that it belongs to; "": none
	Author            *Author // who wrote it, if that is known better than by an API key; nil: it is not
	Gateway           string  // on a hub: the gateway that has it, or that it came from; "": none yet
	Via               Via
	Mode              Mode   // as its sender wanted it to go; "": by SMS, as all that no conversation has
	Copy              Copy   // of a message that went by SMS: its copy by internet; "": none is wanted
	Subject           string // that its sender gave it; goes before the text
	Files             []File // that go with it
	Error             *Error
}

// Via is the way that a message takes, or came by.
type Via string

// The ways.
const (
	ViaSMS      Via = ""         // the phone network
	ViaInternet Via = "internet" // the hub: to the recipient's inbox there, or from it
)

// Mode is how a message of a conversation is to go.
type Mode string

// The modes.
const (
	ModeSMS      Mode = "sms"      // by SMS now; a recipient with an inbox gets a copy there
	ModeInternet Mode = "internet" // to the recipient's inbox now
	ModeOffline  Mode = "offline"  // kept until the link is back, then as internet
	ModeAuto     Mode = "auto"     // by internet if that reaches the recipient now, else by SMS
)

// Copy is the internet copy of a message that went by SMS.
type Copy string

// The states of a copy.
const (
	CopyNotSent  Copy = "not-sent"  // it goes when the link is back
	CopySent     Copy = "sent"      // it is in the recipient's inbox
	CopyNoInbox  Copy = "no-inbox"  // the recipient has none
	CopyOptedOut Copy = "opted-out" // the recipient has said STOP
)

// File is something that goes with a message: by internet as itself, by SMS as a link.
type File struct {
	ID   string `json:"id"` // also of its link; whoever has it may fetch it
	Name string `json:"name"`
	Type string `json:"type"` // a media type
	Size int64  `json:"size"` // in bytes
}

// Author is who wrote a message in a conversation.
type Author struct {
	Kind    AuthorKind `json:"kind"`
	ID      string     `json:"id"`   // of the person, the visitor or the API key
	Name    string     `json:"name"` // as the recipient was told it
	Widget  string     `json:"-"`    // of a visitor: the widget that it came by
	Address string     `json:"-"`    // the network address that it came from; "": not known. It leaves the process only for admins
}

// AuthorKind says what an Author is.
type AuthorKind string

// The kinds of authors.
const (
	AuthorPerson  AuthorKind = "person"  // signed in
	AuthorVisitor AuthorKind = "visitor" // a stranger in a widget
	AuthorKey     AuthorKind = "key"     // a program
	AuthorAuto    AuthorKind = "auto"    // the gateway: an invitation, a confirmation, a notice
)

// Forced is the first character of a text that is not in the GSM 7-bit alphabet;
// the zero one is none.
type Forced struct {
	Character string `json:"character"`
	CodePoint string `json:"code_point"` // "U+0436"
	Position  int    `json:"position"`   // which character of the text it is, from 1
}

// Warning is the code of something that whoever sends a message should know of it
// when it is accepted.
type Warning string

// The warnings. Their details name nothing of the message: they are kept with
// its events.
const (
	WarnLate           Warning = "late"
	WarnNoModem        Warning = "no-modem"
	WarnNoGateway      Warning = "no-gateway"
	WarnTransliterated Warning = "transliterated"
	WarnUnicode        Warning = "stays-unicode"
	WarnQuietHours     Warning = "quiet-hours"
)

// Detail says in words what a warning means.
func (w Warning) Detail() string {
	switch w {
	case WarnLate:
		return "It is expected to be sent only after its expires_at, and expires then: see expected_at."
	case WarnNoModem:
		return "No modem can send it now. It waits for one, and nobody can tell for how long."
	case WarnNoGateway:
		return "No gateway that is connected and has a working modem takes it now. It waits for one, and nobody can tell for how long."
	case WarnQuietHours:
		return "It is too late, or too early, at the recipient's. It is sent when the quiet hours there are over: see send_at."
	case WarnTransliterated:
		return "Characters that the GSM 7-bit alphabet lacks were replaced; text is what is sent."
	case WarnUnicode:
		return "It has characters that can't be written in the GSM 7-bit alphabet, so it is sent as Unicode, as it is: see forced_by."
	}
	return ""
}

type warningJSON struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// MarshalJSON writes the code with its meaning.
func (w Warning) MarshalJSON() ([]byte, error) {
	return json.Marshal(warningJSON{string(w), w.Detail()})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (w *Warning) UnmarshalJSON(b []byte) error {
	var j warningJSON
	err := json.Unmarshal(b, &j)
	*w = Warning(j.Code)
	return err
}

// Error tells why a message is not where it should be. Code is stable and
// machine-readable: "cms-38", "cme-14", "unconfirmed", "opted-out", "expired".
type Error struct {
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Class  Class  `json:"-"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Title }

// Class groups the errors of modem and network by what is to be done.
type Class string

// The classes of send errors.
const (
	Now       Class = "now"       // retry after a few seconds
	Later     Class = "later"     // retry with backoff
	Permanent Class = "permanent" // this recipient or message will never work
	Account   Class = "account"   // SIM or account: park the modem
	Fault     Class = "fault"     // the modem is sick: heal it
	Unknown   Class = "unknown"   // nobody can know whether the message went out
	Accepted  Class = "accepted"  // an error in form only: the network has the message
)

// messageJSON is the wire form: every field present, null when empty.
type messageJSON struct {
	ID                string            `json:"id"`
	Direction         Direction         `json:"direction"`
	Status            Status            `json:"status"`
	Kind              *Kind             `json:"kind"`
	To                *string           `json:"to"`
	From              *string           `json:"from"`
	Text              *string           `json:"text"`
	Data              []byte            `json:"data"`
	Port              *int              `json:"port"`
	UDH               *string           `json:"udh"`
	Push              *Push             `json:"push"`
	MMS               *MMS              `json:"mms"`
	Waiting           []Waiting         `json:"waiting"`
	Encoding          *Encoding         `json:"encoding"`
	ForcedBy          *Forced           `json:"forced_by"`
	Parts             int               `json:"parts"`
	Modem             *string           `json:"modem"`
	Priority          *int              `json:"priority"`
	Flash             bool              `json:"flash"`
	DeliveryReport    bool              `json:"delivery_report"`
	OnUnconfirmed     *OnUnconfirmed    `json:"on_unconfirmed"`
	CallbackURL       *string           `json:"callback_url"`
	Metadata          map[string]string `json:"metadata"`
	ClientID          *string           `json:"client_id"`
	CreatedAt         *time.Time        `json:"created_at"`
	SendAt            *time.Time        `json:"send_at"`
	ExpiresAt         *time.Time        `json:"expires_at"`
	ExpectedAt        *time.Time        `json:"expected_at"`
	ExpectedModem     *string           `json:"expected_modem"`
	Warnings          []Warning         `json:"warnings"`
	SentAt            *time.Time        `json:"sent_at"`
	DeliveredAt       *time.Time        `json:"delivered_at"`
	UpdatedAt         *time.Time        `json:"updated_at"`
	Attempts          int               `json:"attempts"`
	PossibleDuplicate bool              `json:"possible_duplicate"`
	ClockUncertain    bool              `json:"clock_uncertain"`
	Incomplete        bool              `json:"incomplete"`
	Redacted          bool              `json:"redacted"`
	Held              bool              `json:"held"`
	Conversation      *string           `json:"conversation"`
	Author            *Author           `json:"author"`
	Gateway           *string           `json:"gateway"`
	Via               Via               `json:"via"`
	Mode              *Mode             `json:"mode"`
	Copy              *Copy             `json:"internet_copy"`
	Subject           *string           `json:"subject"`
	Files             []File            `json:"files"`
	Error             *Error            `json:"error"`
}

func orNil[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

// Shown is the text as far as it is shown.
func (m *Message) Shown() string {
	if m.Redacted {
		return ""
	}
	return m.Text
}

// MarshalJSON writes every field; one without a value is null.
func (m Message) MarshalJSON() ([]byte, error) {
	w := messageJSON{
		ID: m.ID, Direction: m.Direction, Status: m.Status, Kind: orNil(m.Kind),
		To: orNil(m.To), From: orNil(m.From), Data: m.Data, Port: orNil(m.Port),
		Push: m.Push, MMS: m.MMS, Waiting: m.Waiting,
		UDH: orNil(strings.ToUpper(hex.EncodeToString(m.UDH))), ForcedBy: orNil(m.ForcedBy), ExpectedModem: orNil(m.ExpectedModem), Warnings: m.Warnings,
		Encoding: orNil(m.Encoding), Parts: m.Parts, Modem: orNil(m.Modem),
		Flash: m.Flash, DeliveryReport: m.DeliveryReport,
		OnUnconfirmed: orNil(m.OnUnconfirmed), CallbackURL: orNil(m.CallbackURL),
		Metadata: m.Metadata, ClientID: orNil(m.ClientID),
		CreatedAt: timeOrNil(m.CreatedAt), SendAt: timeOrNil(m.SendAt), ExpiresAt: timeOrNil(m.ExpiresAt),
		ExpectedAt: timeOrNil(m.ExpectedAt), SentAt: timeOrNil(m.SentAt),
		DeliveredAt: timeOrNil(m.DeliveredAt), UpdatedAt: timeOrNil(m.UpdatedAt),
		Attempts: m.Attempts, PossibleDuplicate: m.PossibleDuplicate, ClockUncertain: m.ClockUncertain,
		Incomplete: m.Incomplete, Redacted: m.Redacted, Held: m.Held, Error: m.Error,
		Conversation: orNil(m.Conversation), Author: m.Author,
		Gateway: orNil(m.Gateway), Via: cmp.Or(m.Via, "sms"), Mode: orNil(m.Mode), Copy: orNil(m.Copy), Subject: orNil(m.Subject), Files: m.Files,
	}
	if w.Warnings == nil {
		w.Warnings = []Warning{}
	}
	if w.Files == nil {
		w.Files = []File{}
	}
	if m.Direction == Outbound {
		w.Priority = &m.Priority // 0 is a priority, not an absence
	}
	if !m.Redacted && m.Data == nil {
		w.Text = &m.Text // an empty received text is a text
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *Message) UnmarshalJSON(b []byte) error {
	var w messageJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	udh, err := hex.DecodeString(value(w.UDH))
	if err != nil {
		return err
	}
	*m = Message{
		Row: m.Row, ID: w.ID, Direction: w.Direction, Status: w.Status, Kind: value(w.Kind),
		To: value(w.To), From: value(w.From), Text: value(w.Text), Data: w.Data, Port: value(w.Port),
		Push: w.Push, MMS: w.MMS, Waiting: w.Waiting,
		Encoding: value(w.Encoding), Parts: w.Parts, Modem: value(w.Modem), Priority: value(w.Priority),
		Flash: w.Flash, DeliveryReport: w.DeliveryReport, OnUnconfirmed: value(w.OnUnconfirmed),
		CallbackURL: value(w.CallbackURL), Metadata: w.Metadata, ClientID: value(w.ClientID),
		CreatedAt: value(w.CreatedAt), SendAt: value(w.SendAt), ExpiresAt: value(w.ExpiresAt),
		ExpectedAt: value(w.ExpectedAt), SentAt: value(w.SentAt), DeliveredAt: value(w.DeliveredAt),
		UpdatedAt: value(w.UpdatedAt), Attempts: w.Attempts, PossibleDuplicate: w.PossibleDuplicate, ClockUncertain: w.ClockUncertain,
		Incomplete: w.Incomplete, Redacted: w.Redacted, Held: w.Held, Error: w.Error,
		ForcedBy: value(w.ForcedBy), ExpectedModem: value(w.ExpectedModem), Conversation: value(w.Conversation), Author: w.Author,
		Gateway: value(w.Gateway), Mode: value(w.Mode), Copy: value(w.Copy), Subject: value(w.Subject),
	}
	if w.Via != "sms" {
		m.Via = w.Via
	}
	if len(w.Files) > 0 {
		m.Files = w.Files
	}
	if len(udh) > 0 {
		m.UDH = udh
	}
	if len(w.Warnings) > 0 {
		m.Warnings = w.Warnings
	}
	return nil
}

// Incoming is a PDU as a modem got it, on its way to the inbound ring. It may
// be a message (SMS-DELIVER) or a status report (SMS-STATUS-REPORT).
type Incoming struct {
	Modem   string // the modem's name
	ICCID   string // its SIM
	Number  string // its SIM's own number, "" if unknown
	PDU     []byte // with the SMSC address in front, as +CMGR and +CMT give it
	Storage string // "SM", "ME", "SR"; "" when it came directly (+CMT, +CDS)
	Index   int    // in Storage
	At      time.Time
}

// Ring is what one of the two rings shows of itself. The pointers are the
// addresses that got each flag last, nil before any did.
type Ring struct {
	Capacity      int  `json:"capacity"`
	Depth         int  `json:"depth"` // slots in use: not yet processed
	LastRetrieved *int `json:"last_retrieved"`
	LastSent      *int `json:"last_sent"`
	LastConfirmed *int `json:"last_confirmed"`
	LastProcessed *int `json:"last_processed"`
}

// Rings is the answer of GET /v1/queue.
type Rings struct {
	Outbound Ring `json:"outbound"`
	Inbound  Ring `json:"inbound"`
}
