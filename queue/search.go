package queue

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"
	"unicode"

	"gatewayd/db"
	"gatewayd/sms"
)

// Reach is how many rows of the history one Search looks at. On a slow card that
// is some eight megabytes to read, a second at worst.
const Reach = 20_000

// Found is what a Search has found so far.
type Found struct {
	Messages []sms.Message // newest first
	// Next goes on from there, "" when there is nothing more. The page may be
	// short, or empty, and have a next one: then only so much was looked at.
	Next string
	// Back is how far it has looked: when the oldest message that it looked at
	// was made; zero if it has looked at all.
	Back time.Time
}

// Search is List that looks at Reach rows at most, whatever is looked for. There
// is no index of texts: it would hold what must be erased, in pieces all over the
// file, and each message would write to it before it is accepted.
func (q *Queue) Search(ctx context.Context, f Filter) (Found, error) { return q.search(ctx, f, Reach) }

func (q *Queue) search(ctx context.Context, f Filter, reach int64) (found Found, err error) {
	before := int64(0)
	if f.Cursor != "" {
		if before, err = decodeCursor(f.Cursor); err != nil {
			return found, err
		}
		f.Cursor = ""
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	where, args := f.where()
	err = q.db.Read(ctx, func(x db.Querier) error {
		if !f.Until.IsZero() {
			latest, err := madeBefore(x, f.Until)
			if err != nil {
				return err
			}
			if before == 0 || latest < before {
				before = latest
			}
		}
		// From the newest row that there is, so that gaps cost nothing.
		newest := `SELECT row FROM messages ORDER BY row DESC LIMIT 1`
		var bound []any
		if before > 0 {
			newest, bound = `SELECT row FROM messages WHERE row < ? ORDER BY row DESC LIMIT 1`, []any{before}
		}
		var from, floor, least int64
		err := x.QueryRow(newest, bound...).Scan(&from)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		floor = from - reach + 1
		all, err := collect(x, `SELECT `+recordColumns+` FROM messages m WHERE `+strings.Join(append(where, `m.row BETWEEN ? AND ?`), " AND ")+
			` ORDER BY m.row DESC LIMIT ?`, append(args, floor, from, limit+1)...)
		if err != nil {
			return err
		}
		for _, r := range all[:min(len(all), limit)] {
			found.Messages = append(found.Messages, r.Message)
		}
		if len(all) > limit {
			last := found.Messages[limit-1]
			found.Next, found.Back = encodeCursor(last.Row), last.CreatedAt
			return nil
		}
		if err := x.QueryRow(`SELECT min(row) FROM messages`).Scan(&least); err != nil || least >= floor {
			return err
		}
		var created int64
		var uncertain bool
		err = x.QueryRow(`SELECT created_at, clock_uncertain FROM messages WHERE row >= ? ORDER BY row LIMIT 1`, floor).Scan(&created, &uncertain)
		if err != nil {
			return err
		}
		if fromMS(created).Before(f.Since) && !uncertain {
			return nil // what is older was made before
		}
		found.Next, found.Back = encodeCursor(floor), fromMS(created)
		return nil
	})
	return found, err
}

// madeBefore finds by halves the first row from which on messages were made at a
// time or later, so that a day long ago costs no more than yesterday. Those whose
// time nobody vouches for are passed over: by them it could not be told.
func madeBefore(x db.Querier, at time.Time) (int64, error) {
	var newest sql.NullInt64
	if err := x.QueryRow(`SELECT max(row) FROM messages`).Scan(&newest); err != nil {
		return 0, err
	}
	low, high := int64(1), newest.Int64+1
	for low < high {
		middle := low + (high-low)/2
		var row, created int64
		err := x.QueryRow(`SELECT row, created_at FROM messages WHERE row >= ? AND row < ? AND clock_uncertain = 0 ORDER BY row LIMIT 1`, middle, high).Scan(&row, &created)
		switch {
		case errors.Is(err, sql.ErrNoRows) || err == nil && created >= toMS(at):
			high = middle
		case err != nil:
			return 0, err
		default:
			low = row + 1
		}
	}
	return low, nil
}

// saying selects what has s in its text, or in the other side's number or name.
// Numbers are compared by their digits, however they are written: "0170 1234"
// is in +491701234567. Of letters, those of ASCII are the same in both cases, and
// others as far as a whole word is.
func saying(s string) (string, []any) {
	conds, args := []string{}, []any{}
	like := func(column, what string) {
		conds, args = append(conds, column+` LIKE ? ESCAPE '\'`), append(args, "%"+likeEscapes.Replace(what)+"%")
	}
	text, values := inText(s)
	conds, args = append(conds, text), append(args, values...)
	if digits := digitsOf(s); digits != "" {
		like("m.number", digits)
	} else {
		like("m.number", s)
	}
	return "(" + strings.Join(conds, " OR ") + ")", args
}

var likeEscapes = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// digitsOf are the digits of what can be a number or a piece of one, without the
// zeros that stand for a country or a trunk; "" if it is something else.
func digitsOf(s string) string {
	for _, r := range s {
		if (r < '0' || r > '9') && !strings.ContainsRune("+-/(). \u00a0", r) {
			return ""
		}
	}
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
	if trimmed := strings.TrimPrefix(strings.TrimPrefix(digits, "0"), "0"); len(trimmed) > 2 {
		return trimmed
	}
	return digits
}
