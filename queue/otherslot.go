package queue

import (
	"context"

	"gatewayd/db"
)

// OtherSlots are the addresses of a message's slot at the other end of a hub's link, by its
// row: at the gateway for a hub, at the hub for a gateway. nil: it has none, or none is known.
func (q *Queue) OtherSlots(ctx context.Context, row int64) (atGateway, atHub *int, err error) {
	err = q.db.Read(ctx, func(x db.Querier) error {
		return x.QueryRow(`SELECT (SELECT mirror FROM relays WHERE message = ?1 AND mirror >= 0), (SELECT address FROM mirrored WHERE message = ?1 AND address >= 0 LIMIT 1)`,
			row).Scan(&atGateway, &atHub)
	})
	return atGateway, atHub, err
}
