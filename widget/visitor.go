package widget

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatewayd/chat"
	"gatewayd/db"
	"gatewayd/door"
	"gatewayd/sms"
)

// visitor is a stranger who writes in a widget.
type visitor struct {
	ID           string
	Widget       string
	Name         string
	Number       string
	Conversation string // the one that is open; no request ever names another
	Address      string
	Site         string
	ExpiresAt    time.Time
}

func (v *visitor) sender() chat.Sender {
	return chat.Sender{Kind: sms.AuthorVisitor, ID: v.ID, Name: v.Name, Address: v.Address, Widget: v.Widget}
}

// visitorLife is how long a visitor's token is good after it was used.
const visitorLife = 24 * time.Hour

const tokenPrefix = "wvt_"

func digest(token string) []byte {
	sum := sha256.Sum256([]byte(token)) // of 130 random bits: a slow hash would add nothing
	return sum[:]
}

// enter is the visitor who sends a request, by its token, with the widget that the
// visitor came by.
func (w *Widgets) enter(r *http.Request) (v visitor, one Widget, l look, err error) {
	unknown := door.Refuse(http.StatusUnauthorized, "token", "The visitor's token is not known, or has expired.")
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || !strings.HasPrefix(token, tokenPrefix) || len(token) > 100 {
		return v, one, l, unknown
	}
	ctx, from := r.Context(), door.Address(r)
	v, err = w.visitorOf(ctx, token)
	if errors.Is(err, ErrNotFound) {
		if wait := w.guessed.Take(door.GuesserOf(from)); wait > 0 {
			return v, one, l, door.Later(http.StatusTooManyRequests, "limit", "Too many wrong tokens came from this address.", wait)
		}
		return v, one, l, unknown
	}
	if err == nil {
		err = door.Limited(w.said, v.ID)
	}
	if err != nil {
		return v, one, l, err
	}
	one, l, err = w.current(ctx, v.Widget)
	if errors.Is(err, ErrNotFound) { // the widget is gone, and with it its visitors' way in
		return v, one, l, unknown
	}
	if err == nil {
		err = w.touch(&v, from)
	}
	return v, one, l, err
}

func (w *Widgets) visitorOf(ctx context.Context, token string) (visitor, error) {
	return w.findVisitor(ctx, `hash = ? AND hash <> x''`, digest(token))
}

func (w *Widgets) visitorByID(ctx context.Context, id string) (visitor, error) {
	return w.findVisitor(ctx, `id = ? AND hash <> x''`, id)
}

// findVisitor finds the one that a condition tells, unless its token is over.
func (w *Widgets) findVisitor(ctx context.Context, where string, arg any) (v visitor, err error) {
	err = w.o.DB.Read(ctx, func(r db.Querier) error {
		var expires int64
		err := r.QueryRow(`SELECT id, widget, name, number, conversation, address, site, expires_at FROM widget_visitors WHERE `+where, arg).
			Scan(&v.ID, &v.Widget, &v.Name, &v.Number, &v.Conversation, &v.Address, &v.Site, &expires)
		v.ExpiresAt = moment(expires)
		if errors.Is(err, sql.ErrNoRows) || err == nil && !w.o.Now().Before(v.ExpiresAt) {
			return ErrNotFound
		}
		return err
	})
	return v, err
}

// touch keeps a token good that is used, without a commit for every request.
func (w *Widgets) touch(v *visitor, from string) error {
	until := w.o.Now().Add(visitorLife)
	if v.Address == from && until.Sub(v.ExpiresAt) < time.Hour {
		return nil
	}
	v.Address, v.ExpiresAt = from, until
	return w.o.DB.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE widget_visitors SET address = ?, expires_at = ? WHERE id = ?`, from, until.UnixMilli(), v.ID)
		return err
	})
}

// admit makes a visitor, or changes what one that is there said of itself, and writes
// down that the terms were accepted. It returns the token of a new one.
func (w *Widgets) admit(v *visitor, fresh bool, terms *int64) (token string, start int64, err error) {
	err = w.o.DB.Write(func(tx *db.Tx) error {
		now := w.o.Now()
		v.ExpiresAt = now.Add(visitorLife)
		var err error
		if fresh {
			token = tokenPrefix + strings.ToLower(rand.Text())
			_, err = tx.Exec(`INSERT INTO widget_visitors (id, widget, hash, name, number, conversation, address, site, created_at, expires_at) VALUES (?, ?, ?, ?, ?, '', ?, ?, ?, ?)`,
				v.ID, v.Widget, digest(token), v.Name, v.Number, v.Address, v.Site, now.UnixMilli(), v.ExpiresAt.UnixMilli())
		} else {
			_, err = tx.Exec(`UPDATE widget_visitors SET name = ?, number = ?, expires_at = ? WHERE id = ?`, v.Name, v.Number, v.ExpiresAt.UnixMilli(), v.ID)
		}
		if err != nil {
			return err
		}
		start, err = tx.Insert(`INSERT INTO widget_starts (visitor, conversation, number, terms, address, at) VALUES (?, '', ?, ?, ?, ?)`,
			v.ID, v.Number, terms, v.Address, now.UnixMilli())
		return err
	})
	return token, start, err
}

// began notes the conversation that came of a start.
func (w *Widgets) began(v *visitor, start int64, conversation string) error {
	v.Conversation = conversation
	return w.o.DB.Write(func(tx *db.Tx) error {
		if _, err := tx.Exec(`UPDATE widget_starts SET conversation = ? WHERE seq = ?`, conversation, start); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE widget_visitors SET conversation = ? WHERE id = ?`, conversation, v.ID)
		return err
	})
}

// hasAccepted tells whether a visitor has accepted what a widget's terms say now, where
// once is enough.
func (w *Widgets) hasAccepted(ctx context.Context, one Widget, id string) (has bool, err error) {
	if id == "" || one.Terms.none() || one.Terms.Each {
		return false, nil
	}
	err = w.o.DB.Read(ctx, func(r db.Querier) error {
		var version sql.NullInt64
		var then Settings
		err := r.QueryRow(`SELECT max(terms) FROM widget_starts WHERE visitor = ?`, id).Scan(&version)
		if err == nil && version.Valid {
			err = loadSettings(r, one.ID, version.Int64, &then)
		}
		has = err == nil && version.Valid && then.Terms.say(one.Terms)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	})
	return has, err
}

// longestName is what may stand in front of each text.
const longestName = 30

// domain is what phones make a link of.
var domain = regexp.MustCompile(`(?i)\.\pL{2,}|www\b|http`)

// nameOf is a name as it is put in front of texts. The invitation is the one text that
// goes out unasked, and the name the one thing in it that a stranger writes: it must
// not advertise an address or a number.
func nameOf(s string) (string, bool) {
	s = strings.Join(strings.Fields(s), " ")
	digits := 0
	for _, r := range s {
		switch {
		case unicode.IsDigit(r):
			digits++
		case unicode.IsLetter(r), unicode.IsMark(r), strings.ContainsRune(" .'’-&,()", r):
		default:
			return s, false
		}
	}
	n := utf8.RuneCountInString(s)
	return s, n >= 1 && n <= longestName && digits <= 4 && !domain.MatchString(s) && strings.ContainsFunc(s, unicode.IsLetter)
}
