package gateway

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gatewayd/auth"
	hubs "gatewayd/hub"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// A hub is the same daemon: its gateways' modems are its modems, it is ready without any,
// and tells when one is away for long.
func TestTheDaemonAsAHub(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(t.Context(), Options{
		DataDir: t.TempDir(), Queue: queue.Options{OutboundCapacity: 100, InboundCapacity: 100}, Listener: listener, Version: "test",
		Hub: &hubs.Options{Listen: "127.0.0.1:0", AwayAfter: time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := g.Keys().Create(t.Context(), "test", []auth.Scope{auth.Admin}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	ask := func(method, path, body string) (status int, answer map[string]any) {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+listener.Addr().String()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		_ = json.NewDecoder(a.Body).Decode(&answer)
		return a.StatusCode, answer
	}
	if status, _ := ask("GET", "/readyz", ""); status != 200 {
		t.Errorf("/readyz: %d", status)
	}
	status, answer := ask("POST", "/v1/gateways", `{"name":"north","group":"all"}`)
	credentials, _ := answer["credentials"].(string)
	if status != 201 || credentials == "" {
		t.Fatalf("%d %v", status, answer)
	}
	file := filepath.Join(t.TempDir(), "creds")
	if err := os.WriteFile(file, []byte(credentials), 0o600); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(g.hub.Address(), nats.UserCredentials(file), nats.CustomInboxPrefix(mirror.InboxPrefix("north")))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	modems, _ := json.Marshal([]sms.Modem{{Name: "office", State: sms.Ready, Number: "+491700000000"}})
	hello, _ := json.Marshal(mirror.HelloRequest{Log: "a", Modems: modems})
	for end := time.Now().Add(10 * time.Second); ; {
		if _, err := nc.Request(mirror.Hello("north"), hello, time.Second); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if status, answer := ask("GET", "/v1/modems/office@north", ""); status != 200 || answer["state"] != "ready" {
		t.Errorf("its modem: %d %v", status, answer)
	}
	if words := g.Standing(); !strings.HasPrefix(words, "1 of 1 gateways connected") {
		t.Error(words)
	}
	for _, m := range []struct {
		body   string
		status int
	}{{`{"to":"+491700000001","text":"x","gateway":"north"}`, 202}, {`{"to":"+491700000001","text":"x","gateway":"group:all"}`, 202}, {`{"to":"+491700000001","text":"x","from":"office@north"}`, 202},
		{`{"to":"+491700000001","text":"x","gateway":"south"}`, 422}} {
		if status, answer := ask("POST", "/v1/messages", m.body); status != m.status {
			t.Errorf("%s: %d %v", m.body, status, answer)
		}
	}
	nc.Close()
	alarm := func(code string) bool {
		for _, a := range g.systemAlarms() {
			if a.Code == code && a.Modem == "north" {
				return true
			}
		}
		return false
	}
	for end := time.Now().Add(10 * time.Second); !alarm(gatewayIsAway); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no alarm: %+v", g.systemAlarms())
		}
	}
}
