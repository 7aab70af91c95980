package hub

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/sms"
)

// Registry is which gateways a hub has, in its database. It needs no running hub: one
// that runs looks into it from time to time.
type Registry struct {
	db   *db.DB
	now  func() time.Time
	keys keys
	// elsewhere is the account of a cluster that another operator runs; "": ours.
	elsewhere string
	pull      string // hub.pull: what new credentials let a gateway do
}

// OpenRegistry is the registry of a database. credentials are the file with the hub's
// own of a cluster that another operator runs, "": none does; pull is how gateways get their
// messages.
func OpenRegistry(d *db.DB, now func() time.Time, credentials, pull string) (*Registry, error) {
	r := &Registry{db: d, now: now, pull: pull}
	if credentials != "" {
		account, err := accountOf(credentials)
		if err != nil {
			return nil, fmt.Errorf("hub.nats_credentials_file: %w", err)
		}
		r.elsewhere = account
	}
	err := d.Write(func(tx *db.Tx) (err error) {
		r.keys, err = openKeys(tx)
		return err
	})
	return r, err
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// maxTitle bounds a title, and a group's name.
const maxTitle = 100

func checkTitle(title string) error {
	if len(title) > maxTitle || strings.ContainsFunc(title, unicode.IsControl) {
		return &sms.WrongGateway{Field: "title", Detail: fmt.Sprintf("must be one line of at most %d bytes", maxTitle)}
	}
	return nil
}

func checkGroup(group string) error {
	if group != "" && !nameForm.MatchString(group) {
		return &sms.WrongGateway{Field: "group", Detail: "must be up to 32 of a-z, 0-9 and -, beginning with a letter or a digit"}
	}
	return nil
}

// row is a gateway as the table has it.
type row struct {
	name, title, group string
	disabled           bool
	epoch              int64
	created, seen      time.Time
	hello              *mirror.HelloRequest
	log                string
	seq                int64
	configuration      *mirror.Configuration
	version, applied   int64
	appliedAt          time.Time
	configError        string
}

const columns = `name, title, grp, disabled, epoch, created_at, seen_at, hello, log, seq, configuration, version, applied, applied_at, config_error`

func scan(r interface{ Scan(...any) error }) (g row, err error) {
	var created int64
	var seen, appliedAt sql.NullInt64
	var hello, configuration sql.NullString
	err = r.Scan(&g.name, &g.title, &g.group, &g.disabled, &g.epoch, &created, &seen, &hello, &g.log, &g.seq, &configuration, &g.version, &g.applied, &appliedAt, &g.configError)
	if err != nil {
		return g, err
	}
	g.created, g.seen, g.appliedAt = time.UnixMilli(created), at(seen), at(appliedAt)
	if hello.Valid {
		g.hello = &mirror.HelloRequest{}
		if err := json.Unmarshal([]byte(hello.String), g.hello); err != nil {
			return g, fmt.Errorf("gateway %s: its last hello can't be read: %w", g.name, err)
		}
	}
	if configuration.Valid {
		g.configuration = &mirror.Configuration{}
		if err := json.Unmarshal([]byte(configuration.String), g.configuration); err != nil {
			return g, fmt.Errorf("gateway %s: its configuration can't be read: %w", g.name, err)
		}
	}
	return g, nil
}

func at(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64)
}

func load(r db.Querier, name string) (row, error) {
	g, err := scan(r.QueryRow(`SELECT `+columns+` FROM gateways WHERE name = ?`, name))
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%w: %s", sms.ErrNoGateway, name)
	}
	return g, err
}

func loadAll(r db.Querier) ([]row, error) {
	rows, err := r.Query(`SELECT ` + columns + ` FROM gateways ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []row
	for rows.Next() {
		g, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, rows.Err()
}

// Add takes a gateway in and returns its credentials, which are shown this once.
func (r *Registry) Add(name, title, group string) (credentials string, err error) {
	if !nameForm.MatchString(name) {
		return "", &sms.WrongGateway{Field: "name", Detail: "must be up to 32 of a-z, 0-9 and -, beginning with a letter or a digit; it stays the gateway's for good"}
	}
	if err := errors.Join(checkTitle(title), checkGroup(group)); err != nil {
		return "", err
	}
	key, credentials, err := r.keys.credentials(name, r.elsewhere, r.pull)
	if err != nil {
		return "", err
	}
	return credentials, r.db.Write(func(tx *db.Tx) error {
		now := r.now().UnixMilli()
		n, err := tx.Exec(`INSERT INTO gateways (name, title, grp, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, name, title, group, now)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: %s", sms.ErrGatewayExists, name)
		}
		_, err = tx.Exec(`INSERT INTO gateway_credentials (public_key, gateway, created_at) VALUES (?, ?, ?)`, key, name, now)
		return err
	})
}

// revoked are the keys that open nothing at that time, of all gateways. Those of one that
// is disabled do again when it is enabled.
func revoked(r db.Querier, now time.Time) (keys []string, err error) {
	rows, err := r.Query(`SELECT public_key FROM gateway_credentials WHERE revoked_at <= ?
		OR gateway IN (SELECT name FROM gateways WHERE disabled) ORDER BY public_key`, now.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// credentialsMade tells when the credentials were made that each gateway has now.
func credentialsMade(r db.Querier) (map[string]time.Time, error) {
	rows, err := r.Query(`SELECT gateway, max(created_at) FROM gateway_credentials GROUP BY gateway`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]time.Time{}
	for rows.Next() {
		var gateway string
		var ms int64
		if err := rows.Scan(&gateway, &ms); err != nil {
			return nil, err
		}
		all[gateway] = time.UnixMilli(ms)
	}
	return all, rows.Err()
}
