package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"

	"github.com/prometheus/common/expfmt"

	"gatewayd/sms"
	numbers "gatewayd/sms/number"
	"gatewayd/support"
)

// Support writes a support bundle: what the running daemon knows, and what
// Options.Support adds of its surroundings.
func (g *Gateway) Support(ctx context.Context, w io.Writer) error {
	asJSON := func(read func(context.Context) (any, error)) func(context.Context, io.Writer) error {
		return func(ctx context.Context, w io.Writer) error {
			v, err := read(ctx)
			if err != nil {
				return err
			}
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			e.SetEscapeHTML(false)
			return e.Encode(v)
		}
	}
	parts := append([]support.Part{}, g.o.Support...)
	parts = append(parts,
		support.Part{Name: "modems.json", What: "each modem's state, reason, signal, counters and limits", Make: asJSON(func(context.Context) (any, error) { return unnamed(g.modems.List()), nil })},
		support.Part{Name: "queue.json", What: "both rings, and messages by status", Make: asJSON(func(context.Context) (any, error) {
			return map[string]any{"rings": g.queue.Stats(), "open": g.queue.CountByStatus(), "oldest_seconds": g.dispatch.oldestAge().Seconds()}, nil
		})},
		support.Part{Name: "webhooks.json", What: "the webhooks, and what waits for them", Make: asJSON(g.plainWebhooks)},
		support.Part{Name: "alarms.json", What: "alarms that go on", Make: asJSON(func(context.Context) (any, error) {
			return append([]sms.Alarm{}, g.alarms.list(func(alarmID) bool { return true })...), nil
		})},
		support.Part{Name: "metrics.txt", What: "what /metrics tells", Plain: true, Make: g.writeMetrics},
		support.Part{Name: "database.json", What: "SQLite's version, and the schema's", Plain: true, Make: asJSON(func(ctx context.Context) (any, error) { return g.database.Look(ctx) })},
	)
	for _, a := range g.modems.attached() {
		parts = append(parts, support.Part{Name: "at-" + a.o.Name + ".txt", What: "what went over the modem's port lately, masked", Plain: true,
			Make: func(_ context.Context, w io.Writer) error { return g.modems.Transcript(a.o.Name, true, w) }})
	}
	return support.Write(ctx, w, g.o.Version, g.clock.Now(), parts)
}

// unnamed are modems without what says whose they are.
func unnamed(all []sms.Modem) []sms.Modem {
	for i := range all {
		m := &all[i]
		m.Number = numbers.Masked(m.Number)
		for _, id := range []*string{&m.IMEI, &m.ICCID, &m.IMSI, &m.SMSC} {
			*id = numbers.Masked(*id)
		}
		if m.Balance != nil {
			b := *m.Balance
			b.SIM, b.Answer = "", ""
			m.Balance = &b
		}
	}
	return all
}

// plainWebhooks are the webhooks without secrets, paths and what they are told of.
func (g *Gateway) plainWebhooks(ctx context.Context) (any, error) {
	all, err := g.webhooks.Webhooks(ctx)
	for i := range all {
		h := &all[i]
		host := "(hidden)"
		if u, err := url.Parse(h.URL); err == nil && u.Host != "" {
			host = u.Scheme + "://" + u.Host + "/…"
		}
		h.URL, h.Match, h.Description = host, sms.WebhookMatch{Modem: h.Match.Modem}, nil
	}
	return all, err
}

func (g *Gateway) writeMetrics(_ context.Context, w io.Writer) error {
	families, err := g.registry.Gather()
	for _, f := range families { // those that could be read, if some could not
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return fmt.Errorf("%s: %w", f.GetName(), err)
		}
	}
	return err
}
