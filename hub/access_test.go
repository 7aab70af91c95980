package hub

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/mirror"
	"gatewayd/sms"
)

// certify writes a certificate for 127.0.0.1 that vouches for itself.
func certify(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

func TestTLSAndWebSocket(t *testing.T) {
	certificate, key := certify(t)
	r := newRig(t, func(o *Options) { o.Certificate, o.Key, o.WebSocket = certificate, key, "127.0.0.1:0" })
	creds := r.add("north", "")
	if _, err := r.dial("north", creds); err == nil {
		t.Error("a certificate that nobody vouches for was taken")
	}
	nc, err := r.dial("north", creds, nats.RootCAs(certificate))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.TLSConnectionState(); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "creds")
	if err := os.WriteFile(file, []byte(creds), 0o600); err != nil {
		t.Fatal(err)
	}
	ws, err := nats.Connect(r.WebSocketAddress(), nats.UserCredentials(file), nats.RootCAs(certificate), nats.CustomInboxPrefix(mirror.InboxPrefix("north")))
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if _, err := ws.Request(mirror.Hello("north"), []byte(`{"log":"a"}`), 5*time.Second); err != nil {
		t.Error("by WebSocket:", err)
	}
}

// What belongs to south, north can neither read nor take nor acknowledge, nor speak for it.
func TestOneGatewayIsNotAnother(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Pull = PullConsumer })
	denied := make(chan string, 100)
	note := nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			denied <- err.Error()
		}
	})
	south, err := r.dial("south", r.add("south", ""))
	if err != nil {
		t.Fatal(err)
	}
	north, err := r.dial("north", r.add("north", ""), note)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "both have their consumers", func() bool { return r.prepared("north") && r.prepared("south") })
	if _, err := r.js.Publish(t.Context(), mirror.OutSubject("south"), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	stream, consumer := mirror.Out("south"), mirror.Consumer("south")
	js, err := jetstream.New(south)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(t.Context(), stream, consumer)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan *nats.Msg, 10)
	for _, subject := range []string{
		"$JS.API.CONSUMER.INFO." + stream + "." + consumer, "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer, "$JS.API.STREAM.MSG.GET." + stream,
		"$JS.API.DIRECT.GET." + stream, "$JS.API.DIRECT.GET." + stream + "." + mirror.OutSubject("south"), "$JS.API.STREAM.MSG.DELETE." + stream, "$JS.API.STREAM.PURGE." + stream,
		"$JS.API.STREAM.NAMES", "$JS.API.CONSUMER.CREATE." + mirror.Out("north") + ".x", "$JS.API.CONSUMER.DELETE." + stream + "." + consumer,
		m.Reply(), mirror.EventSubject("south"), mirror.OutSubject("north"), mirror.OutSubject("south"), mirror.Hello("south"), mirror.Who("south"), mirror.PullSubject("south"),
		mirror.Command("south"), mirror.Wake("south"), mirror.InboxPrefix("south") + ".x", "$SYS.REQ.ACCOUNT.PING",
	} {
		if err := north.PublishMsg(&nats.Msg{Subject: subject, Reply: mirror.InboxPrefix("north") + ".x", Data: []byte(`{"batch":1,"seq":1}`)}); err != nil {
			t.Fatal(err)
		}
		if err := north.Flush(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-denied:
		case <-time.After(5 * time.Second):
			t.Errorf("north may publish to %s", subject)
		}
	}
	for _, subject := range []string{">", "gatewayd.>", mirror.OutSubject("south"), mirror.EventSubject("*"), mirror.Command("south"), "gatewayd.gw.*.wake", mirror.InboxPrefix("south") + ".>", "_INBOX.>", mirror.Hello("*")} {
		if _, err := north.ChanSubscribe(subject, heard); err != nil {
			t.Fatal(err)
		}
		if err := north.Flush(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-denied:
		case <-time.After(5 * time.Second):
			t.Errorf("north may listen to %s", subject)
		}
	}
	// South's message is still south's.
	info, err := c.Info(t.Context())
	if err != nil || info.NumAckPending != 1 {
		t.Errorf("south has %v unacknowledged, %v", info, err)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Error(err)
	}
	if len(heard) > 0 {
		t.Errorf("north heard %s", (<-heard).Subject)
	}
}

// entered tells whether credentials open the hub.
func (r *rig) entered(name, creds string) bool {
	nc, err := r.dial(name, creds)
	if err == nil {
		nc.Close()
	}
	return err == nil
}

func TestRevokedCredentialsAreOutAtOnce(t *testing.T) {
	r := newRig(t, nil)
	first := r.add("north", "")
	closed := make(chan struct{}, 10)
	dial := func(creds string) {
		if _, err := r.dial("north", creds, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { closed <- struct{}{} })); err != nil {
			t.Fatal(err)
		}
	}
	out := func(what string) {
		t.Helper()
		select {
		case <-closed:
		case <-time.After(5 * time.Second):
			t.Fatal("still connected: ", what)
		}
	}
	eventually(t, "it is known", func() bool { return r.prepared("north") })
	dial(first)
	second, err := r.Rotate(t.Context(), "north", 0)
	if err != nil {
		t.Fatal(err)
	}
	out("with the credentials before")
	if r.entered("north", first) || !r.entered("north", second) {
		t.Error("the new credentials are to hold, and the ones before not")
	}
	third, err := r.Rotate(t.Context(), "north", time.Hour)
	if err != nil || !r.entered("north", second) || !r.entered("north", third) {
		t.Error("while they overlap both hold:", err)
	}
	dial(third)
	yes, no := true, false
	g, err := r.Change(t.Context(), "north", sms.GatewayChange{Disabled: &yes})
	if err != nil || g.State() != sms.GatewayDisabled {
		t.Fatal(g.State(), err)
	}
	out("disabled")
	if r.entered("north", third) {
		t.Error("a disabled gateway came in")
	}
	if _, err := r.Change(t.Context(), "north", sms.GatewayChange{Disabled: &no}); err != nil || !r.entered("north", third) {
		t.Error("an enabled gateway is to come in:", err)
	}
	dial(third)
	if err := r.Delete(t.Context(), "north"); err != nil {
		t.Fatal(err)
	}
	out("deleted")
	r.add("north", "") // another one of this name
	r.stop()
	r.open(nil) // what is revoked stays so
	if r.entered("north", third) {
		t.Error("the credentials of a deleted gateway hold after a restart")
	}
	if _, err := r.Gateway(t.Context(), "south"); !errors.Is(err, sms.ErrNoGateway) {
		t.Error(err)
	}
}

func TestWhatIsWrongWithAName(t *testing.T) {
	r := newRig(t, nil)
	r.add("north", "a-group")
	for _, n := range []sms.NewGateway{{Name: ""}, {Name: "North"}, {Name: "a.b"}, {Name: "-a"}, {Name: "*"}, {Name: "a", Group: ">"}, {Name: "a", Title: "a\nb"}} {
		var wrong *sms.WrongGateway
		if _, _, err := r.Add(t.Context(), n); !errors.As(err, &wrong) {
			t.Errorf("%+v: %v", n, err)
		}
	}
	if _, _, err := r.Add(t.Context(), sms.NewGateway{Name: "north"}); !errors.Is(err, sms.ErrGatewayExists) {
		t.Error(err)
	}
	eventually(t, "it is known", func() bool { return r.Wanted("north") })
	if !r.Wanted("group:a-group") || r.Wanted("south") || r.Wanted("group:") || r.Wanted("group:north") {
		t.Error("what a message may name")
	}
}
