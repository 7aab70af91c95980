package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"gatewayd/modem"
	"gatewayd/sms"
)

// attached is one modem with its outbox.
type attached struct {
	name  string
	modem *modem.Modem
	feed  *feed
}

func (g *Gateway) newModem(o ModemOptions, metrics *modem.Metrics) *attached {
	log := g.log.With("modem", o.Name)
	if o.Open == nil {
		o.Open = func(context.Context) (io.ReadWriteCloser, error) { return modem.OpenSerial(o.Port) }
	}
	a := &attached{name: o.Name, feed: newFeed(g.dispatch, g.queue, log, o.Name)}
	a.modem = modem.New(modem.Options{
		Name: o.Name, Port: o.Port, Open: o.Open, PIN: o.PIN, Number: o.Number,
		Outbox: a.feed, Inbox: g.queue, Log: g.log, Metrics: metrics,
		OnState: func(m sms.Modem) {
			a.feed.update(m)
			if err := g.queue.AppendModemState(m); err != nil {
				log.Error("the modem's new state could not be written to the event log", "state", m.State, "error", err)
			}
		},
	})
	return a
}

// supervise runs the modem's loop and restarts it should it ever fail, so that
// one modem's trouble stays its own.
func (a *attached) supervise(ctx context.Context, log *slog.Logger) {
	stop := context.AfterFunc(ctx, a.feed.end)
	defer stop()
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		err := a.runOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		a.feed.abandon()
		log.Error("the modem's loop failed and is started again", "modem", a.name, "error", err, "in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

func (a *attached) runOnce(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return a.modem.Run(ctx)
}

// modems is what the API sees of them.
type modems []*attached

// List returns a picture of every modem, in the order of the configuration.
func (ms modems) List() []sms.Modem {
	all := make([]sms.Modem, len(ms))
	for i, a := range ms {
		all[i] = a.modem.Snapshot()
	}
	return all
}

// Get returns the picture of one modem.
func (ms modems) Get(name string) (sms.Modem, bool) {
	for _, a := range ms {
		if a.name == name {
			return a.modem.Snapshot(), true
		}
	}
	return sms.Modem{}, false
}

// Reset makes a modem start afresh.
func (ms modems) Reset(name string) error {
	for _, a := range ms {
		if a.name == name {
			a.modem.Reset()
			return nil
		}
	}
	return fmt.Errorf("there is no modem %q", name)
}
