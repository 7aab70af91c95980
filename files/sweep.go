package files

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"gatewayd/db"
)

// unusedLife is how long a file may lie here that goes with no message: somebody is
// still writing it.
const unusedLife = 24 * time.Hour

// ReleaseTx says that something is being erased that had these files. Those that nobody
// else has are erased too: soon after the commit, or at the next start.
func (s *Store) ReleaseTx(tx *db.Tx, ids []string) error {
	for _, id := range ids {
		n, err := tx.Exec(`UPDATE stored_files SET doubtful = 1 WHERE id = ?`, id)
		if err != nil {
			return err
		}
		if n > 0 {
			tx.OnCommit(s.wake)
		}
	}
	return nil
}

// ReleaseOfTx is ReleaseTx of all files that a source gave.
func (s *Store) ReleaseOfTx(tx *db.Tx, source string) error {
	n, err := tx.Exec(`UPDATE stored_files SET doubtful = 1, source = '' WHERE source = ?`, source)
	if n > 0 {
		tx.OnCommit(s.wake)
	}
	return err
}

func (s *Store) wake() {
	select {
	case s.doubt <- struct{}{}:
	default:
	}
}

// Run erases what nobody has any more. It returns nil when ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	s.wake()
	for aged := true; ; {
		if aged {
			s.tell(s.forgetOld(ctx), ctx)
			s.tell(s.orphans(ctx), ctx)
			aged = false
		}
		select {
		case <-s.doubt:
			s.tell(s.settle(ctx), ctx)
		case <-tick.C:
			aged = true
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Store) tell(err error, ctx context.Context) {
	if err != nil && ctx.Err() == nil && !errors.Is(err, db.ErrClosed) {
		s.o.Log.Warn("files that nobody has any more could not be erased; tried again in an hour", "error", err)
	}
}

// forgetOld puts in doubt what was uploaded and never sent, and what is older than texts
// are kept. Links of a gateway's files are good as long as texts are, sent or not: it
// alone knows who has them.
func (s *Store) forgetOld(ctx context.Context) error {
	if s.o.Trusted != nil && !s.o.Trusted() {
		return nil // nobody knows how old anything is
	}
	now, keep := s.o.Now(), time.Duration(0)
	if s.o.KeepTexts != nil {
		keep = s.o.KeepTexts()
	}
	var old, unused []string
	err := s.o.DB.Read(ctx, func(r db.Querier) (err error) {
		if keep > 0 {
			if old, err = list(r, `SELECT id FROM stored_files WHERE created_at < ?`, now.Add(-keep).UnixMilli()); err != nil {
				return err
			}
		}
		unused, err = list(r, `SELECT id FROM stored_files WHERE created_at < ? AND (source = '' OR source LIKE 'ibx\_%' ESCAPE '\')`, now.Add(-unusedLife).UnixMilli())
		return err
	})
	if err != nil || len(old)+len(unused) == 0 {
		return err
	}
	return s.o.DB.Write(func(tx *db.Tx) error {
		return s.ReleaseTx(tx, append(old, unused...))
	})
}

// settle erases those in doubt that nobody has.
func (s *Store) settle(ctx context.Context) error {
	var doubtful []string
	held := map[string]bool{}
	err := s.o.DB.Read(ctx, func(r db.Querier) (err error) {
		if doubtful, err = list(r, `SELECT id FROM stored_files WHERE doubtful = 1`); err != nil || len(doubtful) == 0 {
			return err
		}
		for _, holds := range s.holders {
			if err := holds(r, func(id string) { held[id] = true }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var gone []string
	for _, id := range doubtful {
		if held[id] {
			err = errors.Join(err, s.o.DB.Write(func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE stored_files SET doubtful = 0 WHERE id = ?`, id)
				return err
			}))
			continue
		}
		gone = append(gone, id)
	}
	for _, id := range gone {
		if err := s.Remove(id); err != nil {
			return err
		}
	}
	return err
}

// orphans removes what a crash left on disk without a row.
func (s *Store) orphans(ctx context.Context) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < time.Hour { // it may be on its way
			continue
		}
		id := strings.TrimSuffix(e.Name(), ".part")
		if validID(id) {
			err := s.o.DB.Read(ctx, func(r db.Querier) error { _, err := s.row(r, id); return err })
			if !errors.Is(err, ErrNotFound) {
				continue
			}
		} else if !strings.HasSuffix(e.Name(), ".new") {
			continue
		}
		if err := os.Remove(s.dir + string(os.PathSeparator) + e.Name()); err != nil {
			return err
		}
	}
	return nil
}

func list(r db.Querier, query string, args ...any) (all []string, err error) {
	rows, err := r.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		all = append(all, id)
	}
	return all, rows.Err()
}

// ShiftTx moves what ends at a time along with the clock, in the commit that sets it.
func (s *Store) ShiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	_, err := tx.Exec(`UPDATE stored_files SET created_at = created_at + ? WHERE created_at >= ?`, step.Milliseconds(), began.UnixMilli())
	return err
}

// Restore makes the files of a restored database fit to go on with: what is on disk goes
// by the database that is replaced, which the transaction sees. What was erased stays so.
func Restore(tx *db.Tx) error {
	for _, query := range []string{
		`DELETE FROM stored_files`,
		`INSERT INTO stored_files SELECT * FROM replaced.stored_files`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}
