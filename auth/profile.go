package auth

import (
	"context"
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatewayd/db"
)

// What a profile has at most, in characters: name and sign-off go with each text.
const (
	MaxDisplayName = 30
	MaxSignOff     = 40
	MaxTeam        = 50
	maxEmail       = 254
)

// Profile is what to change of what others are told of a person; nil stays. The
// first two are the person's own affair.
type Profile struct {
	DisplayName *string
	SignOff     *string
	Team        *string
	Email       *string
}

func (c Profile) none() bool { return c == Profile{} }

// apply makes the change, as far as it can be.
func (c Profile) apply(p *Person) error {
	for _, f := range []struct{ to, from *string }{
		{&p.DisplayName, c.DisplayName}, {&p.SignOff, c.SignOff}, {&p.Team, c.Team}, {&p.Email, c.Email},
	} {
		if f.from != nil {
			*f.to = strings.TrimSpace(*f.from)
		}
	}
	return p.checkProfile()
}

func (p *Person) checkProfile() error {
	for _, f := range []struct {
		name, value string
		most        int
	}{{"display_name", p.DisplayName, MaxDisplayName}, {"sign_off", p.SignOff, MaxSignOff}, {"team", p.Team, MaxTeam}} {
		if !utf8.ValidString(f.value) || utf8.RuneCountInString(f.value) > f.most || strings.TrimSpace(f.value) != f.value {
			return &WrongError{f.name, fmt.Sprintf("can have %d characters, and can't begin or end with a space", f.most)}
		}
		for _, r := range f.value {
			if !unicode.IsPrint(r) {
				return &WrongError{f.name, fmt.Sprintf("can't contain the character %U", r)}
			}
		}
	}
	if p.Email == "" {
		return nil
	}
	a, err := mail.ParseAddress(p.Email)
	if err != nil || a.Address != p.Email || len(p.Email) > maxEmail {
		return &WrongError{"email", "must be an e-mail address alone, such as anna@example.org"}
	}
	return nil
}

// ChangeProfile changes what recipients are told of a person, as the person may do it
// oneself: no session ends.
func (k *Keys) ChangeProfile(ctx context.Context, id string, c Profile) (Person, error) {
	return k.changeQuietly(ctx, id, func(tx *db.Tx, p *Person) error {
		if err := c.apply(p); err != nil {
			return err
		}
		return updatePerson(tx, p)
	})
}

// Member is a person as colleagues see it.
type Member struct {
	ID, Name    string
	DisplayName string // "": Name
	Team        string
	Online      bool // a browser of the person's was there lately
}

// Lately is how long after its last request a session counts as there. A session's
// time is noted each five minutes only, and an open page asks at least as often.
const Lately = 2*usedEvery + time.Minute

// Members lists all who can sign in, by name, in a transaction of the caller's.
func (k *Keys) Members(q db.Querier) (all []Member, err error) {
	rows, err := q.Query(`SELECT id, name, display_name, team, EXISTS (SELECT 1 FROM sessions s WHERE s.person_id = people.id AND s.expires_at > ?1 AND s.seen_at > ?2)
		FROM people WHERE removed_at IS NULL AND disabled_at IS NULL AND password <> '' ORDER BY login, id`,
		k.now().UnixMilli(), k.now().Add(-Lately).UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m Member
		if err := rows.Scan(&m.ID, &m.Name, &m.DisplayName, &m.Team, &m.Online); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, rows.Err()
}
