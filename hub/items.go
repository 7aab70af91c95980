package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"gatewayd/db"
	"gatewayd/mirror"
)

// itemsAtOnce is how many items are put into the streams together, and how many receipts
// go in one.
const itemsAtOnce = 200

// putTx has an item go to a gateway once the transaction is on disk.
func (f *flow) putTx(tx *db.Tx, gateway string, item mirror.Item) error {
	b, err := json.Marshal(item)
	if err != nil {
		return err
	}
	if _, err := tx.Insert(`INSERT INTO hub_items (gateway, item) VALUES (?, ?)`, gateway, string(b)); err != nil {
		return err
	}
	tx.OnCommit(func() { signal(f.some) })
	return nil
}

// outgoing is what is published as one, and the rows that it is.
type outgoing struct {
	gateway string
	rows    []int64
	item    mirror.Item
}

// putItems puts what stands in hub_items into the streams, of each gateway in order.
func (f *flow) putItems(ctx context.Context) {
	wait, said := time.Second, ""
	for {
		done, left, err := f.putSome(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && said != err.Error():
			said = err.Error()
			f.log.Warn("receipts wait for the streams; it is tried again", "error", err)
		}
		if done > 0 {
			wait, said = time.Second, ""
		}
		if done > 0 && err == nil && left == 0 {
			continue // there may be more
		}
		var again <-chan time.Time
		if err != nil || left > 0 {
			again = time.After(wait)
			wait = min(2*wait, 2*time.Second) // a cluster that elects is through with it within some seconds
		}
		some := f.some
		if again != nil {
			some = nil // new ones do not make it better
		}
		select {
		case <-ctx.Done():
			return
		case <-some:
		case <-again:
		}
	}
}

// putSome puts the first items of each gateway; left are those that stay.
func (f *flow) putSome(ctx context.Context) (done, left int, err error) {
	all, err := f.firstItems(ctx)
	if err != nil || len(all) == 0 {
		return 0, 0, err
	}
	var published []publication
	for _, o := range all {
		b, err := json.Marshal(o.item)
		if err != nil {
			return 0, 0, err
		}
		// The same rows have the same id, and each row is but once in this table.
		id := fmt.Sprintf("item.%d-%d.%d", o.rows[0], o.rows[len(o.rows)-1], len(o.rows))
		published = append(published, publication{msg: toGateway(o.gateway, id, b)})
	}
	f.publish(ctx, published)
	var gone []int64
	for i, p := range published {
		if p.err != nil {
			left++
			err = p.err
			continue
		}
		gone = append(gone, all[i].rows...)
	}
	if len(gone) == 0 {
		return 0, left, err
	}
	if failed := f.d.Write(func(tx *db.Tx) error {
		for _, row := range gone {
			if _, err := tx.Exec(`DELETE FROM hub_items WHERE id = ?`, row); err != nil {
				return err
			}
		}
		return nil
	}); failed != nil {
		return 0, left, failed
	}
	return len(gone), left, err
}

// underWay tells whether something is on its way to a gateway, as far as is known.
func (f *flow) underWay(ctx context.Context, gateway string) (is bool, err error) {
	err = f.d.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT EXISTS (SELECT 1 FROM hub_items WHERE gateway = ?)`, gateway).Scan(&is)
	})
	if err != nil || is {
		return is, err
	}
	n, err := f.pulls.Pending(ctx, gateway)
	return n > 0, err
}

// firstItems reads the oldest items of each gateway; its receipts are put together.
func (f *flow) firstItems(ctx context.Context) (all []outgoing, err error) {
	err = f.d.Read(ctx, func(r db.Querier) error {
		all = nil
		rows, err := r.Query(`SELECT DISTINCT gateway FROM hub_items`)
		if err != nil {
			return err
		}
		defer rows.Close()
		var gateways []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			gateways = append(gateways, name)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, name := range gateways {
			if len(all) >= mostUnacknowledged {
				break
			}
			some, err := itemsOf(r, name)
			if err != nil {
				return err
			}
			all = append(all, some...)
		}
		return nil
	})
	return all, err
}

func itemsOf(r db.Querier, gateway string) (all []outgoing, err error) {
	rows, err := r.Query(`SELECT id, item FROM hub_items WHERE gateway = ? ORDER BY id LIMIT ?`, gateway, itemsAtOnce)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var text string
		if err := rows.Scan(&id, &text); err != nil {
			return nil, err
		}
		var item mirror.Item
		if err := json.Unmarshal([]byte(text), &item); err != nil {
			return nil, fmt.Errorf("hub_items %d: %w", id, err)
		}
		if n := len(all); n > 0 && len(item.Receipts) > 0 && len(all[n-1].item.Receipts) > 0 {
			all[n-1].item.Receipts = append(all[n-1].item.Receipts, item.Receipts...)
			all[n-1].rows = append(all[n-1].rows, id)
			continue
		}
		all = append(all, outgoing{gateway: gateway, rows: []int64{id}, item: item})
	}
	return all, rows.Err()
}

// forgetItems is for a gateway that is deleted.
func forgetItems(tx *db.Tx, gateway string) error {
	for _, table := range []string{"hub_items", "hub_moves", "hub_withdrawals", "gateway_alarms"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE gateway = ?`, gateway); err != nil {
			return err
		}
	}
	return nil
}

// toGateway is what is published to a gateway's subject under an id.
func toGateway(gateway, id string, data []byte) *nats.Msg {
	m := &nats.Msg{Subject: mirror.OutSubject(gateway), Data: data, Header: nats.Header{}}
	m.Header.Set(nats.MsgIdHdr, id)
	m.Header.Set(nats.ExpectedStreamHdr, mirror.Out(gateway))
	return m
}
