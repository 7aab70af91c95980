package api

import (
	"context"
	"sync"
	"time"
)

const (
	// sharedFor is how long what was read of the log may be handed to others than
	// the one who read it. It ends soon: what is erased must not be told any more.
	sharedFor = time.Second
	// readWait is how long one read for all may take.
	readWait = 10 * time.Second
)

// shared reads once for all who want the same: a thousand streams at the end of
// the log, a hundred open pages that are told of a change at the same moment.
type shared[K comparable, T any] struct {
	changed func() <-chan struct{} // queue.Queue.Changed

	mu    sync.Mutex
	since <-chan struct{} // since when it was read: it was current before
	reads map[K]*reading[T]
}

// reading is a read that has begun.
type reading[T any] struct {
	done chan struct{} // closed when got and err are there
	got  T
	err  error
}

// do returns what load gives. What another's read gave is taken only if nobody was
// told since it began that something was written; who took the channel of
// queue.Queue.Changed before misses nothing.
func (s *shared[K, T]) do(ctx context.Context, key K, load func(context.Context) (T, error)) (T, error) {
	s.mu.Lock()
	if now := s.changed(); s.since != now {
		s.since, s.reads = now, map[K]*reading[T]{}
	}
	r := s.reads[key]
	if r != nil {
		s.mu.Unlock()
		select {
		case <-r.done:
			return r.got, r.err
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
	}
	r = &reading[T]{done: make(chan struct{})}
	reads := s.reads
	reads[key] = r
	s.mu.Unlock()

	// Others wait for it, so it goes on when this one's client leaves.
	forAll, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWait)
	defer cancel()
	forget := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(reads, key)
	}
	defer close(r.done)
	r.got, r.err = load(forAll)
	if r.err != nil {
		forget()
	} else {
		time.AfterFunc(sharedFor, forget)
	}
	return r.got, r.err
}
