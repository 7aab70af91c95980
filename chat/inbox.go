package chat

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// InboxRule says whose a conversation is that a phone begins.
type InboxRule struct {
	Keyword string `json:"keyword"` // the first word of the text, in any case; "": any
	SIM     string `json:"sim"`     // ICCID, modem or its number that the text came to; "": any
	Team    string `json:"team"`
	Person  string `json:"person"` // id; "": nobody
}

// Inbox lists the rules, first match first.
func (c *Chat) Inbox(ctx context.Context) (rules []InboxRule, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		rules, err = inboxRules(r)
		return err
	})
	return rules, err
}

func inboxRules(r db.Querier) ([]InboxRule, error) {
	rows, err := r.Query(`SELECT keyword, sim, team, person FROM inbox_rules ORDER BY position`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []InboxRule{}
	for rows.Next() {
		var rule InboxRule
		if err := rows.Scan(&rule.Keyword, &rule.SIM, &rule.Team, &rule.Person); err != nil {
			return nil, err
		}
		found = append(found, rule)
	}
	return found, rows.Err()
}

// SetInbox replaces the rules.
func (c *Chat) SetInbox(rules []InboxRule) error {
	return c.o.DB.Write(func(tx *db.Tx) error {
		if _, err := tx.Exec(`DELETE FROM inbox_rules`); err != nil {
			return err
		}
		for i, r := range rules {
			if _, err := tx.Exec(`INSERT INTO inbox_rules (position, keyword, sim, team, person) VALUES (?,?,?,?,?)`, i, strings.ToLower(r.Keyword), r.SIM, r.Team, r.Person); err != nil {
				return err
			}
		}
		return nil
	})
}

// inbox says whose conversation a text begins.
func (c *Chat) inbox(tx *db.Tx, m *sms.Message, sim string) (team, person string, err error) {
	rules, err := inboxRules(tx)
	if err != nil {
		return "", "", err
	}
	first := strings.ToLower(firstWord(m.Text))
	for _, r := range rules {
		if (r.Keyword == "" || r.Keyword == first) && (r.SIM == "" || slices.Contains([]string{sim, m.Modem, m.To}, r.SIM)) {
			return r.Team, r.Person, nil
		}
	}
	return "", "", nil
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	return strings.TrimFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// team are the people who share a conversation.
func (c *Chat) team(r db.Querier, o Owner) ([]Person, error) {
	everybody, err := c.o.People(r)
	return slices.DeleteFunc(slices.Clone(everybody), func(p Person) bool { return p.Team != o.Team }), err
}

// namedAtMost is how many people an answer to WHO names.
const namedAtMost = 5

// who answers who is on.
func (c *Chat) who(tx *db.Tx, e *entry, m *sms.Message, sim string) error {
	text := ""
	if e.Owner.Visitor != "" {
		text = "You write with " + e.OurName + "."
	} else {
		people, err := c.team(tx, e.Owner)
		if err != nil {
			return err
		}
		var names []string
		for _, p := range people {
			if p.Online && len(names) < namedAtMost {
				names = append(names, p.Name)
			}
		}
		text = "Nobody is here just now. Your text will be read later."
		if len(names) > 0 {
			text = "Here now: " + strings.Join(names, ", ") + ". Begin your text with @ and a name to reach one of them."
		}
	}
	_, err := c.o.Queue.AnswerTx(tx, queue.Answer{To: m.From, Modem: m.Modem, SIM: sim, Conversation: e.ID, Text: text, Kind: queue.AnswerWho})
	return err
}

// called assigns a conversation to whom a text begins with: "@Anna are you there?".
func (c *Chat) called(tx *db.Tx, e *entry, text string) error {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "@")
	if !ok || e.Owner.Visitor != "" {
		return nil
	}
	people, err := c.team(tx, e.Owner)
	if err != nil {
		return err
	}
	id := personCalled(people, rest)
	if id == "" || id == e.AssignedTo {
		return nil
	}
	e.AssignedTo = id
	return c.save(tx, e)
}

// personCalled is the id of the one person whose name, or first name, a text begins
// with; "": nobody's, or that of several.
func personCalled(people []Person, text string) string {
	begins := func(name string) bool {
		n := len([]rune(name))
		r := []rune(text)
		return n > 0 && len(r) >= n && strings.EqualFold(string(r[:n]), name) && (len(r) == n || !unicode.IsLetter(r[n]) && !unicode.IsDigit(r[n]))
	}
	best, of := "", 0
	for _, p := range people {
		if n := len(p.Name); begins(p.Name) && n > of {
			best, of = p.ID, n
		}
	}
	if best != "" {
		return best
	}
	for _, p := range people {
		if begins(firstWord(p.Name)) {
			if best != "" {
				return ""
			}
			best = p.ID
		}
	}
	return best
}

// People are those who can sign in.
func (c *Chat) People(ctx context.Context) (people []Person, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		people, err = c.o.People(r)
		return err
	})
	return people, err
}
