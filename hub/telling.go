package hub

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/mirror"
)

// toldWait is how long the stream may take to say that it has something; a gateway waits no
// longer either.
const toldWait = time.Minute

// telling hands what gateways tell on to the stream of events, in their order, and the
// stream's answers back. They do not put it there themselves, for JetStream answers whomever
// a message names, and its own subjects are commands: see permissions.
type telling struct {
	h      *Hub
	answer string // what the stream's answers come to, without the place
	mu     sync.Mutex
	next   uint64
	asked  map[uint64]asked // by place
}

// asked is something that the stream has not answered yet.
type asked struct {
	reply string // of the gateway
	at    time.Time
}

// handOn subscribes to what gateways tell. It ends with the context.
func (h *Hub) handOn(ctx context.Context) error {
	t := &telling{h: h, answer: nats.NewInbox() + ".", asked: map[uint64]asked{}}
	if _, err := h.nc.Subscribe(t.answer+"*", t.answered); err != nil {
		return err
	}
	if _, err := h.nc.Subscribe(mirror.Tell("*"), t.told); err != nil {
		return err
	}
	go t.forget(ctx)
	return nil
}

// told puts into the stream what a gateway tells. What has no room is refused as JetStream
// refuses too much at once: it is told again later, and more slowly.
func (t *telling) told(m *nats.Msg) {
	gateway := strings.Split(m.Subject, ".")[2] // the server has seen to it that it is who tells
	id := m.Header.Get(jetstream.MsgIDHeader)
	// An id that is another's would keep the other's from being taken.
	if !asksForItself(m, gateway) || id != "" && !strings.HasPrefix(id, gateway+".") {
		return
	}
	if err := t.h.db.Room(); err != nil {
		t.refuse(m, err)
		return
	}
	out := nats.NewMsg(mirror.EventSubject(gateway))
	if out.Data = m.Data; id != "" { // no other header: some are commands
		out.Header.Set(jetstream.MsgIDHeader, id)
	}
	t.mu.Lock()
	t.next++
	place := t.next
	t.asked[place] = asked{m.Reply, time.Now()}
	t.mu.Unlock()
	out.Reply = t.answer + strconv.FormatUint(place, 10)
	if err := t.h.nc.PublishMsg(out); err != nil {
		t.take(place)
		t.h.log.Debug("what a gateway tells did not get to the stream; it tells it again", "gateway", gateway, "error", err)
	}
}

func (t *telling) refuse(m *nats.Msg, why error) {
	type wrong struct {
		Code        int    `json:"code"`
		Description string `json:"description"`
	}
	b, err := json.Marshal(map[string]wrong{"error": {http.StatusTooManyRequests, why.Error()}})
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil {
		t.h.log.Debug("a gateway got no answer", "error", err)
	}
}

// answered hands the stream's answer to the gateway that waits for it, as it is.
func (t *telling) answered(m *nats.Msg) {
	place, err := strconv.ParseUint(m.Subject[len(t.answer):], 10, 64)
	if err != nil {
		return
	}
	a, ok := t.take(place)
	if !ok {
		return
	}
	if err := t.h.nc.PublishMsg(&nats.Msg{Subject: a.reply, Header: m.Header, Data: m.Data}); err != nil {
		t.h.log.Debug("a gateway got no answer; it tells the same again", "error", err)
	}
}

func (t *telling) take(place uint64) (asked, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, ok := t.asked[place]
	delete(t.asked, place)
	return a, ok
}

// forget forgets what was never answered.
func (t *telling) forget(ctx context.Context) {
	tick := time.NewTicker(toldWait)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			t.mu.Lock()
			for place, a := range t.asked {
				if now.Sub(a.at) > toldWait {
					delete(t.asked, place)
				}
			}
			t.mu.Unlock()
		}
	}
}
