package api

import (
	"errors"
	"html"
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
)

func TestSignalHistoryOfAModem(t *testing.T) {
	b := newBox(t, settings{})
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	b.modems.history = []sms.SignalSample{
		{At: at, DBm: new(-71.5), WorstDBm: new(-75.0), RSRP: new(-91.0), WorstRSRP: new(-97.0), RSRQ: new(-10.5), Technology: "LTE"},
		{At: at.Add(time.Hour), DBm: new(-80.0), WorstDBm: new(-80.0)},
	}
	got := b.get("/v1/modems/office/signal?hours=2").want(200).Body.String()
	for _, want := range []string{`"step_seconds":300`, `"at":"2026-11-26T12:00:00Z","dbm":-71.5,"worst_dbm":-75,"rsrp":-91,"worst_rsrp":-97,"rsrq":-10.5,"sinr":null,"technology":"LTE"`,
		`"rsrp":null`, `"technology":null`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	if d := time.Since(b.modems.since); (d - 2*time.Hour).Abs() > time.Minute {
		t.Errorf("asked for the last %s", d)
	}
	b.get("/v1/modems/backup/signal").want(200)
	if d := time.Since(b.modems.since); (d - 24*time.Hour).Abs() > time.Minute {
		t.Errorf("asked for the last %s", d)
	}
	b.get("/v1/modems/nobody/signal").problem(notFound)
	b.get("/v1/modems/office/signal?hours=0").problem(invalidFields, "hours")
	b.get("/v1/modems/office/signal?hours=49").problem(invalidFields, "hours")
	b.ask("GET", "/v1/modems/office/signal", bearer(b.send), "").problem(wrongScope)
	b.modems.history = nil
	if got := b.get("/v1/modems/office/signal").want(200).Body.String(); !strings.Contains(got, `"samples":[]`) {
		t.Errorf("no history is %s", got)
	}
}

func TestAim(t *testing.T) {
	b := newBox(t, settings{})
	b.modems.all[1].Signal.RSRP, b.modems.all[1].Signal.At, b.modems.all[1].Cell = new(-98.0), time.Now(), "01C3"
	var got struct {
		State, Technology, Cell string
		Signal                  sms.Signal
	}
	b.ask("POST", "/v1/modems/office/aim", bearer(b.read), "").want(200).into(&got)
	if got.State != "ready" || got.Cell != "01C3" || *got.Signal.RSRP != -98 || len(b.modems.aimed) != 1 {
		t.Errorf("%+v, aimed %v", got, b.modems.aimed)
	}
	if n := b.ask("POST", "/v1/modems/backup/aim", bearer(b.read), "").want(200).Body.String(); !strings.Contains(n, `"signal":null`) {
		t.Errorf("without a signal: %s", n)
	}
	b.ask("POST", "/v1/modems/office/aim", bearer(b.send), "").problem(wrongScope)
	b.ask("POST", "/v1/modems/nobody/aim", bearer(b.read), "").problem(notFound)
	b.modems.err = errors.New("it is not in use")
	if p := b.ask("POST", "/v1/modems/office/aim", bearer(b.read), "").problem(conflict); !strings.Contains(p.Detail, "not in use") {
		t.Errorf("detail %q", p.Detail)
	}
	page := b.signInWith(b.read)
	b.ask("POST", "/v1/modems/office/aim", page.with("Sec-Fetch-Site", "cross-site"), "").problem(foreignOrigin)
}

func TestSystem(t *testing.T) {
	b := newBox(t, settings{change: func(o *Options) {
		o.System = func() sms.System {
			return sms.System{Model: "Raspberry Pi 4", Uptime: time.Hour, Celsius: new(48.3), Disk: &sms.DiskRoom{Free: 1, Total: 2, State: "low"},
				Clock: sms.ClockState{Trusted: true, Source: "kernel"}, Power: &sms.Power{UnderVoltage: true},
				Backup:   &sms.Backup{MadeAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Bytes: 9, FailingSince: time.Date(2026, 1, 3, 3, 4, 5, 0, time.UTC), Error: "no room"},
				Warnings: []sms.SystemWarning{{Code: "under-voltage", Title: "t", Detail: "d"}}}
		}
	}})
	if got := b.get("/v1/system").want(200).Body.String(); !strings.Contains(got, `"under_voltage":true`) || !strings.Contains(got, `"uptime_seconds":3600`) ||
		!strings.Contains(got, `"last_backup":{"made_at":"2026-01-02T03:04:05Z","bytes":9,"failing_since":"2026-01-03T03:04:05Z","error":"no room"}`) {
		t.Error(got)
	}
	b.ask("GET", "/v1/system", bearer(b.send), "").problem(wrongScope)
	if got := newBox(t, settings{}).get("/v1/system").want(200).Body.String(); !strings.Contains(got, `"power":null,"last_backup":null,"hub":null,"warnings":[]`) {
		t.Error(got)
	}
}

func TestAimPage(t *testing.T) {
	b := newBox(t, settings{})
	office := &b.modems.all[1]
	has := func(path string, words ...string) {
		t.Helper()
		page := html.UnescapeString(b.ask("GET", path, bearer(b.read), "").want(200).Body.String())
		for _, w := range words {
			if !strings.Contains(page, w) {
				t.Errorf("%s lacks %s", path, w)
			}
		}
		for _, bad := range []string{" style=", "<style", " onclick", "http://", office.Number, office.ICCID} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
	}
	has("/aim?modem=office", `data-modem="office"`, `<option selected>office</option>`, `id="figure">−71<`, `id="kind">RSSI<`, `id="word">good<`, "Sim Mobile", `src="/assets/aim.js"`)
	office.Signal.RSRP, office.Signal.SINR, office.Signal.Quality, office.Cell = new(-118.0), new(-2.5), "poor", "01C3"
	has("/aim?modem=office", `id="figure">−118<`, `id="kind">RSRP<`, `class="word bad" id="word">poor<`, `id="rsrp">−118 dBm<`, `id="rsrq">–<`, `id="sinr">−2.5 dB<`, `id="cell">01C3<`, `id="fill" width="20"`)
	has("/aim", `data-modem="backup"`, `id="figure">–<`, "no signal", "SIM needs its PIN")
	b.modems.all[0].State = sms.Absent
	has("/aim", `data-modem="office"`)
	b.ask("GET", "/aim?modem=nobody", bearer(b.read), "").problem(notFound)
	b.ask("GET", "/aim", bearer(b.send), "").problem(wrongScope)
	b.modems.all = nil
	if page := b.ask("GET", "/aim", bearer(b.read), "").want(200).Body.String(); !strings.Contains(page, "No modem is there yet.") {
		t.Error("nothing is said without a modem")
	}
}
