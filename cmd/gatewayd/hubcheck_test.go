package main

import (
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const fleetAnswer = `{"gateways":[
	{"name":"graz","group":"austria","connected":true,"seen_at":"2026-01-02T03:04:05Z","since":null,"version":"1.2.3","modems":[{"name":"office","state":"ready"},{"name":"spare","state":"absent"}],"alarms":[],"waiting":4,"in_link":2,"stored":3},
	{"name":"linz","group":null,"seen_at":"2026-01-02T03:04:05Z","version":null,"modems":[],"alarms":[],"waiting":0,"in_link":0,"stored":0},
	{"name":"wien"},{"name":"old","disabled":true}]}`

func TestHubGateways(t *testing.T) {
	answers := map[string]string{"GET /v1/gateways": fleetAnswer}
	out, _, _, err := asked(t, hubGateways(), answers, "")
	if err != nil || !strings.Contains(out, "graz     austria  connected  -      1.2.3    1 of 2        0       4        2        3\n") {
		t.Errorf("%q, %v", out, err)
	}
	if out, _, _, err = asked(t, hubGateways(), answers, "", "--json"); err != nil || !strings.Contains(out, `"in_link": 2`) {
		t.Errorf("%q, %v", out, err)
	}
	if _, _, _, err = asked(t, hubGateways(), nil, ""); err == nil {
		t.Error("of a daemon that is no hub: no error")
	}
}

// The error is what the exit status is made of.
func TestHubCheck(t *testing.T) {
	const same, other = `{"compared":12,"differences":[]}`, `{"compared":7,"differences":[{"id":"msg_1","field":"status","hub":"sent","gateway":""}]}`
	answers := map[string]string{"GET /v1/gateways": fleetAnswer, "POST /v1/gateways/graz/check": same, "POST /v1/gateways/linz/check": same}
	out, _, requests, err := asked(t, hubCheck(), answers, "")
	if err != nil || out != "graz: 12 compared, 0 differences\nlinz: 12 compared, 0 differences\n" || len(requests) != 3 {
		t.Errorf("%q, %q, %v", out, requests, err)
	}
	answers["POST /v1/gateways/linz/check"] = other
	if out, _, _, err = asked(t, hubCheck(), answers, ""); err == nil || !strings.Contains(out, "  msg_1 status: hub sent, gateway -\n") {
		t.Errorf("%q, %v", out, err)
	}
	if out, _, _, err = asked(t, hubCheck(), answers, "", "--gateway", "graz", "--json"); err != nil || !strings.Contains(out, `"compared": 12`) || strings.Contains(out, "linz") {
		t.Errorf("%q, %v", out, err)
	}
	if out, _, _, err = asked(t, hubCheck(), answers, "", "--json"); err == nil || !strings.Contains(out, `"id": "msg_1"`) {
		t.Errorf("%q, %v", out, err)
	}
	if _, _, _, err = asked(t, hubCheck(), answers, "", "--gateway", "mars"); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("of one that there is not: %v", err)
	}
	// One that is away: the others are compared, and nobody takes it for no difference.
	answers["409 POST /v1/gateways/linz/check"] = `{"title":"The present state does not allow this","detail":"linz: the gateway is not connected.","status":409}`
	delete(answers, "POST /v1/gateways/linz/check")
	out, _, _, err = asked(t, hubCheck(), answers, "")
	if err == nil || !strings.Contains(err.Error(), "1 of 2 gateways could not be compared") || !strings.Contains(out, "graz: 12 compared") || !strings.Contains(out, "linz: not compared: ") {
		t.Errorf("%q, %v", out, err)
	}
	var names []string
	for _, c := range hubAsk() {
		names = append(names, c.Name())
	}
	if strings.Join(names, " ") != "gateways check" {
		t.Error(names)
	}
}

// Credentials of a database that is no hub's would open no hub.
func TestGatewaysAreAddedToHubs(t *testing.T) {
	for name, of := range map[string]string{"nothing": "", "a gateway": "hub: {url: nats://localhost:4222, credentials_file: graz.creds}\n"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "gatewayd.yaml")
		if err := os.WriteFile(path, []byte("data_dir: data\n"+of), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "graz.creds"), []byte("-----BEGIN NATS USER JWT-----\n-----BEGIN USER NKEY SEED-----\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := hubAddGateway()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs([]string{"--config", path, "linz"})
		err := cmd.Execute()
		if err == nil || !strings.Contains(err.Error(), "hub add-gateway: this is not the configuration of a hub") || !errors.As(err, new(usageError)) {
			t.Errorf("with the configuration of %s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
			t.Errorf("with the configuration of %s a database was made", name)
		}
	}
}

// A certificate that nobody here vouches for is told as that, and not as a daemon that does not run.
func TestUnknownCertificateOfTheDaemon(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	t.Setenv("GATEWAYD_KEY", "gk_test")
	cmd := hubGateways()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs([]string{"--url", server.URL})
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE") || strings.Contains(err.Error(), "running") {
		t.Error(err)
	}
}
