package chat

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// window is one span of a limit: it begins with the first message, and the one after
// its end begins the next.
type window struct {
	at int64 // since when; 0: it has not begun
	n  int   // messages since
}

// counted is the row of a subject: what its limits have counted, and what a stranger
// shows of itself.
type counted struct {
	minute, hour, day window
	passed            int64
	recent            string
}

func (k *counted) load(r db.Querier, id string) error {
	err := r.QueryRow(`SELECT minute_at, in_minute, hour_at, in_hour, day_at, in_day, passed_at, recent FROM chat_senders WHERE id = ?`, id).
		Scan(&k.minute.at, &k.minute.n, &k.hour.at, &k.hour.n, &k.day.at, &k.day.n, &k.passed, &k.recent)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

func (l Limits) of(kind string) Rate {
	for _, one := range l.all() {
		if one.name == kind {
			return one.Rate
		}
	}
	return Rate{} // of API keys: they have limits of their own
}

// take counts one message, or says which limit is used up and when there is room again.
func (k *counted) take(one subject, l Rate, now time.Time) error {
	for _, w := range []struct {
		*window
		most int
		long time.Duration
		name string
	}{{&k.day, l.PerDay, 24 * time.Hour, "a day"}, {&k.hour, l.PerHour, time.Hour, "an hour"}, {&k.minute, l.PerMinute, time.Minute, "a minute"}} {
		ends := time.UnixMilli(w.at).Add(w.long)
		if !now.Before(ends) || ms(now) < w.at { // over, or the clock was set back
			*w.window = window{at: ms(now)}
		} else if w.most > 0 && w.n >= w.most {
			wait := ends.Sub(now)
			return &Error{Code: Limit, RetryAfter: wait, Detail: fmt.Sprintf("%s may send %s %s. There is room again in %s.",
				one.name, messages(w.most), w.name, inWords(wait))}
		}
		w.n++
	}
	return nil
}

func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

// inWords rounds up: whoever asks a moment too early is only refused again.
func inWords(d time.Duration) string {
	up := func(unit time.Duration, name string) string {
		n := int((d + unit - 1) / unit)
		if n == 1 {
			return "1 " + name
		}
		return fmt.Sprintf("%d %ss", n, name)
	}
	switch {
	case d <= 90*time.Second:
		return up(time.Second, "second")
	case d <= 90*time.Minute:
		return up(time.Minute, "minute")
	}
	return up(time.Hour, "hour")
}

// save books a message of s that was taken.
func (k *counted) save(tx *db.Tx, one subject, s Sender, now time.Time) error {
	name, address, widget := s.Name, s.Address, s.Widget
	if one.id != s.ID { // of what several have in common none is told
		name, address, widget = "", "", ""
	}
	if s.Kind == sms.AuthorVisitor {
		address = network(address)
		if one.id == s.ID {
			k.recent = remember(k.recent, now)
		}
	}
	_, err := tx.Exec(`INSERT INTO chat_senders (id, kind, name, address, widget, first_at, last_at, minute_at, in_minute, hour_at, in_hour, day_at, in_day, recent)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
		ON CONFLICT (id) DO UPDATE SET name = ?3, address = ?4, widget = ?5, last_at = ?6, minute_at = ?7, in_minute = ?8, hour_at = ?9, in_hour = ?10,
			day_at = ?11, in_day = ?12, recent = ?13`,
		one.id, one.kind, name, address, widget, ms(now), k.minute.at, k.minute.n, k.hour.at, k.hour.n, k.day.at, k.day.n, k.recent)
	return err
}
