package link

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// pretender listens in the hub's place. What is said to it before it is known to be the hub
// is kept; nothing secret may be.
func pretender(t *testing.T, secure *tls.Config) (address string, heard func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(t, err)
	t.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	var all strings.Builder
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(2 * time.Second))
				info := `INFO {"server_id":"x","version":"2.15.0","proto":1,"headers":true,"max_payload":1048576,"auth_required":true,"nonce":"bm9uY2U"`
				if secure != nil {
					info += `,"tls_required":true`
				}
				_, _ = c.Write([]byte(info + "}\r\n"))
				var from net.Conn = c
				if secure != nil {
					from = tls.Server(c, secure)
				}
				for lines := bufio.NewScanner(from); lines.Scan(); {
					mu.Lock()
					all.WriteString(lines.Text() + "\n")
					mu.Unlock()
				}
			}()
		}
	}()
	return l.Addr().String(), func() string { mu.Lock(); defer mu.Unlock(); return all.String() }
}

// A link that is to be encrypted says nothing in the clear, and nothing to whom nobody
// vouches for or who has another's certificate.
func TestNothingIsToldToAPretender(t *testing.T) {
	certified := func(to x509.Certificate) (of *tls.Config, ca string) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		fatal(t, err)
		to.SerialNumber, to.NotBefore, to.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		to.IsCA, to.BasicConstraintsValid, to.KeyUsage = true, true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
		der, err := x509.CreateCertificate(rand.Reader, &to, &to, &private.PublicKey, private)
		fatal(t, err)
		ca = filepath.Join(t.TempDir(), "ca.pem")
		fatal(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
		return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}, ca
	}
	here, _ := certified(x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	other, ca := certified(x509.Certificate{DNSNames: []string{"hub.example.org"}})
	for what, x := range map[string]struct {
		secure *tls.Config
		ca     string
		words  string
	}{
		"in the clear":        {nil, "", "does not speak TLS"},
		"vouched for by none": {here, "", "hub.ca_file"},
		"of another name":     {other, ca, "of another name"},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			address, heard := pretender(t, x.secure)
			r.options = func(o *Options) { o.URL, o.CAFile = "tls://"+address, x.ca }
			r.start()
			r.until("it is said why", func() bool { return strings.Contains(r.link.Status().Error, x.words) })
			if s := heard(); s != "" {
				t.Errorf("the pretender heard %q", s)
			}
		})
	}
}
