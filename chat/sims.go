package chat

import (
	"cmp"
	"slices"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// rest is how long a SIM, once a conversation through it was closed, is kept from others
// for the same number: an answer that is under way or late must not land in a stranger's
// window. Networks keep a text for a phone that is off three days as a rule, and people
// answer the next morning. It costs little: the SIM is free for every other number.
const rest = 72 * time.Hour

// SIM is one that a conversation may have.
type SIM struct {
	ID       string // ICCID, or the modem's name
	Modem    string
	Local    string // its number, else the modem's name
	Operator string // as the network calls itself
	IMSI     string
	Home     bool // it is in its own operator's network
	tier     int
}

func (c *Chat) simOf(m sms.Modem) SIM {
	return SIM{ID: c.o.SIMOf(m), Modem: m.Name, Local: cmp.Or(m.Number, m.Name), Operator: m.Operator, IMSI: m.IMSI, Home: m.Registration == "home"}
}

// tiers say which modems may get a conversation: those that work, and after them those
// that will by themselves. One that can't hear the answer, or waits for somebody, gets none.
var tiers = map[sms.ModemState]int{
	sms.Ready: 1, sms.Limited: 2, sms.StorageFull: 2, sms.Healing: 2, sms.Searching: 2, sms.Probing: 2,
}

// sims are those that may get a conversation; from, if any, names the only one.
func (c *Chat) sims(from string) ([]SIM, error) {
	var able []SIM
	known := false
	normal, _ := number.Parse(from, c.o.Region())
	for _, m := range c.o.Modems() {
		s := c.simOf(m)
		if from != "" && from != m.Name && from != s.ID && (m.Number == "" || m.Number != normal) {
			continue
		}
		known = true
		// One that is looked at may have another SIM than it is known to have, and if it
		// tells it the conversation would not be found again.
		unknown := m.Unidentified || m.State == sms.Probing && m.ICCID == ""
		if s.tier = tiers[m.State]; s.tier > 0 && !unknown {
			able = append(able, s)
		}
	}
	switch {
	case from != "" && !known:
		return nil, fail(Invalid, "from", "is neither the name nor the number of a modem")
	case len(able) == 0 && from != "":
		return nil, fail(NoNumberFree, "from", "The number that was asked for does not work now. Choose another one, or none.")
	case len(able) == 0:
		return nil, fail(NoNumberFree, "", "None of this gateway's numbers works now. Try again later.")
	}
	return able, nil
}

// free chooses, in the transaction that gives it away, the SIM of able for a conversation of
// somebody with a number.
func (c *Chat) free(tx *db.Tx, able []SIM, to string, who Owner) (SIM, error) {
	now := c.o.Now()
	kept, at, err := queue.KeptSIM(tx, to)
	if err != nil {
		return SIM{}, err
	}
	recent := now.Sub(at) < rest
	var candidates []SIM
	for _, s := range able {
		taken, err := c.taken(tx, to, s.ID, who, now)
		if err != nil {
			return SIM{}, err
		}
		// What a program or a batch sent may be answered too, and not into a stranger's window.
		if !taken && !(who.Visitor != "" && recent && s.ID == kept && !c.wasOf(tx, to, s.ID, who)) {
			candidates = append(candidates, s)
		}
	}
	if len(candidates) == 0 {
		return SIM{}, fail(NoNumberFree, "", "Somebody else is writing with this phone through each of our numbers just now. Try again later.")
	}
	preferred := c.preferSIM(to, candidates)
	busy := map[string]int{}
	for _, s := range candidates {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM conversations WHERE sim = ? AND state <> 'closed'`, s.ID).Scan(&n); err != nil {
			return SIM{}, err
		}
		busy[s.ID] = n
	}
	rank := func(s SIM) int {
		switch s.ID {
		case kept:
			return 0 // the phone knows this number
		case preferred:
			return 1
		}
		return 2
	}
	return slices.MinFunc(candidates, func(a, b SIM) int {
		return cmp.Or(cmp.Compare(a.tier, b.tier), cmp.Compare(rank(a), rank(b)), cmp.Compare(busy[a.ID], busy[b.ID]))
	}), nil
}

// taken tells whether an answer of a number through a SIM may be meant for somebody else.
func (c *Chat) taken(r db.Querier, to, sim string, who Owner, now time.Time) (yes bool, err error) {
	err = r.QueryRow(`SELECT EXISTS (SELECT 1 FROM conversations WHERE number = ? AND sim = ? AND (state <> 'closed'
		OR active_at > ? AND NOT (team = ? AND visitor = ?)))`, to, sim, ms(now.Add(-rest)), who.Team, who.Visitor).Scan(&yes)
	return yes, err
}

// wasOf tells whether the last conversation of a number through a SIM was this owner's.
func (c *Chat) wasOf(r db.Querier, to, sim string, who Owner) bool {
	last, err := one(r, `WHERE c.number = ? AND c.sim = ? ORDER BY c.place DESC LIMIT 1`, to, sim)
	return err == nil && last != nil && last.Owner.same(who)
}

// follow says where a conversation's SIM is now: it follows the SIM into another modem.
func (c *Chat) follow(e *entry) (there bool) {
	for _, m := range c.o.Modems() {
		if s := c.simOf(m); s.ID == e.SIM {
			e.Modem, e.Local = s.Modem, s.Local
			return true
		}
	}
	return false
}
