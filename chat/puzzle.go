package chat

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatewayd/captcha"
	"gatewayd/db"
)

// remembered is how many times of a stranger's last messages are kept.
const remembered = 8

// How a flow looks that no person types: so many messages within that time, or as many
// pauses that differ by no more than a twentieth.
const (
	fastMessages  = 6
	fastTime      = 20 * time.Second
	regularPauses = 5
	regularSlack  = 20 // the pauses differ by less than one part in so many
)

// remember adds now to the times of a stranger's messages.
func remember(recent string, now time.Time) string {
	all := strings.Fields(recent)
	all = append(all, strconv.FormatInt(ms(now), 10))
	return strings.Join(all[max(0, len(all)-remembered):], " ")
}

// mechanical says why times of messages look like those of a program; "": they don't.
func mechanical(recent string) string {
	var at []int64
	for _, f := range strings.Fields(recent) {
		if n, err := strconv.ParseInt(f, 10, 64); err == nil {
			at = append(at, n)
		}
	}
	n := len(at)
	if n >= fastMessages && at[n-1]-at[n-fastMessages] < fastTime.Milliseconds() {
		return fmt.Sprintf("%d messages were sent within %d seconds", fastMessages, int(fastTime/time.Second))
	}
	if n > regularPauses {
		least, most := int64(1<<62), int64(0)
		for i := n - regularPauses; i < n; i++ {
			pause := at[i] - at[i-1]
			least, most = min(least, pause), max(most, pause)
		}
		if least > 0 && (most-least)*regularSlack < most {
			return "messages were sent at equal intervals"
		}
	}
	return ""
}

// effort is what a stranger has to spend on a puzzle before it may write; 0: nothing.
// why says what makes it look like a program.
func (c *Chat) effort(r db.Querier, id string, k *counted, rules *ruling, now time.Time) (effort captcha.Effort, why string, err error) {
	if !rules.Puzzles {
		return 0, "", nil
	}
	if k.passed == 0 {
		return c.abuse.normal, "", nil
	}
	if why = mechanical(k.recent); why == "" && rules.SameText > 0 {
		var same int
		err := r.QueryRow(`SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM sender_numbers WHERE sender = ? AND at >= ? GROUP BY text)`,
			id, max(k.passed, ms(now.Add(-24*time.Hour)))).Scan(&same)
		if err != nil {
			return 0, "", err
		}
		if same >= rules.SameText {
			why = fmt.Sprintf("the same text went to %d numbers", same)
		}
	}
	if why == "" {
		return 0, "", nil
	}
	return c.abuse.hard, why, nil
}

// admitStranger wants a puzzle solved before a stranger's first message, and again
// when what it sends looks like a program's.
func (c *Chat) admitStranger(tx *db.Tx, s Sender, k *counted, rules *ruling, now time.Time) error {
	effort, why, err := c.effort(tx, s.ID, k, rules, now)
	switch {
	case err != nil || effort == 0:
		return err
	case why == "":
		return &Error{Code: Captcha, Detail: "Before the first message a puzzle must be solved, which the browser does by itself: ask for a challenge and hand in its solution."}
	}
	return &Error{Code: Captcha, Detail: fmt.Sprintf("This looks like a program, for %s. Ask for a challenge and hand in its solution, then send it again.", why)}
}

// Challenge is a puzzle for a stranger, as hard as it must be for what it does. needed
// says whether it has to be solved before the next message. The widgets' script solves
// it: captcha.Solver.
func (c *Chat) Challenge(ctx context.Context, s Sender) (puzzle captcha.Challenge, needed bool, err error) {
	var effort captcha.Effort
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		var k counted
		if err := k.load(r, s.ID); err != nil {
			return err
		}
		effort, _, err = c.effort(r, s.ID, &k, c.abuse.rules.Load(), c.o.Now())
		return err
	})
	if err != nil {
		return puzzle, false, err
	}
	puzzle, err = c.abuse.puzzles.Challenge(max(effort, c.abuse.normal))
	return puzzle, effort > 0, err
}

// Prove takes a stranger's solution, once: it may write until it looks like a program
// again. Its error is captcha.ErrWrong if the solution is none, or was used.
func (c *Chat) Prove(ctx context.Context, s Sender, solution string) error {
	// Looked through before the writer is kept busy: it takes an HMAC and two hashes.
	pass, err := c.abuse.puzzles.Verify(solution, c.abuse.normal)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.o.DB.Write(func(tx *db.Tx) error {
		now := c.o.Now()
		var k counted
		if err := k.load(tx, s.ID); err != nil {
			return err
		}
		effort, _, err := c.effort(tx, s.ID, &k, c.abuse.rules.Load(), now)
		if err != nil {
			return err
		}
		if _, err := c.abuse.puzzles.Verify(solution, max(effort, c.abuse.normal)); err != nil {
			return err
		}
		fresh, err := tx.Exec(`INSERT OR IGNORE INTO used_puzzles (id, until) VALUES (?, ?)`, pass.ID, ms(pass.Until))
		if err != nil {
			return err
		}
		if fresh == 0 {
			return captcha.ErrWrong
		}
		_, err = tx.Exec(`INSERT INTO chat_senders (id, kind, name, address, widget, first_at, last_at, passed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?6)
			ON CONFLICT (id) DO UPDATE SET passed_at = ?6, recent = ''`, s.ID, string(s.Kind), s.Name, network(s.Address), s.Widget, ms(now))
		return err
	})
}
