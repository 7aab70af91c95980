package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
)

const (
	// handAgainAfter is when what a gateway was handed, and has not said that it
	// stored, is handed to it again.
	handAgainAfter = 30 * time.Second
	// longestWait is how long a request may wait for something to come.
	longestWait = 30 * time.Second
	// lookInVain is how often a stream is read of which nobody has said that something came.
	lookInVain = 10 * time.Second
	// answerBytes bounds an answer: NATS carries a megabyte.
	answerBytes = 512 << 10
	// mostHave is how many places a request may name as stored: more than any window.
	mostHave = 20_000
)

// requests hands out the streams without consumers: a gateway asks by mirror.PullSubject,
// the hub reads the stream for it, remembers what it handed out, and deletes what the
// gateway has.
type requests struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	d       *db.DB
	window  int
	now     func() time.Time
	log     *slog.Logger
	allowed func(gateway string) bool // it may have something: it is known, and not disabled

	mu sync.Mutex
	of map[string]*handed
}

// handed is what one gateway was handed.
type handed struct {
	mu    sync.Mutex // one request at a time
	taken map[uint64]time.Time
	next  uint64        // nothing before it was not handed out in this run
	some  chan struct{} // holds one: there is something new
	// Of the requests, under the lock of all: how many there are, and what ends the one that
	// waits, for the gateway asks anew.
	asking int
	over   func()
}

func (r *requests) get(gateway string) *handed {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[string]*handed{}
	}
	if r.of[gateway] == nil {
		r.of[gateway] = &handed{taken: map[uint64]time.Time{}, next: 1, some: make(chan struct{}, 1)}
	}
	return r.of[gateway]
}

func (r *requests) Retention() jetstream.RetentionPolicy { return jetstream.LimitsPolicy }

func (r *requests) Prepare(context.Context, string) error { return nil }

func (r *requests) Forget(_ context.Context, gateway string) error {
	r.mu.Lock()
	delete(r.of, gateway)
	r.mu.Unlock()
	return r.d.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM hub_pulls WHERE gateway = ?`, gateway)
		return err
	})
}

func (r *requests) Delivered(ctx context.Context, gateway string) (seq uint64, err error) {
	err = r.d.Read(ctx, func(q db.Querier) error {
		return q.QueryRow(`SELECT coalesce(max(delivered), 0) FROM hub_pulls WHERE gateway = ?`, gateway).Scan(&seq)
	})
	return seq, err
}

func (r *requests) Pending(ctx context.Context, gateway string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	s, err := r.js.Stream(ctx, mirror.Out(gateway))
	if err != nil {
		return 0, err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(mirror.OutSubject(gateway)))
	if err != nil {
		return 0, err
	}
	return int(info.State.Subjects[mirror.OutSubject(gateway)]), nil
}

func (r *requests) Arrived(gateway string) { signal(r.get(gateway).some) }

// serve answers requests until ctx is over.
func (r *requests) serve(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	sub, err := r.nc.QueueSubscribe(mirror.PullSubject("*"), "hub", func(m *nats.Msg) {
		all.Go(func() { r.answer(ctx, m) })
	})
	if err != nil {
		return fmt.Errorf("what gateways ask for can't be heard: %w", err)
	}
	<-ctx.Done()
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return err
	}
	return nil
}

func (r *requests) answer(ctx context.Context, m *nats.Msg) {
	// Only the gateway itself may publish under its name.
	gateway := strings.Split(m.Subject, ".")[2]
	var asked mirror.PullRequest
	if !asksForItself(m, gateway) || json.Unmarshal(m.Data, &asked) != nil || len(asked.Have) > mostHave || !r.allowed(gateway) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(longestWait, max(0, time.Duration(asked.Wait*float64(time.Second))))+ackWait)
	defer cancel()
	h := r.get(gateway)
	r.mu.Lock()
	if h.asking == ofOneAtOnce {
		r.mu.Unlock()
		return
	}
	if h.asking++; h.over != nil {
		h.over()
	}
	h.over = cancel
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		h.asking--
	}()
	items, err := r.pull(ctx, gateway, asked)
	if err != nil {
		r.log.Warn("a gateway's messages can't be read for it", "gateway", gateway, "error", err)
		return // it asks again
	}
	b, err := json.Marshal(mirror.PullAnswer{Items: items})
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil {
		r.log.Debug("an answer did not go out", "gateway", gateway, "error", err)
	}
}

// pull deletes what a gateway has and hands it what is next.
func (r *requests) pull(ctx context.Context, gateway string, asked mirror.PullRequest) ([]mirror.Pulled, error) {
	h := r.get(gateway)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := r.have(ctx, h, gateway, asked.Have); err != nil {
		// It is handed out again, and the gateway knows it by its id.
		r.log.Debug("what a gateway has stays in its stream for now", "gateway", gateway, "error", err)
	}
	if asked.Free <= 0 {
		return nil, nil // it has only said what it has
	}
	until := r.now().Add(min(longestWait, time.Duration(asked.Wait*float64(time.Second))))
	for {
		now := r.now()
		for seq, at := range h.taken {
			if now.Sub(at) >= handAgainAfter {
				delete(h.taken, seq)
				h.next = min(h.next, seq)
			}
		}
		free := min(asked.Free, r.window-len(h.taken))
		var items []mirror.Pulled
		var err error
		if free > 0 {
			items, err = r.read(ctx, h, gateway, free)
		}
		if err == nil && len(items) > 0 {
			return items, r.hand(h, gateway, items)
		}
		if !until.After(now) {
			return nil, err
		}
		look := lookInVain
		if err != nil || len(h.taken) > 0 { // a stream that has no leader now, or something to be handed out again
			look = time.Second
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-h.some:
		case <-time.After(min(look, until.Sub(now))):
		}
	}
}

// hand notes that items are handed out, before they are.
func (r *requests) hand(h *handed, gateway string, items []mirror.Pulled) error {
	now, last := r.now(), items[len(items)-1].Seq
	err := r.d.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO hub_pulls (gateway, delivered) VALUES (?1, ?2)
			ON CONFLICT (gateway) DO UPDATE SET delivered = max(delivered, ?2)`, gateway, last)
		return err
	})
	if err != nil {
		return err
	}
	for _, i := range items {
		h.taken[i.Seq] = now
	}
	h.next = last + 1
	return nil
}

// have takes out of the stream what a gateway says that it has. What it has all of, up to
// some place, goes at once: each that goes by itself costs a sync of the disk.
func (r *requests) have(ctx context.Context, h *handed, gateway string, all []uint64) error {
	has := map[uint64]bool{}
	for _, seq := range all {
		if _, ok := h.taken[seq]; ok {
			has[seq] = true
		}
	}
	upTo := h.next // what stands before it was handed out, and is no longer open
	for seq := range h.taken {
		if !has[seq] {
			upTo = min(upTo, seq)
		}
	}
	if slices.ContainsFunc(all, func(seq uint64) bool { return has[seq] && seq < upTo }) {
		if err := purge(ctx, r.nc, gateway, upTo); err != nil {
			return err
		}
	}
	for _, seq := range all {
		if has[seq] && seq < upTo {
			delete(h.taken, seq)
		} else if err := r.stored(ctx, h, gateway, seq); err != nil {
			return err
		}
	}
	return nil
}

// stored deletes what a gateway says that it has, if it is its own.
func (r *requests) stored(ctx context.Context, h *handed, gateway string, seq uint64) error {
	if _, ok := h.taken[seq]; !ok {
		// Of the last run perhaps, or told again; or another's.
		batch, err := r.batch(ctx, gateway, seq, 1)
		if err != nil {
			return err
		}
		if len(batch) == 0 || batch[0].Seq != seq {
			return nil
		}
	}
	if err := deleteAt(ctx, r.nc, gateway, seq); err != nil {
		return err
	}
	delete(h.taken, seq)
	return nil
}

// read reads up to so many items that are not handed out.
func (r *requests) read(ctx context.Context, h *handed, gateway string, most int) (items []mirror.Pulled, err error) {
	bytes := 0
	for seq := h.next; len(items) < most; {
		batch, err := r.batch(ctx, gateway, seq, most-len(items))
		if err != nil {
			return nil, err
		}
		for _, p := range batch {
			seq = p.Seq + 1
			if _, ok := h.taken[p.Seq]; ok {
				continue
			}
			if bytes += len(p.Item) + 40; bytes > answerBytes && len(items) > 0 {
				return items, nil
			}
			items = append(items, p)
		}
		if len(batch) == 0 {
			break
		}
	}
	return items, nil
}

// batch reads from a place on: a request of its own kind, which no consumer keeps anything
// for, and whose answer is a message for each.
func (r *requests) batch(ctx context.Context, gateway string, seq uint64, most int) (all []mirror.Pulled, err error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	inbox := r.nc.NewRespInbox()
	sub, err := r.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	asked, err := json.Marshal(map[string]any{"seq": seq, "next_by_subj": mirror.OutSubject(gateway), "batch": most, "max_bytes": answerBytes})
	if err != nil {
		return nil, err
	}
	if err := r.nc.PublishRequest("$JS.API.DIRECT.GET."+mirror.Out(gateway), inbox, asked); err != nil {
		return nil, err
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204", "404": // the end, or nothing at all
			return all, nil
		default:
			return nil, fmt.Errorf("stream %s: %s %s", mirror.Out(gateway), status, m.Header.Get("Description"))
		}
		var at uint64
		if _, err := fmt.Sscan(m.Header.Get(jetstream.SequenceHeader), &at); err != nil {
			return nil, fmt.Errorf("stream %s: the place of a message: %w", mirror.Out(gateway), err)
		}
		all = append(all, mirror.Pulled{Seq: at, Item: m.Data})
	}
}
