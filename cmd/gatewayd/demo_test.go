package main

import (
	"strings"
	"testing"

	"gatewayd/sim"
)

func TestPersonalities(t *testing.T) {
	all, err := profilesOf([]string{"huawei-e3372", "quectel-ec25"})
	if err != nil || len(all) != 2 || all[1].Slug != "quectel-ec25" {
		t.Errorf("%v, %v", all, err)
	}
	for _, names := range [][]string{nil, {"nokia-3310"}, {""}} {
		if _, err := profilesOf(names); err == nil || !strings.Contains(err.Error(), "zte-mf190") {
			t.Errorf("%q: %v", names, err)
		}
	}
}

// The modems take the personalities in turn, each behind a port of its own.
func TestModemsTakePersonalitiesInTurn(t *testing.T) {
	n := sim.NewNetwork(sim.NetworkOptions{})
	defer n.Close()
	all, err := plugIn(n, t.TempDir(), 3, []sim.Profile{sim.HuaweiE173, sim.Generic})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, m := range n.Modems() {
		got = append(got, m.Profile().Slug)
		if all[i].Port != m.Link() || all[i].Name != m.Name() {
			t.Errorf("modem %d is %+v", i, all[i])
		}
	}
	if s := strings.Join(got, " "); s != "huawei-e173 generic huawei-e173" {
		t.Errorf("they are %s", s)
	}
}

// What the demo prints of a webhook says why a modem is how it is, and what a
// message without a text is.
func TestSummary(t *testing.T) {
	for body, want := range map[string]string{
		`{"type":"modem.state","data":{"name":"modem1","state":"no-sim","reason":"There is no SIM in the modem."}}`:     "modem1 is no-sim: There is no SIM in the modem.",
		`{"type":"modem.state","data":{"name":"modem1","state":"ready","reason":""}}`:                                   "modem1 is ready",
		`{"type":"message.received","data":{"direction":"inbound","kind":"wap-push","from":"+491555123456"}}`:           "from +491555123456: (wap-push)",
		`{"type":"message.received","data":{"direction":"inbound","kind":"text","from":"+491555123456","text":"Fine"}}`: `from +491555123456: "Fine"`,
		`{"type":"alarm.begin","data":{"modem":"modem1","title":"The modem is set aside"}}`:                             "modem1: The modem is set aside",
		`{"type":"consent.opt-out","data":{"number":"+491555123456","decision":"opt-out","wording":"Stop"}}`:            `of +491555123456: "Stop"`,
		`{"type":"conversation.updated","data":{"id":"conv_1","state":"idle","unread":2,"assigned_to":null}}`:           "conv_1 idle",
		`{"type":"sender.blocked","data":{"id":"usr_1","kind":"person","reason":"spam","by":""}}`:                       "usr_1",
	} {
		if got := summary([]byte(body)); !strings.HasSuffix(got, " "+want) {
			t.Errorf("%s: %q", body, got)
		}
	}
}

func TestReachable(t *testing.T) {
	for _, every := range []string{"[::]:8080", "0.0.0.0:8080"} {
		if got := reachable(every); got == every || !strings.HasSuffix(got, ":8080") {
			t.Errorf("%s: %s", every, got)
		}
	}
	for _, one := range []string{"127.0.0.1:8080", "[::1]:8080"} {
		if got := reachable(one); got != one {
			t.Errorf("%s: %s", one, got)
		}
	}
}
