package inbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatewayd/db"
	"gatewayd/door"
	"gatewayd/queue"
)

// person is who has an inbox.
type person struct {
	Number string
	Name   string
	hash   []byte // of the cookie
}

const (
	sessionLife  = 90 * 24 * time.Hour // after its last use
	sessionsEach = 20
	// unseenLife is how long an inbox is kept that nobody looks into: numbers are given
	// to others, who must not find it.
	unseenLife = 365 * 24 * time.Hour
	cookieName = "gatewayd_inbox"
)

const longestName = 60

// cleanName is a name as it is kept, if it can be one.
func cleanName(s string) (string, bool) {
	s = strings.Join(strings.Fields(s), " ")
	n := utf8.RuneCountInString(s)
	return s, utf8.ValidString(s) && n >= 1 && n <= longestName && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	})
}

func digest(token string) []byte {
	sum := sha256.Sum256([]byte(token)) // of 130 random bits: a slow hash would add nothing
	return sum[:]
}

func setCookie(w http.ResponseWriter, r *http.Request, value string, life time.Duration) {
	seconds := int(life.Seconds())
	if life <= 0 {
		seconds = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: Prefix, MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"),
	})
}

// admit signs somebody in whose number is verified. It returns the cookie.
func (b *Inbox) admit(n, name, browser string) (token string, err error) {
	token = rand.Text()
	err = b.o.DB.Write(func(tx *db.Tx) error {
		now := b.o.Now()
		_, err := tx.Exec(`INSERT INTO inbox_people (number, name, created_at, seen_at) VALUES (?1, ?2, ?3, ?3)
			ON CONFLICT DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at`, n, name, now.UnixMilli())
		if err != nil {
			return err
		}
		// The oldest make room.
		_, err = tx.Exec(`DELETE FROM inbox_sessions WHERE hash IN (SELECT hash FROM inbox_sessions WHERE number = ? ORDER BY expires_at DESC LIMIT -1 OFFSET ?)`, n, sessionsEach-1)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO inbox_sessions (hash, number, browser, created_at, expires_at) VALUES (?, ?, ?, ?, ?)`,
			digest(token), n, cut(browser, 200), now.UnixMilli(), now.Add(sessionLife).UnixMilli())
		return err
	})
	return token, err
}

// enter is who sends a request, by the cookie.
func (b *Inbox) enter(w http.ResponseWriter, r *http.Request) (p person, err error) {
	unknown := door.Refuse(http.StatusUnauthorized, "session", "Nobody is signed in.")
	c, err := r.Cookie(cookieName)
	if err != nil || c.Value == "" || len(c.Value) > 100 {
		return p, unknown
	}
	p.hash = digest(c.Value)
	expires, err := b.session(r.Context(), &p)
	if errors.Is(err, queue.ErrNotFound) {
		if err := door.Limited(b.limits.guessed, door.Guesser(r)); err != nil {
			return p, err
		}
		setCookie(w, r, "", 0)
		return p, unknown
	}
	if err != nil {
		return p, err
	}
	if err := door.Limited(b.limits.said, p.Number); err != nil {
		return p, err
	}
	// A cookie that is used goes on, without a commit for every request.
	if now := b.o.Now(); expires.Sub(now) < sessionLife-24*time.Hour {
		err = b.o.DB.Write(func(tx *db.Tx) error {
			if _, err := tx.Exec(`UPDATE inbox_sessions SET expires_at = ? WHERE hash = ?`, now.Add(sessionLife).UnixMilli(), p.hash); err != nil {
				return err
			}
			_, err := tx.Exec(`UPDATE inbox_people SET seen_at = ? WHERE number = ?`, now.UnixMilli(), p.Number)
			return err
		})
		setCookie(w, r, c.Value, sessionLife)
	}
	return p, err
}

// session finds whose session it is; queue.ErrNotFound: nobody's, or no more.
func (b *Inbox) session(ctx context.Context, p *person) (expires time.Time, err error) {
	err = b.o.DB.Read(ctx, func(r db.Querier) error {
		var until int64
		err := r.QueryRow(`SELECT p.number, p.name, s.expires_at FROM inbox_sessions s JOIN inbox_people p ON p.number = s.number WHERE s.hash = ?`, p.hash).
			Scan(&p.Number, &p.Name, &until)
		if errors.Is(err, sql.ErrNoRows) || err == nil && b.o.Now().UnixMilli() >= until {
			return queue.ErrNotFound
		}
		expires = moment(until)
		return err
	})
	return expires, err
}

// me is GET me.
func (b *Inbox) me(w http.ResponseWriter, r *http.Request, p person) error {
	type session struct {
		Browser   string    `json:"browser"`
		CreatedAt time.Time `json:"created_at"`
		This      bool      `json:"this"`
	}
	sessions := []session{}
	err := b.o.DB.Read(r.Context(), func(q db.Querier) error {
		rows, err := q.Query(`SELECT browser, created_at, hash = ? FROM inbox_sessions WHERE number = ? AND expires_at > ? ORDER BY created_at DESC`, p.hash, p.Number, b.o.Now().UnixMilli())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s session
			var at int64
			if err := rows.Scan(&s.Browser, &at, &s.This); err != nil {
				return err
			}
			s.CreatedAt = moment(at)
			sessions = append(sessions, s)
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	return door.Answer(w, http.StatusOK, map[string]any{"number": p.Number, "name": p.Name, "at": b.o.Name(), "sessions": sessions, "largest_file": b.o.Files.Max()})
}

// rename is POST name.
func (b *Inbox) rename(w http.ResponseWriter, r *http.Request, p person) error {
	var in struct{ Name string }
	if err := door.Read(r, &in); err != nil {
		return err
	}
	name, ok := cleanName(in.Name)
	if !ok {
		return door.Refuse(http.StatusUnprocessableEntity, "name", "A name has 1 to %d characters.", longestName)
	}
	err := b.o.DB.Write(func(tx *db.Tx) error {
		tx.OnCommit(func() { b.here.wake(p.Number) })
		_, err := tx.Exec(`UPDATE inbox_people SET name = ? WHERE number = ?`, name, p.Number)
		return err
	})
	if err != nil {
		return err
	}
	return door.Answer(w, http.StatusOK, map[string]any{"number": p.Number, "name": name})
}

// leave is POST leave, everywhere or here.
func (b *Inbox) leave(w http.ResponseWriter, r *http.Request, p person) error {
	var in struct{ Everywhere bool }
	if err := door.Read(r, &in); err != nil {
		return err
	}
	err := b.o.DB.Write(func(tx *db.Tx) error {
		tx.OnCommit(func() { b.here.wake(p.Number) })
		if in.Everywhere {
			_, err := tx.Exec(`DELETE FROM inbox_sessions WHERE number = ?`, p.Number)
			return err
		}
		_, err := tx.Exec(`DELETE FROM inbox_sessions WHERE hash = ?`, p.hash)
		return err
	})
	if err != nil {
		return err
	}
	setCookie(w, r, "", 0)
	return door.Answer(w, http.StatusOK, map[string]any{})
}

// closeInbox is POST close: it erases the inbox.
func (b *Inbox) closeInbox(w http.ResponseWriter, r *http.Request, p person) error {
	var in struct{ Erase bool }
	if err := door.Read(r, &in); err != nil {
		return err
	}
	if !in.Erase {
		return door.Refuse(http.StatusUnprocessableEntity, "other", "Say erase: true. All that is in the inbox is erased.")
	}
	if err := b.o.DB.Write(func(tx *db.Tx) error { return b.eraseTx(tx, p.Number) }); err != nil {
		return err
	}
	setCookie(w, r, "", 0)
	return door.Answer(w, http.StatusOK, map[string]any{})
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
