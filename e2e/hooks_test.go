//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// hook makes a hook and returns its address.
func (s *site) hook(settings string) (address, token string) {
	s.t.Helper()
	status, answer := s.call(http.MethodPost, "/v1/hooks", settings)
	var made struct{ Token, Path string }
	if err := json.Unmarshal(answer, &made); status != http.StatusCreated || err != nil {
		s.t.Fatalf("POST /v1/hooks answered %d %s", status, answer)
	}
	return s.base + made.Path, made.Token
}

func (s *site) shows(number, text string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the handset shows %q", text), 30*time.Second, func() bool {
		return slices.Contains(s.net.Handset(number).Received(), text)
	})
}

// What docs/hooks.md tells to paste, with the programs that it is for.
func TestHooksWithCurl(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	address, token := s.hook(`{"name":"curl","to":["+491701234567"]}`)
	curl := func(args ...string) string {
		out, err := exec.Command("curl", append([]string{"-sS", "--fail-with-body"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %q: %s (%v)", args, out, err)
		}
		return string(out)
	}
	curl("-d", "Backup failed: 100% full & more", address)
	s.shows(phone, "Backup failed: 100% full & more")
	curl("--json", `{"title":"Home","message":"Window open"}`, address)
	s.shows(phone, "Home\nWindow open")
	curl("-F", "text=by a form", address)
	s.shows(phone, "by a form")
	slack, slackToken := s.hook(`{"name":"slack","preset":"slack","to":["+491701234567"]}`)
	if got := curl("--data-urlencode", `payload={"text":"Deployed <https://example.org|v2>"}`, slack); got != "ok" {
		t.Errorf("Slack's clients are told %q", got)
	}
	s.shows(phone, "Deployed v2 https://example.org")
	other, otherToken := s.hook(`{"name":"bell","template":"{{.door}} rang {{query \"n\"}} times","to_template":"{{.to}}","allow_get":true}`)
	curl("-G", "--data-urlencode", "door=Back door", "--data-urlencode", "to=+491701234568", "-d", "n=2", other)
	s.shows("+491701234568", "Back door rang 2 times")
	// A wrong token; and none of them is logged, at whatever level.
	wrong := address[:len(address)-4] + "aaaa"
	if out, err := exec.Command("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-d", "x", wrong).Output(); err != nil || string(out) != "404" {
		t.Errorf("a wrong token is answered with %s (%v)", out, err)
	}
	// What comes by these doors is counted, under routes that hold no secret.
	if status, _ := s.poll("/2010-04-01/Accounts/AC1/Messages/SM1.json"); status != http.StatusUnauthorized {
		t.Errorf("a stranger is answered %d", status)
	}
	_, metrics := s.poll("/metrics")
	for _, want := range []string{
		`gatewayd_http_requests_total{method="POST",route="/hooks/:token",status="2xx"} 4`,
		`gatewayd_http_requests_total{method="GET",route="/hooks/:token",status="2xx"} 1`,
		`gatewayd_http_requests_total{method="GET",route="/2010-04-01/Accounts/:account/Messages/:sid",status="4xx"} 1`,
	} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	s.terminate()
	for _, token := range []string{token, slackToken, otherToken, wrong[len(s.base)+len("/hooks/"):]} {
		if strings.Contains(s.log.withoutPolls(), token[26:50]) {
			t.Error("a token stands in the log")
		}
	}
}

// Two Alertmanagers, as they are run to be available, tell of the same alert:
// one text says that it fires, and one that it is over.
func TestAlertmanager(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	address, _ := s.hook(`{"name":"on call","preset":"alertmanager","to":["+491701234567"],"priority":9}`)
	config := filepath.Join(s.dir, "alertmanager.yml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf(`route:
  receiver: sms
  group_by: [alertname]
  group_wait: 3s
  group_interval: 1s
  repeat_interval: 4h
receivers:
  - name: sms
    webhook_configs:
      - url: %s
        send_resolved: true
`, address)), 0o600); err != nil {
		t.Fatal(err)
	}
	var alertmanagers []string
	for i := range 2 {
		listen := freeAddress(t)
		alertmanagers = append(alertmanagers, "http://"+listen)
		cmd := exec.Command("prometheus-alertmanager", "--config.file="+config, "--storage.path="+filepath.Join(s.dir, fmt.Sprint("alertmanager", i)),
			"--web.listen-address="+listen, "--cluster.listen-address=")
		log := &logBuffer{}
		cmd.Stderr = log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if t.Failed() {
				t.Logf("Alertmanager's log:\n%s", log.withoutPolls())
			}
		})
		s.eventually("Alertmanager is ready", 30*time.Second, func() bool {
			r, err := http.Get("http://" + listen + "/-/ready")
			if err != nil {
				return false
			}
			r.Body.Close()
			return r.StatusCode == http.StatusOK
		})
	}
	// The alerts begin now: Alertmanager waits no group_wait for an alert that
	// is older than it, and would tell of the first before it has the second.
	started := time.Now().UTC()
	tell := func(when map[string]any) {
		t.Helper()
		var alerts []map[string]any
		for _, host := range []string{"db1", "db2"} {
			alert := map[string]any{"labels": map[string]string{"alertname": "HostDown", "instance": host, "severity": "critical"},
				"annotations": map[string]string{"summary": host + " does not answer"}, "startsAt": started}
			maps.Copy(alert, when)
			alerts = append(alerts, alert)
		}
		b, err := json.Marshal(alerts)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range alertmanagers {
			r, err := http.Post(a+"/api/v2/alerts", "application/json", strings.NewReader(string(b)))
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if r.StatusCode != http.StatusOK {
				t.Fatalf("Alertmanager answered %d", r.StatusCode)
			}
		}
	}
	// used counts what the hook answered, which is more than was sent.
	taken := func() int { return strings.Count(s.log.withoutPolls(), "route=/hooks/:token status=202") }
	tell(nil)
	const (
		firing   = "FIRING critical HostDown (2)\ndb1 does not answer\ndb2 does not answer"
		resolved = "RESOLVED critical HostDown (2)\ndb1 does not answer\ndb2 does not answer"
	)
	s.shows(phone, firing)
	s.eventually("both have told it", 20*time.Second, func() bool { return taken() >= 2 })
	before := taken() // one may tell it again
	// Both end at one moment that is still to come, so that they are over at
	// the same time whatever group_interval falls between their arrivals.
	tell(map[string]any{"endsAt": time.Now().UTC().Add(10 * time.Second)})
	s.shows(phone, resolved)
	s.eventually("both have told it", 20*time.Second, func() bool { return taken() >= before+2 })
	if got := s.net.Handset(phone).Received(); !slices.Equal(got, []string{firing, resolved}) {
		t.Errorf("the handset shows %q", got)
	}
}
