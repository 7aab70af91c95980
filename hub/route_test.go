package hub

import (
	"strings"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
)

func TestRoute(t *testing.T) {
	ready := func(name, iccid, number string) sms.Modem {
		return sms.Modem{Name: name, ICCID: iccid, Number: number, State: sms.Ready}
	}
	searching := func(name, iccid string) sms.Modem {
		return sms.Modem{Name: name, ICCID: iccid, State: sms.Searching}
	}
	at := func(name, group string, outstanding int, modems ...sms.Modem) *place {
		return &place{name: name, group: group, connected: true, outstanding: outstanding, modems: modems}
	}
	away := func(p *place, for_ time.Duration) *place { p.connected, p.away = false, for_; return p }
	disabled := func(p *place) *place { p.disabled = true; return p }
	full := func(p *place) *place { p.full = true; return p }
	const minute = time.Minute

	type fleetOf []*place
	three := func() fleetOf {
		return fleetOf{
			at("berlin", "de", 7, ready("sim1", "49a", "+491700000001"), searching("sim2", "49b")),
			at("bonn", "de", 3, ready("sim1", "49c", "+491700000003")),
			at("paris", "", 0, ready("bleu", "33a", "+33600000001")),
		}
	}
	routes := []Route{{"+49", "group:de"}, {"+4930", "berlin"}, {"+33", "paris"}}

	for name, c := range map[string]struct {
		places   fleetOf
		routes   []Route
		fallback string
		ask      ask
		want     choice // why: a part of it
	}{
		"named":                             {places: three(), ask: ask{wish: "paris"}, want: choice{gateway: "paris"}},
		"named and away for hours":          {places: fleetOf{away(at("a", "g", 0), 60*minute), at("b", "g", 0, ready("m", "1", ""))}, ask: ask{wish: "a"}, want: choice{gateway: "a"}},
		"named, unknown":                    {places: three(), ask: ask{wish: "rom"}, want: choice{why: "no gateway rom"}},
		"named, disabled":                   {places: fleetOf{disabled(at("a", "", 0))}, ask: ask{wish: "a"}, want: choice{why: "disabled"}},
		"named, full":                       {places: fleetOf{full(at("a", "", 0))}, ask: ask{wish: "a"}, want: choice{why: "as much as may wait"}},
		"named beats SIM and routes":        {places: three(), routes: routes, ask: ask{to: "+4930", wish: "paris", sim: "49a"}, want: choice{gateway: "paris"}},
		"group: least to do":                {places: three(), ask: ask{wish: "group:de"}, want: choice{gateway: "bonn"}},
		"group: who keeps the SIM":          {places: three(), ask: ask{wish: "group:de", sim: "49a"}, want: choice{gateway: "berlin"}},
		"group: the SIM is another's":       {places: three(), ask: ask{wish: "group:de", sim: "33a"}, want: choice{gateway: "bonn"}},
		"group: the SIM does not work":      {places: three(), ask: ask{wish: "group:de", sim: "49b"}, want: choice{gateway: "bonn"}},
		"group: who is connected":           {places: fleetOf{away(at("a", "g", 0, ready("m", "1", "")), minute), at("b", "g", 9, ready("m", "2", ""))}, ask: ask{wish: "group:g"}, want: choice{gateway: "b"}},
		"group: who has a ready modem":      {places: fleetOf{at("a", "g", 0, searching("m", "1")), at("b", "g", 9, ready("m", "2", ""))}, ask: ask{wish: "group:g"}, want: choice{gateway: "b"}},
		"group: who has room":               {places: fleetOf{full(at("a", "g", 0, ready("m", "1", ""))), at("b", "g", 9, ready("m", "2", ""))}, ask: ask{wish: "group:g", sim: "1"}, want: choice{gateway: "b"}},
		"group: nobody":                     {places: fleetOf{away(at("a", "g", 0, ready("m", "1", "")), 10*minute), at("b", "g", 0)}, ask: ask{wish: "group:g"}, want: choice{why: "no gateway of group g"}},
		"group of one that is away":         {places: fleetOf{away(at("a", "g", 0), 10*minute)}, ask: ask{wish: "group:g"}, want: choice{gateway: "a"}},
		"group, unknown":                    {places: three(), ask: ask{wish: "group:it"}, want: choice{why: "group it has no gateway"}},
		"SIM of two":                        {places: fleetOf{at("a", "", 0, ready("m", "49c", "+491700000003")), three()[1]}, ask: ask{pin: "+491700000003"}, want: choice{why: "a and bonn say"}},
		"SIM of two, one away":              {places: fleetOf{at("a", "", 0, ready("m", "49c", "")), away(three()[1], 9*minute)}, ask: ask{pin: "49c"}, want: choice{why: "a and bonn say"}},
		"SIM of two, one disabled":          {places: fleetOf{disabled(at("a", "", 0, ready("m", "49c", ""))), three()[1]}, ask: ask{pin: "49c"}, want: choice{gateway: "bonn", sim: "49c"}},
		"kept SIM of two":                   {places: fleetOf{at("a", "", 0, ready("m", "33a", "")), three()[2]}, routes: routes, ask: ask{to: "+331", sim: "33a"}, want: choice{gateway: "paris"}},
		"modem":                             {places: three(), ask: ask{pin: "sim1@bonn"}, want: choice{gateway: "bonn", modem: "sim1"}},
		"modem that was not told yet":       {places: three(), ask: ask{pin: "new@bonn"}, want: choice{gateway: "bonn", modem: "new"}},
		"modem of no gateway":               {places: three(), ask: ask{pin: "sim1@rom"}, want: choice{why: "no gateway rom"}},
		"modem of a disabled gateway":       {places: fleetOf{disabled(at("a", "", 0, ready("m", "1", "")))}, ask: ask{pin: "m@a"}, want: choice{why: "disabled"}},
		"modem by its name alone":           {places: three(), ask: ask{pin: "bleu"}, want: choice{gateway: "paris", modem: "bleu"}},
		"number that nobody has":            {places: three(), ask: ask{pin: "+436641234567"}, want: choice{why: "no gateway has said that it has the SIM that the message names"}},
		"SIM of another gateway":            {places: three(), ask: ask{pin: "+491700000003", wish: "paris"}, want: choice{why: "the SIM that the message names is at gateway bonn, which is not paris"}},
		"modem by a name that two have":     {places: three(), ask: ask{pin: "sim1"}, want: choice{why: "2 gateways have a modem sim1"}},
		"that name, and the gateway":        {places: three(), ask: ask{pin: "sim1", wish: "berlin"}, want: choice{gateway: "berlin", modem: "sim1"}},
		"modem and another gateway":         {places: three(), ask: ask{pin: "sim1@bonn", wish: "berlin"}, want: choice{why: "is not berlin"}},
		"modem and its group":               {places: three(), ask: ask{pin: "sim1@bonn", wish: "group:de"}, want: choice{gateway: "bonn", modem: "sim1"}},
		"modem and another group":           {places: three(), ask: ask{pin: "bleu@paris", wish: "group:de"}, want: choice{why: "is not group:de"}},
		"SIM by its number":                 {places: three(), ask: ask{pin: "+491700000003"}, want: choice{gateway: "bonn", sim: "49c"}},
		"SIM by its ICCID":                  {places: three(), ask: ask{pin: "49b"}, want: choice{gateway: "berlin", sim: "49b"}},
		"SIM that nobody has":               {places: three(), ask: ask{pin: "+39000"}, want: choice{why: "no gateway has said"}},
		"pin beats the number's SIM":        {places: three(), ask: ask{pin: "bleu@paris", sim: "49a"}, want: choice{gateway: "paris", modem: "bleu"}},
		"the number's SIM beats routes":     {places: three(), routes: routes, ask: ask{to: "+4930123", sim: "33a"}, want: choice{gateway: "paris"}},
		"it is away for a moment":           {places: fleetOf{away(at("a", "", 0, ready("m", "1", "")), minute), at("b", "", 0)}, fallback: "b", ask: ask{sim: "1"}, want: choice{gateway: "a"}},
		"it is away for long":               {places: fleetOf{away(at("a", "", 0, ready("m", "1", "")), 6*minute), at("b", "", 0)}, fallback: "b", ask: ask{sim: "1"}, want: choice{gateway: "b"}},
		"longest prefix":                    {places: three(), routes: routes, ask: ask{to: "+4930123"}, want: choice{gateway: "berlin"}},
		"prefix of a group":                 {places: three(), routes: routes, ask: ask{to: "+4989123"}, want: choice{gateway: "bonn"}},
		"prefix, away: another of group":    {places: fleetOf{away(at("a", "g", 0), 6*minute), at("b", "g", 0, ready("m", "1", "")), at("c", "", 0, ready("m", "2", ""))}, fallback: "a", ask: ask{}, want: choice{gateway: "b"}},
		"prefix, away for a moment":         {places: fleetOf{away(at("a", "g", 0), minute), at("b", "g", 0, ready("m", "1", ""))}, fallback: "a", ask: ask{}, want: choice{gateway: "a"}},
		"prefix, disabled: another":         {places: fleetOf{disabled(at("a", "g", 0)), at("b", "g", 0, ready("m", "1", ""))}, fallback: "a", ask: ask{}, want: choice{gateway: "b"}},
		"prefix, away: nobody else":         {places: fleetOf{away(at("a", "g", 0), 6*minute), at("b", "g", 0)}, fallback: "a", ask: ask{}, want: choice{gateway: "a"}},
		"no prefix, default":                {places: three(), routes: routes, fallback: "paris", ask: ask{to: "+1555"}, want: choice{gateway: "paris"}},
		"no prefix, no default":             {places: three(), routes: routes, ask: ask{to: "+1555"}, want: choice{why: "no route fits"}},
		"the only one":                      {places: fleetOf{away(at("a", "", 0), time.Hour)}, ask: ask{to: "+1555"}, want: choice{gateway: "a"}},
		"the only one that is not disabled": {places: fleetOf{at("a", "", 0), disabled(at("b", "", 0))}, ask: ask{to: "+1555"}, want: choice{gateway: "a"}},
		"none at all":                       {ask: ask{to: "+1555"}, want: choice{why: "add-gateway"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fleet{places: c.places, routes: c.routes, fallback: c.fallback, awayAfter: 5 * time.Minute}
			got := f.route(c.ask)
			if c.want.why != "" {
				if !strings.Contains(got.why, c.want.why) || got.gateway != "" {
					t.Fatalf("got %+v, want it to wait because %q", got, c.want.why)
				}
				return
			}
			if got != c.want {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// What stands for a SIM that its modem does not tell means nothing to the gateway.
func TestWrittenForAModemWithoutASIM(t *testing.T) {
	f := &flow{places: func() []*place {
		return []*place{{name: "north", modems: []sms.Modem{{Name: "office", State: sms.Ready}}}}
	}}
	for _, pin := range []string{"", "office@north"} {
		if w := f.written(queue.Relayed{Gateway: "north", SIM: "office@north", Pin: pin}); w.SIM != "" || w.From != "office" {
			t.Errorf("pin %q: SIM %q, from %q", pin, w.SIM, w.From)
		}
	}
	if w := f.written(queue.Relayed{Gateway: "north", SIM: "8949"}); w.SIM != "8949" || w.From != "" {
		t.Errorf("SIM %q, from %q", w.SIM, w.From)
	}
}
