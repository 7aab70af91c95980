package api

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/queue"
	"gatewayd/sms"
)

// Metrics counts requests. The queue's numbers are read when they are asked
// for, so they can't drift.
type Metrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	listeners func() float64
}

// NewMetrics registers the API's metrics, and the queue's, with r.
func NewMetrics(r prometheus.Registerer, q *queue.Queue) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatewayd_http_requests_total",
			Help: "HTTP requests answered, by route, method and class of status.",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gatewayd_http_request_duration_seconds",
			Help:    "Time from a request's header to the end of its answer, by route; event streams are left out.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route"}),
		listeners: func() float64 { return 0 },
	}
	r.MustRegister(m.requests, m.duration, queueCollector{q},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatewayd_http_event_streams",
			Help: "Event streams that are open.",
		}, func() float64 { return m.listeners() }))
	return m
}

// Count books one request; m may be nil.
func (m *Metrics) Count(route, method string, status int, took time.Duration) {
	if m == nil {
		return
	}
	if route == "" {
		route = "unmatched" // one label for whatever is tried
	}
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
	default:
		method = "other"
	}
	m.requests.WithLabelValues(route, method, fmt.Sprintf("%dxx", status/100)).Inc()
	if route != "/v1/events" {
		m.duration.WithLabelValues(route).Observe(took.Seconds())
	}
}

var (
	ringCapacity = prometheus.NewDesc("gatewayd_queue_capacity", "Slots of the ring.", []string{"ring"}, nil)
	ringDepth    = prometheus.NewDesc("gatewayd_queue_depth", "Slots of the ring in use: not yet processed.", []string{"ring"}, nil)
	ringPointer  = prometheus.NewDesc("gatewayd_queue_pointer", "Address of the slot that got the flag last.", []string{"ring", "flag"}, nil)
	openMessages = prometheus.NewDesc("gatewayd_messages_open", "Outbound messages on their way, by status.", []string{"status"}, nil)
)

// queueCollector reads the rings at scrape time.
type queueCollector struct{ q *queue.Queue }

func (queueCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- ringCapacity
	ch <- ringDepth
	ch <- ringPointer
	ch <- openMessages
}

func (c queueCollector) Collect(ch chan<- prometheus.Metric) {
	rings := c.q.Stats()
	collectRing(ch, "outbound", rings.Outbound)
	collectRing(ch, "inbound", rings.Inbound)
	for status, n := range c.q.CountByStatus() {
		ch <- prometheus.MustNewConstMetric(openMessages, prometheus.GaugeValue, float64(n), string(status))
	}
}

func collectRing(ch chan<- prometheus.Metric, name string, r sms.Ring) {
	ch <- prometheus.MustNewConstMetric(ringCapacity, prometheus.GaugeValue, float64(r.Capacity), name)
	ch <- prometheus.MustNewConstMetric(ringDepth, prometheus.GaugeValue, float64(r.Depth), name)
	for flag, p := range pointers(r) {
		if p != nil {
			ch <- prometheus.MustNewConstMetric(ringPointer, prometheus.GaugeValue, float64(*p), name, flag)
		}
	}
}

func pointers(r sms.Ring) map[string]*int {
	return map[string]*int{"retrieved": r.LastRetrieved, "sent": r.LastSent, "confirmed": r.LastConfirmed, "processed": r.LastProcessed}
}
