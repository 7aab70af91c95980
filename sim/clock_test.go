package sim

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestClockKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		var got []int
		add := func(d time.Duration, n int) { c.after(d, func() { got = append(got, n) }) }
		add(2*time.Second, 5)
		for i := range 5 {
			add(time.Second, i) // of one time: in the order of asking
		}
		c.after(time.Second, func() { add(0, 10); add(-time.Hour, 11) })
		add(3*time.Hour, 99)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if !slices.Equal(got, []int{0, 1, 2, 3, 4, 10, 11, 5}) {
			t.Errorf("ran %v", got)
		}
		c.close()
		c.close()
		add(0, 100)
		time.Sleep(24 * time.Hour)
		if len(got) != 8 {
			t.Errorf("ran after its end: %v", got)
		}
	})
}
