package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
)

// changePull makes the streams fit hub.pull, where that was changed: JetStream keeps what a
// stream does with acknowledged messages for as long as it has the stream. While something is
// under way that is refused, for with the stream goes the knowledge of what was handed out.
func (h *Hub) changePull(ctx context.Context) error {
	if !h.nc.IsConnected() {
		return nil // a cluster that is away; a stream that does not fit is told of later
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for shard := range mirror.Shards {
		name := mirror.OutOf(shard)
		s, err := mirror.Ask(ctx, h.nc, askAgain, func(ctx context.Context) (jetstream.Stream, error) { return h.js.Stream(ctx, name) })
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			h.log.Warn("whether the streams fit hub.pull is not known now", "error", err)
			return nil
		}
		info := s.CachedInfo()
		if info.Config.Retention == h.retention() {
			continue
		}
		under := int(info.State.Msgs)
		var gateways []string
		for _, p := range h.places() {
			if mirror.Out(p.name) != name {
				continue
			}
			gateways = append(gateways, p.name)
			n, err := h.flow.gap(ctx, p.name)
			if err != nil {
				return err
			}
			under = max(under, n)
		}
		if under > 0 {
			return fmt.Errorf("hub.pull was changed while messages are on their way to gateways (%d in the stream %s): set it back, wait until gatewayd hub gateways shows none in the link, or move them, and change it then", under, name)
		}
		if err := h.js.DeleteStream(ctx, name); err != nil {
			return fmt.Errorf("hub.pull was changed, and the stream %s can't be made anew: %w", name, err)
		}
		if err := h.db.Write(func(tx *db.Tx) error { // places of the next stream begin with 1
			for _, g := range gateways {
				if _, err := tx.Exec(`DELETE FROM hub_pulls WHERE gateway = ?`, g); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		h.log.Info("hub.pull was changed; the stream is made anew", "stream", name)
	}
	return nil
}
