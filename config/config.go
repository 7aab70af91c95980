// Package config turns the configuration file and the environment into one
// struct and tells every mistake at once. It is the only importer of viper.
//
// A value stays the text that was written until its own rule reads it: YAML's
// guesses would turn the PIN 0012 into the number ten and drop the plus sign
// of a phone number.
package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/viper"

	numbers "gatewayd/sms/number"
)

// Config is a configuration that was checked.
type Config struct {
	DataDir       string
	DefaultRegion string // ISO 3166-1 alpha-2, "" none
	HTTP          HTTP
	Twilio        Twilio
	Queue         Queue
	Destinations  numbers.Rules // where messages may go, whoever sends them
	Disk          Disk
	Clock         Clock
	History       History
	Messages      Messages
	Consent       Consent
	Chat          Chat
	Modems        Modems
	Mail          Mail
	Alarms        Alarms
	Heartbeat     Heartbeat
	Hub           Hub
	Log           Log
	Webhooks      []Webhook
	// Warnings tell what is allowed and unwise, a line each.
	Warnings []string
}

// HTTP is how the API and the pages are served.
type HTTP struct {
	Listen         string
	TLSCertificate string // path, "" for plain HTTP
	TLSKey         string
	LAN            LAN
	MetricsOpen    bool // /metrics needs no key
	MaxConnections int
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	// AllowPrivateWebhooks lets webhooks that the API makes, and callback URLs, be
	// plain HTTP and addresses of this host or the LAN.
	AllowPrivateWebhooks bool
}

// LAN is how phones on the local network reach the pages: by TLS only, beside
// HTTP.Listen.
type LAN struct {
	Listen string // "": they don't
	Name   string // of the box, "": what its pages say; NoName: none
}

// NoName is the name of a box that is announced under none.
const NoName = "none"

// Twilio says where programs are answered that take the gateway for
// api.twilio.com; "" is nowhere.
type Twilio struct {
	ProxyListen string // by CONNECT
	TLSListen   string // by name
}

// Queue sets the two rings and their waits.
type Queue struct {
	OutboundCapacity int
	InboundCapacity  int
	UnconfirmedWait  time.Duration
	ReportWait       time.Duration
	AssemblyWait     time.Duration
}

// Disk is what is kept of the disk of DataDir for what was accepted, in bytes.
type Disk struct {
	Reserve int64 // free when something new is taken; 0: none
	Ballast int64 // a file that is given up when there is no other room; 0: none
}

// Clock says when the machine's clock is believed.
type Clock struct {
	Trust string // TrustAuto or TrustAlways
}

// When the machine's clock is believed.
const (
	TrustAuto   = "auto"   // when the kernel or the phone network says that it is right
	TrustAlways = "always" // it is right by itself
)

// Log is what is logged.
type Log struct {
	Level  slog.Level
	Levels map[string]slog.Level // by package, where it differs
}

// History is how long messages and their texts are kept.
type History struct {
	Keep      time.Duration
	KeepTexts time.Duration // never above Keep
	// KeepFailedWebhooks is how long a delivery that was given up is kept, and its event.
	KeepFailedWebhooks time.Duration
	KeepReports        time.Duration // the counts, which hold no number and no text
}

// Messages are the defaults of messages that say nothing else.
type Messages struct {
	Unicode string // Allow, Transliterate or Reject
}

// What becomes of texts that the GSM 7-bit alphabet lacks characters for.
const (
	Allow         = "allow"         // they are sent as Unicode
	Transliterate = "transliterate" // they are written in it, if that changes nothing of what they say
	Reject        = "reject"        // they are refused
)

// Modems says which modems are used.
type Modems struct {
	Discover    bool
	Calls       string        // HangUp or Ring
	CanaryEvery time.Duration // between test messages to each modem; 0: none
	CanaryWait  time.Duration // until one that has not arrived is lost
	List        []Modem
}

// What is done with incoming calls.
const (
	HangUp = "hang-up"
	Ring   = "ring"
)

// Modem is one modem; exactly one of Port, IMEI and ICCID finds it.
type Modem struct {
	Name                  string
	Port                  string
	IMEI                  string
	ICCID                 string
	PIN                   Secret // from pin or pin_file
	Number                string // E.164, "" unknown
	SMSC                  string // E.164 of the service centre, "": the SIM's
	AllowRoaming          bool
	MaxPerMinute          int // 0: no limit, as in the three below
	MaxPerDay             int
	MaxPerMonth           int
	MaxRecipientsPerMonth int
	Balance               Balance
	TopUp                 TopUp
	KeepAlive             KeepAlive

	pinFile string
}

// Balance says how a prepaid SIM's balance is asked for.
type Balance struct {
	Code    string // USSD; "": it is not
	Pattern string // with one group: the amount; "": the first number
	Every   time.Duration
	Low     string // a decimal number, "" no mark
}

// TopUp is the day by which a prepaid SIM must be topped up.
type TopUp struct {
	By   time.Time     // zero: none
	Warn time.Duration // so long before
}

// KeepAlive is a text that is sent every so often, so that the operator does
// not take the SIM for unused.
type KeepAlive struct {
	Every time.Duration
	To    string // "": none is sent
	Text  string
}

// Webhook is one receiver of events.
type Webhook struct {
	Name   string // "" for one that has no name of its own
	URL    string
	Secret Secret // one whsec_ secret, or several separated by a space
	Events []string
	Match  Match
	Stop   bool // what this one gets goes to no later one
	// Headers are added to each request.
	Headers map[string]Secret
	// AllowPrivate lets plain HTTP and addresses of this host or the LAN be used.
	AllowPrivate bool

	secretFile string
}

// Match narrows the received messages that a webhook gets; empty is any.
type Match struct {
	Modem      string
	To         string
	FromPrefix string
	Keyword    string
}

// Secret is a text that prints as "(hidden)".
type Secret string

func (Secret) String() string { return "(hidden)" }

// GoString hides it from %#v too.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides it from JSON and from structured logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal is the secret itself.
func (s Secret) Reveal() string { return string(s) }

// maxFile bounds the configuration file; a thousand modems fit.
const maxFile = 1 << 20

// Load reads the configuration file at path, "" for none, and lays the
// GATEWAYD_… variables of env (as os.Environ gives them) over it. Its error is
// an Errors.
func Load(path string, env []string) (*Config, error) {
	if path == "" {
		return parse("", nil, env)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, Errors{{Allowed: fmt.Sprintf("the configuration file can't be read: %v", err)}}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, Errors{{Allowed: fmt.Sprintf("the configuration file can't be read: %v", err)}}
	}
	if len(data) > maxFile {
		return nil, Errors{{Allowed: fmt.Sprintf("the configuration file %s is larger than 1 MiB", path)}}
	}
	c, err := parse(path, data, env)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && c.holdsSecrets() && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf(
			"%s holds a PIN, a password or a webhook secret and others on this machine may read it (mode %04o): chmod o= it, or move the secret to a file of its own",
			path, info.Mode().Perm()))
	}
	return c, nil
}

// holdsSecrets reports whether a secret stands in the configuration itself.
func (c *Config) holdsSecrets() bool {
	for _, m := range c.Modems.List {
		if m.PIN != "" && m.pinFile == "" {
			return true
		}
	}
	for _, w := range c.Webhooks {
		if w.Secret != "" && w.secretFile == "" || len(w.Headers) > 0 {
			return true
		}
	}
	if c.Heartbeat.URL != "" {
		return true
	}
	return c.Mail.Password != "" && c.Mail.passwordFile == ""
}

// parse does the work of Load on a file's content.
func parse(path string, data []byte, env []string) (*Config, error) {
	l := &loader{c: &Config{}, lines: map[string]int{}, dir: "."}
	if path != "" {
		l.dir = filepath.Dir(path)
	}
	v := viper.NewWithOptions(viper.WithDecoderRegistry(l))
	v.SetConfigType("yaml")
	if err := v.ReadConfig(newReader(data)); err != nil {
		return nil, Errors{l.syntaxError(path, err)}
	}
	l.environment(v, env)
	l.scalars(v)
	l.lists(v)
	l.together()
	if len(l.errs) > 0 {
		return nil, l.errs.sorted()
	}
	return l.c, nil
}
