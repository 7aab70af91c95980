package api

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// However many are at one place of the log, one reads for all.
func TestFanout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		reads := map[int64]int{}
		fail := errors.New("no disk")
		f := &fanout{load: func(ctx context.Context, cursor int64) (piece, error) {
			mu.Lock()
			reads[cursor]++
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			if cursor == 99 {
				return piece{}, fail
			}
			return piece{wire: "x", cursor: cursor + 1, end: true}, ctx.Err()
		}}
		all := func(changed <-chan struct{}, cursor int64, want error) {
			t.Helper()
			var wait sync.WaitGroup
			for range 1000 {
				wait.Go(func() {
					if p, err := f.after(t.Context(), changed, cursor); !errors.Is(err, want) || err == nil && p != (piece{wire: "x", cursor: cursor + 1, end: true}) {
						t.Errorf("behind %d lies %+v, %v", cursor, p, err)
					}
				})
			}
			wait.Wait()
		}
		count := func(cursor int64, want int) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if reads[cursor] != want {
				t.Errorf("behind %d was read %d times, want %d", cursor, reads[cursor], want)
			}
		}
		first, second := make(chan struct{}), make(chan struct{})
		all(first, 7, nil)
		all(first, 8, nil)
		count(7, 1)
		count(8, 1)
		all(second, 7, nil) // something was written since
		count(7, 2)
		time.Sleep(2 * sharedFor) // something may have been erased since
		all(second, 7, nil)
		count(7, 3)

		// A fault is told to all who waited, and not kept.
		all(second, 99, fail)
		count(99, 1)
		all(second, 99, fail)
		count(99, 2)

		// Who reads for the others may leave.
		ctx, leave := context.WithCancel(t.Context())
		go f.after(ctx, second, 50)
		synctest.Wait()
		var wait sync.WaitGroup
		wait.Go(func() { all(second, 50, nil) })
		synctest.Wait()
		leave()
		wait.Wait()
		count(50, 1)
		time.Sleep(2 * sharedFor)
	})
}
