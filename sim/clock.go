package sim

import (
	"container/heap"
	"sync"
	"time"
)

// clock runs the network's future: functions due at a time, one after the
// other in the order of their times, those of one time in the order in which
// they were asked for. Timers of their own would give no such order.
type clock struct {
	mu     sync.Mutex
	queue  events
	seq    uint64
	wake   chan struct{}
	stop   chan struct{}
	ended  chan struct{}
	halted bool
}

type event struct {
	at  time.Time
	seq uint64
	do  func()
}

type events []*event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if e[i].at.Equal(e[j].at) {
		return e[i].seq < e[j].seq
	}
	return e[i].at.Before(e[j].at)
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(*event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*e = old[:len(old)-1]
	return last
}

func newClock() *clock {
	c := &clock{
		wake:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	go c.run()
	return c
}

// after has do called, without any lock held, d from now. It may be called
// from anywhere.
func (c *clock) after(d time.Duration, do func()) {
	at := time.Now().Add(max(d, 0))
	c.mu.Lock()
	if c.halted {
		c.mu.Unlock()
		return
	}
	c.seq++
	e := &event{at: at, seq: c.seq, do: do}
	heap.Push(&c.queue, e)
	first := c.queue[0] == e
	c.mu.Unlock()
	if first {
		select {
		case c.wake <- struct{}{}:
		default: // it is awake already
		}
	}
}

func (c *clock) run() {
	defer close(c.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		c.mu.Lock()
		for len(c.queue) > 0 && !c.halted {
			wait = time.Until(c.queue[0].at)
			if wait > 0 {
				break
			}
			e := heap.Pop(&c.queue).(*event)
			c.mu.Unlock()
			e.do()
			c.mu.Lock()
			wait = time.Hour
		}
		c.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-c.wake:
		case <-c.stop:
			return
		}
	}
}

// close ends the future; nothing runs once it has returned.
func (c *clock) close() {
	c.mu.Lock()
	already := c.halted
	c.halted = true
	c.queue = nil
	c.mu.Unlock()
	if !already {
		close(c.stop)
	}
	<-c.ended
}
