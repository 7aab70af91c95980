package modem

import (
	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/sms"
)

// Metrics are shared by all modems of a process.
type Metrics struct {
	parts            *prometheus.CounterVec
	seconds          *prometheus.HistogramVec
	state            *prometheus.GaugeVec
	received         *prometheus.CounterVec
	late             *prometheus.CounterVec
	restarts         *prometheus.CounterVec
	signal           *prometheus.GaugeVec
	rsrp, rsrq, sinr *prometheus.GaugeVec
	healings         *prometheus.CounterVec
}

// NewMetrics registers the modems' metrics; with nil they are kept for nobody.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		parts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatewayd_modem_parts_total", Help: "SMS parts by modem and result.",
		}, []string{"modem", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatewayd_modem_send_seconds", Help: "Time from Ctrl-Z to the modem's result.",
			Buckets: []float64{.01, .05, .1, .5, 1, 2, 3, 5, 10, 20, 40, 60, 120},
		}, []string{"modem"}),
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatewayd_modem_state", Help: "1 for the state that the modem is in.",
		}, []string{"modem", "state"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatewayd_modem_received_total", Help: "Received PDUs by modem and kind.",
		}, []string{"modem", "kind"}),
		late: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatewayd_modem_late_answers_total", Help: "Answers to CMGS that came after the deadline.",
		}, []string{"modem"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatewayd_modem_restarts_total", Help: "Bring-ups after the first.",
		}, []string{"modem"}),
		signal: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatewayd_modem_signal_dbm", Help: "Received signal strength (RSSI).",
		}, []string{"modem"}),
		rsrp: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatewayd_modem_signal_rsrp_dbm", Help: "Reference signal received power, of LTE and NR.",
		}, []string{"modem"}),
		rsrq: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatewayd_modem_signal_rsrq_db", Help: "Reference signal received quality, of LTE and NR.",
		}, []string{"modem"}),
		sinr: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatewayd_modem_signal_sinr_db", Help: "Signal to interference and noise ratio, of LTE and NR.",
		}, []string{"modem"}),
		healings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatewayd_modem_healing_total", Help: "Steps taken to heal a modem, by step and outcome.",
		}, []string{"modem", "step", "outcome"}),
	}
	if r != nil {
		r.MustRegister(m.parts, m.seconds, m.state, m.received, m.late, m.restarts, m.signal, m.rsrp, m.rsrq, m.sinr, m.healings)
	}
	return m
}

// Stopped ends what is told of a modem that is driven no more, as it was.
func (m *Metrics) Stopped(modem string) {
	of := prometheus.Labels{"modem": modem}
	m.state.DeletePartialMatch(of)
	m.signal.DeletePartialMatch(of)
}

// Forget ends all that is told of a modem that nobody knows any more.
func (m *Metrics) Forget(modem string) {
	m.Stopped(modem)
	of := prometheus.Labels{"modem": modem}
	for _, counter := range []*prometheus.CounterVec{m.parts, m.received, m.late, m.restarts, m.healings} {
		counter.DeletePartialMatch(of)
	}
	m.seconds.DeletePartialMatch(of)
}

// meters are one modem's, found once.
type meters struct {
	parts             [4]prometheus.Counter // by Result
	seconds           prometheus.Observer
	messages, reports prometheus.Counter
	late, restarts    prometheus.Counter
	all               *Metrics
	state             *prometheus.GaugeVec
	healings          *prometheus.CounterVec
	modem             string
	last              sms.ModemState
}

func (m *Metrics) of(modem string) *meters {
	return &meters{
		parts: [4]prometheus.Counter{
			NotSent:   m.parts.WithLabelValues(modem, "not_sent"),
			Refused:   m.parts.WithLabelValues(modem, "refused"),
			Unknown:   m.parts.WithLabelValues(modem, "unknown"),
			Confirmed: m.parts.WithLabelValues(modem, "confirmed"),
		},
		seconds:  m.seconds.WithLabelValues(modem),
		messages: m.received.WithLabelValues(modem, "message"),
		reports:  m.received.WithLabelValues(modem, "report"),
		late:     m.late.WithLabelValues(modem),
		restarts: m.restarts.WithLabelValues(modem),
		all:      m,
		state:    m.state, healings: m.healings, modem: modem,
	}
}

func (m *meters) is(s sms.ModemState) {
	if m.last == s {
		return
	}
	if m.last != "" {
		m.state.WithLabelValues(m.modem, string(m.last)).Set(0)
	}
	m.state.WithLabelValues(m.modem, string(s)).Set(1)
	m.last = s
}

func (m *meters) healing(step, outcome string) {
	m.healings.WithLabelValues(m.modem, step, outcome).Inc()
}

// hears tells the signal, and nothing of what is not known.
func (m *meters) hears(s *sms.Signal) {
	tell := func(g *prometheus.GaugeVec, v *float64) {
		if v == nil {
			g.DeleteLabelValues(m.modem)
			return
		}
		g.WithLabelValues(m.modem).Set(*v)
	}
	if s == nil {
		s = &sms.Signal{}
		tell(m.all.signal, nil)
	} else {
		m.all.signal.WithLabelValues(m.modem).Set(float64(s.DBm))
	}
	tell(m.all.rsrp, s.RSRP)
	tell(m.all.rsrq, s.RSRQ)
	tell(m.all.sinr, s.SINR)
}
