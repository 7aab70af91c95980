package api

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"gatewayd/sms"
)

// fleetView is what a hub's status page shows in the place of modems.
type fleetView struct {
	Line  string
	First []gatewayLine // those with trouble before the others
	More  int           // beyond these
	Ways  []choiceView  // by whom a text may go
}

// shownGateways is how many the status page shows.
const shownGateways = 20

var kindOrder = map[string]int{bad: 0, warn: 1, idle: 2, good: 3}

func (a *API) viewFleet(all []sms.Gateway) *fleetView {
	v := &fleetView{Line: fleetLine(all)}
	var groups []string
	for _, g := range all {
		v.First = append(v.First, a.viewGateway(g))
		if g.Disabled {
			continue
		}
		v.Ways = append(v.Ways, choiceView{Words: g.Name, Path: g.Name})
		if g.Group != "" && !slices.Contains(groups, g.Group) {
			groups = append(groups, g.Group)
		}
	}
	slices.Sort(groups)
	for _, g := range groups {
		v.Ways = append(v.Ways, choiceView{Words: "group " + g, Path: "group:" + g})
	}
	slices.SortStableFunc(v.First, func(x, y gatewayLine) int { return cmp.Compare(kindOrder[x.Kind], kindOrder[y.Kind]) })
	if len(v.First) > shownGateways {
		v.First, v.More = v.First[:shownGateways], len(v.First)-shownGateways
	}
	return v
}

// fleetAlarms are those that gateways told of, each with its page.
func fleetAlarms(all []sms.Gateway) (alarms []alarmView) {
	for _, g := range all {
		for _, alarm := range g.Alarms {
			who := g.Name
			if alarm.Modem != "" {
				who = alarm.Modem + "@" + g.Name
			}
			alarms = append(alarms, alarmView{alarm, true, who, "/gateways/" + g.Name})
		}
	}
	return alarms
}

// summariseFleet answers a hub's first question: can its gateways send?
func summariseFleet(all []sms.Gateway, now time.Time) summaryView {
	var expected, able int // that are enabled and have been here; that can send with all of their modems
	var some bool          // one of them can send at all
	var others, do []string
	tell := func(g sms.Gateway, what, advice string) {
		others = append(others, g.Name+": "+what)
		if advice != "" && len(do) < 3 {
			do = append(do, g.Name+": "+advice)
		}
	}
	for _, g := range all {
		switch ready := g.Ready(); {
		case g.State() == sms.GatewayDisabled || g.State() == sms.GatewayNew:
			continue
		case !g.Connected:
			tell(g, "away for "+lasts(now.Sub(g.Since)), "Look at the power and the internet connection there. What it has goes out meanwhile; what waits for it goes when it is back.")
		case ready == 0:
			advice := ""
			for _, m := range g.Modems {
				advice = cmp.Or(advice, m.Advice)
			}
			tell(g, "no modem is ready", advice)
		default:
			if some = true; ready == len(g.Modems) {
				able++
			} else {
				tell(g, fmt.Sprintf("%d of %d modems are ready", ready, len(g.Modems)), "")
			}
		}
		expected++
	}
	const most = 4
	if len(others) > most+1 {
		others = append(others[:most], fmt.Sprintf("and %d more", len(others)-most))
	}
	switch {
	case len(all) == 0:
		return summaryView{bad, "No text can be sent: there is no gateway.", []string{waitOnDisk}, []string{"Add a gateway, and give it the credentials that you get."}}
	case expected == 0:
		return summaryView{idle, "No gateway has connected yet.", []string{waitOnDisk}, []string{"Give a gateway its credentials, and restart gatewayd there."}}
	case able == expected:
		return summaryView{good, "Texts can be sent.", []string{fleetLine(all)}, nil}
	case some:
		return summaryView{warn, "Texts can be sent, but not by every gateway.", others, do}
	}
	return summaryView{bad, "No text can be sent now.", append(others, waitOnDisk), do}
}
