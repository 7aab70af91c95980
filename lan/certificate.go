package lan

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// The files in the folder of the certificates.
const (
	authorityFile    = "authority.pem"
	authorityKeyFile = "authority.key"
	leafFile         = "certificate.pem" // with its key
)

const (
	authorityYears = 20
	leafDays       = 365 // Apple's systems take no more than 825
	backDays       = 30  // before now, for clocks that are not set
	renewDays      = 30  // before a leaf's end
)

// Certificates are an authority that this box made for itself, and what it vouches
// for: the box under its names and addresses. Whoever trusts the authority trusts it
// with nothing else: it may vouch for names of local networks and private
// addresses only. Its key never leaves the box.
type Certificates struct {
	dir       string
	now       func() time.Time
	log       *slog.Logger
	authority *x509.Certificate
	key       *ecdsa.PrivateKey
	pem       []byte
	addresses func() []netip.Addr

	mu     sync.Mutex
	names  []string
	leaf   *tls.Certificate
	looked time.Time    // when the machine's addresses were looked at
	found  []netip.Addr // those it had then
}

// lookAgain is how long the machine's addresses are taken to stay the same.
const lookAgain = 5 * time.Second

// OpenCertificates reads the authority from a folder, or makes both.
func OpenCertificates(dir string, now func() time.Time, log *slog.Logger) (*Certificates, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Certificates{dir: dir, now: now, log: log, addresses: Addresses}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	certificate, err := os.ReadFile(filepath.Join(dir, authorityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, c.create()
	}
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, authorityFile), filepath.Join(dir, authorityKeyFile))
	if err != nil {
		return nil, fmt.Errorf("%s and %s in %s don't fit together; remove both and new ones are made, which phones must then trust anew: %w",
			authorityFile, authorityKeyFile, dir, err)
	}
	private, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s in %s is not the key that gatewayd made", authorityKeyFile, dir)
	}
	c.authority, c.key, c.pem = pair.Leaf, private, certificate
	if leaf, err := tls.LoadX509KeyPair(filepath.Join(dir, leafFile), filepath.Join(dir, leafFile)); err == nil && leaf.Leaf.CheckSignatureFrom(c.authority) == nil {
		c.leaf = &leaf // browsers remember by it that somebody passed their warning
	}
	return c, nil
}

// private are the addresses that the authority may vouch for.
var private = []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "100.64.0.0/10", "fc00::/7", "fe80::/10", "::1/128"}

// local are the names that it may vouch for, and what is below them.
var local = []string{"local", "localhost", "lan", "home.arpa", "internal", "fritz.box"}

func (c *Certificates) create() (err error) {
	if c.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "gatewayd on this box", SerialNumber: serial.Text(16)[:8]},
		// A box may be set up before it knows what time it is.
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: c.present().AddDate(authorityYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: slices.Clone(local),
	}
	if name, err := os.Hostname(); err == nil && dnsName(name) {
		template.PermittedDNSDomains = append(template.PermittedDNSDomains, name)
	}
	for _, p := range private {
		_, network, err := net.ParseCIDR(p)
		if err != nil {
			return err
		}
		template.PermittedIPRanges = append(template.PermittedIPRanges, network)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, c.key.Public(), c.key)
	if err != nil {
		return err
	}
	if c.authority, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	key, err := keyPEM(c.key)
	if err != nil {
		return err
	}
	c.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	// The key first: a certificate without its key would be refused at the next start.
	if err := write(c.dir, authorityKeyFile, key); err != nil {
		return err
	}
	return write(c.dir, authorityFile, c.pem)
}

// present is now, or a time that can have been, for a clock that is not set.
func (c *Certificates) present() time.Time {
	if now := c.now(); now.Year() >= 2026 {
		return now
	}
	return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
}

// Name tells what the box is called on its network, which may change.
func (c *Certificates) Name(name string) {
	names := []string{"localhost"}
	if name != "" {
		names = append(names, name+".local")
	}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
		if !strings.Contains(host, ".") {
			names = append(names, host+".local")
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !dnsName(n) || !c.permits(n) })
	slices.Sort(names)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = slices.Compact(names)
}

// permits tells whether the authority may vouch for a name: one that it may not
// would spoil the whole certificate.
func (c *Certificates) permits(name string) bool {
	return slices.ContainsFunc(c.authority.PermittedDNSDomains, func(d string) bool {
		return strings.EqualFold(name, d) || strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(d))
	})
}

func (c *Certificates) permitsAddress(a netip.Addr) bool {
	return slices.ContainsFunc(c.authority.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(a.AsSlice()) })
}

// Authority is the authority's certificate as PEM, for phones that are to trust it.
func (c *Certificates) Authority() []byte { return c.pem }

// DER is the same, in the form that phones install.
func (c *Certificates) DER() []byte { return c.authority.Raw }

// Fingerprint is the SHA-256 of the authority's certificate, for people to compare.
func (c *Certificates) Fingerprint() string { return Fingerprint(c.authority.Raw) }

// Fingerprint is the SHA-256 of a certificate as people compare it.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// Get gives a connection its certificate: one that has the box's names and
// addresses as they are now, and does not end soon. It is a tls.Config.GetCertificate.
func (c *Certificates) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := c.current()
	// IPv6 addresses come and go by the day; that which somebody types is in.
	if hello.ServerName == "" && hello.Conn != nil {
		if a, err := netip.ParseAddrPort(hello.Conn.LocalAddr().String()); err == nil {
			if ip := a.Addr().Unmap().WithZone(""); c.permitsAddress(ip) && !slices.Contains(wanted, ip) {
				wanted = append(wanted, ip)
			}
		}
	}
	if c.fits(wanted) {
		return c.leaf, nil
	}
	leaf, err := c.issue(wanted)
	if err != nil {
		return nil, err
	}
	c.log.Info("a certificate for the local network was made", "names", c.names, "until", leaf.Leaf.NotAfter)
	c.leaf = leaf
	return leaf, nil
}

// current are the addresses that the certificate is to have anyway: each of IPv4, and localhost's.
func (c *Certificates) current() []netip.Addr {
	if now := time.Now(); c.found == nil || now.Sub(c.looked) > lookAgain {
		c.found, c.looked = c.addresses(), now
	}
	wanted := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	for _, a := range c.found {
		if a.Is4() && c.permitsAddress(a) {
			wanted = append(wanted, a)
		}
	}
	return wanted
}

// fits tells whether the leaf that there is will do.
func (c *Certificates) fits(addresses []netip.Addr) bool {
	if c.leaf == nil {
		return false
	}
	l, now := c.leaf.Leaf, c.present()
	if now.Before(l.NotBefore) || now.AddDate(0, 0, renewDays).After(l.NotAfter) {
		return false
	}
	for _, n := range c.names {
		if !slices.Contains(l.DNSNames, n) {
			return false
		}
	}
	for _, a := range addresses {
		if !slices.ContainsFunc(l.IPAddresses, func(ip net.IP) bool { return ip.Equal(a.AsSlice()) }) {
			return false
		}
	}
	return true
}

func (c *Certificates) issue(addresses []netip.Addr) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := c.present()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "gatewayd"}, DNSNames: c.names,
		NotBefore: now.AddDate(0, 0, -backDays), NotAfter: now.AddDate(0, 0, leafDays),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, a := range addresses {
		template.IPAddresses = append(template.IPAddresses, a.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.authority, key.Public(), c.key)
	if err != nil {
		return nil, err
	}
	private, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	certificate := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), c.pem...)
	pair, err := tls.X509KeyPair(certificate, private)
	if err != nil {
		return nil, err
	}
	if err := write(c.dir, leafFile, append(certificate, private...)); err != nil {
		c.log.Error("the certificate could not be kept; the next start makes another", "error", err)
	}
	return &pair, nil
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// write makes a file that only its owner reads, and that is whole or not there.
func write(dir, name string, content []byte) error {
	f, err := os.CreateTemp(dir, name+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // not there any more when all is well
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	return serial.Add(serial, new(big.Int).Lsh(big.NewInt(1), 126)), nil
}

// dnsName tells whether a certificate can have the name.
func dnsName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if !ValidName(strings.ToLower(label)) {
			return false
		}
	}
	return true
}

// ValidName tells whether a box can be called so: the letters a to z, digits and
// hyphens within.
func ValidName(name string) bool {
	if name == "" || len(name) > 63 || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}
