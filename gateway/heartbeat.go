package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/webhook"
)

// Heartbeat is the dead-man signal: an address that is asked every minute while the
// daemon lives. Whoever is behind it raises the alarm when that stops.
type Heartbeat struct {
	URL     string // "": none
	Method  string // GET or POST; "": GET
	Private bool   // plain HTTP, and addresses of this host and the LAN, are allowed
}

const (
	beatEvery   = time.Minute
	beatTimeout = 15 * time.Second
	beatMisses  = 3 // in a row are an alarm
)

type heart struct {
	g      *Gateway
	o      Heartbeat // that client was made for
	client *http.Client
	last   atomic.Int64 // Unix seconds of the last success
	misses int
}

func newHeart(g *Gateway, r prometheus.Registerer) *heart {
	h := &heart{g: g}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatewayd_heartbeat_last_success_timestamp_seconds", Help: "When the dead-man signal got through last; 0: not since the start, or there is none.",
	}, func() float64 { return float64(h.last.Load()) }))
	return h
}

// run asks every minute, until ctx ends, whoever is to be asked by then.
func (h *heart) run(ctx context.Context) {
	for {
		if o := h.g.set.Load().Alarms.Heartbeat; o != h.o {
			h.turnTo(o)
		}
		if h.o.URL != "" {
			h.beat(ctx)
		}
		if !sleep(ctx, beatEvery) {
			return
		}
	}
}

func (h *heart) turnTo(o Heartbeat) {
	h.o, h.misses = o, 0
	h.client = webhook.Client(o.Private, h.g.dispatch.now)
	h.client.Timeout = beatTimeout
	if h.g.o.Transport != nil {
		h.client.Transport = h.g.o.Transport
	}
}

// beat asks once, if the daemon lives and its database accepts. What it is asked
// not to say it does not say: nobody there is to think that all is well.
func (h *heart) beat(ctx context.Context) {
	if err := cmp.Or(h.g.Alive(), h.g.database.Damage(), h.g.database.Room()); err != nil {
		h.g.log.Warn("the dead-man signal is not sent", "because", err)
		return
	}
	err := h.ask(ctx)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		h.last.Store(h.g.dispatch.now().Unix())
		h.misses = 0
		h.g.alarms.end(heartbeatFails, "")
	default:
		h.misses++
		h.g.log.Debug("the dead-man signal did not get through", "misses", h.misses, "error", err)
		if h.misses >= beatMisses {
			h.g.alarms.begin(heartbeatFails, "", "The dead-man signal does not get through", "At the last try "+err.Error()+". "+kindOf(heartbeatFails).advice)
		}
	}
}

func (h *heart) ask(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, cmp.Or(h.o.Method, http.MethodGet), h.o.URL, nil)
	if err != nil {
		return errors.New("its address can't be used")
	}
	r.Header.Set("User-Agent", "gatewayd/"+h.g.o.Version)
	answer, err := h.client.Do(r)
	if err != nil {
		// Without the address, which may be a secret.
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return fmt.Errorf("the receiver can't be reached: %w", err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("the receiver answered %s", answer.Status)
	}
	return nil
}
