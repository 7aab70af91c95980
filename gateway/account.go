package gateway

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/db"
	"gatewayd/modem"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Account says what is watched of a prepaid SIM. Each part may be left out.
type Account struct {
	Code    string         // the USSD code that tells the balance
	Pattern *regexp.Regexp // its one group is the amount; nil: the first number
	Every   time.Duration  // how often it is asked
	Low     string         // the mark, a decimal number; "" none

	TopUpBy   time.Time     // the day by which the SIM must be topped up; zero: none
	TopUpWarn time.Duration // how long before

	Alive     time.Duration // how often a text keeps the SIM alive; 0: never
	AliveTo   string
	AliveText string
}

const (
	lookAtModem  = 10 * time.Second // while it can't be asked
	lookAtSIM    = time.Minute      // it may be exchanged
	askFaulty    = time.Hour        // after a fault; sooner if asked oftener anyway
	askBusy      = time.Minute      // while somebody else uses USSD
	faultsBefore = 3                // an alarm is raised
	clockSlack   = time.Hour        // a time further ahead than that is from a wrong clock
)

// account watches the SIM of one modem.
type account struct {
	Account
	name    string
	modem   *modem.Modem
	db      *db.DB
	queue   *queue.Queue
	alarms  *alarms
	now     func() time.Time
	trusted func() bool
	gauge   *prometheus.GaugeVec
	shown   atomic.Pointer[sms.Balance]

	mu     sync.Mutex
	row    accountRow
	faults int // in a row
}

// accountRow is what is kept of a SIM. Its times are Unix milliseconds.
type accountRow struct {
	sim, amount, currency string
	known, asked          int64
	fault, answer         string
	alive                 int64
}

func (a Account) watches() bool { return a.Code != "" || !a.TopUpBy.IsZero() || a.Alive > 0 }

// run watches until ctx ends.
func (a *account) run(ctx context.Context) {
	for sleep(ctx, a.look(ctx)) {
	}
}

// look does what is due and returns when to look again.
func (a *account) look(ctx context.Context) time.Duration {
	a.lookAtDay()
	m := a.modem.Snapshot()
	if m.State != sms.Ready && m.State != sms.StorageFull && m.State != sms.Parked && m.State != sms.Limited {
		return lookAtModem
	}
	if err := a.turnTo(ctx, modem.SIMOf(m)); err != nil {
		a.alarms.log.Error("what is known of the SIM's balance can't be read", "modem", a.name, "error", err)
		return lookAtSIM
	}
	wait := lookAtSIM
	for _, do := range []func(context.Context, sms.Modem) time.Duration{a.ask, a.keepAlive} {
		if d := do(ctx, m); d < wait {
			wait = d
		}
	}
	return max(wait, time.Second)
}

// lookAtDay warns before the day by which the SIM must be topped up.
func (a *account) lookAtDay() {
	if !a.trusted() {
		return
	}
	now := a.now()
	if a.TopUpBy.IsZero() || now.Before(a.TopUpBy.Add(-a.TopUpWarn)) {
		a.alarms.end(topUpDue, a.name)
		return
	}
	day := a.TopUpBy.Format(time.DateOnly)
	title := "The SIM must be topped up by " + day
	if !now.Before(a.TopUpBy.Add(24 * time.Hour)) {
		title = "The SIM was to be topped up by " + day
	}
	a.alarms.begin(topUpDue, a.name, title, "Top it up, or the operator may switch it off; then set the next date as top_up.by in the configuration.")
}

// turnTo reads what is known of the SIM that is in the modem now.
func (a *account) turnTo(ctx context.Context, sim string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.row.sim == sim {
		return nil
	}
	row := accountRow{sim: sim}
	err := a.db.Read(ctx, func(r db.Querier) error {
		err := r.QueryRow(`SELECT amount, currency, known_at, asked_at, fault, answer, alive_at FROM accounts WHERE sim = ?`, sim).
			Scan(&row.amount, &row.currency, &row.known, &row.asked, &row.fault, &row.answer, &row.alive)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	a.row, a.faults = row, 0
	a.judge()
	return nil
}

// save keeps a row, and only then works with it.
func (a *account) save(row accountRow) error {
	err := a.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT OR REPLACE INTO accounts (sim, amount, currency, known_at, asked_at, fault, answer, alive_at) VALUES (?,?,?,?,?,?,?,?)`,
			row.sim, row.amount, row.currency, row.known, row.asked, row.fault, row.answer, row.alive)
		return err
	})
	if err == nil {
		a.row = row
	}
	return err
}

// due tells how long it is until something that was done then is to be done
// again. A time ahead of now comes from a clock that was wrong.
func (a *account) due(then int64, every time.Duration) time.Duration {
	now := a.now()
	last := time.UnixMilli(then)
	if then == 0 || last.After(now.Add(clockSlack)) {
		return 0
	}
	return max(0, last.Add(every).Sub(now))
}

// ask asks for the balance, if that is due.
func (a *account) ask(ctx context.Context, _ sms.Modem) time.Duration {
	if a.Code == "" {
		return lookAtSIM
	}
	a.mu.Lock()
	every, then := a.Every, a.row.asked
	if a.row.fault != "" && a.row.answer == "" {
		every = min(every, askFaulty)
	}
	a.mu.Unlock()
	if wait := a.due(then, every); wait > 0 {
		return wait
	}
	answer, err := a.modem.USSD(ctx, sms.USSD{Code: a.Code})
	if err != nil || ctx.Err() != nil {
		return askBusy // somebody else's turn, or the modem has just gone
	}
	if answer.State == sms.USSDNeedsReply {
		if _, err := a.modem.USSD(ctx, sms.USSD{Cancel: true}); err != nil {
			a.alarms.log.Debug("the session of a balance is over already", "error", err)
		}
	}
	return a.book(answer)
}

// book takes in an answer to the code of the balance, whoever asked.
func (a *account) book(answer sms.USSDAnswer) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.row.sim == "" {
		return askBusy // it is not known yet whose balance that is
	}
	row := a.row
	row.asked, row.fault, row.answer = a.now().UnixMilli(), "", ""
	amount, currency, ok := readBalance(answer.Text, a.Pattern)
	switch {
	case answer.State == sms.USSDFailed:
		row.fault = answer.Reason
		a.faults++
	case !ok:
		row.fault, row.answer = "The pattern finds no amount in the network's answer.", answer.Text
		a.faults = faultsBefore
	default:
		row.amount, row.currency, row.known = amount, currency, row.asked
		a.faults = 0
	}
	if err := a.save(row); err != nil {
		a.alarms.log.Error("the SIM's balance could not be stored", "modem", a.name, "error", err)
		return askBusy
	}
	a.judge()
	return lookAtSIM
}

// judge shows the balance and raises or ends its alarms.
func (a *account) judge() {
	b := &sms.Balance{SIM: a.row.sim, Amount: a.row.amount, Currency: a.row.currency, Low: a.Low, Fault: a.row.fault, Answer: a.row.answer}
	if a.row.known != 0 {
		b.At = time.UnixMilli(a.row.known)
	}
	b.IsLow = below(b.Amount, b.Low)
	if a.Code == "" || a.row.asked == 0 {
		a.shown.Store(nil)
		a.gauge.DeleteLabelValues(a.name)
		return
	}
	a.shown.Store(b)
	if f, ok := amountOf(b.Amount); ok {
		a.gauge.WithLabelValues(a.name).Set(f)
	} else {
		a.gauge.DeleteLabelValues(a.name) // what is there is another SIM's
	}
	if b.IsLow {
		a.alarms.begin(balanceLow, a.name, "The SIM's balance is low",
			fmt.Sprintf("It was %s when it was asked for last, and the mark is %s. Top the SIM up.", inWords(b), b.Low))
	} else {
		a.alarms.end(balanceLow, a.name)
	}
	switch {
	case b.Answer != "":
		a.alarms.begin(balanceUnknown, a.name, "The SIM's balance can't be read",
			"balance.pattern finds no amount in the network's answer. Look at the answer with an admin key, at GET /v1/modems or on the status page, and correct the pattern.")
	case a.faults >= faultsBefore:
		a.alarms.begin(balanceUnknown, a.name, "The SIM's balance can't be asked for", b.Fault+" Check balance.code; try it on the status page.")
	case b.Fault == "":
		a.alarms.end(balanceUnknown, a.name)
	}
}

// keepAlive queues the text that keeps the SIM alive, if that is due. Its
// client_id is made of the time before, so that a crash between the queue's
// commit and ours sends none twice.
func (a *account) keepAlive(ctx context.Context, m sms.Modem) time.Duration {
	if a.Alive == 0 || !a.trusted() {
		return lookAtSIM
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if wait := a.due(a.row.alive, a.Alive); wait > 0 {
		return wait
	}
	row := a.row
	id := fmt.Sprintf("keep-alive %s %d", row.sim, row.alive)
	row.alive = a.now().UnixMilli()
	from := m.Number
	if from == "" {
		from = a.name
	}
	_, _, err := a.queue.Submit(ctx, []queue.Draft{{Pin: a.name, Message: sms.Message{
		To: a.AliveTo, Text: a.AliveText, From: from, Priority: sms.DefaultPriority, DeliveryReport: true, ClientID: id,
		OnUnconfirmed: sms.Fail, Metadata: map[string]string{"purpose": "keep-alive"},
	}}}, nil)
	if err == nil || errors.Is(err, queue.ErrKeyReused) { // queued before, with another text
		err = a.save(row)
	}
	if err != nil {
		a.alarms.log.Error("the text that keeps the SIM alive could not be queued; it is tried again", "modem", a.name, "error", err)
	}
	return lookAtSIM
}
