package api

import (
	"fmt"
	"slices"
	"time"

	"gatewayd/sms"
)

// summaryView answers the first question in one sentence: do texts go out? And if
// not, why, and what is to be done.
type summaryView struct {
	Kind, Sentence string
	More           []string
	Do             []string
}

// searchesFor is how long a modem that looks for a network is one that will
// be ready in a moment.
const searchesFor = 3 * time.Minute

// summarise answers the first question: can it send?
func summarise(modems []sms.Modem, rings sms.Rings, now time.Time) summaryView {
	var ready, able, coming int // able: it sends, and yet something is the matter with it
	var others []string
	for _, m := range modems {
		switch m.State {
		case sms.Ready:
			ready++
			continue
		case sms.StorageFull, sms.Deaf:
			able++
		case sms.Searching:
			if m.Since.IsZero() || now.Sub(m.Since) < searchesFor {
				coming++
			}
		case sms.Probing, sms.Healing:
			coming++
		}
		others = append(others, fmt.Sprintf("%s: %s", m.Name, modemWords[m.State].Word))
	}
	advice := whatToDo(modems)
	const most = 4
	if len(others) > most+1 {
		others = append(others[:most], fmt.Sprintf("and %d more", len(others)-most))
	}
	var s summaryView
	switch {
	case len(modems) == 0:
		s = summaryView{Kind: bad, Sentence: "No text can be sent: there is no modem.", More: []string{waitOnDisk}}
	case ready == len(modems):
		s = summaryView{Kind: good, Sentence: "Texts can be sent.", More: []string{countOf(ready, "modem is", "modems are") + " ready."}}
	case ready+able == len(modems):
		s = summaryView{Kind: warn, Sentence: "Texts can be sent; receiving is in trouble.", More: others}
	case ready+able > 0:
		s = summaryView{Kind: warn, Sentence: "Texts can be sent, but not by every modem.", More: others}
	case coming > 0:
		s = summaryView{Kind: idle, Sentence: "One moment: no modem is ready yet.", More: others}
	default:
		s = summaryView{Kind: bad, Sentence: "No text can be sent now.", More: others}
	}
	s.Do = advice
	s.full(rings)
	return s
}

// full says what full rings hold up.
func (s *summaryView) full(rings sms.Rings) {
	if full(rings.Outbound) {
		s.Kind, s.Sentence = bad, "The queue is full: new texts are refused."
		s.More = slices.DeleteFunc(s.More, func(more string) bool { return more == waitOnDisk })
	}
	if full(rings.Inbound) {
		s.Kind = worse(s.Kind)
		s.More = append(s.More, "Received texts are held back in SIM and network, because no webhook takes those that are here.")
	}
}

// whatToDo is the advice on the first modems that don't work.
func whatToDo(modems []sms.Modem) (all []string) {
	if len(modems) == 0 {
		return []string{"Plug a modem with its SIM in."}
	}
	const most = 3
	for _, m := range modems {
		if m.State != sms.Ready && m.Advice != "" && len(all) < most {
			all = append(all, m.Name+": "+m.Advice)
		}
	}
	return all
}

const waitOnDisk = "Texts that are handed in wait on disk."

// refuse says why new texts are refused, if an alarm tells; with any other not
// all is well.
func (s *summaryView) refuse(alarms []sms.Alarm) {
	for _, alarm := range alarms {
		s.Kind = worse(s.Kind)
		if alarm.Code == "disk-full" {
			s.Kind, s.Sentence = bad, "The disk is full: new texts are refused."
			s.More = slices.DeleteFunc(s.More, func(more string) bool { return more == waitOnDisk })
		}
	}
}

func full(r sms.Ring) bool { return r.Capacity > 0 && r.Depth >= r.Capacity }

func worse(kind string) string {
	if kind == bad {
		return bad
	}
	return warn
}
