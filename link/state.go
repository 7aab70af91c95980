package link

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatewayd/db"
)

// state is what outlives a restart.
type state struct {
	name          string // this gateway's, @ and the account of its hub
	log           int64
	clustered     bool
	consent       int64
	configuration int64
	lease         time.Duration
	publicURL     string
	stopPages     int64
	stopAfter     string
	stopsTold     bool
}

func readState(ctx context.Context, d *db.DB) (s state, err error) {
	var lease int64
	err = d.Read(ctx, func(r db.Querier) error {
		err := r.QueryRow(`SELECT name, log, clustered, consent, configuration, lease, public_url, stop_pages, stop_after, stops_told FROM hub_link`).
			Scan(&s.name, &s.log, &s.clustered, &s.consent, &s.configuration, &lease, &s.publicURL, &s.stopPages, &s.stopAfter, &s.stopsTold)
		if errors.Is(err, sql.ErrNoRows) {
			s, err = state{log: 1}, nil
		}
		return err
	})
	s.lease = time.Duration(lease) * time.Millisecond
	return s, err
}

func (s state) write(tx *db.Tx) error {
	_, err := tx.Exec(`INSERT OR REPLACE INTO hub_link (one, name, log, clustered, consent, configuration, lease, public_url, stop_pages, stop_after, stops_told)
		VALUES (1,?,?,?,?,?,?,?,?,?,?)`, s.name, s.log, s.clustered, s.consent, s.configuration, s.lease.Milliseconds(), s.publicURL, s.stopPages, s.stopAfter, s.stopsTold)
	return err
}

// changeTx changes the state in the caller's transaction. Whoever reads it meanwhile sees
// the new one, or after a failed commit the old one again.
func (l *Link) changeTx(tx *db.Tx, f func(*state)) error {
	l.mu.Lock()
	before := l.state
	f(&l.state)
	now := l.state
	l.mu.Unlock()
	tx.OnRollback(func() {
		l.mu.Lock()
		l.state = before
		l.mu.Unlock()
	})
	if now == before {
		return nil
	}
	return now.write(tx)
}

func (l *Link) change(f func(*state)) error {
	l.mu.Lock()
	after := l.state
	f(&after)
	same := after == l.state
	l.mu.Unlock()
	if same {
		return nil
	}
	return l.o.DB.Write(func(tx *db.Tx) error { return l.changeTx(tx, f) })
}

func (l *Link) kept() state {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// called notes the name in the credentials, and whose they are. Others than before are of
// another gateway to its hub, or of another hub: all begins anew. Nothing but the account
// tells two hubs apart that call a gateway the same.
func (l *Link) called(c credentials) error {
	was, is := l.kept().name, c.name+"@"+c.account
	if was != is {
		if was != "" {
			l.o.Log.Warn("the credentials are of another gateway than before, or of another hub; the hub is told everything anew", "name", c.name, "before", nameOf(was))
		}
		err := l.change(func(s *state) { *s = state{name: is, log: s.log + 1} })
		if err != nil {
			return fmt.Errorf("the gateway's name could not be stored: %w", err)
		}
	}
	l.mu.Lock()
	l.status.Name = c.name
	l.mu.Unlock()
	return nil
}

// nameOf is the name in a state's.
func nameOf(of string) string {
	name, _, _ := strings.Cut(of, "@")
	return name
}

// Restored has a restored database tell the hub its stop list anew: what the replaced one
// had told since the backup, nobody here knows.
func Restored(tx *db.Tx) error {
	_, err := tx.Exec(`UPDATE hub_link SET stop_pages = 0, stop_after = '', stops_told = 0`)
	return err
}
