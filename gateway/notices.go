package gateway

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Notices say who is told of alarms, by SMS and by e-mail.
type Notices struct {
	SMS, Mail []string
	// Receivers is asked instead of SMS and Mail, whenever there is something to
	// tell; nil: they count.
	Receivers func() (sms, mail []string)
	Least     sms.Severity  // "": of every alarm
	Repeat    time.Duration // an alarm that goes on is told again; 0: never
	Collect   time.Duration // what comes within it is told at once; 0: a minute
	PerHour   int           // at most so many messages to each receiver; 0: 10
}

// alarmsKey stands for an API key: what tells of alarms is nobody's message, and
// raises no alarm itself.
const alarmsKey = "alarms"

const (
	someCollect = time.Minute
	somePerHour = 10
	// noticeLife is how long a text about an alarm may wait for a modem, and for
	// the queue: who gets it later would take what is over for news.
	noticeLife = 2 * time.Hour
	mailLife   = 24 * time.Hour
	mailLimit  = 30 * time.Second
	lookAtPost = time.Minute
	lookIdly   = 15 * time.Minute // for what is to be told again
	smsLength  = 300              // characters: two parts
	byMail     = "mail"
	bySMS      = "sms"
)

// notifier tells people of alarms: what is committed with an alarm is collected
// into letters, each letter is kept until it was handed over.
type notifier struct {
	g     *Gateway
	wakes map[string]chan struct{} // by channel
	count *prometheus.CounterVec
}

func newNotifier(g *Gateway, r prometheus.Registerer) *notifier {
	n := &notifier{g: g, wakes: map[string]chan struct{}{bySMS: make(chan struct{}, 1), byMail: make(chan struct{}, 1)},
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatewayd_alarm_notices_total", Help: "Messages that tell people of alarms by their end: sent (an SMS: queued), failed (given up).",
		}, []string{"channel", "result"})}
	r.MustRegister(n.count)
	g.alarms.notice = func(s sms.Severity) bool {
		texts, mails := n.receivers()
		return len(texts)+len(mails) > 0 && s.AtLeast(n.options().Least)
	}
	g.queue.OnErase(func(tx *db.Tx, e queue.Erasure) error {
		if e.Number == "" || len(e.Messages) > 0 {
			return nil
		}
		_, err := tx.Exec(`DELETE FROM alarm_letters WHERE channel = ? AND receiver = ?`, bySMS, e.Number)
		return err
	})
	return n
}

// options are those that hold now.
func (n *notifier) options() Notices {
	o := n.g.set.Load().Alarms.Notices
	o.Collect, o.PerHour = cmp.Or(o.Collect, someCollect), cmp.Or(o.PerHour, somePerHour)
	return o
}

// named are who is to be told, by the configuration or by the people who set the box up.
func (n *notifier) named() (texts, mails []string) {
	if receivers := n.options().Receivers; receivers != nil {
		return receivers()
	}
	return n.g.settings.list(sms.SettingAlarmSMS), n.g.settings.list(sms.SettingAlarmMail)
}

// receivers are who can be told now.
func (n *notifier) receivers() (texts, mails []string) {
	texts, mails = n.named()
	if n.g.set.Load().Mail == nil {
		mails = nil
	}
	return texts, mails
}

func (n *notifier) run(ctx context.Context, group *errgroup.Group) {
	group.Go(func() error { n.collect(ctx); return nil })
	for channel := range n.wakes {
		group.Go(func() error { n.post(ctx, channel); return nil })
	}
}

// collect makes letters of what is to be told, until ctx ends.
func (n *notifier) collect(ctx context.Context) {
	for {
		wait, err := n.collectDue(ctx)
		if err != nil && ctx.Err() == nil {
			n.g.log.Error("what is to be told of alarms can't be collected; tried again", "in", rewriteEvery, "error", err)
			wait = rewriteEvery
		}
		timer := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-timer.C:
		case <-n.g.alarms.posted:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// collectDue makes letters of what waited long enough, and returns when to look again.
func (n *notifier) collectDue(ctx context.Context) (time.Duration, error) {
	if err := n.remind(ctx); err != nil {
		return 0, err
	}
	var first sql.NullInt64
	var made int
	now := n.g.dispatch.now()
	err := n.g.database.Read(ctx, func(r db.Querier) error {
		if err := r.QueryRow(`SELECT min(at) FROM alarm_notices`).Scan(&first); err != nil || !first.Valid {
			return err
		}
		return r.QueryRow(`SELECT count(DISTINCT made_at) FROM alarm_letters WHERE made_at > ?`, now.Add(-time.Hour).UnixMilli()).Scan(&made)
	})
	if err != nil || !first.Valid {
		return lookIdly, err
	}
	if wait := time.UnixMilli(first.Int64).Add(n.options().Collect).Sub(now); wait > 0 && wait <= n.options().Collect {
		return wait, nil
	}
	if made >= n.options().PerHour {
		return lookAtPost, nil // what comes meanwhile is told together
	}
	texts, mails := n.receivers()
	err = n.g.database.Write(func(tx *db.Tx) error {
		notices, err := readNotices(tx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM alarm_notices`); err != nil {
			return err
		}
		notices = lastWords(notices)
		if len(notices) == 0 {
			return nil
		}
		subject, body := noticeMail(notices)
		for channel, to := range map[string][]string{bySMS: texts, byMail: mails} {
			text := body
			if channel == bySMS {
				text = noticeText(notices)
			}
			for _, one := range to {
				if _, err := tx.Exec(`INSERT INTO alarm_letters (channel, receiver, subject, body, made_at, tries, due_at) VALUES (?,?,?,?,?,0,?)`,
					channel, one, subject, text, now.UnixMilli(), now.UnixMilli()); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, wake := range n.wakes {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	return lookIdly, err
}

// remind has alarms told again that go on for long.
func (n *notifier) remind(ctx context.Context) error {
	if n.options().Repeat <= 0 {
		return nil
	}
	now := n.g.dispatch.now()
	var due []sms.Alarm
	err := n.g.database.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT code, modem, severity, title, detail FROM alarms WHERE told_at <= ?`, now.Add(-n.options().Repeat).UnixMilli())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a sms.Alarm
			if err := rows.Scan(&a.Code, &a.Modem, &a.Severity, &a.Title, &a.Detail); err != nil {
				return err
			}
			due = append(due, a)
		}
		return rows.Err()
	})
	due = slices.DeleteFunc(due, func(a sms.Alarm) bool { return !n.g.alarms.notice(a.Severity) })
	if err != nil || len(due) == 0 {
		return err
	}
	return n.g.database.Write(func(tx *db.Tx) error {
		for _, a := range due {
			// It may have ended meanwhile.
			changed, err := tx.Exec(`UPDATE alarms SET told_at = ? WHERE code = ? AND modem = ?`, now.UnixMilli(), a.Code, a.Modem)
			if err == nil && changed > 0 {
				err = n.g.alarms.noticeTx(tx, noticeStill, a)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// noticed is something to be told.
type noticed struct {
	kind string
	sms.Alarm
	at time.Time
}

func readNotices(tx *db.Tx) (all []noticed, err error) {
	rows, err := tx.Query(`SELECT kind, code, modem, title, detail, severity, at FROM alarm_notices ORDER BY seq`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n noticed
		var at int64
		if err := rows.Scan(&n.kind, &n.Code, &n.Modem, &n.Title, &n.Detail, &n.Severity, &at); err != nil {
			return nil, err
		}
		n.at = time.UnixMilli(at)
		all = append(all, n)
	}
	return all, rows.Err()
}

// lastWords leaves the last of each alarm, and nothing of one that came and went.
func lastWords(all []noticed) (last []noticed) {
	first := map[alarmID]string{}
	for _, n := range all {
		id := alarmID{n.Code, n.Modem}
		if _, ok := first[id]; !ok {
			first[id] = n.kind
		}
		last = slices.DeleteFunc(last, func(o noticed) bool { return alarmID{o.Code, o.Modem} == id })
		if n.kind == noticeEnd && first[id] == noticeBegin {
			delete(first, id)
			continue
		}
		last = append(last, n)
	}
	return last
}

var noticeWords = map[string]string{noticeBegin: "ALARM", noticeEnd: "OVER", noticeStill: "STILL"}

// noticeText is what an SMS says.
func noticeText(all []noticed) string {
	text := "gatewayd:"
	for i, n := range all {
		part := " " + noticeWords[n.kind] + " " + n.Code
		if n.Modem != "" {
			part += " " + n.Modem
		}
		part += ": " + n.Title + "."
		if rest := len(all) - i; i > 0 && len([]rune(text+part)) > smsLength-20 {
			return text + fmt.Sprintf(" And %d more.", rest)
		}
		text += part
	}
	return text
}

// noticeMail is what an e-mail says.
func noticeMail(all []noticed) (subject, body string) {
	one := all[0]
	subject = map[string]string{noticeBegin: "Alarm: ", noticeEnd: "Over: ", noticeStill: "Still: "}[one.kind] + one.Title
	if one.Modem != "" {
		subject += " (" + one.Modem + ")"
	}
	if len(all) > 1 {
		subject += fmt.Sprintf(" and %d more", len(all)-1)
	}
	var b strings.Builder
	for _, n := range all {
		fmt.Fprintf(&b, "%s %s: %s\n", noticeWords[n.kind], n.at.UTC().Format("2006-01-02 15:04:05 UTC"), n.Title)
		if n.Modem != "" {
			fmt.Fprintf(&b, "Modem: %s\n", n.Modem)
		}
		fmt.Fprintf(&b, "Code: %s (%s)\n", n.Code, n.Severity)
		if n.kind != noticeEnd && n.Detail != "" {
			fmt.Fprintf(&b, "%s\n", n.Detail)
		}
		b.WriteString("\n")
	}
	return "gatewayd: " + subject, b.String()
}

// letter is what one receiver is to be told.
type letter struct {
	id                      int64
	receiver, subject, body string
	made                    time.Time
	tries                   int
}

// post hands over the letters of a channel, until ctx ends.
func (n *notifier) post(ctx context.Context, channel string) {
	for {
		wait, err := n.postDue(ctx, channel)
		if err != nil && ctx.Err() == nil {
			n.g.log.Error("what tells of alarms can't be handed over; tried again", "channel", channel, "in", rewriteEvery, "error", err)
			wait = rewriteEvery
		}
		timer := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-timer.C:
		case <-n.wakes[channel]:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// postDue hands over what is due, and returns when to look again.
func (n *notifier) postDue(ctx context.Context, channel string) (time.Duration, error) {
	for ctx.Err() == nil {
		var l letter
		var due, made int64
		err := n.g.database.Read(ctx, func(r db.Querier) error {
			return r.QueryRow(`SELECT id, receiver, subject, body, made_at, tries, due_at FROM alarm_letters
				WHERE channel = ? AND sent_at IS NULL ORDER BY due_at, id LIMIT 1`, channel).Scan(&l.id, &l.receiver, &l.subject, &l.body, &made, &l.tries, &due)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return time.Hour, nil
		}
		if err != nil {
			return 0, err
		}
		now := n.g.dispatch.now()
		if wait := time.UnixMilli(due).Sub(now); wait > 0 {
			return min(wait, lookAtPost), nil
		}
		l.made = time.UnixMilli(made)
		final, err := n.hand(ctx, channel, l)
		life := noticeLife
		if channel == byMail {
			life = mailLife
		}
		result := "sent"
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil && (final || now.Sub(l.made) >= life):
			result = "failed"
			n.g.log.Error("somebody could not be told of an alarm", "channel", channel, "error", err)
		case err != nil:
			n.g.log.Warn("somebody can't be told of an alarm; tried again", "channel", channel, "error", err)
			next := n.g.dispatch.now().Add(min(30*time.Second<<min(l.tries, 10), 15*time.Minute))
			if err := n.g.database.Write(func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE alarm_letters SET tries = tries + 1, due_at = ? WHERE id = ?`, next.UnixMilli(), l.id)
				return err
			}); err != nil {
				return 0, err
			}
			continue
		}
		// Nothing of it is kept but when it was.
		if err := n.g.database.Write(func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE alarm_letters SET receiver = '', subject = '', body = '', sent_at = ? WHERE id = ?`, n.g.dispatch.now().UnixMilli(), l.id)
			return err
		}); err != nil {
			return 0, err
		}
		n.count.WithLabelValues(channel, result).Inc()
	}
	return 0, ctx.Err()
}

// hand hands a letter over; final: it is no use to try again. A repetition is
// known by its id.
func (n *notifier) hand(ctx context.Context, channel string, l letter) (final bool, err error) {
	id := fmt.Sprintf("alarm-%d", l.id)
	if channel == byMail {
		return n.mail(ctx, l.receiver, l.subject, l.body, id)
	}
	_, final, err = n.text(ctx, l.receiver, l.body, id, noticeLife)
	return final, err
}

// mail hands over an e-mail.
func (n *notifier) mail(ctx context.Context, to, subject, body, id string) (final bool, err error) {
	send := n.g.set.Load().Mail // once: another configuration may have none
	if send == nil {
		return true, errors.New("no mail server is set up in the configuration")
	}
	ctx, cancel := context.WithTimeout(ctx, mailLimit)
	defer cancel()
	if err = send(ctx, []string{to}, subject, body, id); err == nil {
		return false, nil
	}
	var refused interface{ Permanent() bool }
	return errors.As(err, &refused) && refused.Permanent(), err
}

var errStopped = errors.New("the number has said STOP, so it gets nothing")

// text queues an SMS ahead of all others, through whichever modem works.
func (n *notifier) text(ctx context.Context, to, text, id string, life time.Duration) (queued string, final bool, err error) {
	urgent := queue.Priorities - 1
	who := intake.Caller{KeyID: alarmsKey}
	draft, wrong := n.g.desk.Draft(who, intake.Message{
		To: to, Text: &text, Priority: &urgent, ExpiresAt: n.g.dispatch.now().Add(life), Unicode: intake.Transliterate, ClientID: id,
		Metadata: map[string]string{"purpose": "alarm"},
	})
	if len(wrong) > 0 {
		return "", true, intake.Refused(wrong)
	}
	if stopped, err := n.g.queue.OptedOut(ctx, draft.To); err != nil || stopped {
		return "", stopped, cmp.Or(err, errStopped)
	}
	messages, _, err := n.g.desk.Submit(ctx, who, []queue.Draft{draft}, nil)
	if errors.Is(err, queue.ErrKeyReused) {
		return "", false, nil // it was queued before a restart
	}
	var refused intake.Refused
	if err != nil {
		return "", errors.As(err, &refused), err
	}
	return messages[0].ID, false, nil
}

// TestAlarms tells everybody who is told of alarms that this is a test, and what
// came of it.
func (g *Gateway) TestAlarms(ctx context.Context) []sms.AlarmTest {
	n := g.notifier
	all := []sms.AlarmTest{}
	texts, mails := n.named()
	const words = "gatewayd: a test. So you are told of alarms."
	ctx, cancel := context.WithTimeout(ctx, mailLimit) // the answer must come in time
	defer cancel()
	for _, to := range texts {
		id, _, err := n.text(ctx, to, words, "", 10*time.Minute)
		t := sms.AlarmTest{Channel: bySMS, Receiver: to, OK: err == nil, Result: "It is queued and goes out first, within ten minutes or not at all.", Message: &id}
		if err != nil {
			t.Result, t.Message = "It is not queued: "+err.Error(), nil
		}
		all = append(all, t)
	}
	for _, to := range mails {
		_, err := n.mail(ctx, to, "gatewayd: a test", words+"\n", fmt.Sprintf("alarm-test-%d", g.dispatch.now().UnixMilli()))
		t := sms.AlarmTest{Channel: byMail, Receiver: to, OK: err == nil, Result: "The mail server has taken it."}
		if err != nil {
			t.Result = "It was not handed over: " + err.Error()
		}
		all = append(all, t)
	}
	return all
}

// AlarmsNow lists the alarms that go on.
func (g *Gateway) AlarmsNow() []sms.Alarm { return g.alarms.list(func(alarmID) bool { return true }) }

// AlarmsEnded lists those that are over, the last first.
func (g *Gateway) AlarmsEnded(ctx context.Context, limit int) ([]sms.Alarm, error) {
	return g.alarms.ended(ctx, limit)
}
