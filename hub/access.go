package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
)

// revoke tells the servers whose credentials open nothing. They put out at once who is
// connected with them.
func (h *Hub) revoke(ctx context.Context) error {
	h.revokeMu.Lock()
	defer h.revokeMu.Unlock()
	var out []string
	owners := map[string]string{}
	err := h.db.Read(ctx, func(r db.Querier) (err error) {
		if out, err = revoked(r, h.now()); err == nil {
			owners, err = keyOwners(r)
		}
		return err
	})
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.owners = owners
	h.mu.Unlock()
	if h.revokedLast != nil && slices.Equal(out, h.revokedLast) {
		return nil
	}
	claims, text, err := h.keys.accountClaims(out)
	if err != nil {
		return err
	}
	switch {
	case h.server != nil:
		account, err := h.server.LookupAccount(public(h.keys.account))
		if err != nil {
			return fmt.Errorf("NATS: %w", err)
		}
		_ = h.resolver.Store(public(h.keys.account), text)
		h.server.UpdateAccountClaims(account, claims)
	case h.elsewhere != "":
		if len(out) > 0 {
			h.log.Warn("the cluster's operator must revoke these credentials too: the hub can't, and until then they read what waits for their gateway", "keys", out, "advice", "nsc revocations add-user")
		}
	default:
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		m, err := h.system.RequestWithContext(ctx, "$SYS.REQ.CLAIMS.UPDATE", []byte(text))
		if err != nil {
			return fmt.Errorf("the NATS cluster was not told whose credentials are revoked: %w", err)
		}
		var answer struct {
			Error *struct{ Description string } `json:"error"`
		}
		if err := json.Unmarshal(m.Data, &answer); err != nil || answer.Error != nil {
			return fmt.Errorf("the NATS cluster did not take whose credentials are revoked: %s", m.Data)
		}
	}
	h.revokedLast = append([]string{}, out...)
	return nil
}

// keyOwners tells whose the keys are.
func keyOwners(r db.Querier) (map[string]string, error) {
	all := map[string]string{}
	rows, err := r.Query(`SELECT public_key, gateway FROM gateway_credentials`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key, gateway string
		if err := rows.Scan(&key, &gateway); err != nil {
			return nil, err
		}
		all[key] = gateway
	}
	return all, rows.Err()
}

// connect as the system account, which hears who comes and goes and may change accounts.
func (h *Hub) connectSystem(address string, options []nats.Option) error {
	if h.elsewhere != "" {
		return nil // its system account is its operator's
	}
	_, token, seed, err := user(h.keys.system, "", "hub", noLimits)
	if err != nil {
		return err
	}
	if h.system, err = nats.Connect(address, append(options, nats.UserJWTAndSeed(token, string(seed)))...); err != nil {
		return fmt.Errorf("NATS: %w", err)
	}
	return nil
}

// watchConnections notes which connections gateways have, so that one that ends is known
// at once. What is not heard of shows a minute later, when no hello comes. It is called
// before the hub answers anybody, for who dials in before that is not heard of.
func (h *Hub) watchConnections() error {
	if h.system == nil {
		return nil
	}
	account := "$SYS.ACCOUNT." + public(h.keys.account) + "."
	// By one subscription, so that nobody goes before he came.
	_, err := h.system.Subscribe(account+"*", func(m *nats.Msg) {
		switch strings.TrimPrefix(m.Subject, account) {
		case "CONNECT":
			h.connection(m.Data, true)
		case "DISCONNECT":
			h.connection(m.Data, false)
		}
	})
	if err == nil && h.system.IsConnected() {
		err = h.system.Flush()
	}
	return err
}

func (h *Hub) connection(data []byte, came bool) {
	var e struct {
		Server struct{ ID string }
		Client struct {
			ID   uint64
			User string
		}
	}
	if json.Unmarshal(data, &e) != nil {
		return
	}
	id := fmt.Sprintf("%s/%d", e.Server.ID, e.Client.ID)
	h.mu.Lock()
	gateway := h.owners[e.Client.User]
	k := h.known[gateway]
	if k == nil && came && e.Client.User != h.own { // added a moment ago, by another process
		h.mu.Unlock()
		if err := errors.Join(h.read(context.Background()), h.revoke(context.Background())); err != nil {
			h.log.Debug("whose a connection is could not be looked up", "error", err)
		}
		h.mu.Lock()
		gateway = h.owners[e.Client.User]
		k = h.known[gateway]
	}
	if k == nil {
		h.mu.Unlock()
		return
	}
	if k.connections == nil {
		k.connections = map[string]bool{}
	}
	if came {
		k.connections[id] = true
		h.mu.Unlock()
		return
	}
	// Another may be older than the one by which it speaks now.
	known := k.connections[id] || k.hello != nil && k.hello.Connection == id
	delete(k.connections, id)
	k.lost = k.lost || known && len(k.connections) == 0
	h.mu.Unlock()
	h.presence(gateway)
}

// forget takes a deleted gateway's consumer and what is left for it out of the streams.
func (h *Hub) forget(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := h.flow.pulls.Forget(ctx, name)
	var stream jetstream.Stream
	if err == nil {
		stream, err = h.js.Stream(ctx, mirror.Out(name))
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(mirror.OutSubject(name)))
	}
	if err != nil {
		return fmt.Errorf("gateway %s is deleted, but what waited for it is still in the stream: %w", name, err)
	}
	return nil
}

// names are the gateways, in order.
func (h *Hub) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.known))
}
