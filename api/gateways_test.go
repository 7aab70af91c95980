package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// fakeFleet stands for a hub, which checks more.
type fakeFleet struct {
	mu     sync.Mutex // of all, where it changes while pages are open
	all    []sms.Gateway
	mirror sms.Mirror
	check  sms.CheckResult
	moved  sms.MoveResult
	err    error
	asked  []string
	url    string
	waits  map[string]int
	why    string
	none   bool // no gateway takes what is handed in
}

func (f *fakeFleet) note(format string, args ...any) {
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

func (f *fakeFleet) find(name string) (*sms.Gateway, error) {
	for i := range f.all {
		if f.all[i].Name == name {
			return &f.all[i], f.err
		}
	}
	return &sms.Gateway{}, fmt.Errorf("%q: %w", name, sms.ErrNoGateway)
}

func (f *fakeFleet) Gateways(context.Context) ([]sms.Gateway, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.all), f.err
}

func (f *fakeFleet) Gateway(_ context.Context, name string) (sms.Gateway, error) {
	g, err := f.find(name)
	return *g, err
}

func (f *fakeFleet) Add(_ context.Context, n sms.NewGateway) (sms.Gateway, string, error) {
	if g, _ := f.find(n.Name); g.Name != "" {
		return sms.Gateway{}, "", fmt.Errorf("%s: %w", n.Name, sms.ErrGatewayExists)
	}
	if n.Name == "" {
		return sms.Gateway{}, "", &sms.WrongGateway{Field: "name", Detail: "is missing"}
	}
	g := sms.Gateway{Name: n.Name, Title: n.Title, Group: n.Group, CreatedAt: time.Now()}
	f.all = append(f.all, g)
	slices.SortFunc(f.all, func(a, b sms.Gateway) int { return cmp.Compare(a.Name, b.Name) })
	return g, fakeCredentials, f.err
}

func (f *fakeFleet) Change(_ context.Context, name string, c sms.GatewayChange) (sms.Gateway, error) {
	g, err := f.find(name)
	if err != nil {
		return *g, err
	}
	b, _ := json.Marshal(c)
	f.note("change %s %s", name, b)
	g.Title, g.Group, g.Disabled = or(c.Title, g.Title), or(c.Group, g.Group), or(c.Disabled, g.Disabled)
	if c.Configuration != nil {
		g.Configuration.Wanted = *c.Configuration
		g.Configuration.Version++
	}
	return *g, nil
}

func (f *fakeFleet) Delete(_ context.Context, name string) error {
	f.note("delete %s", name)
	g, err := f.find(name)
	if err == nil && g.Stored > 0 {
		err = fmt.Errorf("it has %d messages that are not over: %w", g.Stored, sms.ErrGatewayBusy)
	}
	return err
}

func (f *fakeFleet) Rotate(_ context.Context, name string, overlap time.Duration) (string, error) {
	f.note("rotate %s %s", name, overlap)
	_, err := f.find(name)
	return fakeCredentials, err
}

func (f *fakeFleet) Move(_ context.Context, name, to string) (sms.MoveResult, error) {
	f.note("move %s %q", name, to)
	_, err := f.find(name)
	if to == "mars" {
		err = &sms.WrongGateway{Field: "to", Detail: "is neither a gateway nor a group"}
	}
	return f.moved, err
}

func (f *fakeFleet) Check(_ context.Context, name string) (sms.CheckResult, error) {
	f.note("check %s", name)
	g, err := f.find(name)
	if err == nil && !g.Connected {
		err = fmt.Errorf("%s: %w", name, sms.ErrGatewayAway)
	}
	return f.check, err
}

func (f *fakeFleet) Mirror(_ context.Context, name string) (sms.Mirror, error) {
	_, err := f.find(name)
	return f.mirror, err
}

func (f *fakeFleet) Waiting() map[string]int                          { return f.waits }
func (f *fakeFleet) WaitsFor(context.Context, string) (string, error) { return f.why, nil }

func (f *fakeFleet) URL() string { return cmp.Or(f.url, "tls://hub.example.org:4222") }

// NoneFor and Wanted are the desk's side.
func (f *fakeFleet) NoneFor(_ context.Context, drafts []queue.Draft) []bool {
	return slices.Repeat([]bool{f.none}, len(drafts))
}

func (f *fakeFleet) Wanted(name string) bool {
	group, ok := strings.CutPrefix(name, "group:")
	return slices.ContainsFunc(f.all, func(g sms.Gateway) bool { return ok && g.Group == group || g.Name == name })
}

const fakeCredentials = "-----BEGIN NATS USER JWT-----\na.secret.thing\n------END NATS USER JWT------\n"

func newFakeFleet() *fakeFleet {
	at := time.Now().Add(-3 * time.Hour)
	ring := sms.Ring{Capacity: 1000, Depth: 3, LastRetrieved: new(int), LastSent: new(int)}
	*ring.LastRetrieved, *ring.LastSent = 17, 16
	region, to := "AT", []string{"+436641234567"}
	return &fakeFleet{
		all: []sms.Gateway{
			{Name: "graz", Title: "Graz, Herrengasse 3", Group: "austria", Connected: true, Since: at, SeenAt: time.Now(), Version: "1.2.3", ClockTrusted: true, Epoch: 2,
				Waiting: 4, InLink: 2, Stored: 3, Rings: sms.Rings{Outbound: ring}, CreatedAt: at, CredentialsAt: at,
				Modems: []sms.Modem{
					{Name: "office", State: sms.Ready, Number: "+436640000001", ICCID: "8943000000000000001", Operator: "A Mobile"},
					{Name: "spare", State: sms.PINRequired, Reason: "The SIM asks for its PIN.", Advice: "Set pin in the configuration.", Since: at}},
				Alarms:        []sms.Alarm{{Code: "balance-low", Modem: "office", Title: "The balance is low", Detail: "Top it up.", BegunAt: at}},
				Configuration: sms.GatewayConfiguration{Wanted: sms.GatewaySettings{DefaultRegion: &region, AlarmsSMSTo: &to}, Version: 3, Applied: 2, Error: "default_region is set by the configuration file"}},
			{Name: "linz", Group: "austria", SeenAt: at, Since: at, Version: "1.2.2", Stored: 5},
			{Name: "wien"},
		},
		mirror: sms.Mirror{Outbound: sms.Mirrored{Hub: ring, Gateway: ring, Gap: 2}, SeenAt: at, InterruptedAt: at, ExtendedAt: at.Add(time.Minute)},
		check:  sms.CheckResult{Compared: 12, Differences: []sms.Difference{{ID: "msg_1", Field: "status", Hub: "sent", Gateway: "delivered"}}},
		moved:  sms.MoveResult{Moved: 5, MayDuplicate: 3, Kept: 1, Epoch: 3},
	}
}

// hubBox is a hub.
func hubBox(t *testing.T) (*box, *fakeFleet) {
	fleet := newFakeFleet()
	return newBox(t, settings{change: func(o *Options) {
		o.Fleet = fleet
		o.Modems.(*fakeModems).all = []sms.Modem{
			{Name: "office@graz", State: sms.Ready, Number: "+436640000001", ICCID: "8943000000000000001"},
			{Name: "spare@graz", State: sms.PINRequired}}
	}, desk: func(o *intake.Options) { o.Fleet = fleet }}), fleet
}

func TestGatewayWithoutAHub(t *testing.T) {
	b := newBox(t, settings{})
	h := bearer(b.admin)
	for _, r := range [][3]string{{"GET", "/v1/gateways"}, {"POST", "/v1/gateways", `{"name":"graz"}`}, {"GET", "/v1/gateways/graz"}, {"PATCH", "/v1/gateways/graz", `{}`},
		{"DELETE", "/v1/gateways/graz"}, {"POST", "/v1/gateways/graz/credentials"}, {"POST", "/v1/gateways/graz/move"}, {"POST", "/v1/gateways/graz/check"},
		{"GET", "/v1/gateways/graz/mirror"}, {"GET", "/gateways"}, {"GET", "/gateways/graz"}} {
		b.ask(r[0], r[1], h, r[2]).problem(noHub)
	}
	if page := b.ask("GET", "/problems/no-hub", nil, "").want(200).Body.String(); !strings.Contains(page, "gatewayd hub run") {
		t.Error("the page of the problem does not say what to do")
	}
	has(t, b.ask("GET", "/", h, "").want(200).Body.String(), nil, `href="/gateways"`)
	p := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x","gateway":"graz"}`).problem(invalidFields, "gateway")
	if !strings.Contains(p.Errors[0].Detail, "no hub") {
		t.Errorf("%+v", p)
	}
	b.nothingQueued()
}

func TestGatewaysByTheAPI(t *testing.T) {
	b, fleet := hubBox(t)
	watch := bearer(b.keyFor(auth.Watch))
	var list struct{ Gateways []map[string]any }
	b.ask("GET", "/v1/gateways", watch, "").want(200).into(&list)
	if len(list.Gateways) != 3 || list.Gateways[0]["state"] != "connected" || list.Gateways[1]["state"] != "away" || list.Gateways[2]["state"] != "new" {
		t.Errorf("%v", list)
	}
	// Who may only watch sees no numbers: neither of SIMs nor of who is told of alarms.
	for _, path := range []string{"/v1/gateways", "/v1/gateways/graz"} {
		has(t, b.ask("GET", path, watch, "").want(200).Body.String(), []string{"A Mobile"}, "+436640000001", "+436641234567", "8943000000000000001")
	}
	has(t, b.ask("GET", "/v1/gateways/graz", bearer(b.admin), "").want(200).Body.String(), []string{"+436640000001", "+436641234567", "default_region is set by"})
	b.ask("GET", "/v1/gateways?group=austria&state=away", watch, "").want(200).into(&list)
	if len(list.Gateways) != 1 || list.Gateways[0]["name"] != "linz" {
		t.Errorf("of the group, away: %v", list)
	}
	b.ask("GET", "/v1/gateways?state=ill", watch, "").problem(invalidFields, "state")

	var added struct {
		Gateway          map[string]any
		Credentials, URL string
	}
	a := b.post("/v1/gateways", b.admin, `{"name":"salzburg","title":"Salzburg","group":"austria"}`).want(201).into(&added)
	if a.Header().Get("Location") != "/v1/gateways/salzburg" || added.Credentials != fakeCredentials || added.URL != "tls://hub.example.org:4222" || added.Gateway["group"] != "austria" {
		t.Errorf("%v %s", added, a.Header())
	}
	b.post("/v1/gateways", b.admin, `{"name":"salzburg"}`).problem(conflict)
	b.post("/v1/gateways", b.admin, `{"name":"Salz burg"}`).problem(invalidFields, "name")
	b.post("/v1/gateways", b.send, `{"name":"x"}`).problem(wrongScope)
	b.ask("GET", "/v1/gateways/mars", watch, "").problem(notFound)

	b.ask("PATCH", "/v1/gateways/wien", bearer(b.admin), `{"disabled":true,"configuration":{"default_region":"AT","alarms_mail_to":["ops@example.org"],"chat_rules":{"keywords":["casino"]}}}`).want(200)
	b.post("/v1/gateways/graz/credentials", b.admin, ``).want(200)
	b.post("/v1/gateways/graz/credentials", b.admin, `{"overlap":"0s"}`).want(200)
	b.post("/v1/gateways/graz/credentials", b.admin, `{"overlap":"9000h"}`).problem(invalidFields, "overlap")
	b.post("/v1/gateways/graz/move", b.admin, `{"to":"group:austria"}`).want(200)
	b.post("/v1/gateways/graz/move", b.admin, `{"to":"mars"}`).problem(invalidFields, "to")
	b.post("/v1/gateways/graz/move", b.send, ``).problem(wrongScope)
	b.post("/v1/gateways/linz/check", b.read, ``).problem(conflict)
	has(t, b.post("/v1/gateways/graz/check", b.read, ``).want(200).Body.String(), []string{`"compared":12`, `"hub":"sent","gateway":"delivered"`})
	has(t, b.ask("GET", "/v1/gateways/graz/mirror", watch, "").want(200).Body.String(), []string{`"gap":2`, `"last_sent":16`, `"extended_at":"`})
	fleet.err = fmt.Errorf("graz: %w", context.DeadlineExceeded)
	b.post("/v1/gateways/graz/check", b.read, ``).problem(conflict)
	fleet.err, fleet.check.Differences = nil, nil
	has(t, b.post("/v1/gateways/graz/check", b.read, ``).want(200).Body.String(), []string{`"differences":[]`})
	b.ask("DELETE", "/v1/gateways/linz", bearer(b.admin), "").problem(conflict)
	b.ask("DELETE", "/v1/gateways/wien", bearer(b.admin), "").want(204)
	want := []string{
		`change wien {"Title":null,"Group":null,"Disabled":true,"Configuration":{"default_region":"AT","name":null,"alarms_sms_to":null,"alarms_mail_to":["ops@example.org"],"chat_rules":{"keywords":["casino"]}}}`,
		`rotate graz 24h0m0s`, `rotate graz 0s`, `move graz "group:austria"`, `move graz "mars"`, `check linz`, `check graz`, `check graz`, `check graz`, `delete linz`, `delete wien`}
	if !slices.Equal(fleet.asked, want) {
		t.Errorf("the hub was asked %q", fleet.asked)
	}
}

// What names a gateway or one of the fleet's modems goes to the queue with that name.
func TestMessagesNameAGateway(t *testing.T) {
	b, _ := hubBox(t)
	for _, c := range []struct{ gateway, from, field string }{
		{"mars", "", "gateway"}, {"group:mars", "", "gateway"}, {"linz", "office@graz", "from"}, {"graz", "office", "from"}, {"", "8943000000000000002", "from"},
	} {
		b.post("/v1/messages", b.send, fmt.Sprintf(`{"to":"+491701234567","text":"x","gateway":%q,"from":%q}`, cmp.Or(c.gateway, "graz"), cmp.Or(c.from, "office@graz"))).problem(invalidFields, c.field)
	}
	b.nothingQueued()
	for _, c := range []string{`"gateway":"graz"`, `"gateway":"group:austria"`, `"from":"office@graz"`, `"from":"+436640000001"`, `"from":"8943000000000000001"`, `"gateway":"graz","from":"office@graz"`} {
		m := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x",`+c+`}`).accepted()
		var wish, pin string
		if err := b.db.Read(ctx, func(x db.Querier) error {
			return x.QueryRow(`SELECT wish, pin FROM messages WHERE id = ?`, m.ID).Scan(&wish, &pin)
		}); err != nil {
			t.Fatal(err)
		}
		if named := `"` + cmp.Or(wish, "-") + `"`; strings.Contains(c, "gateway") && !strings.Contains(c, named) || strings.Contains(c, "from") && pin != "office@graz" {
			t.Errorf("%s: wish %q, pin %q", c, wish, pin)
		}
	}
}

// Whoever sends is told when no gateway takes it now, and may have it refused then.
func TestNoGatewayTakesIt(t *testing.T) {
	b, fleet := hubBox(t)
	const message = `{"to":"+491701234567","text":"x","gateway":"graz"`
	if m := b.post("/v1/messages", b.send, message+`}`).accepted(); len(m.Warnings) != 0 {
		t.Errorf("warnings %v", m.Warnings)
	}
	fleet.none = true
	if m := b.post("/v1/messages", b.send, message+`}`).accepted(); !slices.Equal(m.Warnings, []sms.Warning{sms.WarnNoGateway}) {
		t.Errorf("warnings %v", m.Warnings)
	}
	b.post("/v1/messages", b.send, message+`,"reject_if_late":true}`).problem(tooLate)
	has(t, b.post("/v1/messages/preview", b.send, message+`}`).want(200).Body.String(), []string{`"no-gateway"`})
}

func TestMessagesOfAGateway(t *testing.T) {
	b, fleet := hubBox(t)
	waiting := submit(b, "it waits")
	fleet.why = "gateway graz is disabled"
	has(t, b.get("/messages/"+waiting.ID).want(200).Body.String(), []string{"<dt>waits because</dt><dd>gateway graz is disabled"})
	fleet.why = ""
	has(t, b.get("/messages/"+waiting.ID).want(200).Body.String(), nil, "waits because")
	first, other := submit(b, "by graz"), submit(b, "by nobody yet")
	if err := b.db.Write(func(tx *db.Tx) error {
		if _, err := tx.Exec(`UPDATE messages SET gateway = 'graz' WHERE id = ?`, first.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO relays (message, address, gateway, epoch, given_at, mirror) SELECT row, 0, 'graz', 1, 0, 4711 FROM messages WHERE id = ?`, first.ID); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO mirrored (id, direction, address, message, at) SELECT id, 'outbound', 815, row, 0 FROM messages WHERE id = ?`, other.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/v1/messages?gateway=graz", "/v1/messages?gateway=graz&q=by", "/messages?gateway=graz"} {
		has(t, b.get(target).want(200).Body.String(), []string{first.ID}, other.ID)
	}
	has(t, b.get("/messages/"+first.ID).want(200).Body.String(), []string{"<dt>gateway</dt><dd>graz", "<dt>slot at the gateway</dt><dd>4711"}, "slot at the hub")
	has(t, b.get("/messages/"+other.ID).want(200).Body.String(), []string{"<dt>slot at the hub</dt><dd>815"}, "slot at the gateway")
}

// What is to be copied names the hub as whoever asks has found it.
func TestWhereTheHubIs(t *testing.T) {
	for told, want := range map[string]string{
		"tls://0.0.0.0:4222": "tls://sms.example.org:4222", "nats://127.0.0.1:4222": "nats://127.0.0.1:4222", "tls://[::]:4222": "tls://sms.example.org:4222",
		"tls://hub.example.org:4222": "tls://hub.example.org:4222", "tls://10.0.0.1:4222,tls://10.0.0.2:4222": "tls://10.0.0.1:4222,tls://10.0.0.2:4222",
	} {
		r := httptest.NewRequest("GET", "https://sms.example.org:8443/gateways", nil)
		if got := hubURL(r, &fakeFleet{url: told}); got != want {
			t.Errorf("%s: %s, want %s", told, got, want)
		}
	}
	r := httptest.NewRequest("GET", "https://[2001:db8::1]:8443/gateways", nil)
	if got := hubURL(r, &fakeFleet{url: "tls://0.0.0.0:4222"}); got != "tls://[2001:db8::1]:4222" {
		t.Error(got)
	}
}
