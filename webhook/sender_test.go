package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// sender posts over real sockets, as an endpoint does.
type sender struct {
	url    string
	client *http.Client
	format standard
}

func (s sender) post(ctx context.Context, id string, body []byte) result {
	r, _, _ := send(ctx, s.client, s.url, nil, s.format.request(id, body), answerRead, time.Now)
	return r
}

// realSender's private permits the loopback receivers.
func realSender(t *testing.T, target string, private bool) sender {
	t.Helper()
	keys, err := parseSecrets(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	transport := newTransport(private, time.Now, permits[byConfig])
	t.Cleanup(transport.CloseIdleConnections)
	return sender{target + "/hook?token=s3cr3t", newClient(transport), standard{keys: func() [][]byte { return keys }, now: time.Now}}
}

func receiver(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestReceiverSeesTheRequest(t *testing.T) {
	var seen *http.Request
	var body []byte
	target := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		body, _ = io.ReadAll(r.Body)
	})
	r := realSender(t, target, true).post(t.Context(), "dlv_1", []byte(`{"a":1}`))
	if r.verdict != delivered || r.status != 200 {
		t.Fatalf("%+v", r)
	}
	if seen.URL.RequestURI() != "/hook?token=s3cr3t" || seen.Header.Get("webhook-id") != "dlv_1" || string(body) != `{"a":1}` ||
		seen.ContentLength != 7 || seen.Header.Get("User-Agent") != "gatewayd" {
		t.Errorf("%s %v %s", seen.URL, seen.Header, body)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var followed atomic.Int32
	other := receiver(t, func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		target := receiver(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, status) })
		r := realSender(t, target, true).post(t.Context(), "x", nil)
		if r.verdict != refused || r.status != status || !strings.Contains(r.words, "redirects are not followed") {
			t.Errorf("%d: %+v", status, r)
		}
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

func TestLongAnswerIsNotRead(t *testing.T) {
	const long = 20 << 20
	written := make(chan int, 1)
	target := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		n := 0
		chunk := bytes.Repeat([]byte("x"), 64<<10)
		for n < long {
			m, err := w.Write(chunk)
			if n += m; err != nil {
				break
			}
		}
		written <- n
	})
	if r := realSender(t, target, true).post(t.Context(), "x", nil); r.verdict != delivered {
		t.Errorf("%+v", r)
	}
	if n := <-written; n >= long {
		t.Errorf("%d bytes of the answer were taken", n)
	}
}

func TestHugeHeaderIsRefused(t *testing.T) {
	target := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) })
	if r := realSender(t, target, true).post(t.Context(), "x", nil); r.verdict != again {
		t.Errorf("%+v", r)
	}
}

func TestBrokenConnections(t *testing.T) {
	reset := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
	})
	nonsense := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = c.Write([]byte("220 mail.example ESMTP\r\n"))
		c.Close()
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	wrongCertificate := httptest.NewUnstartedServer(http.NotFoundHandler())
	wrongCertificate.Config.ErrorLog = log.New(io.Discard, "", 0)
	wrongCertificate.StartTLS()
	defer wrongCertificate.Close()
	for what, target := range map[string]string{"reset": reset, "nonsense": nonsense, "closed": closed, "certificate": wrongCertificate.URL} {
		r := realSender(t, target, true).post(t.Context(), "x", nil)
		if r.verdict != again || r.status != 0 || r.words == "" || strings.Contains(r.words, "s3cr3t") {
			t.Errorf("%s: %+v", what, r)
		}
	}
}

func TestAnAttemptEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{})
	target := receiver(t, func(http.ResponseWriter, *http.Request) { close(arrived); <-release })
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if r := realSender(t, target, true).post(ctx, "x", nil); r.verdict != again || r.status != 0 {
		t.Errorf("%+v", r)
	}
}

func TestWordsHideTheAddress(t *testing.T) {
	for _, err := range []error{
		&url.Error{Op: "Post", URL: "https://x.example/?token=s3cr3t", Err: x509.UnknownAuthorityError{}},
		&url.Error{Op: "Post", URL: "https://x.example/?token=s3cr3t", Err: context.DeadlineExceeded},
		&url.Error{Op: "Post", URL: "https://x.example/?token=s3cr3t", Err: errors.New(strings.Repeat("long ", 1000))},
	} {
		if words := describe(err); words == "" || len(words) > 400 || strings.Contains(words, "s3cr3t") {
			t.Errorf("%q", words)
		}
	}
}

func TestGuardRefusesPrivateReceivers(t *testing.T) {
	var reached atomic.Int32
	target := receiver(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	port := target[strings.LastIndexByte(target, ':'):]
	// Names count as what they lead to when they are dialled.
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]"} {
		r := realSender(t, "http://"+host+port, false).post(t.Context(), "x", nil)
		if r.verdict != again || r.status != 0 || !strings.Contains(r.words, "allow_private: true for this webhook permits it") {
			t.Errorf("%s: %+v", host, r)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests reached a receiver on this host", n)
	}
	if r := realSender(t, target, true).post(t.Context(), "x", nil); r.verdict != delivered {
		t.Errorf("with allow_private: %+v", r)
	}
}

func TestNoProxyOfTheEnvironment(t *testing.T) {
	if newTransport(false, nil, "").Proxy != nil || newTransport(true, nil, "").Proxy != nil {
		t.Error("a proxy would be dialled instead of the receiver, and the guard would check the proxy")
	}
}

func TestForbiddenAddresses(t *testing.T) {
	for _, a := range []string{
		"0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
		"203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1",
		"fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "4000::1",
	} {
		if forbidden(netip.MustParseAddr(a)) == "" {
			t.Errorf("%s is allowed", a)
		}
	}
	for _, a := range []string{"1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.167.0.1", "198.17.0.1", "198.20.0.1", "223.255.255.254",
		"2606:4700:4700::1111", "2a00:1450:4001:801::200e", "2001:4860:4860::8888", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"} {
		if why := forbidden(netip.MustParseAddr(a)); why != "" {
			t.Errorf("%s is refused as %s", a, why)
		}
	}
	guarded := guard(false, permits[byConfig])
	if err := guarded("tcp", "example.org:443", nil); err == nil {
		t.Error("a name was taken for an address")
	}
	if err := guarded("tcp", "[fe80::1%eth0]:443", nil); err == nil {
		t.Error("a link-local address with a zone is allowed")
	}
}

// A certificate is valid by the gateway's time, not by the machine's.
func TestCertificatesGoByTheGatewaysTime(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	for at, good := range map[time.Time]bool{server.Certificate().NotBefore.Add(-time.Hour): false, server.Certificate().NotBefore.Add(time.Hour): true} {
		transport := newTransport(true, func() time.Time { return at }, "")
		transport.TLSClientConfig.RootCAs = pool
		res, err := transport.RoundTrip(httptest.NewRequest("GET", server.URL, nil))
		if (err == nil) != good {
			t.Errorf("at %v: %v", at, err)
		}
		if err == nil {
			res.Body.Close()
		}
		transport.CloseIdleConnections()
	}
}

// Metadata services are refused whatever the owner allows, also inside of other
// addresses.
func TestMetadataServicesAreAlwaysRefused(t *testing.T) {
	open := guard(true, "")
	for _, a := range []string{"169.254.169.254", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::169.254.169.254]", "[2002:a9fe:a9fe::1]",
		"[::169.254.169.254]", "[::ffff:0:169.254.169.254]", "[2001:0:1:2:3:4:5601:5601]", "[fd00:ec2::254]", "[fd20:ce::254]", "100.100.100.200", "169.254.170.2", "192.0.0.192"} {
		if err := open("tcp", a+":80", nil); err == nil || !strings.Contains(err.Error(), "no setting permits it") {
			t.Errorf("%s: %v", a, err)
		}
	}
	for _, a := range []string{"127.0.0.1", "[::1]", "192.168.1.7", "169.254.7.7", "[fe80::1%eth0]", "[64:ff9b::c0a8:107]", "[fd00::7]", "1.1.1.1"} {
		if err := open("tcp", a+":80", nil); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	err := guard(false, permits[byAPI])("tcp", "10.0.0.1:80", nil)
	if err == nil || !strings.HasSuffix(err.Error(), "is a private address; "+PrivateSwitch+": true in the configuration permits it") {
		t.Errorf("%v", err)
	}
}

// What a receiver answers costs the same memory however much it is.
func TestOfALongAnswerTheBeginningIsKept(t *testing.T) {
	target := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		_, _ = w.Write(bytes.Repeat([]byte("a\n"), 1<<20))
	})
	r := realSender(t, target, true).post(t.Context(), "x", nil)
	if r.status != 500 || r.answer != strings.TrimSpace(strings.Repeat("a ", answerKept/2)) {
		t.Errorf("%d, %d bytes: %q", r.status, len(r.answer), r.answer)
	}
}
