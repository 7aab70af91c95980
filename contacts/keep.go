package contacts

import (
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

// erase takes a number out of all contacts, as the last step of its erasure. Of a
// contact that had no other one nothing is left.
func (c *Contacts) erase(tx *db.Tx, e queue.Erasure) error {
	if e.Number == "" || len(e.Messages) > 0 {
		return nil
	}
	known, err := withNumber(tx, e.Number)
	if err != nil {
		return err
	}
	now := c.now()
	for _, contact := range known {
		if len(contact.Numbers) == 1 {
			err = forget(tx, contact.ID, now)
		} else if _, err = tx.Exec(`DELETE FROM contact_numbers WHERE number = ? AND contact = ?`, e.Number, contact.ID); err == nil {
			_, err = tx.Exec(`UPDATE contacts SET updated_at = ? WHERE id = ?`, now.UnixMilli(), contact.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// export tells what contacts say of a number.
func export(r db.Querier, number string, messages []queue.ErasedMessage, put func(row any) error) error {
	if len(messages) > 0 {
		return nil
	}
	known, err := withNumber(r, number)
	for i := range known {
		if err == nil {
			err = put(known[i].View())
		}
	}
	return err
}

// withNumber are the contacts of all teams that have a number.
func withNumber(r db.Querier, number string) (all []Contact, err error) {
	rows, err := r.Query(columns+`JOIN contact_numbers n ON n.contact = c.id WHERE n.number = ? ORDER BY c.id`, number)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		c, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, *c)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i := range all {
		if err := all[i].complete(r); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ShiftTx moves, in the caller's transaction, the times that were taken in this run
// along with the clock: it is set by step, and began is when this run began by the
// clock as it was. When a consent was given is what somebody said, and stays.
func (c *Contacts) ShiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	for _, query := range []string{
		`UPDATE contacts SET created_at = created_at + ?1 WHERE created_at >= ?2`,
		`UPDATE contacts SET deleted_at = deleted_at + ?1 WHERE deleted_at >= ?2`,
		`UPDATE contacts SET updated_at = updated_at + ?1 WHERE updated_at >= ?2`,
		`UPDATE contact_groups SET created_at = created_at + ?1 WHERE created_at >= ?2`,
		`UPDATE contact_groups SET deleted_at = deleted_at + ?1 WHERE deleted_at >= ?2`,
		`UPDATE contact_groups SET updated_at = updated_at + ?1 WHERE updated_at >= ?2`,
	} {
		if _, err := tx.Exec(query, step.Milliseconds(), began.UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}

// Restore makes the contacts of a restored database fit to go on with: the
// transaction sees the database that is replaced. Of each contact and group what was
// changed last holds, and one that either has deleted stays deleted, so that nobody
// who was erased comes back.
func Restore(tx *db.Tx) error {
	for _, query := range []string{
		// What there is newer makes room for itself.
		`DELETE FROM contact_numbers WHERE contact IN (SELECT r.id FROM replaced.contacts r JOIN main.contacts c ON c.id = r.id
			WHERE r.deleted_at IS NOT NULL OR c.deleted_at IS NULL AND r.updated_at >= c.updated_at)`,
		`DELETE FROM group_members WHERE contact IN (SELECT r.id FROM replaced.contacts r JOIN main.contacts c ON c.id = r.id
			WHERE r.deleted_at IS NOT NULL OR c.deleted_at IS NULL AND r.updated_at >= c.updated_at)`,
		`DELETE FROM contacts WHERE id IN (SELECT r.id FROM replaced.contacts r JOIN main.contacts c ON c.id = r.id
			WHERE r.deleted_at IS NOT NULL OR c.deleted_at IS NULL AND r.updated_at >= c.updated_at)`,
		`DELETE FROM contact_groups WHERE id IN (SELECT r.id FROM replaced.contact_groups r JOIN main.contact_groups g ON g.id = r.id
			WHERE r.deleted_at IS NOT NULL OR g.deleted_at IS NULL AND r.updated_at >= g.updated_at)`,
		// Two of one name, made on either side, are one.
		`UPDATE contact_groups SET name = '', sort = id, deleted_at = updated_at WHERE deleted_at IS NULL AND EXISTS
			(SELECT 1 FROM replaced.contact_groups r WHERE r.team = contact_groups.team AND r.sort = contact_groups.sort AND r.id <> contact_groups.id AND r.deleted_at IS NULL)`,
		`INSERT OR IGNORE INTO contacts SELECT * FROM replaced.contacts`,
		`INSERT OR IGNORE INTO contact_groups SELECT * FROM replaced.contact_groups`,
		// A number is in the contact that has it there.
		`DELETE FROM contact_numbers WHERE EXISTS (SELECT 1 FROM replaced.contact_numbers r
			WHERE r.number = contact_numbers.number AND r.team = contact_numbers.team AND r.contact <> contact_numbers.contact)`,
		`INSERT OR IGNORE INTO contact_numbers SELECT r.* FROM replaced.contact_numbers r JOIN main.contacts c ON c.id = r.contact
			JOIN replaced.contacts there ON there.id = r.contact WHERE c.deleted_at IS NULL AND c.updated_at = there.updated_at`,
		`INSERT OR IGNORE INTO group_members SELECT r.* FROM replaced.group_members r JOIN main.contacts c ON c.id = r.contact
			JOIN main.contact_groups g ON g.id = r.contact_group WHERE c.deleted_at IS NULL AND g.deleted_at IS NULL`,
		`DELETE FROM group_members WHERE contact_group IN (SELECT id FROM contact_groups WHERE deleted_at IS NOT NULL)`,
		// A contact whose only number went to another one has nothing that it could be reached by.
		`UPDATE contacts SET name = '', sort = '', search = '', email = '', organisation = '', note = '', language = '', consent = '', consent_at = NULL,
			deleted_at = updated_at WHERE deleted_at IS NULL AND id NOT IN (SELECT contact FROM contact_numbers)`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}
