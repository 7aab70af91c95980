package gateway

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"time"

	"gatewayd/db"
)

// known is what outlives the daemon about modems: which IMEI has which name,
// and which PINs are not to be entered again. It is a modem.PINs.
type known struct {
	db      *db.DB
	now     func() time.Time
	trusted func() bool
}

// knownModem is a modem that was here.
type knownModem struct {
	IMEI, Name, ICCID string
}

// keepKnown is how long a modem that does not come back is shown as absent.
const keepKnown = 90 * 24 * time.Hour

// modems lists those that were here lately.
func (k known) modems(ctx context.Context) ([]knownModem, error) {
	var all []knownModem
	since := k.now().Add(-keepKnown).UnixMilli()
	if !k.trusted() {
		since = 0
	}
	err := k.db.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT imei, name, iccid FROM known_modems WHERE seen_at > ? ORDER BY name`, since)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var m knownModem
			if err := rows.Scan(&m.IMEI, &m.Name, &m.ICCID); err != nil {
				return err
			}
			all = append(all, m)
		}
		return rows.Err()
	})
	return all, err
}

// remember keeps a modem's name. A name belongs to one modem, the newest; and a
// SIM that is in one is no longer in another.
func (k known) remember(m knownModem) error {
	return k.db.Write(func(tx *db.Tx) error {
		if _, err := tx.Exec(`DELETE FROM known_modems WHERE name = ? AND imei <> ?`, m.Name, m.IMEI); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE known_modems SET iccid = '' WHERE iccid = ? AND imei <> ?`, m.ICCID, m.IMEI); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO known_modems (imei, name, iccid, seen_at) VALUES (?,?,?,?)
			ON CONFLICT (imei) DO UPDATE SET name = excluded.name, iccid = excluded.iccid, seen_at = excluded.seen_at`,
			m.IMEI, m.Name, m.ICCID, k.now().UnixMilli())
		return err
	})
}

// forget drops a modem's name, how well it heard its network, and that its SIM refused a PIN.
func (k known) forget(name, sim string) error {
	return k.db.Write(func(tx *db.Tx) error {
		if _, err := tx.Exec(`DELETE FROM known_modems WHERE name = ?`, name); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM pins WHERE sim = ?`, sim); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM signal_history WHERE modem = ?`, name); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM tried_pins WHERE sim = ?`, sim)
		return err
	})
}

// give keeps a PIN that a person gave for a SIM.
func (k known) give(sim, pin string) error {
	return k.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT OR REPLACE INTO pins (sim, pin) VALUES (?,?)`, sim, pin)
		return err
	})
}

// Given is the PIN that a person gave for a SIM, "" if nobody did.
func (k known) Given(sim string) (pin string, err error) {
	err = k.db.Read(context.Background(), func(r db.Querier) error {
		err := r.QueryRow(`SELECT pin FROM pins WHERE sim = ?`, sim).Scan(&pin)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return pin, err
}

func pinHash(sim, pin string) []byte {
	h := sha256.Sum256([]byte(sim + "\x00" + pin))
	return h[:]
}

// Tried tells whether the PIN was entered before and not accepted.
func (k known) Tried(sim, pin string) (bool, error) {
	n := 0
	err := k.db.Read(context.Background(), func(r db.Querier) error {
		return r.QueryRow(`SELECT count(*) FROM tried_pins WHERE sim = ? AND pin = ?`, sim, pinHash(sim, pin)).Scan(&n)
	})
	return n > 0, err
}

// Try notes that the PIN is about to be entered.
func (k known) Try(sim, pin string) error {
	return k.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT OR REPLACE INTO tried_pins (sim, pin, tried_at) VALUES (?,?,?)`, sim, pinHash(sim, pin), k.now().UnixMilli())
		return err
	})
}

// Accepted notes that it was right.
func (k known) Accepted(sim, pin string) error {
	return k.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM tried_pins WHERE sim = ? AND pin = ?`, sim, pinHash(sim, pin))
		return err
	})
}
