// Package mail hands e-mails to an SMTP server.
package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"
)

// How the connection to the server is encrypted.
const (
	StartTLS = "starttls" // from its beginning in the clear; never without
	TLS      = "tls"      // from its first byte
	None     = "none"     // not at all
)

// Options are what New needs: a server and who the e-mails are from.
type Options struct {
	Host     string
	Port     int    // 0: 587 for StartTLS, 465 for TLS, 25 for None
	TLS      string // "": StartTLS
	Username string // "": the server asks for none
	Password string
	From     string // "gatewayd <sms@example.org>" or the address alone

	Timeout time.Duration    // for all of one e-mail; 0: 30 s
	Now     func() time.Time // nil: time.Now
	Roots   *x509.CertPool   // nil: the system's
	Log     *slog.Logger     // nil: nothing is logged
}

// Sender sends e-mails. Each has a connection of its own: there are few, and a
// connection that is kept is one that may be gone.
type Sender struct {
	o    Options
	from *mail.Address
}

// New returns a sender. It does not ask the server yet.
func New(o Options) (*Sender, error) {
	from, err := mail.ParseAddress(o.From)
	if err != nil {
		return nil, fmt.Errorf("mail: from: %w", err)
	}
	if o.Host == "" {
		return nil, errors.New("mail: the server's host is missing")
	}
	o.TLS = cmp.Or(o.TLS, StartTLS)
	port, ok := map[string]int{StartTLS: 587, TLS: 465, None: 25}[o.TLS]
	if !ok {
		return nil, fmt.Errorf("mail: tls %q is none of starttls, tls, none", o.TLS)
	}
	o.Port, o.Timeout = cmp.Or(o.Port, port), cmp.Or(o.Timeout, 30*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Sender{o, from}, nil
}

// Error is an e-mail that was not handed over.
type Error struct {
	Code  int // the server's reply; 0: there was none
	cause error
}

func (e *Error) Error() string { return "e-mail: " + strings.ReplaceAll(e.cause.Error(), "\n", "; ") }
func (e *Error) Unwrap() error { return e.cause }

// Permanent reports that the server refused the e-mail for good: the same once
// more will not be taken either. What goes wrong before it has seen the e-mail,
// a wrong password too, is none: somebody will mend it.
func (e *Error) Permanent() bool { return e.Code >= 500 && e.Code < 600 }

// Send hands an e-mail to the server, for all that it is to or for none; but
// those that are refused for good keep it from nobody else. Its Message-ID is
// made of id alone, so that a repetition is known for one. The error is an
// *Error.
func (s *Sender) Send(ctx context.Context, to []string, subject, text, id string) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	err := s.send(ctx, to, subject, text, id)
	var refused *Error
	if len(to) < 2 || !errors.As(err, &refused) || !refused.Permanent() || !isRecipient(err) {
		return err
	}
	// Somebody is refused; the server says so before it takes the text.
	var last error
	taken := 0
	for _, one := range to {
		if err := s.send(ctx, []string{one}, subject, text, id); err != nil {
			last = err
		} else {
			taken++
		}
	}
	if taken == 0 {
		return last
	}
	s.o.Log.Warn("an e-mail reached some of its recipients only", "id", id, "recipients", len(to), "reached", taken, "error", last)
	return nil
}

func isRecipient(err error) bool {
	var sending *gomail.SendError
	return errors.As(err, &sending) && sending.Reason == gomail.ErrSMTPRcptTo
}

func (s *Sender) send(ctx context.Context, to []string, subject, text, id string) error {
	m, err := s.message(to, subject, text, id)
	if err != nil {
		return &Error{Code: 553, cause: err} // as a server would refuse it
	}
	client, err := s.client(ctx)
	if err != nil {
		return &Error{cause: err}
	}
	err = client.DialAndSendWithContext(ctx, m)
	if err == nil || m.IsDelivered() {
		return nil // what fails behind that changes nothing any more
	}
	failed := &Error{cause: err}
	if ctx.Err() != nil {
		failed.cause = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	var sending *gomail.SendError
	if errors.As(err, &sending) {
		failed.Code = sending.ErrorCode()
		if sending.Reason == gomail.ErrConnCheck || sending.Reason == gomail.ErrSMTPReset {
			failed.Code = 0
		}
	}
	return failed
}

// message writes an e-mail. Nothing of subject and text can become a header.
func (s *Sender) message(to []string, subject, text, id string) (*gomail.Msg, error) {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(s.from)
	addresses := make([]*mail.Address, len(to))
	for i, one := range to {
		a, err := mail.ParseAddress(one)
		if err != nil {
			return nil, fmt.Errorf("recipient: %w", err)
		}
		addresses[i] = a
	}
	if len(addresses) == 0 {
		return nil, errors.New("it has no recipient")
	}
	m.ToMailAddress(addresses...)
	m.Subject(line(subject))
	m.SetDateWithValue(s.o.Now())
	m.SetMessageIDWithValue(token(id) + "@" + s.from.Address[strings.LastIndexByte(s.from.Address, '@')+1:])
	m.SetGenHeader("Auto-Submitted", "auto-generated") // no out-of-office answers
	m.SetBodyString(gomail.TypeTextPlain, strings.ToValidUTF8(text, "�"))
	return m, nil
}

// line makes one line of a text, of a subject's length.
func line(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "�"), func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r)
	}), " ")
	const most = 200
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return s
}

// token leaves of an id what may stand in a Message-ID.
func token(id string) string {
	id = id[:min(len(id), 100)]
	return strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-.", r)) {
			return r
		}
		return '-'
	}, id)
}

func (s *Sender) client(ctx context.Context) (*gomail.Client, error) {
	config := &tls.Config{ServerName: s.o.Host, RootCAs: s.o.Roots, MinVersion: tls.VersionTLS12}
	policy := gomail.TLSMandatory
	switch s.o.TLS {
	case TLS:
		policy = gomail.TLSOpportunistic // there is no more to be asked for: it is on
	case None:
		policy = gomail.NoTLS
	}
	options := []gomail.Option{
		gomail.WithPort(s.o.Port), gomail.WithTimeout(s.o.Timeout), gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(config),
		gomail.WithDialContextFunc(func(dialing context.Context, network, address string) (net.Conn, error) {
			return s.dial(dialing, ctx, network, address, config)
		}),
	}
	if s.o.Username != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(s.o.Username), gomail.WithPassword(s.o.Password))
	}
	return gomail.NewClient(s.o.Host, options...)
}

// dial opens the connection, which ends with whole: what is read and written on
// it knows no context.
func (s *Sender) dial(dialing, whole context.Context, network, address string, config *tls.Config) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(dialing, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(whole, func() { c.Close() })
	if s.o.TLS != TLS {
		return c, nil
	}
	secured := tls.Client(c, config)
	if err := secured.HandshakeContext(dialing); err != nil {
		c.Close()
		return nil, err
	}
	return secured, nil
}
