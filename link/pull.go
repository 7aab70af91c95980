package link

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// taken is an item in hand. done tells the hub that it is stored.
type taken struct {
	item mirror.Item
	done func() error
}

// gather is how long what has come waits for more, to be stored in one commit with it.
const gather = 3 * time.Millisecond

// pull takes what waits at the hub for as long as there is room for it. What is stored is
// acknowledged after the commit, in whatever order; what was not acknowledged comes again.
func (s *session) pull(ctx context.Context) error {
	said := ""
	for ctx.Err() == nil {
		room, disabled, way := s.wanted.get()
		room = min(room, s.l.o.Queue.FreeOutbound())
		if disabled || room <= 0 {
			s.rest(ctx, s.l.o.Queue.Changed())
			continue
		}
		take := s.fetch
		if way == "request" {
			take = s.ask
		}
		err := take(ctx, room)
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			said = ""
			continue
		}
		if s.nc.IsClosed() {
			return err
		}
		if err.Error() != said {
			said = err.Error()
			s.l.o.Log.Warn("what waits at the hub can't be taken now; it is tried again", "error", words(err))
		}
		s.rest(ctx, nil)
	}
	return ctx.Err()
}

// rest waits for a change, for a moment at most.
func (s *session) rest(ctx context.Context, changed <-chan struct{}) {
	t := time.NewTimer(s.l.times.look)
	defer t.Stop()
	select {
	case <-changed:
	case <-s.changed:
	case <-t.C:
	case <-ctx.Done():
	}
}

// fetch takes up to room items by this gateway's own consumer.
func (s *session) fetch(ctx context.Context, room int) error {
	limited, done := context.WithTimeout(ctx, s.l.times.answer)
	consumer, err := mirror.Ask(limited, s.nc, s.patience/4, func(ctx context.Context) (jetstream.Consumer, error) {
		return s.js.Consumer(ctx, mirror.Out(s.name), mirror.Consumer(s.name))
	})
	done()
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		// The first of a run asks for as much as there was room for; the rest as there is now.
		if !first {
			window, disabled, way := s.wanted.get()
			if room = min(window, s.l.o.Queue.FreeOutbound()); room <= 0 || disabled || way == "request" {
				return nil
			}
		}
		// The server of a cluster that dies takes what it was asked with it, and only silence
		// tells; one alone that dies ends the connection.
		heartbeat := s.l.times.fetch / 3
		if s.nc.ConnectedClusterName() != "" {
			heartbeat = s.l.times.fetch / 10
		}
		batch, err := consumer.Fetch(room, jetstream.FetchMaxWait(s.l.times.fetch), jetstream.FetchHeartbeat(heartbeat))
		if err != nil {
			return err
		}
		if err := s.drain(ctx, batch.Messages()); err != nil {
			return err
		}
		if err := batch.Error(); err != nil {
			if errors.Is(err, jetstream.ErrNoHeartbeat) {
				s.missed.Store(true)
				nudge(s.again)
			}
			return err
		}
	}
}

// drain stores what comes, as much in one commit as comes together.
func (s *session) drain(ctx context.Context, messages <-chan jetstream.Msg) error {
	for open := true; open; {
		var all []taken
		var late <-chan time.Time
		for collecting := true; collecting && len(all) < window; {
			select {
			case m, ok := <-messages:
				if !ok {
					open, collecting = false, false
					break
				}
				if t, ok := s.read(m.Data(), m.Ack); ok {
					all = append(all, t)
				}
				if late == nil {
					late = time.After(gather)
				}
			case <-late:
				collecting = false
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := s.store(ctx, all); err != nil {
			return err
		}
	}
	return nil
}

// read reads an item. What can't be read never will be, so it is acknowledged.
func (s *session) read(data []byte, done func() error) (taken, bool) {
	var i mirror.Item
	if err := json.Unmarshal(data, &i); err != nil {
		s.l.o.Log.Error("something from the hub can't be read and is left out; is the hub of a much newer version?", "error", err)
		done()
		return taken{}, false
	}
	return taken{i, done}, true
}

// ask takes up to room items by asking the hub for them.
func (s *session) ask(ctx context.Context, room int) error {
	var have []uint64
	for ctx.Err() == nil {
		// The server of a cluster that dies takes what it was asked with it, and only silence
		// tells; one alone that dies ends the connection.
		wait, patience := s.l.times.fetch, s.l.times.answer
		if s.nc.ConnectedClusterName() != "" {
			wait, patience = wait/10, s.patience/4
		}
		request := mirror.PullRequest{Have: have, Free: room, Wait: wait.Seconds()}
		b, err := json.Marshal(request)
		if err != nil {
			return err
		}
		limited, done := context.WithTimeout(ctx, wait+patience)
		m, err := s.nc.RequestWithContext(limited, mirror.PullSubject(s.name), b)
		done()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			s.missed.Store(true) // what it was handed may have been on the way
			nudge(s.again)
		}
		if err != nil {
			return err
		}
		var a mirror.PullAnswer
		if err := json.Unmarshal(m.Data, &a); err != nil {
			return err
		}
		have = nil
		var all []taken
		for _, p := range a.Items {
			t, ok := s.read(p.Item, func() error { have = append(have, p.Seq); return nil })
			if ok {
				all = append(all, t)
			}
		}
		if err := s.store(ctx, all); err != nil {
			return err
		}
		window, disabled, way := s.wanted.get()
		room = min(window, s.l.o.Queue.FreeOutbound())
		if disabled || way != "request" {
			room = 0
		}
		if room <= 0 && len(have) == 0 {
			return nil
		}
		room = max(room, 0) // with something to acknowledge it asks for nothing more
	}
	return ctx.Err()
}

// store stores items and acknowledges each that is. What there is no room for now is
// tried again until there is; nothing more is pulled meanwhile.
func (s *session) store(ctx context.Context, all []taken) error {
	for len(all) > 0 {
		changed := s.l.o.Queue.Changed()
		left, err := s.storeOnce(ctx, all)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !errors.Is(err, queue.ErrFull) && !errors.Is(err, queue.ErrInboundFull) && !errors.Is(err, db.ErrDiskFull) {
			s.l.o.Log.Error("what came from the hub could not be stored; it is tried again", "error", err)
			changed = nil
		}
		if all = left; len(all) > 0 {
			s.rest(ctx, changed)
		}
	}
	return nil
}

// storeOnce returns what could not be stored now, and why.
func (s *session) storeOnce(ctx context.Context, all []taken) (left []taken, err error) {
	var messages []queue.Mirrored
	var of []taken
	var others []taken
	for _, t := range all {
		if m := t.item.Message; m != nil {
			messages, of = append(messages, mirrored(*m)), append(of, t)
		} else {
			others = append(others, t)
		}
	}
	done := func(t taken) {
		if err := t.done(); err != nil { // it comes again
			s.l.o.Log.Debug("an acknowledgement did not go out", "error", err)
		}
	}
	if len(messages) > 0 {
		each, all := s.l.o.Queue.StoreMirrored(ctx, messages)
		for i, t := range of {
			switch {
			case all != nil:
				left, err = append(left, t), all
			case each[i] != nil:
				left, err = append(left, t), each[i]
			default:
				done(t)
			}
		}
	}
	for _, t := range others {
		if e := s.l.o.Queue.Do(func(tx *db.Tx) error { return s.l.book(tx, t.item) }); e != nil {
			left, err = append(left, t), e
			continue
		}
		done(t)
	}
	return left, err
}

// mirrored is a message of the hub as the queue takes it.
func mirrored(m mirror.Message) queue.Mirrored {
	q := queue.Mirrored{ID: m.ID, Address: m.Address, Epoch: m.Epoch, SIM: m.SIM, MayHaveGone: m.MayHaveGone}
	q.Draft = queue.Draft{Pin: m.From, Consent: queue.Consent(m.Consent), Message: sms.Message{
		To: m.To, Text: m.Text, Data: m.Data, Port: m.Port, UDH: m.UDH, Priority: m.Priority, Flash: m.Flash, DeliveryReport: m.DeliveryReport,
		OnUnconfirmed: m.OnUnconfirmed, ExpiresAt: m.ExpiresAt, CreatedAt: m.CreatedAt, Metadata: m.Metadata, Subject: m.Subject, Redacted: m.Secret,
	}}
	if m.Author != "" {
		q.Draft.Author = &sms.Author{Kind: sms.AuthorKey, Name: m.Author}
	}
	return q
}

// book books what is no message to send.
func (l *Link) book(tx *db.Tx, i mirror.Item) error {
	q := l.o.Queue
	for _, r := range i.Receipts {
		var errs []error
		if r.Address != nil {
			errs = append(errs, q.ReceiptTx(tx, r.ID, *r.Address))
		}
		if r.Copy != "" {
			errs = append(errs, q.InboxedTx(tx, r.ID, r.Copy))
		}
		if !r.ReadAt.IsZero() {
			errs = append(errs, q.InternetTx(tx, r.ID, sms.Delivered, nil))
		}
		if err := errors.Join(errs...); err != nil && !errors.Is(err, queue.ErrNotFound) {
			return err
		}
	}
	if r := i.Reply; r != nil {
		return q.ReplyTx(tx, queue.Reply{ID: r.ID, From: r.From, Name: r.Name, Text: r.Text, Files: r.Files, At: r.At, To: r.To})
	}
	return nil
}
