package queue

import (
	"strings"
	"testing"

	"gatewayd/db"
)

// A hub looks for what is for inboxes at each change of its queue: it must not look
// through all its messages for it.
func TestWhatIsForInboxesIsFoundByIndexes(t *testing.T) {
	d, err := db.Open(t.Context(), db.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, query := range forInboxes {
		var plan []string
		err := d.Read(t.Context(), func(r db.Querier) error {
			rows, err := r.Query(`EXPLAIN QUERY PLAN `+query, 10)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var id, parent, unused int
				var step string
				if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
					return err
				}
				plan = append(plan, step)
			}
			return rows.Err()
		})
		if p := strings.Join(plan, "; "); err != nil || !strings.Contains(p, "USING INDEX messages_") || strings.Contains(p, "TEMP") {
			t.Errorf("%s: %s (%v)", query, p, err)
		}
	}
}
