package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/viper"
)

// Alarms say when there is an alarm, and who is told of it beside the webhooks.
type Alarms struct {
	SMSTo          []string
	MailTo         []string
	MinSeverity    string        // SeverityWarning or SeverityCritical
	Repeat         time.Duration // of one that goes on; 0: never
	MaxPerHour     int           // messages to each receiver
	QueueAge       time.Duration // of the oldest message that could go
	WebhookFailing time.Duration
	FailureRate    int           // per cent of an hour's parts
	BackupAge      time.Duration // of the last backup; 0: never
}

// The least severity of alarms that people are told of.
const (
	SeverityWarning  = "warning"
	SeverityCritical = "critical"
)

// Heartbeat is the dead-man signal.
type Heartbeat struct {
	URL          Secret // "": none
	Method       string // GET or POST
	AllowPrivate bool   // plain HTTP, and addresses of this host or the LAN
}

func alarmFields(c *Config) []field {
	a, h := &c.Alarms, &c.Heartbeat
	return []field{
		{path: "alarms.min_severity", def: SeverityWarning, read: oneOf(&a.MinSeverity, SeverityWarning, SeverityCritical)},
		{path: "alarms.repeat", def: "24h", read: durationOrNone(&a.Repeat, time.Hour, maxEvery)},
		{path: "alarms.max_per_hour", def: "10", read: number(&a.MaxPerHour, 1, 60)},
		{path: "alarms.queue_age", def: "15m", read: duration(&a.QueueAge, time.Minute, maxWait)},
		{path: "alarms.webhook_failing", def: "15m", read: duration(&a.WebhookFailing, time.Minute, maxWait)},
		{path: "alarms.failure_rate", def: "50", read: number(&a.FailureRate, 1, 100)},
		{path: "alarms.backup_age", def: "72h", read: durationOrNone(&a.BackupAge, time.Hour, maxEvery)},
		// Its path is the only secret of many a service.
		{path: "heartbeat_url", read: optional(webAddress(&h.URL)), secret: true},
		{path: "heartbeat_method", def: "GET", read: oneOf(&h.Method, "GET", "POST")},
		{path: "heartbeat_allow_private", def: "false", read: boolean(&h.AllowPrivate)},
	}
}

func webAddress(p *Secret) func(string) error {
	return func(raw string) error {
		u, err := url.Parse(raw)
		if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
			return errors.New("an address such as https://hc.example.org/ping/0f3b")
		}
		*p = Secret(raw)
		return nil
	}
}

// texts reads a list, each of its entries by the same rule.
func (l *loader) texts(v *viper.Viper, key string, rule func(*string) func(string) error) (all []string) {
	list, _ := v.Get(key).([]any)
	for i := range list {
		word, _ := list[i].(string)
		var one string
		if err := rule(&one)(word); err != nil {
			l.fail(fmt.Sprintf("%s[%d]", key, i), word, err.Error())
			continue
		}
		all = append(all, one)
	}
	return all
}

// alarms checks what no key of the alarms can be blamed for alone.
func (l *loader) alarms() {
	if len(l.c.Alarms.MailTo) > 0 && l.c.Mail.Host == "" {
		l.fail("alarms.mail_to", "", "an e-mail needs a mail server: set mail.host and mail.from")
	}
	if strings.HasPrefix(l.c.Heartbeat.URL.Reveal(), "http:") && !l.c.Heartbeat.AllowPrivate {
		l.fail("heartbeat_url", "", "https is expected; plain http needs heartbeat_allow_private: true")
	}
}
