package api

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/auth"
	"gatewayd/sms"
)

func TestGatewaysPages(t *testing.T) {
	b, fleet := hubBox(t)
	// What no gateway is to send yet: why is told to who may read.
	fleet.waits = map[string]int{"no route fits its number": 2, "no gateway has said that it has the SIM +436645": 1}
	has(t, b.get("/gateways").want(200).Body.String(), []string{"<li>2 messages wait here: no route fits its number.</li>", "1 message waits here: no gateway"})
	has(t, b.ask("GET", "/gateways", bearer(b.keyFor(auth.Watch)), "").want(200).Body.String(), nil, "here: no")
	fleet.waits = nil
	for _, who := range []string{b.keyFor(auth.Watch), b.read} {
		page := b.ask("GET", "/gateways", bearer(who), "").want(200).Body.String()
		has(t, page, []string{`href="/gateways/graz"`, "Graz, Herrengasse 3", "1 of 2 modems ready", "Connected for 3 h 0 min.", "Group austria.", "Version 1.2.3.",
			"<b>4</b> waiting", "<b>2</b> in the link", "<b>3</b> stored there", "office: The balance is low", "default_region is set by the configuration file",
			"Away for 3 h 0 min", "It has never connected.", "1 of 3 gateways are connected, 1 away, 1 new; 1 of 2 modems are ready.", `href="/gateways?group=austria"`},
			"Add a gateway", "+43664")
	}
	has(t, b.get("/gateways?state=away").want(200).Body.String(), []string{`href="/gateways/linz"`}, `href="/gateways/graz"`)
	page := b.ask("GET", "/gateways/graz", bearer(b.keyFor(auth.Watch)), "").want(200).Body.String()
	has(t, page, []string{"Hub → gateway", "Gateway → hub", "last confirmed", "<td>17</td><td>17</td>", "3 of 1,000", "Gap <b>2</b>", "The link is interrupted", "counts as extended since",
		`id="modem-spare@graz"`, "SIM needs its PIN", "The balance is low", "Top it up.", "Version 3 is wanted, version 2 is applied.", "It could not be applied: default_region"},
		"+43664", `value="rotate"`, `value="check"`, "Manage")
	has(t, b.get("/gateways/graz").want(200).Body.String(), []string{`value="check"`, `href="/messages?gateway=graz"`, "+436640000001"}, `value="rotate"`, "+436641234567")
	has(t, b.ask("GET", "/gateways/graz", bearer(b.admin), "").want(200).Body.String(), []string{`value="rotate"`, "+436641234567", "Some may be sent twice.", "group:austria"})
	fleet.mirror.ExtendedAt = time.Time{}
	has(t, b.get("/gateways/graz").want(200).Body.String(), []string{"does not count as extended yet"})
	b.ask("GET", "/gateways/mars", bearer(b.read), "").problem(notFound)
}

func TestButtonsOfGateways(t *testing.T) {
	b, fleet := hubBox(t)
	admin := bearer(b.admin)
	page := b.form("/gateways", admin, "name", "salzburg", "title", "", "group", "austria").want(200).Body.String()
	has(t, page, []string{"salzburg was added", "a.secret.thing", `download="salzburg.creds" href="data:application/octet-stream;base64,`, "url: tls://hub.example.org:4222\n  credentials_file: /etc/gatewayd/hub.creds", "shown this once"})
	has(t, b.ask("GET", "/gateways", admin, "").want(200).Body.String(), nil, "a.secret.thing")
	has(t, b.form("/gateways", admin, "name", "graz", "title", "Other").want(409).Body.String(), []string{"It was not added", `value="Other"`})
	b.form("/gateways", bearer(b.read), "name", "x").problem(wrongScope)
	press := func(name string, values ...string) string {
		t.Helper()
		return b.form("/gateways/"+name, admin, values...).want(200).Body.String()
	}
	has(t, press("graz", "do", "rotate", "overlap", "0s"), []string{"a.secret.thing", "those before end now"})
	has(t, press("graz", "do", "rotate"), []string{"those before are good for 24 h 0 min more"})
	has(t, press("graz", "do", "move", "to", "group:austria"), []string{"5 messages were moved", "3 of them may be sent twice", "1 message stays"})
	has(t, press("graz", "do", "check"), []string{"1 difference", "12 messages were compared", `href="/messages/msg_1"`, "<td>sent</td><td>delivered</td>"})
	fleet.check.Differences = nil
	has(t, b.form("/gateways/graz", bearer(b.read), "do", "check").want(200).Body.String(), []string{"No difference"})
	has(t, b.form("/gateways/linz", admin, "do", "check").want(409).Body.String(), []string{"That was not possible", "the gateway is not connected"})
	has(t, b.ask("POST", "/gateways/graz", admin.with("Content-Type", "application/x-www-form-urlencoded"),
		"do=configure&set=alarms_sms_to&alarms_sms_to=%2B436641,+%2B436642+,&default_region=AT&set=box_name&box_name=").want(200).Body.String(), []string{"The gateway gets it at once"})
	has(t, press("graz", "do", "disable"), []string{"not let in", `value="enable"`})
	press("graz", "do", "enable")
	has(t, press("graz", "do", "change", "title", "Graz", "group", ""), []string{"It is changed"})
	b.form("/gateways/linz", admin, "do", "remove").want(409)
	if to := b.form("/gateways/wien", admin, "do", "remove").want(303).Header().Get("Location"); to != "/gateways" {
		t.Errorf("sent to %s", to)
	}
	b.form("/gateways/graz", admin, "do", "explode").want(400)
	for _, do := range []string{"rotate", "move", "disable", "configure", "change", "remove"} {
		b.form("/gateways/graz", bearer(b.read), "do", do).problem(wrongScope)
	}
	b.ask("POST", "/gateways/graz", b.signInWith(b.admin).with("Sec-Fetch-Site", "cross-site", "Content-Type", "application/x-www-form-urlencoded"), url.Values{"do": {"remove"}}.Encode()).problem(foreignOrigin)
	want := []string{"rotate graz 0s", "rotate graz 24h0m0s", `move graz "group:austria"`, "check graz", "check graz", "check linz",
		`change graz {"Title":null,"Group":null,"Disabled":null,"Configuration":{"default_region":null,"name":"","alarms_sms_to":["+436641","+436642"],"alarms_mail_to":null,"chat_rules":null}}`,
		`change graz {"Title":null,"Group":null,"Disabled":true,"Configuration":null}`, `change graz {"Title":null,"Group":null,"Disabled":false,"Configuration":null}`,
		`change graz {"Title":"Graz","Group":"","Disabled":null,"Configuration":null}`, "delete linz", "delete wien"}
	if !slices.Equal(fleet.asked, want) {
		t.Errorf("the hub was asked\n%s", strings.Join(fleet.asked, "\n"))
	}
}

// A hub has no modems of its own: its status page tells of its gateways.
func TestStatusPageOfAHub(t *testing.T) {
	b, fleet := hubBox(t)
	page := b.ask("GET", "/", bearer(b.admin), "").want(200).Body.String()
	has(t, page, []string{"Texts can be sent, but not by every gateway.", "graz: 1 of 2 modems are ready", "linz: away for 3 h 0 min", "linz: Look at the power",
		`<a href="/gateways/graz">office@graz</a>: The balance is low`, `name="gateway"`, `<option value="group:austria">`, `<option>office@graz</option>`, `href="/gateways"`},
		"Plug one in", `id="modems"`, `href="/aim"`, `name="from"`)
	if first := strings.Index(page, `data-key="linz"`); first < 0 || first > strings.Index(page, `data-key="graz"`) {
		t.Error("the one that is away does not stand first")
	}
	for _, c := range []struct {
		all  []sms.Gateway
		want string
	}{
		{nil, "No text can be sent: there is no gateway."},
		{[]sms.Gateway{{Name: "graz"}}, "No gateway has connected yet."},
		{[]sms.Gateway{{Name: "graz", Connected: true, SeenAt: time.Now(), Modems: []sms.Modem{{State: sms.Ready}}}, {Name: "linz", Disabled: true}}, "Texts can be sent."},
		{[]sms.Gateway{{Name: "graz", Connected: true, SeenAt: time.Now(), Modems: []sms.Modem{{State: sms.Denied}}}}, "No text can be sent now."},
	} {
		fleet.all = c.all
		if s := summariseFleet(c.all, time.Now()); s.Sentence != c.want {
			t.Errorf("%+v: %q", c.all, s.Sentence)
		}
		b.live.tell(changes{gatewayChanged: 1}) // or the page from before is served
		has(t, b.get("/").want(200).Body.String(), []string{c.want})
	}
	b.form("/reset", bearer(b.admin), "modem", "office@graz").want(303)
}

func TestLiveTellsOfGateways(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		fleet := newFakeFleet()
		b := newBox(t, settings{single: true, dir: dir, change: func(o *Options) { o.Fleet = fleet }})
		l := b.listen(t, "/live?after=0", bearer(b.keyFor(auth.Watch)))
		l.quiet()
		fleet.mu.Lock()
		fleet.all = slices.Clone(fleet.all)
		fleet.all[1].Connected = true
		fleet.mu.Unlock()
		time.Sleep(lookEvery + tellEvery)
		l.changed("gateway")
	})
}
