package contacts

import (
	"database/sql"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

const columns = `SELECT c.id, c.team, c.name, c.email, c.organisation, c.note, c.language, c.consent, c.consent_at, c.created_at, c.updated_at FROM contacts c `

func scan(from func(...any) error) (*Contact, error) {
	var c Contact
	var wording string
	var given sql.NullInt64
	var created, updated int64
	if err := from(&c.ID, &c.Team, &c.Name, &c.Email, &c.Organisation, &c.Note, &c.Language, &wording, &given, &created, &updated); err != nil {
		return nil, err
	}
	if wording != "" {
		c.Consent = &Consent{Wording: wording, At: moment(given.Int64)}
	}
	c.CreatedAt, c.UpdatedAt = moment(created), moment(updated)
	return &c, nil
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// load returns a contact that is there.
func load(r db.Querier, of Of, id string) (*Contact, error) {
	c, err := scan(r.QueryRow(columns+`WHERE c.id = ? AND c.deleted_at IS NULL`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !of.has(c.Team) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return c, c.complete(r)
}

// complete reads what stands in other tables.
func (c *Contact) complete(r db.Querier) error {
	rows, err := r.Query(`SELECT number FROM contact_numbers WHERE contact = ? ORDER BY position`, c.ID)
	if err != nil {
		return err
	}
	c.Numbers, c.Groups = []string{}, []GroupName{}
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			return errors.Join(err, rows.Close())
		}
		c.Numbers = append(c.Numbers, n)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	rows, err = r.Query(`SELECT g.id, g.name FROM group_members m JOIN contact_groups g ON g.id = m.contact_group
		WHERE m.contact = ? AND g.deleted_at IS NULL ORDER BY g.sort`, c.ID)
	if err != nil {
		return err
	}
	for rows.Next() {
		var g GroupName
		if err := rows.Scan(&g.ID, &g.Name); err != nil {
			return errors.Join(err, rows.Close())
		}
		c.Groups = append(c.Groups, g)
	}
	return errors.Join(rows.Err(), rows.Close())
}

// ownerOf is the contact of a team that has a number, "": none.
func ownerOf(r db.Querier, team, number string) (id string, err error) {
	err = r.QueryRow(`SELECT contact FROM contact_numbers WHERE number = ? AND team = ?`, number, team).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// save writes a contact as it is to be, with its numbers and groups. Its numbers must
// be free, or its own.
func save(tx *db.Tx, c *Contact) error {
	var wording string
	var given any
	if c.Consent != nil {
		wording, given = c.Consent.Wording, c.Consent.At.UnixMilli()
	}
	_, err := tx.Exec(`INSERT INTO contacts (id, team, name, sort, search, email, organisation, note, language, consent, consent_at, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET team = excluded.team, name = excluded.name, sort = excluded.sort, search = excluded.search, email = excluded.email,
		organisation = excluded.organisation, note = excluded.note, language = excluded.language, consent = excluded.consent,
		consent_at = excluded.consent_at, updated_at = excluded.updated_at`,
		c.ID, c.Team, c.Name, fold(c.Name), fold(c.Name+"\n"+c.Organisation+"\n"+c.Email), c.Email, c.Organisation, c.Note, c.Language, wording, given,
		c.CreatedAt.UnixMilli(), c.UpdatedAt.UnixMilli())
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM contact_numbers WHERE contact = ?`, c.ID); err != nil {
		return err
	}
	for i, n := range c.Numbers {
		if _, err := tx.Exec(`INSERT INTO contact_numbers (number, team, contact, position) VALUES (?, ?, ?, ?)`, n, c.Team, c.ID, i); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`DELETE FROM group_members WHERE contact = ?`, c.ID); err != nil {
		return err
	}
	for _, g := range c.Groups {
		if _, err := tx.Exec(`INSERT OR IGNORE INTO group_members (contact, contact_group) VALUES (?, ?)`, c.ID, g.ID); err != nil {
			return err
		}
	}
	return nil
}

// forget leaves nothing of a contact but that it is gone.
func forget(tx *db.Tx, id string, now time.Time) error {
	for _, query := range []string{
		`DELETE FROM contact_numbers WHERE contact = ?1`, `DELETE FROM group_members WHERE contact = ?1`,
	} {
		if _, err := tx.Exec(query, id); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`UPDATE contacts SET name = '', sort = '', search = '', email = '', organisation = '', note = '', language = '', consent = '',
		consent_at = NULL, updated_at = ?2, deleted_at = ?2 WHERE id = ?1`, id, now.UnixMilli())
	return err
}

// Filter selects contacts; zero fields select all.
type Filter struct {
	Q      string // in name, organisation, e-mail or number
	Group  string // its id
	Cursor string
	Limit  int // 0: 50
}

// list reads a page by name.
func list(r db.Querier, of Of, f Filter) (page []Contact, next string, err error) {
	where, args := []string{`c.deleted_at IS NULL`}, []any{}
	add := func(cond string, v ...any) { where, args = append(where, cond), append(args, v...) }
	if !of.Any {
		add(`c.team = ?`, of.Team)
	}
	if f.Group != "" {
		add(`EXISTS (SELECT 1 FROM group_members m JOIN contact_groups g ON g.id = m.contact_group WHERE m.contact = c.id AND g.id = ? AND g.deleted_at IS NULL)`, f.Group)
	}
	for _, word := range strings.Fields(fold(f.Q)) {
		if digits := digitsOf(word); digits != "" {
			add(`(instr(c.search, ?) > 0 OR EXISTS (SELECT 1 FROM contact_numbers n WHERE n.contact = c.id AND instr(n.number, ?) > 0))`, word, digits)
		} else {
			add(`instr(c.search, ?) > 0`, word)
		}
	}
	if f.Cursor != "" {
		sort, id, err := readCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		add(`(c.sort, c.id) > (?, ?)`, sort, id)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	rows, err := r.Query(columns+`WHERE `+strings.Join(where, " AND ")+` ORDER BY c.sort, c.id LIMIT ?`, append(args, limit+1)...)
	if err != nil {
		return nil, "", err
	}
	for rows.Next() {
		c, err := scan(rows.Scan)
		if err != nil {
			return nil, "", errors.Join(err, rows.Close())
		}
		page = append(page, *c)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, "", err
	}
	if len(page) > limit {
		page = page[:limit]
		last := page[limit-1]
		next = base64.RawURLEncoding.EncodeToString([]byte(fold(last.Name) + "\x00" + last.ID))
	}
	for i := range page {
		if err := page[i].complete(r); err != nil {
			return nil, "", err
		}
	}
	return page, next, nil
}

func readCursor(cursor string) (sort, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	sort, id, ok := strings.Cut(string(b), "\x00")
	if err != nil || !ok || !strings.HasPrefix(id, idPrefix) {
		return "", "", queue.ErrBadCursor
	}
	return sort, id, nil
}

// digitsOf is a piece of a number as it is searched: a national number's zeros are
// left out, for they are not in E.164. "": it is none.
func digitsOf(word string) string {
	var b strings.Builder
	for _, c := range word {
		switch {
		case c >= '0' && c <= '9':
			b.WriteRune(c)
		case !strings.ContainsRune("+-/.()", c):
			return ""
		}
	}
	return strings.TrimLeft(b.String(), "0")
}
