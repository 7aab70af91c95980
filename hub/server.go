package hub

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
)

// patience is for handshakes: over a link with two seconds each way one takes ten.
const patience = 20 * time.Second

// What waits for the disk in front of a stream, at most; what comes more is refused, and
// its gateway tells it later. NATS takes all that waits at once and puts it on the disk
// before it sends anything out of that stream, confirmations above all: with the hundred
// thousand that it holds if it is told nothing, gateways wait in vain and tell all again.
const (
	bufferedMessages = 5_000
	bufferedBytes    = 64 << 20
)

// startServer runs NATS in this process, on the disk of the data directory.
func startServer(o Options, k keys, revoked []string) (*server.Server, *server.MemAccResolver, error) {
	operator, _, err := k.operatorClaims()
	if err != nil {
		return nil, nil, err
	}
	resolver := &server.MemAccResolver{}
	_, account, err := k.accountClaims(revoked)
	if err != nil {
		return nil, nil, err
	}
	system, err := k.systemClaims()
	if err != nil {
		return nil, nil, err
	}
	_ = resolver.Store(public(k.account), account) // into memory
	_ = resolver.Store(public(k.system), system)
	dir := filepath.Join(o.DataDir, "nats")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	opts := &server.Options{
		ServerName: "gatewayd", NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncAlways: true, // a message that is acknowledged is on disk
		JetStreamMaxMemory: 64 << 20, DisableJetStreamBanner: true,
		StreamMaxBufferedMsgs: bufferedMessages, StreamMaxBufferedSize: bufferedBytes,
		TrustedOperators: []*jwt.OperatorClaims{operator}, SystemAccount: public(k.system), AccountResolver: resolver,
		PingInterval: 20 * time.Second, MaxPingsOut: 2, TLSTimeout: patience.Seconds(), AuthTimeout: patience.Seconds(), MaxClosedClients: 100,
	}
	// What a gateway is told of other addresses would lead it round its way through NAT or a proxy.
	opts.Cluster.NoAdvertise = true
	if opts.Host, opts.Port, err = split(o.Listen); err != nil {
		return nil, nil, fmt.Errorf("hub.listen: %w", err)
	}
	if o.Certificate != "" {
		c, err := openCertificate(o.Certificate, o.Key)
		if err != nil {
			return nil, nil, fmt.Errorf("hub.tls: %w", err)
		}
		opts.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	}
	if o.WebSocket != "" {
		w := &opts.Websocket
		if w.Host, w.Port, err = split(o.WebSocket); err != nil {
			return nil, nil, fmt.Errorf("hub.websocket.listen: %w", err)
		}
		w.TLSConfig, w.NoTLS, w.HandshakeTimeout, w.AuthTimeout = opts.TLSConfig, opts.TLSConfig == nil, patience, patience.Seconds()
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, nil, fmt.Errorf("NATS: %w", err)
	}
	lines := &serverLog{log: o.Log}
	s.SetLoggerV2(lines, o.Log.Enabled(context.Background(), slog.LevelDebug), false, false)
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return nil, nil, fmt.Errorf("hub.listen: %s can't be listened on: %s", o.Listen, lines.worst())
	}
	return s, resolver, nil
}

// lastStop is how long NATS has to stop.
const lastStop = 5 * time.Second

// stopServer ends NATS, or leaves it when that takes too long: it stops its consumers one
// after the other and waits ten milliseconds or more for each, which with a thousand is
// longer than a process has to end. First of all it hands out nothing more, and what a
// consumer knows is on the disk a tenth of a second later, so nothing is left to be lost.
func (h *Hub) stopServer() {
	done := make(chan struct{})
	go func() {
		h.server.Shutdown()
		h.server.WaitForShutdown()
		close(done)
	}()
	late := time.NewTimer(h.lastStop)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		h.log.Info("NATS is not through with stopping its consumers, and is left at that; all they know is on the disk", "after", h.lastStop)
	}
}

// split reads an address to listen on; port 0 is any.
func split(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(text); err == nil && port == 0 {
		port = server.RANDOM_PORT
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return host, port, err
}

// serverLog are the lines of the server in ours. What one connection does is for debugging:
// a gateway whose credentials are revoked tries again for ever.
type serverLog struct {
	log  *slog.Logger
	mu   sync.Mutex
	last string
}

func (l *serverLog) say(level slog.Level, format string, v []any) {
	line := fmt.Sprintf(format, v...)
	if level > slog.LevelDebug {
		l.mu.Lock()
		l.last = line
		l.mu.Unlock()
	}
	if strings.HasPrefix(line, "Websocket not configured with TLS") { // the configuration allows it on this machine alone
		level = slog.LevelDebug
	}
	if strings.HasPrefix(line, "Dropping messages due to excessive stream ingest rate") { // they are refused, and told later
		level = slog.LevelDebug
	}
	if strings.Contains(line, " - cid:") || strings.Contains(line, " - wid:") {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "NATS: "+line)
}

func (l *serverLog) worst() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *serverLog) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.say(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(string, ...any)           {} // it holds texts
func (l *serverLog) Warnf(format string, v ...any)   { l.say(slog.LevelWarn, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.say(slog.LevelWarn, format, v) }
func (l *serverLog) Fatalf(format string, v ...any)  { l.say(slog.LevelError, format, v) }

// certificate is read anew when its file has changed, as whoever renews it expects.
type certificate struct {
	file, key string
	mu        sync.Mutex
	is        *tls.Certificate
	changed   time.Time
	looked    time.Time
}

// lookEvery is how often the file is looked at, at most.
const lookEvery = 10 * time.Second

func openCertificate(file, key string) (*certificate, error) {
	c := &certificate{file: file, key: key}
	pair, err := tls.LoadX509KeyPair(file, key)
	if err != nil {
		return nil, err
	}
	c.is, c.looked = &pair, time.Now()
	if info, err := os.Stat(file); err == nil {
		c.changed = info.ModTime()
	}
	return c, nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookEvery {
		return c.is, nil
	}
	c.looked = time.Now()
	info, err := os.Stat(c.file)
	if err != nil || info.ModTime().Equal(c.changed) {
		return c.is, nil
	}
	// While only one of the two files is there, the old pair serves.
	if pair, err := tls.LoadX509KeyPair(c.file, c.key); err == nil {
		c.is, c.changed = &pair, info.ModTime()
	}
	return c.is, nil
}
