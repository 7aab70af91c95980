package mirror

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Ask asks JetStream something, and asks anew every so often while nothing answers: a server
// of a cluster that dies takes with it what it was asked, and the one that is elected in its
// place hears only what is asked from then on. The first answer counts, so what is asked must
// be harmless twice. A single server answers whatever it was asked, so it is asked once.
func Ask[T any](ctx context.Context, nc *nats.Conn, every time.Duration, ask func(context.Context) (T, error)) (T, error) {
	if nc.ConnectedClusterName() == "" {
		return ask(ctx)
	}
	return askUntil(ctx, every, ask)
}

func askUntil[T any](ctx context.Context, every time.Duration, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		is  T
		err error
	}
	answers := make(chan answer)
	once := func() {
		var a answer
		a.is, a.err = ask(ctx)
		select {
		case answers <- a:
		case <-ctx.Done():
		}
	}
	go once()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last answer
	for {
		select {
		case last = <-answers:
			if !unanswered(last.err) {
				return last.is, last.err
			}
		case <-tick.C:
			go once()
		case <-ctx.Done():
			if last.err == nil {
				last.err = ctx.Err()
			}
			return last.is, last.err
		}
	}
}

// unanswered tells whether nobody was there to answer: it may be worth asking again.
func unanswered(err error) bool {
	var refused *jetstream.APIError
	if errors.As(err, &refused) {
		return refused.Code == 503 // as a cluster without a leader says
	}
	for _, nobody := range []error{nats.ErrNoResponders, nats.ErrTimeout, context.DeadlineExceeded, jetstream.ErrJetStreamNotEnabled} {
		if errors.Is(err, nobody) {
			return true
		}
	}
	return false
}
