package hooks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatewayd/sms"
)

const (
	asJSON = "application/json"
	asForm = "application/x-www-form-urlencoded"
)

// The files in testdata have the shapes that the documents show which presets.go
// names; only what they speak of is made up.
func TestPresets(t *testing.T) {
	form := func(name, value string) string { return url.Values{name: {value}}.Encode() }
	quiet := func(s *sms.HookSettings) { s.Resolved = false }
	github := func(event string) http.Header { return http.Header{"X-Github-Event": {event}} }
	for _, c := range []struct {
		name, preset, contentType, body string
		header                          http.Header
		change                          func(*sms.HookSettings)
		want                            string // the text, or "-" and why there is none
	}{
		{name: "alertmanager", preset: "alertmanager", contentType: asJSON, body: golden(t, "alertmanager.json"),
			want: "FIRING critical HostDown (2 of 3)\ndb1 does not answer\ndb2 does not answer\nresolved: HostDown web1.example.org:9100"},
		{name: "alertmanager without resolved", preset: "alertmanager", contentType: asJSON, body: golden(t, "alertmanager.json"), change: quiet,
			want: "FIRING critical HostDown (2)\ndb1 does not answer\ndb2 does not answer"},
		{name: "grafana resolved", preset: "grafana", contentType: asJSON, body: golden(t, "grafana.json"),
			want: "RESOLVED Freezer too warm: Freezer 1 is at -9 °C"},
		{name: "grafana, resolved notices off", preset: "grafana", contentType: asJSON, body: golden(t, "grafana.json"), change: quiet,
			want: "-resolved notices are off"},
		{name: "no alerts", preset: "grafana", contentType: asJSON, body: `{"hello":"world"}`, want: "-it is no group of alerts: status or alerts is missing"},
		{name: "alerts of several names", preset: "alertmanager", contentType: asJSON,
			body: `{"status":"firing","alerts":[{"labels":{"alertname":"A","job":"x"}},{"labels":{"alertname":"B"},"annotations":{"message":"is bad"}},{"labels":{"n":"1"}}],"groupLabels":{"team":"db","dc":"fra"},"receiver":"r","truncatedAlerts":4}`,
			want: "FIRING fra, db (7)\nA x\nB: is bad\n1\n... and 4 more"},
		{name: "a template over alerts", preset: "alertmanager", contentType: asJSON, body: golden(t, "alertmanager.json"),
			change: func(s *sms.HookSettings) { s.Template = `{{range .alerts}}{{.labels.instance}} {{end}}` },
			want:   "db1.example.org:9100 db2.example.org:9100 web1.example.org:9100"},
		{name: "kuma", preset: "uptime-kuma", contentType: asJSON, body: golden(t, "kuma.json"), want: "DOWN: Web / Shop - connect ECONNREFUSED 192.0.2.7:443"},
		{name: "kuma as a form", preset: "uptime-kuma", contentType: asForm, body: form("data", golden(t, "kuma.json")), want: "DOWN: Web / Shop - connect ECONNREFUSED 192.0.2.7:443"},
		{name: "kuma is up", preset: "uptime-kuma", contentType: asJSON, body: strings.Replace(golden(t, "kuma.json"), `"status":0`, `"status":1`, 1), change: quiet, want: "-resolved notices are off"},
		{name: "kuma's test", preset: "uptime-kuma", contentType: asJSON, body: `{"heartbeat":null,"monitor":null,"msg":"My Alert Testing"}`, want: "My Alert Testing"},
		{name: "slack", preset: "slack", contentType: asJSON, body: `{"text":"<!channel> Build <https://ci.example.org/7|7> broke &amp; burns","channel":"#ops","username":"ci"}`,
			want: "@channel Build 7 https://ci.example.org/7 broke & burns"},
		{name: "slack as a form", preset: "slack", contentType: asForm, body: form("payload", `{"text":"hi"}`), want: "hi"},
		{name: "slack attachments", preset: "slack", contentType: asJSON,
			body: `{"attachments":[{"fallback":"f","title":"Disk","text":"is full","fields":[{"title":"Host","value":"db1","short":true}]},{"fallback":"only this"}]}`,
			want: "Disk\nis full\nHost: db1\nonly this"},
		{name: "slack blocks", preset: "slack", contentType: asJSON, body: `{"blocks":[{"type":"section","text":{"type":"mrkdwn","text":"*Hello*"}},{"type":"divider"},{"type":"section","fields":[{"type":"mrkdwn","text":"a"}]}]}`,
			want: "*Hello*\na"},
		{name: "slack without a text", preset: "slack", contentType: asJSON, body: `{}`, want: "-it has no text: text, blocks and attachments are empty"},
		{name: "github push", preset: "github", contentType: asJSON, body: golden(t, "push.json"), header: github("push"), want: "acme/shop: ada pushed 2 commits to main: Mend the till"},
		{name: "github push as a form", preset: "github", contentType: asForm, body: form("payload", golden(t, "push.json")), header: github("push"), want: "acme/shop: ada pushed 2 commits to main: Mend the till"},
		{name: "github workflow", preset: "github", contentType: asJSON, body: golden(t, "workflow.json"), header: github("workflow_run"), want: "acme/shop: CI failure on main: Mend the till"},
		{name: "github workflow that went well", preset: "github", contentType: asJSON, body: strings.Replace(golden(t, "workflow.json"), "failure", "success", 1), header: github("workflow_run"), change: quiet,
			want: "-resolved notices are off, and it went well"},
		{name: "github workflow under way", preset: "github", contentType: asJSON, body: `{"action":"requested","workflow_run":{"conclusion":null}}`, header: github("workflow_run"), want: "-the run is not over"},
		{name: "github issue", preset: "github", contentType: asJSON, body: `{"action":"opened","issue":{"number":5,"title":"It leaks"},"repository":{"full_name":"a/b"},"sender":{"login":"bo"}}`, header: github("issues"),
			want: "a/b: bo opened issue #5: It leaks"},
		{name: "github merge", preset: "github", contentType: asJSON, body: `{"action":"closed","pull_request":{"number":6,"title":"Seal","merged":true},"repository":{"full_name":"a/b"},"sender":{"login":"bo"}}`, header: github("pull_request"),
			want: "a/b: bo merged pull request #6: Seal"},
		{name: "github ping", preset: "github", contentType: asJSON, body: `{"zen":"x"}`, header: github("ping"), want: "-it only tries whether somebody is there"},
		{name: "curl -d", preset: "text", contentType: asForm, body: "Door 3 is open & it rains = bad", want: "Door 3 is open & it rains = bad"},
		{name: "curl -d with a plus and a percent", preset: "text", contentType: asForm, body: "100% full", want: "100% full"},
		{name: "curl -d text=", preset: "text", contentType: asForm, body: "text=Door+open", want: "Door open"},
		{name: "curl -d a=b", preset: "text", contentType: asForm, body: "level=9", want: "level=9"},
		{name: "plain text", preset: "text", contentType: "text/plain; charset=utf-8", body: "grüß dich\r\nund\x00 tschüß\n", want: "grüß dich\nund tschüß"},
		{name: "no content type", preset: "text", body: `{"message":"hello"}`, want: "hello"},
		{name: "what only looks like JSON", preset: "text", body: `{ all is well }`, want: "{ all is well }"},
		{name: "home assistant", preset: "text", contentType: asJSON, body: `{"message":"Window open","title":"Home","target":["x"]}`, want: "Home\nWindow open"},
		{name: "nothing", preset: "text", body: " ", want: "-it made no text"},
		{name: "template", preset: "template", contentType: asJSON, body: `{"door":"back","n":2}`, change: func(s *sms.HookSettings) { s.Template = "{{.door}} door rang {{.n}} times" }, want: "back door rang 2 times"},
		{name: "template that chooses", preset: "template", contentType: asJSON, body: `{"level":"info"}`, change: func(s *sms.HookSettings) { s.Template = `{{if eq .level "error"}}{{.msg}}{{end}}` }, want: "-it made no text"},
		{name: "template over a list", preset: "template", contentType: asJSON, body: `[1,2]`, change: func(s *sms.HookSettings) { s.Template = `{{join "+" .}}` }, want: "1+2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Defaults(c.preset)
			s.To = []string{"+491701234567"}
			if c.change != nil {
				c.change(&s)
			}
			h := http.Header{"Content-Type": {c.contentType}}
			for k, v := range c.header {
				h[k] = v
			}
			r := &Request{Method: http.MethodPost, Header: h, Body: []byte(c.body)}
			v, err := decode(r)
			if err != nil {
				t.Fatal(err)
			}
			m, err := read(&s, unwrap(v), r)
			if err != nil {
				t.Fatal(err)
			}
			got := m.text
			if m.skip != "" {
				got = "-" + m.skip
			}
			if got != c.want {
				t.Errorf("made %q, want %q", got, c.want)
			}
		})
	}
}

func TestKumaByGetAndMultipart(t *testing.T) {
	var whole map[string]any
	if err := json.Unmarshal([]byte(golden(t, "kuma.json")), &whole); err != nil {
		t.Fatal(err)
	}
	part := func(name string) string {
		b, err := json.Marshal(whole[name])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	s := Defaults("uptime-kuma")
	s.To = []string{"+491701234567"}
	get := &Request{Method: http.MethodGet, Header: http.Header{}, Query: url.Values{"msg": {"x"}, "heartbeat": {part("heartbeat")}, "monitor": {part("monitor")}}}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.WriteField("data", golden(t, "kuma.json")); err != nil {
		t.Fatal(err)
	}
	if f, err := w.CreateFormFile("data", "x.txt"); err != nil {
		t.Fatal(err)
	} else if _, err := f.Write([]byte("a file is no text")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	form := &Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {w.FormDataContentType()}}, Body: b.Bytes()}
	for _, r := range []*Request{get, form} {
		v, err := decode(r)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := read(&s, unwrap(v), r); err != nil || m.text != "DOWN: Web / Shop - connect ECONNREFUSED 192.0.2.7:443" {
			t.Errorf("%s: %q, %v", r.Method, m.text, err)
		}
	}
}

// A group of any size fits into the parts that the owner wants to pay for, and
// says how many alerts it left out.
func TestManyAlertsFit(t *testing.T) {
	group := func(n int, says string) string {
		var b strings.Builder
		b.WriteString(`{"status":"firing","commonLabels":{"alertname":"Many"},"alerts":[`)
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"status":"firing","labels":{"alertname":"Many","instance":"h%d"},"annotations":{"summary":"host %d %s"}}`, i, i, says)
		}
		b.WriteString(`]}`)
		return b.String()
	}
	for _, c := range []struct {
		n, parts int
		says     string
		end      string
	}{
		{3, 1, "is down", "\nhost 2 is down"},
		{9, 1, "is down", "\nhost 8 is down"},
		{10, 1, "is down", "\nhost 7 is down\n... and 2 more"},
		{5000, 1, "is down", "... and 4992 more"},
		{40, 3, "is down", "... and 13 more"},
		{40, 1, "ist überhitzt", "... and 34 more"},
		{40, 1, "過熱", "… and 36 more"},
		{2, 1, strings.Repeat("long ", 60), "long...\n... and 1 more"},
	} {
		s := Defaults("alertmanager")
		s.To, s.MaxParts = []string{"+491701234567"}, c.parts
		r := &Request{Header: http.Header{"Content-Type": {asJSON}}, Body: []byte(group(c.n, c.says))}
		v, err := decode(r)
		if err != nil {
			t.Fatal(err)
		}
		m, err := read(&s, v, r)
		if err != nil {
			t.Fatal(err)
		}
		if !(room{parts: c.parts}).fits(m.text) || !strings.HasSuffix(m.text, c.end) {
			t.Errorf("%d alerts that say %.10q in %d parts: %d characters, %q", c.n, c.says, c.parts, utf8.RuneCountInString(m.text), m.text)
		}
	}
}

func TestLongTextsAreCutOff(t *testing.T) {
	for _, text := range []string{strings.Repeat("abc ", 5000), strings.Repeat("漢字", 3000), strings.Repeat("🎈", 2000), strings.Repeat("a", 480) + "…"} {
		for _, parts := range []int{1, 2, 3, 10} {
			got := room{parts: parts}.fit(text)
			if !(room{parts: parts}).fits(got) {
				t.Errorf("%.8q… does not fit into %d parts", text, parts)
			}
			// One character more would not have fit.
			if n := utf8.RuneCountInString(got); n < utf8.RuneCountInString(text) && (room{parts: parts}).fits(shorten(text, n+2)) && !strings.HasPrefix(text, "abc") {
				t.Errorf("%.8q… is cut off too soon for %d parts: at %d", text, parts, n)
			}
		}
	}
	if got := (room{parts: 1}).fit("short"); got != "short" {
		t.Errorf("%q", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(asJSON, `{"a":[1,2.5,null,true,{"b":"c"}]}`)
	f.Add(asForm, `payload=%7B%22text%22%3A%22x%22%7D&a=1&a=2`)
	f.Add(asForm, `100% & more`)
	f.Add("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n{}\r\n--x--\r\n")
	f.Add("text/plain", "hello")
	for _, name := range []string{"alertmanager.json", "grafana.json", "kuma.json", "supabase.json", "push.json", "workflow.json"} {
		f.Add(asJSON, golden(f, name))
	}
	f.Fuzz(func(t *testing.T, contentType, body string) {
		for name := range presets {
			s := Defaults(name)
			s.To, s.Template = []string{"+491701234567"}, ""
			r := &Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {contentType}, "X-Github-Event": {"push"}}, Body: []byte(body)}
			v, err := decode(r)
			if err != nil {
				return
			}
			m, err := read(&s, unwrap(v), r)
			if err != nil {
				continue
			}
			if m.skip == "" && (m.text == "" || !roomOf(&s).fits(m.text)) {
				t.Errorf("%s makes %q", name, m.text)
			}
		}
	})
}

// The largest bodies that are read take no preset long.
func TestLargeRequests(t *testing.T) {
	many := func(head, one, tail string) string {
		n := (1<<18 - len(head) - len(tail)) / (len(one) + 1)
		n = min(n, maxValues/8)
		return head + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + tail
	}
	for name, body := range map[string]string{
		"alerts":       many(`{"status":"firing","alerts":[`, `{"labels":{"a":"b"}}`, `]}`),
		"long alerts":  many(`{"status":"firing","alerts":[`, `{"annotations":{"summary":"`+strings.Repeat("x ", 8000)+`"}}`, `]}`),
		"attachments":  many(`{"attachments":[`, `{"title":"a","text":"b"}`, `]}`),
		"long blocks":  many(`{"blocks":[`, `{"text":"`+strings.Repeat("<a|", 5000)+`"}`, `]}`),
		"commits":      many(`{"ref":"r","commits":[`, `{"message":"m"}`, `]}`),
		"a long text":  `{"text":"` + strings.Repeat("漢<", 200_000) + `"}`,
		"many names":   many(`{"text":"x"`, `,"n":1`, `}`),
		"deep":         strings.Repeat("[", 1<<17) + strings.Repeat("]", 1<<17),
		"no JSON":      strings.Repeat("a=b&", 1<<18),
		"plain":        strings.Repeat("漢", 300_000),
		"an open JSON": `{"a":"` + strings.Repeat("x", 1<<20),
	} {
		for _, contentType := range []string{asJSON, ""} {
			r := &Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {contentType}, "X-Github-Event": {"push"}}, Body: []byte(body)}
			begin := time.Now()
			v, err := decode(r)
			for preset := range presets {
				s := Defaults(preset)
				s.To, s.MaxParts = []string{"+491701234567"}, 10
				if err == nil {
					if m, err := read(&s, unwrap(v), r); err != nil || m.skip == "" && !(room{parts: 10}).fits(m.text) {
						t.Errorf("%s for %s: %q, %v", name, preset, m.text, err)
					}
				}
				if took := time.Since(begin); took > 30*time.Second {
					t.Errorf("%s for %s as %q took %v", name, preset, contentType, took)
				}
				begin = time.Now()
			}
		}
	}
}
