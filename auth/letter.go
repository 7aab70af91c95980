package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"gatewayd/db"
)

// Letter is the e-mail with a person's invitation, as far as it is.
type Letter struct {
	State LetterState `json:"state"`
	Error string      `json:"error,omitempty"` // why it did not go, the last time that it was tried
	At    time.Time   `json:"at"`              // it is tried next, it was sent, or it was given up
}

// LetterState is how an e-mail stands.
type LetterState string

// The states of an e-mail.
const (
	NoLetter      LetterState = ""
	LetterWaiting LetterState = "waiting"
	LetterSent    LetterState = "sent"   // the mail server has it
	LetterFailed  LetterState = "failed" // it was refused, or could not be handed over for a day
)

const (
	letterLife  = 24 * time.Hour
	letterLimit = 30 * time.Second
	firstRetry  = 30 * time.Second
	lastRetry   = 15 * time.Minute
	lookAtMail  = time.Minute // a clock may be set meanwhile
)

// ErrNoEmail means that an invitation can't go by e-mail to a person without an address.
var ErrNoEmail = errors.New("no e-mail address of this person is known")

// AddByMail is AddPerson of somebody whose invitation goes to p.Email; base is where
// the pages are, with the scheme.
func (k *Keys) AddByMail(ctx context.Context, p Person, base string) (added Person, err error) {
	if _, err := k.checked(ctx, p, ""); err != nil {
		return Person{}, err
	}
	err = k.db.Write(func(tx *db.Tx) error {
		if added, err = k.insert(tx, p, ""); err != nil {
			return err
		}
		return k.enclose(tx, &added, base)
	})
	k.wakePost()
	return added, err
}

// InviteByMail is Invite with the code in an e-mail, which RunPost sends.
func (k *Keys) InviteByMail(ctx context.Context, idOrName, base string) (Person, error) {
	p, err := k.change(ctx, idOrName, func(tx *db.Tx, p *Person) error {
		p.HasPassword, p.Invited = false, time.Time{}
		if err := setPassword(tx, p.ID, ""); err != nil {
			return err
		}
		return k.enclose(tx, p, base)
	})
	k.wakePost()
	return p, err
}

// enclose has an e-mail wait to be sent.
func (k *Keys) enclose(tx *db.Tx, p *Person, base string) error {
	if p.Email == "" {
		return ErrNoEmail
	}
	p.Letter = Letter{State: LetterWaiting, At: k.now()}
	_, err := tx.Exec(`UPDATE people SET mail_state = 'waiting', mail_base = ?, mail_error = '', mail_tries = 0, mail_made_at = ?2, mail_at = ?2 WHERE id = ?3`,
		base, p.Letter.At.UnixMilli(), p.ID)
	return err
}

// Withdraw makes a person's invitation worth nothing, and stops its e-mail.
func (k *Keys) Withdraw(ctx context.Context, idOrName string) (Person, error) {
	return k.changeQuietly(ctx, idOrName, func(tx *db.Tx, p *Person) error {
		p.Invited, p.Letter = time.Time{}, Letter{}
		_, err := tx.Exec(`UPDATE people SET `+noInvitation+` WHERE id = ?`, p.ID)
		return err
	})
}

func (k *Keys) wakePost() {
	select {
	case k.post <- struct{}{}:
	default:
	}
}

// Post is how invitations go by e-mail.
type Post struct {
	// Send returns what hands over an e-mail, nil while no mail server is set up. An
	// error that has Permanent() bool true is a refusal.
	Send func() func(ctx context.Context, to []string, subject, text, id string) error
	Box  func() string // what the box is called
	Log  *slog.Logger
}

// RunPost sends the e-mails that wait until ctx ends. An e-mail is written when it is
// handed over, with a new code each time, so that no code is on the disk; one whose
// outcome a crash hid is sent again, and the code of the first one is worth nothing.
func (k *Keys) RunPost(ctx context.Context, post Post) error {
	for {
		wait, err := k.postDue(ctx, post)
		if err != nil && ctx.Err() == nil {
			post.Log.Error("invitations can't be handed over; tried again", "in", lookAtMail, "error", err)
			wait = lookAtMail
		}
		timer := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-timer.C:
		case <-k.post:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// invited is somebody whose e-mail waits.
type invited struct {
	id, name, email, base string
	tries                 int
	made, due             time.Time
}

// postDue hands over what is due, and returns when to look again.
func (k *Keys) postDue(ctx context.Context, post Post) (time.Duration, error) {
	for ctx.Err() == nil {
		var l invited
		var made, due int64
		err := k.db.Read(ctx, func(q db.Querier) error {
			return q.QueryRow(`SELECT id, name, email, mail_base, mail_tries, mail_made_at, mail_at FROM people
				WHERE mail_state = 'waiting' ORDER BY mail_at, id LIMIT 1`).Scan(&l.id, &l.name, &l.email, &l.base, &l.tries, &made, &due)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return time.Hour, nil
		}
		if err != nil {
			return 0, err
		}
		l.made, l.due = time.UnixMilli(made), time.UnixMilli(due)
		if wait := l.due.Sub(k.now()); wait > 0 {
			return min(wait, lookAtMail), nil
		}
		if err := k.handOver(ctx, post, l); err != nil {
			return 0, err
		}
	}
	return 0, ctx.Err()
}

// handOver tries one e-mail once and notes what came of it.
func (k *Keys) handOver(ctx context.Context, post Post, l invited) error {
	code, now := newCode(), k.now()
	hash, until := codeHash(code), now.Add(codeLife)
	waits := false
	err := k.db.Write(func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE people SET mail_tries = mail_tries + 1 WHERE id = ? AND mail_state = 'waiting' AND mail_at = ?`, l.id, l.due.UnixMilli())
		if waits = n == 1; err != nil || !waits {
			return err
		}
		return setCode(tx, l.id, hash, now, until)
	})
	if err != nil || !waits { // withdrawn, or asked for anew
		return err
	}
	final, failed := deliver(ctx, post, l, code, until, now)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now = k.now()
	final = final || now.Sub(l.made) >= letterLife
	state, at, why := LetterSent, now, ""
	switch {
	case failed == nil:
		post.Log.Info("an invitation was sent by e-mail", "person", l.name)
	case final:
		state, why = LetterFailed, failed.Error()
		post.Log.Error("an invitation could not be sent by e-mail", "person", l.name, "error", failed)
	default:
		state, at, why = LetterWaiting, now.Add(min(firstRetry<<min(l.tries, 10), lastRetry)), failed.Error()
		post.Log.Warn("an invitation can't be sent by e-mail yet; tried again", "person", l.name, "error", failed)
	}
	const most = 500
	why = strings.ToValidUTF8(why[:min(len(why), most)], "")
	return k.db.Write(func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE people SET mail_state = ?, mail_at = ?, mail_error = ? WHERE id = ? AND mail_state = 'waiting' AND code = ?`,
			string(state), at.UnixMilli(), why, l.id, hash)
		if err == nil && n == 1 && state == LetterFailed { // nobody has the code
			_, err = tx.Exec(`UPDATE people SET code = NULL, code_made_at = NULL, code_expires_at = NULL WHERE id = ?`, l.id)
		}
		return err
	})
}

// deliver hands an e-mail to the server; final: it is no use to try again.
func deliver(ctx context.Context, post Post, l invited, code string, until, now time.Time) (final bool, err error) {
	send := post.Send()
	if send == nil {
		return false, errors.New("no mail server is set up in the configuration")
	}
	ctx, cancel := context.WithTimeout(ctx, letterLimit)
	defer cancel()
	text := fmt.Sprintf(`Hello %s,

you are invited to %s, an SMS gateway. Open this address and choose a password:

%s

It is good once, and until %s. Should it be cut off somewhere: open %s/welcome, and
type the name %s and the code %s.

If you don't know what this is about, do nothing.
`, l.name, post.Box(), WelcomeLink(l.base, code, l.name), until.UTC().Format("2006-01-02 15:04 UTC"), l.base, l.name, code)
	err = send(ctx, []string{l.email}, "Your invitation to "+post.Box(), text, fmt.Sprintf("invitation-%s-%d", l.id, now.UnixMilli()))
	var refused interface{ Permanent() bool }
	return errors.As(err, &refused) && refused.Permanent(), err
}

// WelcomeLink is the address at which somebody who is invited chooses a password.
// The code stands behind the #, which no browser sends and no proxy logs.
func WelcomeLink(base, code, name string) string {
	return base + "/welcome#" + code + "/" + url.PathEscape(name)
}
