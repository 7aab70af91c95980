// Package mirror is what a hub and its gateways say to each other: the names of
// subjects and streams on NATS, and what is written on them. Both ends share nothing
// else, so either may be newer: what one does not know it leaves alone.
//
// An outbound message waits in a stream until its gateway has stored it in its own ring;
// that the gateway acknowledges, in any order. What becomes of it then, and all that the
// gateway receives, goes back through the gateway's event log as events with a sequence
// of their own. A message has the same id at both ends, and each end's slot knows the
// address of the other's.
package mirror

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"gatewayd/sms"
)

// Shards is how many streams the messages to gateways are spread over: a stream has at
// most a thousand consumers, and each gateway is one.
const Shards = 16

// Events is the stream of what gateways tell.
const Events = "GATEWAYD_EVENTS"

// Window is how many messages a gateway may have taken and not acknowledged.
const Window = 255

// Out is the stream with the messages to a gateway, OutOf that of a shard.
func Out(gateway string) string { return OutOf(int(shard(gateway))) }
func OutOf(shard int) string    { return fmt.Sprintf("GATEWAYD_OUT_%02d", shard) }

// OutSubject is where messages to a gateway are put, OutSubjects are all of its stream.
func OutSubject(gateway string) string  { return outSubject(gateway, gateway) }
func OutSubjects(gateway string) string { return outSubject(gateway, "*") }

func outSubject(gateway, last string) string {
	return fmt.Sprintf("gatewayd.out.%02d.%s", shard(gateway), last)
}

// Consumer is a gateway's on its stream.
func Consumer(gateway string) string { return "gw-" + gateway }

func shard(gateway string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(gateway))
	return h.Sum32() % Shards
}

// EventSubject is where the hub puts what a gateway tells.
func EventSubject(gateway string) string { return "gatewayd.ev." + gateway }

// Hello, Who, Tell and PullSubject are requests of a gateway that the hub answers, Tell as the
// stream does that has it then; Wake hints to a
// gateway that it should say hello now; Command is a request of the hub that it answers.
func Hello(gateway string) string       { return "gatewayd.hub." + gateway + ".hello" }
func Who(gateway string) string         { return "gatewayd.hub." + gateway + ".who" }
func Tell(gateway string) string        { return "gatewayd.hub." + gateway + ".tell" }
func PullSubject(gateway string) string { return "gatewayd.hub." + gateway + ".pull" }
func Wake(gateway string) string        { return "gatewayd.gw." + gateway + ".wake" }
func Command(gateway string) string     { return "gatewayd.gw." + gateway + ".cmd" }

// InboxPrefix is below what a gateway gets its answers; nobody else may listen there.
func InboxPrefix(gateway string) string { return "_INBOX_gw_" + gateway }

// HelloEvery is how often a gateway says hello while it is connected; the hub counts it
// as away after AwayAfter.
const (
	HelloEvery = 20 * time.Second
	AwayAfter  = 60 * time.Second
)

// Item is what stands in a gateway's stream.
type Item struct {
	Message  *Message  `json:"message,omitempty"`  // one to send
	Receipts []Receipt `json:"receipts,omitempty"` // of what came from the gateway
	Reply    *Reply    `json:"reply,omitempty"`    // what somebody wrote in an inbox
}

// Message is an outbound message on its way to its gateway.
type Message struct {
	ID             string            `json:"id"`
	Address        int               `json:"address"` // of its slot at the hub
	Epoch          int64             `json:"epoch"`   // the lease that it was given under
	To             string            `json:"to"`
	Text           string            `json:"text,omitempty"`
	Data           []byte            `json:"data,omitempty"`
	Port           int               `json:"port,omitempty"`
	UDH            []byte            `json:"udh,omitempty"`
	From           string            `json:"from,omitempty"` // the name of the only modem that may send it
	SIM            string            `json:"sim,omitempty"`  // the only SIM, wherever it is; the ICCID
	Priority       int               `json:"priority"`
	Flash          bool              `json:"flash,omitempty"`
	DeliveryReport bool              `json:"delivery_report,omitempty"`
	OnUnconfirmed  sms.OnUnconfirmed `json:"on_unconfirmed,omitempty"`
	ExpiresAt      time.Time         `json:"expires_at,omitzero"`
	CreatedAt      time.Time         `json:"created_at"`
	Metadata       map[string]string `json:"metadata,omitempty"`
	Author         string            `json:"author,omitempty"`  // the name that its recipient was told
	Consent        string            `json:"consent,omitempty"` // as queue.Consent: an answer passes the stop list
	Subject        string            `json:"subject,omitempty"`
	Secret         bool              `json:"secret,omitempty"` // its text is for its recipient alone
	// MayHaveGone: another gateway had it before, which can't be asked.
	MayHaveGone bool `json:"may_have_gone,omitempty"`
}

// Receipt tells a gateway what the hub has of it.
type Receipt struct {
	ID      string    `json:"id"`
	Address *int      `json:"address,omitempty"` // of the slot at the hub of a message that the gateway received
	Copy    sms.Copy  `json:"copy,omitempty"`    // what became of an internet copy, or of a message by internet
	ReadAt  time.Time `json:"read_at,omitzero"`  // its recipient has seen it
}

// Reply is a message that came by internet: somebody wrote it in an inbox of the hub.
type Reply struct {
	ID    string     `json:"id"` // msg_ and a ULID
	From  string     `json:"from"`
	Name  string     `json:"name"`
	Text  string     `json:"text"`
	Files []sms.File `json:"files,omitempty"`
	At    time.Time  `json:"at"`
	// To is the message, of the gateway, that it answers; "": none in particular.
	To string `json:"to,omitempty"`
}

// Event is what a gateway tells. Log names the life of its event log: a restored backup
// begins another. Seq grows by at least one; what was told before is told again after a cut.
type Event struct {
	Log     string          `json:"log"`
	Seq     int64           `json:"seq"`
	At      time.Time       `json:"at"`
	State   *State          `json:"state,omitempty"`   // of a message that came from the hub
	Arrived *Arrived        `json:"arrived,omitempty"` // a message that was received
	Modem   json.RawMessage `json:"modem,omitempty"`   // sms.Modem: its new state
	Alarm   json.RawMessage `json:"alarm,omitempty"`   // sms.Alarm: it began, or is over
	Consent []Consent       `json:"consent,omitempty"` // decisions of numbers
	Inbox   *Inbox          `json:"inbox,omitempty"`   // for somebody's inbox
	Chunk   *Chunk          `json:"chunk,omitempty"`   // of a file
}

// Life is what a log's names have in common: the log is the same, and its sequences, if only
// what stands behind the last dot is another. Then what was told before is told again, for
// nobody knows whether the stream has it.
func Life(log string) string {
	if i := strings.LastIndexByte(log, '.'); i > 0 {
		return log[:i]
	}
	return log
}

// State is what a gateway knows of a message from the hub. Status queued: it has stored it.
type State struct {
	ID                string     `json:"id"`
	Address           int        `json:"address"` // of its slot at the hub
	Mirror            int        `json:"mirror"`  // of its slot at the gateway; -1: none any more
	Epoch             int64      `json:"epoch"`
	Status            sms.Status `json:"status"`
	Modem             string     `json:"modem,omitempty"`
	SIM               string     `json:"sim,omitempty"`
	Local             string     `json:"local,omitempty"` // the SIM's number, or the modem's name
	Attempts          int        `json:"attempts,omitempty"`
	PossibleDuplicate bool       `json:"possible_duplicate,omitempty"`
	ClockUncertain    bool       `json:"clock_uncertain,omitempty"`
	SentAt            time.Time  `json:"sent_at,omitzero"`
	DeliveredAt       time.Time  `json:"delivered_at,omitzero"`
	UpdatedAt         time.Time  `json:"updated_at"`
	Error             *sms.Error `json:"error,omitempty"`
}

// Arrived is a message that a gateway received, with the address of its slot there.
type Arrived struct {
	Message sms.Message `json:"message"`
	SIM     string      `json:"sim"`
	Mirror  int         `json:"mirror"`  // -1: none any more
	Dialled bool        `json:"dialled"` // its sender can be answered
	// Answered: the gateway answers it itself, so the hub need not.
	Answered bool `json:"answered,omitempty"`
}

// Consent is a decision of a number, STOP above all. Changes from the hub carry the
// sequence that the gateway says next time.
type Consent struct {
	Seq     int64     `json:"seq,omitempty"` // at the hub
	Number  string    `json:"number"`
	Stopped bool      `json:"stopped"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"` // as queue's
	Wording string    `json:"wording,omitempty"`
}

// Inbox is a message for the inbox of a number: a copy of one that went by SMS, or one
// that goes by internet alone.
type Inbox struct {
	ID      string     `json:"id"`
	To      string     `json:"to"`
	Name    string     `json:"name"` // of the sender
	Subject string     `json:"subject,omitempty"`
	Text    string     `json:"text"`
	Files   []sms.File `json:"files,omitempty"`
	At      time.Time  `json:"at"`
	BySMS   bool       `json:"by_sms"` // it went by SMS; this is its copy
}

// Chunk is a piece of a file.
type Chunk struct {
	File   sms.File `json:"file"`
	Offset int64    `json:"offset"`
	Data   []byte   `json:"data"`
}

// HelloRequest is what a gateway says of itself when it connects and from time to time.
type HelloRequest struct {
	Version       string          `json:"version"`
	Log           string          `json:"log"`
	Epoch         int64           `json:"epoch"`
	Newest        int64           `json:"newest"` // sequence of its event log
	Told          int64           `json:"told"`   // up to where the hub's stream has it
	Rings         sms.Rings       `json:"rings"`
	Modems        json.RawMessage `json:"modems"`                 // []sms.Modem
	Alarms        json.RawMessage `json:"alarms"`                 // []sms.Alarm
	Consent       int64           `json:"consent"`                // the hub's sequence that it has come to
	Configuration int64           `json:"configuration"`          // the version that it has applied
	ConfigError   string          `json:"config_error,omitempty"` // why it could not apply the last one
	Uptime        float64         `json:"uptime"`                 // seconds
	ClockTrusted  bool            `json:"clock_trusted"`
	Now           time.Time       `json:"now"`
	// Connection names the one by which it speaks: the id of the server, a slash and the
	// number of the client there. What went out by another is handed out again.
	Connection string `json:"connection,omitempty"`
	// Missed: the server that it pulls from has fallen silent, with what it had on the way.
	Missed bool `json:"missed,omitempty"`
}

// HelloAnswer is what the hub wants of a gateway.
type HelloAnswer struct {
	Name          string         `json:"name"`
	Title         string         `json:"title,omitempty"`
	Group         string         `json:"group,omitempty"`
	Disabled      bool           `json:"disabled,omitempty"` // take nothing more; what is stored waits
	Epoch         int64          `json:"epoch"`              // the lease: messages of older ones are not sent
	Lease         float64        `json:"lease,omitempty"`    // seconds without the hub after which its messages are not sent; 0: never
	Window        int            `json:"window"`
	Now           time.Time      `json:"now"`
	Configuration *Configuration `json:"configuration,omitempty"`  // a version that the gateway has not applied
	Consent       []Consent      `json:"consent,omitempty"`        // what came after the gateway's sequence, at most a thousand; ask again at once
	NewestConsent *int64         `json:"newest_consent,omitempty"` // the hub's last; behind the gateway's, it was restored from a backup, and all is asked anew
	PublicURL     string         `json:"public_url,omitempty"`     // of the hub; "": it has none, and files have no links
	Pull          string         `json:"pull,omitempty"`           // "": by its consumer; "request": by PullSubject
}

// Configuration is what a hub sets on a gateway: what people set on the gateway's own
// setup page, and a few rules more. nil: it is left as it is.
type Configuration struct {
	Version       int64           `json:"version"`
	DefaultRegion *string         `json:"default_region,omitempty"`
	Name          *string         `json:"name,omitempty"`
	AlarmsSMSTo   *[]string       `json:"alarms_sms_to,omitempty"`
	AlarmsMailTo  *[]string       `json:"alarms_mail_to,omitempty"`
	ChatRules     json.RawMessage `json:"chat_rules,omitempty"` // as PUT /v1/chat/rules
}

// WhoRequest asks which numbers have an inbox; WhoAnswer tells, in the same order.
type WhoRequest struct {
	Numbers []string `json:"numbers"`
}

// WhoAnswer is the answer to it.
type WhoAnswer struct {
	People []Presence `json:"people"`
}

// Presence is whether a number can be reached by internet.
type Presence struct {
	Inbox  bool `json:"inbox"`  // it has a verified one
	Online bool `json:"online"` // and is looking at it
}

// PullRequest is the pull of a gateway that has no consumer: the hub reads the stream for
// it. Have are the sequences that it has stored since it asked last.
type PullRequest struct {
	Have []uint64 `json:"have,omitempty"`
	Free int      `json:"free"` // how many it can take
	Wait float64  `json:"wait"` // seconds that it waits for the first
}

// PullAnswer is the answer to it.
type PullAnswer struct {
	Items []Pulled `json:"items"`
}

// Pulled is an item with its place in the stream.
type Pulled struct {
	Seq  uint64          `json:"seq"`
	Item json.RawMessage `json:"item"`
}

// CommandRequest is what a hub asks a gateway at once; one field is set.
type CommandRequest struct {
	Cancel string `json:"cancel,omitempty"` // the id of a message
	Mirror *Slice `json:"mirror,omitempty"` // its mirrored slots
	Reset  string `json:"reset,omitempty"`  // the name of a modem
	USSD   *USSD  `json:"ussd,omitempty"`
}

// USSD is a step of a session on a modem.
type USSD struct {
	Modem string   `json:"modem"`
	Step  sms.USSD `json:"step"`
}

// Slice asks for mirrored messages with an id behind After, at most Limit.
type Slice struct {
	After string `json:"after,omitempty"`
	Limit int    `json:"limit"`
}

// CommandAnswer is the answer to a command.
type CommandAnswer struct {
	Error  string          `json:"error,omitempty"` // in words; "": it is done
	Status sms.Status      `json:"status,omitempty"`
	USSD   json.RawMessage `json:"ussd,omitempty"` // sms.USSDAnswer
	Newest int64           `json:"newest"`         // of the event log, when it was asked
	Slots  []Slot          `json:"slots,omitempty"`
	More   bool            `json:"more,omitempty"`
}

// Slot is one mirrored message as its holder has it.
type Slot struct {
	ID        string        `json:"id"`
	Direction sms.Direction `json:"direction"`
	Address   int           `json:"address"` // at the hub; -1: not told yet
	Mirror    int           `json:"mirror"`  // at the gateway; -1: its slot is used again
	Status    sms.Status    `json:"status"`  // "": the message is forgotten
	Epoch     int64         `json:"epoch,omitempty"`
}
