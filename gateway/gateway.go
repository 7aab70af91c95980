// Package gateway is the daemon as a value: New builds every part in one
// straight function, Run runs them until its context ends. It also decides
// which modem takes which message.
package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"gatewayd/api"
	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/clock"
	"gatewayd/db"
	"gatewayd/failpoint"
	"gatewayd/hooks"
	hubs "gatewayd/hub"
	"gatewayd/inbox"
	"gatewayd/intake"
	"gatewayd/lan"
	"gatewayd/link"
	"gatewayd/logs"
	"gatewayd/modem"
	"gatewayd/pulse"
	"gatewayd/queue"
	"gatewayd/sms"
	numbers "gatewayd/sms/number"
	"gatewayd/support"
	"gatewayd/twilio"
	"gatewayd/twilio/standin"
	"gatewayd/webhook"
	"gatewayd/widget"
)

// Options are everything that a gateway is made of.
type Options struct {
	DataDir   string
	Region    string // default_region
	Unicode   string // of messages that don't say: allow, transliterate, reject; "": allow
	Queue     queue.Options
	Retention queue.Retention
	Consent   queue.ConsentRules
	Chat      chat.Rules
	// KeepReports is how long counts are kept; 0: for ever.
	KeepReports time.Duration
	Disk        Disk
	Alarms      AlarmOptions
	Modems      []ModemOptions
	CallsRing   bool       // incoming calls are left to ring; else they are hung up
	Limits      Limits     // of modems that are found and not among Modems
	Discovery   *Discovery // nil: modems are where Modems says, or nowhere
	Canary      Canary
	Webhooks    []webhook.Endpoint
	// PrivateWebhooks: those that the API makes, and callback URLs, may be plain HTTP
	// and addresses of this host and the LAN.
	PrivateWebhooks    bool
	KeepFailedWebhooks time.Duration // 0: until somebody retries or drops them
	Formats            map[string]webhook.Format
	Sources            []webhook.Source
	// Mail sends an e-mail; nil: there is no mail server. See webhook.Options.
	Mail        func(ctx context.Context, to []string, subject, text, id string) error
	Listener    net.Listener // where HTTP is served
	Certificate *tls.Certificate
	LAN         LAN
	// While nobody has come in, Console gets the way in as text once, and RuntimeDir has
	// it as a file; nil and "": nowhere. Newcomers is who lets in; nil: the gateway's keys.
	Console    io.Writer
	RuntimeDir string
	Newcomers  Newcomers
	// Where messages may go, whoever sends them.
	Destinations numbers.Rules
	// Connections of HTTP at once; 0: no limit.
	MaxConnections int
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	// Where programs are answered that take the gateway for api.twilio.com; nil: nowhere.
	TwilioProxy, TwilioTLS net.Listener
	MetricsOpen            bool                    // /metrics without a key
	Pages                  map[string]http.Handler // further pages behind the sign-in
	Support                []support.Part          // of a support bundle, about what is around the daemon
	Version                string
	Log                    *slog.Logger
	Clock                  *clock.Clock // nil: the machine's clock is right
	Root                   string       // where the kernel shows the machine, /sys and /proc; "": /
	// Link is to the hub that this gateway belongs to, as the configuration has it; nil: to none.
	Link *link.Options
	Hub  *hubs.Options // this is a hub of gateways: it has no modems; nil: it is none
	// For tests in virtual time: see db.Options and webhook.Options.
	SingleConn bool
	PollEvery  time.Duration // of modems; 0: as often as they are
	Transport  http.RoundTripper
}

// Gateway is one daemon.
type Gateway struct {
	o        Options                 // as it was started
	set      atomic.Pointer[Options] // as it was loaded last: of this goes what Reload can apply
	reload   reload
	log      *slog.Logger
	database *db.DB
	queue    *queue.Queue
	keys     *auth.Keys
	dispatch *dispatcher
	modems   *modems
	known    known
	alarms   *alarms
	signals  *signals
	board    board
	notifier *notifier
	heart    *heart
	backups  *backups
	balances *prometheus.GaugeVec
	free     prometheus.Gauge
	// allSettled: nothing is held of a backup. Only keepHouse touches it.
	allSettled bool
	started    time.Time
	clock      *clock.Clock
	due        sync.Mutex    // what is due is not looked at while the clock is set
	clockSet   chan struct{} // holds one: look again at what is due
	watch      pulse.Watch
	lock       *pulse.Probe // of the dispatcher's lock
	house      pulse.Pulse  // of keepHouse
	canaries   *canaries
	relook     chan struct{} // holds one: other modems are to be looked for
	metrics    *modem.Metrics
	registry   *prometheus.Registry
	webhooks   *webhook.Webhooks
	desk       *intake.Desk
	hooks      *hooks.Hooks
	talk       talk
	traces     *traces
	server     *http.Server
	country    atomic.Pointer[string] // default_region; see region
	settings   *settings
	network    *network         // nil: not on the local network
	link       *link.Link       // nil: this gateway belongs to no hub
	hub        *hubs.Hub        // nil: this is none
	twilio     *standin.StandIn // nil: no program is told that this is api.twilio.com
}

// The daemon ends within ten seconds, a part on the air after eight at most.
const (
	lastRequests = 4 * time.Second // for requests under way
	lastCall     = 5 * time.Second // until webhooks begin nothing new; they need three more, and two are left for what a busy machine delays
)

// New opens the database and builds the daemon. It starts nothing.
func New(ctx context.Context, o Options) (_ *Gateway, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{o: o, log: o.Log.With(logs.Package, "gateway"), clockSet: make(chan struct{}, 1), relook: make(chan struct{}, 1)}
	g.set.Store(&o)
	g.country.Store(&o.Region)
	g.board.root = cmp.Or(o.Root, "/")
	registry := prometheus.NewRegistry()
	g.registry = registry
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	defer func() {
		if err != nil && g.hub != nil {
			g.hub.Close()
		}
	}()
	meters := newMeters(registry, o.Version)
	if g.database, err = db.Open(ctx, db.Options{Committed: meters.committed, Dir: o.DataDir, SingleConn: o.SingleConn, Reserve: o.Disk.Reserve, Ballast: o.Disk.Ballast}); err != nil {
		return nil, err
	}
	g.sayUpgraded()
	shift, err := g.startClock(ctx, &o.Queue)
	if err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	now := o.Queue.Now
	g.canaries = newCanaries(g, o.Canary, registry)
	o.Queue.Canary = g.canaries.takes
	g.dispatch = newDispatcher(now)
	g.dispatch.trusted = g.clock.Trusted
	g.lock = pulse.NewProbe(g.dispatch.touch)
	if g.settings, err = openSettings(ctx, g.database, o.fixed()); err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	if err := g.openLAN(); err != nil {
		return nil, errors.Join(fmt.Errorf("http.lan: %w", err), g.database.Close())
	}
	g.settings.apply = g.applySettings
	g.applySettings()
	registry.MustRegister(queueAge(g.dispatch), g.aliveMeter())
	o.Queue.Stepped = meters.stepped
	o.Queue.Hub = o.Hub != nil
	o.Queue.Log, o.Queue.Region = g.logOf("queue"), g.region
	g.followConsent(&o.Queue)
	if g.queue, err = queue.Open(ctx, g.database, o.Queue); err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	if err := g.openFiles(); err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	g.keys = auth.New(g.database)
	g.keys.UseClock(now)
	g.metrics = modem.NewMetrics(registry)
	g.known = known{g.database, now, g.clock.Trusted}
	g.started = time.Now()
	g.balances = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gatewayd_modem_balance", Help: "The SIM's balance when it was asked for last, in its currency.",
	}, []string{"modem"})
	g.free = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gatewayd_disk_free_bytes", Help: "Room on the disk of data_dir; 0: it is not watched.",
	})
	registry.MustRegister(g.balances, g.free)
	if g.alarms, err = newAlarms(ctx, g.database, g.queue, now, g.log, registry); err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	g.signals = newSignals(g.database, g.clock, g.log)
	g.notifier = newNotifier(g, registry)
	g.heart = newHeart(g, registry)
	g.backups = newBackups(g.database, registry)
	if err := g.listModems(ctx); err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	if err := g.openHub(ctx); err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	if g.traces, err = newTraces(ctx, g.database, g.queue, g.modems, g.log); err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	registry.MustRegister(limitMeter{g.modems}, clockMeter(g.clock))
	g.reload.register(registry)
	g.Loaded(true)
	callback := func(url string) string { return g.webhooks.CheckCallback(url) }
	desk := intake.Options{Queue: g.queue, Modems: g.fleetModems(), Region: g.region, Destinations: o.Destinations, Clock: g.clock, Now: now, Callback: callback,
		Unicode: intake.Unicode(o.Unicode)}
	var fleet api.Fleet
	if g.hub != nil {
		desk.Fleet, fleet = g.hub, g.hub
	} else {
		desk.Foreseer = foresight{g.dispatch, g.queue}
	}
	g.desk = intake.New(desk)
	counters := api.NewMetrics(registry, g.queue)
	twilioAPI := twilio.New(twilio.Options{
		Queue: g.queue, Desk: g.desk, Keys: g.keys, DB: g.database, Region: g.region, Now: now, Log: g.logOf("twilio"),
		Client: webhook.Client(o.PrivateWebhooks, now), Callback: callback, Count: counters.Count, Cancel: g.cancel(),
	})
	g.queue.OnErase(func(tx *db.Tx, e queue.Erasure) error { return twilio.Erase(tx, e, now()) })
	formats := map[string]webhook.Format{twilio.FormatName: twilioAPI.Callbacks()}
	maps.Copy(formats, o.Formats)
	g.webhooks, err = webhook.New(webhook.Options{
		Queue: g.queue, DB: g.database, Endpoints: o.Webhooks, Log: g.logOf("webhook"), Now: now, Trusted: g.clock.Trusted, Metrics: webhook.NewMetrics(registry), Transport: o.Transport,
		Callbacks: true, AllowPrivate: o.PrivateWebhooks, KeepFailed: o.KeepFailedWebhooks, Mail: o.Mail,
		Formats: formats, Sources: append(slices.Clone(o.Sources), twilioAPI.Callbacks()), Alarm: g.webhookAlarm,
	})
	if err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	if err := g.openLink(ctx); err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	if err := g.openChat(ctx, counters); err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	if err := g.queue.Resume(); err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	g.hooks = hooks.New(hooks.Options{DB: g.database, Desk: g.desk, Now: now, Trusted: g.clock.Trusted})
	err = g.database.Write(func(tx *db.Tx) error {
		now := g.clock.Now()
		if err := g.shift(tx, shift, now, now); err != nil || shift == 0 || !g.clock.Trusted() {
			return err
		}
		return g.queue.ClockSetTx(tx, now)
	})
	if err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	if err := g.standIn(); err != nil {
		return nil, errors.Join(err, g.database.Close())
	}
	a := api.New(api.Options{
		Queue: g.queue, Desk: g.desk, Hooks: g.hooks, Keys: g.keys, Modems: g.fleetModems(), Fleet: fleet, Cancel: g.cancel(), Deliveries: g.webhooks, Webhooks: g.webhooks, Traces: g.traces, Region: g.region, System: g.system,
		Ready: g.acceptsMore, Alarms: g.systemAlarms, AlarmLog: g,
		Metrics: registry, Counters: counters, MetricsOpen: o.MetricsOpen, Pages: g.o.Pages, Name: hostname(), Version: o.Version, Support: g.Support, Log: g.logOf("api"), Now: now, Clock: g.clock,
		Settings: g.settings, LAN: g.network, Chat: g.talk.chat, Contacts: g.talk.contacts, Widgets: g.talk.widgets, Reports: g.talk.reports, Files: g.talk.files,
		Mails: func() bool { return g.set.Load().Mail != nil },
	})
	g.server = a.Server()
	g.server.Handler = mount(g.server.Handler, twilio.Prefix, twilioAPI)
	g.server.Handler = mount(g.server.Handler, widget.Prefix, g.talk.widgets)
	if g.talk.inbox != nil {
		g.server.Handler = mount(g.server.Handler, inbox.Prefix, g.talk.inbox)
		g.server.Handler = mount(g.server.Handler, inbox.Links, g.talk.inbox)
	}
	g.server.Handler = behind(o.TrustedProxies, g.server.Handler)
	if o.Certificate != nil {
		g.UseCertificate(o.Certificate)
		g.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return g.reload.certificate.Load(), nil
		}}
	}
	failpoint.Hit("gateway.built")
	return g, nil
}

// hostname is what the box is called; "" if the machine does not say.
func hostname() string {
	name, _ := os.Hostname()
	return name
}

// logOf is the logger of a package.
func (g *Gateway) logOf(name string) *slog.Logger { return g.o.Log.With(logs.Package, name) }

// mount serves what is below a path by a door of its own, and the rest as before.
func mount(rest http.Handler, below string, door http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, below) {
			door.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// standIn prepares to answer in the place of api.twilio.com, where that is wanted.
func (g *Gateway) standIn() (err error) {
	if g.o.TwilioProxy == nil && g.o.TwilioTLS == nil {
		return nil
	}
	g.twilio, err = standin.New(standin.Options{
		Dir: g.o.DataDir, Proxy: g.o.TwilioProxy, TLS: g.o.TwilioTLS, Now: g.clock.Now, Log: g.logOf("twilio"),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.server.Handler.ServeHTTP(w, r) }),
	})
	if err != nil {
		return err
	}
	g.o.Pages = maps.Clone(g.o.Pages)
	if g.o.Pages == nil {
		g.o.Pages = map[string]http.Handler{}
	}
	g.o.Pages[standin.Base] = g.twilio.Pages()
	return nil
}

// listModems makes the modems that are configured, and those that were here
// before and may come back.
func (g *Gateway) listModems(ctx context.Context) error {
	g.modems = newModems(g.known, g.signals)
	before, err := g.known.modems(ctx)
	if err != nil {
		return err
	}
	for _, k := range before {
		g.modems.know(k)
	}
	for _, m := range g.o.Modems {
		g.modems.add(g.newModem(m, true))
	}
	g.addKnown(before)
	return nil
}

// addKnown makes those of the modems that were here before which the
// configuration has no other name for.
func (g *Gateway) addKnown(before []knownModem) {
	for _, k := range before {
		if g.discovers() && g.modems.named(k.Name) == nil && !g.configured(k) {
			g.modems.add(g.newModem(ModemOptions{Name: k.Name, Limits: g.set.Load().Limits}, false))
		}
	}
}

// discovers tells whether modems are used too that the configuration does not list.
func (g *Gateway) discovers() bool {
	d := g.set.Load().Discovery
	return d != nil && d.Use
}

// configured tells whether a modem that was here goes by another name now.
func (g *Gateway) configured(k knownModem) bool {
	return g.modems.find(func(a *attached) bool {
		return a.o.IMEI == k.IMEI || a.o.ICCID != "" && a.o.ICCID == k.ICCID
	}) != nil
}

// region is the ISO country whose national numbers are understood; "": none. It
// may change while the gateway runs.
func (g *Gateway) region() string { return *g.country.Load() }

// Keys are the gateway's API keys.
func (g *Gateway) Keys() *auth.Keys { return g.keys }

// Twilio are the accounts of the Twilio-compatible API.
func (g *Gateway) Twilio() *twilio.Accounts { return twilio.NewAccounts(g.database, g.keys) }

// Queue is the gateway's queue.
func (g *Gateway) Queue() *queue.Queue { return g.queue }

// Run runs the daemon until ctx ends, then stops it in order: no new requests,
// the parts on the air end, then webhooks and database. It returns nil after
// an orderly stop.
func (g *Gateway) Run(ctx context.Context) error {
	defer func() {
		if err := g.database.Close(); err != nil {
			g.log.Error("the database did not close cleanly", "error", err)
		}
	}()
	group, ctx := errgroup.WithContext(ctx)
	// Reading the log outlives the modems, so that what they book last is told,
	// as far as there is time for it; the next start tells the rest.
	readers, stopReaders := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReaders()
	context.AfterFunc(ctx, func() { time.AfterFunc(lastCall, stopReaders) })

	if g.o.Listener != nil || g.network != nil {
		group.Go(func() error { return g.serve(ctx) })
	}
	if n := g.network; n != nil && n.announcer != nil {
		group.Go(func() error { n.announcer.Run(ctx); return nil })
	}
	group.Go(func() error { g.welcomeFirst(ctx); return nil })
	if g.twilio != nil {
		group.Go(func() error { return wrap("twilio", g.twilio.Run(ctx)) })
	}
	group.Go(func() error { g.watchFile(ctx); return nil })
	group.Go(func() error { g.keepHouse(ctx); return nil })
	group.Go(func() error { g.lookAlive(ctx); return nil })
	group.Go(func() error { g.alarms.run(ctx); return nil })
	group.Go(func() error { g.watchAlarms(ctx); return nil })
	g.notifier.run(ctx, group)
	group.Go(func() error { g.heart.run(ctx); return nil })
	group.Go(func() error { g.prune(ctx); return nil })
	group.Go(func() error { g.signals.keep(ctx); return nil })
	if g.o.Disk != (Disk{}) {
		group.Go(func() error { g.watchDisk(ctx); return nil })
	}
	group.Go(func() error { g.watchClock(ctx); return nil })
	group.Go(func() error { g.watchPower(ctx); return nil })
	g.endAlarmsOfNobody()
	group.Go(func() error { g.traces.follow(readers); return nil })
	group.Go(func() error { return wrap("webhooks", g.webhooks.Run(readers)) })
	group.Go(func() error { return g.keys.RunPost(ctx, g.letters()) })
	group.Go(func() error { return wrap("chat", g.talk.chat.Run(ctx)) })
	group.Go(func() error { return wrap("files", g.talk.files.Run(ctx)) })
	if g.talk.inbox != nil {
		group.Go(func() error { return wrap("inboxes", g.talk.inbox.Run(ctx)) })
	}
	group.Go(func() error { return wrap("widgets", g.talk.widgets.Run(ctx)) })
	group.Go(func() error { return wrap("reports", g.talk.reports.Run(readers)) })
	if g.link != nil {
		group.Go(func() error { return wrap("the link to the hub", g.link.Run(readers)) })
	}

	if g.hub != nil {
		group.Go(func() error { return wrap("hub", g.hub.Run(ctx)) })
	} else {
		group.Go(func() error { g.dispatch.follow(ctx, g.queue, g.log); return nil })
		group.Go(func() error { g.sayNoModem(ctx); return nil })
		group.Go(func() error { g.canaries.run(ctx); return nil })
	}
	sending := sync.WaitGroup{}
	g.modems.run(func(a *attached) {
		ctx, stop := context.WithCancel(ctx)
		a.stop, a.ended = stop, make(chan struct{})
		sending.Go(func() {
			defer close(a.ended)
			a.work(ctx, g.log)
		})
	})
	g.reload.begin(ctx)
	if g.o.Discovery != nil {
		sending.Go(func() { g.find(ctx) })
	}
	group.Go(func() error {
		<-ctx.Done()
		failpoint.Hit("gateway.stopping")
		g.reload.end() // so that no modem is started any more
		sending.Wait()
		failpoint.Hit("gateway.stopped")
		stopReaders()
		return nil
	})
	address := "nowhere"
	if g.o.Listener != nil {
		address = g.o.Listener.Addr().String()
	}
	g.log.Info("gateway started", "listen", address, "version", g.o.Version, "modems", len(g.o.Modems), "webhooks", len(g.o.Webhooks))

	return group.Wait()
}

// lookedFor is how long it takes until every modem that is plugged in was seen.
const lookedFor = 30 * time.Second

// sayNoModem says it once when there is nothing to send with.
func (g *Gateway) sayNoModem(ctx context.Context) {
	if !sleep(ctx, lookedFor) {
		return
	}
	for _, m := range g.modems.List() {
		if m.State != sms.Absent {
			return
		}
	}
	g.log.Warn("no modem is there; messages are accepted and wait", "advice", "plug one in; gatewayd modems tells what this machine sees")
}

// endAlarmsOfNobody ends the alarms of modems and SIMs that nobody watches any more.
func (g *Gateway) endAlarmsOfNobody() {
	present, watched, dated := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, a := range g.modems.attached() {
		present[a.o.Name] = true
		if w := a.account; w != nil {
			watched[a.o.Name], dated[a.o.Name] = w.Code != "", !w.TopUpBy.IsZero()
		}
	}
	g.alarms.endOthers([]string{balanceLow, balanceUnknown}, watched)
	g.alarms.endOthers([]string{topUpDue}, dated)
	g.alarms.endOthers([]string{modemParked, modemDeaf}, present)
}

func wrap(what string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (g *Gateway) serve(ctx context.Context) error {
	failed := make(chan error, 2)
	// Event streams and long requests end with the base context.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	g.server.BaseContext = func(net.Listener) context.Context { return base }
	limit := func(l net.Listener) net.Listener { return l }
	if g.o.MaxConnections > 0 {
		limit = lan.NewLimit(g.o.MaxConnections).Listener
	}
	doors, encrypted := 0, g.server.TLSConfig != nil // Serve writes there
	if l := g.o.Listener; l != nil {
		doors++
		go func() {
			if encrypted {
				failed <- g.server.ServeTLS(limit(l), "", "")
				return
			}
			failed <- g.server.Serve(limit(l))
		}()
	}
	if n := g.network; n != nil {
		doors++
		go func() { failed <- g.server.Serve(n.door(limit(n.listener), &g.reload.certificate)) }()
	}
	select {
	case err := <-failed:
		return fmt.Errorf("HTTP: %w", err)
	case <-ctx.Done():
	}
	cancel()
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), lastRequests)
	defer done()
	if err := g.server.Shutdown(stop); err != nil {
		g.server.Close()
	}
	for range doors {
		<-failed
	}
	return nil
}
