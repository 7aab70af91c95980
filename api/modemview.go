package api

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"gatewayd/sms"
)

// modemWords says every state of a modem in plain words.
var modemWords = map[sms.ModemState]pill{
	sms.Absent:        {"not plugged in", bad},
	sms.Probing:       {"starting up", idle},
	sms.BusyElsewhere: {"used by another program", bad},
	sms.NoSIM:         {"no SIM card", bad},
	sms.PINRequired:   {"SIM needs its PIN", bad},
	sms.PUKRequired:   {"SIM is locked (PUK)", bad},
	sms.Searching:     {"looking for a network", warn},
	sms.Denied:        {"refused by the network", bad},
	sms.Ready:         {"ready", good},
	sms.Limited:       {"SIM limit reached", warn},
	sms.StorageFull:   {"storage full", warn},
	sms.Deaf:          {"receives nothing", bad},
	sms.Healing:       {"recovering", warn},
	sms.Parked:        {"set aside", bad},
	sms.ModemFailed:   {"failed", bad},
}

// modemView is the card of a modem.
type modemView struct {
	Anchor                       string
	Usable                       bool // a message can name it
	May                          may
	Name                         string
	Pill                         pill
	Since                        time.Time
	Reason, Advice, Warning      string
	Operator, Technology, Number string
	Roaming, HasSignal           bool
	Bars, DBm                    int
	Quality                      string
	Readings                     []readingView
	Chart                        *chartView
	Rate                         string // how much it sends, in words
	Errors                       []errorView
	Balance                      *balanceView
	Alarms                       []sms.Alarm
	Limits                       []limitView
	Counts                       []countView
	Canary                       string // the last test message, in words
	Healing                      *healingView
}

// readingView is a measure of the signal with its word.
type readingView struct{ Name, Value, Kind, Word string }

// errorView counts what was not sent for one kind of reason.
type errorView struct {
	Count       int64
	Words, Last string
	At          time.Time
}

// limitView is one limit of the SIM.
type limitView struct {
	Name              string
	Used, Limit, High int // High: from where it is nearly used up
}

type countView struct {
	Name  string
	Value int64
}

// errorWords say what each class of errors means to somebody at the box.
var errorWords = map[sms.Class]string{
	sms.Now:       "for a moment only; tried again at once",
	sms.Later:     "network or phone not reachable; tried again later",
	sms.Permanent: "a number or text that will never work",
	sms.Account:   "refused because of the SIM or its contract",
	sms.Fault:     "the modem failed",
	sms.Unknown:   "nobody can know whether it went out",
}

// card is a modem as somebody may see it, with its signal of the last day.
func (a *API) card(ctx context.Context, m sms.Modem, may may) (modemView, error) {
	if !may.Read {
		m.Number = ""
	}
	v := viewModem(m)
	v.May = may
	samples, err := a.o.Modems.SignalHistory(ctx, m.Name, a.now().Add(-chartSpan))
	if err != nil {
		return v, fmt.Errorf("the signal of %s: %w", m.Name, err)
	}
	v.Chart = viewChart(samples, a.now())
	return v, nil
}

// anchor is where the card of a modem is on the page.
func anchor(modem string) string { return "modem-" + modem }

// readings are the measures that modem and technology have. The marks are those
// that makers of LTE routers give, for no standard has any.
func readings(s sms.Signal) (all []readingView) {
	add := func(name, unit string, value *float64, fine, fair float64) {
		if value == nil {
			return
		}
		r := readingView{Name: name, Value: strings.Replace(fmt.Sprintf("%.0f %s", *value, unit), "-", "−", 1), Kind: good, Word: "good"}
		switch {
		case *value < fair:
			r.Kind, r.Word = bad, "poor"
		case *value < fine:
			r.Kind, r.Word = warn, "fair"
		}
		all = append(all, r)
	}
	add("RSRP", "dBm", s.RSRP, -90, -105)
	add("RSRQ", "dB", s.RSRQ, -12, -17)
	add("SINR", "dB", s.SINR, 10, 0)
	return all
}

// rateWords say how much a modem sent lately.
func rateWords(r sms.SendRate) string {
	if r.LastHour == 0 {
		return "Nothing sent in the last hour."
	}
	return fmt.Sprintf("%s sent in the last hour, %s in the last minute.", countOf(r.LastHour, "SMS", "SMS"), count(r.LastMinute))
}

// furtherAlarms are those of which the modem's reason and advice don't tell already.
func furtherAlarms(m sms.Modem) (all []sms.Alarm) {
	for _, alarm := range m.Alarms {
		if alarm.Detail != m.Reason+" "+m.Advice {
			all = append(all, alarm)
		}
	}
	return all
}

// OnAir reports whether anything is known of the network.
func (v modemView) OnAir() bool { return v.Operator != "" || v.HasSignal }

func viewModem(m sms.Modem) modemView {
	p, ok := modemWords[m.State]
	if !ok {
		p = pill{string(m.State), warn}
	}
	v := modemView{
		Name: m.Name, Anchor: anchor(m.Name), Usable: !m.Unidentified, Pill: p, Since: m.Since, Rate: rateWords(m.Rate), Reason: m.Reason, Advice: m.Advice, Warning: m.Warning,
		Operator: m.Operator, Technology: m.Technology, Number: m.Number, Roaming: m.Registration == "roaming",
		Counts: []countView{
			{"sent", m.Counters.PartsSent}, {"failed", m.Counters.PartsFailed},
			{"received", m.Counters.Received}, {"reports", m.Counters.Reports},
		},
	}
	v.Alarms = furtherAlarms(m)
	v.Balance = viewBalance(m.Balance)
	if m.Limits != nil {
		names := map[string]string{"per_day": "Today", "per_month": "This month", "recipients_per_month": "Numbers this month"}
		for _, q := range m.Limits.All() {
			// The minute's is over before anybody has read it.
			if name := names[q.Name]; name != "" && q.Limit != nil {
				v.Limits = append(v.Limits, limitView{Name: name, Used: q.Used, Limit: *q.Limit, High: *q.Limit * 9 / 10})
			}
		}
	}
	if s := m.Signal; s != nil {
		v.HasSignal, v.DBm, v.Quality = true, s.DBm, s.Quality
		// A quarter of the scale for each bar, and one for any signal at all.
		v.Bars = min((s.Percent+24)/25, 4)
		v.Readings = readings(*s)
	}
	for _, e := range m.Errors {
		v.Errors = append(v.Errors, errorView{Count: e.Count, Words: cmp.Or(errorWords[e.Class], string(e.Class)), Last: e.Title, At: e.At})
	}
	v.Canary = canaryLine(m.Canary)
	v.Healing = viewHealing(m.Healing)
	return v
}
