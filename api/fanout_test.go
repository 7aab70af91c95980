package api

import (
	"context"
	"errors"
	"reflect"
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
		now := make(chan struct{})
		f := &fanout{shared[int64, piece]{changed: func() <-chan struct{} { return now }}, func(ctx context.Context, cursor int64) (piece, error) {
			mu.Lock()
			reads[cursor]++
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			if cursor == 99 {
				return piece{}, fail
			}
			return piece{wire: "x", cursor: cursor + 1, end: true}, ctx.Err()
		}}
		all := func(cursor int64, want error) {
			t.Helper()
			var wait sync.WaitGroup
			for range 1000 {
				wait.Go(func() {
					if p, err := f.after(t.Context(), cursor); !errors.Is(err, want) || err == nil && !reflect.DeepEqual(p, piece{wire: "x", cursor: cursor + 1, end: true}) {
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
		all(7, nil)
		all(8, nil)
		count(7, 1)
		count(8, 1)
		now = make(chan struct{}) // something was written since
		all(7, nil)
		count(7, 2)
		time.Sleep(2 * sharedFor) // something may have been erased since
		all(7, nil)
		count(7, 3)

		// A fault is told to all who waited, and not kept.
		all(99, fail)
		count(99, 1)
		all(99, fail)
		count(99, 2)

		// Who reads for the others may leave.
		ctx, leave := context.WithCancel(t.Context())
		go f.after(ctx, 50)
		synctest.Wait()
		var wait sync.WaitGroup
		wait.Go(func() { all(50, nil) })
		synctest.Wait()
		leave()
		wait.Wait()
		count(50, 1)
		time.Sleep(2 * sharedFor)
	})
}
