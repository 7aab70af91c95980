package chat

import (
	"context"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	numbers "gatewayd/sms/number"
)

// NumberBlock is one that nothing goes to by chat, and whose texts are kept and
// shown to nobody.
type NumberBlock struct {
	Number string
	At     time.Time
	By     string // the admin
	Reason string
}

// mostBlocked bounds the list, which is in memory too.
const mostBlocked = 10_000

// BlockNumber blocks a number; a number that is blocked gets another reason. Its
// conversations end.
func (c *Chat) BlockNumber(ctx context.Context, number, reason, by string) (*NumberBlock, error) {
	var wrongs intake.Refused
	normal, err := numbers.Parse(number, c.o.Region())
	if err != nil {
		if number != "" && numbers.KindOf(number) == numbers.Alphanumeric && len(number) <= 11 {
			normal = number // a sender that has a name
		} else {
			wrongs = append(wrongs, intake.FieldError{Field: "number", Detail: err.Error()})
		}
	}
	if reason, err = checkReason(reason); err != nil {
		wrongs = append(wrongs, err.(intake.Refused)...)
	}
	if len(wrongs) > 0 {
		return nil, wrongs
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := &NumberBlock{normal, c.o.Now().UTC().Truncate(time.Millisecond), by, reason}
	return b, c.o.Queue.Do(func(tx *db.Tx) error {
		if !c.abuse.numbers[normal] && len(c.abuse.numbers) >= mostBlocked {
			return fail(Invalid, "number", "is one too many: %d numbers are blocked, and no more can be.", mostBlocked)
		}
		_, err := tx.Exec(`INSERT INTO blocked_numbers (number, at, by, reason) VALUES (?, ?, ?, ?)
			ON CONFLICT (number) DO UPDATE SET reason = excluded.reason, by = excluded.by`, normal, ms(b.At), by, reason)
		if err != nil {
			return err
		}
		keep(tx, c.abuse.numbers, normal, true)
		live, err := all(tx, `WHERE c.number = ? AND c.state NOT IN ('closed', 'blocked')`, normal)
		if err != nil {
			return err
		}
		for _, e := range live {
			if err := c.BlockTx(tx, e.ID, "the number is blocked"); err != nil {
				return err
			}
		}
		return nil
	})
}

// UnblockNumber lets a number write and be written to again. Its conversations stay as
// they are.
func (c *Chat) UnblockNumber(ctx context.Context, number string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.o.DB.Write(func(tx *db.Tx) error {
		n, err := tx.Exec(`DELETE FROM blocked_numbers WHERE number = ?`, number)
		if err != nil {
			return err
		}
		if n == 0 {
			return fail(NotFound, "", "This number is not blocked.")
		}
		keep(tx, c.abuse.numbers, number, false)
		return nil
	})
}

// BlockedNumbers lists them, by number.
func (c *Chat) BlockedNumbers(ctx context.Context) (all []NumberBlock, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT number, at, by, reason FROM blocked_numbers ORDER BY number`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var b NumberBlock
			var at int64
			if err := rows.Scan(&b.Number, &at, &b.By, &b.Reason); err != nil {
				return err
			}
			b.At = fromMS(at)
			all = append(all, b)
		}
		return rows.Err()
	})
	return all, err
}

// isBlocked tells whether a number's texts are kept and no more. It belongs to
// functions that run on the database's writer.
func (c *Chat) isBlocked(number string) bool { return c.abuse.numbers[number] }

// eraseAbuse forgets a number. That it is blocked stays: whoever erases it does not
// mean that it may write again, and an admin can lift that too.
func (c *Chat) eraseAbuse(tx *db.Tx, e queue.Erasure) error {
	if e.Number == "" || len(e.Messages) > 0 {
		return nil
	}
	// A visitor is somebody who wrote with this phone: who that was goes with it, and
	// what was counted stays.
	if _, err := tx.Exec(`UPDATE chat_senders SET name = '', address = '' WHERE kind = ?2 AND id IN (SELECT sender FROM sender_numbers WHERE number = ?1
		UNION SELECT sender FROM sender_answers WHERE number = ?1 UNION SELECT visitor FROM conversations WHERE number = ?1)`, e.Number, string(sms.AuthorVisitor)); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM sender_numbers WHERE number = ?`, e.Number); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM chat_senders WHERE id = ? AND kind = ?`, invitationsPrefix+e.Number, kindInvitations); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE sender_answers SET number = 'erased-' || hex(randomblob(8)) WHERE number = ?`, e.Number)
	return err
}

// restoreAbuse keeps what the replaced database knows of who is blocked, in a
// transaction that sees its tables as replaced.NAME: of two the stricter stays. The
// puzzles that were set before are nobody's any more.
func restoreAbuse(tx *db.Tx, attached bool) error {
	queries := []string{`DELETE FROM chat_rules WHERE rules = ''`, `UPDATE chat_rules SET puzzle_key = randomblob(32)`, `DELETE FROM used_puzzles`}
	if attached {
		queries = append(queries,
			`INSERT OR IGNORE INTO blocked_numbers SELECT * FROM replaced.blocked_numbers`,
			`INSERT OR IGNORE INTO sender_answers SELECT * FROM replaced.sender_answers`,
			`INSERT OR REPLACE INTO sender_numbers SELECT * FROM replaced.sender_numbers`,
			`INSERT OR IGNORE INTO chat_senders SELECT * FROM replaced.chat_senders`,
			`UPDATE chat_senders SET (name, address, widget, last_at, minute_at, in_minute, hour_at, in_hour, day_at, in_day, passed_at, recent, opened_at) =
				(SELECT r.name, r.address, r.widget, r.last_at, r.minute_at, r.in_minute, r.hour_at, r.in_hour, r.day_at, r.in_day, r.passed_at, r.recent, r.opened_at
				FROM replaced.chat_senders r WHERE r.id = chat_senders.id) WHERE id IN (SELECT id FROM replaced.chat_senders)`,
			`UPDATE chat_senders SET (blocked_at, blocked_by, reason) = (SELECT r.blocked_at, r.blocked_by, r.reason FROM replaced.chat_senders r WHERE r.id = chat_senders.id)
				WHERE blocked_at IS NULL AND id IN (SELECT id FROM replaced.chat_senders WHERE blocked_at IS NOT NULL)`,
			`INSERT INTO chat_rules SELECT * FROM replaced.chat_rules WHERE rules <> ''
				ON CONFLICT DO UPDATE SET rules = excluded.rules, updated_at = excluded.updated_at, updated_by = excluded.updated_by`)
	}
	for _, query := range queries {
		if _, err := tx.Exec(query); err != nil {
			return fmt.Errorf("restore of who is blocked: %w", err)
		}
	}
	return nil
}

// shiftAbuse moves the spans of limits along with a clock that is set by step; what was
// counted before began keeps its time.
func shiftAbuse(tx *db.Tx, step time.Duration, began time.Time) error {
	written := func(column string) string {
		return column + ` = ` + column + ` + CASE WHEN ` + column + ` >= ?2 THEN ?1 ELSE 0 END`
	}
	for _, query := range []string{
		// The pauses of a stranger would be none.
		`UPDATE chat_senders SET minute_at = minute_at + ?1, hour_at = hour_at + ?1, day_at = day_at + ?1, recent = '', ` + written("first_at") + `, ` +
			written("last_at") + `, ` + written("passed_at") + `, ` + written("opened_at") + `, ` + written("blocked_at"),
		`UPDATE sender_numbers SET ` + written("at"),
		`UPDATE sender_answers SET ` + written("at"),
		`UPDATE blocked_numbers SET ` + written("at"),
	} {
		if _, err := tx.Exec(query, step.Milliseconds(), ms(began)); err != nil {
			return err
		}
	}
	return nil
}
