package gateway

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatewayd/db"
	hubs "gatewayd/hub"
	"gatewayd/link"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// linked runs a daemon and returns it with what stops it.
func linked(t *testing.T, o Options) (g *Gateway, stop func()) {
	t.Helper()
	o.Queue, o.Version = queue.Options{OutboundCapacity: 100, InboundCapacity: 100}, "test"
	g, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ended <- nil
	}
	t.Cleanup(stop)
	return g, stop
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 20 s: ", what)
		}
	}
}

// A gateway and its hub: the link comes up and is told, what arrives here arrives there,
// and STOP at one gateway holds at the hub and at the others.
func TestAGatewayAndItsHub(t *testing.T) {
	hub, stopHub := linked(t, Options{DataDir: t.TempDir(), Hub: &hubs.Options{Listen: "127.0.0.1:0"}})
	join := func(name string) *Gateway {
		t.Helper()
		_, credentials, err := hub.hub.Add(t.Context(), sms.NewGateway{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		file := filepath.Join(dir, "hub.creds")
		if err := os.WriteFile(file, []byte(credentials), 0o600); err != nil {
			t.Fatal(err)
		}
		g, _ := linked(t, Options{DataDir: dir, Link: &link.Options{URL: hub.hub.Address(), CredentialsFile: file}})
		return g
	}
	north, south := join("north"), join("south")
	for _, g := range []*Gateway{north, south} {
		eventually(t, "the link is up", g.link.Up)
	}
	if h := north.system().Hub; h == nil || h.Name != "north" || !h.Connected || h.Error != "" || h.Since.IsZero() {
		t.Errorf("%+v", h)
	}
	// "STOP" from +4915112345678.
	pdu, err := hex.DecodeString("0004" + "0D91" + "945111325476F8" + "0000" + "62117290000000" + "04" + "53EA130A")
	if err != nil {
		t.Fatal(err)
	}
	if err := north.queue.Receive(sms.Incoming{Modem: "office", ICCID: "8949000000000000001", PDU: pdu, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	for name, g := range map[string]*Gateway{"the hub": hub, "the other gateway": south} {
		eventually(t, name+" holds the STOP", func() (stopped bool) {
			err := g.database.Read(t.Context(), func(r db.Querier) (err error) { stopped, err = g.queue.Stopped(r, "+4915112345678"); return err })
			return err == nil && stopped
		})
	}
	eventually(t, "the hub has all", func() bool { return north.link.Status().Untold == 0 })
	stopHub()
	eventually(t, "the link is down", func() bool { return !north.link.Up() })
	if h := north.system().Hub; h.Connected || h.Error == "" {
		t.Errorf("%+v", h)
	}
	alarm := func() (c condition) {
		north.alarms.mu.Lock()
		defer north.alarms.mu.Unlock()
		if known := north.alarms.all[alarmID{hubLinkDown, ""}]; known != nil {
			c = *known
		}
		return c
	}
	eventually(t, "the alarm knows", func() bool { return alarm().holds })
	if c := alarm(); !c.holds || c.grace != time.Minute {
		t.Errorf("the alarm: %+v", c)
	}
}

// A gateway without a hub has nothing of one, and lets go of what an earlier
// configuration held for it.
func TestAGatewayWithoutAHub(t *testing.T) {
	dir := t.TempDir()
	with, stop := linked(t, Options{DataDir: dir, Link: &link.Options{URL: "nats://127.0.0.1:1", CredentialsFile: "none"}})
	eventually(t, "it says why", func() bool { return with.link.Status().Error != "" })
	stop()
	g, _ := linked(t, Options{DataDir: dir})
	readers, err := g.queue.Readers(t.Context())
	if _, ok := readers[link.Reader]; ok || err != nil || g.link != nil || g.system().Hub != nil {
		t.Errorf("%v %v %v", readers, err, g.system().Hub)
	}
}

// What a hub sets holds as if people had set it, all or nothing.
func TestWhatAHubSets(t *testing.T) {
	g, _ := linked(t, Options{DataDir: t.TempDir(), Region: "DE"})
	set := func(c mirror.Configuration) error { return g.applyFromHub(t.Context(), c) }
	name, region, other := "branch-7", "DE", "AT"
	numbers := []string{"0151 12345678", "+4915187654321"}
	rules := json.RawMessage(`{"same_text": 7}`)
	if err := set(mirror.Configuration{Name: &name, DefaultRegion: &region, AlarmsSMSTo: &numbers, ChatRules: rules}); err != nil {
		t.Fatal(err)
	}
	if got := g.settings.get(sms.SettingAlarmSMS); got != "+4915112345678,+4915187654321" || g.settings.get(sms.SettingName) != name || g.talk.chat.AbuseRules().SameText != 7 {
		t.Errorf("%q %q %d", got, g.settings.get(sms.SettingName), g.talk.chat.AbuseRules().SameText)
	}
	wrong := "branch-8"
	for _, c := range []mirror.Configuration{
		{Name: &wrong, DefaultRegion: &other}, {Name: &wrong, ChatRules: json.RawMessage(`{"same_text": -1}`)}, {Name: &wrong, ChatRules: json.RawMessage(`7`)},
	} {
		if err := set(c); err == nil || g.settings.get(sms.SettingName) != name {
			t.Errorf("%+v: %v, name %q", c, err, g.settings.get(sms.SettingName))
		}
	}
}
