package gateway

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"gatewayd/sms"
)

// How long a modem may be so before it counts as down. What is pulled out shows
// within seconds; a network is searched for a while after each start.
const (
	graceAbsent    = 2 * time.Second
	graceSIM       = 10 * time.Second
	graceElsewhere = time.Minute // denied, busy, failed: some get over it by themselves
	graceSearching = 5 * time.Minute
	// graceStart is for modems that are looked for when the daemon starts.
	graceStart = time.Minute
)

// alarm begins and ends the alarms that a modem's state is. While it is being
// started or healed nobody knows yet.
func (g *Gateway) alarm(m sms.Modem) {
	grace := graceElsewhere
	switch m.State {
	case sms.Probing, sms.Healing:
		return
	case sms.Absent:
		grace = max(graceAbsent, graceStart-time.Since(g.started))
	case sms.NoSIM, sms.PINRequired, sms.PUKRequired:
		grace = graceSIM
	case sms.Searching:
		grace = graceSearching
	case sms.ModemFailed, sms.Denied, sms.BusyElsewhere:
	default:
		grace = -1
	}
	if grace < 0 {
		g.alarms.end(modemDown, m.Name)
	} else {
		g.alarms.is(sms.Alarm{Code: modemDown, Modem: m.Name, Severity: sms.SeverityCritical, Title: "The modem is down",
			Detail: strings.TrimSpace(m.Reason + " " + m.Advice)}, grace)
	}
	switch m.State {
	case sms.Parked:
		g.alarms.begin(modemParked, m.Name, "The modem is set aside", m.Reason+" "+m.Advice)
	case sms.Deaf:
		g.alarms.begin(modemDeaf, m.Name, "Nothing arrives at the modem", m.Reason+" "+m.Advice)
	default:
		g.alarms.end(modemDeaf, m.Name)
	}
	if m.State != sms.Parked {
		g.alarms.end(modemParked, m.Name)
	}
}

// AlarmOptions say when there is an alarm, and who is told.
type AlarmOptions struct {
	QueueAge       time.Duration // of the oldest message that could go; 0: 15 min
	WebhookFailing time.Duration // since when an endpoint took nothing; 0: 15 min
	FailureRate    int           // per cent of an hour's parts; 0: 50
	BackupAge      time.Duration // of the last backup; 0: it is not asked
	Notices        Notices
	Heartbeat      Heartbeat
}

// withoutReceivers is what can be compared of them.
func (o AlarmOptions) withoutReceivers() AlarmOptions {
	o.Notices.Receivers = nil
	return o
}

const (
	lookAtAlarms = 30 * time.Second
	someAge      = 15 * time.Minute
	someFailures = 50
)

// endHeartbeatAlarm ends the alarm of a dead-man signal that there is no more.
func (g *Gateway) endHeartbeatAlarm() {
	g.alarms.endOthers([]string{heartbeatFails}, map[string]bool{"": g.set.Load().Alarms.Heartbeat.URL != ""})
}

// watchAlarms looks now and then at what nothing tells of by itself.
func (g *Gateway) watchAlarms(ctx context.Context) {
	g.endHeartbeatAlarm()
	for {
		g.lookAtLimits()
		g.lookAtAge()
		g.lookAtFailures()
		g.lookAtWebhooks()
		g.lookAtBackups(ctx)
		g.lookAtSenders(ctx)
		if !sleep(ctx, lookAtAlarms) {
			return
		}
	}
}

// lookAtSenders tells of whom the answers have blocked, until an admin has looked at
// each of them.
func (g *Gateway) lookAtSenders(ctx context.Context) {
	n, err := g.talk.chat.Unreviewed(ctx)
	if err != nil {
		if ctx.Err() == nil {
			g.log.Error("who is blocked in the chat is not known", "error", err)
		}
		return
	}
	g.raise(n > 0, senderBlocked, "A sender of the chat was blocked",
		fmt.Sprintf("Blocked by the answers that they got, and not looked at yet: %d. Open them again or keep them blocked, on the page Abuse.", n))
}

// lookAtLimits tells of SIMs that have nearly, or fully, sent what they may.
func (g *Gateway) lookAtLimits() {
	names := map[string]string{"per_day": "day", "per_month": "month", "recipients_per_month": "month's different numbers"}
	for _, a := range g.modems.attached() {
		m := a.snapshot()
		if m.Limits == nil {
			continue // which SIM that is was not said yet
		}
		var words []string
		severity := sms.SeverityWarning
		for _, q := range m.Limits.All() {
			name := names[q.Name]
			if name == "" || q.Limit == nil || *q.Limit <= 0 || 10*q.Used < 9**q.Limit {
				continue
			}
			// Exact numbers would be a write for each message.
			if q.Used >= *q.Limit {
				severity = sms.SeverityCritical
				words = append(words, fmt.Sprintf("The limit of the %s, %d, is used up.", name, *q.Limit))
			} else {
				words = append(words, fmt.Sprintf("More than nine tenths of the limit of the %s, %d, are used up.", name, *q.Limit))
			}
		}
		if len(words) == 0 {
			g.alarms.end(simLimit, m.Name)
			continue
		}
		title := "The SIM's limit is nearly reached"
		if severity == sms.SeverityCritical {
			title = "The SIM's limit is reached"
		}
		g.alarms.is(sms.Alarm{Code: simLimit, Modem: m.Name, Severity: severity, Title: title,
			Detail: strings.Join(words, " ") + " " + kindOf(simLimit).advice}, kindOf(simLimit).grace)
	}
}

// lookAtAge tells of messages that wait too long.
func (g *Gateway) lookAtAge() {
	limit := cmp.Or(g.set.Load().Alarms.QueueAge, someAge)
	since, waits := g.dispatch.oldest()
	if !waits || g.dispatch.now().Sub(since) < limit {
		g.alarms.end(queueOld, "")
		return
	}
	g.alarms.begin(queueOld, "", "Messages wait too long",
		fmt.Sprintf("The oldest message that could go has waited for more than %s. %s", inMinutes(limit), kindOf(queueOld).advice))
}

func inMinutes(d time.Duration) string {
	return fmt.Sprintf("%d minutes", int(d.Round(time.Minute)/time.Minute))
}

// oldestOf is how many of each lane are looked at for the oldest.
const oldestOf = 64

// oldest is since when the message waits that waits longest of those that could
// go now. It looks at the next of each lane, which are few. What is told of
// alarms does not count, nor what the clock was not set for.
func (d *dispatcher) oldest() (since time.Time, waits bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for at, h := range d.lanes {
		if at.aside || at.key == alarmsKey || h.Len() == 0 {
			continue
		}
		for _, s := range h.stands[:min(h.Len(), oldestOf)] { // the next, and some of lower priorities
			e, _ := s.line.first(now)
			if e != nil && e.KeyID != alarmsKey && (!waits || e.Since.Before(since)) {
				since, waits = e.Since, true
			}
		}
	}
	return since, waits && d.trusted()
}

// lookAtFailures tells of modems, or of all, whose parts fail.
func (g *Gateway) lookAtFailures() {
	limit := cmp.Or(g.set.Load().Alarms.FailureRate, someFailures)
	var all outcomes
	seen := map[string]bool{"": true}
	judge := func(modem string, o outcomes) {
		share := 0
		if o.parts() >= fewestParts {
			share = 100 * o.failed / o.parts()
		}
		switch {
		case share >= limit:
			whose := "that were sent"
			if modem != "" {
				whose = "that this modem sent"
			}
			g.alarms.begin(failureRate, modem, "Many messages are refused",
				fmt.Sprintf("Of the parts %s within an hour %d %% or more failed. %s", whose, limit, kindOf(failureRate).advice))
		case 2*share < limit:
			g.alarms.end(failureRate, modem)
		}
	}
	modems := g.modems.attached()
	for _, a := range modems {
		o := a.feed.tally.within(time.Now())
		all.sent, all.failed = all.sent+o.sent, all.failed+o.failed
		seen[a.o.Name] = true
		judge(a.o.Name, o)
	}
	if len(modems) > 1 {
		judge("", all)
	} else {
		g.alarms.end(failureRate, "")
	}
	g.alarms.endOthers([]string{failureRate, simLimit, modemDown}, seen)
}

// lookAtWebhooks tells of endpoints that take nothing.
func (g *Gateway) lookAtWebhooks() {
	limit := cmp.Or(g.set.Load().Alarms.WebhookFailing, someAge)
	var names []string
	for _, f := range g.webhooks.Failing() {
		if g.dispatch.now().Sub(f.Since) >= limit {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		g.alarms.end(webhookFailing, "")
		return
	}
	detail := fmt.Sprintf("For more than %s nothing was taken by: %s. What they are to get waits, for three days. Mend the receiver.", inMinutes(limit), strings.Join(names, ", "))
	say := g.alarms.begin
	if before := g.alarms.detail(webhookFailing, ""); before != "" && len(before) < len(detail) {
		say = g.alarms.anew // another one
	}
	say(webhookFailing, "", "A webhook fails", detail)
}
