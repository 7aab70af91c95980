package lan

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var quietly = slog.New(slog.DiscardHandler)

// box is a server as the gateway makes one, at a time and with addresses of the test's.
type box struct {
	t     *testing.T
	dir   string
	now   time.Time
	here  []netip.Addr
	c     *Certificates
	roots *x509.CertPool
}

func newBox(t *testing.T) *box {
	b := &box{t: t, dir: filepath.Join(t.TempDir(), "tls"), now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), here: []netip.Addr{netip.MustParseAddr("192.168.1.5")}}
	b.open()
	b.roots = x509.NewCertPool()
	b.roots.AddCert(b.c.authority)
	return b
}

// open is a start of the daemon.
func (b *box) open() {
	b.t.Helper()
	c, err := OpenCertificates(b.dir, func() time.Time { return b.now }, quietly)
	if err != nil {
		b.t.Fatal(err)
	}
	c.addresses = func() []netip.Addr { return b.here }
	c.Name("gatewayd")
	b.c = c
}

// leaf is the certificate that a client gets, verified as Go's client does.
func (b *box) leaf(server string) *x509.Certificate {
	b.t.Helper()
	b.c.mu.Lock()
	b.c.found = nil // its few seconds are over
	b.c.mu.Unlock()
	ours, theirs := net.Pipe()
	go func() {
		s := tls.Server(ours, &tls.Config{GetCertificate: b.c.Get})
		_ = s.Handshake()
	}()
	client := tls.Client(theirs, &tls.Config{ServerName: server, RootCAs: b.roots, Time: func() time.Time { return b.now }})
	defer ours.Close()
	defer theirs.Close()
	if err := client.Handshake(); err != nil {
		b.t.Fatalf("%s: %v", server, err)
	}
	return client.ConnectionState().PeerCertificates[0]
}

func TestCertificateFollowsTheBox(t *testing.T) {
	b := newBox(t)
	first := b.leaf("gatewayd.local")
	b.leaf("192.168.1.5")
	b.leaf("localhost")
	if again := b.leaf("gatewayd.local"); !again.Equal(first) {
		t.Error("each connection gets another certificate")
	}
	// A restart changes nothing: browsers remember the certificate.
	b.open()
	if again := b.leaf("gatewayd.local"); !again.Equal(first) {
		t.Error("a restart makes another certificate")
	}
	// Another address, without a restart; one that goes changes nothing.
	b.here = append(b.here, netip.MustParseAddr("10.0.0.7"))
	moved := b.leaf("10.0.0.7")
	b.here = b.here[1:]
	if again := b.leaf("10.0.0.7"); !again.Equal(moved) {
		t.Error("an address less makes another certificate")
	}
	// Another name.
	b.c.Name("shop-2")
	b.leaf("shop-2.local")
	// A public address is none that the authority may vouch for: it is left out, or
	// the whole certificate would be refused.
	b.here = append(b.here, netip.MustParseAddr("8.8.8.8"))
	b.leaf("shop-2.local")
	// It is renewed before it ends, and the authority stays.
	was := b.leaf("shop-2.local")
	b.now = was.NotAfter.AddDate(0, 0, -renewDays+1)
	if is := b.leaf("shop-2.local"); is.Equal(was) || is.NotAfter.Sub(b.now) < 300*24*time.Hour {
		t.Errorf("a month before its end it is good until %v", is.NotAfter)
	}
	if d := was.NotAfter.Sub(was.NotBefore); d > 825*24*time.Hour {
		t.Errorf("%v is longer than phones accept", d)
	}
	// A clock that was never set.
	b.now = time.Unix(0, 0)
	b.open()
	early, err := b.c.Get(&tls.ClientHelloInfo{ServerName: "gatewayd.local"})
	if err != nil || early.Leaf.NotAfter.Year() < 2027 {
		t.Errorf("in 1970: %v", err)
	}
}

// Whoever trusts the box's authority trusts it with local names alone.
func TestAuthorityVouchesForNoOther(t *testing.T) {
	b := newBox(t)
	b.c.mu.Lock()
	b.c.names = []string{"www.example.org"}
	b.c.mu.Unlock()
	pair, err := b.c.issue(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "www.example.org", Roots: b.roots, CurrentTime: b.now}); err == nil {
		t.Error("a certificate for www.example.org is trusted")
	}
	for _, name := range []string{authorityKeyFile, authorityFile, leafFile} {
		info, err := os.Stat(filepath.Join(b.dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	if info, err := os.Stat(b.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if f := b.c.Fingerprint(); len(f) != 32*3-1 {
		t.Error(f)
	}
	if err := os.WriteFile(filepath.Join(b.dir, authorityKeyFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCertificates(b.dir, time.Now, quietly); err == nil || !strings.Contains(err.Error(), "remove both") {
		t.Errorf("half an authority: %v", err)
	}
}

// One port: HTTPS with HTTP/2, and for plain HTTP the way there.
func TestListener(t *testing.T) {
	b := newBox(t)
	b.now = time.Now()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, ErrorLog: slog.NewLogLogger(quietly.Handler(), 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			t.Error("the handler takes it for plain HTTP")
		}
		_, _ = io.WriteString(w, r.Proto)
	})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(Listener(l, &tls.Config{GetCertificate: b.c.Get})) }()
	defer func() { server.Close(); <-ended }()

	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(method, url string, h ...string) (*http.Response, string) {
		t.Helper()
		r := httptest.NewRequest(method, url, nil)
		r.RequestURI = ""
		if len(h) > 0 {
			r.Header.Set(h[0], h[1])
		}
		a, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		body, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a, string(body)
	}
	at := l.Addr().String()
	if _, body := ask("GET", "https://"+at+"/"); body != "HTTP/2.0" {
		t.Errorf("HTTPS speaks %s", body)
	}
	a, body := ask("GET", "http://"+at+"/welcome?x=1")
	if to := a.Header.Get("Location"); a.StatusCode != http.StatusTemporaryRedirect || to != "https://"+at+"/welcome?x=1" || !strings.Contains(body, to) {
		t.Errorf("%s to %q: %s", a.Status, to, body)
	}
	if a, body := ask("HEAD", "http://"+at+"/"); a.StatusCode != http.StatusTemporaryRedirect || body != "" {
		t.Errorf("HEAD: %s %q", a.Status, body)
	}
	for what, do := range map[string]func() (*http.Response, string){
		"a POST": func() (*http.Response, string) { return ask("POST", "http://"+at+"/v1/messages") },
		"a key":  func() (*http.Response, string) { return ask("GET", "http://"+at+"/", "Authorization", "Bearer x") },
	} {
		if a, body := do(); a.StatusCode != http.StatusBadRequest || !strings.Contains(body, "replace that key") {
			t.Errorf("%s: %s %s", what, a.Status, body)
		}
	}
}

// sent is a connection that was sent something, and keeps what is answered.
type sent struct {
	net.Conn
	in  io.Reader
	out strings.Builder
}

func (s *sent) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *sent) Write(b []byte) (int, error) { return s.out.Write(b) }

func FuzzPlain(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: gatewayd.local:8443\r\n\r\n"))
	f.Add([]byte("GET http://a/%0d%0aX:1 HTTP/1.1\r\nHost: b\r\n\r\n"))
	f.Add([]byte{22, 3, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &sent{in: strings.NewReader(string(b))}
		_, _ = (&sniffed{Conn: c}).Read(make([]byte, 5))
		head, _, _ := strings.Cut(c.out.String(), "\r\n\r\n")
		if head == "" {
			return
		}
		if !strings.HasPrefix(head, "HTTP/1.1 307 ") && !strings.HasPrefix(head, "HTTP/1.1 400 ") || strings.Count(head, "\r\n") > 4 {
			t.Errorf("%q is answered with %q", b, head)
		}
	})
}

func TestLimitIsShared(t *testing.T) {
	limit := NewLimit(3)
	var listeners []net.Listener
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, limit.Listener(l))
	}
	took := make(chan net.Conn, 10)
	done := make(chan struct{}, 2)
	for _, l := range listeners {
		go func() {
			defer func() { done <- struct{}{} }()
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				took <- c
			}
		}()
	}
	var held []net.Conn
	for i := range 3 {
		c, err := net.Dial("tcp", listeners[0].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i < 2 { // the other listener holds the third place
			held = append(held, <-took)
		}
	}
	select {
	case <-took:
		t.Error("one more than is allowed was taken")
	case <-time.After(50 * time.Millisecond):
	}
	held[0].Close()
	held[0].Close() // twice is once
	select {
	case c := <-took:
		c.Close()
	case <-time.After(10 * time.Second):
		t.Error("what waits is not taken when another ends")
	}
	held[1].Close()
	for _, l := range listeners {
		l.Close()
	}
	<-done
	<-done
}

func TestConsole(t *testing.T) {
	c := Console{Addresses: []string{"https://gatewayd.local:8443", "https://192.168.1.5:8443"}, Code: "ABCDE-FGHJK", Fingerprint: strings.Repeat("AB:", 31) + "AB", Own: true}
	text := c.Text()
	for _, want := range []string{"https://gatewayd.local:8443/welcome#ABCDE-FGHJK", "https://192.168.1.5:8443/welcome#ABCDE-FGHJK", "First-run code: ABCDE-FGHJK", "█▀", "browser will warn", "AB:AB:AB"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
			t.Errorf("%d characters do not fit on a console: %s", n, line)
		}
	}
	alone := Console{Local: "http://127.0.0.1:8080", Code: "ABCDE-FGHJK"}.Text()
	if strings.Contains(alone, "█") || !strings.Contains(alone, "gatewayd setup --lan") {
		t.Errorf("nobody on the network reaches it:\n%s", alone)
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, c := range []struct {
		name string
		n    int
		want string
	}{{"gatewayd", 0, "gatewayd"}, {"gatewayd", 1, "gatewayd-2"}, {"gatewayd-2", 1, "gatewayd-3"}, {"shop-0", 1, "shop-0-2"}, {"my-box", 2, "my-box-3"}, {long, 1, long[:61] + "-2"}} {
		if got := nth(c.name, c.n); got != c.want || !ValidName(got) {
			t.Errorf("%s and %d taken: %s, want %s", c.name, c.n, got, c.want)
		}
	}
	for name, want := range map[string]bool{"gatewayd": true, "shop-2": true, "": false, "-x": false, "x-": false, "a.b": false, "Ä": false, "A": false, strings.Repeat("a", 64): false} {
		if ValidName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
