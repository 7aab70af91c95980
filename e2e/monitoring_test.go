//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
)

var metricName = regexp.MustCompile(`\bgatewayd_[a-z_]+`)

// only are metrics that are there once there is something to tell.
var only = map[string]bool{"gatewayd_alarm": true, "gatewayd_modem_healing_total": true}

// runs starts a program that ends with the test, and waits until it is ready.
func (s *site) runs(ready, name string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	log := &logBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("the log of %s:\n%s", name, log.withoutPolls())
		}
	})
	s.eventually(name+" is ready", 30*time.Second, func() bool {
		r, err := http.Get(ready)
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command("promtool", args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// What the daemon tells is as Prometheus wants it; the rules and the dashboard
// name nothing else; and a real Prometheus, a real Alertmanager and a hook make a
// text of a modem that is pulled out.
func TestMonitoring(t *testing.T) {
	s := newSite(t, 2, fast(), "")
	limited, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(limited), "max_per_day: 0", "max_per_day: 500", 1)+`
webhooks:
  - {name: app, url: "http://127.0.0.1:9/", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=, allow_private: true}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.until(s.post(phone, "hello").ID, sms.Delivered, 30*time.Second)
	_, metrics := s.poll("/metrics")
	promtool(t, string(metrics), "check", "metrics")
	if strings.Contains(string(metrics), phone[1:]) || strings.Contains(string(metrics), "msg_") {
		t.Error("the metrics hold a number or a message's id")
	}
	there := map[string]bool{}
	for line := range strings.Lines(string(metrics)) {
		there[metricName.FindString(line)] = !strings.HasPrefix(line, "#") || there[metricName.FindString(line)]
	}

	const folder = "../monitoring/"
	rules, err := os.ReadFile(folder + "alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", folder+"alerts.yml")
	promtool(t, "", "test", "rules", folder+"alerts_test.yml")
	exprs := dashboard(t, folder+"grafana-dashboard.json")
	recorded := filepath.Join(s.dir, "dashboard.yml")
	var b strings.Builder
	b.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, expr := range exprs {
		fmt.Fprintf(&b, "      - {record: panel_%d, expr: %q}\n", i, strings.ReplaceAll(expr, "$instance", ".*"))
	}
	if err := os.WriteFile(recorded, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", recorded)
	for _, name := range metricName.FindAllString(strings.Join(exprs, "\n")+string(rules), -1) {
		if !there[name] && !only[name] {
			t.Errorf("%s is in a rule or on the dashboard, and not in /metrics", name)
			there[name] = true
		}
	}
	docs, err := os.ReadFile("../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, alert := range regexp.MustCompile(`alert: (\S+)`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(docs), "### "+alert[1]+"\n") || !strings.Contains(string(rules), "#"+strings.ToLower(alert[1])+"\n") {
			t.Errorf("docs/monitoring.md does not say what to do about %s, or the rule does not lead there", alert[1])
		}
	}
	s.alerts(string(rules))
}

// dashboard reads the expressions of a dashboard, and finds what Grafana would
// not show.
func dashboard(t *testing.T, path string) (exprs []string) {
	t.Helper()
	var d struct {
		Title, UID    string
		SchemaVersion int
		Templating    struct{ List []struct{ Name, Type string } }
		Panels        []struct {
			ID         int
			Type       string
			Title      string
			Datasource struct{ Type, UID string }
			GridPos    struct{ H, W, X, Y int }
			Targets    []struct{ RefID, Expr string }
		}
	}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 30 || len(d.Templating.List) == 0 || d.Templating.List[0].Type != "datasource" {
		t.Errorf("the dashboard lacks a title, a uid, a schema version or the variable of its data source")
	}
	ids, rows := map[int]bool{}, 0
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.H < 1 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q: its id is not its own, or it has no title or no place", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			rows++
			continue
		}
		if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q asks nobody, or not the chosen data source", p.Title)
		}
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
		}
	}
	if rows != 5 {
		t.Errorf("the dashboard has %d rows", rows)
	}
	return exprs
}

// alerts pulls a modem out and waits for the text about it.
func (s *site) alerts(rules string) {
	t := s.t
	address, _ := s.hook(`{"name":"on call","preset":"alertmanager","to":["+491701234567"],"priority":9}`)
	write := func(name, text string) string {
		path := filepath.Join(s.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	alertmanager, prometheus := freeAddress(t), freeAddress(t)
	s.runs("http://"+alertmanager+"/-/ready", "prometheus-alertmanager", "--web.listen-address="+alertmanager, "--cluster.listen-address=", "--storage.path="+s.dir+"/am",
		"--config.file="+write("am.yml", fmt.Sprintf(`route: {receiver: nobody, group_wait: 1s, routes: [{matchers: [alertname="GatewaydModemDown"], receiver: sms}]}
receivers: [{name: nobody}, {name: sms, webhook_configs: [{url: %q}]}]
`, address)))
	write("alerts.yml", regexp.MustCompile(`for: \S+`).ReplaceAllString(rules, "for: 1s"))
	s.runs("http://"+prometheus+"/-/ready", "prometheus", "--web.listen-address="+prometheus, "--storage.tsdb.path="+s.dir+"/tsdb",
		"--config.file="+write("prometheus.yml", fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [alerts.yml]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs:
  - job_name: gatewayd
    authorization: {credentials_file: %q}
    static_configs: [{targets: [%q]}]
`, alertmanager, write("key", s.key), strings.TrimPrefix(s.base, "http://"))))
	s.modems[1].Unplug()
	s.eventually("the handset shows the alert", 40*time.Second, func() bool {
		for _, text := range s.net.Handset(phone).Received() {
			if strings.Contains(text, "FIRING critical GatewaydModemDown") && strings.Contains(text, "modem m2 is absent") {
				return true
			}
		}
		return false
	})
}
