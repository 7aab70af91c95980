package modem_test

import (
	"errors"
	"io"
	"log/slog"
	"sync"

	"gatewayd/modem"
	"gatewayd/sms"
)

// box is an Outbox in memory that writes down what it is told.
type box struct {
	mu       sync.Mutex
	waiting  []*modem.Part
	ready    chan struct{}
	out      map[*modem.Part]bool // given by Next, not returned
	begun    []*modem.Part
	expected []int
	outcomes []modem.Outcome
	refuse   map[*modem.Part]bool // Begin says no
	failures int                  // Begin and Finish fail so many times
	hold     chan struct{}        // if set, Begin waits for it
	panics   int                  // Begin panics so many times
	changed  chan struct{}
}

func newBox() *box {
	return &box{ready: make(chan struct{}, 1), out: map[*modem.Part]bool{}, refuse: map[*modem.Part]bool{}, changed: make(chan struct{}, 1)}
}

func (b *box) add(parts ...*modem.Part) {
	b.mu.Lock()
	b.waiting = append(b.waiting, parts...)
	b.mu.Unlock()
	b.signal()
}

func (b *box) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

func (b *box) Ready() <-chan struct{} { return b.ready }

func (b *box) Next() *modem.Part {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		return nil
	}
	p := b.waiting[0]
	b.waiting = b.waiting[1:]
	b.out[p] = true
	return p
}

func (b *box) Return(p *modem.Part) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.out[p] {
		panic("a part came back that was not out")
	}
	delete(b.out, p)
	b.waiting = append([]*modem.Part{p}, b.waiting...)
}

var errDisk = errors.New("disk full")

func (b *box) Begin(previous *modem.Outcome, next *modem.Part, expectedMR int) (bool, error) {
	if b.hold != nil {
		<-b.hold
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.panics > 0 {
		b.panics--
		panic("a fault of ours")
	}
	if b.failures > 0 {
		b.failures--
		return false, errDisk
	}
	if previous != nil {
		b.book(*previous)
	}
	if b.refuse[next] {
		delete(b.out, next)
		return false, nil
	}
	b.begun = append(b.begun, next)
	b.expected = append(b.expected, expectedMR)
	return true, nil
}

func (b *box) Finish(o modem.Outcome) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures > 0 {
		b.failures--
		return errDisk
	}
	b.book(o)
	return nil
}

func (b *box) book(o modem.Outcome) {
	delete(b.out, o.Part)
	b.outcomes = append(b.outcomes, o)
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// left are the parts that wait, out those that Next gave and nobody returned.
func (b *box) left() (waiting, out int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting), len(b.out)
}

func (b *box) booked() []modem.Outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]modem.Outcome(nil), b.outcomes...)
}

// inbox is an Inbox in memory.
type inbox struct {
	mu       sync.Mutex
	received []sms.Incoming
	deleted  []string
	err      error
	onStore  func(sms.Incoming)
}

func (i *inbox) Receive(in sms.Incoming) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return i.err
	}
	i.received = append(i.received, in)
	if i.onStore != nil {
		i.onStore(in)
	}
	return nil
}

func (i *inbox) Deleted(sim, storage string, index int) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.deleted = append(i.deleted, storage)
	return nil
}

func (i *inbox) all() []sms.Incoming {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]sms.Incoming(nil), i.received...)
}

func infoLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
