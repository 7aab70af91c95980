package hub

import (
	"context"
	"encoding/json"
	"errors"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
)

// arrive books a message that a gateway received. While the inbound ring is full it is kept
// beside it: what becomes of messages that were sent, and what other gateways tell, must not
// wait for webhooks that take nothing.
func (h *Hub) arrive(tx *db.Tx, gateway string, a mirror.Arrived) error {
	var before bool
	if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM hub_arrivals WHERE gateway = ?)`, gateway).Scan(&before); err != nil {
		return err
	}
	if !before {
		if err := h.enter(tx, gateway, a); !errors.Is(err, queue.ErrInboundFull) {
			return err
		}
	}
	if err := h.db.Room(); err != nil {
		return err
	}
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT OR IGNORE INTO hub_arrivals (gateway, message, arrived) VALUES (?, ?, ?)`, gateway, a.Message.ID, string(b)); err != nil {
		return err
	}
	tx.OnCommit(func() {
		signal(h.kept)
		if !before {
			h.log.Warn("the inbound ring is full: what this gateway receives is kept beside it until webhooks take what is there", "gateway", gateway)
		}
	})
	return nil
}

// enter stores a message that a gateway received in the inbound ring, and tells the gateway
// the address of its slot.
func (h *Hub) enter(tx *db.Tx, gateway string, a mirror.Arrived) error {
	address, err := h.queue.ArriveTx(tx, gateway, queue.Arrived{Message: a.Message, SIM: a.SIM, Mirror: a.Mirror, Dialled: a.Dialled, Answered: a.Answered})
	if err != nil {
		return err
	}
	return h.PutTx(tx, gateway, mirror.Item{Receipts: []mirror.Receipt{{ID: a.Message.ID, Address: &address}}})
}

// enteredAtOnce is how many messages one commit takes into the inbound ring.
const enteredAtOnce = 100

// enterKept has what is kept enter the ring as room comes, until the context ends.
func (h *Hub) enterKept(ctx context.Context) {
	for at := enteredAtOnce; ; {
		entered, left, err := h.enterSome(at)
		switch {
		case err == nil && entered > 0:
			at = enteredAtOnce
			continue
		case err != nil && at > 1:
			at = 1 // by itself one that can't be booked holds up nobody
			continue
		case err != nil && !passing(err):
			h.log.Error("what a gateway received can't be booked; it was put aside in the table gateway_unreadable", "error", cut(err.Error()))
			if err := h.db.Write(h.putKeptAside(err)); err == nil {
				continue
			}
		}
		if left || err != nil {
			if sleepFor(ctx, tryAgain); ctx.Err() != nil {
				return
			}
			continue
		}
		select {
		case <-h.kept:
		case <-ctx.Done():
			return
		}
	}
}

// enterSome has the oldest enter the ring, as far as it has room; left tells whether some
// are kept still.
func (h *Hub) enterSome(most int) (entered int, left bool, err error) {
	err = h.queue.Do(func(tx *db.Tx) error {
		entered, left = 0, false
		type row struct {
			id               int64
			gateway, arrived string
		}
		var all []row
		rows, err := tx.Query(`SELECT id, gateway, arrived FROM hub_arrivals ORDER BY id LIMIT ?`, most)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.id, &r.gateway, &r.arrived); err != nil {
				return err
			}
			all = append(all, r)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, r := range all {
			var a mirror.Arrived
			if err := json.Unmarshal([]byte(r.arrived), &a); err != nil {
				return err
			}
			err := h.enter(tx, r.gateway, a)
			if errors.Is(err, queue.ErrInboundFull) {
				left = true
				return nil
			}
			if err == nil {
				_, err = tx.Exec(`DELETE FROM hub_arrivals WHERE id = ?`, r.id)
			}
			if err != nil {
				return err
			}
			entered++
		}
		return nil
	})
	return entered, left, err
}

// putKeptAside takes the oldest away from what is kept, for somebody to look at.
func (h *Hub) putKeptAside(why error) func(tx *db.Tx) error {
	return func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO gateway_unreadable (gateway, at, log, seq, event, error)
			SELECT gateway, ?, '', 0, CAST(arrived AS BLOB), ? FROM hub_arrivals ORDER BY id LIMIT 1`, h.now().UnixMilli(), cut(why.Error()))
		if err == nil {
			_, err = tx.Exec(`DELETE FROM hub_arrivals WHERE id = (SELECT min(id) FROM hub_arrivals)`)
		}
		return err
	}
}
