package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/chat"
	"gatewayd/link"
	"gatewayd/mirror"
	"gatewayd/sms"
)

// openLink builds the link to the hub that this gateway belongs to. A gateway that belongs
// to none starts nothing of it.
func (g *Gateway) openLink(ctx context.Context) (err error) {
	g.alarms.endOthers([]string{hubLinkDown}, map[string]bool{"": g.o.Link != nil})
	if g.o.Link == nil {
		// What another configuration wanted held for a hub is held no longer.
		readers, err := g.queue.Readers(ctx)
		if _, ok := readers[link.Reader]; ok && err == nil {
			err = g.queue.DropReader(link.Reader)
		}
		return err
	}
	o := *g.o.Link
	o.DB, o.Queue, o.Version, o.Now, o.Trusted, o.Log = g.database, g.queue, g.o.Version, g.clock.Now, g.clock.Trusted, g.logOf("link")
	o.Modems, o.Reset, o.USSD = g.modems.List, g.modems.Reset, g.modems.USSD
	o.Alarms = func() []sms.Alarm { return g.alarms.of("") }
	o.Apply, o.Changed = g.applyFromHub, g.linkChanged
	o.File = func(ctx context.Context, id string) (io.ReadCloser, error) {
		_, content, err := g.talk.files.Get(ctx, id)
		return content, err
	}
	if g.link, err = link.New(o); err != nil {
		return fmt.Errorf("the link to the hub: %w", err)
	}
	g.talk.way = g.link
	g.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatewayd_hub_connected", Help: "1: the hub answers. 0: it does not.",
		}, func() float64 {
			if g.link.Up() {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatewayd_hub_untold_events", Help: "Events of the log that the hub does not have yet.",
		}, func() float64 { return float64(g.link.Status().Untold) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatewayd_hub_reconnects_total", Help: "Connections to the hub after the first.",
		}, func() float64 { return float64(g.link.Status().Reconnects) }),
	)
	return nil
}

// hubAt is what is configured of the hub that a gateway belongs to.
func (o *Options) hubAt() (at [3]string) {
	if l := o.Link; l != nil {
		at = [3]string{l.URL, l.CredentialsFile, l.CAFile}
	}
	return at
}

// linkChanged begins and ends the alarm of a hub that can't be reached.
func (g *Gateway) linkChanged(s link.Status) {
	if s.Connected {
		g.alarms.end(hubLinkDown, "")
		return
	}
	g.alarms.begin(hubLinkDown, "", "", fmt.Sprintf("%s. Everything here goes on; what the hub has for this gateway waits there, and what it is to hear waits here.",
		strings.TrimSuffix(upperFirst(cmp.Or(s.Error, "the connection ended")), ".")))
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// hubLink is how the link to the hub stands; nil: this gateway belongs to none.
func (g *Gateway) hubLink() *sms.HubLink {
	if g.link == nil {
		return nil
	}
	s := g.link.Status()
	return &sms.HubLink{Name: s.Name, Connected: s.Connected, Since: s.Since, Error: s.Error, Untold: s.Untold}
}

// fromHub is who lays down rules that the hub sets.
const fromHub = "hub"

// applyFromHub has what the hub sets hold, all or nothing.
func (g *Gateway) applyFromHub(ctx context.Context, c mirror.Configuration) error {
	rules := chat.DefaultAbuseRules()
	if len(c.ChatRules) > 0 {
		if err := json.Unmarshal(c.ChatRules, &rules); err != nil {
			return fmt.Errorf("chat_rules: %w", err)
		}
		if err := g.talk.chat.CheckAbuseRules(rules); err != nil {
			return fmt.Errorf("chat_rules: %w", err)
		}
	}
	values := map[string]string{}
	for name, value := range map[string]*string{sms.SettingRegion: c.DefaultRegion, sms.SettingName: c.Name} {
		if value != nil {
			values[name] = *value
		}
	}
	for name, list := range map[string]*[]string{sms.SettingAlarmSMS: c.AlarmsSMSTo, sms.SettingAlarmMail: c.AlarmsMailTo} {
		if list != nil {
			values[name] = strings.Join(*list, ",")
		}
	}
	// What holds already is no conflict with the configuration file.
	for name, value := range values {
		if g.settings.get(name) == value {
			delete(values, name)
		}
	}
	if err := g.settings.Set(ctx, values); err != nil {
		return err
	}
	if len(c.ChatRules) == 0 {
		return nil
	}
	if _, err := g.talk.chat.SetAbuseRules(ctx, rules, fromHub); err != nil {
		return errors.Join(errors.New("chat_rules"), err)
	}
	return nil
}
