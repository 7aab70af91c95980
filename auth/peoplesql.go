package auth

import (
	"bytes"
	"database/sql"
	"errors"
	"time"

	"gatewayd/db"
)

const personColumns = `id, name, role, sees_texts, password <> '', code IS NOT NULL, code_expires_at, created_at, signed_in_at, disabled_at,
	email, display_name, sign_off, team, mail_state, mail_error, mail_at`

func scanPerson(scan func(...any) error, more ...any) (Person, error) {
	var p Person
	var invited bool
	var created int64
	var until, signedIn, disabled, mailed sql.NullInt64
	err := scan(append([]any{&p.ID, &p.Name, &p.Role, &p.SeesTexts, &p.HasPassword, &invited, &until, &created, &signedIn, &disabled,
		&p.Email, &p.DisplayName, &p.SignOff, &p.Team, &p.Letter.State, &p.Letter.Error, &mailed}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return p, ErrNoPerson
	}
	p.CreatedAt, p.SignedInAt, p.DisabledAt, p.Letter.At = time.UnixMilli(created), instant(signedIn), instant(disabled), instant(mailed)
	if invited {
		p.Invited = instant(until)
	}
	return p, err
}

func selectPeople(q db.Querier) (all []Person, err error) {
	rows, err := q.Query(`SELECT ` + personColumns + ` FROM people WHERE removed_at IS NULL ORDER BY login, id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		p, err := scanPerson(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

func selectPerson(q db.Querier, id string) (Person, error) {
	return scanPerson(q.QueryRow(`SELECT `+personColumns+` FROM people WHERE id = ? AND removed_at IS NULL`, id).Scan)
}

// selectLogin returns who signs in with a name, and what is stored of the password.
func selectLogin(q db.Querier, login string) (p Person, stored string, err error) {
	p, err = scanPerson(q.QueryRow(`SELECT `+personColumns+`, password FROM people WHERE login = ? AND removed_at IS NULL`, login).Scan, &stored)
	return p, stored, err
}

func selectPassword(q db.Querier, id string) (stored string, err error) {
	err = q.QueryRow(`SELECT password FROM people WHERE id = ? AND removed_at IS NULL`, id).Scan(&stored)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoPerson
	}
	return stored, err
}

func insertPerson(tx *db.Tx, p *Person, stored string) error {
	_, err := tx.Exec(`INSERT INTO people (id, name, login, role, sees_texts, password, created_at, changed_at, email, display_name, sign_off, team)
		VALUES (?, ?, ?, ?, ?, ?, ?7, ?7, ?, ?, ?, ?)`,
		p.ID, p.Name, fold(p.Name), string(p.Role), p.SeesTexts, stored, p.CreatedAt.UnixMilli(), p.Email, p.DisplayName, p.SignOff, p.Team)
	return err
}

func updatePerson(tx *db.Tx, p *Person) error {
	_, err := tx.Exec(`UPDATE people SET name = ?, login = ?, role = ?, sees_texts = ?, disabled_at = ?, email = ?, display_name = ?, sign_off = ?, team = ? WHERE id = ?`,
		p.Name, fold(p.Name), string(p.Role), p.SeesTexts, millis(p.DisabledAt), p.Email, p.DisplayName, p.SignOff, p.Team, p.ID)
	return err
}

func setChanged(tx *db.Tx, id string, now time.Time) error {
	_, err := tx.Exec(`UPDATE people SET changed_at = ? WHERE id = ?`, now.UnixMilli(), id)
	return err
}

func setSignedIn(tx *db.Tx, id string, now time.Time) error {
	_, err := tx.Exec(`UPDATE people SET signed_in_at = ? WHERE id = ?`, now.UnixMilli(), id)
	return err
}

// noInvitation ends one, and the e-mail that it was to go by.
const noInvitation = `code = NULL, code_made_at = NULL, code_expires_at = NULL, mail_state = '', mail_base = '', mail_error = '', mail_tries = 0,
	mail_made_at = NULL, mail_at = NULL`

// setPassword also ends an invitation: it was to choose a password.
func setPassword(tx *db.Tx, id, stored string) error {
	_, err := tx.Exec(`UPDATE people SET password = ?, `+noInvitation+` WHERE id = ?`, stored, id)
	return err
}

func setCode(tx *db.Tx, id string, hash []byte, now, expires time.Time) error {
	_, err := tx.Exec(`UPDATE people SET code = ?, code_made_at = ?, code_expires_at = ? WHERE id = ?`, hash, now.UnixMilli(), expires.UnixMilli(), id)
	return err
}

// checkCode is nil if the hash is that of the person's invitation.
func checkCode(q db.Querier, id string, hash []byte, now time.Time) error {
	var stored []byte
	err := q.QueryRow(`SELECT code FROM people WHERE id = ? AND code_expires_at > ? AND disabled_at IS NULL AND removed_at IS NULL`, id, now.UnixMilli()).Scan(&stored)
	return verdictOf(err, stored, hash)
}

// verdictOf compares hashes of codes: how far they are alike leads back to no code.
func verdictOf(err error, stored, hash []byte) error {
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return err
	case err != nil, len(stored) == 0, !bytes.Equal(stored, hash):
		return ErrWrongCode
	}
	return nil
}

// erasePerson leaves of a person that there was one.
func erasePerson(tx *db.Tx, id string, now time.Time) error {
	_, err := tx.Exec(`UPDATE people SET name = '', login = '', password = '', email = '', display_name = '', sign_off = '', team = '', `+noInvitation+`,
		disabled_at = coalesce(disabled_at, ?1), removed_at = ?1 WHERE id = ?2`, now.UnixMilli(), id)
	return err
}

// countAdmins counts those who can sign in and change everything.
func countAdmins(q db.Querier) (n int, err error) {
	err = q.QueryRow(`SELECT count(*) FROM people WHERE role = 'admin' AND password <> '' AND disabled_at IS NULL AND removed_at IS NULL`).Scan(&n)
	return n, err
}

func setFirstRun(tx *db.Tx, hash []byte, now, expires time.Time) error {
	_, err := tx.Exec(`INSERT OR REPLACE INTO first_run (one, hash, made_at, expires_at) VALUES (1, ?, ?, ?)`, hash, now.UnixMilli(), expires.UnixMilli())
	return err
}

func deleteFirstRun(tx *db.Tx) error {
	_, err := tx.Exec(`DELETE FROM first_run`)
	return err
}

func checkFirstRun(q db.Querier, hash []byte, now time.Time) error {
	var stored []byte
	err := q.QueryRow(`SELECT hash FROM first_run WHERE expires_at > ?`, now.UnixMilli()).Scan(&stored)
	return verdictOf(err, stored, hash)
}

func selectSession(q db.Querier, hash []byte, now time.Time) (Session, error) {
	row := q.QueryRow(`SELECT `+sessionColumns+` FROM sessions WHERE hash = ? AND expires_at > ?`, hash, now.UnixMilli())
	return scanSession(row.Scan)
}

const sessionColumns = `hash, coalesce(key_id, ''), coalesce(person_id, ''), browser, created_at, seen_at, expires_at`

func scanSession(scan func(...any) error) (Session, error) {
	var s Session
	var created, seen, expires int64
	if err := scan(&s.hash, &s.keyID, &s.person, &s.Browser, &created, &seen, &expires); err != nil {
		return s, err
	}
	s.ID, s.CreatedAt, s.SeenAt, s.ExpiresAt = sessionID(s.hash), time.UnixMilli(created), time.UnixMilli(seen), time.UnixMilli(expires)
	return s, nil
}

func selectSessionsOf(q db.Querier, person string, now time.Time) (all []Session, err error) {
	rows, err := q.Query(`SELECT `+sessionColumns+` FROM sessions WHERE person_id = ? AND expires_at > ? AND seen_at > ? ORDER BY created_at DESC, hash`,
		person, now.UnixMilli(), now.Add(-idleLife).UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		s, err := scanSession(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

func insertSession(tx *db.Tx, s Session, now time.Time) error {
	if _, err := tx.Exec(`DELETE FROM sessions WHERE expires_at <= ?1 OR person_id IS NOT NULL AND seen_at <= ?2`,
		now.UnixMilli(), now.Add(-idleLife).UnixMilli()); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO sessions (hash, key_id, person_id, browser, created_at, seen_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		s.hash, textOrNull(s.keyID), textOrNull(s.person), s.Browser, s.CreatedAt.UnixMilli(), s.SeenAt.UnixMilli(), s.ExpiresAt.UnixMilli())
	return err
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func setSeen(tx *db.Tx, hash []byte, now time.Time) error {
	_, err := tx.Exec(`UPDATE sessions SET seen_at = ? WHERE hash = ?`, now.UnixMilli(), hash)
	return err
}

func deleteSession(tx *db.Tx, hash []byte) error {
	_, err := tx.Exec(`DELETE FROM sessions WHERE hash = ?`, hash)
	return err
}

func deleteSessionsOf(tx *db.Tx, person string) error {
	_, err := tx.Exec(`DELETE FROM sessions WHERE person_id = ?`, person)
	return err
}
