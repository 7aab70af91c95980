package pulse

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pulse
		var w Watch
		loops := []Loop{{"the loop", 30 * time.Second, &p}}
		look := func(every, during time.Duration) (err error) {
			for end := time.Now().Add(during); time.Now().Before(end); {
				time.Sleep(every)
				err = w.Look(loops)
			}
			return err
		}
		if err := look(Every, time.Hour); err != nil {
			t.Errorf("a loop that rests: %v", err)
		}
		for range 20 {
			p.Work()
			if err := look(Every, 20*time.Second); err != nil {
				t.Fatalf("a loop with long steps: %v", err)
			}
		}
		p.Work()
		if err := look(Every, 20*time.Second); err != nil {
			t.Errorf("too early: %v", err)
		}
		if err := look(Every, 30*time.Second); err == nil || !strings.Contains(err.Error(), "the loop") {
			t.Errorf("a loop that is stuck: %v", err)
		}
		p.Rest()
		if err := w.Look(loops); err != nil {
			t.Errorf("a loop that went on: %v", err)
		}

		// The process was stopped in the middle of a step.
		p.Work()
		w.Look(loops)
		time.Sleep(time.Hour)
		if err := w.Look(loops); err != nil {
			t.Errorf("a process that was stopped: %v", err)
		}
		if err := w.Look(loops); err != nil {
			t.Errorf("looks that follow each other: %v", err)
		}
	})
}

func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lock := make(chan struct{}, 1)
		p := NewProbe(func() { lock <- struct{}{}; <-lock })
		var w Watch
		look := func(n int) (err error) {
			for range n {
				p.Begin()
				time.Sleep(Every)
				err = w.Look([]Loop{{"the lock", 30 * time.Second, &p.Pulse}})
			}
			return err
		}
		if err := look(100); err != nil {
			t.Error(err)
		}
		lock <- struct{}{}
		if err := look(10); err == nil {
			t.Error("a lock that nobody gives back is not seen")
		}
		<-lock
		synctest.Wait()
		if err := look(10); err != nil {
			t.Error(err)
		}
	})
}

func TestPulseOfNobody(t *testing.T) {
	var p *Pulse
	p.Work()
	p.Rest()
}
