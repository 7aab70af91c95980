package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/chat"
	"gatewayd/clock"
	"gatewayd/config"
	"gatewayd/db"
	"gatewayd/gateway"
	"gatewayd/link"
	"gatewayd/logs"
	"gatewayd/mail"
	"gatewayd/modem/ports"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/webhook"
)

// idempotencyKept and eventsKept are how long answers and the event log are
// kept; durable readers keep the log longer.
const (
	idempotencyKept = 7 * 24 * time.Hour
	eventsKept      = 30 * 24 * time.Hour
)

// configFlag adds --config; GATEWAYD_CONFIG is its default.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", os.Getenv("GATEWAYD_CONFIG"), "configuration file (YAML); also GATEWAYD_CONFIG")
}

func runCommand() *cobra.Command {
	return daemonCommand("Run the daemon on real serial ports", beGateway)
}

// be checks that a configuration is one of what a daemon is to be, and has its options say so.
type be func(*config.Config, *gateway.Options, *slog.Logger) error

// daemonCommand runs a daemon, as a gateway or as a hub: be checks that the configuration
// is one of that, and makes it so.
func daemonCommand(short string, be be) *cobra.Command {
	var path, level string
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: short,
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := reloader{path: path, level: level, be: be, signals: make(chan os.Signal, 1)}
			signal.Notify(r.signals, syscall.SIGHUP) // one that comes early must not end us
			defer signal.Stop(r.signals)
			c, err := config.Load(path, os.Environ())
			if err != nil {
				return err
			}
			levels, err := r.levels(c)
			if err != nil {
				return err
			}
			var log *slog.Logger
			log, r.logs = logs.New(os.Stderr, logs.ToJournal(os.Stderr, os.Getenv("JOURNAL_STREAM")), levels)
			for _, w := range c.Warnings {
				log.Warn(w)
			}
			o, err := options(c, log)
			if err == nil {
				err = be(c, &o, log)
			}
			if err == nil {
				err = listeners(&o, c)
			}
			if err != nil {
				return err
			}
			r.started, r.loaded, r.clock = c, c, o.Clock
			o.Support = surroundings(path, c.DataDir)
			o.Console = os.Stderr
			o.RuntimeDir, _, _ = strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
			err = serve(cmd.Context(), o, r.run)
			if errors.Is(err, db.ErrNewer) { // the next start would find the same
				return stayDown{err}
			}
			return err
		},
	}
	configFlag(cmd, &path)
	logFlag(cmd, &level)
	cmd.Flags().Lookup("log").DefValue, level = "what log.level says", ""
	return cmd
}

func logFlag(cmd *cobra.Command, level *string) {
	cmd.Flags().StringVar(level, "log", "info", "least level that is logged: debug, info, warn, error")
}

func logger(level string) (*slog.Logger, error) {
	l, err := levelOf(level)
	log, _ := logs.New(os.Stderr, false, logs.Levels{Least: l})
	return log, err
}

func levelOf(level string) (l slog.Level, err error) {
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return l, usageError{fmt.Errorf("--log %q: must be debug, info, warn or error", level)}
	}
	return l, nil
}

// options maps a configuration to what a gateway is made of, but for where it
// listens.
func options(c *config.Config, log *slog.Logger) (gateway.Options, error) {
	o := gateway.Options{
		DataDir: c.DataDir, Region: c.DefaultRegion,
		Queue: queue.Options{
			OutboundCapacity: c.Queue.OutboundCapacity, InboundCapacity: c.Queue.InboundCapacity,
			UnconfirmedWait: c.Queue.UnconfirmedWait, ReportWait: c.Queue.ReportWait, AssemblyWait: c.Queue.AssemblyWait,
		},
		Unicode:     c.Messages.Unicode,
		Retention:   queue.Retention{Messages: c.History.Keep, Texts: c.History.KeepTexts, Events: eventsKept, Idempotency: idempotencyKept},
		Disk:        gateway.Disk(c.Disk),
		CallsRing:   c.Modems.Calls == config.Ring,
		MetricsOpen: c.HTTP.MetricsOpen, MaxConnections: c.HTTP.MaxConnections, TrustedProxies: c.HTTP.TrustedProxies,
		Destinations: c.Destinations,
		Version:      version, Log: log,
		Clock: clock.New(clock.Options{Always: c.Clock.Trust == config.TrustAlways}),
	}
	var err error
	if o.Consent, err = consentRules(c.Consent); err != nil {
		return o, err
	}
	o.Consent.PerOptIn = c.Chat.MessagesPerOptIn
	o.Chat = chat.Rules{IdleAfter: c.Chat.IdleAfter, KeepsOptIn: !c.Chat.Reinvite, Invitation: c.Chat.Invitation}
	o.LAN.Name = c.HTTP.LAN.Name
	o.Canary = gateway.Canary{Every: c.Modems.CanaryEvery, Wait: c.Modems.CanaryWait}
	o.Limits = gateway.Limits{PerMinute: config.DefaultMaxPerMinute, PerDay: config.DefaultMaxPerDay}
	o.Discovery = &gateway.Discovery{Machine: ports.Local(), Use: c.Modems.Discover, PowerCycle: powerCycle()}
	for _, m := range c.Modems.List {
		o.Modems = append(o.Modems, gateway.ModemOptions{
			Name: m.Name, Port: m.Port, IMEI: m.IMEI, ICCID: m.ICCID, PIN: m.PIN.Reveal(), Number: m.Number,
			Account: account(m),
			SMSC:    m.SMSC, NoRoaming: !m.AllowRoaming,
			Limits: gateway.Limits{PerMinute: m.MaxPerMinute, PerDay: m.MaxPerDay, PerMonth: m.MaxPerMonth, RecipientsPerMonth: m.MaxRecipientsPerMonth},
		})
	}
	if c.Hub.URL != "" {
		o.Link = &link.Options{URL: c.Hub.URL, CredentialsFile: c.Hub.CredentialsFile, CAFile: c.Hub.CAFile}
	}
	o.PrivateWebhooks, o.KeepFailedWebhooks, o.KeepReports = c.HTTP.AllowPrivateWebhooks, c.History.KeepFailedWebhooks, c.History.KeepReports
	for _, w := range c.Webhooks {
		o.Webhooks = append(o.Webhooks, webhook.Endpoint{
			Name: w.Name, URL: w.URL, Secret: w.Secret.Reveal(), Events: w.Events, AllowPrivate: w.AllowPrivate,
			Match: webhook.Match(w.Match), Stop: w.Stop, Headers: headers(w.Headers),
		})
	}
	if c.Mail.Host != "" {
		sender, err := mail.New(mail.Options{
			Host: c.Mail.Host, Port: c.Mail.Port, TLS: c.Mail.TLS, Username: c.Mail.Username, Password: c.Mail.Password.Reveal(), From: c.Mail.From,
			Now: o.Clock.Now, Log: log.With(logs.Package, "mail"),
		})
		if err != nil {
			return o, usageError{err}
		}
		o.Mail = sender.Send
	}
	o.Alarms = gateway.AlarmOptions{
		QueueAge: c.Alarms.QueueAge, WebhookFailing: c.Alarms.WebhookFailing, FailureRate: c.Alarms.FailureRate,
		BackupAge: c.Alarms.BackupAge,
		Notices: gateway.Notices{
			SMS: c.Alarms.SMSTo, Mail: c.Alarms.MailTo, Least: sms.Severity(c.Alarms.MinSeverity), Repeat: c.Alarms.Repeat, PerHour: c.Alarms.MaxPerHour,
		},
		Heartbeat: gateway.Heartbeat{URL: c.Heartbeat.URL.Reveal(), Method: c.Heartbeat.Method, Private: c.Heartbeat.AllowPrivate},
	}
	if c.HTTP.TLSCertificate != "" {
		pair, err := tls.LoadX509KeyPair(c.HTTP.TLSCertificate, c.HTTP.TLSKey)
		if err != nil {
			return o, usageError{fmt.Errorf("http.tls: %w", err)}
		}
		o.Certificate = &pair
	}
	return o, nil
}

// listeners opens the addresses that a gateway listens on.
func listeners(o *gateway.Options, c *config.Config) (err error) {
	if o.Listener, err = listen(c.HTTP.Listen); err != nil {
		return fmt.Errorf("http.listen: %w", err)
	}
	if c.HTTP.LAN.Listen != "" {
		if o.LAN.Listener, err = listen(c.HTTP.LAN.Listen); err != nil {
			return fmt.Errorf("http.lan.listen: %w", err)
		}
	}
	if c.Twilio.ProxyListen != "" {
		if o.TwilioProxy, err = listen(c.Twilio.ProxyListen); err != nil {
			return fmt.Errorf("twilio.proxy_listen: %w", err)
		}
	}
	if c.Twilio.TLSListen != "" {
		if o.TwilioTLS, err = listen(c.Twilio.TLSListen); err != nil {
			return fmt.Errorf("twilio.tls_listen: %w", err)
		}
	}
	return nil
}

func headers(secret map[string]config.Secret) map[string]string {
	plain := map[string]string{}
	for name, value := range secret {
		plain[name] = value.Reveal()
	}
	return plain
}

// account maps what is watched of a modem's SIM.
func account(m config.Modem) gateway.Account {
	a := gateway.Account{
		Code: m.Balance.Code, Every: m.Balance.Every, Low: m.Balance.Low, TopUpBy: m.TopUp.By, TopUpWarn: m.TopUp.Warn,
	}
	if m.Balance.Pattern != "" {
		a.Pattern = regexp.MustCompile(m.Balance.Pattern) // checked with the configuration
	}
	if m.KeepAlive.To != "" {
		a.Alive, a.AliveTo, a.AliveText = m.KeepAlive.Every, m.KeepAlive.To, m.KeepAlive.Text
	}
	return a
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w; is another gatewayd running, or another program on that port?", err)
	}
	return l, nil
}

// lastMoment is when the process ends, whatever hangs. What is promised is on
// disk by then, and the next start finds the rest.
const lastMoment = 9800 * time.Millisecond

// serve runs a gateway, and what goes along with it, until the context ends.
func serve(ctx context.Context, o gateway.Options, along func(context.Context, *gateway.Gateway, *slog.Logger, func() (done func()))) error {
	defer endInTime(ctx, o.Log)()
	unlock, err := lockDataDir(o.DataDir)
	if err != nil {
		o.Listener.Close()
		return err
	}
	defer unlock()
	g, err := gateway.New(ctx, o)
	if err != nil {
		o.Listener.Close()
		if ctx.Err() != nil { // it was stopped while it was starting, and the error is no other
			o.Log.Info("stopped before the gateway had started", "error", err)
			return nil
		}
		return err
	}
	m := newManager(o.Log)
	m.ready, m.standing, m.alive = g.Ready, g.Standing, g.Alive
	defer m.during(ctx)()
	ctx, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { along(ctx, g, o.Log, m.reload) })
	// Reading the OpenAPI document alone leaves three times behind what stays of it, and
	// an idle box would keep that for hours.
	beside.Go(debug.FreeOSMemory)
	beside.Go(func() { givePagesBack(ctx, o.Log) })
	defer beside.Wait()
	defer stop()
	return g.Run(ctx)
}

// lockDataDir keeps the data directory for this daemon.
func lockDataDir(dir string) (unlock func(), err error) {
	if err := db.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	unlock, err = db.Lock(dir)
	if errors.Is(err, db.ErrLocked) {
		err = fmt.Errorf("%w; stop it, or give this one another data_dir", err)
	}
	return unlock, err
}

// endInTime ends the process some time after the context, if the function that
// it returns is not called before: a disk that hangs can't be asked to stop.
func endInTime(ctx context.Context, log *slog.Logger) (ended func()) {
	var late *time.Timer
	armed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		late = time.AfterFunc(lastMoment, func() {
			log.Error("something hangs and the process ends without it; the next start settles what was under way", "after", lastMoment)
			os.Exit(1)
		})
		close(armed)
	})
	return func() {
		if !stop() {
			<-armed
			late.Stop()
		}
	}
}
