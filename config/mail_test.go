package config

import (
	"strings"
	"testing"
)

func TestMail(t *testing.T) {
	file := write(t, "password", "correct horse\n", 0o600)
	c := mustLoad(t, "mail: {host: smtp.example.org, port: 2525, tls: tls, username: u, password_file: "+file+", from: 'Gateway <sms@example.org>'}\n")
	if m := c.Mail; m.Host != "smtp.example.org" || m.Port != 2525 || m.TLS != MailTLS || m.Username != "u" || m.Password.Reveal() != "correct horse" || m.From != "Gateway <sms@example.org>" {
		t.Errorf("%+v", m)
	}
	c = mustLoad(t, "mail: {host: 127.0.0.1, tls: none, username: u, password: p, from: a@b.example}\n")
	if len(c.Warnings) != 0 || !c.holdsSecrets() {
		t.Errorf("warnings %q, holds secrets: %v", c.Warnings, c.holdsSecrets())
	}
	if c := mustLoad(t, "mail: {host: mx.example.org, tls: none, from: a@b.example}\n"); len(c.Warnings) != 1 {
		t.Errorf("warnings %q", c.Warnings)
	}
	if _, err := load(t, "webhooks: [{url: 'mailto:a@b.example'}]\n"); err == nil || !strings.Contains(err.Error(), "webhooks[0].url: an e-mail needs a mail server") {
		t.Errorf("%v", err)
	}
	empty := write(t, "empty", "\n", 0o600)
	for content, want := range map[string][]string{
		"{host: 'smtp.example.org:25', from: nobody, port: 70000, tls: ssl}": {"mail.host", "mail.from", "mail.port", "mail.tls"},
		"{from: a@b.example}": {"mail.host"},
		"{host: h}":           {"mail.from"},
		"{host: h, from: a@b.example, username: u}":                                 {"mail.password"},
		"{host: h, from: a@b.example, password: hunter2}":                           {"mail.username"},
		"{host: h, from: a@b.example, username: u, password: hunter2, tls: none}":   {"mail.tls"},
		"{host: h, from: a@b.example, username: u, password: p, password_file: /x}": {"mail.password_file"},
		"{host: h, from: a@b.example, username: u, password_file: /no/such}":        {"mail.password_file"},
		"{host: h, from: a@b.example, username: u, password_file: " + empty + "}":   {"mail.password_file"},
		"{host: h, from: a@b.example, username: u, password: \"hunter2\\nsecond\"}": {"mail.password"},
	} {
		_, err := load(t, "mail: "+content+"\n")
		if err == nil {
			t.Errorf("%s was taken", content)
			continue
		}
		for _, key := range want {
			if !strings.Contains(err.Error(), key+":") {
				t.Errorf("%s: %v; want %s", content, err, key)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the password shows: %v", content, err)
		}
	}
}
