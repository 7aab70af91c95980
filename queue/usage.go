package queue

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"gatewayd/db"
)

// Used is what a SIM has sent, as its limits count it. A day and a month are
// those of the calendar in the gateway's time zone, for that is how networks
// count, and what people can check against a bill. They are kept per day and
// not as one running number: when the clock of a Pi jumps, each day is as full
// as it was left, so going there and back grants nothing twice.
type Used struct {
	Minute     int // parts given to the modem in the last 60 seconds, refused ones too
	Day, Month int // parts that the network has or may have
	Recipients int // different numbers that it was to text this month, if they are noted
}

// usage is Used of every SIM in memory. The tables have the same: what changes
// is applied here once its commit is durable.
type usage struct {
	mu   sync.Mutex
	sims map[string]*simUsage
}

type simUsage struct {
	days, months map[int]int // parts, by 20261122 and 202611
	texted       map[int]map[int64]struct{}
	recent       [window]second
}

// window is how many seconds a part counts for its minute: 60 and the one that
// it was sent in, so that there are never more than the limit in any 60.
const window = 61

type second struct {
	unix  int64
	parts int
}

// change is what one commit does to the usage.
type change struct {
	sim       string
	at        time.Time
	parts     int
	noted     bool
	recipient int64
}

func dayOf(t time.Time) int {
	y, m, d := t.Local().Date()
	return (y*100+int(m))*100 + d
}

func monthOf(t time.Time) int { return dayOf(t) / 100 }

// hashOf stands for a number where only sameness matters. Whoever has the file
// could try all numbers, so it goes with the number when that is erased.
func hashOf(number string) int64 {
	h := sha256.Sum256([]byte("recipient\x00" + number))
	return int64(binary.BigEndian.Uint64(h[:8]))
}

func (u *usage) of(sim string) *simUsage {
	s := u.sims[sim]
	if s == nil {
		s = &simUsage{days: map[int]int{}, months: map[int]int{}, texted: map[int]map[int64]struct{}{}}
		u.sims[sim] = s
	}
	return s
}

func (s *simUsage) add(day, parts int) {
	if s.days[day]+parts < 0 {
		return // of a day that is forgotten
	}
	s.days[day] += parts
	s.months[day/100] += parts
}

func (s *simUsage) note(month int, recipient int64) {
	if s.texted[month] == nil {
		s.texted[month] = map[int64]struct{}{}
	}
	s.texted[month][recipient] = struct{}{}
}

// sent counts a part for its minute.
func (s *simUsage) sent(now time.Time) {
	s.forward(now.Unix())
	at := &s.recent[uint64(now.Unix())%window]
	if at.unix != now.Unix() {
		*at = second{unix: now.Unix()}
	}
	at.parts++
}

// forward takes what was sent at a time that has not come for sent now: the
// clock was set back, and the minute before that still counts.
func (s *simUsage) forward(now int64) {
	late := 0
	for i, at := range s.recent {
		if at.unix > now {
			late += at.parts
			s.recent[i] = second{}
		}
	}
	if late > 0 {
		at := &s.recent[uint64(now)%window]
		if at.unix != now {
			*at = second{unix: now}
		}
		at.parts += late
	}
}

func (u *usage) apply(changes []change) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range changes {
		s := u.of(c.sim)
		s.add(dayOf(c.at), c.parts)
		if c.parts > 0 {
			s.sent(c.at)
		}
		if c.noted {
			s.note(monthOf(c.at), c.recipient)
		}
	}
}

// Used returns what a SIM has sent.
func (q *Queue) Used(sim string, now time.Time) Used {
	q.usage.mu.Lock()
	defer q.usage.mu.Unlock()
	s := q.usage.sims[sim]
	if s == nil {
		return Used{}
	}
	day := dayOf(now)
	used := Used{Day: s.days[day], Month: s.months[day/100], Recipients: len(s.texted[day/100])}
	s.forward(now.Unix())
	for _, at := range s.recent {
		if at.unix > now.Unix()-window {
			used.Minute += at.parts
		}
	}
	return used
}

// PacedUntil returns when a SIM that may send limit parts a minute may send the
// next one.
func (q *Queue) PacedUntil(sim string, limit int, now time.Time) time.Time {
	q.usage.mu.Lock()
	defer q.usage.mu.Unlock()
	s := q.usage.sims[sim]
	if s == nil {
		return now
	}
	s.forward(now.Unix())
	// From the newest second back: where the limit is reached is the one that
	// must be out of the window.
	for unix, parts := now.Unix(), 0; unix > now.Unix()-window; unix-- {
		if at := s.recent[uint64(unix)%window]; at.unix == unix {
			if parts += at.parts; parts >= limit {
				return time.Unix(unix+window, 0)
			}
		}
	}
	return now
}

// Texted tells whether a SIM was to text a number this month already.
func (q *Queue) Texted(sim, number string, now time.Time) bool {
	q.usage.mu.Lock()
	defer q.usage.mu.Unlock()
	s := q.usage.sims[sim]
	if s == nil {
		return false
	}
	_, ok := s.texted[monthOf(now)][hashOf(number)]
	return ok
}

// count books a part that is about to be sent: one small row, in the commit
// that is made for it anyway.
func count(tx *db.Tx, s Start, to string, first bool, now time.Time) (change, error) {
	c := change{sim: s.SIM, at: now, parts: 1, noted: first && s.NoteRecipient}
	_, err := tx.Exec(`INSERT INTO sim_days (sim, day, parts) VALUES (?,?,1) ON CONFLICT DO UPDATE SET parts = parts + 1`, s.SIM, dayOf(now))
	if err != nil || !c.noted {
		return c, err
	}
	c.recipient = hashOf(to)
	_, err = tx.Exec(`INSERT INTO sim_recipients (sim, month, recipient) VALUES (?,?,?) ON CONFLICT DO NOTHING`, s.SIM, monthOf(now), c.recipient)
	return c, err
}

// uncount takes back a part that did not go out: networks count what they
// accept. Its recipient stays noted; an earlier text may have gone there.
func uncount(tx *db.Tx, message int64, part int) (change, error) {
	var sentAt int64
	c := change{parts: -1}
	if err := tx.QueryRow(`SELECT sim, sent_at FROM parts WHERE message = ? AND number = ?`, message, part).Scan(&c.sim, &sentAt); err != nil {
		return c, err
	}
	c.at = fromMS(sentAt)
	_, err := tx.Exec(`UPDATE sim_days SET parts = parts - 1 WHERE sim = ? AND day = ? AND parts > 0`, c.sim, dayOf(c.at))
	return c, err
}

// readUsage loads what the tables say.
func (q *Queue) readUsage(r db.Querier) error {
	u, now := &q.usage, q.o.Now()
	u.sims = map[string]*simUsage{}
	read := func(query string, take func(s *simUsage, a, b int64), args ...any) error {
		rows, err := r.Query(query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var sim string
			var a, b int64
			if err := rows.Scan(&sim, &a, &b); err != nil {
				return err
			}
			take(u.of(sim), a, b)
		}
		return rows.Err()
	}
	err := read(`SELECT sim, day, parts FROM sim_days`, func(s *simUsage, day, parts int64) { s.add(int(day), int(parts)) })
	if err != nil {
		return err
	}
	err = read(`SELECT sim, month, recipient FROM sim_recipients`, func(s *simUsage, month, recipient int64) { s.note(int(month), recipient) })
	if err != nil {
		return err
	}
	// The last minute has no table and its parts no index, but every part
	// follows, within minutes, an event of its message.
	return read(`SELECT sim, number, sent_at FROM parts WHERE sent_at > ? AND message IN
		(SELECT message FROM events WHERE seq > (SELECT max(seq) FROM events) - 20000 AND at > ?) ORDER BY sent_at`,
		func(s *simUsage, _, sentAt int64) { s.sent(fromMS(min(sentAt, toMS(now)))) },
		toMS(now.Add(-window*time.Second)), toMS(now.Add(-15*time.Minute)))
}

// pruneUsage forgets all but this month and the one before.
func (q *Queue) pruneUsage(now time.Time) error {
	y, m, _ := now.Local().Date()
	oldest := monthOf(time.Date(y, m-1, 1, 12, 0, 0, 0, time.Local))
	err := q.db.Write(func(tx *db.Tx) error {
		if _, err := tx.Exec(`DELETE FROM sim_days WHERE day < ?`, oldest*100); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM sim_recipients WHERE month < ?`, oldest)
		return err
	})
	if err != nil {
		return err
	}
	q.usage.mu.Lock()
	defer q.usage.mu.Unlock()
	for _, s := range q.usage.sims {
		for day := range s.days {
			if day < oldest*100 {
				delete(s.days, day)
			}
		}
		for month := range s.months {
			if month < oldest {
				delete(s.months, month)
			}
		}
		for month := range s.texted {
			if month < oldest {
				delete(s.texted, month)
			}
		}
	}
	return nil
}

// forgetRecipient erases a number's hash and leaves that there was one: the
// SIM has texted it all the same.
func forgetRecipient(tx *db.Tx, number string) error {
	_, err := tx.Exec(`UPDATE sim_recipients SET recipient = random() WHERE recipient = ?`, hashOf(number))
	return err
}
