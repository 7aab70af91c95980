package contacts

import (
	"context"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms/number"
)

const idPrefix = "con_"

// fold is a name as it is searched and ordered: without case and accents.
func fold(s string) string {
	plain := strings.Map(func(c rune) rune {
		if unicode.Is(unicode.Mn, c) {
			return -1
		}
		return c
	}, norm.NFKD.String(cases.Fold().String(s)))
	return strings.TrimSpace(plain)
}

// Get returns a contact.
func (c *Contacts) Get(ctx context.Context, of Of, id string) (found *Contact, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		found, err = load(r, of, id)
		return err
	})
	return found, err
}

// Find returns the contact that has a number, or ErrNotFound.
func (c *Contacts) Find(ctx context.Context, of Of, number string) (found *Contact, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		found, err = scan(r.QueryRow(columns+`JOIN contact_numbers n ON n.contact = c.id WHERE n.number = ?1 AND (?2 OR n.team = ?3) ORDER BY n.team LIMIT 1`,
			number, of.Any, of.Team).Scan)
		if err != nil {
			return noneFound(err)
		}
		return found.complete(r)
	})
	return found, err
}

// List returns a page of contacts by name, and the cursor of the next one.
func (c *Contacts) List(ctx context.Context, of Of, f Filter) (page []Contact, next string, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		page, next, err = list(r, of, f)
		return err
	})
	return page, next, err
}

// Create stores a new contact of wanted.Team, and what it says about consent.
func (c *Contacts) Create(_ context.Context, by string, wanted Contact) (*Contact, error) {
	if err := c.check(&wanted); err != nil {
		return nil, err
	}
	err := c.o.Queue.Do(func(tx *db.Tx) error {
		now := c.now()
		id, err := c.newID(idPrefix, now)
		if err == nil {
			err = c.room(tx, 1)
		}
		if err != nil {
			return err
		}
		wanted.ID, wanted.CreatedAt, wanted.UpdatedAt = id, now, now
		return c.put(tx, by, nil, &wanted)
	})
	if err != nil {
		return nil, err
	}
	return &wanted, nil
}

// Change has edit change a contact, which may be called more than once.
func (c *Contacts) Change(_ context.Context, of Of, by, id string, edit func(*Contact)) (changed *Contact, err error) {
	err = c.o.Queue.Do(func(tx *db.Tx) error {
		before, err := load(tx, of, id)
		if err != nil {
			return err
		}
		after := *before
		after.Numbers, after.Groups = slices.Clone(before.Numbers), slices.Clone(before.Groups)
		edit(&after)
		if err := c.check(&after); err != nil {
			return err
		}
		after.ID, after.Team, after.CreatedAt, after.UpdatedAt = before.ID, before.Team, before.CreatedAt, c.now()
		changed = &after
		return c.put(tx, by, before, changed)
	})
	return changed, err
}

// Delete removes a contact; what was written with it stays.
func (c *Contacts) Delete(_ context.Context, of Of, id string) error {
	return c.o.DB.Write(func(tx *db.Tx) error {
		if _, err := load(tx, of, id); err != nil {
			return err
		}
		return forget(tx, id, c.now())
	})
}

// room refuses more contacts than there may be.
func (c *Contacts) room(tx *db.Tx, more int) error {
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM contacts WHERE deleted_at IS NULL`).Scan(&n); err != nil {
		return err
	}
	if n+more > MaxContacts {
		return queue.Conflict("there are %d contacts already, and %d are the most; delete some that are not needed", n, MaxContacts)
	}
	return nil
}

// put stores a contact, in whose place before was.
func (c *Contacts) put(tx *db.Tx, by string, before, after *Contact) error {
	for _, n := range after.Numbers {
		owner, err := ownerOf(tx, after.Team, n)
		if err != nil {
			return err
		}
		if owner == "" || owner == after.ID {
			continue
		}
		other, err := load(tx, Everybody, owner)
		if err != nil {
			return err
		}
		return queue.Conflict("the number %s is in the contact %q already (%s): a number is in one contact of a team", n, other.Name, other.ID)
	}
	for i, g := range after.Groups {
		group, err := loadGroup(tx, Of{Team: after.Team}, g.ID)
		if err != nil {
			return Refused{{fmt.Sprintf("groups/%d", i), "is no group of the contact's team"}}
		}
		after.Groups[i].Name = group.Name
	}
	slices.SortFunc(after.Groups, func(a, b GroupName) int { return strings.Compare(fold(a.Name), fold(b.Name)) })
	if err := save(tx, after); err != nil {
		return err
	}
	return c.state(tx, by, before, after)
}

// state enters into the log of consent what was stated of a number and did not stand
// there before.
func (c *Contacts) state(tx *db.Tx, by string, before, after *Contact) error {
	if after.Consent == nil {
		return nil
	}
	for _, n := range after.Numbers {
		if before != nil && before.Consent != nil && *before.Consent == *after.Consent && slices.Contains(before.Numbers, n) {
			continue
		}
		wording := after.Consent.Wording + " (given " + after.Consent.At.Format(time.DateOnly) + ")"
		if err := c.o.Queue.StateTx(tx, n, "", queue.Source{Wording: wording, By: by}); err != nil {
			return err
		}
	}
	return nil
}

// check brings a contact into the form in which it is kept, and tells all that is
// wrong with it.
func (c *Contacts) check(w *Contact) error {
	var wrong Refused
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, Mistake{field, fmt.Sprintf(format, args...)})
	}
	line := func(field string, s *string, most int) {
		*s = strings.TrimSpace(norm.NFC.String(*s))
		if why := lineFault(*s, most); why != "" {
			bad(field, "%s", why)
		}
	}
	line("name", &w.Name, MaxName)
	if w.Name == "" {
		bad("name", "is empty")
	}
	w.Numbers = c.checkNumbers(w.Numbers, bad)
	line("email", &w.Email, MaxEmail)
	if w.Email != "" && !isEmail(w.Email) {
		bad("email", "is no e-mail address, such as anna@example.com")
	}
	line("organisation", &w.Organisation, MaxOrganisation)
	w.Note = strings.TrimSpace(strings.ReplaceAll(norm.NFC.String(w.Note), "\r\n", "\n"))
	if why := textFault(w.Note, MaxNote); why != "" {
		bad("note", "%s", why)
	}
	if w.Language = strings.TrimSpace(w.Language); w.Language != "" {
		if tag, ok := languageTag(w.Language); ok {
			w.Language = tag
		} else {
			bad("language", "is no language such as de or pt-BR")
		}
	}
	if w.Consent != nil {
		consent := *w.Consent
		line("consent/wording", &consent.Wording, MaxWording)
		if consent.Wording == "" {
			bad("consent/wording", "is empty: say what was agreed to, and where")
		}
		if consent.At.IsZero() {
			consent.At = c.now()
		}
		consent.At = consent.At.Truncate(time.Millisecond).UTC()
		if consent.At.After(c.now().Add(24 * time.Hour)) {
			bad("consent/at", "is in the future")
		}
		w.Consent = &consent
	}
	seen := map[string]bool{}
	w.Groups = slices.DeleteFunc(w.Groups, func(g GroupName) bool {
		twice := seen[g.ID]
		seen[g.ID] = true
		return twice
	})
	if len(w.Groups) > MaxGroupsOf {
		bad("groups", "are %d; %d at most", len(w.Groups), MaxGroupsOf)
	}
	if wrong == nil {
		return nil
	}
	return wrong
}

// checkNumbers normalises numbers and leaves out what stands there twice.
func (c *Contacts) checkNumbers(given []string, bad func(field, format string, args ...any)) []string {
	numbers := []string{}
	for i, s := range given {
		n, err := readNumber(s, c.o.Region())
		if err != nil {
			bad(fmt.Sprintf("numbers/%d", i), "%s", err)
		} else if !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	switch {
	case len(given) == 0:
		bad("numbers", "are missing: a contact has at least one")
	case len(numbers) > MaxNumbers:
		bad("numbers", "are %d; a contact has %d at most", len(numbers), MaxNumbers)
	}
	return numbers
}

// readNumber reads a number that a contact may have.
func readNumber(s, region string) (string, error) {
	n, err := number.Parse(s, region)
	if err == nil && number.KindOf(n) != number.International {
		err = &number.Error{Detail: "is a short code: a contact has whole numbers, with their country code"}
	}
	return n, err
}

func isEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

func languageTag(s string) (string, bool) {
	tag, err := language.Parse(s)
	if err != nil || len(s) > maxLanguage || tag == language.Und {
		return "", false
	}
	return tag.String(), true
}

// lineFault says what is wrong with a text of one line.
func lineFault(s string, most int) string {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "has a control character or a line break"
	}
	return textFault(s, most)
}

func textFault(s string, most int) string {
	switch n := utf8.RuneCountInString(s); {
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }):
		return "has a control character"
	case n > most:
		return fmt.Sprintf("has %d characters; %d at most", n, most)
	}
	return ""
}
