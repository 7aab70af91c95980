package main

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// tap sits between a program and its port and takes the time of what passes:
// what the modem waits for the program between two parts, and between its
// prompt and Ctrl-Z. Bytes count as read when Read returns them and as written
// when Write is called.
type tap struct {
	io.ReadWriteCloser

	mu      sync.Mutex
	state   tapState
	tail    []byte // of what was read since the last write
	final   time.Time
	prompt  time.Time
	idle    time.Duration
	clean   bool // nothing but AT+CMGS was written since the last final result
	first   time.Time
	parts   int
	want    int
	all     chan struct{} // closed when want parts were confirmed
	idles   series        // microseconds
	prompts series
	owns    series // sum of both, part by part

	submitted time.Time
	inHand    series // microseconds that the network had each part but the first in hand
	periods   series // from the final result before to its own
}

type tapState int

const (
	other     tapState = iota
	commanded          // AT+CMGS was written
	prompted
	submitted // Ctrl-Z was written
)

func newTap(rwc io.ReadWriteCloser, want int) *tap {
	return &tap{ReadWriteCloser: rwc, want: want, all: make(chan struct{})}
}

var (
	cmgs  = []byte("AT+CMGS=")
	ctrlZ = []byte{0x1a}
	okay  = []byte("\r\nOK\r\n")
)

func (t *tap) Write(b []byte) (int, error) {
	now := time.Now()
	t.mu.Lock()
	switch {
	case bytes.HasPrefix(b, cmgs):
		t.state = commanded
		t.idle = -1
		if t.clean {
			t.idle = now.Sub(t.final)
		}
		if t.first.IsZero() {
			t.first = now
		}
	case t.state == prompted && bytes.Equal(b, ctrlZ):
		t.state, t.submitted = submitted, now
		gap := now.Sub(t.prompt)
		t.prompts = append(t.prompts, micros(gap))
		if t.idle >= 0 {
			t.idles = append(t.idles, micros(t.idle))
			t.owns = append(t.owns, micros(t.idle+gap))
		}
	case t.state != prompted:
		t.state, t.clean = other, false
	}
	t.tail = t.tail[:0]
	t.mu.Unlock()
	return t.ReadWriteCloser.Write(b)
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.ReadWriteCloser.Read(b)
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tail = append(t.tail, b[:n]...)
	switch t.state {
	case commanded:
		if bytes.IndexByte(t.tail, '>') >= 0 {
			t.state, t.prompt = prompted, now
		}
	case submitted:
		if bytes.Contains(t.tail, okay) {
			if !t.final.IsZero() {
				t.inHand, t.periods = append(t.inHand, micros(now.Sub(t.submitted))), append(t.periods, micros(now.Sub(t.final)))
			}
			t.state, t.final, t.clean = other, now, true
			t.parts++
			if t.parts == t.want {
				close(t.all)
			}
		}
	}
	return n, err
}

// rate is parts a second from the first AT+CMGS to the last final result.
func (t *tap) rate() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return float64(t.parts) / t.final.Sub(t.first).Seconds()
}

// between is what lay between two parts: from a final result to the next
// Ctrl-Z, and the program's own share of it.
func (t *tap) between() (all, own series) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.periods {
		all = append(all, t.periods[i]-t.inHand[i])
	}
	return all, t.owns
}

// lineUse is the share of the time, in percent, that the network had a part in
// hand: over all parts, and for each with the gap before it.
func (t *tap) lineUse() (all float64, each series) {
	t.mu.Lock()
	defer t.mu.Unlock()
	each = t.inHand.over(t.periods)
	for i := range each {
		each[i] *= 100
	}
	return 100 * t.inHand.sum() / t.periods.sum(), each
}
