//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatewayd/sms"
)

// SIGHUP has another configuration hold: all of it, or with a mistake in it none.
func TestReloadBySignal(t *testing.T) {
	s := newSite(t, 2, fast(), "log: {level: info}\n")
	s.level = "info"
	s.start()
	sent := s.post(phone, "before")
	s.until(sent.ID, sms.Delivered, 30*time.Second)
	original, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(config, want string) {
		t.Helper()
		if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		before := strings.Count(s.log.withoutPolls(), want)
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.eventually("the log says "+want, 20*time.Second, func() bool { return strings.Count(s.log.withoutPolls(), want) > before })
	}
	metric := func(want string) {
		t.Helper()
		s.eventually("the metrics say "+want, 10*time.Second, func() bool { // the log says it a moment before
			_, metrics := s.poll("/metrics")
			return strings.Contains(string(metrics), want+"\n")
		})
	}
	metric("gatewayd_config_last_reload_successful 1")

	renamed := strings.Replace(string(original), "name: m2,", "name: office,", 1)
	reload(renamed+"history: {keep: 48h}\nqueue: {outbound_capacity: 5}\n", `changed="history; modem m2: removed; modem office: added"`)
	s.eventually("the restart is told", 5*time.Second, func() bool { return strings.Contains(s.log.withoutPolls(), "settings=queue.outbound_capacity") })
	s.eventually("office works", 30*time.Second, func() bool { return s.modemsNow()["office"].State == sms.Ready })
	if _, there := s.modemsNow()["m2"]; there {
		t.Error("m2 is still there")
	}

	reload(strings.Replace(renamed, "name: m1,", "nmae: m1,", 1), "modems.list[0].nmae: unknown key")
	metric("gatewayd_config_last_reload_successful 0")
	_, errs, status := s.gatewayd("check-config", "--config", s.config)
	if status != 2 || !strings.Contains(errs, "modems.list[0].nmae: unknown key") {
		t.Errorf("check-config: %d %s", status, errs)
	}
	if now := s.modemsNow(); len(now) != 2 || now["office"].State != sms.Ready {
		t.Errorf("after a refused configuration the modems are %+v", now)
	}
	reload(string(original), `changed="history; modem m2: added; modem office: removed"`)
	metric("gatewayd_config_last_reload_successful 1")
	sent = s.post(phone, "after")
	s.until(sent.ID, sms.Delivered, 30*time.Second)
	if status, _ := s.call(http.MethodGet, "/readyz", ""); status != http.StatusOK {
		t.Errorf("/readyz answers %d", status)
	}
	s.terminate()
}
