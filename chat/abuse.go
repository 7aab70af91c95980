package chat

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"gatewayd/captcha"
	"gatewayd/db"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// abuse is what keeps senders in bounds. The maps are the database's, and belong to
// its writer: whoever reads or changes them is a function that runs there.
type abuse struct {
	rules   atomic.Pointer[ruling]
	puzzles *captcha.Captcha
	normal  captcha.Effort // of a puzzle, and of one for somebody who looks like a program
	hard    captcha.Effort
	barred  map[string]bool // senders that are blocked
	numbers map[string]bool // that are blocked
	tidied  time.Time
}

// subject is somebody, or something that several have in common, whose messages and
// answers are counted.
type subject struct {
	id   string
	kind string
	name string // as a refusal calls it
}

// The kinds of subjects, beside those of authors.
const (
	kindAddress = "address"
	kindWidget  = "widget"
)

const addressPrefix = "addr_"

// subjects are all whom a message of s is counted for. Of strangers also what they
// can't change as easily as their cookies.
func subjects(s Sender) []subject {
	all := []subject{{s.ID, string(s.Kind), "You"}}
	if s.Kind != sms.AuthorVisitor {
		return all
	}
	if a := network(s.Address); a != "" {
		all = append(all, subject{addressPrefix + a, kindAddress, "All who write from your network address together"})
	}
	if s.Widget != "" {
		all = append(all, subject{s.Widget, kindWidget, "All who write on this page together"})
	}
	return all
}

// network is the part of a network address that one customer has: of IPv6 a /64, by
// its first address.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		p, err := ip.Prefix(64)
		if err != nil {
			return ""
		}
		ip = p.Masked().Addr()
	}
	return ip.String()
}

// admit says whether s may send this text to a number now, and counts it if so. It runs
// in the transaction that submits the message, so nothing gets past it, and what is
// refused for another reason afterwards is not counted. Its error is an *Error.
func (c *Chat) admit(tx *db.Tx, s Sender, to, text string) error {
	if s.Kind == sms.AuthorAuto {
		return nil
	}
	now, rules, all := c.o.Now(), c.abuse.rules.Load(), subjects(s)
	for _, one := range all {
		if c.abuse.barred[one.id] {
			return &Error{Code: BlockedSender, Detail: blockedWords(one.kind)}
		}
	}
	if err := c.admitNumber(rules, to); err != nil {
		return err
	}
	if err := c.admitAbroad(s, rules, to); err != nil {
		return err
	}
	if k := rules.keywords.in(text); k != "" {
		return &Error{Code: Keyword, Field: "text", Detail: fmt.Sprintf("The text has %q, which is not sent from here.", k)}
	}
	counts := make([]counted, len(all))
	for i, one := range all {
		if err := counts[i].load(tx, one.id); err != nil {
			return err
		}
	}
	if s.Kind == sms.AuthorVisitor {
		if err := c.admitStranger(tx, s, &counts[0], rules, now); err != nil {
			return err
		}
	}
	for i, one := range all {
		if err := counts[i].take(one, rules.Limits.of(one.kind), now); err != nil {
			return err
		}
	}
	for i, one := range all {
		if err := counts[i].save(tx, one, s, now); err != nil {
			return err
		}
	}
	hash := sha256.Sum256([]byte(text))
	_, err := tx.Exec(`INSERT OR REPLACE INTO sender_numbers (sender, number, at, text) VALUES (?, ?, ?, ?)`, s.ID, to, ms(now), hash[:8])
	return err
}

func blockedWords(kind string) string {
	switch kind {
	case kindAddress:
		return "Nothing is taken from your network address any more: what was sent from it was answered with SPAM, THREAT or STOP too often, or an admin blocked it."
	case kindWidget:
		return "Nothing is taken on this page any more: what was sent from it was answered with SPAM, THREAT or STOP too often, or an admin blocked it."
	}
	return "You may read, but send nothing: your messages were answered with SPAM, THREAT or STOP too often, or an admin blocked you. An admin can open the account again."
}

// admitNumber says whether anybody may write to a number by chat.
func (c *Chat) admitNumber(rules *ruling, to string) error {
	if c.abuse.numbers[to] {
		return &Error{Code: BlockedNumber, Field: "to", Detail: "The number is blocked: nothing goes to it by chat. An admin can change that."}
	}
	if len(rules.destinations.Allow) == 0 && len(rules.NumberTypes) == 0 {
		return nil
	}
	t := number.Look(to, c.o.Region())
	if why := rules.destinations.Refuses(t, "the chat"); why != "" {
		return &Error{Code: Destination, Field: "to", Detail: "The number " + why + "."}
	}
	if len(rules.NumberTypes) == 0 {
		return nil
	}
	kind := t.Type()
	for _, allowed := range rules.NumberTypes {
		if kind == allowed {
			return nil
		}
	}
	return &Error{Code: Destination, Field: "to", Detail: fmt.Sprintf("The number is of the type %s; the chat sends to %s only.", kind, listed(rules.NumberTypes))}
}

// kept is how long a sender is remembered that neither writes nor is blocked, and
// whom it wrote to.
const (
	keptSenders = 90 * 24 * time.Hour
	keptNumbers = 7 * 24 * time.Hour
)

// tidyAbuse forgets what counts no more, once an hour.
func (c *Chat) tidyAbuse(tx *db.Tx, now time.Time) error {
	if now.Sub(c.abuse.tidied).Abs() < time.Hour {
		return nil
	}
	before := c.abuse.tidied
	c.abuse.tidied = now
	tx.OnRollback(func() { c.abuse.tidied = before })
	answers := time.Duration(c.abuse.rules.Load().CountDays) * 24 * time.Hour
	for query, before := range map[string]time.Time{
		`DELETE FROM chat_senders WHERE kind = 'invitations' AND last_at < ?`: now.Add(-keptNumbers),
		`DELETE FROM sender_numbers WHERE at < ?`:                             now.Add(-keptNumbers),
		`DELETE FROM sender_answers WHERE at < ?`:                             now.Add(-max(answers, keptSenders)),
		`DELETE FROM used_puzzles WHERE until < ?`:                            now,
		`DELETE FROM chat_senders WHERE last_at < ? AND blocked_at IS NULL
			AND NOT EXISTS (SELECT 1 FROM sender_answers a WHERE a.sender = chat_senders.id)`: now.Add(-keptSenders),
	} {
		if _, err := tx.Exec(query, ms(before)); err != nil {
			return err
		}
	}
	return nil
}
