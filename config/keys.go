package config

import (
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is one key: where it stands, its default, and the rule that reads its
// text. The rule's error says what is allowed.
type field struct {
	path   string
	def    string
	read   func(raw string) error
	secret bool
}

// scalarFields are the keys outside of lists. Each is an environment variable
// too.
func scalarFields(c *Config) []field {
	return append([]field{
		{path: "data_dir", def: "/var/lib/gatewayd", read: text(&c.DataDir)},
		{path: "default_region", read: region(&c.DefaultRegion)},
		{path: "http.listen", def: "127.0.0.1:8080", read: address(&c.HTTP.Listen)},
		{path: "http.tls.certificate", read: text(&c.HTTP.TLSCertificate)},
		{path: "http.tls.key", read: text(&c.HTTP.TLSKey)},
		{path: "http.lan.listen", read: optional(address(&c.HTTP.LAN.Listen))},
		{path: "http.lan.name", read: boxName(&c.HTTP.LAN.Name)},
		{path: "http.metrics_open", def: "false", read: boolean(&c.HTTP.MetricsOpen)},
		{path: "http.max_connections", def: "4096", read: number(&c.HTTP.MaxConnections, 16, 1_000_000)},
		{path: "http.trusted_proxies", read: networks(&c.HTTP.TrustedProxies)},
		{path: "http.allow_private_webhooks", def: "false", read: boolean(&c.HTTP.AllowPrivateWebhooks)},
		{path: "twilio.proxy_listen", read: optional(address(&c.Twilio.ProxyListen))},
		{path: "twilio.tls_listen", read: optional(address(&c.Twilio.TLSListen))},
		{path: "queue.outbound_capacity", def: "100000", read: number(&c.Queue.OutboundCapacity, 1, maxCapacity)},
		{path: "queue.inbound_capacity", def: "100000", read: number(&c.Queue.InboundCapacity, 1, maxCapacity)},
		{path: "queue.unconfirmed_wait", def: "2m", read: duration(&c.Queue.UnconfirmedWait, minWait, maxWait)},
		{path: "queue.report_wait", def: "24h", read: duration(&c.Queue.ReportWait, minWait, maxWait)},
		{path: "queue.assembly_wait", def: "24h", read: duration(&c.Queue.AssemblyWait, minWait, maxWait)},
		{path: "destinations.premium", def: "false", read: boolean(&c.Destinations.Premium)},
		{path: "disk.reserve", def: "64MB", read: size(&c.Disk.Reserve)},
		{path: "disk.ballast", def: "16MB", read: size(&c.Disk.Ballast)},
		{path: "clock.trust", def: TrustAuto, read: oneOf(&c.Clock.Trust, TrustAuto, TrustAlways)},
		{path: "history.keep", def: "8760h", read: duration(&c.History.Keep, minKeep, maxKeep)},
		// Its default is history.keep, which can be shorter than 8760h.
		{path: "history.keep_texts", read: duration(&c.History.KeepTexts, minKeep, maxKeep)},
		{path: "history.keep_reports", def: "17520h", read: duration(&c.History.KeepReports, minKeep, maxKeep)},
		{path: "history.keep_failed_webhooks", def: "720h", read: duration(&c.History.KeepFailedWebhooks, minKeep, maxKeep)},
		{path: "messages.unicode", def: Allow, read: oneOf(&c.Messages.Unicode, Allow, Transliterate, Reject)},
		{path: "modems.discover", def: "true", read: boolean(&c.Modems.Discover)},
		{path: "modems.calls", def: "hang-up", read: oneOf(&c.Modems.Calls, HangUp, Ring)},
		{path: "modems.canary.every", def: "0", read: durationOrNone(&c.Modems.CanaryEvery, minCanary, maxWait)},
		{path: "modems.canary.wait", def: "5m", read: duration(&c.Modems.CanaryWait, time.Minute, 24*time.Hour)},
	}, slices.Concat(consentFields(&c.Consent), chatFields(&c.Chat), mailFields(&c.Mail), alarmFields(c), logFields(&c.Log), hubFields(&c.Hub))...)
}

// Logging are the packages whose level can be set apart.
var Logging = []string{"api", "gateway", "hub", "link", "mail", "modem", "ports", "queue", "twilio", "webhook"}

func logFields(l *Log) []field {
	all := []field{{path: "log.level", def: "info", read: level(&l.Level)}}
	for _, name := range Logging {
		all = append(all, field{path: "log.levels." + name, read: func(raw string) error {
			var is slog.Level
			err := level(&is)(raw)
			if err == nil {
				if l.Levels == nil {
					l.Levels = map[string]slog.Level{}
				}
				l.Levels[name] = is
			}
			return err
		}})
	}
	return all
}

func level(to *slog.Level) func(string) error {
	return func(raw string) error {
		for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			if strings.EqualFold(raw, l.String()) {
				*to = l
				return nil
			}
		}
		return errors.New("one of debug, info, warn, error")
	}
}

// Limits of SIMs whose modem's entry sets none, or that have no entry: what
// networks let pass from a person, more or less.
const (
	DefaultMaxPerMinute = 15
	DefaultMaxPerDay    = 1000
)

// modemFields are the keys of one entry of modems.list.
func modemFields(m *Modem) []field {
	return []field{
		{path: "name", read: label(&m.Name)},
		{path: "port", read: device(&m.Port)},
		{path: "imei", read: digits(&m.IMEI, 15, 15, "the 15 digits of the modem's IMEI")},
		{path: "iccid", read: digits(&m.ICCID, 18, 20, "the 18 to 20 digits of the SIM's ICCID")},
		{path: "pin", read: pin(&m.PIN), secret: true},
		{path: "pin_file", read: text(&m.pinFile)},
		{path: "number", read: phone(&m.Number)},
		{path: "smsc", read: phone(&m.SMSC)},
		{path: "allow_roaming", def: "true", read: boolean(&m.AllowRoaming)},
		{path: "max_per_minute", def: strconv.Itoa(DefaultMaxPerMinute), read: number(&m.MaxPerMinute, 0, maxLimit)},
		{path: "max_per_day", def: strconv.Itoa(DefaultMaxPerDay), read: number(&m.MaxPerDay, 0, maxLimit)},
		{path: "max_per_month", def: "0", read: number(&m.MaxPerMonth, 0, maxLimit)},
		{path: "max_recipients_per_month", def: "0", read: number(&m.MaxRecipientsPerMonth, 0, maxLimit)},
		{path: "balance.code", read: ussdCode(&m.Balance.Code)},
		{path: "balance.pattern", read: pattern(&m.Balance.Pattern)},
		{path: "balance.every", def: "24h", read: duration(&m.Balance.Every, time.Hour, maxEvery)},
		{path: "balance.low", read: amount(&m.Balance.Low)},
		{path: "top_up.by", read: day(&m.TopUp.By)},
		{path: "top_up.warn", def: "336h", read: duration(&m.TopUp.Warn, time.Hour, maxEvery)},
		{path: "keep_alive.every", def: "720h", read: duration(&m.KeepAlive.Every, 24*time.Hour, maxEvery)},
		{path: "keep_alive.to", read: recipient(&m.KeepAlive.To)},
		{path: "keep_alive.text", read: text(&m.KeepAlive.Text)},
	}
}

// webhookFields are the keys of one entry of webhooks. Its events and headers are lists.
func webhookFields(w *Webhook) []field {
	return []field{
		{path: "name", read: label(&w.Name)},
		// A URL may carry a token, so it counts as a secret in error lines.
		{path: "url", read: link(&w.URL), secret: true},
		{path: "secret", read: signing(&w.Secret), secret: true},
		{path: "secret_file", read: text(&w.secretFile)},
		{path: "match.modem", read: text(&w.Match.Modem)},
		{path: "match.to", read: text(&w.Match.To)},
		{path: "match.from_prefix", read: text(&w.Match.FromPrefix)},
		{path: "match.keyword", read: word(&w.Match.Keyword)},
		{path: "stop", def: "false", read: boolean(&w.Stop)},
		{path: "allow_private", def: "false", read: boolean(&w.AllowPrivate)},
	}
}

// shape is what may stand at a place of the document.
type shape struct {
	keys  map[string]*shape // of a section, in the order of order
	order []string
	item  *shape // of a list
}

func (s *shape) leaf() bool { return s.keys == nil && s.item == nil }

func (s *shape) child(name string) *shape {
	if s.keys == nil {
		s.keys = map[string]*shape{}
	}
	c, ok := s.keys[name]
	if !ok {
		c = &shape{}
		s.keys[name] = c
		s.order = append(s.order, name)
	}
	return c
}

func (s *shape) at(path string) *shape {
	for _, name := range strings.Split(path, ".") {
		s = s.child(name)
	}
	return s
}

func section(fields []field) *shape {
	s := &shape{}
	for _, f := range fields {
		s.at(f.path)
	}
	return s
}

// document is the shape of the whole file.
func document() *shape {
	s := section(scalarFields(&Config{}))
	s.at("destinations.allow").item = &shape{}
	s.at("destinations.deny").item = &shape{}
	consentShape(s)
	s.at("alarms.sms_to").item = &shape{}
	s.at("alarms.mail_to").item = &shape{}
	s.at("modems.list").item = section(modemFields(&Modem{}))
	w := section(webhookFields(&Webhook{}))
	w.at("events").item = &shape{}
	w.at("headers").item = &shape{}
	s.at("webhooks").item = w
	hubShape(s)
	return s
}

// paths lists every key below s, lists with [] behind their name.
func (s *shape) paths(parent string) []string {
	if s.leaf() {
		return []string{parent}
	}
	var all []string
	for _, name := range s.order {
		all = append(all, s.keys[name].paths(join(parent, name))...)
	}
	if s.item != nil {
		all = append(all, s.item.paths(parent+"[]")...)
	}
	return all
}

// variable is the environment variable of a key.
func variable(path string) string {
	return "GATEWAYD_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}
