package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"gatewayd/mail"
)

// mailbox is the mailbox of a real SMTP server.
type mailbox chan string

func (b mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return b, nil }
func (b mailbox) Mail(string, *smtp.MailOptions) error        { return nil }
func (b mailbox) Reset()                                      {}
func (b mailbox) Logout() error                               { return nil }
func (b mailbox) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody") {
		return &smtp.SMTPError{Code: 550, Message: "no such user"}
	}
	return nil
}

func (b mailbox) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	b <- string(raw)
	return err
}

// An alarm is an e-mail that a real server takes, and a test says what a real server
// said.
func TestAlarmsThroughARealMailServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box := make(mailbox, 10)
	server := smtp.NewServer(box)
	server.Domain = "localhost"
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	sender, err := mail.New(mail.Options{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, TLS: mail.None, From: "Box <sms@example.org>"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g, err := New(ctx, Options{DataDir: t.TempDir(), Mail: sender.Send, Alarms: AlarmOptions{
		Notices: Notices{Mail: []string{"on-call@example.org", "nobody@example.org"}, Collect: 10 * time.Millisecond},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- g.Run(ctx) }()
	got := g.TestAlarms(ctx)
	if len(got) != 2 || !got[0].OK || got[1].OK || !strings.Contains(got[1].Result, "no such user") {
		t.Errorf("%+v", got)
	}
	if raw := <-box; !strings.Contains(raw, "To: <on-call@example.org>") || !strings.Contains(raw, "Subject: gatewayd: a test") {
		t.Error(raw)
	}
	g.alarms.begin(topUpDue, "", "The power supply is too weak", "Use another.")
	if raw := <-box; !strings.Contains(raw, "Subject: gatewayd: Alarm: The power supply is too weak") || !strings.Contains(raw, "Use another.") || !strings.Contains(raw, "Message-ID: <alarm-") {
		t.Error(raw)
	}
	stop()
	if err := errors.Join(<-ran, server.Close()); err != nil {
		t.Error(err)
	}
	<-done
}
