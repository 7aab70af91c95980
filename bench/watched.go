package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"gatewayd/gateway"
	"gatewayd/modem"
	"gatewayd/queue"
	"gatewayd/sms"
)

// watched is a whole gateway in this process, with a tap in each of its ports.
type watched struct {
	*gateway.Gateway
	opened []chan *tap // of each modem, at each opening
	cancel context.CancelFunc
	done   chan error
}

// watch builds a gateway for the modems, whose taps wait for n parts each.
func watch(ctx context.Context, o gateway.Options, modems []terminal, n int) (*watched, error) {
	w := &watched{done: make(chan error, 1)}
	o.Version = "bench"
	for i, m := range modems {
		opened := make(chan *tap, 16)
		w.opened = append(w.opened, opened)
		o.Modems = append(o.Modems, gateway.ModemOptions{
			Name: modemName(i), Port: m.port, Number: m.number,
			Open: func(context.Context) (io.ReadWriteCloser, error) {
				rwc, err := modem.OpenSerial(m.port)
				if err != nil {
					return nil, err
				}
				t := newTap(rwc, n)
				opened <- t
				return t, nil
			},
		})
	}
	var err error
	w.Gateway, err = gateway.New(ctx, o)
	return w, err
}

func (w *watched) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	go func() { w.done <- w.Run(ctx) }()
}

func (w *watched) stop() error {
	w.cancel()
	return <-w.done
}

// sent waits until a modem has sent its parts, and returns what the tap saw.
func (w *watched) sent(ctx context.Context, i int) (t *tap, err error) {
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		all := make(chan struct{})
		if t != nil {
			all = t.all
		}
		select {
		case t = <-w.opened[i]:
		case <-all:
			return t, nil
		case <-over.C:
			return nil, fmt.Errorf("modem %s did not send its messages within %v", modemName(i), patience)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// benchDraft is a message of one part, without a status report.
func benchDraft(i int) queue.Draft {
	return queue.Draft{Message: sms.Message{To: recipient(i), Text: benchText, Priority: sms.DefaultPriority}}
}

// handIn submits n messages, so many at once.
func handIn(ctx context.Context, q *queue.Queue, n, atOnce int, draft func(i int) queue.Draft) error {
	for from := 0; from < n; from += atOnce {
		var drafts []queue.Draft
		for i := from; i < min(from+atOnce, n); i++ {
			drafts = append(drafts, draft(i))
		}
		if _, _, err := q.Submit(ctx, drafts, nil); err != nil {
			return err
		}
	}
	return nil
}
