package twilio

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/queue"
)

// ErrNoAccount means that there is no account, or key of one, with this SID.
var ErrNoAccount = errors.New("no such Twilio account")

// Settings are what an account's owner chooses.
type Settings struct {
	SMSURL         string        // gets received texts; "": none are told
	StatusCallback string        // of messages that name none
	Modems         []string      // names and numbers: whose texts it gets; nil: of all
	AnyFrom        bool          // a From that is no modem's means any modem
	Dedup          time.Duration // the same text again within it answers with the first; 0: never
}

// maxDedup keeps what is remembered of texts short-lived.
const maxDedup = time.Hour

// maxURL is the longest address for callbacks.
const maxURL = 2000

func (s *Settings) check() error {
	for name, address := range map[string]string{"SMS URL": s.SMSURL, "status callback": s.StatusCallback} {
		if address != "" && !isURL(address) {
			return fmt.Errorf("the %s must be an address such as https://example.org/sms", name)
		}
	}
	if s.Dedup < 0 || s.Dedup > maxDedup {
		return fmt.Errorf("the dedup window can be from 0 to %s", maxDedup)
	}
	return nil
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= maxURL && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// Account is one that programs use with its SID and token, as they would one of
// Twilio.
type Account struct {
	SID   string
	KeyID string // the API key that says what it may do
	Settings
	token string
}

// takes tells whether it is told the texts that come to a modem.
func (a *Account) takes(modem, number string) bool {
	return a.Modems == nil || slices.Contains(a.Modems, modem) || slices.Contains(a.Modems, number)
}

// Accounts are the accounts in a database. Another process may change them in
// the same file: what it commits holds here at once.
type Accounts struct {
	db   *db.DB
	keys *auth.Keys
}

// NewAccounts returns the accounts of d, whose API keys are keys.
func NewAccounts(d *db.DB, keys *auth.Keys) *Accounts { return &Accounts{d, keys} }

// hexSID is a SID of ours: two letters and 128 random bits. Clients refuse any
// other form, and tokens that are not letters and digits only.
func hexSID(prefix string) string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails; it ends the program instead
	return prefix + hex.EncodeToString(b)
}

// Create makes an account with an API key of its own. The token can't be shown
// again.
func (a *Accounts) Create(ctx context.Context, key auth.Key, s Settings) (sid, token string, err error) {
	if err := s.check(); err != nil {
		return "", "", err
	}
	sid, token = hexSID("AC"), hexSID("")
	_, err = a.keys.CreateForeign(ctx, key, func(tx *db.Tx, key auth.Key) error {
		_, err := tx.Exec(`INSERT INTO twilio_accounts (sid, key_id, token) VALUES (?, ?, ?)`, sid, key.ID, token)
		return errors.Join(err, update(tx, sid, s))
	})
	if err != nil {
		return "", "", err
	}
	return sid, token, nil
}

// CreateKey makes a further key of an account, whose secret can't be shown again.
// It has the account's limits, and what it sends counts as the account's.
func (a *Accounts) CreateKey(ctx context.Context, account string, key auth.Key) (sid, secret string, err error) {
	of, err := a.Get(ctx, account)
	if err != nil {
		return "", "", err
	}
	own, err := a.keys.Get(ctx, of.KeyID)
	if err != nil {
		return "", "", err
	}
	key.Principal, key.Limits = own.Principal, own.Limits
	sid, secret = hexSID("SK"), hexSID("")
	_, err = a.keys.CreateForeign(ctx, key, func(tx *db.Tx, key auth.Key) error {
		_, err := tx.Exec(`INSERT INTO twilio_keys (sid, account, key_id, hash) VALUES (?, ?, ?, ?)`, sid, account, key.ID, digest(secret))
		return err
	})
	if err != nil {
		return "", "", err
	}
	return sid, secret, nil
}

func digest(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// Change changes an account's settings and returns them as they are then.
func (a *Accounts) Change(ctx context.Context, sid string, change func(*Settings)) (Settings, error) {
	if err := ctx.Err(); err != nil {
		return Settings{}, err
	}
	var s Settings
	err := a.db.Write(func(tx *db.Tx) error {
		account, err := selectAccount(tx, `sid = ?`, sid)
		if err != nil {
			return err
		}
		s = account.Settings
		change(&s)
		if err := s.check(); err != nil {
			return err
		}
		return update(tx, sid, s)
	})
	return s, err
}

func update(tx *db.Tx, sid string, s Settings) error {
	var modems string
	if s.Modems != nil {
		b, err := json.Marshal(s.Modems)
		if err != nil {
			return err
		}
		modems = string(b)
	}
	_, err := tx.Exec(`UPDATE twilio_accounts SET sms_url = ?, status_callback = ?, modems = ?, any_from = ?, dedup = ? WHERE sid = ?`,
		s.SMSURL, s.StatusCallback, modems, s.AnyFrom, s.Dedup.Milliseconds(), sid)
	return err
}

// Rotate gives an account another token, which can't be shown again. The one
// before ends at once, and callbacks are signed with the new one from then on.
func (a *Accounts) Rotate(ctx context.Context, sid string) (token string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	token = hexSID("")
	err = a.db.Write(func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE twilio_accounts SET token = ? WHERE sid = ?`, token, sid)
		if err == nil && n == 0 {
			err = ErrNoAccount
		}
		return err
	})
	return token, err
}

const accountColumns = `sid, key_id, token, sms_url, status_callback, modems, any_from, dedup`

func scanAccount(scan func(...any) error) (*Account, error) {
	var a Account
	var modems string
	var dedup int64
	err := scan(&a.SID, &a.KeyID, &a.token, &a.SMSURL, &a.StatusCallback, &modems, &a.AnyFrom, &dedup)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNoAccount
	}
	if err == nil && modems != "" {
		err = json.Unmarshal([]byte(modems), &a.Modems)
	}
	a.Dedup = time.Duration(dedup) * time.Millisecond
	return &a, err
}

func selectAccount(q db.Querier, where string, args ...any) (*Account, error) {
	return scanAccount(q.QueryRow(`SELECT `+accountColumns+` FROM twilio_accounts WHERE `+where, args...).Scan)
}

// Get returns the account with this SID, or ErrNoAccount.
func (a *Accounts) Get(ctx context.Context, sid string) (account *Account, err error) {
	err = a.db.Read(ctx, func(q db.Querier) error {
		account, err = selectAccount(q, `sid = ?`, sid)
		return err
	})
	if err != nil {
		return nil, err
	}
	return account, nil
}

// SIDs are the SIDs of all accounts and of their further keys, by the id of the
// API key behind each.
func (a *Accounts) SIDs(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	err := a.db.Read(ctx, func(q db.Querier) error {
		rows, err := q.Query(`SELECT key_id, sid FROM twilio_accounts UNION ALL SELECT key_id, sid FROM twilio_keys`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, sid string
			if err := rows.Scan(&id, &sid); err != nil {
				return err
			}
			all[id] = sid
		}
		return rows.Err()
	})
	return all, err
}

// keysOf are the API keys of an account, its own and the further ones.
func (a *Accounts) keysOf(ctx context.Context, account *Account) ([]string, error) {
	all := []string{account.KeyID}
	err := a.db.Read(ctx, func(q db.Querier) error {
		rows, err := q.Query(`SELECT key_id FROM twilio_keys WHERE account = ?`, account.SID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			all = append(all, id)
		}
		return rows.Err()
	})
	return all, err
}

// caller is who makes a request: an account, by one of its keys.
type caller struct {
	*Account
	key *auth.Key
}

// check finds the caller with these credentials; auth.ErrInvalid: there is none.
func (a *Accounts) check(ctx context.Context, user, password string) (*caller, error) {
	var account *Account
	keyID, match := "", 0
	err := a.db.Read(ctx, func(q db.Querier) (err error) {
		if !strings.HasPrefix(user, "SK") {
			if account, err = selectAccount(q, `sid = ?`, user); err == nil {
				keyID, match = account.KeyID, subtle.ConstantTimeCompare([]byte(account.token), []byte(password))
			}
			return err
		}
		var hash []byte
		var sid string
		err = q.QueryRow(`SELECT account, key_id, hash FROM twilio_keys WHERE sid = ?`, user).Scan(&sid, &keyID, &hash)
		if err != nil {
			return err
		}
		match = subtle.ConstantTimeCompare(hash, digest(password))
		account, err = selectAccount(q, `sid = ?`, sid)
		return err
	})
	switch {
	case errors.Is(err, ErrNoAccount), errors.Is(err, sql.ErrNoRows):
		return nil, auth.ErrInvalid
	case err != nil:
		return nil, err
	case match != 1:
		return nil, auth.ErrInvalid
	}
	key, err := a.keys.Foreign(ctx, keyID)
	if err == nil && keyID != account.KeyID { // a key is worth what its account is
		_, err = a.keys.Foreign(ctx, account.KeyID)
	}
	if err != nil {
		return nil, err
	}
	a.keys.Used(key)
	return &caller{account, key}, nil
}

// share is what of all messages the caller may see: with the scope read those of
// everybody, as with any API key, else those of the account.
func (a *Accounts) share(ctx context.Context, c *caller, whole bool) (*queue.Share, error) {
	if whole {
		return nil, nil
	}
	keys, err := a.keysOf(ctx, c.Account)
	return &queue.Share{Keys: keys, Modems: c.Modems}, err
}

// Restore makes the tables of a restored database fit to go on with. With
// replaced, the transaction sees the database that is replaced: its accounts
// stay, with the tokens and settings that they had last. It comes after auth.Restore.
func Restore(tx *db.Tx, replaced bool) error {
	if _, err := tx.Exec(`DELETE FROM twilio_recent`); err != nil || !replaced {
		return err
	}
	for _, query := range []string{
		`INSERT INTO twilio_accounts (` + accountColumns + `) SELECT ` + accountColumns + ` FROM replaced.twilio_accounts WHERE true
			ON CONFLICT (sid) DO UPDATE SET token = excluded.token, sms_url = excluded.sms_url, status_callback = excluded.status_callback,
				modems = excluded.modems, any_from = excluded.any_from, dedup = excluded.dedup`,
		`INSERT OR IGNORE INTO twilio_keys (sid, account, key_id, hash) SELECT sid, account, key_id, hash FROM replaced.twilio_keys`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}

// Erase is a queue.Eraser: it erases what is remembered of texts with the first
// that is young enough to be among them, or with a number. Whose they were can't be
// told from what is kept, and nobody misses it but a client that repeats itself just
// then.
func Erase(tx *db.Tx, e queue.Erasure, now time.Time) error {
	young := func(m queue.ErasedMessage) bool {
		u, err := ulid.ParseStrict(strings.TrimPrefix(m.ID, idPrefix))
		return err != nil || now.Sub(ulid.Time(u.Time())) <= maxDedup
	}
	if e.Number == "" && !slices.ContainsFunc(e.Messages, young) {
		return nil // the history forgets all day long
	}
	_, err := tx.Exec(`DELETE FROM twilio_recent`)
	return err
}

// Prune erases what is remembered of texts of accounts that send nothing more.
func (a *Accounts) Prune(now time.Time) error {
	return a.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM twilio_recent WHERE at < ? OR at > ?`, now.Add(-maxDedup).UnixMilli(), now.UnixMilli())
		return err
	})
}
