package gateway

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gatewayd/clock"
	"gatewayd/db"
	"gatewayd/sms"
)

// keepSignals is how long it is kept how well the modems heard their networks.
const keepSignals = 48 * time.Hour

// signals is the history of the modems' signals. What was measured in one
// sms.SignalStep is written at its end, of all modems in one commit: an SD card
// wears out by commits.
type signals struct {
	db    *db.DB
	clock *clock.Clock
	log   *slog.Logger

	mu    sync.Mutex
	began time.Time             // when the step began that goes on; a reading of time.Now
	sums  map[string]*signalSum // what was measured in it, by modem
}

func newSignals(d *db.DB, c *clock.Clock, log *slog.Logger) *signals {
	return &signals{db: d, clock: c, log: log, began: time.Now(), sums: map[string]*signalSum{}}
}

// mean is a mean in the making, and the least value.
type mean struct {
	n          int
	sum, least float64
}

func (m *mean) add(v *float64) {
	if v == nil {
		return
	}
	if m.n == 0 || *v < m.least {
		m.least = *v
	}
	m.n++
	m.sum += *v
}

// values returns mean and least value, nil if nothing was measured.
func (m *mean) values() (of, least *float64) {
	if m.n == 0 {
		return nil, nil
	}
	v, l := m.sum/float64(m.n), m.least
	return &v, &l
}

// signalSum is a modem's sms.SignalSample in the making.
type signalSum struct {
	dbm, rsrp, rsrq, sinr mean
	technology            string
}

func (s *signalSum) sample(at time.Time) sms.SignalSample {
	v := sms.SignalSample{At: at, Technology: s.technology}
	v.DBm, v.WorstDBm = s.dbm.values()
	v.RSRP, v.WorstRSRP = s.rsrp.values()
	v.RSRQ, _ = s.rsrq.values()
	v.SINR, _ = s.sinr.values()
	return v
}

// measured takes a modem's signal in, as it was just measured.
func (ss *signals) measured(m sms.Modem) {
	if m.Signal == nil {
		return
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	sum := ss.sums[m.Name]
	if sum == nil {
		sum = &signalSum{}
		ss.sums[m.Name] = sum
	}
	dbm := float64(m.Signal.DBm)
	sum.dbm.add(&dbm)
	sum.rsrp.add(m.Signal.RSRP)
	sum.rsrq.add(m.Signal.RSRQ)
	sum.sinr.add(m.Signal.SINR)
	sum.technology = m.Technology
}

// keep writes the history until ctx is over, and then what there is.
func (ss *signals) keep(ctx context.Context) {
	for more := true; more; {
		more = sleep(ctx, sms.SignalStep)
		if err := ss.write(); err != nil {
			ss.log.Error("the modems' signal of the last minutes could not be stored; the chart has a gap there", "error", err)
		}
	}
}

// write ends the step, and forgets what is too old.
func (ss *signals) write() error {
	ss.mu.Lock()
	began, sums := ss.began, ss.sums
	ss.began, ss.sums = time.Now(), map[string]*signalSum{}
	ss.mu.Unlock()
	if len(sums) == 0 {
		return nil
	}
	return ss.db.Write(func(tx *db.Tx) error {
		// In here, for the clock is set on the same writer.
		at, now := ss.clock.At(began), ss.clock.Now()
		for name, sum := range sums {
			v := sum.sample(at)
			_, err := tx.Exec(`INSERT INTO signal_history (modem, at, dbm, worst_dbm, rsrp, worst_rsrp, rsrq, sinr, technology) VALUES (?,?,?,?,?,?,?,?,?)`,
				name, v.At.UnixMilli(), v.DBm, v.WorstDBm, v.RSRP, v.WorstRSRP, v.RSRQ, v.SINR, v.Technology)
			if err != nil {
				return err
			}
		}
		// A clock that was wrong may have left something in the future.
		_, err := tx.Exec(`DELETE FROM signal_history WHERE at < ? OR at > ?`, now.Add(-keepSignals).UnixMilli(), now.UnixMilli())
		return err
	})
}

// of returns a modem's history since then, oldest first.
func (ss *signals) of(ctx context.Context, modem string, since time.Time) ([]sms.SignalSample, error) {
	var all []sms.SignalSample
	err := ss.db.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT at, dbm, worst_dbm, rsrp, worst_rsrp, rsrq, sinr, technology FROM signal_history
			WHERE modem = ? AND at >= ? ORDER BY at`, modem, since.UnixMilli())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var v sms.SignalSample
			var at int64
			if err := rows.Scan(&at, &v.DBm, &v.WorstDBm, &v.RSRP, &v.WorstRSRP, &v.RSRQ, &v.SINR, &v.Technology); err != nil {
				return err
			}
			v.At = time.UnixMilli(at)
			all = append(all, v)
		}
		return rows.Err()
	})
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if sum := ss.sums[modem]; sum != nil && err == nil {
		if v := sum.sample(ss.clock.At(ss.began)); !v.At.Before(since) {
			all = append(all, v)
		}
	}
	return slices.Clip(all), err
}

// shiftTx gives what was measured since this run did its time, when the clock is set.
func (ss *signals) shiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	_, err := tx.Exec(`UPDATE signal_history SET at = at + ? WHERE at >= ?`, step.Milliseconds(), began.UnixMilli())
	return err
}

// restoreSignals adds what the replaced database has to what the backup has.
const restoreSignals = `INSERT INTO signal_history
	SELECT * FROM replaced.signal_history EXCEPT SELECT * FROM main.signal_history`
