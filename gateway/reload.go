package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/intake"
	"gatewayd/sms"
	"gatewayd/webhook"
)

// Changes are what other options change, in words: setting by setting.
type Changes struct {
	Applied []string // it holds now
	Restart []string // it differs from what the daemon runs with, and needs a restart
}

// reload is what Reload needs of Run.
type reload struct {
	mu          sync.Mutex      // one reload at a time, and none while the daemon ends
	running     context.Context // nil: Run has not begun, or has ended
	certificate atomic.Pointer[tls.Certificate]
	successful  prometheus.Gauge // as Prometheus names its own
	loadedAt    prometheus.Gauge
}

func (r *reload) register(to prometheus.Registerer) {
	r.successful = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gatewayd_config_last_reload_successful", Help: "1 if the configuration that was read last is the one that holds, 0 if it was refused.",
	})
	r.loadedAt = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gatewayd_config_last_reload_success_timestamp_seconds", Help: "When the configuration that holds was read.",
	})
	to.MustRegister(r.successful, r.loadedAt)
}

// Loaded tells, for whoever watches, whether the configuration that was read last
// is the one that holds.
func (g *Gateway) Loaded(ok bool) {
	if !ok {
		g.reload.successful.Set(0)
		return
	}
	g.reload.successful.Set(1)
	g.reload.loadedAt.Set(float64(g.clock.Now().UnixMilli()) / 1000)
}

func (r *reload) begin(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = ctx
}

func (r *reload) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = nil
}

// UseCertificate has TLS connections from now on be answered with it.
func (g *Gateway) UseCertificate(c *tls.Certificate) { g.reload.certificate.Store(c) }

// ErrNotRunning is told of a gateway that has not begun to run, or has ended.
var ErrNotRunning = errors.New("the gateway is starting or stopping; nothing was changed")

// Reload has other options hold while the gateway runs, as far as that can be:
// all of that, or on an error nothing. A modem that is described otherwise is
// stopped after its part on the air and started as it is described now; the others
// do not notice. Listeners, paths and capacities stay as they are; what of it
// differs is told.
func (g *Gateway) Reload(o Options) (Changes, error) {
	g.reload.mu.Lock()
	defer g.reload.mu.Unlock()
	ctx := g.reload.running
	if ctx == nil || ctx.Err() != nil {
		return Changes{}, ErrNotRunning
	}
	was := g.set.Load()
	if err := checkModems(o.Modems); err != nil {
		return Changes{}, err
	}
	before, err := g.known.modems(ctx)
	if err != nil {
		return Changes{}, err
	}
	// It is the one thing that can fail, so it comes first.
	if err := g.webhooks.Configure(ctx, webhook.Configuration{Endpoints: o.Webhooks, Mail: o.Mail, KeepFailed: o.KeepFailedWebhooks}); err != nil {
		return Changes{}, fmt.Errorf("webhooks: %w", err)
	}
	c := Changes{Restart: g.needRestart(o)}
	changed := func(what string, old, new any) {
		if !reflect.DeepEqual(old, new) {
			c.Applied = append(c.Applied, what)
		}
	}
	changed("webhooks", was.Webhooks, o.Webhooks)
	changed("destinations", was.Destinations, o.Destinations)
	changed("messages.unicode", was.Unicode, o.Unicode)
	changed("history", [3]any{was.Retention, was.KeepFailedWebhooks, was.KeepReports}, [3]any{o.Retention, o.KeepFailedWebhooks, o.KeepReports})
	changed("consent", was.Consent, o.Consent)
	changed("chat", was.Chat, o.Chat)
	changed("modems.calls", was.CallsRing, o.CallsRing)
	changed("modems.canary", was.Canary, o.Canary)
	changed("default_region", was.Region, o.Region)
	changed("http.lan.name", was.LAN.Name, o.LAN.Name)
	changed("alarms", was.Alarms.withoutReceivers(), o.Alarms.withoutReceivers())
	changed("modems.discover", was.Discovery != nil && was.Discovery.Use, o.Discovery != nil && o.Discovery.Use)
	if g.o.Certificate != nil && o.Certificate != nil && !reflect.DeepEqual(g.reload.certificate.Load().Certificate, o.Certificate.Certificate) {
		g.UseCertificate(o.Certificate)
		c.Applied = append(c.Applied, "http.tls (the certificate)")
	}
	g.desk.TurnTo(intake.Unicode(o.Unicode), o.Destinations)
	g.set.Store(&o)
	g.settings.configure(o.fixed())
	g.endHeartbeatAlarm()
	g.canaries.turnTo(o.Canary)
	c.Applied = append(c.Applied, g.changeModems(was, &o, before)...)
	return c, nil
}

// checkModems finds what no modem could be told apart by.
func checkModems(all []ModemOptions) error {
	names := map[string]bool{}
	for _, m := range all {
		if m.Name == "" || names[m.Name] {
			return fmt.Errorf("modems: the name %q is missing or there twice", m.Name)
		}
		names[m.Name] = true
	}
	return nil
}

// needRestart names the settings that the daemon does not run with and can't
// take over.
func (g *Gateway) needRestart(o Options) (words []string) {
	for _, s := range []struct {
		what     string
		old, new any
	}{
		{"data_dir", g.o.DataDir, o.DataDir},
		{"queue.outbound_capacity", g.o.Queue.OutboundCapacity, o.Queue.OutboundCapacity},
		{"queue.inbound_capacity", g.o.Queue.InboundCapacity, o.Queue.InboundCapacity},
		{"queue.unconfirmed_wait", g.o.Queue.UnconfirmedWait, o.Queue.UnconfirmedWait},
		{"queue.report_wait", g.o.Queue.ReportWait, o.Queue.ReportWait},
		{"queue.assembly_wait", g.o.Queue.AssemblyWait, o.Queue.AssemblyWait},
		{"disk", g.o.Disk, o.Disk},
		{"hub", g.o.hubAt(), o.hubAt()},
		{"http.allow_private_webhooks", g.o.PrivateWebhooks, o.PrivateWebhooks},
		{"http.max_connections", g.o.MaxConnections, o.MaxConnections},
		{"http.trusted_proxies", fmt.Sprint(g.o.TrustedProxies), fmt.Sprint(o.TrustedProxies)},
		{"http.metrics_open", g.o.MetricsOpen, o.MetricsOpen},
		{"http.tls (whether there is any)", g.o.Certificate != nil, o.Certificate != nil},
	} {
		if s.old != s.new {
			words = append(words, s.what)
		}
	}
	return words
}

// changeModems stops the modems that are not to be, or to be otherwise, and
// starts those that are to be. It tells what it did.
func (g *Gateway) changeModems(was, o *Options, before []knownModem) (words []string) {
	find := func(all []ModemOptions, name string) *ModemOptions {
		if i := slices.IndexFunc(all, func(m ModemOptions) bool { return m.Name == name }); i >= 0 {
			return &all[i]
		}
		return nil
	}
	var stop, stay []*attached
	for _, a := range g.modems.attached() {
		is := find(o.Modems, a.o.Name)
		switch {
		case a.listed && is != nil && a.o.same(*is), !a.listed && g.discovers() && !claimed(a, o.Modems):
			stay = append(stay, a)
		default:
			stop = append(stop, a)
		}
	}
	g.stopModems(stop)
	for _, a := range stay {
		limits := o.Limits
		if is := find(o.Modems, a.o.Name); is != nil {
			limits = is.Limits
		}
		if a.feed.limitsNow() != limits {
			a.feed.turnTo(limits)
			words = append(words, fmt.Sprintf("modem %s: its limits", a.o.Name))
		}
	}
	for _, m := range o.Modems {
		if g.modems.named(m.Name) == nil {
			verb := "added"
			if slices.ContainsFunc(stop, func(a *attached) bool { return a.o.Name == m.Name }) {
				verb = "started anew"
			}
			g.modems.add(g.newModem(m, true))
			words = append(words, fmt.Sprintf("modem %s: %s", m.Name, verb))
		}
	}
	g.addKnown(before)
	g.modems.order(o.Modems)
	for _, a := range stop {
		if g.modems.named(a.o.Name) != nil {
			continue
		}
		g.metrics.Forget(a.o.Name)
		g.balances.DeleteLabelValues(a.o.Name)
		g.alarms.drop(a.o.Name)
		gone := sms.Modem{Name: a.o.Name, State: sms.Absent, Reason: "The configuration does not have it any more.", Since: g.dispatch.now()}
		g.tell(gone)
		words = append(words, fmt.Sprintf("modem %s: removed", a.o.Name))
	}
	g.endAlarmsOfNobody()
	select {
	case g.relook <- struct{}{}:
	default:
	}
	return words
}

// claimed tells whether the configuration lists a modem that was found before.
func claimed(a *attached, listed []ModemOptions) bool {
	m := a.modem.Snapshot()
	return slices.ContainsFunc(listed, func(l ModemOptions) bool {
		return strings.EqualFold(l.Name, a.o.Name) || l.IMEI != "" && l.IMEI == m.IMEI || l.ICCID != "" && l.ICCID == m.ICCID
	})
}

// stopModems ends the loops of some modems, each after its part on the air, and
// settles what they had in hand.
func (g *Gateway) stopModems(all []*attached) {
	for _, a := range all {
		a.retired.Store(true)
		a.feed.retire()
		a.stop()
	}
	for _, a := range all {
		<-a.ended
		a.feed.settle()
		g.metrics.Stopped(a.o.Name)
		g.modems.remove(a)
	}
}

// same tells whether a modem need not be started anew to be as described.
func (m ModemOptions) same(n ModemOptions) bool {
	pattern := func(o ModemOptions) string {
		if o.Pattern == nil {
			return ""
		}
		return o.Pattern.String()
	}
	if pattern(m) != pattern(n) || (m.Open == nil) != (n.Open == nil) {
		return false
	}
	for _, o := range []*ModemOptions{&m, &n} {
		o.Open, o.Pattern, o.Limits = nil, nil, Limits{}
	}
	return reflect.DeepEqual(m, n)
}

// remove takes a modem off the list.
func (ms *modems) remove(a *attached) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.all = slices.DeleteFunc(ms.all, func(b *attached) bool { return a == b })
}

// order puts the modems in the order of the configuration, then those that were found.
func (ms *modems) order(listed []ModemOptions) {
	place := func(a *attached) int {
		i := slices.IndexFunc(listed, func(m ModemOptions) bool { return m.Name == a.o.Name })
		if i < 0 {
			return len(listed)
		}
		return i
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	slices.SortStableFunc(ms.all, func(a, b *attached) int { return cmp.Compare(place(a), place(b)) })
}
