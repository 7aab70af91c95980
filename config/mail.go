package config

import (
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"strings"
)

// Mail is the server that e-mails are handed to.
type Mail struct {
	Host     string // "": no e-mails
	Port     int    // 0: the usual one of TLS
	TLS      string // StartTLS, MailTLS or NoTLS
	Username string // "": the server asks for none
	Password Secret // from password or password_file
	From     string

	passwordFile string
}

// How the connection to the mail server is encrypted.
const (
	StartTLS = "starttls"
	MailTLS  = "tls"
	NoTLS    = "none"
)

func mailFields(m *Mail) []field {
	return []field{
		{path: "mail.host", read: host(&m.Host)},
		{path: "mail.port", def: "0", read: number(&m.Port, 0, 65535)},
		{path: "mail.tls", def: StartTLS, read: oneOf(&m.TLS, StartTLS, MailTLS, NoTLS)},
		{path: "mail.username", read: text(&m.Username)},
		{path: "mail.password", read: password(&m.Password), secret: true},
		{path: "mail.password_file", read: text(&m.passwordFile)},
		{path: "mail.from", read: mailAddress(&m.From)},
	}
}

func host(p *string) func(string) error {
	return func(raw string) error {
		if _, err := netip.ParseAddr(raw); err != nil && !hostName.MatchString(raw) {
			return errors.New("the name or the address of a host, such as smtp.example.org; its port is a key of its own")
		}
		*p = raw
		return nil
	}
}

func password(p *Secret) func(string) error {
	plain := ""
	return func(raw string) error {
		err := text(&plain)(raw)
		*p = Secret(plain)
		return err
	}
}

func mailAddress(p *string) func(string) error {
	return func(raw string) error {
		if _, err := mail.ParseAddress(raw); err != nil || strings.ContainsAny(raw, "\r\n") {
			return errors.New("an e-mail address, such as sms@example.org or Gateway <sms@example.org>")
		}
		*p = raw
		return nil
	}
}

// mail checks the mail server's keys against each other.
func (l *loader) mail() {
	m := &l.c.Mail
	if m.passwordFile != "" {
		if m.Password != "" {
			l.fail("mail.password_file", "", "password and password_file are both given; keep one")
		} else if raw, ok := l.secretFile("mail.password_file", &m.passwordFile); ok {
			if err := password(&m.Password)(raw); err != nil || raw == "" {
				l.fail("mail.password_file", m.passwordFile, "the file must hold the password alone, on one line")
			}
		}
	}
	if m.Host == "" {
		for i, w := range l.c.Webhooks {
			if strings.HasPrefix(strings.ToLower(w.URL), "mailto:") {
				l.fail(fmt.Sprintf("webhooks[%d].url", i), "", "an e-mail needs a mail server: set mail.host and mail.from")
			}
		}
		if m.Username != "" || m.Password != "" || m.From != "" {
			l.fail("mail.host", "", "the mail server's name is needed too, such as smtp.example.org")
		}
		return
	}
	if m.From == "" {
		l.fail("mail.from", "", "the address that e-mails come from is needed too")
	}
	switch {
	case m.Username != "" && m.Password == "" && m.passwordFile == "":
		l.fail("mail.password", "", "the password of mail.username is needed too; or password_file")
	case m.Username == "" && m.Password != "":
		l.fail("mail.username", "", "the user that the password belongs to is needed too")
	case m.Username != "" && m.TLS == NoTLS && !loopback(m.Host):
		l.fail("mail.tls", m.TLS, "starttls or tls: without, the password could be read on the way")
	}
	if m.TLS == NoTLS && !loopback(m.Host) {
		l.c.Warnings = append(l.c.Warnings, "mail.tls: none shows texts and numbers in e-mails to the network; use starttls or tls")
	}
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
