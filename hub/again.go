package hub

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatewayd/mirror"
)

// againWait is how long a hello waits for what the connection before has lost; what takes
// longer comes after handAgainAfter.
const againWait = 3 * time.Second

// begun hears that a gateway speaks by another connection than before. The one before is
// ended, where the server has not noticed that it is dead: what waits there for messages
// would be given the next ones. What went out by it and was not acknowledged is handed out
// again now, for most of it got lost there; the rest the gateway knows by its id.
func (h *Hub) begun(ctx context.Context, gateway, before string) {
	ctx, cancel := context.WithTimeout(ctx, againWait)
	defer cancel()
	server, client, _ := strings.Cut(before, "/")
	if id, err := strconv.ParseUint(client, 10, 64); err == nil && h.system != nil && h.its(gateway, before) {
		if _, err := h.system.RequestWithContext(ctx, "$SYS.REQ.SERVER."+server+".KICK", fmt.Appendf(nil, `{"cid":%d}`, id)); err != nil {
			h.log.Debug("a gateway's connection from before could not be ended", "gateway", gateway, "error", err)
		}
	}
	h.handAgain(ctx, gateway)
}

// its tells whether a connection is a gateway's by the word of the server that has it: a gateway
// may name any.
func (h *Hub) its(gateway, connection string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.known[gateway]
	return k != nil && k.connections[connection]
}

// handAgain waits for as long as the context lets it and goes on behind it: a cluster that
// elects answers later.
func (h *Hub) handAgain(ctx context.Context, gateway string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handAgainAfter)
		defer cancel()
		err := h.flow.pulls.Again(ctx, gateway)
		for err != nil && h.nc.IsConnected() && sleep(ctx, askAgain) {
			err = h.flow.pulls.Again(ctx, gateway)
		}
		if err != nil {
			h.log.Debug("what a gateway was handed comes again later", "gateway", gateway, "after", handAgainAfter, "error", err)
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Again says for the gateway that it does not have what it was handed. The stream loses what
// is acknowledged, so that is all which stands there up to what was delivered.
func (c *consumers) Again(ctx context.Context, gateway string) error {
	info, err := c.info(ctx, gateway)
	if err != nil || info.NumAckPending == 0 {
		return err
	}
	for seq := info.AckFloor.Stream + 1; seq <= info.Delivered.Stream; seq++ {
		m, err := readAt(ctx, c.js.Conn(), mirror.Out(gateway), seq, mirror.OutSubject(gateway))
		if err != nil || m == nil || m.Sequence > info.Delivered.Stream {
			return err
		}
		seq = m.Sequence
		// As the reply address of a delivered message is made up: times delivered, place in the
		// stream, place in the consumer, time, how many are pending. Servers look the message up
		// by its place in the stream, and want the other to be one that was delivered.
		ack := fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.0.0", mirror.Out(gateway), mirror.Consumer(gateway), seq, info.Delivered.Consumer)
		if err := c.js.Conn().Publish(ack, []byte("-NAK")); err != nil {
			return err
		}
	}
	return nil
}

// Again forgets what the gateway was handed.
func (r *requests) Again(_ context.Context, gateway string) error {
	h := r.get(gateway)
	r.mu.Lock()
	if h.over != nil {
		h.over() // it holds the lock while it waits
	}
	r.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	for seq := range h.taken {
		h.next = min(h.next, seq)
	}
	clear(h.taken)
	return nil
}
