package chat

import (
	"fmt"
	"slices"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// Invitations are how many of them go out a day for strangers, to numbers that have never
// written here: nobody there has asked for them, and each costs the box a message. 0: any
// number.
type Invitations struct {
	Visitor int `json:"visitor"` // for one stranger
	Address int `json:"address"` // for all of one network address, or of one /64 of IPv6
	Widget  int `json:"widget"`  // for all in one widget
	All     int `json:"all"`     // for all strangers of this gateway
	Number  int `json:"number"`  // to one number, since it wrote last; also if it has written before
}

func (i Invitations) all() []namedCount {
	return []namedCount{{"visitor", i.Visitor}, {"address", i.Address}, {"widget", i.Widget}, {"all", i.All}, {"number", i.Number}}
}

type namedCount struct {
	name string
	n    int
}

// The rows in which invitations are counted are of no sender: what is counted is the
// gateway's doing.
const (
	kindInvitations   = "invitations"
	invitationsPrefix = "inv_"
)

// admitInvitation says whether the gateway may ask a number on a stranger's behalf, and
// counts it if so. It belongs to the transaction that asks. What a visitor does to begin
// anew, under another name, in another conversation, by another SIM, counts all the same.
func (c *Chat) admitInvitation(tx *db.Tx, s Sender, to string) error {
	if s.Kind != sms.AuthorVisitor {
		return nil
	}
	now, most := c.o.Now(), c.abuse.rules.Load().Invitations
	type counter struct {
		subject
		most int
	}
	all := []counter{{subject{to, kindInvitations, "This number"}, most.Number}}
	written, err := queue.HasWritten(tx, to)
	if err != nil {
		return err
	}
	if !written {
		for _, one := range append(subjects(s), subject{"all", "all", "All visitors together"}) {
			of := map[string]int{string(sms.AuthorVisitor): most.Visitor, kindAddress: most.Address, kindWidget: most.Widget, "all": most.All}[one.kind]
			all = append(all, counter{one, of})
		}
	}
	counts := make([]counted, len(all))
	for i, one := range all {
		k := &counts[i]
		if err := k.load(tx, invitationsPrefix+one.id); err != nil {
			return err
		}
		if i == 0 && k.day.n > 0 {
			heard, err := queue.WroteSince(tx, to, time.UnixMilli(k.minute.at))
			if err != nil {
				return err
			}
			if heard { // it knows of us, and could have said STOP
				k.day = window{}
			}
			k.minute.at = 0 // when it was asked last
		}
		if ends := time.UnixMilli(k.day.at).Add(24 * time.Hour); one.most > 0 && k.day.n >= one.most && now.Before(ends) && ms(now) >= k.day.at {
			return &Error{Code: Limit, RetryAfter: ends.Sub(now), Detail: fmt.Sprintf("%s may be the reason of %s a day. There is room again in %s.",
				one.name, invitations(one.most), inWords(ends.Sub(now)))}
		}
		if err := k.take(one.subject, Rate{}, now); err != nil {
			return err
		}
	}
	for i, one := range all {
		if err := counts[i].save(tx, subject{id: invitationsPrefix + one.id, kind: kindInvitations}, Sender{}, now); err != nil {
			return err
		}
	}
	return nil
}

func invitations(n int) string {
	if n == 1 {
		return "1 invitation"
	}
	return fmt.Sprintf("%d invitations", n)
}

// home are the countries that strangers may write to while no admin has named any: the
// gateway's own, else those of its SIMs. Anything else would have the box pay for
// whatever traffic somebody far away earns money with.
func (c *Chat) home() (all []string) {
	if region := c.o.Region(); region != "" {
		return []string{region}
	}
	for _, m := range c.o.Modems() {
		if m.Number == "" {
			continue
		}
		if country := number.Look(m.Number, "").Country(); country != "" && !slices.Contains(all, country) {
			all = append(all, country)
		}
	}
	return all
}

// admitAbroad says whether a stranger may write to a number's country.
func (c *Chat) admitAbroad(s Sender, rules *ruling, to string) error {
	if s.Kind != sms.AuthorVisitor || rules.Abroad || len(rules.Destinations) > 0 {
		return nil
	}
	if country := number.Look(to, c.o.Region()).Country(); country == "" || !slices.Contains(c.home(), country) {
		return &Error{Code: Destination, Field: "to", Detail: "The number is of another country than this gateway; visitors may not write there. An admin can allow it."}
	}
	return nil
}
