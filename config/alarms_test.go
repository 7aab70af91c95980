package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestAlarms(t *testing.T) {
	c := mustLoad(t, `
mail: {host: smtp.example.org, from: sms@example.org}
alarms: {sms_to: [+491700000001, 12345], mail_to: [on-call@example.org, "Box <box@example.org>"], min_severity: critical}
heartbeat_url: https://hc.example.org/ping/0f3b
`)
	if a := c.Alarms; fmt.Sprint(a.SMSTo, a.MailTo) != "[+491700000001 12345] [on-call@example.org Box <box@example.org>]" || a.MinSeverity != SeverityCritical {
		t.Errorf("%+v", a)
	}
	if c.Heartbeat.URL.Reveal() != "https://hc.example.org/ping/0f3b" || strings.Contains(fmt.Sprintf("%+v", c), "0f3b") {
		t.Errorf("%+v", c.Heartbeat)
	}
	for content, want := range map[string]string{
		"alarms: {sms_to: [0170123]}\n":                    "alarms.sms_to[0]",
		"alarms: {mail_to: [a@b.example]}\n":               "alarms.mail_to: an e-mail needs a mail server",
		"alarms: {mail_to: [nobody], min_severity: low}\n": "alarms.min_severity",
		"alarms: {queue_age: 5s}\n":                        "alarms.queue_age",
		"alarms: {failure_rate: 101}\n":                    "alarms.failure_rate",
		"heartbeat_url: hc.example.org/hunter2\n":          "heartbeat_url",
		"heartbeat_url: http://hc.example.org/hunter2\n":   "heartbeat_allow_private: true",
	} {
		if _, err := load(t, content); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", content, err)
		}
	}
}
