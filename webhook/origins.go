package webhook

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"gatewayd/db"
	"gatewayd/sms"
)

// Messages may name thousands of URLs. All that are at one origin, which is a
// scheme, host and port, are an endpoint of its own: its trouble is its own. It
// has no goroutine but while it has something to do now, is in memory only while
// something waits for it, and all together have so many attempts under way. Those
// that fail have slots of their own, so a thousand that hang delay no other.
const (
	healthyCallbacks = 128
	failingCallbacks = 32
)

// callbacks names the callback_url of messages.
type callbacks struct{}

// Idle implements Idler: the first message that names a URL ends that.
func (callbacks) Idle(db.Querier) (bool, error) { return true, nil }

func (callbacks) Targets(_ db.Querier, e *sms.Event) ([]Target, error) {
	// Most have none, which is seen without reading all of it.
	if e.Message == "" || !bytes.Contains(e.Data, []byte(`"callback_url":"`)) {
		return nil, nil
	}
	var m struct {
		URL string `json:"callback_url"`
	}
	if err := json.Unmarshal(e.Data, &m); err != nil || m.URL == "" {
		return nil, err
	}
	return []Target{{URL: m.URL}}, nil
}

// originOf is the origin of a URL, and its host for people; "": there is none.
func originOf(raw string) (origin, host string) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", ""
	}
	host = strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + host + ":" + port, host
}

func hostOf(raw string) string {
	if isMail(raw) {
		return raw[len("mailto:"):]
	}
	_, host := originOf(raw)
	return host
}

// CheckCallback says what is wrong with a message's callback_url, "" if nothing is.
func (w *Webhooks) CheckCallback(raw string) string {
	if isMail(raw) {
		return "must be an http or https URL"
	}
	if err := checkURL(raw, w.variable.Load().mail != nil, w.o.AllowPrivate, PrivateSwitch+": true in the configuration"); err != nil {
		return err.Error()
	}
	return ""
}

// originRow returns the endpoint row of a target's origin.
func (s *store) originRow(tx *db.Tx, t Target) (id int64, err error) {
	origin, host := originOf(t.URL)
	if origin == "" {
		return 0, errNoOrigin
	}
	identity := "origin " + origin
	err = tx.QueryRow(`SELECT id FROM webhook_endpoints WHERE identity = ?`, identity).Scan(&id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	_, err = tx.Exec(`INSERT INTO webhook_endpoints (identity, name, url_hash, kind, created_at) VALUES (?, ?, '', ?, ?)`,
		identity, host, ofOrigin, ms(s.now()))
	if err != nil {
		return 0, err
	}
	return id, tx.QueryRow(`SELECT id FROM webhook_endpoints WHERE identity = ?`, identity).Scan(&id)
}

var errNoOrigin = errors.New("its url has no host")

// knows reports whether an event that is read again has its delivery.
func (s *store) knows(q db.Querier, e *sms.Event, t Target, again bool) (known bool, err error) {
	if !again {
		return false, nil
	}
	var id int64
	origin, _ := originOf(t.URL)
	err = q.QueryRow(`SELECT id FROM webhook_endpoints WHERE identity = ?`, "origin "+origin).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err == nil {
		err = q.QueryRow(`SELECT EXISTS (SELECT 1 FROM webhook_deliveries WHERE id = ?)`, s.deliveryID(id, e, t)).Scan(&known)
	}
	return known, err
}

// callbacksWait reports whether anything is kept for what messages named.
func (s *store) callbacksWait() (waits bool, err error) {
	err = s.db.Read(context.Background(), func(r db.Querier) error {
		return r.QueryRow(`SELECT EXISTS (SELECT 1 FROM webhook_deliveries WHERE state IN ('pending', 'failed') AND url IS NOT NULL)`).Scan(&waits)
	})
	return waits, err
}

// origin pokes the endpoint of an origin.
func (w *Webhooks) origin(id int64, name string) {
	for {
		w.mu.Lock()
		e := w.origins[id]
		if e == nil {
			e = w.newEndpoint(ofOrigin, name, settings{secrets: w.callbacks})
			e.id = id
			w.origins[id] = e
		}
		w.mu.Unlock()
		if e.poke() {
			return
		}
	}
}

// forget drops an origin that nothing waits for.
func (w *Webhooks) forget(e *endpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.origins[e.id] == e {
		delete(w.origins, e.id)
	}
}

// wakeOrigins begins with what waits for origins since the last run.
func (w *Webhooks) wakeOrigins(ctx context.Context) error {
	type origin struct {
		id   int64
		name string
	}
	var all []origin
	err := w.o.DB.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT id, name FROM webhook_endpoints e WHERE kind = ?
			AND EXISTS (SELECT 1 FROM webhook_deliveries WHERE endpoint = e.id AND head = 1)`, ofOrigin)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var o origin
			if err := rows.Scan(&o.id, &o.name); err != nil {
				return err
			}
			all = append(all, o)
		}
		return rows.Err()
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("what waits for callback URLs: %w", err)
	}
	for _, o := range all {
		w.origin(o.id, o.name)
	}
	return nil
}

// enter takes a slot for an attempt; nil: ctx is over, or the endpoint was poked
// and should look anew.
func (e *endpoint) enter(ctx context.Context) (leave func()) {
	if e.kind != ofOrigin {
		return func() {}
	}
	slots := e.w.slots[0]
	if e.trouble.goesOn() {
		slots = e.w.slots[1]
	}
	select {
	case slots <- struct{}{}:
		return func() { <-slots }
	case <-ctx.Done():
		return nil
	}
}
