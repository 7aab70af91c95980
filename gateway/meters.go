package gateway

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/sms"
)

// meters measure what becomes of messages, and the commits that it takes. Each
// label's values are found once: what is measured costs no memory.
type meters struct {
	messages         map[sms.Status]prometheus.Counter
	toSend, toReport prometheus.Observer
	group, commit    prometheus.Observer
}

func newMeters(r prometheus.Registerer, version string) *meters {
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gatewayd_build_info", Help: "1, with what was built as labels.",
	}, []string{"version", "goversion", "goarch"})
	build.WithLabelValues(version, runtime.Version(), runtime.GOARCH).Set(1)
	messages := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatewayd_messages_total", Help: "Outbound messages that have come to a status, once for each time.",
	}, []string{"status"})
	toSend := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "gatewayd_message_send_duration_seconds", Help: "Time from acceptance, or send_at, until the network has all parts.",
		Buckets: []float64{.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400},
	})
	toReport := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "gatewayd_message_delivery_duration_seconds", Help: "Time from the network's confirmation until the last status report.",
		Buckets: []float64{.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400},
	})
	group := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "gatewayd_database_commit_functions", Help: "Pieces of work that share one commit.",
		Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256},
	})
	commit := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "gatewayd_database_commit_duration_seconds", Help: "Time from the begin of a transaction until it is on disk.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	})
	r.MustRegister(build, messages, toSend, toReport, group, commit)
	m := &meters{messages: map[sms.Status]prometheus.Counter{}, toSend: toSend, toReport: toReport, group: group, commit: commit}
	for _, s := range []sms.Status{sms.Sent, sms.Delivered, sms.Undelivered, sms.Unconfirmed, sms.Failed, sms.Expired, sms.Canceled} {
		m.messages[s] = messages.WithLabelValues(string(s))
	}
	return m
}

// committed is for db.Options.
func (m *meters) committed(functions int, took time.Duration) {
	m.group.Observe(float64(functions))
	m.commit.Observe(took.Seconds())
}

// stepped is for queue.Options.
func (m *meters) stepped(to sms.Status, after time.Duration) {
	if c := m.messages[to]; c != nil {
		c.Inc()
	}
	switch {
	case after < 0:
	case to == sms.Sent:
		m.toSend.Observe(after.Seconds())
	case to == sms.Delivered, to == sms.Undelivered:
		m.toReport.Observe(after.Seconds())
	}
}

// queueAge reads how long the oldest message waits when it is asked for.
func queueAge(d *dispatcher) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatewayd_queue_oldest_age_seconds", Help: "How long the message waits that could go longest, of those that are lined up for modems; 0: none waits.",
	}, func() float64 { return d.oldestAge().Seconds() })
}

// oldestAge is for how long the message waits that waits longest; see oldest.
func (d *dispatcher) oldestAge() time.Duration {
	if since, waits := d.oldest(); waits {
		return d.now().Sub(since)
	}
	return 0
}
