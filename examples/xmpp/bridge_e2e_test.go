//go:build e2e

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mellium.im/sasl"
	"mellium.im/xmlstream"
	"mellium.im/xmpp"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

const (
	password  = "secret of everybody"
	smsDomain = "sms.localhost"
)

// place is a real Prosody, a gatewayd with a simulated network, and the bridge
// between them, each a process of its own.
type place struct {
	t       *testing.T
	dir     string
	c2s     string // where clients connect
	ports   string // where components do
	gateway string
	key     string
	binary  string // of the bridge
	bridge  *exec.Cmd
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, dir: t.TempDir(), c2s: free(t), ports: free(t)}
	p.binary = filepath.Join(p.dir, "gatewayd-xmpp")
	run(t, ".", "go", "build", "-race", "-o", p.binary, ".")
	p.startProsody()
	p.startGateway()
	p.startBridge()
	t.Cleanup(func() {
		if p.bridge != nil {
			p.kill()
		}
		if t.Failed() {
			for _, name := range []string{"prosody.log", "bridge.log", "gateway.log"} {
				b, _ := os.ReadFile(filepath.Join(p.dir, name))
				t.Logf("%s:\n%s", name, b)
			}
		}
	})
	return p
}

// free is a loopback address that nobody listens on, outside of the range of which
// systems take the ports of connections: nothing takes it before it is used.
func free(t *testing.T) string {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if _, given := given.LoadOrStore(address, true); given {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

var given sync.Map

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// background starts a program that ends with the test; its log goes to a file.
func (p *place) background(log, name string, env []string, args ...string) *exec.Cmd {
	p.t.Helper()
	f, err := os.OpenFile(filepath.Join(p.dir, log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	return cmd
}

func (p *place) endsWithTheTest(cmd *exec.Cmd) {
	p.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
}

func (p *place) startProsody() {
	config := fmt.Sprintf(`
run_as_root = true
daemonize = false
pidfile = %q
data_path = %q
certificates = %q
log = { { levels = { min = "info" }; to = "console" } }
modules_enabled = { "disco", "roster", "saslauth", "offline" }
modules_disabled = { "s2s", "tls" }
authentication = "internal_plain"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
interfaces = { "127.0.0.1" }
component_interfaces = { "127.0.0.1" }
c2s_ports = { %s }
component_ports = { %s }
c2s_direct_tls_ports = { }
VirtualHost "localhost"
Component %q
  component_secret = "shared"
`, filepath.Join(p.dir, "prosody.pid"), p.dir, p.dir, port(p.c2s), port(p.ports), smsDomain)
	file := filepath.Join(p.dir, "prosody.cfg.lua")
	accounts := filepath.Join(p.dir, "localhost", "accounts")
	err := errors.Join(os.WriteFile(file, []byte(config), 0o600), os.MkdirAll(accounts, 0o700))
	for _, user := range []string{"owner", "alice", "mallory"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(accounts, user+".dat"), []byte(fmt.Sprintf("return { [\"password\"] = %q; };\n", password)), 0o600))
	}
	if err != nil {
		p.t.Fatal(err)
	}
	path, err := exec.LookPath("prosody")
	if err != nil {
		p.t.Fatal("there is no prosody: scripts/ensure prosody installs it")
	}
	p.endsWithTheTest(p.background("prosody.log", path, nil, "--config", file, "-F"))
	for _, address := range []string{p.c2s, p.ports} {
		p.eventually("Prosody listens", func() bool {
			c, err := net.Dial("tcp", address)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
}

func (p *place) startGateway() {
	binary := os.Getenv("E2E_BINARY")
	if binary == "" {
		binary = filepath.Join(p.dir, "gatewayd")
		run(p.t, "../..", "go", "build", "-trimpath", "-o", binary, "./cmd/gatewayd")
	}
	address := free(p.t)
	p.gateway = "http://" + address
	p.endsWithTheTest(p.background("gateway.log", binary, nil, "demo", "--modems", "1", "--latency", "100ms", "--listen", address))
	p.eventually("the gateway's demo has told its key", func() bool {
		b, _ := os.ReadFile(filepath.Join(p.dir, "gateway.log"))
		p.key = string(regexp.MustCompile(`gw_\w+`).Find(b))
		return p.key != "" && bytes.Contains(b, []byte("Ctrl-C"))
	})
}

func (p *place) startBridge() {
	connected := func() int {
		b, _ := os.ReadFile(filepath.Join(p.dir, "bridge.log"))
		return bytes.Count(b, []byte("connected to "))
	}
	before := connected()
	p.bridge = p.background("bridge.log", p.binary, []string{"GATEWAYD_KEY=" + p.key, "XMPP_SECRET=shared"},
		"-gateway", p.gateway, "-server", p.ports, "-domain", smsDomain, "-default", "owner@localhost", "-allow", "alice@localhost",
		"-state", filepath.Join(p.dir, "state"))
	p.eventually("the bridge is connected and knows its place in the log", func() bool {
		_, ok, err := loadState(filepath.Join(p.dir, "state"))
		return ok && err == nil && connected() > before
	})
}

func (p *place) kill() {
	_ = p.bridge.Process.Kill()
	_ = p.bridge.Wait()
	p.bridge = nil
}

func (p *place) eventually(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("not in time: %s", what)
		}
	}
}

// call asks the gateway, whose simulator has the handsets.
func (p *place) call(method, path string, body, into any) {
	p.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := http.NewRequest(method, p.gateway+path, bytes.NewReader(b))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.key)
	r.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer a.Body.Close()
	if b, err = io.ReadAll(a.Body); err != nil {
		p.t.Fatal(err)
	}
	switch {
	case a.StatusCode == http.StatusNotFound: // no such handset yet
	case a.StatusCode >= 300:
		p.t.Fatalf("%s %s: %s %s", method, path, a.Status, b)
	case into != nil:
		if err := json.Unmarshal(b, into); err != nil {
			p.t.Fatal(err)
		}
	}
}

// onHandset are the texts that a simulated phone has received.
func (p *place) onHandset(number string) (texts []string) {
	p.t.Helper()
	var all []struct {
		Incoming bool
		Text     string
	}
	p.call(http.MethodGet, "/handsets/"+number+"/messages", nil, &all)
	for _, m := range all {
		if m.Incoming {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// answer has a simulated phone write to the gateway.
func (p *place) answer(number, text string) {
	p.t.Helper()
	var list struct{ Modems []struct{ Number string } }
	p.call(http.MethodGet, "/v1/modems", nil, &list)
	p.call(http.MethodPost, "/handsets/"+number+"/messages", map[string]string{"to": list.Modems[0].Number, "text": text}, nil)
}

// person is somebody with an XMPP client.
type person struct {
	p       *place
	session *xmpp.Session
	mu      sync.Mutex
	got     []chatMessage
}

func (p *place) signIn(name string) *person {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.c2s)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	j := jid.MustParse(name + "@localhost")
	// Loopback is secure enough for a password in a test.
	session, err := xmpp.NewSession(ctx, j.Domain(), j, conn, xmpp.Secure, xmpp.NewNegotiator(func(*xmpp.Session, *xmpp.StreamConfig) xmpp.StreamConfig {
		return xmpp.StreamConfig{Features: []xmpp.StreamFeature{xmpp.SASL("", password, sasl.Plain), xmpp.BindResource()}}
	}))
	if err != nil {
		p.t.Fatalf("%s can't sign in: %v", name, err)
	}
	x := &person{p: p, session: session}
	go func() {
		_ = session.Serve(xmpp.HandlerFunc(func(t xmlstream.TokenReadEncoder, start *xml.StartElement) error {
			if start.Name.Local != "message" {
				return nil
			}
			var m chatMessage
			if err := xml.NewTokenDecoder(xmlstream.MultiReader(xmlstream.Token(*start), t)).Decode(&m); err != nil {
				return err
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			x.got = append(x.got, m)
			return nil
		}))
	}()
	if err := session.Send(ctx, stanza.Presence{Type: stanza.AvailablePresence}.Wrap(nil)); err != nil {
		p.t.Fatal(err)
	}
	return x
}

// write sends a text to a number and asks for a receipt.
func (x *person) write(number, id, text string) {
	x.p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := x.session.Encode(ctx, chatMessage{To: number + "@" + smsDomain, ID: id, Type: "chat", Body: text, Request: &struct{}{}}); err != nil {
		x.p.t.Fatal(err)
	}
}

// count tells how many of what came are like that.
func (x *person) count(like func(chatMessage) bool) (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, m := range x.got {
		if like(m) {
			n++
		}
	}
	return n
}

func receiptOf(id string) func(chatMessage) bool {
	return func(m chatMessage) bool { return m.Received != nil && m.Received.ID == id }
}

func textFrom(number, text string) func(chatMessage) bool {
	return func(m chatMessage) bool { return m.From == number+"@"+smsDomain && m.Body == text && m.Type == "chat" }
}

func errorOf(id, words string) func(chatMessage) bool {
	return func(m chatMessage) bool {
		return m.ID == id && m.Type == "error" && m.Error != nil && strings.Contains(m.Error.Text.Words, words)
	}
}

func (x *person) gets(what string, like func(chatMessage) bool) {
	x.p.t.Helper()
	x.p.eventually(what, func() bool { return x.count(like) > 0 })
}

// People text from their XMPP client through a real Prosody: what they write
// reaches the phone and is receipted, what the phone answers reaches who wrote
// last, and what can't be sent comes back with words.
func TestChat(t *testing.T) {
	p := newPlace(t)
	owner, alice, mallory := p.signIn("owner"), p.signIn("alice"), p.signIn("mallory")
	const phone, stranger, refused = "+491701111111", "+491702222222", "+491703333333"
	long := strings.Repeat("Grüße aus dem Süden 👍🏽 & <viel> Spaß! ", 6)

	alice.write(phone, "a1", long)
	p.eventually("the text is on the handset", func() bool { return fmt.Sprint(p.onHandset(phone)) == fmt.Sprint([]string{long}) })
	alice.gets("a receipt", receiptOf("a1"))
	answer := strings.Repeat("Antwort 🎉 ", 20)
	p.answer(phone, answer)
	alice.gets("the phone's answer", textFrom(phone, answer))
	p.answer(stranger, "who are you?")
	owner.gets("a stranger's text", textFrom(stranger, "who are you?"))

	mallory.write(phone, "m1", "I am not allowed")
	mallory.gets("an error that says so", errorOf("m1", "not send texts"))
	alice.write("nobody", "a2", "no number")
	alice.gets("an error that names the number", errorOf("a2", "to"))
	p.call(http.MethodPut, "/handsets/numbers/"+refused, map[string]any{"cms": 1, "reports": nil, "silent": false, "report_as": ""}, nil)
	alice.write(refused, "a3", "nobody has this number")
	alice.gets("an error that says what the network said", errorOf("a3", "not delivered"))

	// Killed three times between what is written and what is told: nothing is
	// lost, and nothing comes twice.
	var texts []string
	for i := range 3 {
		id, text := fmt.Sprintf("k%d", i), fmt.Sprintf("written before kill %d", i)
		texts = append(texts, text)
		alice.write(phone, id, text)
		p.eventually("the gateway has it", func() bool {
			var page struct{ Messages []message }
			p.call(http.MethodGet, "/v1/messages?limit=1&direction=outbound", nil, &page)
			return len(page.Messages) == 1 && page.Messages[0].Text != nil && *page.Messages[0].Text == text
		})
		p.answer(phone, fmt.Sprintf("answered before kill %d", i))
		if i == 1 { // the kill comes about when the answer is on its way
			p.eventually("the answer is at the gateway", func() bool {
				var page struct{ Messages []message }
				p.call(http.MethodGet, "/v1/messages?limit=1&direction=inbound", nil, &page)
				return len(page.Messages) == 1 && page.Messages[0].Text != nil && *page.Messages[0].Text == "answered before kill 1"
			})
		}
		p.kill()
		p.answer(phone, fmt.Sprintf("answered after kill %d", i))
		// What the server writes before it has noticed is lost without a word, so
		// she tries again, as one does without a receipt.
		p.eventually("the server's error", func() bool {
			alice.write(phone, fmt.Sprint("down", i), "nobody is there")
			return alice.count(errorOf(fmt.Sprint("down", i), "")) > 0
		})
		p.startBridge()
		alice.write(phone, id, text) // her client had no receipt
	}
	for i := range 3 {
		alice.gets("a receipt after a kill", receiptOf(fmt.Sprint("k", i)))
		for _, when := range []string{"before", "after"} {
			alice.gets("an answer "+when+" a kill", textFrom(phone, fmt.Sprintf("answered %s kill %d", when, i)))
		}
	}
	alice.write(phone, "last", "the last one")
	alice.gets("the last receipt", receiptOf("last"))
	ids := map[string]int{}
	alice.mu.Lock()
	for _, m := range alice.got {
		if m.Body != "" && m.Type == "chat" {
			ids[m.ID]++
		}
		if m.Origin == nil && m.Type == "chat" {
			t.Errorf("a text has no origin-id: %+v", m)
		}
	}
	alice.mu.Unlock()
	if len(ids) != 7 {
		t.Errorf("%d texts came, want 7: %v", len(ids), ids)
	}
	seen := map[string]int{}
	for _, text := range p.onHandset(phone) {
		seen[text]++
	}
	for _, text := range append(texts, long, "the last one") {
		if seen[text] != 1 {
			t.Errorf("the phone shows %q %d times", text, seen[text])
		}
	}
	if len(seen) != len(texts)+2 {
		t.Errorf("the phone shows %v", seen)
	}
}
