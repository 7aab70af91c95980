package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/clock"
	"gatewayd/queue"
	"gatewayd/sms"
)

// statusView is the page that a person sees first.
type statusView struct {
	May      may
	Summary  summaryView
	Alarms   []alarmView
	Modems   []modemView
	Fleet    *fleetView // of a hub, instead of modems
	Senders  []string   // modems that a message or a request may name
	Rings    []ringView
	Messages []messageLine
	Hooks    []hookLine
	Readers  []readerView
	Machine  *machineView
}

// may is what of a page somebody may see and do. Whoever may the same gets the
// same page.
type may struct{ Read, Send, Service, Admin bool }

func mayOf(key *auth.Key) may {
	return may{key.Can(auth.Read), key.Can(auth.Send), key.Can(auth.Service), key.Can(auth.Admin)}
}

// alarmView is an alarm that goes on. One of a modem leads to its card, which has
// the details.
type alarmView struct {
	sms.Alarm
	Short     bool
	Who, Path string // of a short one: whose it is, and where that is told
}

// hookLine is how far a webhook is.
type hookLine struct {
	Name         string
	Pill         pill
	Line, Reason string
	Failing      time.Time
	Failed       int
}

type readerView struct{ Name, Kind, Line string }

// recent is how many messages the status page shows.
const recent = 20

// pageKey names a page as some people see it at one time.
type pageKey struct {
	frame string
	may   may
	told  <-chan struct{} // what open pages were told of before
}

// statusPage shows how the box is. It is made once for all who ask for it at the
// same time and may see the same.
func (a *API) statusPage(c echo.Context) error {
	key, f := keyOf(c), a.frame(c, "Status")
	f.Live = true
	_, told := a.live.now()
	page := pageKey{fmt.Sprintf("%+v", f), mayOf(key), told}
	body, err := a.pages.do(c.Request().Context(), page, func(ctx context.Context) ([]byte, error) {
		// Read before the rest: what changes in between is told again.
		_, newest, err := a.o.Queue.Span(ctx)
		if err != nil {
			return nil, err
		}
		v, err := a.status(ctx, key, newest)
		if err != nil {
			return nil, err
		}
		f.Seq = newest
		return a.render("status.html", f, v)
	})
	if err != nil {
		return err
	}
	return c.HTMLBlob(http.StatusOK, body)
}

func (a *API) status(ctx context.Context, key *auth.Key, newest int64) (*statusView, error) {
	v := &statusView{May: mayOf(key), Machine: a.machine()}
	modems := a.modems(key)
	for _, m := range modems {
		if !m.Unidentified {
			v.Senders = append(v.Senders, m.Name)
		}
	}
	rings := a.o.Queue.Stats()
	if a.o.Fleet != nil {
		all, err := a.gateways(ctx, key, "", "")
		if err != nil {
			return nil, err
		}
		v.Fleet, v.Summary = a.viewFleet(all), summariseFleet(all, a.now())
		v.Summary.full(rings)
		v.Alarms = append(a.alarms(nil, &v.Summary), fleetAlarms(all)...)
	} else {
		v.Summary = summarise(modems, rings, a.now())
		v.Alarms = a.alarms(modems, &v.Summary)
		for _, m := range modems {
			card, err := a.card(ctx, m, v.May)
			if err != nil {
				return nil, err
			}
			v.Modems = append(v.Modems, card)
		}
	}
	if v.May.Read {
		messages, _, err := a.list(ctx, key, queue.Filter{Limit: recent})
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			v.Messages = append(v.Messages, lineOf(m))
		}
	}
	out, in, err := a.o.Queue.OldestWaiting(ctx)
	if err != nil {
		return nil, err
	}
	v.Rings = []ringView{
		viewRing("outbound", "To send", rings.Outbound, waiting(a.o.Queue.CountByStatus()), out),
		viewRing("inbound", "Received", rings.Inbound, arrived(rings.Inbound.Depth), in),
	}
	if a.o.Webhooks != nil {
		all, err := a.o.Webhooks.Webhooks(ctx)
		if err != nil {
			return nil, err
		}
		for _, h := range all {
			v.Hooks = append(v.Hooks, viewHook(h, a.now()))
		}
	}
	v.Readers, err = a.readers(ctx, newest)
	return v, err
}

// alarms are all that go on, the gateway's own first; what else is to be said of
// them goes to the summary.
func (a *API) alarms(modems []sms.Modem, s *summaryView) (all []alarmView) {
	var own []sms.Alarm
	if a.o.Alarms != nil {
		own = a.o.Alarms()
		s.refuse(own)
		if slices.ContainsFunc(own, func(a sms.Alarm) bool { return a.Code == "disk-full" }) {
			own = slices.DeleteFunc(own, func(a sms.Alarm) bool { return a.Code == "disk-low" }) // that goes without saying
		}
	}
	if advice := adviceOn(a.o.Clock.Status()); advice != "" {
		s.Kind = worse(s.Kind)
		if !slices.ContainsFunc(own, func(a sms.Alarm) bool { return a.Title == clock.NotSet }) { // it says so itself
			s.More = append(s.More, clock.NotSet+". "+advice)
		}
	}
	for _, alarm := range own {
		all = append(all, alarmView{Alarm: alarm})
	}
	for _, m := range modems {
		for _, alarm := range furtherAlarms(m) {
			s.Kind = worse(s.Kind)
			alarm.Modem = m.Name
			all = append(all, alarmView{alarm, true, m.Name, "#" + anchor(m.Name)})
		}
	}
	return all
}

func viewHook(h sms.Webhook, now time.Time) hookLine {
	whole := viewWebhook(h, false)
	v := hookLine{Name: h.Name, Pill: whole.Pill, Reason: whole.Reason, Failing: whole.FailingSince, Failed: h.Failed, Line: "Has taken every event."}
	if h.Waiting > 0 {
		v.Line = countOf(h.Waiting, "event waits", "events wait")
		if h.WaitingSince != nil {
			v.Line += ", the oldest for " + lasts(now.Sub(*h.WaitingSince))
		}
		v.Line += "."
		if v.Pill.Kind == good {
			v.Pill = pill{"behind", warn}
		}
	}
	if h.Failed > 0 {
		v.Line += " " + countOf(h.Failed, "could not be delivered.", "could not be delivered.")
	}
	return v
}

// readers are those of the event log, with how far each is behind.
func (a *API) readers(ctx context.Context, newest int64) (all []readerView, err error) {
	readers, err := a.o.Queue.Readers(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(readers)) {
		behind := newest - readers[name]
		if behind <= 0 {
			all = append(all, readerView{name, good, "has taken every event."})
			continue
		}
		r := readerView{name, warn, fmt.Sprintf("is %s behind.", countOf(int(behind), "event", "events"))}
		first, err := a.o.Queue.EventsAfter(ctx, readers[name], 1)
		if err != nil {
			return nil, err
		}
		if len(first) > 0 {
			r.Line += " The first of them is from " + lasts(a.now().Sub(first[0].Time)) + " ago."
		}
		all = append(all, r)
	}
	return all, nil
}

// pressReset is POST /reset: the button that restarts a modem.
func (a *API) pressReset(c echo.Context) error {
	form, err := readForm(c)
	if err != nil {
		return err
	}
	m, err := a.modem(form.Get("modem"))
	if err != nil {
		return err
	}
	if err := a.o.Modems.Reset(m.Name); err != nil {
		p := conflict.because("The modem can't be reset: %s.", err)
		p.cause = err
		return p
	}
	a.log.Info("a modem is restarted from its page", "modem", m.Name, "by", keyOf(c).Name)
	a.live.tell(changes{modemChanged: 1})
	page := "/"
	if _, gateway, ok := strings.Cut(m.Name, "@"); ok && a.o.Fleet != nil {
		page = "/gateways/" + gateway
	}
	return c.Redirect(http.StatusSeeOther, page+"#"+anchor(m.Name))
}

// lasts says how long something takes or took, in the two largest units.
func lasts(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}
