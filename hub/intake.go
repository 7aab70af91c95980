package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

const (
	eventsAtOnce  = 200  // that one commit takes
	eventsFetched = 1000 // that are here and not booked
	bytesFetched  = 64 << 20
	takenOutAfter = 1000 // that are booked; fewer wait for a moment
	tryAgain      = time.Second
	heartbeat     = 2 * time.Second // of a stream that has nothing
)

// told is an event as it came.
type told struct {
	jetstream.Msg
	gateway string
	event   mirror.Event
	err     error // it can't be read
}

// takeEvents books what gateways tell, until the context ends.
func (h *Hub) takeEvents(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		err := h.takeSome(ctx)
		if err != nil && ctx.Err() == nil && said != err.Error() {
			said = err.Error()
			h.log.Warn("what gateways tell can't be fetched; it is tried again", "error", err)
		}
		sleepFor(ctx, tryAgain)
	}
}

// takeSome does so until something was lost on the way. The consumer is made anew each
// time and begins with the first that the stream has, which may be booked already. One
// server alone holds it: what it knows is not worth keeping, and three would elect first.
func (h *Hub) takeSome(ctx context.Context) error {
	if err := h.eventStream(ctx); err != nil {
		return err
	}
	consumer, err := h.eventConsumer(ctx)
	if err != nil {
		return err
	}
	defer h.dropConsumer(consumer)
	ctx, over := context.WithCancel(ctx)
	defer over()
	hands := semaphore.NewWeighted(bytesFetched)
	generation := h.connected.Load()
	come := make(chan jetstream.Msg, 2*eventsFetched)
	lost := make(chan error, 1)
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		if hands.Acquire(ctx, weight(m)) != nil {
			return
		}
		select {
		case come <- m:
		case <-ctx.Done():
		}
	}, jetstream.PullMaxMessagesWithBytesLimit(eventsFetched, bytesFetched), jetstream.PullHeartbeat(heartbeat), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		// A server of the cluster that dies takes what it was asked, and what it had sent off.
		if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrNoHeartbeat) {
			select {
			case lost <- err:
			default:
			}
		}
	}))
	if err != nil {
		return err
	}
	defer consuming.Stop()
	next := uint64(1)        // of what the consumer delivers
	var booked, taken uint64 // places of the stream
	takeOut := func() (err error) {
		if booked > taken {
			if err = h.takeOut(context.WithoutCancel(ctx), booked); err == nil {
				taken = booked
			}
		}
		return err
	}
	tick := time.NewTicker(tryAgain)
	defer tick.Stop()
	for {
		var batch []told
		select {
		case <-ctx.Done():
			return takeOut()
		case err := <-lost:
			return err
		case <-tick.C:
			if h.connected.Load() != generation {
				return nil // what was on its way when the connection broke comes with a new consumer
			}
			if err := takeOut(); err != nil {
				return err
			}
			continue
		case m := <-come:
			batch = append(batch, h.parse(m))
		}
		for len(batch) < eventsAtOnce && len(come) > 0 {
			batch = append(batch, h.parse(<-come))
		}
		last := booked
		for _, t := range batch {
			meta, err := t.Metadata()
			if err != nil {
				return err
			}
			if meta.Sequence.Consumer != next {
				return fmt.Errorf("event %d of the consumer came where %d was to come", meta.Sequence.Consumer, next)
			}
			next, last = next+1, meta.Sequence.Stream
		}
		if h.connected.Load() != generation {
			return nil
		}
		if err := h.book(ctx, batch); err != nil {
			return err
		}
		for _, t := range batch {
			hands.Release(weight(t.Msg))
		}
		if booked = last; booked-taken >= takenOutAfter {
			if err := takeOut(); err != nil {
				return err
			}
		}
	}
}

// consumerKept is how long a server keeps a consumer that nobody reads from.
const consumerKept = time.Minute

// eventConsumer makes a consumer of all that the stream has. Each attempt makes another, so
// that one which a dead server of the cluster was to hold is no hindrance.
func (h *Hub) eventConsumer(ctx context.Context) (jetstream.Consumer, error) {
	h.making.Lock() // JetStream is not asked to change the stream meanwhile
	defer h.making.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*ackWait)
	defer cancel()
	return mirror.Ask(ctx, h.nc, askAgain, func(ctx context.Context) (jetstream.Consumer, error) {
		return h.js.CreateConsumer(ctx, mirror.Events, jetstream.ConsumerConfig{
			AckPolicy: jetstream.AckNonePolicy, Replicas: 1, InactiveThreshold: consumerKept,
			MemoryStorage: h.server != nil, // elsewhere an account may have room on disk alone
		})
	})
}

func (h *Hub) dropConsumer(c jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.Background(), askAgain)
	defer cancel()
	if err := h.js.DeleteConsumer(ctx, mirror.Events, c.CachedInfo().Name); err != nil {
		h.log.Debug("a consumer of events is left to its server", "for", consumerKept, "error", err)
	}
}

// weight is how much of bytesFetched an event takes.
func weight(m jetstream.Msg) int64 { return min(int64(len(m.Data())), bytesFetched) }

// takeOut takes what is booked out of the stream, up to a place. What is booked and still
// there after a crash comes again, and is known.
func (h *Hub) takeOut(ctx context.Context, upTo uint64) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := mirror.Ask(ctx, h.nc, askAgain, func(ctx context.Context) (struct{}, error) {
		s, err := h.js.Stream(ctx, mirror.Events)
		if err == nil {
			err = s.Purge(ctx, jetstream.WithPurgeSequence(upTo+1))
		}
		return struct{}{}, err
	})
	return err
}

func sleepFor(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (h *Hub) parse(m jetstream.Msg) told {
	t := told{Msg: m, gateway: m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:]}
	if t.err = json.Unmarshal(m.Data(), &t.event); t.err == nil && (t.event.Log == "" || t.event.Seq <= 0) {
		t.err = errors.New("it has no log or no sequence")
	}
	if t.err == nil {
		t.err = wrong(t.event)
	}
	if len(t.event.Log) > longestSlip {
		t.event.Log = ""
	}
	return t
}

// book applies a batch in one commit. If it can't be applied as a whole, each is applied by
// itself: one that never can be is put aside and holds up nobody. What can't be applied now is
// tried until it can; an error means that the context ended before that.
func (h *Hub) book(ctx context.Context, batch []told) error {
	for i := range batch {
		if t := &batch[i]; t.err == nil && t.event.Chunk != nil && h.o.Inbox != nil {
			again := func() error { return h.o.Inbox.Chunk(t.gateway, *t.event.Chunk) } // a repetition changes nothing
			if !h.insist(ctx, t, again) {
				return ctx.Err()
			}
		}
	}
	if h.apply(batch) != nil {
		for i := range batch {
			t, was := &batch[i], batch[i].err
			again := func() error { return h.apply(batch[i : i+1]) }
			if !h.insist(ctx, t, again) || was == nil && t.err != nil && !h.insist(ctx, t, again) {
				return ctx.Err()
			}
		}
	}
	consent := false
	for _, t := range batch {
		h.noted(t)
		consent = consent || t.event.Consent != nil || t.event.Arrived != nil
	}
	if consent {
		h.tellConsent(ctx)
	}
	return nil
}

// insist does something with an event until that is done or the event is known to be
// unfit for it; false: the context is over.
func (h *Hub) insist(ctx context.Context, t *told, do func() error) bool {
	for said := ""; ; {
		err := do()
		if err == nil {
			return true
		}
		if t.err == nil && !passing(err) {
			t.err = err
			return true
		}
		if said != err.Error() {
			said = err.Error()
			h.log.Warn("what a gateway tells can't be booked now; it is tried again, and what all gateways tell waits behind it", "gateway", t.gateway, "error", err)
		}
		if sleepFor(ctx, tryAgain); ctx.Err() != nil {
			return false
		}
	}
}

// passing tells whether an error is of the hub's state, not of the event.
func passing(err error) bool {
	return db.Passing(err) || errors.Is(err, queue.ErrFull) || errors.Is(err, queue.ErrInboundFull)
}

// apply books events in one commit, each once for good.
func (h *Hub) apply(batch []told) error {
	return h.queue.Do(func(tx *db.Tx) error {
		type place struct {
			log string
			seq int64
		}
		places := map[string]*place{}
		for _, t := range batch {
			if t.err != nil {
				if err := h.putAside(tx, t); err != nil {
					return err
				}
			}
			p := places[t.gateway]
			if p == nil {
				g, err := load(tx, t.gateway)
				if errors.Is(err, sms.ErrNoGateway) {
					continue // it was deleted
				}
				if err != nil {
					return err
				}
				p = &place{g.log, g.seq}
				places[t.gateway] = p
			}
			e := t.event
			if e.Log == "" || e.Log == p.log && e.Seq <= p.seq {
				continue
			}
			p.log, p.seq = e.Log, e.Seq
			if t.err != nil {
				continue
			}
			if err := h.applyOne(tx, t.gateway, e); err != nil {
				return err
			}
		}
		for name, p := range places {
			if _, err := tx.Exec(`UPDATE gateways SET log = ?, seq = ? WHERE name = ?`, p.log, p.seq, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// epochOf is a gateway's epoch: nothing that it tells has a newer one.
func (h *Hub) epochOf(gateway string) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.known[gateway]; k != nil {
		return k.epoch
	}
	return math.MaxInt64
}

func (h *Hub) applyOne(tx *db.Tx, gateway string, e mirror.Event) error {
	if s := e.State; s != nil {
		if err := h.queue.ApplyTx(tx, gateway, e.Seq, queue.State{
			ID: s.ID, Address: s.Address, Mirror: s.Mirror, Epoch: min(s.Epoch, h.epochOf(gateway)), Status: s.Status, Modem: s.Modem, SIM: s.SIM, Local: s.Local, Attempts: s.Attempts,
			PossibleDuplicate: s.PossibleDuplicate, ClockUncertain: s.ClockUncertain, SentAt: s.SentAt, DeliveredAt: s.DeliveredAt, UpdatedAt: s.UpdatedAt, Error: s.Error,
		}); err != nil {
			return err
		}
	}
	if a := e.Arrived; a != nil {
		if err := h.arrive(tx, gateway, *a); err != nil {
			return err
		}
	}
	for _, c := range e.Consent {
		if err := h.queue.OptTx(tx, c.Number, c.Stopped, c.At, queue.Source{Reason: c.Reason, Wording: c.Wording, By: gateway}); err != nil {
			return err
		}
	}
	if m := e.Inbox; m != nil {
		is := sms.CopyNoInbox
		if h.o.Inbox != nil {
			var err error
			if is, err = h.o.Inbox.DeliverTx(tx, gateway, *m); err != nil {
				return err
			}
		}
		if err := h.PutTx(tx, gateway, mirror.Item{Receipts: []mirror.Receipt{{ID: m.ID, Copy: is}}}); err != nil {
			return err
		}
	}
	if e.Modem != nil {
		var m sms.Modem
		if err := json.Unmarshal(e.Modem, &m); err != nil {
			return err
		}
		m.Name = fleetName(m.Name, gateway)
		if err := h.queue.AppendTx(tx, sms.EventModemState, m); err != nil {
			return err
		}
	}
	if e.Alarm != nil {
		var a sms.Alarm
		if err := json.Unmarshal(e.Alarm, &a); err != nil {
			return err
		}
		kind := sms.EventAlarmBegin
		if !a.EndedAt.IsZero() {
			kind = sms.EventAlarmEnd
		}
		a.Modem = fleetName(a.Modem, gateway)
		if again, err := alarmTold(tx, gateway, e); again || err != nil {
			return err
		}
		return h.queue.AppendTx(tx, kind, a)
	}
	return nil
}

// keptOfUnreadable is how much is kept of an event that can't be booked, in bytes: a
// thousand of them are kept.
const keptOfUnreadable = 64 << 10

// cut is the beginning of what a gateway says.
func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), 500)], "") }

// alarmsKept is of how many alarms of a gateway it is known that they were told.
const alarmsKept = 1000

// alarmTold notes that an alarm was told, and tells whether it was before: a gateway in
// doubt about what the stream has tells it again, under another name of its log.
func alarmTold(tx *db.Tx, gateway string, e mirror.Event) (bool, error) {
	n, err := tx.Exec(`INSERT OR IGNORE INTO gateway_alarms (gateway, life, seq) VALUES (?, ?, ?)`, gateway, mirror.Life(e.Log), e.Seq)
	if err != nil || n == 0 {
		return err == nil, err
	}
	_, err = tx.Exec(`DELETE FROM gateway_alarms WHERE id <= (SELECT id FROM gateway_alarms WHERE gateway = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2) AND gateway = ?1`, gateway, alarmsKept)
	return false, err
}

// putAside keeps an event that can't be booked.
func (h *Hub) putAside(tx *db.Tx, t told) error {
	h.log.Error("what a gateway told can't be booked; it was put aside in the table gateway_unreadable, and what follows goes on", "gateway", t.gateway, "seq", t.event.Seq, "error", cut(t.err.Error()))
	_, err := tx.Exec(`INSERT INTO gateway_unreadable (gateway, at, log, seq, event, error) VALUES (?, ?, ?, ?, ?, ?)`,
		t.gateway, h.now().UnixMilli(), cut(t.event.Log), t.event.Seq, t.Data()[:min(len(t.Data()), keptOfUnreadable)], cut(t.err.Error()))
	if err == nil {
		_, err = tx.Exec(`DELETE FROM gateway_unreadable WHERE id <= (SELECT max(id) FROM gateway_unreadable) - 1000`)
	}
	return err
}

// mostTold is how many modems and alarms of a gateway are kept in memory.
const mostTold = 1000

// noted has what a gateway told of its modems and alarms hold until its next hello.
func (h *Hub) noted(t told) {
	if t.err != nil || t.event.Modem == nil && t.event.Alarm == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.known[t.gateway]
	if k == nil || k.hello != nil && t.event.Seq <= k.hello.Newest && t.event.Log == k.hello.Log {
		return // its hello is newer
	}
	var m sms.Modem
	if t.event.Modem != nil && json.Unmarshal(t.event.Modem, &m) == nil && len(k.modems) < mostTold {
		k.modems = append(slices.DeleteFunc(slices.Clone(k.modems), func(o sms.Modem) bool { return o.Name == m.Name }), m)
	}
	var a sms.Alarm
	if t.event.Alarm != nil && json.Unmarshal(t.event.Alarm, &a) == nil && len(k.alarms) < mostTold {
		k.alarms = append(slices.DeleteFunc(slices.Clone(k.alarms), func(o sms.Alarm) bool { return o.Code == a.Code && o.Modem == a.Modem }), a)
		if !a.EndedAt.IsZero() {
			k.alarms = k.alarms[:len(k.alarms)-1]
		}
	}
}
