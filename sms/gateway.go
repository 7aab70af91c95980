package sms

import (
	"encoding/json"
	"errors"
	"time"
)

// What becomes of what is asked of a hub's gateways. Whoever returns one wraps it with
// words that say what happened to what.
var (
	ErrNoGateway     = errors.New("no gateway has this name")
	ErrGatewayExists = errors.New("a gateway has this name already")
	// ErrGatewayAway means that only the gateway itself can answer, and it is not connected.
	ErrGatewayAway = errors.New("the gateway is not connected")
	// ErrGatewayBusy means that the gateway's state does not allow it.
	ErrGatewayBusy = errors.New("the gateway's state does not allow this")
)

// WrongGateway tells what is wrong with a field of what is wanted of a gateway. Its detail
// reads on from the field's name: "must be small letters, digits and hyphens".
type WrongGateway struct{ Field, Detail string }

func (e *WrongGateway) Error() string { return e.Field + " " + e.Detail }

// GatewayState says in one word how a gateway is with its hub.
type GatewayState string

// The states of a gateway.
const (
	GatewayNew       GatewayState = "new"       // it has never connected
	GatewayConnected GatewayState = "connected" // it said hello a moment ago
	GatewayAway      GatewayState = "away"      // it was here, and is not now
	GatewayDisabled  GatewayState = "disabled"  // it is not let in
)

// Gateway is one of a hub's gateways as the hub knows it.
type Gateway struct {
	Name      string // as it is named everywhere; it never changes
	Title     string // for people; may be ""
	Group     string // "": none
	Disabled  bool
	Connected bool
	Since     time.Time // when Connected became what it is; zero: it was never here
	SeenAt    time.Time // when it was last heard; zero: never

	// What it said of itself when it was last heard.
	Version      string
	Uptime       time.Duration
	ClockTrusted bool
	Modems       []Modem // by the names that they have there
	Alarms       []Alarm
	Rings        Rings // of the gateway

	Epoch int64 // the lease that its messages are given under
	// How many of its messages, which are not over yet, are how far.
	Waiting int // at the hub: it is theirs, and not in the link yet
	InLink  int // in its stream: sent to it, and not known to be stored there
	Stored  int // in its ring

	Configuration GatewayConfiguration
	CredentialsAt time.Time // when the ones that it has now were made
	CreatedAt     time.Time
}

// State is how it is with its hub, in one word.
func (g Gateway) State() GatewayState {
	switch {
	case g.Disabled:
		return GatewayDisabled
	case g.Connected:
		return GatewayConnected
	case g.SeenAt.IsZero():
		return GatewayNew
	}
	return GatewayAway
}

// Ready counts the modems that can send.
func (g Gateway) Ready() (n int) {
	for _, m := range g.Modems {
		if m.State == Ready {
			n++
		}
	}
	return n
}

type gatewayJSON struct {
	Name          string               `json:"name"`
	Title         *string              `json:"title"`
	Group         *string              `json:"group"`
	State         GatewayState         `json:"state"`
	Disabled      bool                 `json:"disabled"`
	Connected     bool                 `json:"connected"`
	Since         *time.Time           `json:"since"`
	SeenAt        *time.Time           `json:"seen_at"`
	Version       *string              `json:"version"`
	Uptime        float64              `json:"uptime_seconds"`
	ClockTrusted  bool                 `json:"clock_trusted"`
	Modems        []Modem              `json:"modems"`
	Alarms        []Alarm              `json:"alarms"`
	Rings         Rings                `json:"rings"`
	Epoch         int64                `json:"epoch"`
	Waiting       int                  `json:"waiting"`
	InLink        int                  `json:"in_link"`
	Stored        int                  `json:"stored"`
	Configuration GatewayConfiguration `json:"configuration"`
	CredentialsAt *time.Time           `json:"credentials_at"`
	CreatedAt     *time.Time           `json:"created_at"`
}

// MarshalJSON writes every field; one without a value is null, a list without
// entries is empty.
func (g Gateway) MarshalJSON() ([]byte, error) {
	return json.Marshal(gatewayJSON{
		Name: g.Name, Title: orNil(g.Title), Group: orNil(g.Group), State: g.State(), Disabled: g.Disabled, Connected: g.Connected,
		Since: timeOrNil(g.Since), SeenAt: timeOrNil(g.SeenAt), Version: orNil(g.Version), Uptime: g.Uptime.Seconds(), ClockTrusted: g.ClockTrusted,
		Modems: emptied(g.Modems), Alarms: emptied(g.Alarms), Rings: g.Rings, Epoch: g.Epoch, Waiting: g.Waiting, InLink: g.InLink, Stored: g.Stored,
		Configuration: g.Configuration, CredentialsAt: timeOrNil(g.CredentialsAt), CreatedAt: timeOrNil(g.CreatedAt),
	})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (g *Gateway) UnmarshalJSON(b []byte) error {
	var w gatewayJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*g = Gateway{
		Name: w.Name, Title: value(w.Title), Group: value(w.Group), Disabled: w.Disabled, Connected: w.Connected,
		Since: value(w.Since), SeenAt: value(w.SeenAt), Version: value(w.Version), Uptime: time.Duration(w.Uptime * float64(time.Second)), ClockTrusted: w.ClockTrusted,
		Modems: filled(w.Modems), Alarms: filled(w.Alarms), Rings: w.Rings, Epoch: w.Epoch, Waiting: w.Waiting, InLink: w.InLink, Stored: w.Stored,
		Configuration: w.Configuration, CredentialsAt: value(w.CredentialsAt), CreatedAt: value(w.CreatedAt),
	}
	return nil
}

// GatewayConfiguration is what a hub sets on a gateway, and what became of it.
type GatewayConfiguration struct {
	Wanted  GatewaySettings `json:"wanted"`
	Version int64           `json:"version"` // of what is wanted; 0: nothing was ever set
	Applied int64           `json:"applied"` // the version that the gateway has applied
	Error   string          `json:"-"`       // why it could not apply the last one; "": it could, or has not tried
}

// plainConfiguration is one without methods.
type plainConfiguration GatewayConfiguration

type gatewayConfigurationJSON struct {
	plainConfiguration
	Error *string `json:"error"`
}

// MarshalJSON writes every field; one without a value is null.
func (c GatewayConfiguration) MarshalJSON() ([]byte, error) {
	return json.Marshal(gatewayConfigurationJSON{plainConfiguration(c), orNil(c.Error)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *GatewayConfiguration) UnmarshalJSON(b []byte) error {
	var w gatewayConfigurationJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	if *c = GatewayConfiguration(w.plainConfiguration); string(c.Wanted.ChatRules) == "null" {
		c.Wanted.ChatRules = nil
	}
	c.Error = value(w.Error)
	return nil
}

// GatewaySettings are what a hub may set on a gateway: what people set on the gateway's own
// setup page, and its chat's rules. nil: it is left as the gateway has it.
type GatewaySettings struct {
	DefaultRegion *string         `json:"default_region"`
	Name          *string         `json:"name"` // of the box on its network
	AlarmsSMSTo   *[]string       `json:"alarms_sms_to"`
	AlarmsMailTo  *[]string       `json:"alarms_mail_to"`
	ChatRules     json.RawMessage `json:"chat_rules"` // as PUT /v1/chat/rules takes them
}

// NewGateway is one that is to be added.
type NewGateway struct{ Name, Title, Group string }

// GatewayChange says what is to change; nil: it stays.
type GatewayChange struct {
	Title, Group *string
	Disabled     *bool
	// Configuration replaces all that is wanted, and gets the next version.
	Configuration *GatewaySettings
}

// Mirror shows how a hub and a gateway have the same messages, side by side.
type Mirror struct {
	Outbound Mirrored
	Inbound  Mirrored
	SeenAt   time.Time // when the gateway told its side; zero: never
	// InterruptedAt is when the link was cut, zero while it is up; ExtendedAt when that
	// counted as an extended interruption, zero if it does not.
	InterruptedAt time.Time
	ExtendedAt    time.Time
}

// Mirrored are the pointers of both sides of one direction. Both are addresses of the
// hub's slots, so that they can be compared; Capacity and Depth are each side's own.
type Mirrored struct {
	Hub     Ring `json:"hub"`
	Gateway Ring `json:"gateway"`
	Gap     int  `json:"gap"` // messages between what was sent last and what is confirmed
}

// MarshalJSON writes every field; one without a value is null.
func (m Mirror) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Outbound      Mirrored   `json:"outbound"`
		Inbound       Mirrored   `json:"inbound"`
		SeenAt        *time.Time `json:"seen_at"`
		InterruptedAt *time.Time `json:"interrupted_at"`
		ExtendedAt    *time.Time `json:"extended_at"`
	}{m.Outbound, m.Inbound, timeOrNil(m.SeenAt), timeOrNil(m.InterruptedAt), timeOrNil(m.ExtendedAt)})
}

// CheckResult is what came of comparing the hub's messages of a gateway with the gateway's.
type CheckResult struct {
	Compared    int          `json:"compared"` // messages
	Differences []Difference `json:"differences"`
}

// Difference is what the two ends say differently of one message. "" is what an end
// does not have.
type Difference struct {
	ID      string `json:"id"`
	Field   string `json:"field"` // message, status, address, mirror, epoch
	Hub     string `json:"hub"`
	Gateway string `json:"gateway"`
}

// MoveResult is what became of a gateway's messages that others were to take.
type MoveResult struct {
	Moved int `json:"moved"`
	// MayDuplicate are those of them that the gateway has, and may have sent.
	MayDuplicate int `json:"may_duplicate"`
	// Kept stay where they are: begun already, pinned to it, or nobody else can send them.
	Kept  int   `json:"kept"`
	Epoch int64 `json:"epoch"` // the gateway's lease from now on
}
