package mail

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"mime"
	"net"
	stdmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"mime/quotedprintable"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// server is a real SMTP server with a mailbox.
type server struct {
	t        *testing.T
	mu       sync.Mutex
	mails    []letter
	password string                 // "": nobody need sign in
	rcpt     func(to string) error  // nil: all are welcome
	data     func(raw []byte) error // nil: all is taken
	hang     chan struct{}          // not nil: DATA waits for it
	listener net.Listener
	config   *tls.Config
	roots    *x509.CertPool
}

type letter struct {
	from string
	to   []string
	raw  []byte
	user string
	tls  bool
}

func newServer(t *testing.T, implicit bool, change func(*server)) *server {
	s := &server{t: t}
	s.certificate()
	if change != nil {
		change(s)
	}
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	real := smtp.NewServer(s)
	real.Domain, real.AllowInsecureAuth = "localhost", false
	real.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	l := s.listener
	if implicit {
		l = tls.NewListener(l, s.config)
	} else {
		real.TLSConfig = s.config
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = real.Serve(l)
	}()
	t.Cleanup(func() {
		real.Close()
		l.Close() // Serve may not have told the server of it yet
		<-done
	})
	return s
}

func (s *server) certificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.config = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.roots = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	s.roots.AddCert(parsed)
}

func (s *server) sender(change func(*Options)) *Sender {
	s.t.Helper()
	o := Options{Host: "localhost", Port: s.listener.Addr().(*net.TCPAddr).Port, TLS: StartTLS, From: "Gateway <sms@example.org>", Roots: s.roots, Timeout: 5 * time.Second}
	if change != nil {
		change(&o)
	}
	sender, err := New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return sender
}

func (s *server) got() []letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]letter{}, s.mails...)
}

// NewSession makes s an smtp.Backend.
func (s *server) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, secured := c.TLSConnectionState()
	return &session{s: s, letter: letter{tls: secured}}, nil
}

type session struct {
	s *server
	letter
}

func (x *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (x *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != x.s.password {
			return &smtp.SMTPError{Code: 535, Message: "wrong password"}
		}
		x.user = user
		return nil
	}), nil
}

func (x *session) Mail(from string, _ *smtp.MailOptions) error {
	if x.s.password != "" && x.user == "" {
		return &smtp.SMTPError{Code: 530, Message: "sign in first"}
	}
	x.from = from
	return nil
}

func (x *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if x.s.rcpt != nil {
		if err := x.s.rcpt(to); err != nil {
			return err
		}
	}
	x.to = append(x.to, to)
	return nil
}

func (x *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if x.s.hang != nil {
		<-x.s.hang
	}
	if x.s.data != nil {
		if err := x.s.data(b); err != nil {
			return err
		}
	}
	x.raw = b
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.mails = append(x.s.mails, x.letter)
	return nil
}

func (x *session) Reset()        { x.from, x.to = "", nil }
func (x *session) Logout() error { return nil }

func body(t *testing.T, raw []byte) (*stdmail.Message, string) {
	t.Helper()
	m, err := stdmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m, strings.TrimSpace(strings.ReplaceAll(string(b), "\r\n", "\n"))
}

func TestMailArrives(t *testing.T) {
	at := time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		implicit bool
		change   func(*Options)
		secured  bool
	}{
		"starttls": {false, nil, true},
		"tls":      {true, func(o *Options) { o.TLS = TLS }, true},
		"none":     {false, func(o *Options) { o.TLS, o.Username = None, "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, c.implicit, func(s *server) {
				if c.secured {
					s.password = "swordfish"
				}
			})
			sender := s.sender(func(o *Options) {
				o.Username, o.Password, o.Now = "gateway", "swordfish", func() time.Time { return at }
				if c.change != nil {
					c.change(o)
				}
			})
			for range 2 { // the second is a repetition
				if err := sender.Send(t.Context(), []string{"a@example.org", "b@example.org"}, "SMS from +49170 – „Grüße“", "Zeile 1 …\n.\nZeile 3 🎈", "whd_01KB"); err != nil {
					t.Fatal(err)
				}
			}
			all := s.got()
			if len(all) != 2 {
				t.Fatalf("%d mails", len(all))
			}
			l := all[0]
			m, text := body(t, l.raw)
			subject, _ := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if l.from != "sms@example.org" || len(l.to) != 2 || l.tls != c.secured || subject != "SMS from +49170 – „Grüße“" || text != "Zeile 1 …\n.\nZeile 3 🎈" {
				t.Errorf("%+v: %q, %q", l, subject, text)
			}
			if d, err := m.Header.Date(); err != nil || !d.Equal(at) {
				t.Errorf("date %v, %v", d, err)
			}
			again, _ := body(t, all[1].raw)
			if id := m.Header.Get("Message-Id"); id != "<whd_01KB@example.org>" || again.Header.Get("Message-Id") != id {
				t.Errorf("ids %q and %q", id, again.Header.Get("Message-Id"))
			}
			if m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("From") != `"Gateway" <sms@example.org>` {
				t.Errorf("headers %v", m.Header)
			}
		})
	}
}

func TestNothingBecomesAHeader(t *testing.T) {
	s := newServer(t, false, nil)
	sender := s.sender(nil)
	for _, evil := range []string{"a\r\nBcc: evil@example.org", "a\nBcc: evil@example.org\n\nbody", "a\rBcc: evil@example.org", "a\u0085Bcc: evil@example.org", "a\u2028Bcc: x", "=?utf-8?q?a=0D=0ABcc:_evil?=", "a\x00b", "\xff\xfe", strings.Repeat("long ", 500)} {
		if err := sender.Send(t.Context(), []string{"a@example.org"}, evil, evil, evil); err != nil {
			t.Fatalf("%q: %v", evil, err)
		}
		all := s.got()
		m, _ := body(t, all[len(all)-1].raw)
		if m.Header.Get("Bcc") != "" || len(all[len(all)-1].to) != 1 || len(m.Header["Subject"]) != 1 || len(m.Header["Message-Id"]) != 1 {
			t.Errorf("%q became %v", evil, m.Header)
		}
	}
	for _, to := range [][]string{nil, {""}, {"nobody"}, {"a@example.org>\r\nRCPT TO:<evil@example.org"}, {"a@example.org\r\nBcc: evil@example.org"}} {
		var e *Error
		if err := sender.Send(t.Context(), to, "a", "b", "c"); !errors.As(err, &e) || !e.Permanent() {
			t.Errorf("%q: %v", to, err)
		}
	}
}

func TestPermanentAndTemporary(t *testing.T) {
	reply := func(code int) error { return &smtp.SMTPError{Code: code, Message: "no"} }
	for name, c := range map[string]struct {
		change    func(*server)
		options   func(*Options)
		permanent bool
		code      int
	}{
		"unknown recipient":   {change: func(s *server) { s.rcpt = func(string) error { return reply(550) } }, permanent: true, code: 550},
		"busy recipient":      {change: func(s *server) { s.rcpt = func(string) error { return reply(450) } }, code: 450},
		"refused text":        {change: func(s *server) { s.data = func([]byte) error { return reply(554) } }, permanent: true, code: 554},
		"greylisted text":     {change: func(s *server) { s.data = func([]byte) error { return reply(451) } }, code: 451},
		"wrong password":      {change: func(s *server) { s.password = "a" }, options: func(o *Options) { o.Username, o.Password = "u", "b" }},
		"no password":         {change: func(s *server) { s.password = "a" }, permanent: true, code: 530},
		"nobody there":        {options: func(o *Options) { o.Port = 1 }},
		"foreign certificate": {options: func(o *Options) { o.Roots = x509.NewCertPool() }},
		"no TLS there":        {change: func(s *server) { s.config = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, false, c.change)
			err := s.sender(c.options).Send(t.Context(), []string{"a@example.org"}, "x", "y", "z")
			var e *Error
			if !errors.As(err, &e) || e.Permanent() != c.permanent || e.Code != c.code {
				t.Errorf("%v", err)
			}
			if len(s.got()) != 0 {
				t.Error("it arrived all the same")
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has lines: %q", err)
			}
		})
	}
}

// One address that is gone keeps the mail from nobody else.
func TestOneDeadAddress(t *testing.T) {
	s := newServer(t, false, func(s *server) {
		s.rcpt = func(to string) error {
			if to == "dead@example.org" {
				return &smtp.SMTPError{Code: 550, Message: "no such user"}
			}
			return nil
		}
	})
	if err := s.sender(nil).Send(t.Context(), []string{"a@example.org", "dead@example.org", "b@example.org"}, "x", "y", "z"); err != nil {
		t.Fatal(err)
	}
	all := s.got()
	if len(all) != 2 || all[0].to[0] != "a@example.org" || all[1].to[0] != "b@example.org" {
		t.Errorf("%+v", all)
	}
}

func TestSlowServersAreLeft(t *testing.T) {
	hang := make(chan struct{})
	s := newServer(t, false, func(s *server) { s.hang = hang })
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := s.sender(nil).Send(ctx, []string{"a@example.org"}, "x", "y", "z")
	var e *Error
	if !errors.As(err, &e) || e.Permanent() || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	// One that does not even greet.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	sender := s.sender(func(o *Options) { o.Port, o.Timeout = silent.Addr().(*net.TCPAddr).Port, 200*time.Millisecond })
	if err := sender.Send(t.Context(), []string{"a@example.org"}, "x", "y", "z"); !errors.As(err, &e) || e.Permanent() {
		t.Errorf("%v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{}, {Host: "h"}, {From: "a@b.c"}, {Host: "h", From: "nobody"}, {Host: "h", From: "a@b.c", TLS: "ssl"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
