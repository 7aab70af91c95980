package webhook

import (
	"context"
	"database/sql"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"gatewayd/db"
)

// Metrics count what webhooks do.
type Metrics struct {
	attempts  *prometheus.CounterVec
	endpoints *endpointCollector
}

// NewMetrics makes the metrics and registers them; a nil registry is for tests.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		attempts: promauto.With(r).NewCounterVec(prometheus.CounterOpts{
			Name: "gatewayd_webhook_attempts_total",
			Help: "Webhook attempts by their end: delivered, retry, failed (given up), gone (410, the endpoint is disabled), dropped (the message was erased). What messages name themselves counts as callback.",
		}, []string{"endpoint", "result"}),
		endpoints: &endpointCollector{
			lag: prometheus.NewDesc("gatewayd_webhook_lag_seconds",
				"Age of the oldest event that the endpoint has not taken, 0 if none waits.", []string{"endpoint"}, nil),
			disabled: prometheus.NewDesc("gatewayd_webhook_disabled",
				"1 if the endpoint is disabled, since it answered 410 or failed for three days.", []string{"endpoint"}, nil),
		},
	}
	if r != nil {
		r.MustRegister(m.endpoints)
	}
	return m
}

// endpointCollector reads the endpoints' table at scrape time, so that a gauge
// can't drift from it.
type endpointCollector struct {
	source        atomic.Pointer[Webhooks]
	lag, disabled *prometheus.Desc
}

func (c *endpointCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.lag
	ch <- c.disabled
}

func (c *endpointCollector) Collect(ch chan<- prometheus.Metric) {
	w := c.source.Load()
	if w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, e := range w.list() {
		off := 0.0
		if e.disabled.Load() {
			off = 1
		}
		ch <- prometheus.MustNewConstMetric(c.disabled, prometheus.GaugeValue, off, e.name())
		if lag, err := w.store.lag(ctx, e.id); err == nil {
			ch <- prometheus.MustNewConstMetric(c.lag, prometheus.GaugeValue, lag.Seconds(), e.name())
		}
	}
}

// lag is the age of the oldest pending delivery.
func (s *store) lag(ctx context.Context, endpoint int64) (lag time.Duration, err error) {
	err = s.db.Read(ctx, func(r db.Querier) error {
		var oldest sql.NullInt64
		err := r.QueryRow(`SELECT min(created_at) FROM webhook_deliveries WHERE endpoint = ? AND head = 1`, endpoint).Scan(&oldest)
		if oldest.Valid {
			lag = max(s.now().Sub(moment(oldest.Int64)), 0)
		}
		return err
	})
	return lag, err
}
