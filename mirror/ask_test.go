package mirror

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What a dead server was asked is never answered; what is asked later is, as soon as
// somebody is elected.
func TestAskedAnewUntilSomebodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		elected := began.Add(3500 * time.Millisecond)
		got, err := askUntil(ctx, time.Second, func(ctx context.Context) (int64, error) {
			n := asked.Add(1)
			if time.Now().Before(elected) {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return n, nil
		})
		if took := time.Since(began); got != 5 || err != nil || took != 4*time.Second {
			t.Errorf("the question %d was answered after %v, %v", got, took, err)
		}
	})
}

func TestAnswersThatAreAnswers(t *testing.T) {
	no := func(code int, number jetstream.ErrorCode) error {
		return &jetstream.APIError{Code: code, ErrorCode: number}
	}
	for name, c := range map[string]struct {
		err   error
		asked int // in three and a half seconds
	}{
		"nothing is wrong":       {nil, 1},
		"not found":              {jetstream.ErrConsumerNotFound, 1},
		"too few servers":        {no(400, tooFew), 1},
		"the connection is lost": {nats.ErrConnectionClosed, 1},
		"nobody listens":         {nats.ErrNoResponders, 4},
		"nobody leads":           {no(503, 10008), 4},
		"its own time is over":   {context.DeadlineExceeded, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
				defer cancel()
				asked := 0
				_, err := askUntil(ctx, time.Second, func(context.Context) (int, error) { asked++; return 0, c.err })
				if asked != c.asked || !errors.Is(err, c.err) {
					t.Errorf("asked %d times, %v", asked, err)
				}
			})
		})
	}
}

// tooFew is JetStream's code for a stream on more servers than there are.
const tooFew = 10005
