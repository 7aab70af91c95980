package standin

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type rig struct {
	*StandIn
	proxy, tls string // addresses
	dir        string
}

func newRig(t *testing.T, dir string) *rig {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	o := Options{Dir: dir, Proxy: listen(), TLS: listen(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
	})}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &rig{s, o.Proxy.Addr().String(), o.TLS.Addr().String(), dir}
}

// trusting is a client that trusts the authority, and nobody else.
func (r *rig) trusting(t *testing.T, change func(*http.Transport)) *http.Client {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(r.Authority()) {
		t.Fatal("the authority is no PEM")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	change(transport)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (r *rig) throughProxy(t *testing.T) *http.Client {
	return r.trusting(t, func(tr *http.Transport) { tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: r.proxy}) })
}

func (r *rig) byName(t *testing.T) *http.Client {
	return r.trusting(t, func(tr *http.Transport) {
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", r.tls)
		}
	})
}

const messages = "https://api.twilio.com/2010-04-01/Accounts/AC0/Messages.json"

func TestBothWaysLeadHere(t *testing.T) {
	r := newRig(t, t.TempDir())
	for way, client := range map[string]*http.Client{"proxy": r.throughProxy(t), "name": r.byName(t)} {
		for range 3 { // the connection is used again
			answer, err := client.PostForm(messages, url.Values{"Body": {"hello"}})
			if err != nil {
				t.Fatalf("%s: %v", way, err)
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if want := "POST /2010-04-01/Accounts/AC0/Messages.json Body=hello"; err != nil || string(body) != want {
				t.Errorf("%s: %s, %v", way, body, err)
			}
		}
		answer, err := client.Get("https://api.twilio.com/v1/messages")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: the rest of the gateway is reached: %d", way, answer.StatusCode)
		}
	}
}

// The proxy leads nowhere else: it would be an open one.
func TestProxyLeadsNowhereElse(t *testing.T) {
	r := newRig(t, t.TempDir())
	for _, request := range []string{
		"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
		"CONNECT api.twilio.com:80 HTTP/1.1\r\nHost: api.twilio.com:80\r\n\r\n",
		"CONNECT api.twilio.com.example.org:443 HTTP/1.1\r\nHost: api.twilio.com.example.org:443\r\n\r\n",
		"GET http://api.twilio.com/2010-04-01/ HTTP/1.1\r\nHost: api.twilio.com\r\n\r\n",
		"GET /2010-04-01/ HTTP/1.1\r\nHost: api.twilio.com:443\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", r.proxy)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != http.StatusForbidden {
			t.Errorf("%q: %s", request, answer.Status)
		}
		answer.Body.Close()
		conn.Close()
	}
}

// Who trusts the authority trusts it with one name.
func TestAuthorityVouchesForOneName(t *testing.T) {
	r := newRig(t, t.TempDir())
	roots := x509.NewCertPool()
	roots.AddCert(r.authority.certificate)
	for name, good := range map[string]bool{Host: true, "example.org": false, "twilio.com": false} {
		leaf := forge(t, r.authority, name)
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		if (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
	leaf := forge(t, r.authority, "192.0.2.1")
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots}); err == nil {
		t.Error("it vouches for an address")
	}
}

func TestPagesShowTheCertificate(t *testing.T) {
	r := newRig(t, t.TempDir())
	for path, want := range map[string]string{Base: r.fingerprint(), Base + "ca.pem": string(r.Authority())} {
		w := httptest.NewRecorder()
		r.Pages().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) || strings.Contains(w.Body.String(), "PRIVATE") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestAuthorityStays(t *testing.T) {
	dir := t.TempDir()
	first := newRig(t, dir)
	again := newRig(t, dir)
	if string(first.Authority()) != string(again.Authority()) {
		t.Error("clients would have to trust a new one after each start")
	}
	answer, err := first.byName(t).Get(messages)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.pem.*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
	block, _ := pem.Decode(first.Authority())
	if block == nil || strings.Contains(string(first.Authority()), "PRIVATE") {
		t.Error("what clients get is not the certificate alone")
	}
}

func TestKeyOfAnotherAuthority(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	newRig(t, dir)
	newRig(t, other)
	key, err := os.ReadFile(filepath.Join(other, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "remove both") {
		t.Errorf("%v", err)
	}
}

// The certificate that clients see is made anew in time, also by a clock that
// was wrong at first.
func TestLeafIsRenewed(t *testing.T) {
	now := time.Date(1970, 1, 1, 0, 0, 5, 0, time.UTC)
	s, err := New(Options{Dir: t.TempDir(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.authority.certificate)
	serials := map[string]bool{}
	for _, at := range []string{"1970-01-02", "2026-11-26", "2027-01-01", "2027-02-20", "2031-01-01"} {
		if now, err = time.Parse(time.DateOnly, at); err != nil {
			t.Fatal(err)
		}
		pair, err := s.authority.present(nil)
		if err != nil {
			t.Fatal(err)
		}
		serials[pair.Leaf.SerialNumber.String()] = true
		if now.Year() == 1970 {
			continue // nobody else lives then
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: Host, CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	if len(serials) != 4 { // 2027-01-01 is in the middle of the second one's life
		t.Errorf("%d certificates", len(serials))
	}
}
