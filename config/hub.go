package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/viper"
)

// Hub is a gateway's hub, or what a hub is: see docs/hub.md.
type Hub struct {
	URL             string // where a gateway dials; "": it belongs to no hub
	CredentialsFile string
	CAFile          string // who vouches for the hub's certificate, "": the system's

	Listen              string // of a hub, for its gateways
	Certificate, Key    string
	WebSocketListen     string
	NATSURL             string // a cluster instead
	NATSCredentialsFile string
	PublicURL           string // where people reach the hub's pages
	Window              int    // messages that a gateway has taken and not acknowledged
	AwayAfter           time.Duration
	ExtendedAfter       time.Duration
	Lease               time.Duration // 0: none
	Pull                string        // PullConsumer or PullRequest
	Default             string        // a gateway, or group:NAME
	Routes              []HubRoute
}

// HubRoute sends the numbers with a prefix to a gateway, or to group:NAME.
type HubRoute struct{ Prefix, To string }

// How gateways get their messages.
const (
	PullConsumer = "consumer" // from consumers of their own
	PullRequest  = "request"  // by asking the hub
)

// Runs tells whether this is the configuration of a hub.
func (h Hub) Runs() bool { return h.Listen != "" || h.NATSURL != "" }

func hubFields(h *Hub) []field {
	return []field{
		{path: "hub.url", read: natsURL(&h.URL)},
		{path: "hub.credentials_file", read: text(&h.CredentialsFile)},
		{path: "hub.ca_file", read: text(&h.CAFile)},
		{path: "hub.listen", read: address(&h.Listen)},
		{path: "hub.tls.certificate", read: text(&h.Certificate)},
		{path: "hub.tls.key", read: text(&h.Key)},
		{path: "hub.websocket.listen", read: address(&h.WebSocketListen)},
		{path: "hub.nats_url", read: natsURL(&h.NATSURL)},
		{path: "hub.nats_credentials_file", read: text(&h.NATSCredentialsFile)},
		{path: "hub.public_url", read: publicURL(&h.PublicURL)},
		{path: "hub.window", def: "255", read: number(&h.Window, 1, 10_000)},
		{path: "hub.away_after", def: "5m", read: duration(&h.AwayAfter, time.Minute, maxWait)},
		{path: "hub.extended_after", def: "60s", read: duration(&h.ExtendedAfter, time.Second, maxWait)},
		{path: "hub.lease", def: "0", read: durationOrNone(&h.Lease, time.Minute, maxWait)},
		{path: "hub.pull", def: PullRequest, read: oneOf(&h.Pull, PullConsumer, PullRequest)},
		{path: "hub.default", read: hubTarget(&h.Default)},
	}
}

func hubRouteFields(r *HubRoute) []field {
	return []field{
		{path: "prefix", read: prefix(&r.Prefix)},
		{path: "to", read: hubTarget(&r.To)},
	}
}

func hubShape(s *shape) { s.at("hub.routes").item = section(hubRouteFields(&HubRoute{})) }

// natsURL reads one address of NATS or several, separated by commas.
func natsURL(p *string) func(string) error {
	return func(raw string) error {
		for one := range strings.SplitSeq(raw, ",") {
			u, err := url.Parse(strings.TrimSpace(one))
			if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.RawQuery != "" {
				return errors.New("an address such as tls://hub.example.org:4222 or wss://hub.example.org:443, several with commas; credentials are in a file of their own")
			}
			switch u.Scheme {
			case "tls", "wss":
			case "nats", "ws":
				if !loopback(u.Hostname()) {
					return errors.New(u.Scheme + ":// shows texts and numbers to the network, and is for this machine alone; use tls:// or wss://")
				}
			default:
				return errors.New("an address that begins with tls:// or wss://, or with nats:// or ws:// on this machine")
			}
		}
		*p = strings.ReplaceAll(raw, " ", "")
		return nil
	}
}

func publicURL(p *string) func(string) error {
	return func(raw string) error {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("where people reach the hub's pages, such as https://sms.example.org")
		}
		*p = strings.TrimRight(raw, "/")
		return nil
	}
}

var (
	gatewayForm = regexp.MustCompile(`^(group:)?[a-z0-9][a-z0-9-]{0,31}$`)
	prefixForm  = regexp.MustCompile(`^\+[1-9][0-9]{0,14}$`)
)

func hubTarget(p *string) func(string) error {
	return func(raw string) error {
		if !gatewayForm.MatchString(raw) {
			return errors.New("the name of a gateway, or group: and the name of a group")
		}
		*p = raw
		return nil
	}
}

func prefix(p *string) func(string) error {
	return func(raw string) error {
		if !prefixForm.MatchString(raw) {
			return errors.New("a plus sign and the first digits of numbers, such as +44")
		}
		*p = raw
		return nil
	}
}

// onLoopback tells whether an address to listen on is this machine's alone.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && loopback(host)
}

func (l *loader) hubRoutes(v *viper.Viper) {
	for i, entry := range entries(v, "hub.routes") {
		r := HubRoute{}
		at := fmt.Sprintf("hub.routes[%d]", i)
		for _, f := range hubRouteFields(&r) {
			l.read(f, join(at, f.path), lookup(entry, f.path))
			if lookup(entry, f.path) == "" {
				l.fail(join(at, f.path), "", "a route has a prefix and says where its numbers go")
			}
		}
		for _, other := range l.c.Hub.Routes {
			if r.Prefix != "" && r.Prefix == other.Prefix {
				l.fail(at+".prefix", r.Prefix, "another route has it already")
			}
		}
		l.c.Hub.Routes = append(l.c.Hub.Routes, r)
	}
}

// hub checks the keys of a hub, or of a gateway that has one, against each other.
func (l *loader) hub() {
	h := &l.c.Hub
	switch {
	case h.URL != "" && h.Runs():
		l.fail("hub.url", "", "url is for a gateway, listen and nats_url are for its hub; keep what this machine is")
	case h.URL != "" && h.CredentialsFile == "":
		l.fail("hub.credentials_file", "", "the gateway's credentials are needed too: the file that gatewayd hub add-gateway prints, on the hub")
	case h.URL == "" && h.CredentialsFile != "" && !h.Runs():
		l.fail("hub.url", "", "the hub's address is needed too, such as tls://hub.example.org:4222")
	case h.Listen != "" && h.NATSURL != "":
		l.fail("hub.nats_url", "", "listen runs NATS here, nats_url uses a cluster elsewhere; keep one")
	case h.WebSocketListen != "" && h.Listen == "":
		l.fail("hub.websocket.listen", "", "listen is needed too: NATS runs here then")
	}
	l.credentials("hub.credentials_file", &h.CredentialsFile)
	l.credentials("hub.nats_credentials_file", &h.NATSCredentialsFile)
	l.authority("hub.ca_file", &h.CAFile)
	h.Certificate = l.absolute("hub.tls.certificate", h.Certificate)
	h.Key = l.absolute("hub.tls.key", h.Key)
	const needed = "texts and numbers pass there, so certificate and key are needed: only an address of this machine alone, such as 127.0.0.1:4222, may do without"
	switch {
	case h.Certificate == "" && h.Key == "":
		if h.Listen != "" && !onLoopback(h.Listen) {
			l.fail("hub.tls.certificate", "", needed)
		} else if h.WebSocketListen != "" && !onLoopback(h.WebSocketListen) {
			l.fail("hub.tls.certificate", "", needed)
		}
	case h.Key == "":
		l.fail("hub.tls.key", "", "the certificate's private key is needed too (a PEM file)")
	case h.Certificate == "":
		l.fail("hub.tls.certificate", "", "the key's certificate is needed too (a PEM file)")
	default:
		if _, err := tls.LoadX509KeyPair(h.Certificate, h.Key); err != nil {
			l.fail("hub.tls.certificate", h.Certificate, "certificate and key can't be used: "+cause(err))
		}
	}
}

// authority checks a file of certificates that vouch for others; it is read again at each connect.
func (l *loader) authority(key string, path *string) {
	if *path == "" {
		return
	}
	*path = l.absolute(key, *path)
	if b, err := os.ReadFile(*path); err != nil {
		l.fail(key, *path, "the file can't be read: "+cause(err))
	} else if !x509.NewCertPool().AppendCertsFromPEM(b) {
		l.fail(key, *path, "the certificate of an authority is expected, a PEM file that begins with BEGIN CERTIFICATE")
	}
}

// credentials checks a file of NATS credentials, which is read again at each connect.
func (l *loader) credentials(key string, path *string) {
	if *path == "" {
		return
	}
	if raw, ok := l.secretFile(key, path); ok && (!strings.Contains(raw, "BEGIN NATS USER JWT") || !strings.Contains(raw, "BEGIN USER NKEY SEED")) {
		l.fail(key, *path, "the file must hold credentials as gatewayd hub add-gateway prints them")
	}
}
