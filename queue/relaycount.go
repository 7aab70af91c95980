package queue

import (
	"context"

	"gatewayd/db"
)

// RelayCount is how many messages of a gateway, which are not over, are how far.
type RelayCount struct {
	Waiting int // given to it, and not known to be in its stream
	InLink  int // in its stream
	Stored  int // in its ring
}

// RelayCounts counts the messages of gateways; gateway "": of all.
func (q *Queue) RelayCounts(ctx context.Context, gateway string) (map[string]RelayCount, error) {
	all := map[string]RelayCount{}
	err := q.db.Read(ctx, func(r db.Querier) error {
		return eachRow(r, `SELECT m.gateway, m.relay, count(*) FROM outbound_ring o JOIN messages m ON m.row = o.message
			WHERE o.processed IS NULL AND m.relay BETWEEN ?1 AND ?2 AND (?3 = '' OR m.gateway = ?3) GROUP BY m.gateway, m.relay`, func(scan func(...any) error) error {
			var name string
			var step relay
			var n int
			if err := scan(&name, &step, &n); err != nil {
				return err
			}
			c := all[name]
			switch step {
			case relayGiven:
				c.Waiting = n
			case relayInLink:
				c.InLink = n
			case relayStored:
				c.Stored = n
			}
			all[name] = c
			return nil
		}, relayGiven, relayStored, gateway)
	})
	return all, err
}
