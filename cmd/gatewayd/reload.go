package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"gatewayd/clock"
	"gatewayd/config"
	"gatewayd/gateway"
	"gatewayd/logs"
)

// reloader reads the configuration again when SIGHUP asks for it, and the
// certificate when its file is another.
type reloader struct {
	path    string
	level   string // of --log; "": what the configuration says
	signals chan os.Signal
	logs    *logs.Switch
	clock   *clock.Clock
	be      be             // what the daemon is to be: a gateway, or a hub
	started *config.Config // what the process was started with
	loaded  *config.Config // what holds
	told    []string       // that need a restart
	file    stamp          // of the certificate that is used
}

// levels are what is to be logged: --log goes before the configuration.
func (r *reloader) levels(c *config.Config) (logs.Levels, error) {
	if r.level == "" {
		return logs.Levels{Least: c.Log.Level, Of: c.Log.Levels}, nil
	}
	l, err := levelOf(r.level)
	return logs.Levels{Least: l}, err
}

// certificateEvery is how often it is looked whether the certificate was renewed.
const certificateEvery = time.Minute

// run does that until the context ends; telling is called before a configuration is
// read again, and what it returns afterwards.
func (r *reloader) run(ctx context.Context, g *gateway.Gateway, log *slog.Logger, telling func() (done func())) {
	log = log.With(logs.Package, "gateway")
	r.file = stampOf(r.loaded)
	tick := time.NewTicker(certificateEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.signals:
			done := telling()
			g.Loaded(r.reload(ctx, g, log))
			done()
		case <-tick.C:
			r.renew(g, log)
		case <-ctx.Done():
			return
		}
	}
}

// reload reads the configuration and has it hold, all or nothing.
func (r *reloader) reload(ctx context.Context, g *gateway.Gateway, log *slog.Logger) bool {
	const refused = "the configuration was read again and is refused: nothing has changed, and the daemon goes on with the one before"
	c, err := config.Load(r.path, os.Environ())
	if err != nil {
		var mistakes config.Errors
		if !errors.As(err, &mistakes) {
			mistakes = config.Errors{{Allowed: err.Error()}}
		}
		log.Error(refused, "mistakes", len(mistakes), "advice", "gatewayd check-config tells them too")
		for _, m := range mistakes {
			log.Error("a mistake in the configuration", "mistake", m.Error())
		}
		return false
	}
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	file := stampOf(c)
	o, err := options(c, log)
	var changes gateway.Changes
	if err == nil {
		o.Clock = r.clock
		err = r.be(c, &o, log)
	}
	if err == nil {
		changes, err = r.apply(ctx, g, o)
	}
	if err != nil {
		log.Error(refused, "error", err)
		return false
	}
	if levels, err := r.levels(c); err == nil {
		r.logs.Set(levels)
	}
	for what, pair := range map[string][2]any{"mail": {r.loaded.Mail, c.Mail}, "log": {r.loaded.Log, c.Log}} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			changes.Applied = append(changes.Applied, what)
		}
	}
	for what, pair := range map[string][2]any{"http.listen": {r.started.HTTP.Listen, c.HTTP.Listen}, "http.lan.listen": {r.started.HTTP.LAN.Listen, c.HTTP.LAN.Listen}, "twilio": {r.started.Twilio, c.Twilio}, "clock.trust": {r.started.Clock, c.Clock}, "hub": {r.started.Hub, c.Hub}} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			changes.Restart = append(changes.Restart, what)
		}
	}
	r.loaded, r.file = c, file
	words := "nothing"
	if len(changes.Applied) > 0 {
		slices.Sort(changes.Applied)
		words = strings.Join(changes.Applied, "; ")
	}
	log.Info("the configuration was read again", "changed", words)
	slices.Sort(changes.Restart)
	if len(changes.Restart) > 0 && !slices.Equal(changes.Restart, r.told) {
		log.Warn("some of what the configuration says needs a restart", "settings", strings.Join(changes.Restart, ", "),
			"advice", "systemctl restart gatewayd, when it suits")
	}
	r.told = changes.Restart
	return true
}

// apply waits for a gateway that is only just starting.
func (r *reloader) apply(ctx context.Context, g *gateway.Gateway, o gateway.Options) (c gateway.Changes, err error) {
	for range 50 {
		if c, err = g.Reload(o); !errors.Is(err, gateway.ErrNotRunning) {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return c, err
		}
	}
	return c, err
}

// stamp tells one state of the certificate's files from another.
type stamp struct{ certificate, key time.Time }

func stampOf(c *config.Config) (s stamp) {
	if info, err := os.Stat(c.HTTP.TLSCertificate); err == nil {
		s.certificate = info.ModTime()
	}
	if info, err := os.Stat(c.HTTP.TLSKey); err == nil {
		s.key = info.ModTime()
	}
	return s
}

// renew uses the certificate that is in the files now, if it is another.
func (r *reloader) renew(g *gateway.Gateway, log *slog.Logger) {
	now := stampOf(r.loaded)
	if r.started.HTTP.TLSCertificate == "" || r.loaded.HTTP.TLSCertificate == "" || now == r.file {
		return
	}
	r.file = now
	pair, err := tls.LoadX509KeyPair(r.loaded.HTTP.TLSCertificate, r.loaded.HTTP.TLSKey)
	if err != nil { // perhaps one of the two is written yet
		log.Warn("the TLS certificate's files have changed and can't be used; the one before goes on", "error", err)
		return
	}
	g.UseCertificate(&pair)
	log.Info("the TLS certificate was read again", "expires", pair.Leaf.NotAfter)
}
