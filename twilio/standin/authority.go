package standin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The files in the data directory.
const (
	certificateFile = "twilio-ca.pem"
	keyFile         = "twilio-ca.key"
)

const (
	authorityYears = 20
	leafDays       = 90 // also backwards, for clocks that are not set
	renewDays      = 30 // before a leaf's end
)

// authority is a certificate authority that can vouch for Host and for nothing
// else: its name constraint is critical, so a client that trusts it trusts this
// gateway with that one name. The key never leaves the box.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
	now         func() time.Time

	mu   sync.Mutex
	leaf *tls.Certificate
}

// openAuthority reads the authority from dir, or makes one there.
func openAuthority(dir string, now func() time.Time) (*authority, error) {
	a := &authority{now: now}
	certificate, err := os.ReadFile(filepath.Join(dir, certificateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return a, a.create(dir)
	}
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s in %s don't fit together; remove both and new ones are made, which clients must then trust anew: %w",
			certificateFile, keyFile, dir, err)
	}
	private, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s in %s is not the key that gatewayd made", keyFile, dir)
	}
	a.certificate, a.key, a.pem = pair.Leaf, private, certificate
	return a, nil
}

func (a *authority) create(dir string) (err error) {
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "gatewayd in the place of " + Host, SerialNumber: serial.Text(16)[:8]},
		// A gateway may be set up before it knows what time it is.
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: a.until(),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{Host},
		ExcludedIPRanges: everyAddress,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return err
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	// The key first: a certificate without its key would be refused at the next start.
	if err := write(dir, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return err
	}
	return write(dir, certificateFile, a.pem, 0o644)
}

func (a *authority) until() time.Time {
	from := a.now()
	if from.Year() < 2026 {
		from = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return from.AddDate(authorityYears, 0, 0)
}

// write makes a file that is whole or not there, also after a power cut.
func write(dir, name string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // not there any more when all is well
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// present is the certificate that clients are shown: made anew before it ends.
func (a *authority) present(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if l := a.leaf; l != nil && !now.Before(l.Leaf.NotBefore) && now.AddDate(0, 0, renewDays).Before(l.Leaf.NotAfter) {
		return l, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: Host}, DNSNames: []string{Host},
		NotBefore: now.AddDate(0, 0, -leafDays), NotAfter: now.AddDate(0, 0, leafDays),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a.leaf = &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key, Leaf: leaf}
	return a.leaf, nil
}

func newSerial() (*big.Int, error) {
	most := new(big.Int).Lsh(big.NewInt(1), 120)
	n, err := rand.Int(rand.Reader, most)
	if err != nil {
		return nil, err
	}
	return n.Add(n, most), nil // never short
}
