package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// words says why there is no link, and what to do about it.
func words(err error) string {
	var (
		unknown  x509.UnknownAuthorityError
		host     x509.HostnameError
		invalid  x509.CertificateInvalidError
		record   tls.RecordHeaderError
		noName   *net.DNSError
		own      *errCredentials
		noAnswer *errNoAnswer
	)
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return "the connection to the hub ended"
	case errors.As(err, &own):
		return own.Error()
	case errors.As(err, &noAnswer):
		return noAnswer.Error()
	case errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAccountAuthExpired), says(err, "authentication expired"):
		return "the hub does not accept this gateway's credentials any more: they have expired; have the hub make new ones and put them in the place of hub.credentials_file"
	case errors.Is(err, nats.ErrAuthRevoked), says(err, "authentication revoked"):
		return "the hub has revoked this gateway's credentials: it was disabled or got new ones; put those in the place of hub.credentials_file"
	case errors.Is(err, nats.ErrAuthorization), says(err, "authorization violation"):
		return "the hub does not accept this gateway's credentials: they are of another hub, were rotated, or the gateway was deleted or disabled there; have the hub make new ones and put them in the place of hub.credentials_file"
	case errors.Is(err, nats.ErrPermissionViolation):
		return "the hub does not allow this gateway what it needs; have the hub make new credentials"
	case errors.As(err, &unknown):
		return "the hub's certificate is vouched for by nobody that this machine knows: name the hub's authority in hub.ca_file"
	case errors.As(err, &host):
		return fmt.Sprintf("the hub's certificate is of another name (%v): hub.url must name the hub as its certificate does", host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the hub's certificate has expired, or this machine's clock is wrong: " + invalid.Detail
	case errors.As(err, &invalid):
		return "the hub's certificate can't be used: " + invalid.Error()
	case errors.Is(err, nats.ErrSecureConnWanted), errors.As(err, &record):
		return "hub.url wants an encrypted connection, and what answers there does not speak TLS; check the port"
	case errors.Is(err, nats.ErrSecureConnRequired):
		return "the hub wants an encrypted connection: hub.url must begin with tls:// or wss://"
	case errors.As(err, &noName):
		return fmt.Sprintf("the hub's name %s can't be resolved: check hub.url and this machine's name servers", noName.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens where hub.url says; is the hub running, and is the port right?"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "there is no way to the hub from here: this machine has no connection to the internet, or a firewall forbids it"
	case errors.Is(err, nats.ErrStaleConnection):
		return "nothing came from the hub for half a minute, so the connection was given up"
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "the hub did not answer in time"
	case errors.Is(err, nats.ErrMaxConnectionsExceeded), says(err, "maximum connections"):
		return "the hub has as many connections as it allows"
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrConsumerNotFound):
		return "the hub has nothing prepared for this gateway yet"
	case errors.Is(err, nats.ErrConnectionClosed), says(err, "EOF"), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the hub, or something on the way to it, has closed the connection"
	}
	return "the hub can't be reached: " + err.Error()
}

func says(err error, what string) bool {
	return strings.Contains(strings.ToLower(err.Error()), strings.ToLower(what))
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
