// Package standin answers in the place of api.twilio.com, for programs whose
// Twilio address can't be changed. Such a program is told of a proxy (CONNECT),
// or the name is made to lead here; and it trusts an authority that this gateway
// made, and that can vouch for that one name only.
package standin

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Host is the one name that is answered for.
const Host = "api.twilio.com"

// prefix is what of the gateway is reached this way.
const prefix = "/2010-04-01/"

var everyAddress = []*net.IPNet{
	{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
	{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
}

// Options are what New needs.
type Options struct {
	Dir     string       // where the authority is kept
	Handler http.Handler // the Twilio-compatible API
	// Proxy takes CONNECT, TLS takes TLS at once; nil: not wanted.
	Proxy, TLS net.Listener
	Now        func() time.Time // nil: time.Now
	Log        *slog.Logger     // nil: nothing is logged
}

// StandIn is what answers.
type StandIn struct {
	o         Options
	authority *authority
	tls       *tls.Config
}

// New opens the authority in Dir, which it makes when there is none.
func New(o Options) (*StandIn, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	a, err := openAuthority(o.Dir, o.Now)
	if err != nil {
		return nil, fmt.Errorf("the certificate for %s: %w", Host, err)
	}
	s := &StandIn{o: o, authority: a}
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: a.present}
	return s, nil
}

// Authority is the certificate that clients must trust, as PEM.
func (s *StandIn) Authority() []byte { return s.authority.pem }

// Run serves until ctx ends.
func (s *StandIn) Run(ctx context.Context) error {
	tunnels := &queueListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	inner := s.server(http.HandlerFunc(s.serve))
	proxy := s.server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.connect(w, r, tunnels) }))
	failed := make(chan error, 3)
	var running sync.WaitGroup
	start := func(server *http.Server, l net.Listener) {
		running.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	start(inner, tls.NewListener(tunnels, s.tls))
	if s.o.TLS != nil {
		start(inner, tls.NewListener(s.o.TLS, s.tls))
	}
	if s.o.Proxy != nil {
		start(proxy, s.o.Proxy)
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), lastRequests)
	defer done()
	for _, server := range []*http.Server{proxy, inner} {
		if server.Shutdown(stop) != nil {
			server.Close()
		}
	}
	running.Wait()
	return err
}

// The limits of the gateway's own server.
const (
	readHeader   = 10 * time.Second
	readAll      = 30 * time.Second
	idle         = 2 * time.Minute
	maxHeader    = 16 << 10
	lastRequests = 4 * time.Second
)

func (s *StandIn) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: readHeader, ReadTimeout: readAll, WriteTimeout: readAll, IdleTimeout: idle, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
}

// serve hands on what belongs to the Twilio API; the rest of the gateway is not
// reached this way.
func (s *StandIn) serve(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, prefix) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"code":20404,"message":"gatewayd answers here in the place of `+Host+`, and serves `+prefix+`Accounts/…/Messages","more_info":null,"status":404}`+"\n")
		return
	}
	s.o.Handler.ServeHTTP(w, r)
}

// connect opens a tunnel, whose other end is here.
func (s *StandIn) connect(w http.ResponseWriter, r *http.Request, tunnels *queueListener) {
	if r.Method != http.MethodConnect || !strings.EqualFold(r.Host, Host+":443") {
		http.Error(w, "gatewayd's proxy leads to "+Host+":443 only, by CONNECT; set it for the program that sends texts, not for all of the machine", http.StatusForbidden)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "no tunnel can be opened on this connection", http.StatusInternalServerError)
		return
	}
	// The deadlines were those of the request.
	err = conn.SetDeadline(time.Time{})
	if err == nil {
		_, err = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	}
	if err != nil {
		conn.Close()
		return
	}
	tunnels.put(&tunnel{Conn: conn, r: buffered})
}

// tunnel is a connection of which the beginning may have been read already.
type tunnel struct {
	net.Conn
	r io.Reader
}

func (t *tunnel) Read(b []byte) (int, error) { return t.r.Read(b) }

// queueListener gives a server the connections that are put into it.
type queueListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *queueListener) put(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.closed:
		c.Close()
	}
}

func (l *queueListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *queueListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *queueListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }
