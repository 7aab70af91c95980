package gateway

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
)

var update = flag.Bool("update", false, "write docs/alarms.md anew")

const alarmPage = "../docs/alarms.md"

// The page about alarms is made of the table that the gateway works with.
func TestAlarmPage(t *testing.T) {
	want := alarmPageOf()
	if *update {
		if err := os.WriteFile(alarmPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(alarmPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/alarms.md is not what the table says: run go generate ./gateway")
	}
	known := map[string]bool{}
	for _, k := range alarmTable {
		if known[k.code] || k.title == "" || k.means == "" || k.advice == "" || k.severity != sms.SeverityWarning && k.severity != sms.SeverityCritical {
			t.Errorf("%+v", k)
		}
		known[k.code] = true
	}
}

// Every code that the API's document names is one of the table, and the other way round.
func TestAlarmsAreInTheDocument(t *testing.T) {
	b, err := os.ReadFile("../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, codes, _ := strings.Cut(string(b), "examples: [modem-down, ")
	codes, _, _ = strings.Cut("modem-down, "+codes, "]")
	for _, k := range alarmTable {
		if !strings.Contains(", "+codes+",", ", "+k.code+",") {
			t.Errorf("the document lacks %s", k.code)
		}
	}
}

const alarmPageHead = `# Alarms

<!-- Made of the table in gateway/alarmtable.go by "go generate ./gateway"; a test holds it against the table. -->

An alarm is something that needs a person. It begins and ends once, over restarts too, as the events ` + "`alarm.begin`" + ` and ` + "`alarm.end`" + `, so every
webhook can have it. ` + "`GET /v1/alarms`" + ` lists those that go on and those that were, for 90 days; the status page shows them; the metric
` + "`gatewayd_alarm{code,modem}`" + ` is 1 for each. ` + "`alarms.sms_to` and `alarms.mail_to`" + ` in the configuration name people who are told besides, and
` + "`POST /v1/alarms/test`" + ` tells them that it is a test.

It begins once its condition held for its *grace*, and ends once all was well for its *hold*. One that came three times within an hour flaps: it
goes on until all was well for 30 minutes, and says how often it came.

| code | severity | title | grace | hold | what it means | what to do |
| --- | --- | --- | --- | --- | --- | --- |
`

const alarmPageTail = `
## How people are told

- What begins and ends within a minute stands in one message; what came and went within it in none.
- An SMS goes out ahead of everything else, through any modem that works, and expires after two hours, so that nobody gets old ones when the modems
  are back. Who answered STOP gets none. It is never the reason of an alarm itself.
- An e-mail is tried again for a day.
- Each gets ten messages an hour at most (` + "`alarms.max_per_hour`" + `); what comes beyond is told together.
- An alarm that goes on is told again once a day (` + "`alarms.repeat`" + `).
- What waits to be told outlives a restart. An alarm that begins while nothing can be written is shown, and written as soon as it can be; if the
  daemon ends before, it is lost, unless its condition is still there after the start.

## Backups

` + "`backup-old`" + ` begins when the last backup is older than ` + "`alarms.backup_age`" + `, three days unless it is set: the package's timer makes one a day, so one night may
fail and be made up for. It asks only where somebody has tried to make one: a gateway that keeps nothing worth a backup, or is copied by other means, would
have an alarm that nothing but the configuration ends. Where every try fails it counts from the first. ` + "`GET /v1/system`" + ` (` + "`last_backup`" + `), the status page
and ` + "`gatewayd_backup_last_success_timestamp_seconds`" + ` say when the last one was made. A copy made by other programs than ` + "`gatewayd backup`" + ` is not known.

## The dead-man signal

A box without power tells nobody. So ` + "`heartbeat_url`" + ` is asked every minute while the daemon lives: its writer, its dispatcher, its modems' loops, its
webhooks and its housekeeping make steps, and the database takes what is new. Whoever is behind the address raises the alarm when that stops.
The request has the version as its user agent and no body. ` + "`gatewayd_heartbeat_last_success_timestamp_seconds`" + ` says when it got through last.
`

func alarmPageOf() string {
	var b strings.Builder
	b.WriteString(alarmPageHead)
	length := func(d time.Duration) string {
		switch {
		case d == 0:
			return "–"
		case d < time.Minute:
			return fmt.Sprintf("%d s", d/time.Second)
		}
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	for _, k := range alarmTable {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", k.code, k.severity, k.title, length(k.grace), length(k.hold), k.means, k.advice)
	}
	b.WriteString(alarmPageTail)
	return b.String()
}
