package db

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// A read whose context ends at any moment leaves its connection as it was: the
// next read on it works, sees what is new, and nothing keeps the log from being cut.
func TestReadsCutOffLeaveNothing(t *testing.T) {
	d := open(t, Options{Dir: t.TempDir()})
	defer d.Close()
	for n := range 300 {
		if err := d.Write(insert(n)); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for g := range 6 {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 0))
			for range 40 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rnd.IntN(2000))*time.Microsecond)
				err := d.Read(ctx, func(r Querier) error {
					rows, err := r.Query(`SELECT a.n FROM t a, t b ORDER BY a.n + b.n`)
					if err != nil {
						return err
					}
					defer rows.Close()
					for rows.Next() {
						var n, of int
						if err := rows.Scan(&n); err != nil {
							return err
						}
						if err := r.QueryRow(`SELECT count(*) FROM t WHERE n >= ?`, n).Scan(&of); err != nil {
							return err
						}
					}
					return rows.Err()
				})
				if err == nil || ctx.Err() == nil {
					t.Errorf("a read with a context that ended: %v", err)
				}
				cancel()
				var n int
				if err := d.Read(context.Background(), func(r Querier) error { return r.QueryRow(`SELECT count(*) FROM t`).Scan(&n) }); err != nil || n < 300 {
					t.Errorf("the next read: %d rows, %v", n, err)
				}
			}
		})
	}
	all.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := d.Scrub(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the log can't be cut: %v", err)
	}
	if d.Write(insert(1000)) != nil {
		t.Error("no write")
	}
	if err := d.Scrub(context.Background()); err != nil {
		t.Errorf("the log can't be cut: %v", err)
	}
}
