package gateway

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// alarms are those that go on. Each begins and ends once, over restarts too:
// its row and its event are one commit.
type alarms struct {
	db    *db.DB
	queue *queue.Queue
	now   func() time.Time
	log   *slog.Logger
	gauge *prometheus.GaugeVec

	mu sync.Mutex
	on []sms.Alarm // by code and modem
}

func newAlarms(ctx context.Context, d *db.DB, q *queue.Queue, now func() time.Time, log *slog.Logger, r prometheus.Registerer) (*alarms, error) {
	as := &alarms{db: d, queue: q, now: now, log: log, gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gatewayd_alarm", Help: "1 for each alarm that goes on.",
	}, []string{"code", "modem"})}
	r.MustRegister(as.gauge)
	err := d.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT code, modem, title, detail, begun_at FROM alarms ORDER BY code, modem`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a sms.Alarm
			var at int64
			if err := rows.Scan(&a.Code, &a.Modem, &a.Title, &a.Detail, &at); err != nil {
				return err
			}
			a.BegunAt = time.UnixMilli(at)
			as.on = append(as.on, a)
			as.gauge.WithLabelValues(a.Code, a.Modem).Set(1)
		}
		return rows.Err()
	})
	return as, err
}

func (as *alarms) find(code, modem string) (int, bool) {
	return slices.BinarySearchFunc(as.on, sms.Alarm{Code: code, Modem: modem}, func(a, b sms.Alarm) int {
		if c := strings.Compare(a.Code, b.Code); c != 0 {
			return c
		}
		return strings.Compare(a.Modem, b.Modem)
	})
}

// begin begins an alarm, or words anew one that goes on. What can't be written
// now is tried again by whoever looks next.
func (as *alarms) begin(code, modem, title, detail string) {
	as.mu.Lock()
	defer as.mu.Unlock()
	i, goesOn := as.find(code, modem)
	a := sms.Alarm{Code: code, Modem: modem, Title: title, Detail: detail, BegunAt: as.now()}
	if goesOn {
		if a.BegunAt = as.on[i].BegunAt; as.on[i] == a {
			return
		}
	}
	err := as.queue.Append(sms.EventAlarmBegin, a, func(tx *db.Tx) (bool, error) {
		_, err := tx.Exec(`INSERT OR REPLACE INTO alarms (code, modem, title, detail, begun_at) VALUES (?,?,?,?,?)`,
			a.Code, a.Modem, a.Title, a.Detail, a.BegunAt.UnixMilli())
		return !goesOn, err
	})
	switch {
	case err != nil:
		as.log.Error("an alarm could not be stored; it is tried again", "code", code, "modem", modem, "error", err)
	case goesOn:
		as.on[i] = a
	default:
		as.on = slices.Insert(as.on, i, a)
		as.gauge.WithLabelValues(code, modem).Set(1)
		as.log.Warn("alarm", "code", code, "modem", modem, "title", title)
	}
}

// end ends an alarm, if it goes on.
func (as *alarms) end(code, modem string) {
	as.mu.Lock()
	defer as.mu.Unlock()
	i, goesOn := as.find(code, modem)
	if !goesOn {
		return
	}
	a := as.on[i]
	a.EndedAt = as.now()
	err := as.queue.Append(sms.EventAlarmEnd, a, func(tx *db.Tx) (bool, error) {
		_, err := tx.Exec(`DELETE FROM alarms WHERE code = ? AND modem = ?`, code, modem)
		return true, err
	})
	if err != nil {
		as.log.Error("an alarm's end could not be stored; it is tried again", "code", code, "modem", modem, "error", err)
		return
	}
	as.on = slices.Delete(as.on, i, i+1)
	as.gauge.DeleteLabelValues(code, modem)
	as.log.Info("an alarm is over", "code", code, "modem", modem)
}

// goesOn tells whether there is this alarm.
func (as *alarms) goesOn(code, modem string) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	_, on := as.find(code, modem)
	return on
}

// of lists a modem's alarms.
func (as *alarms) of(modem string) []sms.Alarm {
	as.mu.Lock()
	defer as.mu.Unlock()
	var all []sms.Alarm
	for _, a := range as.on {
		if a.Modem == modem {
			all = append(all, a)
		}
	}
	return all
}

// endOthers ends the alarms of these codes that are of no modem of those.
func (as *alarms) endOthers(codes []string, modems map[string]bool) {
	as.mu.Lock()
	on := slices.Clone(as.on)
	as.mu.Unlock()
	for _, a := range on {
		if slices.Contains(codes, a.Code) && !modems[a.Modem] {
			as.end(a.Code, a.Modem)
		}
	}
}

// shiftTx gives alarms that began since this run did their time, when the clock
// is set; shift does it in memory.
func (as *alarms) shiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	_, err := tx.Exec(`UPDATE alarms SET begun_at = begun_at + ? WHERE begun_at >= ?`, step.Milliseconds(), began.UnixMilli())
	return err
}

func (as *alarms) shift(step time.Duration, began time.Time) {
	as.mu.Lock()
	defer as.mu.Unlock()
	for i := range as.on {
		if at := &as.on[i].BegunAt; !at.Before(began) {
			*at = at.Add(step)
		}
	}
}

// webhookDisabled is the alarm of webhooks that were disabled by themselves.
const webhookDisabled = "webhook-disabled"

// webhookAlarm says which webhooks are disabled, in words; "": none is. One that
// joins others is told as an alarm of its own.
func (g *Gateway) webhookAlarm(detail string) {
	if detail == "" {
		g.alarms.end(webhookDisabled, "")
		return
	}
	detail += " What waited is kept as failed. Mend the receiver, enable the webhook with POST /v1/webhooks/{id}/enable or on the page Webhooks, and replay what it missed."
	before := g.alarms.detail(webhookDisabled, "")
	if before == detail {
		return
	}
	if len(before) < len(detail) {
		g.alarms.end(webhookDisabled, "")
	}
	g.alarms.begin(webhookDisabled, "", "A webhook is disabled", detail)
}

// detail is that of an alarm, "" if it does not go on.
func (as *alarms) detail(code, modem string) string {
	as.mu.Lock()
	defer as.mu.Unlock()
	if i, on := as.find(code, modem); on {
		return as.on[i].Detail
	}
	return ""
}
