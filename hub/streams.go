package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/sms"
)

// lookAtRegistry is how often the hub looks whether somebody else has changed it.
const lookAtRegistry = 2 * time.Second

// perGateway is how many messages wait for one gateway, at most.
const perGateway = 100_000

// keepLooking follows the registry, which other processes change too, and has streams and
// consumers where they are needed.
func (h *Hub) keepLooking(ctx context.Context) {
	tick := time.NewTicker(lookAtRegistry)
	defer tick.Stop()
	said := ""
	for {
		err := h.read(ctx)
		if err == nil {
			h.lookAtPresence()
			h.tellConsent(ctx)
			err = errors.Join(h.revoke(ctx), h.prepare(ctx))
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			said = ""
		case said != err.Error():
			said = err.Error()
			h.log.Warn("the hub's streams are not ready; it tries again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.look:
		}
	}
}

// read takes the registry into memory. One at a time: an older look at it that is taken in
// later would forget who came in between.
func (h *Hub) read(ctx context.Context) error {
	h.reading.Lock()
	defer h.reading.Unlock()
	var all []row
	made := map[string]time.Time{}
	err := h.db.Read(ctx, func(r db.Querier) (err error) {
		if all, err = loadAll(r); err == nil {
			made, err = credentialsMade(r)
		}
		return err
	})
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	there := map[string]bool{}
	for _, g := range all {
		there[g.name] = true
		k, ok := h.known[g.name]
		if !ok {
			k = &known{}
			if g.hello != nil {
				k.modems, k.alarms = read[sms.Modem](g.hello.Modems), read[sms.Alarm](g.hello.Alarms)
			}
			h.known[g.name] = k
		}
		if k.seen.After(g.seen) { // what is in the row is kept from time to time
			g.seen, g.hello, g.applied, g.configError = k.seen, k.hello, k.applied, k.configError
		}
		if g.version > k.version {
			g.configError = ""
		}
		k.row, k.credentialsAt = g, made[g.name]
	}
	for name, k := range h.known {
		if !there[name] {
			if k.there != nil {
				k.leave()
			}
			delete(h.known, name)
		}
	}
	return nil
}

// prepare makes the streams and consumers that are not known to be there.
func (h *Hub) prepare(ctx context.Context) error {
	if err := h.eventStream(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	var todo []string
	for name, k := range h.known {
		if !k.prepared {
			todo = append(todo, name)
		}
	}
	h.mu.Unlock()
	for _, name := range todo {
		if err := h.prepareGateway(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// eventStream has the stream of what gateways tell. The hub takes out what it has booked,
// many at once: one that goes by being acknowledged costs a sync of the disk for itself.
func (h *Hub) eventStream(ctx context.Context) error {
	return h.stream(ctx, jetstream.StreamConfig{Name: mirror.Events, Subjects: []string{mirror.EventSubject("*")}, Retention: jetstream.LimitsPolicy})
}

// prepareGateway has a gateway's stream and its consumer.
func (h *Hub) prepareGateway(ctx context.Context, name string) error {
	if err := h.outStream(ctx, name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := h.flow.pulls.Prepare(ctx, name); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.known[name]; k != nil {
		k.prepared = true
	}
	return nil
}

// outStream has the stream of the shard that a gateway belongs to.
func (h *Hub) outStream(ctx context.Context, name string) error {
	return h.stream(ctx, jetstream.StreamConfig{
		Name: mirror.Out(name), Subjects: []string{mirror.OutSubjects(name)}, Retention: h.retention(),
		Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, MaxMsgsPerSubject: perGateway, AllowDirect: true,
	})
}

// Codes of JetStream: a cluster has too few servers for that many replicas, or a stream that
// is there can't be changed like that.
const (
	tooFewServers     = 10005
	replicasForbidden = 10074
	notChanged        = 10052
)

// stream makes one if it is not there: with three replicas where there are three servers.
func (h *Hub) stream(ctx context.Context, c jetstream.StreamConfig) error {
	h.making.Lock() // two are after the stream of events
	defer h.making.Unlock()
	h.mu.Lock()
	there := h.streams[c.Name]
	h.mu.Unlock()
	if there {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c.Storage, c.Duplicates = jetstream.FileStorage, 2*time.Minute
	c.Replicas = 3
	if h.server != nil {
		c.Replicas = 1
	}
	have := func() error {
		_, err := mirror.Ask(ctx, h.nc, askAgain, func(ctx context.Context) (jetstream.Stream, error) { return h.js.CreateOrUpdateStream(ctx, c) })
		return err
	}
	err := have()
	var refused *jetstream.APIError
	if errors.As(err, &refused) && (refused.ErrorCode == tooFewServers || refused.ErrorCode == replicasForbidden) {
		// One that is there stays on as many as it is: a server that is away comes back.
		if _, none := h.js.Stream(ctx, c.Name); none != nil {
			h.log.Warn("NATS has fewer than three servers, so one alone holds this stream until the hub connects to NATS anew", "stream", c.Name, "error", err)
			c.Replicas = 1
			err = have()
		} else {
			err = nil
		}
	}
	if refused != nil && refused.ErrorCode == notChanged {
		return fmt.Errorf("the stream %s can't be what it is to be, perhaps for hub.pull was changed: start the hub anew (%w)", c.Name, err)
	}
	if err != nil {
		return fmt.Errorf("the stream %s: %w", c.Name, err)
	}
	h.mu.Lock()
	h.streams[c.Name] = true
	h.mu.Unlock()
	return nil
}
