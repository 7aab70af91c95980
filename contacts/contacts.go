// Package contacts keeps whom the people of a gateway know: names and numbers, groups
// of them, and how they come in and go out as CSV and vCard.
package contacts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"gatewayd/db"
	"gatewayd/queue"
)

// How much there may be.
const (
	MaxContacts     = 50_000
	MaxNumbers      = 20 // of one contact
	MaxGroups       = 500
	MaxGroupsOf     = 50 // of one contact
	MaxName         = 100
	MaxOrganisation = 100
	MaxEmail        = 254
	MaxNote         = 2000
	MaxWording      = 500 // of a consent
	maxLanguage     = 35
)

// The errors that callers tell apart; others are Refused and queue.ErrConflict.
var (
	ErrNotFound = fmt.Errorf("there is no such contact: %w", queue.ErrNotFound)
	ErrNoGroup  = fmt.Errorf("there is no such group: %w", queue.ErrNotFound)
)

// Options are what New needs. DB and Queue must be given.
type Options struct {
	DB     *db.DB
	Queue  *queue.Queue
	Region func() string // default_region; nil or "": none
	Now    func() time.Time
}

// Contacts are the people and groups that the gateway's people know.
type Contacts struct {
	o   Options
	mu  sync.Mutex
	ids *ulid.MonotonicEntropy
}

// New takes over the package's tables: what is kept about a number is erased and
// exported with it.
func New(o Options) *Contacts {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Region == nil {
		o.Region = func() string { return "" }
	}
	c := &Contacts{o: o, ids: ulid.Monotonic(ulid.DefaultEntropy(), 0)}
	o.Queue.OnErase(c.erase)
	o.Queue.OnExport("contacts", export)
	return c
}

// Contact is somebody whom a team knows.
type Contact struct {
	ID           string
	Team         string // "": of everybody who has none
	Name         string
	Numbers      []string // E.164; the first one is written to
	Email        string
	Organisation string
	Note         string
	Language     string   // BCP 47; "": not known
	Consent      *Consent // that was given elsewhere; nil: none is known of
	Groups       []GroupName
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// Consent is what somebody has agreed to elsewhere: on paper, on a web site. Chats
// with such a contact ask for none.
type Consent struct {
	Wording string
	At      time.Time // when it was given
}

func (c *Consent) same(other *Consent) bool {
	return c.Wording == other.Wording && (other.At.IsZero() || c.At.Equal(other.At))
}

// GroupName is a group that a contact is in.
type GroupName struct{ ID, Name string }

// Of is whose contacts are meant.
type Of struct {
	Team string
	Any  bool // of every team
}

// Everybody's are the contacts of every team.
var Everybody = Of{Any: true}

func (o Of) has(team string) bool { return o.Any || o.Team == team }

// Mistake is what is wrong with a field; the detail reads on from its name.
type Mistake struct{ Field, Detail string }

func mistake(field, format string, args ...any) Mistake {
	return Mistake{field, fmt.Sprintf(format, args...)}
}

// Refused are the mistakes for which something was not stored.
type Refused []Mistake

func (r Refused) Error() string {
	said := make([]string, len(r))
	for i, m := range r {
		said[i] = m.Field + " " + m.Detail
	}
	return strings.Join(said, "; ")
}

func (c *Contacts) newID(prefix string, now time.Time) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, err := ulid.New(ulid.Timestamp(now), c.ids)
	return prefix + id.String(), err
}

func (c *Contacts) now() time.Time { return c.o.Now().Truncate(time.Millisecond).UTC() }

// NameOf is what a team calls a number; "": it does not know it. What another team calls
// it is that team's affair.
func (c *Contacts) NameOf(r db.Querier, team, number string) (name string, err error) {
	err = r.QueryRow(`SELECT c.name FROM contact_numbers n JOIN contacts c ON c.id = n.contact WHERE n.number = ? AND n.team = ?`, number, team).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return name, err
}

// Names are what numbers are called by those whose contacts are meant; numbers that
// nobody knows are left out.
func (c *Contacts) Names(ctx context.Context, of Of, numbers ...string) (map[string]string, error) {
	names := map[string]string{}
	err := c.o.DB.Read(ctx, func(r db.Querier) error {
		for _, n := range numbers {
			if _, ok := names[n]; ok || n == "" {
				continue
			}
			var name string
			err := r.QueryRow(`SELECT c.name FROM contact_numbers n JOIN contacts c ON c.id = n.contact WHERE n.number = ?1 AND (?2 OR n.team = ?3)
				ORDER BY n.team LIMIT 1`, n, of.Any, of.Team).Scan(&name)
			switch {
			case err == nil:
				names[n] = name
			case !errors.Is(err, sql.ErrNoRows):
				return err
			}
		}
		return nil
	})
	return names, err
}

// Consented reports whether a team has a number's consent from elsewhere.
func (c *Contacts) Consented(r db.Querier, team, number string) (yes bool, err error) {
	err = r.QueryRow(`SELECT EXISTS (SELECT 1 FROM contact_numbers n JOIN contacts c ON c.id = n.contact
		WHERE n.number = ? AND n.team = ? AND c.consent <> '')`, number, team).Scan(&yes)
	return yes, err
}

// Named are the numbers of the contacts that are called so, or have it in their name, by
// the team that calls them so; of many the first ones.
func (c *Contacts) Named(r db.Querier, name string) (numbers map[string][]string, err error) {
	const most = 500
	if name = fold(name); name == "" {
		return nil, nil
	}
	rows, err := r.Query(`SELECT c.team, n.number FROM contacts c JOIN contact_numbers n ON n.contact = c.id WHERE c.deleted_at IS NULL AND instr(c.sort, ?) > 0
		ORDER BY c.sort, c.id, n.position LIMIT ?`, name, most)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	numbers = map[string][]string{}
	for rows.Next() {
		var team, n string
		if err := rows.Scan(&team, &n); err != nil {
			return nil, err
		}
		numbers[team] = append(numbers[team], n)
	}
	return numbers, rows.Err()
}
