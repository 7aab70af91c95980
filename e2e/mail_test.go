//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// mailbox is a real SMTP server that takes everything, after a refusal.
type mailbox struct {
	mu    sync.Mutex
	tries int
	mails []string
	to    []string
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }
func (m *mailbox) Mail(string, *smtp.MailOptions) error        { return nil }
func (m *mailbox) Reset()                                      {}
func (m *mailbox) Logout() error                               { return nil }

func (m *mailbox) Rcpt(to string, _ *smtp.RcptOptions) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tries++; m.tries == 1 {
		return &smtp.SMTPError{Code: 451, Message: "try again later"}
	}
	m.to = append(m.to, to)
	return nil
}

func (m *mailbox) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mails = append(m.mails, string(b))
	return nil
}

func (m *mailbox) got() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.mails...)
}

// A text that comes in is told by e-mail, also when the mail server puts it off
// at first.
func TestTextByMail(t *testing.T) {
	box := &mailbox{}
	server := smtp.NewServer(box)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := newSite(t, 1, fast(), fmt.Sprintf("mail: {host: 127.0.0.1, port: %s, tls: none, from: Gateway <sms@example.org>}\n"+
		"webhooks: [{url: 'mailto:on-call@example.org', events: [message.received]}]\n", port))
	s.start()
	if err := s.net.Handset(phone).Send(s.modems[0].Number(), "Where are you?\r\nBcc: evil@example.org"); err != nil {
		t.Fatal(err)
	}
	s.eventually("the mail has come", 60*time.Second, func() bool { return len(box.got()) > 0 })
	mail := box.got()[0]
	head, body, _ := strings.Cut(mail, "\r\n\r\n")
	if !strings.Contains(head, "\r\nSubject: SMS from "+phone) || strings.Contains(head, "Bcc") || !strings.Contains(body, "Where are you?") || len(box.to) != 1 {
		t.Errorf("to %q came\n%s", box.to, mail)
	}
	s.eventually("the delivery is booked", 20*time.Second, func() bool {
		_, b := s.call(http.MethodGet, "/v1/webhooks/deliveries", "")
		return strings.Contains(string(b), `"status":"delivered"`)
	})
}
