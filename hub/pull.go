package hub

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/mirror"
)

// How gateways get what is theirs.
const (
	PullRequest  = "request"  // they ask the hub
	PullConsumer = "consumer" // each has a consumer, and rights at JetStream for that
)

// fleetQueue is how what stands in the streams comes to the gateways: by a consumer for
// each, which is least work for everybody up to some thousand gateways, or by requests
// that the hub answers, which costs the streams nothing per gateway.
type fleetQueue interface {
	// Retention is the streams': whether what was acknowledged goes by itself.
	Retention() jetstream.RetentionPolicy
	// Prepare has a gateway served, Forget no longer.
	Prepare(ctx context.Context, gateway string) error
	Forget(ctx context.Context, gateway string) error
	// Delivered tells up to which place of its stream a gateway may have been handed
	// what is its. What stands behind it, it never saw.
	Delivered(ctx context.Context, gateway string) (seq uint64, err error)
	// Pending is how many messages stand in the stream for a gateway that has not said
	// that it stored them.
	Pending(ctx context.Context, gateway string) (int, error)
	// Again hands out at once what the gateway was handed and has not said that it stored.
	Again(ctx context.Context, gateway string) error
	// Arrived hears that something was put there for a gateway.
	Arrived(gateway string)
}

// consumers is a durable consumer for each gateway: JetStream keeps the window, and
// hands out again what was not acknowledged.
type consumers struct {
	js     jetstream.JetStream
	window int
}

func (c *consumers) Retention() jetstream.RetentionPolicy { return jetstream.WorkQueuePolicy }

func (c *consumers) Prepare(ctx context.Context, gateway string) error {
	config := jetstream.ConsumerConfig{
		Durable: mirror.Consumer(gateway), FilterSubject: mirror.OutSubject(gateway),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: handAgainAfter, MaxDeliver: -1, MaxAckPending: c.window,
	}
	_, err := mirror.Ask(ctx, c.js.Conn(), askAgain, func(ctx context.Context) (jetstream.Consumer, error) {
		return c.js.CreateOrUpdateConsumer(ctx, mirror.Out(gateway), config)
	})
	if err != nil {
		return fmt.Errorf("the consumer of gateway %s: %w", gateway, err)
	}
	return nil
}

func (c *consumers) Forget(ctx context.Context, gateway string) error {
	err := c.js.DeleteConsumer(ctx, mirror.Out(gateway), mirror.Consumer(gateway))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return err
}

func (c *consumers) info(ctx context.Context, gateway string) (*jetstream.ConsumerInfo, error) {
	one, err := mirror.Ask(ctx, c.js.Conn(), askAgain, func(ctx context.Context) (jetstream.Consumer, error) {
		return c.js.Consumer(ctx, mirror.Out(gateway), mirror.Consumer(gateway))
	})
	if err != nil {
		return nil, fmt.Errorf("the consumer of gateway %s: %w", gateway, err)
	}
	return one.CachedInfo(), nil // Consumer has asked for it
}

func (c *consumers) Delivered(ctx context.Context, gateway string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	info, err := c.info(ctx, gateway)
	if err != nil {
		return 0, err
	}
	return info.Delivered.Stream, nil
}

func (c *consumers) Pending(ctx context.Context, gateway string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	info, err := c.info(ctx, gateway)
	if err != nil {
		return 0, err
	}
	return int(info.NumPending) + info.NumAckPending, nil
}

func (c *consumers) Arrived(string) {} // its consumer wakes it
