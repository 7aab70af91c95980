package config

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"

	numbers "gatewayd/sms/number"
)

const secret = "whsec_bm90IGEgc2VjcmV0LCBtYWtlIHlvdXIgb3duIG9uZSE="

func write(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, content string, env ...string) (*Config, error) {
	t.Helper()
	return Load(write(t, "config.yaml", content, 0o600), env)
}

func mustLoad(t *testing.T, content string, env ...string) *Config {
	t.Helper()
	c, err := load(t, content, env...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func defaults() *Config {
	return &Config{
		DataDir:   "/var/lib/gatewayd",
		HTTP:      HTTP{Listen: "127.0.0.1:8080", MaxConnections: 4096},
		Queue:     Queue{OutboundCapacity: 100000, InboundCapacity: 100000, UnconfirmedWait: 2 * time.Minute, ReportWait: 24 * time.Hour, AssemblyWait: 24 * time.Hour},
		Disk:      Disk{Reserve: 64e6, Ballast: 16e6},
		Clock:     Clock{Trust: TrustAuto},
		Messages:  Messages{Unicode: Allow},
		Consent:   Consent{Answers: AnswersChat, Language: "en", Silence: 2160 * time.Hour},
		Chat:      Chat{IdleAfter: time.Hour, Reinvite: true, MessagesPerOptIn: 10},
		History:   History{Keep: 8760 * time.Hour, KeepTexts: 8760 * time.Hour, KeepFailedWebhooks: 720 * time.Hour, KeepReports: 17520 * time.Hour},
		Modems:    Modems{Discover: true, Calls: HangUp, CanaryWait: 5 * time.Minute},
		Mail:      Mail{TLS: StartTLS},
		Alarms:    Alarms{MinSeverity: SeverityWarning, Repeat: 24 * time.Hour, MaxPerHour: 10, QueueAge: 15 * time.Minute, WebhookFailing: 15 * time.Minute, FailureRate: 50, BackupAge: 72 * time.Hour},
		Heartbeat: Heartbeat{Method: "GET"},
		Hub:       Hub{Window: 255, AwayAfter: 5 * time.Minute, ExtendedAfter: time.Minute, Pull: PullRequest},
	}
}

func same(t *testing.T, got, want *Config) {
	t.Helper()
	g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want)
	if g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

func TestEmptyFileIsTheDefaults(t *testing.T) {
	for _, content := range []string{"", "# nothing\n", "---\n", "http:\nmodems:\n  list:\nwebhooks:\n"} {
		same(t, mustLoad(t, content), defaults())
	}
	c, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, c, defaults())
}

func TestExampleIsTheDefaults(t *testing.T) {
	b, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	same(t, mustLoad(t, string(b)), defaults())

	// Each key must stand in it, commented or not: it documents all of them.
	doc := document()
	for _, path := range doc.paths("") {
		key := strings.TrimSuffix(path[strings.LastIndexByte(path, '.')+1:], "[]")
		if !regexp.MustCompile(`(?m)^[ #-]*` + key + `:`).Match(b) {
			t.Errorf("config.example.yaml does not show %s", path)
		}
	}
}

func TestExampleUncommented(t *testing.T) {
	b, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// A comment in front of a key or of a list's entry is a sample.
	content := regexp.MustCompile(`(?m)^( *)#( *(?:- )?(?:list|routes|prefix|webhooks|name|port|number|max_\w+|balance|code|pattern|every|low|top_up|by|warn|keep_alive|text|url|secret|events|match|modem|to|from_prefix|keyword|allow_private):)`).
		ReplaceAllString(string(b), "$1$2")
	c := mustLoad(t, content)
	if len(c.Modems.List) != 1 || len(c.Webhooks) != 1 || len(c.Hub.Routes) != 1 || c.Hub.Routes[0] != (HubRoute{"+44", "group:london"}) {
		t.Fatalf("%d modems, %d webhooks and the routes %v in the sample", len(c.Modems.List), len(c.Webhooks), c.Hub.Routes)
	}
	m := Modem{Name: "office", Port: "/dev/serial/by-id/usb-HUAWEI_Mobile-if00-port0", Number: "+491700000000", AllowRoaming: true, MaxPerMinute: 15, MaxPerDay: 1000,
		Balance:   Balance{Code: "*100#", Pattern: "Balance: ([0-9.,]+)", Every: 24 * time.Hour, Low: "2.00"},
		TopUp:     TopUp{By: time.Date(2027, 1, 31, 0, 0, 0, 0, time.Local), Warn: 336 * time.Hour},
		KeepAlive: KeepAlive{Every: 720 * time.Hour, To: "+491700000001", Text: "still in use"}}
	if c.Modems.List[0] != m {
		t.Errorf("the sample modem is %+v", c.Modems.List[0])
	}
	if w := c.Webhooks[0]; w.Name != "chat" || w.Secret.Reveal() != secret || len(w.Events) != 4 || w.AllowPrivate || w.Match != (Match{}) {
		t.Errorf("the sample webhook is %+v", w)
	}
}

func TestEverythingSet(t *testing.T) {
	pinFile := write(t, "pin", "0012\n", 0o600)
	secretFile := write(t, "secret", secret+"\n"+secret+"\n", 0o600)
	c := mustLoad(t, `
data_dir: data
default_region: no
http: {listen: "[::1]:0", metrics_open: true}
queue: {outbound_capacity: 10, inbound_capacity: 20, unconfirmed_wait: 90s, report_wait: 1h}
history: {keep: 48h, keep_texts: 24h}
modems:
  discover: false
  list:
    - {name: a, port: /dev/ttyUSB0, pin: 0012, number: +491700000000, max_per_minute: 0, max_per_day: 1}
    - {name: b, imei: 490154203237518, pin_file: `+pinFile+`, max_per_month: 2, max_recipients_per_month: 3}
    - {name: c, iccid: 89490200001234567890}
mail: {host: smtp.example.org, from: sms@example.org}
webhooks:
  - url: http://127.0.0.1:9000/x?token=1
    secret_file: `+secretFile+`
    events: ["*"]
    match: {modem: a, to: +491700000000, from_prefix: +49, keyword: help}
    allow_private: true
    stop: true
    headers: ["Authorization: Bearer a:b", "X-Empty:"]
  - url: mailto:on-call@example.org,b@example.org
    events: [alarm.begin]
`)
	if !filepath.IsAbs(c.DataDir) || filepath.Base(c.DataDir) != "data" || c.DefaultRegion != "NO" {
		t.Errorf("data_dir %q, region %q", c.DataDir, c.DefaultRegion)
	}
	// YAML alone would read the PIN as octal ten and drop the number's plus.
	if m := c.Modems.List[0]; m.PIN.Reveal() != "0012" || m.Number != "+491700000000" || m.MaxPerMinute != 0 || m.MaxPerDay != 1 {
		t.Errorf("modem a: %+v, PIN %q", m, m.PIN.Reveal())
	}
	if m := c.Modems.List[1]; m.PIN.Reveal() != "0012" || m.IMEI != "490154203237518" || m.MaxPerMonth != 2 || m.MaxRecipientsPerMonth != 3 {
		t.Errorf("modem b: %+v, PIN %q", m, m.PIN.Reveal())
	}
	if m := c.Modems.List[2]; m.ICCID != "89490200001234567890" || m.MaxPerMinute != 15 || m.MaxPerDay != 1000 || m.MaxPerMonth != 0 {
		t.Errorf("modem c: %+v", m)
	}
	w := c.Webhooks[0]
	if w.Secret.Reveal() != secret+" "+secret || w.Match != (Match{"a", "+491700000000", "+49", "help"}) || !w.AllowPrivate || !w.Stop ||
		len(w.Headers) != 2 || w.Headers["Authorization"].Reveal() != "Bearer a:b" || strings.Contains(fmt.Sprintf("%+v", w), "Bearer") {
		t.Errorf("webhook: %+v", w)
	}
	if len(c.Warnings) != 0 {
		t.Errorf("warnings: %q", c.Warnings)
	}
}

func TestEnvironmentWinsOverTheFile(t *testing.T) {
	values := map[string]string{
		"data_dir": "/tmp", "default_region": "DE", "http.listen": "0.0.0.0:1", "http.tls.certificate": "", "http.tls.key": "", "http.lan.listen": ":4", "http.lan.name": "box",
		"http.metrics_open": "true", "http.max_connections": "16", "http.trusted_proxies": "127.0.0.1, 10.1.0.0/8", "http.allow_private_webhooks": "true", "history.keep_failed_webhooks": "8h", "history.keep_reports": "9h", "destinations.premium": "true", "queue.outbound_capacity": "1", "queue.inbound_capacity": "2", "queue.unconfirmed_wait": "3s",
		"queue.report_wait": "4s", "queue.assembly_wait": "5s", "clock.trust": "always", "messages.unicode": "reject", "history.keep": "5h", "disk.reserve": "5MB", "disk.ballast": "6MiB", "history.keep_texts": "4h", "modems.discover": "false",
		"consent.answers": "all", "consent.language": "DE", "consent.name": "Praxis Muster", "consent.contact": "+49 30 1234567", "consent.silence": "0",
		"chat.idle_after": "2h", "chat.reinvite": "false", "chat.messages_per_opt_in": "5", "chat.invitation": "{name}? YES or STOP",
		"mail.host": "smtp.example.org", "mail.port": "25", "mail.tls": "tls", "mail.username": "u", "mail.password": "p", "mail.password_file": "", "mail.from": "a@b.example",
		"modems.calls": "ring", "modems.canary.every": "6h", "modems.canary.wait": "7m",
		"alarms.min_severity": "critical", "alarms.repeat": "0", "alarms.max_per_hour": "3", "alarms.queue_age": "4m", "alarms.webhook_failing": "5m", "alarms.failure_rate": "6", "alarms.backup_age": "8h",
		"heartbeat_url": "http://10.0.0.1/x", "heartbeat_method": "POST", "heartbeat_allow_private": "true",
		"twilio.proxy_listen": "127.0.0.1:2", "twilio.tls_listen": "127.0.0.1:3",
		"log.level": "warn", "log.levels.api": "debug", "log.levels.gateway": "", "log.levels.mail": "", "log.levels.modem": "ERROR", "log.levels.ports": "", "log.levels.queue": "",
		"log.levels.hub": "", "log.levels.link": "", "hub.url": "", "hub.credentials_file": "", "hub.ca_file": "ca.pem", "hub.listen": "127.0.0.1:5", "hub.tls.certificate": "", "hub.tls.key": "",
		"hub.websocket.listen": "localhost:6", "hub.nats_url": "", "hub.nats_credentials_file": "", "hub.public_url": "https://sms.example.org/", "hub.window": "50", "hub.away_after": "1h", "hub.extended_after": "10s",
		"hub.lease": "2h", "hub.pull": "consumer", "hub.default": "group:north",
		"log.levels.twilio": "", "log.levels.webhook": "info",
	}
	var env []string
	for _, f := range scalarFields(&Config{}) {
		value, ok := values[f.path]
		if !ok {
			t.Fatalf("no value for %s in this test", f.path)
		}
		env = append(env, variable(f.path)+"="+value)
	}
	t.Chdir(t.TempDir())
	authority := httptest.NewTLSServer(nil)
	authority.Close()
	if err := os.WriteFile("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, "http: {listen: 127.0.0.1:9}\nqueue: {report_wait: 9h}\n", append(env, "PATH=/bin", "GATEWAYD_KEY=gw_1", "GATEWAYD_SERVICE_HOST=10.0.0.1")...)
	want := &Config{
		Log:     Log{Level: slog.LevelWarn, Levels: map[string]slog.Level{"api": slog.LevelDebug, "modem": slog.LevelError, "webhook": slog.LevelInfo}},
		DataDir: "/tmp", DefaultRegion: "DE",
		HTTP: HTTP{Listen: "0.0.0.0:1", LAN: LAN{":4", "box"}, MetricsOpen: true, MaxConnections: 16, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8")}, AllowPrivateWebhooks: true}, Destinations: numbers.Rules{Premium: true},
		Twilio: Twilio{"127.0.0.1:2", "127.0.0.1:3"},
		Queue:  Queue{1, 2, 3 * time.Second, 4 * time.Second, 5 * time.Second},
		Disk:   Disk{5e6, 6 << 20},
		Clock:  Clock{TrustAlways}, Messages: Messages{Reject},
		History:   History{5 * time.Hour, 4 * time.Hour, 8 * time.Hour, 9 * time.Hour},
		Modems:    Modems{Calls: Ring, CanaryEvery: 6 * time.Hour, CanaryWait: 7 * time.Minute},
		Consent:   Consent{Answers: AnswersAll, Language: "de", Name: "Praxis Muster", Contact: "+49 30 1234567"},
		Chat:      Chat{IdleAfter: 2 * time.Hour, MessagesPerOptIn: 5, Invitation: "{name}? YES or STOP"},
		Mail:      Mail{Host: "smtp.example.org", Port: 25, TLS: MailTLS, Username: "u", Password: "p", From: "a@b.example"},
		Alarms:    Alarms{MinSeverity: SeverityCritical, MaxPerHour: 3, QueueAge: 4 * time.Minute, WebhookFailing: 5 * time.Minute, FailureRate: 6, BackupAge: 8 * time.Hour},
		Heartbeat: Heartbeat{URL: "http://10.0.0.1/x", Method: "POST", AllowPrivate: true},
		Hub: Hub{CAFile: c.Hub.CAFile, Listen: "127.0.0.1:5", WebSocketListen: "localhost:6", PublicURL: "https://sms.example.org", Window: 50, AwayAfter: time.Hour, ExtendedAfter: 10 * time.Second,
			Lease: 2 * time.Hour, Pull: PullConsumer, Default: "group:north"},
	}
	if !filepath.IsAbs(c.Hub.CAFile) {
		t.Errorf("hub.ca_file is %s", c.Hub.CAFile)
	}
	want.Warnings = c.Warnings
	same(t, c, want)
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "without TLS") {
		t.Errorf("warnings: %q", c.Warnings)
	}
	if variable("http.listen") != "GATEWAYD_HTTP_LISTEN" {
		t.Error(variable("http.listen"))
	}
}

type mistake struct {
	name, content string
	env           []string
	lines         []string
}

// mistakes are configurations and the lines that they must give, whole.
var mistakes = append([]mistake{
	{"unknown key, near one", "http:\n  listn: 127.0.0.1:8080\n", nil,
		[]string{"http.listn: unknown key, did you mean http.listen? (line 2)"}},
	{"unknown key, elsewhere", "listen: 127.0.0.1:8080\n", nil,
		[]string{"listen: unknown key, did you mean http.listen? (line 1)"}},
	{"unknown key, far from all", "http:\n  colour: red\n", nil,
		[]string{"http.colour: unknown key; known here: listen, tls, lan, metrics_open, max_connections, trusted_proxies, allow_private_webhooks (line 2)"}},
	{"unknown key without a value", "quue:\n", nil,
		[]string{"quue: unknown key, did you mean queue? (line 1)"}},
	{"unknown key in a list", "modems:\n  list:\n    - name: a\n      port: /dev/a\n      prt: x\n", nil,
		[]string{"modems.list[0].prt: unknown key, did you mean modems.list[0].port? (line 5)"}},
	{"upper case", "HTTP:\n  listen: 127.0.0.1:1\n", nil,
		[]string{"HTTP: unknown key, did you mean http? (line 1)"}},
	{"a flat key", "http.listen: 127.0.0.1:1\n", nil,
		[]string{"http.listen: unknown key; known here: data_dir, default_region, http, twilio, queue, destinations, disk, clock, history, messages, modems, consent, chat, mail, alarms, heartbeat_url, heartbeat_method, heartbeat_allow_private, log, hub, webhooks (line 1)"}},
	{"twice", "data_dir: /a\ndata_dir: /b\n", nil,
		[]string{"data_dir: this key stands here twice (line 2)"}},
	{"shapes", "http: 8080\nqueue: [1]\nmodems: {list: {name: a}}\ndata_dir: {a: b}\n", nil, []string{
		"http: a section is expected here, with the keys listen, tls, lan, metrics_open, max_connections, trusted_proxies, allow_private_webhooks (line 1)",
		"queue: a section is expected here, with the keys outbound_capacity, inbound_capacity, unconfirmed_wait, report_wait, assembly_wait (line 2)",
		"modems.list: a list is expected here, each entry behind a dash (line 3)",
		"data_dir: one value is expected here, not a list or a section (line 4)"}},
	{"not a mapping", "- a\n", nil,
		[]string{"a section is expected here, with the keys data_dir, default_region, http, twilio, queue, destinations, disk, clock, history, messages, modems, consent, chat, mail, alarms, heartbeat_url, heartbeat_method, heartbeat_allow_private, log, hub, webhooks"}},
	{"every mistake at once", "http:\n  listen: \"8080\"\nqueue:\n  outbound_capacity: many\n  report_wait: 60\ndefault_region: UK\nmodems:\n  discover: perhaps\n", nil, []string{
		`http.listen: "8080" is not allowed: an address and a port from 0 to 65535, such as 127.0.0.1:8080, [::1]:8080 or :8080 (line 2)`,
		`queue.outbound_capacity: "many" is not allowed: a whole number from 1 to 10000000 (line 4)`,
		`queue.report_wait: "60" is not allowed: a number and its unit, such as 90s, 2m or 24h (line 5)`,
		`default_region: "UK" is not allowed: the two letters of a country, such as DE (GB for the United Kingdom) (line 6)`,
		`modems.discover: "perhaps" is not allowed: true or false (line 8)`}},
	{"bounds", "queue: {inbound_capacity: 0, unconfirmed_wait: -1s, report_wait: 10000h}\nhistory: {keep: 24h, keep_texts: 25h}\n", nil, []string{
		`queue.inbound_capacity: "0" is not allowed: a whole number from 1 to 10000000 (line 1)`,
		`queue.unconfirmed_wait: "-1s" is not allowed: a duration from 100ms to 720h (line 1)`,
		`queue.report_wait: "10000h" is not allowed: a duration from 100ms to 720h (line 1)`,
		`history.keep_texts: "25h" is not allowed: texts go with their messages, so at most history.keep, which is 24h (line 2)`}},
	{"chat", "chat:\n  idle_after: 1s\n  messages_per_opt_in: 0\n  invitation: Hello?\n", nil, []string{
		`chat.idle_after: "1s" is not allowed: a duration from 1m to 720h (line 2)`,
		`chat.messages_per_opt_in: "0" is not allowed: a whole number from 1 to 1000 (line 3)`,
		`chat.invitation: "Hello?" is not allowed: a text of one line with {name} and STOP in it, 300 bytes at most (line 4)`}},
	{"consent", "consent:\n  answers: some\n  language: german\n  silence: 1h\n  quiet_hours:\n    - {destination: XX, from: 9pm, until: \"08:00\", time_zone: Berlin}\n    - {from: \"21:00\"}\n  words:\n    - {stop: [\"!\"]}\n  texts:\n    - {language: sv}\n    - {language: SV}\n", nil, []string{
		`consent.answers: "some" is not allowed: chat or all or none (line 2)`,
		`consent.language: "german" is not allowed: the two letters of a language, such as de (line 3)`,
		`consent.silence: "1h" is not allowed: 0 for never, or a duration from 24h to 876000h (line 4)`,
		`consent.quiet_hours[0].destination: "XX" is not allowed: must be a country such as DE, the first digits of numbers such as +43, a short code such as 12345, or short-codes (line 6)`,
		`consent.quiet_hours[0].from: "9pm" is not allowed: a time of day such as "21:00" (line 6)`,
		`consent.quiet_hours[0].time_zone: "Berlin" is not allowed: a time zone such as Europe/Berlin (line 6)`,
		`consent.quiet_hours[1].until: a time of day is needed, such as "21:00"; the same for from and until is no quiet hours at all (line 7)`,
		`consent.words[0].language: the two letters of a language, such as de (line 9)`,
		`consent.words[0].stop[0]: "!" is not allowed: a word, or a few, of at most 60 bytes (line 9)`,
		`consent.texts[1].language: "sv" is not allowed: this language has texts already; join the two entries (line 12)`}},
	{"sizes", "disk: {reserve: 64 mega, ballast: 100KB}\n", nil, []string{
		`disk.reserve: "64 mega" is not allowed: 0 for none, or an amount of bytes from 1MiB to 1024GiB, such as 64MB (line 1)`,
		`disk.ballast: "100KB" is not allowed: 0 for none, or an amount of bytes from 1MiB to 1024GiB, such as 64MB (line 1)`}},
	{"port", "http: {listen: 127.0.0.1:70000}\n", nil,
		[]string{`http.listen: "127.0.0.1:70000" is not allowed: an address and a port from 0 to 65535, such as 127.0.0.1:8080, [::1]:8080 or :8080 (line 1)`}},
	{"tls half", "http: {tls: {certificate: /c.pem}}\n", nil,
		[]string{"http.tls.key: the certificate's private key is needed too (a PEM file) (line 1)"}},
	{"tls other half", "http: {tls: {key: /k.pem}}\n", nil,
		[]string{"http.tls.certificate: the key's certificate is needed too (a PEM file) (line 1)"}},
	{"tls missing files", "http: {tls: {certificate: /no/c.pem, key: /no/k.pem}}\n", nil,
		[]string{`http.tls.certificate: "/no/c.pem" is not allowed: certificate and key can't be used: no such file or directory (line 1)`}},
	{"modem", "modems:\n  list:\n    - {}\n    - {name: 1st, port: ttyUSB0}\n    - {name: a b, imei: 12, iccid: x, pin: 12, number: 0170123}\n    -\n", nil, []string{
		"modems.list[0].name: every modem needs a name, such as office (line 3)",
		"modems.list[0]: one of port, imei and iccid says which modem it is; none is given (line 3)",
		`modems.list[1].name: "1st" is not allowed: a letter, then up to 31 letters, digits, dots, dashes and underscores (A-Z, a-z) (line 4)`,
		`modems.list[1].port: "ttyUSB0" is not allowed: the absolute path of a serial port, such as /dev/serial/by-id/… or /dev/ttyUSB0 (line 4)`,
		`modems.list[2].name: "a b" is not allowed: a letter, then up to 31 letters, digits, dots, dashes and underscores (A-Z, a-z) (line 5)`,
		`modems.list[2].imei: "12" is not allowed: the 15 digits of the modem's IMEI (line 5)`,
		`modems.list[2].iccid: "x" is not allowed: the 18 to 20 digits of the SIM's ICCID (line 5)`,
		"modems.list[2].pin: a SIM's PIN has 4 to 8 digits (line 5)",
		`modems.list[2].number: "0170123" is not allowed: a number in international form, such as +491700000000 (line 5)`,
		"modems.list[2]: one of port, imei and iccid says which modem it is; imei and iccid are given (line 5)",
		"modems.list[3].name: every modem needs a name, such as office (line 6)",
		"modems.list[3]: one of port, imei and iccid says which modem it is; none is given (line 6)"}},
	{"modems twice", "modems:\n  list:\n    - {name: a, port: /dev/a, number: +491700000001}\n    - {name: A, port: /dev/a, number: +491700000001}\n", nil, []string{
		`modems.list[1].name: "A" is not allowed: taken by modems.list[0].name already (line 4)`,
		`modems.list[1].port: "/dev/a" is not allowed: taken by modems.list[0].port already (line 4)`,
		`modems.list[1].number: "+491700000001" is not allowed: taken by modems.list[0].number already (line 4)`}},
	{"pin twice", "modems:\n  list:\n    - {name: a, port: /dev/a, pin: 1234, pin_file: /no}\n", nil,
		[]string{"modems.list[0].pin_file: pin and pin_file are both given; keep one (line 3)"}},
	{"pin file missing", "modems:\n  list:\n    - {name: a, port: /dev/a, pin_file: /no/pin}\n", nil,
		[]string{`modems.list[0].pin_file: "/no/pin" is not allowed: the file can't be read: no such file or directory (line 3)`}},
	{"pin file is a device", "modems:\n  list:\n    - {name: a, port: /dev/a, pin_file: /dev/zero}\n", nil,
		[]string{`modems.list[0].pin_file: "/dev/zero" is not allowed: a regular file is expected (line 3)`}},
	{"account", "modems:\n  calls: answer\n  list:\n    - {name: a, port: /dev/a, balance: {low: 2 EUR, every: 1m}, top_up: {warn: 1h}, keep_alive: {text: x}}\n" +
		"    - {name: b, port: /dev/b, balance: {code: \"*1a\", pattern: \"(\"}, top_up: {by: 31.1.2027}, keep_alive: {to: 0170, text: x}}\n" +
		"    - {name: c, port: /dev/c, balance: {code: \"*100#\", pattern: \"[0-9]+\"}}\n", nil, []string{
		`modems.calls: "answer" is not allowed: hang-up or ring (line 2)`,
		`modems.list[0].balance.every: "1m" is not allowed: a duration from 1h to 8784h (line 4)`,
		`modems.list[0].balance.low: "2 EUR" is not allowed: an amount such as 2.00, without a currency (line 4)`,
		`modems.list[0].balance.code: the USSD code that tells the balance, such as "*100#", is needed too (line 4)`,
		`modems.list[0].top_up.by: the day by which the SIM must be topped up, such as 2027-01-31, is needed too (line 4)`,
		`modems.list[0].keep_alive.to: the number that the text goes to is needed too (line 4)`,
		`modems.list[1].balance.code: "*1a" is not allowed: it must consist of digits, *, # and +, such as *100# (line 5)`,
		"modems.list[1].balance.pattern: \"(\" is not allowed: a regular expression in Go's syntax; error parsing regexp: missing closing ): `(` (line 5)",
		`modems.list[1].top_up.by: "31.1.2027" is not allowed: a day such as 2027-01-31 (line 5)`,
		`modems.list[1].keep_alive.to: "0170" is not allowed: a number in international form, such as +491700000000, or a short code of 3 to 6 digits (line 5)`,
		`modems.list[2].balance.pattern: "[0-9]+" is not allowed: a regular expression with one group in parentheses, which is the amount; it has 0; (?:…) is no group (line 6)`}},
	{"webhook", "webhooks:\n  - {}\n  - {url: ftp://x, secret: whsec_short}\n  - {url: https://x.example, secret: " + secret + ", events: []}\n  - {url: https://y.example, secret: " + secret + ", events: [message.recieved, alarm.start]}\n", nil, []string{
		"webhooks[0].url: every webhook needs the address that events are posted to (line 2)",
		"webhooks[0].secret: secret or secret_file is needed: " + errSigning.Error() + " (line 2)",
		"webhooks[1].url: an address such as https://chat.example.org/sms or mailto:on-call@example.org (line 3)",
		"webhooks[1].secret: " + errSigning.Error() + " (line 3)",
		`webhooks[2].events: the list is empty; leave it out for the usual ones, or ["*"] for all (line 4)`,
		`webhooks[3].events[0]: "message.recieved" is not allowed: "*" for all, or one of ` + strings.Join(Events(), ", ") + " (line 5)",
		`webhooks[3].events[1]: "alarm.start" is not allowed: "*" for all, or one of ` + strings.Join(Events(), ", ") + " (line 5)"}},
	{"webhook headers", "webhooks:\n  - url: https://x.example\n    secret: " + secret + "\n    headers: [no colon s3cr3t, 'Host: x', 'Webhook-Id: 7', 'a b: c']\n", nil, []string{
		`webhooks[0].headers[0]: a header's name, a colon and its value, such as "Authorization: Bearer abc" (line 4)`,
		`webhooks[0].headers[1]: "Host" is not allowed: a header that an app may add: gatewayd sets this one, or nobody may (line 4)`,
		`webhooks[0].headers[2]: "Webhook-Id" is not allowed: a header that an app may add: gatewayd sets this one, or nobody may (line 4)`,
		`webhooks[0].headers[3]: a header's name, a colon and its value, such as "Authorization: Bearer abc" (line 4)`}},
	{"webhook addresses", hooks("http://x.example", "https://10.0.0.1/", "https://[::1]/", "https://localhost:1/", "https://[::ffff:192.168.1.1]/", "https://x.example:0/", "https://x.example/#f"), nil, []string{
		"webhooks[0].url: plain http:// shows texts and numbers to the network; use https://; set allow_private: true if that is meant (line 2)",
		"webhooks[1].url: its host is this machine or on the local network; set allow_private: true if that is meant (line 3)",
		"webhooks[2].url: its host is this machine or on the local network; set allow_private: true if that is meant (line 4)",
		"webhooks[3].url: its host is this machine or on the local network; set allow_private: true if that is meant (line 5)",
		"webhooks[4].url: its host is this machine or on the local network; set allow_private: true if that is meant (line 6)",
		"webhooks[5].url: its port must be from 1 to 65535 (line 7)",
		"webhooks[6].url: an address without a #fragment (line 8)"}},
	{"webhook twice", hooks("https://x.example", "https://x.example"), nil,
		[]string{"webhooks[1].url: taken by webhooks[0].url already (line 3)"}},
	{"match without received", "webhooks:\n  - {url: https://x.example, secret: " + secret + ", events: [message.sent], match: {keyword: help}}\n", nil,
		[]string{"webhooks[0].match: match narrows received messages, and message.received is not among the events (line 2)"}},
	{"match of no modem", "modems: {discover: false}\nwebhooks:\n  - {url: https://x.example, secret: " + secret + ", match: {modem: office}}\n", nil,
		[]string{`webhooks[0].match.modem: "office" is not allowed: no modem of modems.list has this name (line 3)`}},
	{"environment value", "http:\n  listen: 127.0.0.1:1\n", []string{"GATEWAYD_HTTP_LISTEN=x"},
		[]string{`http.listen: "x" is not allowed: an address and a port from 0 to 65535, such as 127.0.0.1:8080, [::1]:8080 or :8080 (from GATEWAYD_HTTP_LISTEN)`}},
	{"environment names", "", []string{"GATEWAYD_HTTP_LISTN=x", "GATEWAYD_HUB_COLOUR=x", "GATEWAYD_WEBHOOKS_0_URL=x", "GATEWAYD_QUEUE_COLOUR=x", "GATEWAYD_DATADIR=x"}, []string{
		"GATEWAYD_HTTP_LISTN: unknown variable, did you mean GATEWAYD_HTTP_LISTEN?",
		"GATEWAYD_HUB_COLOUR: unknown variable; they are named like the keys: GATEWAYD_HTTP_LISTEN is http.listen",
		"GATEWAYD_WEBHOOKS_0_URL: lists are set in the file, not in the environment",
		"GATEWAYD_QUEUE_COLOUR: unknown variable; they are named like the keys: GATEWAYD_HTTP_LISTEN is http.listen",
		"GATEWAYD_DATADIR: unknown variable, did you mean GATEWAYD_DATA_DIR?"}},
}, hubMistakes...)

func hooks(urls ...string) string {
	var b strings.Builder
	b.WriteString("webhooks:\n")
	for _, u := range urls {
		fmt.Fprintf(&b, "  - {url: %q, secret: %s}\n", u, secret)
	}
	return b.String()
}

func TestMistakes(t *testing.T) {
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			_, err := load(t, m.content, m.env...)
			if err == nil {
				t.Fatal("accepted")
			}
			got := strings.Split(err.Error(), "\n")
			for i := range max(len(got), len(m.lines)) {
				g, w := "", ""
				if i < len(got) {
					g = got[i]
				}
				if i < len(m.lines) {
					w = m.lines[i]
				}
				if g != w {
					t.Errorf("line %d\ngot  %s\nwant %s", i, g, w)
				}
			}
		})
	}
}

func TestNotYAML(t *testing.T) {
	for content, want := range map[string]string{
		"http: [":                          "can't be read as YAML",
		"a: b\n---\nc: d\n":                "a second document (---) begins; one is read, so join them",
		"modems: {list: [{pin: *1234}]}\n": "an alias (*name) has no anchor",
	} {
		_, err := load(t, content)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "1234") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestUnreadableFile(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml"), nil); err == nil || !strings.Contains(err.Error(), "none.yaml: no such file") {
		t.Error(err)
	}
	if _, err := Load(write(t, "big.yaml", strings.Repeat("#", maxFile+1), 0o600), nil); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Error(err)
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	c := mustLoad(t, "modems: {list: [{name: a, port: /dev/a, pin: 98765}]}\nwebhooks: [{url: https://x.example, secret: "+secret+"}]\n")
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s", c, c, c, c.Modems.List[0].PIN), string(j)} {
		if strings.Contains(shown, "98765") || strings.Contains(shown, secret) {
			t.Errorf("a secret shows: %s", shown)
		}
	}
	for _, content := range []string{
		"modems: {list: [{name: a, port: /dev/a, pin: hunter2secret}]}",
		"modems: {list: [{name: a, port: /dev/a, pinn: hunter2secret}]}",
		"modems: {list: [{name: a, port: /dev/a, pin: [hunter2secret]}]}",
		"webhooks: [{url: https://x.example, secret: whsec_hunter2secret}]",
		"webhooks: [{url: 'https://x.example:99999/?t=hunter2secret', secret: whsec_x}]",
	} {
		_, err := load(t, content)
		if err == nil || strings.Contains(err.Error(), "hunter2secret") {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func TestWarnsOfReadableSecrets(t *testing.T) {
	path := write(t, "config.yaml", "modems: {list: [{name: a, port: /dev/a, pin: 1234}]}\n", 0o600)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, nil)
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "mode 0644") {
		t.Errorf("%v %+v", err, c)
	}

	dir := filepath.Dir(path)
	if err := os.WriteFile(filepath.Join(dir, "pin"), []byte("1234"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "pin"), 0o604); err != nil {
		t.Fatal(err)
	}
	// A relative path begins at the file's directory.
	if err := os.WriteFile(path, []byte("modems: {list: [{name: a, port: /dev/a, pin_file: pin}]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err = Load(path, nil)
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "mode 0604") || c.Modems.List[0].PIN.Reveal() != "1234" {
		t.Errorf("%v %+v", err, c)
	}
}

func TestRegionsAreThoseThatNumbersCanBeReadIn(t *testing.T) {
	supported := maps.Clone(phonenumbers.GetSupportedRegions()) // the library gives its own
	for _, r := range strings.Fields(regions) {
		if !supported[r] {
			t.Errorf("%s is not supported", r)
		}
		delete(supported, r)
	}
	if len(supported) != 0 {
		t.Errorf("missing: %v", supported)
	}
}

func TestEnvironmentLeavesListsAlone(t *testing.T) {
	c := mustLoad(t, "modems: {discover: true, list: [{name: a, port: /dev/a}]}\n", "GATEWAYD_MODEMS_DISCOVER=false")
	if c.Modems.Discover || len(c.Modems.List) != 1 {
		t.Errorf("%+v", c.Modems)
	}
}

func TestDestinations(t *testing.T) {
	c := mustLoad(t, "destinations: {allow: [de, +43, 12345, no], deny: [+4366, short-codes], premium: true}\n")
	if got := fmt.Sprintf("%v", c.Destinations); got != "{[DE +43 12345 NO] [+4366 short-codes] true}" {
		t.Error(got)
	}
	_, err := load(t, "destinations:\n  allow: [Germany, 49]\n  deny: [+0]\n")
	want := `destinations.allow[0]: "Germany" is not allowed: must be a country such as DE, the first digits of numbers such as +43, a short code such as 12345, or short-codes`
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "allow[1]") || !strings.Contains(err.Error(), "deny[0]") {
		t.Errorf("%v", err)
	}
}

func TestKeepTextsFollowsKeep(t *testing.T) {
	if c := mustLoad(t, "history: {keep: 720h}\n"); c.History.KeepTexts != 720*time.Hour {
		t.Error(c.History)
	}
}

func FuzzLoad(f *testing.F) {
	for _, m := range mistakes {
		f.Add([]byte(m.content), strings.Join(m.env, "\n"))
	}
	b, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, "")
	f.Add([]byte("a: &a [*a]\nwebhooks: &w [{match: *w}]\n<<: {data_dir: x}\n"), "")
	f.Fuzz(func(t *testing.T, content []byte, env string) {
		c, err := parse("/etc/gatewayd/config.yaml", content, strings.Split(env, "\n"))
		if (c == nil) == (err == nil) {
			t.Fatalf("%v and %v", c, err)
		}
		if err == nil {
			return
		}
		errs, ok := err.(Errors)
		if !ok || len(errs) == 0 {
			t.Fatalf("%T %v", err, err)
		}
		for _, e := range errs {
			if line := e.Error(); line == "" || strings.ContainsAny(line, "\r\n") {
				t.Errorf("not one line: %q", line)
			}
		}
	})
}

func TestConsent(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, `consent:
  quiet_hours:
    - {destination: DE, from: "21:00", until: "08:30", time_zone: Europe/Berlin}
    - {from: "22:00", until: "07:00"}
  words:
    - {language: sv, stop: [avsluta, "sluta nu"], yes: [ja], threat: [hotelse]}
  texts:
    - {language: sv, help: "Hej {name}"}
`)
	want := Consent{Answers: AnswersChat, Language: "en", Silence: 2160 * time.Hour,
		QuietHours: []QuietHours{{Destination: "DE", From: 21 * time.Hour, Until: 8*time.Hour + 30*time.Minute, TimeZone: berlin}, {From: 22 * time.Hour, Until: 7 * time.Hour}},
		Words:      []ConsentWords{{Language: "sv", Stop: []string{"avsluta", "sluta nu"}, Yes: []string{"ja"}, Threat: []string{"hotelse"}}},
		Texts:      []ConsentTexts{{Language: "sv", Help: "Hej {name}"}}}
	if !reflect.DeepEqual(c.Consent, want) {
		t.Errorf("got %+v, want %+v", c.Consent, want)
	}
}
