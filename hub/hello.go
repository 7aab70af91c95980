package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/sms"
)

const (
	// keepSeen is how often a hello is written down that says nothing new.
	keepSeen = time.Minute
	// helloAtOnce is how many are answered at once, when all gateways come back together.
	helloAtOnce = 64
	// ofOneAtOnce is how much one gateway may ask at once: what it asks beyond that gets no
	// answer, and nobody else waits for it.
	ofOneAtOnce = 4
	// consentAtOnce is how many decisions stand in one answer.
	consentAtOnce = 1000
)

// answer subscribes to what gateways ask.
func (h *Hub) answer(ctx context.Context) error {
	turns := make(chan struct{}, helloAtOnce)
	var mu sync.Mutex
	asking := map[string]int{} // by gateway
	for subject, reply := range map[string]func(ctx context.Context, gateway string, data []byte) any{
		mirror.Hello("*"): h.hello, mirror.Who("*"): h.who,
	} {
		_, err := h.nc.Subscribe(subject, func(m *nats.Msg) {
			gateway := strings.Split(m.Subject, ".")[2] // the server has seen to it that it is who asks
			mu.Lock()
			free := asking[gateway] < ofOneAtOnce && asksForItself(m, gateway)
			if free {
				asking[gateway]++
			}
			mu.Unlock()
			if !free {
				return
			}
			turns <- struct{}{}
			go func() {
				defer func() {
					<-turns
					mu.Lock()
					defer mu.Unlock()
					if asking[gateway]--; asking[gateway] == 0 {
						delete(asking, gateway)
					}
				}()
				v := reply(ctx, gateway, m.Data)
				if v == nil {
					return
				}
				b, err := json.Marshal(v)
				if err == nil {
					err = m.Respond(b)
				}
				if err != nil {
					h.log.Debug("a gateway got no answer", "gateway", gateway, "error", err)
				}
			}()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// asksForItself tells whether an answer goes to the gateway that asks. NATS looks at what it
// publishes to, and not at where it wants the answer: the hub's own would go anywhere.
func asksForItself(m *nats.Msg, gateway string) bool {
	return strings.HasPrefix(m.Reply, mirror.InboxPrefix(gateway)+".")
}

// hello books what a gateway says of itself and answers what is wanted of it. nil: nothing
// is answered, and it asks again.
func (h *Hub) hello(ctx context.Context, gateway string, data []byte) any {
	q := &mirror.HelloRequest{}
	if err := json.Unmarshal(data, q); err != nil {
		h.log.Warn("a gateway's hello can't be read", "gateway", gateway, "error", cut(err.Error()))
		return nil
	}
	q.Version, q.ConfigError = cut(q.Version), cut(q.ConfigError)
	h.mu.Lock()
	k := h.known[gateway]
	h.mu.Unlock()
	if k == nil { // added a moment ago, by another process
		if err := h.read(ctx); err != nil {
			return nil
		}
	}
	if err := h.catchUp(ctx, gateway, q.Epoch); err != nil {
		h.log.Warn("a gateway's epoch could not be kept", "gateway", gateway, "error", err)
		return nil
	}
	answer, write, before := h.heard(gateway, q)
	if answer == nil {
		return nil
	}
	if q.Connection != before {
		h.begun(ctx, gateway, before)
	} else if q.Missed {
		go h.handAgain(ctx, gateway)
	}
	if write {
		if err := h.keepHello(gateway, q); err != nil {
			h.log.Warn("what a gateway said of itself could not be kept", "gateway", gateway, "error", err)
		}
	}
	changes, err := h.queue.ConsentAfter(ctx, q.Consent, consentAtOnce)
	if err != nil {
		h.log.Warn("a gateway was not told of decisions of numbers", "gateway", gateway, "error", err)
		return nil
	}
	if len(changes) == 0 && q.Consent > 0 {
		newest, err := h.queue.NewestConsent(ctx)
		if err != nil {
			h.log.Warn("a gateway was not told of decisions of numbers", "gateway", gateway, "error", err)
			return nil
		}
		answer.NewestConsent = &newest
	}
	for _, c := range changes {
		answer.Consent = append(answer.Consent, mirror.Consent{Seq: c.Seq, Number: c.Number, Stopped: c.Stopped, At: c.At, Reason: c.Reason, Wording: c.Wording})
	}
	return answer
}

// mostAhead is how far a gateway's epoch may be ahead of the hub's: that many moves no other
// hub has seen either, and one that says so would have none left for the hub to raise it to.
const mostAhead = 1 << 20

// catchUp has a gateway's epoch be no older than what the gateway has heard of, from another
// hub or from this one before it was deleted here: it would take whatever it is given for
// another's by now.
func (h *Hub) catchUp(ctx context.Context, gateway string, epoch int64) error {
	h.mu.Lock()
	k := h.known[gateway]
	if k == nil || k.disabled || k.epoch >= epoch {
		h.mu.Unlock()
		return nil
	}
	here := k.epoch
	h.mu.Unlock()
	if epoch-here > mostAhead {
		return fmt.Errorf("it says that its epoch is %d, and the hub knows of %d", epoch, here)
	}
	err := h.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE gateways SET epoch = max(epoch, ?) WHERE name = ?`, epoch, gateway)
		return err
	})
	if err != nil {
		return err
	}
	h.log.Info("a gateway has heard of a newer epoch than the hub knew; it holds from now on", "gateway", gateway, "epoch", epoch)
	return h.read(ctx)
}

// heard notes in memory that a gateway is there, and returns what it is to be told, without
// consent. write: what it says is to be kept; connection: by which it spoke before.
func (h *Hub) heard(gateway string, q *mirror.HelloRequest) (answer *mirror.HelloAnswer, write bool, connection string) {
	h.mu.Lock()
	k := h.known[gateway]
	if k == nil || k.disabled {
		h.mu.Unlock()
		return nil, false, ""
	}
	now, before := h.now(), k.hello
	was := k.online(now)
	write = !was || before == nil || now.Sub(k.kept) >= keepSeen || before.Configuration != q.Configuration || before.ConfigError != q.ConfigError ||
		before.Version != q.Version || before.Log != q.Log || before.Connection != q.Connection
	if before != nil {
		connection = before.Connection
	}
	if write {
		k.kept = now
	}
	k.hello, k.seen, k.heard, k.lost = q, now, true, false
	k.applied, k.configError = q.Configuration, q.ConfigError
	k.modems, k.alarms = read[sms.Modem](q.Modems), read[sms.Alarm](q.Alarms)
	prepared := k.prepared
	answer = &mirror.HelloAnswer{
		Name: gateway, Title: k.title, Group: k.group, Epoch: k.epoch, Lease: h.o.Lease.Seconds(), Window: h.o.Window, Now: now, PublicURL: h.o.PublicURL,
	}
	if h.o.Pull == PullRequest {
		answer.Pull = h.o.Pull
	}
	if !was {
		k.toldVersion = 0
	}
	if k.there == nil {
		k.there, k.leave = context.WithCancel(context.Background())
	}
	// One that could not be applied is not sent again before something changes.
	if k.configuration != nil && q.Configuration < k.version && (k.toldVersion < k.version || q.ConfigError == "") {
		wanted := *k.configuration
		wanted.Version = k.version
		answer.Configuration, k.toldVersion = &wanted, k.version
	}
	h.mu.Unlock()
	if !was {
		h.presence(gateway)
	}
	if !prepared {
		h.lookNow()
	}
	return answer, write, connection
}

// read reads a list that a gateway tells; what can't be read is none.
func read[T any](raw json.RawMessage) []T {
	var each []json.RawMessage // a short list of bytes may be a long one of things
	if err := json.Unmarshal(raw, &each); err != nil {
		return nil
	}
	all := make([]T, min(len(each), mostTold))
	for i := range all {
		if err := json.Unmarshal(each[i], &all[i]); err != nil {
			return nil
		}
	}
	return all
}

func (h *Hub) keepHello(gateway string, q *mirror.HelloRequest) error {
	b, err := json.Marshal(q)
	if err != nil {
		return err
	}
	return h.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE gateways SET seen_at = ?2, hello = ?3, config_error = ?5,
			applied_at = CASE WHEN applied = ?4 THEN applied_at ELSE ?2 END, applied = ?4 WHERE name = ?1`,
			gateway, h.now().UnixMilli(), string(b), q.Configuration, q.ConfigError)
		return err
	})
}

// who tells which numbers the internet reaches.
func (h *Hub) who(ctx context.Context, gateway string, data []byte) any {
	var q mirror.WhoRequest
	if err := json.Unmarshal(data, &q); err != nil || len(q.Numbers) > 1000 {
		return nil
	}
	a := mirror.WhoAnswer{People: make([]mirror.Presence, len(q.Numbers))}
	if h.o.Inbox != nil {
		a.People = h.o.Inbox.Who(ctx, q.Numbers)
	}
	return a
}

// online tells whether a gateway is there. Called with the hub's mu held.
func (k *known) online(now time.Time) bool {
	return k.heard && !k.lost && !k.disabled && now.Sub(k.seen) < mirror.AwayAfter
}

// presence looks at whether a gateway came or went, and tells it.
func (h *Hub) presence(gateway string) {
	h.mu.Lock()
	k := h.known[gateway]
	if k == nil {
		h.mu.Unlock()
		return
	}
	now := h.now()
	is := k.online(now)
	if !is && k.there != nil {
		k.leave()
		k.there = nil
	}
	if is == k.told {
		h.mu.Unlock()
		return
	}
	k.told = is
	if k.since = now; !is && !k.lost && !k.disabled {
		k.since = k.seen
	}
	g := h.shown(k)
	h.mu.Unlock()
	h.flow.lookAgain()
	h.log.Info("gateway state", "gateway", gateway, "state", string(g.State()))
	if err := h.queue.Append(sms.EventGatewayState, g, nil); err != nil {
		h.log.Error("a gateway's new state could not be written to the event log", "gateway", gateway, "error", err)
	}
	if is && h.o.Away != nil {
		h.o.Away(gateway, "", time.Time{})
	}
}

// lookAtPresence finds who went without a word, and for how long. It is called by
// keepLooking.
func (h *Hub) lookAtPresence() {
	type away struct {
		name, title string
		since       time.Time
	}
	h.mu.Lock()
	now := h.now()
	var changed []string
	var late []away
	there := map[string]bool{}
	for name, k := range h.known {
		there[name] = !k.disabled
		if k.online(now) != k.told {
			changed = append(changed, name)
		}
		// Who never said hello is being set up. After a start it is waited as long again.
		if !k.disabled && !k.seen.IsZero() && now.Sub(k.seen) >= h.o.AwayAfter && time.Since(h.began) >= min(h.o.AwayAfter, mirror.AwayAfter) && !k.online(now) {
			late = append(late, away{name, k.title, k.seen})
		}
	}
	h.mu.Unlock()
	for _, name := range changed {
		h.presence(name)
	}
	if h.o.Others != nil {
		h.o.Others(there)
	}
	if h.o.Away != nil {
		for _, a := range late {
			h.o.Away(a.name, a.title, a.since)
		}
	}
}

// shown is a gateway for people. Called with mu held.
func (h *Hub) shown(k *known) sms.Gateway {
	g := sms.Gateway{
		Name: k.name, Title: k.title, Group: k.group, Disabled: k.disabled, Connected: k.online(h.now()), Since: cmp.Or(k.since, k.seen), SeenAt: k.seen,
		Epoch: k.epoch, CreatedAt: k.created, CredentialsAt: k.credentialsAt, Modems: slices.Clone(k.modems), Alarms: slices.Clone(k.alarms),
		Configuration: sms.GatewayConfiguration{Version: k.version, Applied: k.applied, Error: k.configError},
	}
	if q := k.hello; q != nil {
		g.Version, g.Uptime, g.ClockTrusted, g.Rings = q.Version, time.Duration(q.Uptime*float64(time.Second)), q.ClockTrusted, q.Rings
	}
	if c := k.configuration; c != nil {
		g.Configuration.Wanted = sms.GatewaySettings{DefaultRegion: c.DefaultRegion, Name: c.Name, AlarmsSMSTo: c.AlarmsSMSTo, AlarmsMailTo: c.AlarmsMailTo, ChatRules: c.ChatRules}
	}
	return g
}

// wake has gateways say hello now: one, or with "" all.
func (h *Hub) wake(gateway string) {
	if gateway != "" {
		_ = h.nc.Publish(mirror.Wake(gateway), nil) // a hint: it says hello by itself
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for name := range h.known {
		_ = h.nc.Publish(mirror.Wake(name), nil)
	}
}

// tellConsent wakes all gateways when numbers have decided something since it looked last.
func (h *Hub) tellConsent(ctx context.Context) {
	h.consentMu.Lock()
	defer h.consentMu.Unlock()
	changed := false
	for {
		some, err := h.queue.ConsentAfter(ctx, h.consent, consentAtOnce)
		if err != nil || len(some) == 0 {
			break
		}
		h.consent, changed = some[len(some)-1].Seq, true
	}
	if changed {
		h.wake("")
	}
}
