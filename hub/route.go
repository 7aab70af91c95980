package hub

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatewayd/sms"
)

// groupMark stands before the name of a group where a gateway's may stand.
const groupMark = "group:"

// place is a gateway as routing sees it.
type place struct {
	name        string
	group       string
	disabled    bool
	connected   bool
	away        time.Duration // for how long it has not been heard; 0: it is connected
	full        bool          // it has been given as much as may wait for it
	modems      []sms.Modem
	outstanding int // messages that it has and that are not over
	epoch       int64
	heard       time.Time // when it last told of itself; zero: never
	rings       sms.Rings // as it told then
}

// ready tells whether it can send now, as far as is known.
func (p *place) ready() bool { return slices.ContainsFunc(p.modems, readyModem) }

func readyModem(m sms.Modem) bool { return m.State == sms.Ready }

// fleet is the picture that messages are routed by.
type fleet struct {
	places    []*place // by name
	routes    []Route
	fallback  string            // gateway or group:NAME; "": none
	awayAfter time.Duration     // after that others of its group stand in
	moves     map[string]string // gateways whose messages go elsewhere, by somebody's word
}

// ask is what is asked of the routes for one message.
type ask struct {
	to   string
	wish string // the gateway, or group:NAME, that its sender named
	pin  string // the modem or SIM that must send it: NAME@GATEWAY, a name, a number, an ICCID
	sim  string // that the number keeps; "": none
}

// choice is where a message goes: to a gateway, and there by a modem or a SIM if one
// must be; or it waits, and why says for what.
type choice struct {
	gateway string
	modem   string
	sim     string
	why     string
}

// route says which gateway a message goes to. Whoever named one gets that one, whether it
// is there or not: what is for it waits in its stream. Whoever named a group, or nobody,
// gets one that can send it now.
func (f *fleet) route(a ask) choice {
	c := f.choose(a)
	if to := f.moves[c.gateway]; to != "" && c.modem == "" && c.sim == "" {
		return f.standIn(to, c.gateway)
	}
	return c
}

func (f *fleet) choose(a ask) choice {
	c := f.pinned(a)
	if c.why != "" {
		return c
	}
	if c.gateway != "" {
		return f.take(c)
	}
	if group, ok := strings.CutPrefix(a.wish, groupMark); ok {
		return f.among(group, a.sim, "")
	}
	if a.wish != "" {
		return f.take(choice{gateway: a.wish})
	}
	if p := f.keeper(a.sim, ""); p != nil && !p.full {
		return choice{gateway: p.name}
	}
	to := f.target(a.to)
	if to == "" {
		only := f.only()
		if only == nil {
			return choice{why: f.nowhere()}
		}
		to = only.name
	}
	if group, ok := strings.CutPrefix(to, groupMark); ok {
		return f.among(group, a.sim, "")
	}
	p := f.place(to)
	if p != nil && p.group != "" && (p.disabled || p.away > f.awayAfter) {
		if c := f.among(p.group, a.sim, p.name); c.why == "" {
			return c
		}
	}
	return f.take(choice{gateway: to})
}

// pinned finds whoever has the modem or the SIM that a message must go by; one that names
// none goes on with the routes.
func (f *fleet) pinned(a ask) choice {
	if a.pin == "" {
		return choice{}
	}
	if name, gateway, ok := strings.Cut(a.pin, "@"); ok {
		return f.agrees(choice{gateway: gateway, modem: name}, a)
	}
	var sims, found []choice
	for _, p := range f.places {
		for _, m := range p.modems {
			switch a.pin {
			case m.ICCID, m.Number:
				sims = append(sims, choice{gateway: p.name, sim: cmp.Or(m.ICCID, m.Name)})
			case m.Name:
				found = append(found, choice{gateway: p.name, modem: m.Name})
			}
		}
	}
	if c := f.holder(sims); c != (choice{}) {
		return f.agrees(c, a) // a SIM wins at once: it is in one modem only
	}
	found = slices.DeleteFunc(found, func(c choice) bool { return f.agrees(c, a).why != "" })
	switch len(found) {
	case 0:
		return choice{why: "no gateway has said that it has " + shown(a.pin)}
	case 1:
		return found[0]
	}
	return choice{why: fmt.Sprintf("%d gateways have a modem %s: name one as %s@GATEWAY", len(found), a.pin, a.pin)}
}

// holder is who has a SIM, of those that say so. A gateway says what it likes, and one that
// was stolen is not to get what is for another by naming its SIM: of two that name it
// nobody gets anything, before a person says which is to be believed.
func (f *fleet) holder(sims []choice) choice {
	var names []string
	for _, c := range sims {
		if p := f.place(c.gateway); !slices.Contains(names, c.gateway) && !p.disabled {
			names = append(names, c.gateway)
		}
	}
	if len(names) > 1 {
		return choice{why: "gateways " + strings.Join(names, " and ") + " say that they have the SIM that the message names: name one as MODEM@GATEWAY, or disable the one that has it no more"}
	}
	for _, c := range sims {
		if len(names) == 0 || c.gateway == names[0] {
			return c
		}
	}
	return choice{}
}

// shown says a modem's name. A reason is logged, so it has no number and no ICCID of a SIM.
func shown(pin string) string {
	if strings.Trim(pin, "+0123456789") == "" {
		return "the SIM that the message names"
	}
	return "modem " + pin
}

// agrees refuses a modem that the gateway or group that was named does not have.
func (f *fleet) agrees(c choice, a ask) choice {
	group, ok := strings.CutPrefix(a.wish, groupMark)
	switch p := f.place(c.gateway); {
	case a.wish == "", c.why != "":
	case !ok && c.gateway != a.wish, ok && (p == nil || p.group != group):
		return choice{why: fmt.Sprintf("%s is at gateway %s, which is not %s", shown(a.pin), c.gateway, a.wish)}
	}
	return c
}

// take gives a message to the gateway that it must go to.
func (f *fleet) take(c choice) choice {
	switch p := f.place(c.gateway); {
	case p == nil:
		return choice{why: fmt.Sprintf("there is no gateway %s", c.gateway)}
	case p.disabled:
		return choice{why: fmt.Sprintf("gateway %s is disabled", c.gateway)}
	case p.full:
		return choice{why: fmt.Sprintf("as much as may wait for gateway %s waits for it", c.gateway)}
	}
	return c
}

// among chooses one of a group that is connected and can send: who keeps the number's SIM,
// else who has the least to do. Without any it waits: whoever comes first gets it.
func (f *fleet) among(group, sim, but string) choice {
	if p := f.keeper(sim, group); p != nil && p.name != but && !p.full {
		return choice{gateway: p.name}
	}
	var best, single *place
	members := 0
	for _, p := range f.places {
		if p.group != group || p.name == but || p.disabled {
			continue
		}
		members++
		single = p
		if p.connected && !p.full && p.ready() && (best == nil || p.outstanding < best.outstanding) {
			best = p
		}
	}
	switch {
	case best != nil:
		return choice{gateway: best.name}
	case members == 1 && but == "":
		return f.take(choice{gateway: single.name})
	case members == 0:
		return choice{why: fmt.Sprintf("group %s has no gateway that is not disabled", group)}
	}
	return choice{why: fmt.Sprintf("no gateway of group %s is connected, has a modem that is ready, and room", group)}
}

// keeper is the gateway that has the SIM which a number keeps, of a group or of all, while
// it works there. nil: there is none.
func (f *fleet) keeper(sim, group string) *place {
	if sim == "" {
		return nil
	}
	var found *place
	for _, p := range f.places {
		if p.disabled || p.away > f.awayAfter {
			continue
		}
		for _, m := range p.modems {
			if (m.ICCID == sim || m.ICCID == "" && m.Name+"@"+p.name == sim) && readyModem(m) {
				if found != nil && found != p {
					return nil // as holder
				}
				found = p
			}
		}
	}
	if found == nil || group != "" && found.group != group {
		return nil
	}
	return found
}

// target is where the routes send a number: that of the longest prefix, else the default.
func (f *fleet) target(to string) string {
	longest, target := -1, f.fallback
	for _, r := range f.routes {
		if strings.HasPrefix(to, r.Prefix) && len(r.Prefix) > longest {
			longest, target = len(r.Prefix), r.To
		}
	}
	return target
}

// only is the gateway if there is but one that is not disabled.
func (f *fleet) only() (only *place) {
	for _, p := range f.places {
		if p.disabled {
			continue
		}
		if only != nil {
			return nil
		}
		only = p
	}
	return only
}

func (f *fleet) nowhere() string {
	if !slices.ContainsFunc(f.places, func(p *place) bool { return !p.disabled }) {
		return "there is no gateway that is not disabled: add one with gatewayd hub add-gateway"
	}
	return "no route fits its number and there is no default: set hub.default, or name a gateway"
}

func (f *fleet) place(name string) *place {
	i, ok := slices.BinarySearchFunc(f.places, name, func(p *place, name string) int { return cmp.Compare(p.name, name) })
	if !ok {
		return nil
	}
	return f.places[i]
}

func byName(all []*place) []*place {
	slices.SortFunc(all, func(a, b *place) int { return cmp.Compare(a.name, b.name) })
	return all
}
