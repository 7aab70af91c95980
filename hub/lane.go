package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
)

// ackWait is how long a stream may take to say that it has a message.
const ackWait = 5 * time.Second

// askAgain is when a cluster that does not answer is asked again.
const askAgain = time.Second

// lane puts messages into one stream, some hundred at a time. What it was not told of is
// looked for in the stream before anything else is put there.
type lane struct {
	*flow
	stream string
	newest map[string]uint64 // the last place of each gateway that is known
	some   chan struct{}     // holds one: there are messages

	mu sync.Mutex
	in []queue.Relayed
}

// add has messages put into the stream, which are given to their gateways already.
func (l *lane) add(all ...queue.Relayed) {
	l.mu.Lock()
	l.in = append(l.in, all...)
	l.mu.Unlock()
	signal(l.some)
}

func (l *lane) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.in)
}

func (l *lane) run(ctx context.Context) {
	unsure, wait := l.given(ctx), time.Second/4
	for ctx.Err() == nil {
		if len(unsure) == 0 {
			wait = time.Second / 4
			unsure = l.put(ctx, l.next(ctx))
			continue
		}
		left := l.settle(ctx, unsure)
		if len(left) == len(unsure) {
			l.log.Warn("messages wait for the stream", "stream", l.stream, "messages", len(left), "again", wait)
			sleep(ctx, wait)
			wait = min(2*wait, ackWait)
		}
		unsure = left
	}
}

// given is what the last run gave to gateways of this stream and did not see there.
func (l *lane) given(ctx context.Context) (all []queue.Relayed) {
	for ctx.Err() == nil {
		all = nil
		var err error
		for _, p := range l.places() {
			if mirror.Out(p.name) != l.stream {
				continue
			}
			var some []queue.Relayed
			if some, err = l.q.Given(ctx, p.name, mostUnacknowledged); err != nil {
				break
			}
			all = append(all, some...)
		}
		if err == nil {
			return all
		}
		l.log.Error("what was given to gateways can't be read", "error", err)
		sleep(ctx, time.Second)
	}
	return nil
}

// lostOf publishes again what is booked as being in a gateway's stream, is not there, and was
// never handed out: somebody has emptied the stream, or restored the hub's database alone.
// A gateway that has it all the same knows it by its id.
func (f *flow) lostOf(ctx context.Context, gateway string) error {
	f.taking.Lock()
	defer f.taking.Unlock()
	var all []queue.Relayed
	_, err := f.each(ctx, gateway, 0, func(some []queue.Relayed) error {
		for _, r := range some {
			if r.StreamSeq > 0 && r.StoredAt.IsZero() {
				all = append(all, r)
			}
		}
		return nil
	})
	if err != nil || len(all) == 0 {
		return err
	}
	l, found := f.lanes[mirror.Out(gateway)], map[string]uint64{}
	if err := (&lane{flow: f, stream: l.stream, newest: map[string]uint64{}}).look(ctx, gateway, found); err != nil {
		return err
	}
	places := map[uint64]bool{} // one that was put back stands under another id
	for _, seq := range found {
		places[seq] = true
	}
	delivered, err := f.pulls.Delivered(ctx, gateway)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(r queue.Relayed) bool {
		_, ok := found[publicationID(r)]
		return ok || places[r.StreamSeq] || r.StreamSeq <= delivered
	})
	if len(all) == 0 {
		return nil
	}
	f.log.Warn("the stream has lost messages of a gateway; they are put there again", "gateway", gateway, "messages", len(all))
	var given []queue.Relayed
	err = f.q.Do(func(tx *db.Tx) error {
		given = nil
		for _, r := range all {
			if err := f.q.TakeBackTx(tx, r.Row); err != nil {
				if gone(err) {
					continue
				}
				return err
			}
			one, err := f.q.GiveTx(tx, r.Row, gateway, r.Epoch)
			if err != nil {
				return err
			}
			if one != nil {
				given = append(given, *one)
			}
		}
		return nil
	})
	if err == nil {
		l.add(given...)
	}
	return err
}

// next waits for messages and takes as many as there are, up to a bound.
func (l *lane) next(ctx context.Context) []queue.Relayed {
	for {
		l.mu.Lock()
		n := min(together, len(l.in))
		all := l.in[:n:n]
		if l.in = l.in[n:]; len(l.in) == 0 {
			l.in = nil
		}
		l.mu.Unlock()
		if n > 0 {
			return all
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.some:
		}
	}
}

// publication is one message on its way into a stream.
type publication struct {
	msg *nats.Msg
	seq uint64 // once it is there
	err error
}

// publish puts messages into their streams and waits for what becomes of each.
func (f *flow) publish(ctx context.Context, all []publication) {
	acks := make([]jetstream.PubAckFuture, len(all))
	for i := range all {
		acks[i], all[i].err = f.js.PublishMsgAsync(all[i].msg)
	}
	for i, ack := range acks {
		if ack == nil {
			continue
		}
		select {
		case a := <-ack.Ok():
			all[i].seq = a.Sequence
		case all[i].err = <-ack.Err():
		case <-ctx.Done():
			all[i].err = ctx.Err()
		}
	}
	for i, p := range all {
		gateway := p.msg.Subject[strings.LastIndexByte(p.msg.Subject, '.')+1:]
		if i == 0 || all[i-1].msg.Subject != p.msg.Subject {
			f.pulls.Arrived(gateway) // perhaps: then it looks in vain
		}
	}
}

// isFull tells whether a stream has as much for a gateway as it may; only then is it
// certain that it did not take the message.
func isFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && strings.Contains(api.Description, "maximum messages per subject")
}

// put publishes messages and books what became of them; unsure are those of which
// nobody knows.
func (l *lane) put(ctx context.Context, all []queue.Relayed) (unsure []queue.Relayed) {
	if len(all) == 0 {
		return nil
	}
	published := make([]publication, len(all))
	for i, r := range all {
		b, err := json.Marshal(mirror.Item{Message: l.written(r)})
		if err != nil {
			l.log.Error("a message can't be written for its gateway", "message", r.ID, "error", err)
		}
		published[i].msg = toGateway(r.Gateway, publicationID(r), b)
	}
	l.publish(ctx, published)
	err := l.q.Do(func(tx *db.Tx) error {
		for i, p := range published {
			var err error
			switch {
			case p.err == nil:
				err = l.q.PublishedTx(tx, all[i].Row, p.seq)
			case isFull(p.err):
				err = l.q.TakeBackTx(tx, all[i].Row)
			}
			if err != nil && !gone(err) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.log.Error("what is in the stream can't be booked", "stream", l.stream, "error", err)
		return all
	}
	full, newest := map[string]bool{}, map[string]uint64{}
	for i, p := range published {
		switch r := all[i]; {
		case p.err == nil:
			newest[r.Gateway] = max(newest[r.Gateway], p.seq)
		case isFull(p.err):
			full[r.Gateway] = true
		default:
			l.log.Debug("nobody knows whether the stream has a message", "message", r.ID, "error", p.err)
			unsure = append(unsure, r)
		}
	}
	for _, r := range unsure {
		delete(newest, r.Gateway) // it may stand before these
	}
	for name, seq := range newest {
		l.newest[name] = max(l.newest[name], seq)
	}
	for name := range full {
		l.log.Warn("the stream has as much for a gateway as it may; the rest waits at the hub", "gateway", name)
		l.burdens.set(name, l.burdens.most)
	}
	return unsure
}

// gone tells whether a message has ended, or was erased, meanwhile.
func gone(err error) bool {
	return errors.Is(err, queue.ErrConflict) || errors.Is(err, queue.ErrNotFound)
}

// settle looks for messages in the stream and publishes what is not there; left are those
// of which nobody knows still.
func (l *lane) settle(ctx context.Context, unsure []queue.Relayed) (left []queue.Relayed) {
	found := map[string]uint64{}
	gateways := map[string]bool{}
	for _, r := range unsure {
		gateways[r.Gateway] = true
	}
	for name := range gateways {
		if err := l.look(ctx, name, found); err != nil {
			return unsure
		}
	}
	var missing []queue.Relayed
	err := l.q.Do(func(tx *db.Tx) error {
		missing = nil
		for _, r := range unsure {
			seq, ok := found[publicationID(r)]
			if !ok {
				missing = append(missing, r)
				continue
			}
			if err := l.q.PublishedTx(tx, r.Row, seq); err != nil && !gone(err) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.log.Error("what is in the stream can't be booked", "stream", l.stream, "error", err)
		return unsure
	}
	for len(missing) > 0 {
		n := min(together, len(missing))
		left = append(left, l.put(ctx, missing[:n])...)
		missing = missing[n:]
	}
	return left
}

// look reads what the stream has for a gateway behind the last place that is known, by
// the ids that it was published under.
func (l *lane) look(ctx context.Context, gateway string, found map[string]uint64) error {
	for seq := l.newest[gateway] + 1; ; seq++ {
		m, err := readAt(ctx, l.nc, l.stream, seq, mirror.OutSubject(gateway))
		if err != nil || m == nil {
			return err
		}
		seq = m.Sequence
		found[m.Header.Get(nats.MsgIdHdr)] = seq
	}
}

// stored is one message of a stream.
type stored struct {
	Sequence uint64
	Header   nats.Header
	Data     []byte
}

// readAt reads the first message of a subject at or behind a place, from whoever leads the
// stream: a follower may not have it yet. nil: there is none.
func readAt(ctx context.Context, nc *nats.Conn, stream string, seq uint64, subject string) (*stored, error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	req, err := json.Marshal(map[string]any{"seq": seq, "next_by_subj": subject})
	if err != nil {
		return nil, err
	}
	reply, err := mirror.Ask(ctx, nc, askAgain, func(ctx context.Context) (*nats.Msg, error) {
		return nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, req)
	})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Message *struct {
			Seq    uint64 `json:"seq"`
			Header []byte `json:"hdrs"`
			Data   []byte `json:"data"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return nil, nil
		}
		return nil, answer.Error
	}
	if answer.Message == nil {
		return nil, fmt.Errorf("stream %s: an answer without a message", stream)
	}
	m := &stored{Sequence: answer.Message.Seq, Data: answer.Message.Data}
	if len(answer.Message.Header) > 0 {
		m.Header, err = nats.DecodeHeadersMsg(answer.Message.Header)
	}
	return m, err
}

// publicationID is what a message is published under: the same however often that is
// tried, another when it was taken back and given again.
func publicationID(r queue.Relayed) string {
	return fmt.Sprintf("%s.%d.%d", r.ID, r.Epoch, r.GivenAt.UnixMilli())
}

// written is a message as its gateway gets it.
func (f *flow) written(r queue.Relayed) *mirror.Message {
	m := r.Message
	w := &mirror.Message{
		ID: r.ID, Address: r.Address, Epoch: r.Epoch, To: m.To, Text: m.Text, Data: m.Data, Port: m.Port, UDH: m.UDH,
		SIM: r.SIM, Priority: m.Priority, Flash: m.Flash, DeliveryReport: m.DeliveryReport, OnUnconfirmed: m.OnUnconfirmed,
		ExpiresAt: m.ExpiresAt, CreatedAt: m.CreatedAt, Metadata: m.Metadata, Consent: string(r.Consent), Subject: m.Subject,
		Secret: m.Redacted, MayHaveGone: r.MayHaveGone,
	}
	if m.Author != nil {
		w.Author = m.Author.Name
	}
	if modem, ok := strings.CutSuffix(w.SIM, "@"+r.Gateway); ok { // no SIM that its modem tells
		w.SIM, w.From = "", modem
	}
	if r.Pin == "" {
		return w
	}
	all := &fleet{places: f.places()}
	c := all.pinned(ask{pin: r.Pin, wish: r.Gateway})
	switch {
	case c.sim != "" && w.SIM == "":
		w.SIM = c.sim
	case c.modem != "":
		w.From = c.modem
	case c.why != "": // the SIM is elsewhere by now, or nobody has told of it since
		w.From, _, _ = strings.Cut(r.Pin, "@")
	}
	return w
}
