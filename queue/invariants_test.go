package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// invariants hold after every commit, whatever happened before: each query
// counts rows that break one.
var invariants = map[string]string{
	"a message's slot is its own": `SELECT count(*) FROM messages m WHERE slot IS NOT NULL AND direction = 'outbound' AND NOT EXISTS
		(SELECT 1 FROM outbound_ring r WHERE r.address = m.slot AND r.message = m.row AND r.processed IS NULL)`,
	"a slot in use has its message": `SELECT count(*) FROM outbound_ring r WHERE processed IS NULL AND NOT EXISTS
		(SELECT 1 FROM messages m WHERE m.row = r.message AND m.slot = r.address)`,
	"what is not finished has a slot":   `SELECT count(*) FROM messages WHERE slot IS NULL AND via = '' AND status IN ('scheduled', 'queued', 'sending', 'unconfirmed')`,
	"what is finished has none":         `SELECT count(*) FROM messages WHERE slot IS NOT NULL AND status IN ('delivered', 'undelivered', 'failed', 'expired', 'canceled')`,
	"a place in the order":              `SELECT count(*) FROM messages WHERE (queued_seq IS NOT NULL) <> (via = '' AND status IN ('queued', 'sending'))`,
	"no place twice":                    `SELECT count(*) - count(DISTINCT queued_seq) FROM messages WHERE queued_seq IS NOT NULL`,
	"the newest event tells the status": `SELECT count(*) FROM messages m WHERE 'message.' || status <> (SELECT type FROM events e WHERE e.message = m.row AND type <> 'message.copied' ORDER BY seq DESC LIMIT 1)`,
	"events are a chain": `SELECT count(*) FROM events e WHERE message IS NOT NULL AND coalesce(prev, 0) <>
		coalesce((SELECT max(seq) FROM events b WHERE b.message = e.message AND b.seq < e.seq), 0)`,
	"the chain begins at its newest": `SELECT count(*) FROM messages m WHERE last_event <> (SELECT max(seq) FROM events e WHERE e.message = m.row)`,
	"no event outlives its message":  `SELECT count(*) FROM events e WHERE message IS NOT NULL AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.row = e.message)`,
	"sent is told before delivered": `SELECT count(*) FROM events d WHERE type = 'message.delivered' AND NOT EXISTS
		(SELECT 1 FROM events s WHERE s.message = d.message AND s.type = 'message.sent' AND s.seq < d.seq)`,
	"sent means all parts": `SELECT count(*) FROM messages m WHERE status IN ('sent', 'delivered') AND relay <> 3 AND via = '' AND parts <>
		(SELECT count(*) FROM parts p WHERE p.message = m.row AND confirmed_at IS NOT NULL)`,
	"what went out is counted for its SIM": `SELECT count(*) FROM (SELECT sim, count(*) AS n FROM parts WHERE confirmed_at IS NOT NULL GROUP BY sim) p
		LEFT JOIN (SELECT sim, sum(parts) AS n FROM sim_days GROUP BY sim) d ON d.sim = p.sim WHERE coalesce(d.n, 0) < p.n`,
	"what is written out is in no batch": `SELECT count(*) FROM batch_slices b JOIN messages m ON m.row BETWEEN b.first AND b.first + b.count - 1`,
	"sent twice is marked": `SELECT count(*) FROM messages m WHERE possible_duplicate = 0 AND
		(SELECT count(*) FROM events e WHERE e.message = m.row AND type = 'message.unconfirmed') > 0 AND
		(SELECT count(*) FROM events s JOIN events u ON u.message = s.message AND u.type = 'message.unconfirmed' AND s.seq > u.seq
			WHERE s.message = m.row AND s.type = 'message.sending') > 0 AND parts = 1`,
}

func TestInvariants(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			b := open(t, queue.Options{OutboundCapacity: 12, ReportWait: time.Hour, BatchSlice: 2})
			rnd := rand.New(rand.NewPCG(seed, 0))
			for range 500 {
				what := b.something(rnd)
				b.holds(what)
				if t.Failed() {
					return
				}
			}
			page, _, err := b.q.List(context.Background(), queue.Filter{Limit: 500})
			counts := map[sms.Status]int{}
			for _, m := range page {
				counts[m.Status]++
			}
			t.Log(counts, err)
		})
	}
}

func (b *box) holds(after string) {
	b.t.Helper()
	err := b.db.Read(context.Background(), func(r db.Querier) error {
		for name, query := range invariants {
			var n int
			if err := r.QueryRow(query).Scan(&n); err != nil || n != 0 {
				b.t.Errorf("after %s: %q is broken by %d (%v)", after, name, n, err)
			}
		}
		// What is kept in memory says the same as the rows.
		rings := b.q.Stats()
		for table, depth := range map[string]int{"outbound_ring": rings.Outbound.Depth, "inbound_ring": rings.Inbound.Depth} {
			var n int
			if err := r.QueryRow(`SELECT count(*) FROM ` + table + ` WHERE processed IS NULL`).Scan(&n); err != nil || n != depth {
				b.t.Errorf("after %s: memory has %d slots of %s in use and the table %d (%v)", after, depth, table, n, err)
			}
		}
		var promised int64
		err := r.QueryRow(`SELECT (SELECT count(*) FROM outbound_ring WHERE processed IS NULL) + (SELECT coalesce(sum(count), 0) FROM batch_slices)`).Scan(&promised)
		if err != nil || promised*4096 != b.q.Promised() {
			b.t.Errorf("after %s: %d messages have or need a slot, and memory says %d (%v)", after, promised, b.q.Promised()/4096, err)
		}
		for status, counted := range b.q.CountByStatus() {
			var n int
			if err := r.QueryRow(`SELECT count(*) FROM messages WHERE status = ?`, status).Scan(&n); err != nil || n != counted {
				b.t.Errorf("after %s: memory counts %d messages that are %s and the table has %d (%v)", after, counted, status, n, err)
			}
		}
		y, m, d := b.now.Local().Date()
		var parts int
		err = r.QueryRow(`SELECT coalesce(sum(parts), 0) FROM sim_days WHERE sim = '8949' AND day = ?`, (y*100+int(m))*100+d).Scan(&parts)
		if used := b.q.Used("8949", b.now); err != nil || used.Day != parts {
			b.t.Errorf("after %s: memory has %d parts of today and the table %d (%v)", after, used.Day, parts, err)
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// something does one thing that may happen to a queue.
func (b *box) something(rnd *rand.Rand) string {
	b.t.Helper()
	ctx := context.Background()
	b.now = b.now.Add(time.Duration(rnd.IntN(20)) * time.Second)
	must := func(err error) {
		b.t.Helper()
		if err != nil && !errors.Is(err, queue.ErrConflict) && !errors.Is(err, queue.ErrFull) && !errors.Is(err, queue.ErrNotFound) {
			b.t.Error(err)
		}
	}
	to := fmt.Sprintf("+49170000000%d", rnd.IntN(3))
	all, _, err := b.q.List(ctx, queue.Filter{Direction: sms.Outbound, Limit: 500})
	must(err)
	var m sms.Message
	if len(all) > 0 {
		m = all[rnd.IntN(min(len(all), 20))]
	}
	switch n := rnd.IntN(20); {
	case n < 5 || m.Row == 0:
		drafts := make([]queue.Draft, 1+rnd.IntN(3)+rnd.IntN(8)*(rnd.IntN(8)/7))
		for i := range drafts {
			drafts[i].Message = sms.Message{To: to, Text: strings.Repeat("x", 1+300*rnd.IntN(2)), DeliveryReport: rnd.IntN(4) > 0,
				OnUnconfirmed: []sms.OnUnconfirmed{sms.Resend, sms.Fail}[rnd.IntN(2)]}
			if rnd.IntN(5) == 0 {
				drafts[i].SendAt = b.now.Add(time.Minute)
			}
			if rnd.IntN(5) == 0 {
				drafts[i].ExpiresAt = b.now.Add(3 * time.Minute)
			}
		}
		cut := len(drafts) > 2 && rnd.IntN(4) == 0
		if cut {
			b.failFrom(rnd.IntN(len(drafts)))
		}
		_, _, err := b.q.Submit(ctx, drafts, nil)
		must(err)
		if cut {
			b.holds("a part of a batch")
			if b.t.Failed() {
				return "a part of a batch"
			}
			b.restart()
			return "the rest of a batch"
		}
		return "submit"
	case n < 13:
		return b.work(rnd, m)
	case n == 13:
		b.report(byte(rnd.IntN(8)), m.To, []byte{0, 0, 0x20, 0x46}[rnd.IntN(4)])
		return "report"
	case n == 14:
		_, err := b.q.Cancel(ctx, m.ID)
		must(err)
		return "cancel"
	case n == 15:
		b.restart()
		return "restart"
	case n == 16 && rnd.IntN(5) == 0:
		_, err := b.q.EraseNumber(ctx, to)
		must(err)
		return "erase"
	case n == 17:
		b.receive("", -1, b.texts(to, []string{"STOP", "START", "START"}[rnd.IntN(3)], 0)[0])
		return "consent"
	}
	for _, due := range []func(time.Time) (time.Time, error){b.q.ReleaseDue, b.q.ExpireDue, b.q.SettleUnconfirmed, b.q.FreeReported} {
		_, err := due(b.now)
		must(err)
	}
	return "housekeeping"
}

// work does what a modem may do with a message.
func (b *box) work(rnd *rand.Rand, m sms.Message) string {
	b.t.Helper()
	sim := []string{"8949", "8949", "8949", "other"}[rnd.IntN(4)]
	j, err := b.q.Job(context.Background(), m.Row, sim)
	part := 1 + rnd.IntN(m.Parts)
	if err == nil {
		part = j.Next
		s := b.startOf(m, part)
		s.SIM, s.ExpectedMR, s.Ref = sim, rnd.IntN(8)-1, j.Ref
		if ok, err := b.q.Advance(nil, s); err != nil {
			b.t.Error(err)
		} else if !ok || rnd.IntN(4) == 0 {
			return "start"
		}
	}
	v := &queue.Verdict{Row: m.Row, Part: part, Fate: queue.Fate(max(0, rnd.IntN(8)-4)), MR: rnd.IntN(8), Err: &sms.Error{Code: "x"}}
	started := err == nil || answerable(m) // else no modem could say this
	if parts, err := b.q.Parts(context.Background(), m.Row); err != nil || len(parts) < part || !started {
		return "nothing"
	}
	if v.Fate == queue.PartUnconfirmed {
		v.Err = nil
	}
	if _, err := b.q.Advance(v, nil); err != nil {
		b.t.Error(err)
	}
	return fmt.Sprintf("fate %d of part %d of a message that was %s", v.Fate, part, m.Status)
}

// answerable tells whether a modem may still have something to say of a message:
// not of what it refused, nor of what it never had.
func answerable(m sms.Message) bool {
	switch m.Status {
	case sms.Canceled, sms.Expired:
		return false
	case sms.Failed:
		return m.Attempts > 0 && m.Error.Code == "unconfirmed"
	}
	return m.Attempts > 0
}
