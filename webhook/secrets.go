package webhook

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// secret signs; until is when it no longer does, zero: always.
type secret struct {
	text  string // whsec_…; "" of the configuration, whose file has it
	key   []byte
	until time.Time
}

// secrets are an endpoint's, the newest first.
type secrets []secret

func forever(keys [][]byte) (all secrets) {
	for _, k := range keys {
		all = append(all, secret{key: k})
	}
	return all
}

// keys are those that sign now.
func (all secrets) keys(now time.Time) (keys [][]byte) {
	for _, s := range all {
		if s.until.IsZero() || now.Before(s.until) {
			keys = append(keys, s.key)
		}
	}
	return keys
}

// oldUntil is when the last of the older ones falls away, nil: there is none.
func (all secrets) oldUntil(now time.Time) *time.Time {
	var last *time.Time
	for _, s := range all {
		if s.until.After(now) && (last == nil || s.until.After(*last)) {
			at := s.until.UTC()
			last = &at
		}
	}
	return last
}

// callbackEndpoint stands for all that messages name themselves.
const callbackEndpoint = 0

func makeSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}

// loadSecrets reads an endpoint's secrets.
func (w *Webhooks) loadSecrets(endpoint int64) (all secrets, err error) {
	err = w.o.DB.Read(context.Background(), func(r db.Querier) error {
		rows, err := r.Query(`SELECT secret, until FROM webhook_secrets WHERE endpoint = ? ORDER BY row DESC`, endpoint)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s secret
			var until sql.NullInt64
			if err := rows.Scan(&s.text, &until); err != nil {
				return err
			}
			keys, err := parseSecrets(s.text)
			if err != nil {
				return err
			}
			if s.key = keys[0]; until.Valid {
				s.until = moment(until.Int64)
			}
			all = append(all, s)
		}
		return rows.Err()
	})
	return all, err
}

// MaxOverlap is how long an old secret may go on signing.
const MaxOverlap = 30 * 24 * time.Hour

// maxSecrets bounds how many sign one post.
const maxSecrets = 5

// errManyOld is what a rotation is told that would be one too many.
var errManyOld = queue.Conflict("several secrets sign already, as many as are allowed; rotate again once the overlap of one is over, or with overlap 0 to end the old ones at once")

// rotate puts a new secret in the place of the newest, which signs too for the
// overlap. So do older ones until their own end: whoever repeats a rotation whose
// answer got lost must not cut off a receiver that has the secret of before. With no
// overlap all of them go. It returns what is there then.
func rotate(tx *db.Tx, endpoint int64, now time.Time, all secrets, text string, overlap time.Duration) (secrets, error) {
	keys, err := parseSecrets(text)
	if err != nil {
		return nil, err
	}
	next := secrets{{text: text, key: keys[0]}}
	if overlap > 0 {
		for _, s := range all {
			if s.until.IsZero() {
				s.until = moment(ms(now.Add(overlap)))
			}
			if now.Before(s.until) {
				next = append(next, s)
			}
		}
	}
	if len(next) > maxSecrets {
		return nil, errManyOld
	}
	if _, err := tx.Exec(`DELETE FROM webhook_secrets WHERE endpoint = ? AND (until <= ? OR ?)`, endpoint, ms(now), overlap <= 0); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(`UPDATE webhook_secrets SET until = ? WHERE endpoint = ? AND until IS NULL`, ms(now.Add(overlap)), endpoint); err != nil {
		return nil, err
	}
	_, err = tx.Exec(`INSERT INTO webhook_secrets (endpoint, secret) VALUES (?, ?)`, endpoint, text)
	return next, err
}

// CallbackSecret is what signs the posts to callback URLs.
func (w *Webhooks) CallbackSecret(context.Context) (sms.CallbackSecret, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.callbacks) == 0 {
		return sms.CallbackSecret{}, nil
	}
	return sms.CallbackSecret{Secret: w.callbacks[0].text, OldUntil: w.callbacks.oldUntil(w.o.Now())}, nil
}

// RotateCallbackSecret makes a new one; the old signs too for the overlap.
func (w *Webhooks) RotateCallbackSecret(ctx context.Context, overlap time.Duration) (sms.CallbackSecret, error) {
	w.managing.Lock()
	defer w.managing.Unlock()
	err := w.o.DB.Write(func(tx *db.Tx) error {
		w.mu.Lock()
		all := w.callbacks
		w.mu.Unlock()
		next, err := rotate(tx, callbackEndpoint, w.o.Now(), all, makeSecret(), overlap)
		tx.OnCommit(func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.callbacks = next
			for _, e := range w.origins {
				s := *e.is()
				s.secrets = next
				e.settings.Store(&s)
			}
		})
		return err
	})
	if err != nil {
		return sms.CallbackSecret{}, err
	}
	return w.CallbackSecret(ctx)
}

// RotateSecret gives an endpoint that the API made a new secret and shows it;
// the old signs too for the overlap.
func (w *Webhooks) RotateSecret(ctx context.Context, id string, overlap time.Duration) (sms.Webhook, error) {
	w.managing.Lock()
	defer w.managing.Unlock()
	e, err := w.changeable(id)
	if err != nil {
		return sms.Webhook{}, err
	}
	text := makeSecret()
	err = w.o.DB.Write(func(tx *db.Tx) error {
		next, err := rotate(tx, e.id, w.o.Now(), e.is().secrets, text, overlap)
		tx.OnCommit(func() {
			s := *e.is()
			s.secrets = next
			e.settings.Store(&s)
		})
		return err
	})
	if err != nil {
		return sms.Webhook{}, err
	}
	shown, err := w.Webhook(ctx, id)
	shown.Secret = &text
	return shown, err
}
