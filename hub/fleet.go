package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/sms"
)

// Gateways are all of them, by name.
func (h *Hub) Gateways(ctx context.Context) ([]sms.Gateway, error) {
	h.mu.Lock()
	all := make([]sms.Gateway, 0, len(h.known))
	for _, k := range h.known {
		all = append(all, h.shown(k))
	}
	h.mu.Unlock()
	slices.SortFunc(all, func(a, b sms.Gateway) int { return strings.Compare(a.Name, b.Name) })
	counts, err := h.queue.RelayCounts(ctx, "")
	for i := range all {
		c := counts[all[i].Name]
		all[i].Waiting, all[i].InLink, all[i].Stored = c.Waiting, c.InLink, c.Stored
	}
	return all, err
}

// Gateway is one of them.
func (h *Hub) Gateway(ctx context.Context, name string) (sms.Gateway, error) {
	h.mu.Lock()
	k := h.known[name]
	if k == nil {
		h.mu.Unlock()
		return sms.Gateway{}, fmt.Errorf("%w: %s", sms.ErrNoGateway, name)
	}
	g := h.shown(k)
	h.mu.Unlock()
	counts, err := h.queue.RelayCounts(ctx, name)
	c := counts[name]
	g.Waiting, g.InLink, g.Stored = c.Waiting, c.InLink, c.Stored
	return g, err
}

// Count tells how many gateways are connected, and how many there are.
func (h *Hub) Count() (connected, all int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for _, k := range h.known {
		if !k.disabled {
			all++
		}
		if k.online(now) {
			connected++
		}
	}
	return connected, all
}

// URL is what hub.url is on the gateways, as far as the hub can tell.
func (h *Hub) URL() string { return h.Address() }

// Wanted tells whether a message may name this: a gateway, or group: and the name of a
// group that has one.
func (h *Hub) Wanted(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	group, ok := strings.CutPrefix(name, "group:")
	if !ok {
		return h.known[name] != nil
	}
	for _, k := range h.known {
		if k.group == group && group != "" {
			return true
		}
	}
	return false
}

// Add takes a gateway in; its credentials are shown this once.
func (h *Hub) Add(ctx context.Context, n sms.NewGateway) (g sms.Gateway, credentials string, err error) {
	if credentials, err = h.Registry.Add(n.Name, n.Title, n.Group); err != nil {
		return g, "", err
	}
	if err := h.read(ctx); err != nil {
		return g, "", err
	}
	h.lookNow()
	g, err = h.Gateway(ctx, n.Name)
	return g, credentials, err
}

// Change changes what is not nil.
func (h *Hub) Change(ctx context.Context, name string, c sms.GatewayChange) (sms.Gateway, error) {
	if c.Title != nil {
		if err := checkTitle(*c.Title); err != nil {
			return sms.Gateway{}, err
		}
	}
	if c.Group != nil {
		if err := checkGroup(*c.Group); err != nil {
			return sms.Gateway{}, err
		}
	}
	err := h.db.Write(func(tx *db.Tx) error {
		g, err := load(tx, name)
		if err != nil {
			return err
		}
		if c.Title != nil {
			g.title = *c.Title
		}
		if c.Group != nil {
			g.group = *c.Group
		}
		if c.Disabled != nil {
			g.disabled = *c.Disabled
		}
		if _, err := tx.Exec(`UPDATE gateways SET title = ?, grp = ?, disabled = ? WHERE name = ?`, g.title, g.group, g.disabled, name); err != nil || c.Configuration == nil {
			return err
		}
		w := c.Configuration
		b, err := json.Marshal(mirror.Configuration{DefaultRegion: w.DefaultRegion, Name: w.Name, AlarmsSMSTo: w.AlarmsSMSTo, AlarmsMailTo: w.AlarmsMailTo, ChatRules: w.ChatRules})
		if err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE gateways SET configuration = ?, version = max(version, coalesce(applied, 0)) + 1, config_error = '' WHERE name = ?`, string(b), name)
		return err
	})
	if err == nil {
		err = h.refresh(ctx)
	}
	if err != nil {
		return sms.Gateway{}, err
	}
	h.presence(name)
	h.wake(name)
	return h.Gateway(ctx, name)
}

// Rotate makes new credentials; the ones before hold for overlap more.
func (h *Hub) Rotate(ctx context.Context, name string, overlap time.Duration) (string, error) {
	key, credentials, err := h.keys.credentials(name, h.elsewhere, h.pull)
	if err != nil {
		return "", err
	}
	err = h.db.Write(func(tx *db.Tx) error {
		if _, err := load(tx, name); err != nil {
			return err
		}
		now := h.now()
		until := now.Add(overlap).UnixMilli()
		if _, err := tx.Exec(`UPDATE gateway_credentials SET revoked_at = ?2 WHERE gateway = ?1 AND (revoked_at IS NULL OR revoked_at > ?2)`, name, until); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO gateway_credentials (public_key, gateway, created_at) VALUES (?, ?, ?)`, key, name, now.UnixMilli())
		return err
	})
	if err == nil {
		err = h.refresh(ctx)
	}
	return credentials, err
}

// Delete forgets a gateway that has no message any more which is not over.
func (h *Hub) Delete(ctx context.Context, name string) error {
	counts, err := h.queue.RelayCounts(ctx, name)
	if err != nil {
		return err
	}
	if c := counts[name]; c.Waiting+c.InLink+c.Stored > 0 {
		return fmt.Errorf("%w: gateway %s has %d messages that are not over; move them to another first: POST /v1/gateways/%s/move", sms.ErrGatewayBusy, name, c.Waiting+c.InLink+c.Stored, name)
	}
	err = h.db.Write(func(tx *db.Tx) error {
		if _, err := load(tx, name); err != nil {
			return err
		}
		now := h.now().UnixMilli()
		if _, err := tx.Exec(`UPDATE gateway_credentials SET revoked_at = ?2 WHERE gateway = ?1 AND (revoked_at IS NULL OR revoked_at > ?2)`, name, now); err != nil {
			return err
		}
		if err := forgetItems(tx, name); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM gateways WHERE name = ?`, name)
		return err
	})
	if err != nil {
		return err
	}
	if err := h.refresh(ctx); err != nil {
		return err
	}
	return h.forget(ctx, name)
}

// refresh takes the registry into memory, and has whoever is not to be there put out.
func (h *Hub) refresh(ctx context.Context) error {
	if err := h.read(ctx); err != nil {
		return err
	}
	h.lookNow()
	return h.revoke(ctx)
}
