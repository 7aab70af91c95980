package modem_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"

	"gatewayd/modem"
	"gatewayd/modem/internal/script"
	"gatewayd/sms"
)

// stream is an Outbox that always has a part, until n were confirmed.
type stream struct {
	left  atomic.Int64
	part  *modem.Part
	ready chan struct{}
	done  chan struct{}
}

func (s *stream) Next() *modem.Part {
	for n := s.left.Load(); n > 0; n = s.left.Load() {
		if s.left.CompareAndSwap(n, n-1) {
			return s.part
		}
	}
	return nil
}
func (s *stream) Return(*modem.Part)     { s.left.Add(1) }
func (s *stream) Ready() <-chan struct{} { return s.ready }
func (s *stream) Begin(*modem.Outcome, *modem.Part, int) (bool, error) {
	return true, nil
}
func (s *stream) Finish(modem.Outcome) error {
	if s.left.Load() == 0 {
		close(s.done)
	}
	return nil
}

// BenchmarkPart is the driver's own share of a part: an Outbox that commits
// nothing, a modem that answers at once.
func BenchmarkPart(b *testing.B) {
	ours, theirs := script.NewWire()
	answers := usual()
	go func() {
		buf := make([]byte, 512)
		line := make([]byte, 0, 512)
		for {
			n, err := theirs.Read(buf)
			if err != nil {
				return
			}
			for _, c := range buf[:n] {
				switch {
				case c == 0x1a:
					_, _ = theirs.Write([]byte("\r\n+CMGS: 1\r\n\r\nOK\r\n"))
					line = line[:0]
				case c != '\r':
					line = append(line, c)
				case len(line) > 8 && string(line[:8]) == "AT+CMGS=":
					_, _ = theirs.Write([]byte("\r\n> "))
					line = line[:0]
				default:
					a := answers[string(line)]
					line = line[:0]
					for _, l := range splitAnswer(a) {
						_, _ = theirs.Write([]byte("\r\n" + l + "\r\n"))
					}
				}
			}
		}
	}()
	s := &stream{part: part("a", 1), ready: make(chan struct{}, 1), done: make(chan struct{})}
	ready := make(chan struct{}, 10)
	m := modem.New(modem.Options{Name: "one", Outbox: s, Inbox: &inbox{},
		Open: func(context.Context) (io.ReadWriteCloser, error) { return ours, nil },
		OnState: func(m sms.Modem) {
			if m.State == sms.Ready {
				ready <- struct{}{}
			}
		}})
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { _ = m.Run(ctx); close(over) }()
	<-ready
	b.ReportAllocs()
	b.ResetTimer()
	s.left.Store(int64(b.N))
	s.ready <- struct{}{}
	<-s.done
	b.StopTimer()
	cancel()
	<-over
}
