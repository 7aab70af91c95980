package gateway

import (
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"gatewayd/lan"
	"gatewayd/sms"
)

// LAN is how phones on the local network reach the pages.
type LAN struct {
	Listener net.Listener // nil: they don't
	Name     string       // of the box there; "": as people set it; NoName: none
}

// NoName is the name of a box that is announced under none.
const NoName = "none"

// network is what the gateway has for its local network.
type network struct {
	listener     net.Listener
	certificates *lan.Certificates // nil: the configuration has one
	announcer    *lan.Announcer    // nil: under no name
	own          string            // fingerprint of the certificate of the configuration
	name         atomic.Pointer[string]
}

// openLAN prepares the listener on the local network.
func (g *Gateway) openLAN() error {
	l := g.o.LAN
	if l.Listener == nil {
		return nil
	}
	n := &network{listener: l.Listener}
	none := ""
	n.name.Store(&none)
	if g.o.Certificate != nil {
		n.own = lan.Fingerprint(g.o.Certificate.Certificate[0])
	} else {
		var err error
		if n.certificates, err = lan.OpenCertificates(tlsDir(g.o.DataDir), g.clock.Now, g.log); err != nil {
			return err
		}
	}
	if l.Name != NoName {
		n.announcer = lan.NewAnnouncer(n.port(), g.log, func(name string) {
			n.name.Store(&name)
			if n.certificates != nil {
				n.certificates.Name(name)
			}
		})
	}
	if n.certificates != nil {
		n.certificates.Name("")
	}
	g.network = n
	return nil
}

func (n *network) port() int {
	_, port, err := net.SplitHostPort(n.listener.Addr().String())
	if err != nil {
		return 0
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return number
}

// door is the listener with its TLS.
func (n *network) door(l net.Listener, current *atomic.Pointer[tls.Certificate]) net.Listener {
	c := &tls.Config{}
	if n.certificates != nil {
		c.GetCertificate = n.certificates.Get
	} else {
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil }
	}
	return lan.Listener(l, c)
}

// applySettings has hold what the configuration and people say now.
func (g *Gateway) applySettings() {
	region := g.settings.get(sms.SettingRegion)
	g.country.Store(&region)
	if n := g.network; n != nil && n.announcer != nil {
		n.announcer.Rename(g.settings.get(sms.SettingName))
	}
}

// fixed are the settings that the configuration file decides.
func (o *Options) fixed() map[string]string {
	return map[string]string{
		sms.SettingRegion: o.Region, sms.SettingName: o.LAN.Name,
		sms.SettingAlarmSMS: strings.Join(o.Alarms.Notices.SMS, ","), sms.SettingAlarmMail: strings.Join(o.Alarms.Notices.Mail, ","),
	}
}

// Addresses is where phones on the local network find the box, its name first;
// nil: nowhere.
func (n *network) Addresses() []string {
	if n == nil {
		return nil
	}
	return addressesOf(n.listener.Addr().String(), *n.name.Load())
}

// Fingerprint is that of the certificate which vouches for the box, for people to
// compare; "" if it is not on the local network.
func (n *network) Fingerprint() string {
	switch {
	case n == nil:
		return ""
	case n.certificates != nil:
		return n.certificates.Fingerprint()
	}
	return n.own
}

// Authority is the certificate that phones may trust; nil: the configuration has
// one of its own.
func (n *network) Authority() []byte {
	if n == nil || n.certificates == nil {
		return nil
	}
	return n.certificates.DER()
}
