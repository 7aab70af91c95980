package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/sms"
)

// gatewayKinds colour the states of gateways.
var gatewayKinds = map[sms.GatewayState]string{sms.GatewayConnected: good, sms.GatewayAway: bad, sms.GatewayNew: idle, sms.GatewayDisabled: idle}

// gatewaysView is the page of a hub's gateways.
type gatewaysView struct {
	May          may
	Said         *saidView
	Credentials  *credentialsView
	Gateways     []gatewayLine
	Line         string   // how many are how
	Waiting      []string // messages that have no gateway yet, and why
	All          bool     // there is no other choice than this
	Choices      []choiceView
	Groups       []string
	Group, State string       // that are shown; "": any
	New          gatewayDraft // what was typed, when it was refused
}

type gatewayDraft struct{ Name, Title, Group string }

// choiceView leads to some of the gateways.
type choiceView struct {
	Words, Path string
	Current     bool
}

// gatewayLine is a gateway in a list.
type gatewayLine struct {
	Name, Title, Group, Version string
	Pill                        pill
	Kind                        string // the worst of what is the matter with it
	Seen                        string // in words
	Modems                      string
	Alarms                      []string
	More                        int // alarms beyond these
	Waiting, InLink, Stored     int
	Unapplied                   string // what is the matter with its configuration
}

// credentialsView is shown this once.
type credentialsView struct {
	Name, Credentials string
	File              template.URL // the same to download
	URL               string
	Until             string // how long those before are good; "": there were none
}

func viewCredentials(name, credentials, hub, until string) *credentialsView {
	return &credentialsView{name, credentials, template.URL("data:application/octet-stream;base64," + base64.StdEncoding.EncodeToString([]byte(credentials))), hub, until}
}

func (a *API) gatewaysPage(c echo.Context) error {
	return a.showGateways(c, http.StatusOK, gatewaysView{})
}

func (a *API) showGateways(c echo.Context, status int, v gatewaysView) error {
	ctx, key := c.Request().Context(), keyOf(c)
	_, newest, err := a.o.Queue.Span(ctx) // before what is shown: what comes meanwhile is told
	if err != nil {
		return err
	}
	all, err := a.gateways(ctx, key, "", "")
	if err != nil {
		return err
	}
	v.May, v.Group, v.State = mayOf(key), c.QueryParam("group"), c.QueryParam("state")
	v.Line = fleetLine(all)
	if v.May.Read { // a reason may name a SIM by its number
		for why, n := range a.o.Fleet.Waiting() {
			v.Waiting = append(v.Waiting, countOf(n, "message waits", "messages wait")+" here: "+why)
		}
		slices.Sort(v.Waiting)
	}
	states := map[sms.GatewayState]int{}
	for _, g := range all {
		states[g.State()]++
		if g.Group != "" && !slices.Contains(v.Groups, g.Group) {
			v.Groups = append(v.Groups, g.Group)
		}
		if (v.Group == "" || g.Group == v.Group) && (v.State == "" || string(g.State()) == v.State) {
			v.Gateways = append(v.Gateways, a.viewGateway(g))
		}
	}
	slices.Sort(v.Groups)
	v.Choices = v.choices(states)
	f := a.frame(c, "Gateways")
	f.Style, f.Live, f.Seq = "gateways.css", true, newest
	return a.page(c, status, "gateways.html", f, v)
}

// choices lead to each group and each state, once there is something to choose.
func (v *gatewaysView) choices(states map[sms.GatewayState]int) (all []choiceView) {
	add := func(words, group, state string) {
		q := url.Values{}
		for name, value := range map[string]string{"group": group, "state": state} {
			if value != "" {
				q.Set(name, value)
			}
		}
		path := "/gateways"
		if len(q) > 0 {
			path += "?" + q.Encode()
		}
		all = append(all, choiceView{words, path, v.Group == group && v.State == state})
	}
	add("all", "", "")
	if len(states) > 1 {
		for _, s := range []sms.GatewayState{sms.GatewayConnected, sms.GatewayAway, sms.GatewayNew, sms.GatewayDisabled} {
			if states[s] > 0 {
				add(fmt.Sprintf("%s %s", count(states[s]), s), "", string(s))
			}
		}
	}
	for _, g := range v.Groups {
		add("group "+g, g, "")
	}
	if len(all) == 1 && v.Group == "" && v.State == "" {
		return nil
	}
	return all
}

// fleetLine says how many gateways are how.
func fleetLine(all []sms.Gateway) string {
	n := map[sms.GatewayState]int{}
	modems, ready := 0, 0
	for _, g := range all {
		n[g.State()]++
		if g.Connected && !g.Disabled {
			modems, ready = modems+len(g.Modems), ready+g.Ready()
		}
	}
	if len(all) == 0 {
		return ""
	}
	line := fmt.Sprintf("%s of %s connected", count(n[sms.GatewayConnected]), countOf(len(all), "gateway is", "gateways are"))
	for _, s := range []sms.GatewayState{sms.GatewayAway, sms.GatewayNew, sms.GatewayDisabled} {
		if n[s] > 0 {
			line += fmt.Sprintf(", %s %s", count(n[s]), s)
		}
	}
	return line + fmt.Sprintf("; %s of %s ready.", count(ready), countOf(modems, "modem is", "modems are"))
}

// seenWords say how long a gateway is here or away.
func (a *API) seenWords(g sms.Gateway) string {
	switch g.State() {
	case sms.GatewayConnected:
		return "Connected for " + lasts(a.now().Sub(g.Since)) + "."
	case sms.GatewayNew:
		return "It has never connected."
	case sms.GatewayDisabled:
		if g.SeenAt.IsZero() {
			return "Disabled; it has never connected."
		}
		return "Disabled; last heard " + lasts(a.now().Sub(g.SeenAt)) + " ago."
	}
	return "Away for " + lasts(a.now().Sub(g.Since)) + ", last heard " + lasts(a.now().Sub(g.SeenAt)) + " ago."
}

func (a *API) viewGateway(g sms.Gateway) gatewayLine {
	v := gatewayLine{Name: g.Name, Title: g.Title, Group: g.Group, Version: g.Version, Pill: pill{string(g.State()), gatewayKinds[g.State()]},
		Seen: a.seenWords(g), Waiting: g.Waiting, InLink: g.InLink, Stored: g.Stored, Unapplied: unapplied(g.Configuration)}
	v.Kind = v.Pill.Kind
	if len(g.Modems) > 0 && !g.Connected {
		v.Modems = countOf(len(g.Modems), "modem", "modems") // of which nobody knows how they are
	} else if len(g.Modems) > 0 {
		v.Modems = fmt.Sprintf("%s of %s ready", count(g.Ready()), countOf(len(g.Modems), "modem", "modems"))
		if g.Ready() < len(g.Modems) && v.Kind == good {
			v.Kind = warn
		}
	} else if !g.SeenAt.IsZero() {
		v.Modems = "no modem"
	}
	const most = 2
	for _, alarm := range g.Alarms {
		if len(v.Alarms) == most {
			v.More++
			continue
		}
		v.Alarms = append(v.Alarms, strings.TrimPrefix(alarm.Modem+": ", ": ")+alarm.Title)
	}
	if (len(g.Alarms) > 0 || g.Configuration.Error != "") && v.Kind == good {
		v.Kind = warn
	}
	return v
}

// unapplied says what is the matter with a gateway's configuration; "": nothing is.
func unapplied(c sms.GatewayConfiguration) string {
	switch {
	case c.Error != "":
		return "Its configuration could not be applied: " + c.Error + "."
	case c.Applied < c.Version:
		return "Its configuration is on the way."
	}
	return ""
}

// pressGateways is POST /gateways: it adds one.
func (a *API) pressGateways(c echo.Context) error {
	f, err := a.fleet()
	if err != nil {
		return err
	}
	form, err := readForm(c)
	if err != nil {
		return err
	}
	n := sms.NewGateway{Name: strings.TrimSpace(form.Get("name")), Title: strings.TrimSpace(form.Get("title")), Group: strings.TrimSpace(form.Get("group"))}
	g, credentials, err := f.Add(context.WithoutCancel(c.Request().Context()), n)
	if p := refusedByFleet(err); p != nil {
		return a.showGateways(c, p.Status, gatewaysView{Said: &saidView{Kind: bad, Title: "It was not added", Lines: []string{capital(p.detail)}}, New: gatewayDraft(n)})
	} else if err != nil {
		return err
	}
	a.log.Info("a gateway was added on its page", "gateway", g.Name, "by", keyOf(c).Name)
	a.live.tell(changes{gatewayChanged: 1})
	return a.showGateways(c, http.StatusOK, gatewaysView{Said: &saidView{Kind: good, Title: g.Name + " was added"}, Credentials: viewCredentials(g.Name, credentials, hubURL(c.Request(), f), "")})
}

// refusedByFleet is what a page says of an error that people can mend; nil: it is none.
func refusedByFleet(err error) *problem {
	var p *problem
	if err != nil && errors.As(fleetError(err), &p) && (p.kind == conflict || p.kind == invalidFields) {
		return p
	}
	return nil
}

// gatewayView is the page of one gateway.
type gatewayView struct {
	May           may
	Said          *saidView
	Credentials   *credentialsView
	Line          gatewayLine
	Facts         []factView
	Note          string // about its clock
	Alarms        []sms.Alarm
	Mirror        []mirrorView
	SeenAt        time.Time
	InterruptedAt time.Time
	ExtendedAt    time.Time
	Modems        []modemView
	Configuration sms.GatewayConfiguration
	Settings      []settingChoice
	Others        []string // where messages may be moved
	Groups        []string
	Differences   []sms.Difference
	Disabled      bool
}

// mirrorView is one direction, with both sides' pointers.
type mirrorView struct {
	Title, Line string
	Gap         int
	GapLine     string
	Rows        []mirrorRow
	Hub         string // slots in use
	Gateway     string
}

type mirrorRow struct{ Flag, Means, Hub, Gateway string }

// settingChoice is a setting that the hub may set on a gateway.
type settingChoice struct {
	Field, Title, Hint, Value string
	Set                       bool
}

var mirrorWords = map[string][4]string{
	"outbound": {"accepted at the hub", "in the gateway's stream", "stored by the gateway", "finished"},
	"inbound":  {"received by the gateway", "told to the hub", "stored by the hub", "finished"},
}

func viewMirror(key, title string, m sms.Mirrored) mirrorView {
	v := mirrorView{Title: title, Gap: m.Gap, GapLine: "Nothing is between the last sent and the last confirmed.", Hub: usedOf(m.Hub), Gateway: usedOf(m.Gateway)}
	if m.Gap > 0 {
		v.GapLine = countOf(m.Gap, "message is", "messages are") + " sent and not confirmed. After a cut they are sent again, and taken once."
	}
	hub, gateway := pointers(m.Hub), pointers(m.Gateway)
	for i, flag := range []string{"retrieved", "sent", "confirmed", "processed"} {
		v.Rows = append(v.Rows, mirrorRow{flag, mirrorWords[key][i], addressOr(hub[flag]), addressOr(gateway[flag])})
	}
	return v
}

func addressOr(n *int) string {
	if n == nil {
		return "–"
	}
	return count(*n)
}

func usedOf(r sms.Ring) string {
	if r.Capacity == 0 {
		return "–"
	}
	return count(r.Depth) + " of " + count(r.Capacity)
}

func (a *API) gatewayPage(c echo.Context) error {
	return a.showGateway(c, http.StatusOK, gatewayView{})
}

func (a *API) showGateway(c echo.Context, status int, v gatewayView) error {
	ctx, key := c.Request().Context(), keyOf(c)
	f, err := a.fleet()
	if err != nil {
		return err
	}
	_, newest, err := a.o.Queue.Span(ctx) // before what is shown: what comes meanwhile is told
	if err != nil {
		return err
	}
	all, err := a.gateways(ctx, key, "", "")
	if err != nil {
		return err
	}
	g, err := a.gateway(ctx, key, param(c, "name"))
	if err != nil {
		return err
	}
	m, err := f.Mirror(ctx, g.Name)
	if err != nil {
		return fleetError(err)
	}
	v.May, v.Line, v.Disabled, v.Alarms, v.Configuration = mayOf(key), a.viewGateway(g), g.Disabled, g.Alarms, g.Configuration
	v.Mirror = []mirrorView{viewMirror("outbound", "Hub → gateway", m.Outbound), viewMirror("inbound", "Gateway → hub", m.Inbound)}
	v.SeenAt, v.InterruptedAt, v.ExtendedAt = m.SeenAt, m.InterruptedAt, m.ExtendedAt
	v.Facts = gatewayFacts(g)
	if g.Connected && !g.ClockTrusted {
		v.Note = "Its clock is not set: what it tells may have wrong times, and nothing expires there."
	}
	for _, m := range g.Modems {
		// The card leads to the modem by the name that it has at the hub.
		m.Name += "@" + g.Name
		if known, ok := a.o.Modems.Get(m.Name); ok { // which knows what became of one whose gateway is away
			m = discreet(key, known)
		}
		card, err := a.card(ctx, m, v.May)
		if err != nil {
			return err
		}
		v.Modems = append(v.Modems, card)
	}
	for _, o := range all {
		if o.Name != g.Name && !o.Disabled {
			v.Others = append(v.Others, o.Name)
		}
		if o.Group != "" && !slices.Contains(v.Groups, o.Group) {
			v.Groups = append(v.Groups, o.Group)
		}
	}
	slices.Sort(v.Groups)
	v.Settings = settingChoices(g.Configuration.Wanted)
	frame := a.frame(c, cmp.Or(g.Title, g.Name))
	frame.Style, frame.Live, frame.Seq = "gateways.css", true, newest
	return a.page(c, status, "gateway.html", frame, v)
}

func gatewayFacts(g sms.Gateway) []factView {
	facts := []factView{{"name", g.Name}, {"group", g.Group}, {"version", g.Version}, {"last heard", stamp(g.SeenAt)}, {"epoch", count(g.Epoch)},
		{"added", stamp(g.CreatedAt)}, {"credentials made", stamp(g.CredentialsAt)}}
	if g.Uptime > 0 {
		facts = append(facts, factView{"running for", lasts(g.Uptime)})
	}
	return slices.DeleteFunc(facts, func(f factView) bool { return f.Value == "" })
}

func settingChoices(s sms.GatewaySettings) []settingChoice {
	text := func(field, title, hint string, v *string) settingChoice {
		return settingChoice{field, title, hint, or(v, ""), v != nil}
	}
	list := func(field, title, hint string, v *[]string) settingChoice {
		return settingChoice{field, title, hint, strings.Join(or(v, nil), ", "), v != nil}
	}
	return []settingChoice{
		text("default_region", "Country of national numbers", "AT", s.DefaultRegion),
		text("box_name", "Name on its network", "gatewayd", s.Name),
		list("alarms_sms_to", "Alarms by SMS to", "+43 664 1234567", s.AlarmsSMSTo),
		list("alarms_mail_to", "Alarms by e-mail to", "ops@example.org", s.AlarmsMailTo),
	}
}

// wantedSettings reads the form of settings; chat rules stay as they are.
func wantedSettings(form url.Values, before sms.GatewaySettings) *sms.GatewaySettings {
	s := sms.GatewaySettings{ChatRules: before.ChatRules}
	chosen := func(field string) (string, bool) {
		return strings.TrimSpace(form.Get(field)), slices.Contains(form["set"], field)
	}
	for field, to := range map[string]**string{"default_region": &s.DefaultRegion, "box_name": &s.Name} {
		if v, ok := chosen(field); ok {
			*to = &v
		}
	}
	for field, to := range map[string]**[]string{"alarms_sms_to": &s.AlarmsSMSTo, "alarms_mail_to": &s.AlarmsMailTo} {
		if v, ok := chosen(field); ok {
			list := []string{}
			for _, one := range strings.Split(v, ",") {
				if one = strings.TrimSpace(one); one != "" {
					list = append(list, one)
				}
			}
			*to = &list
		}
	}
	return &s
}

// pressGateway is POST /gateways/{name}: a button of its page was pressed.
func (a *API) pressGateway(c echo.Context) error {
	form, err := readForm(c)
	if err != nil {
		return err
	}
	f, err := a.fleet()
	if err != nil {
		return err
	}
	key, name, do := keyOf(c), param(c, "name"), form.Get("do")
	if do != "check" && !key.Can(auth.Admin) {
		return wrongScope.because("This button needs the scope %q.", auth.Admin)
	}
	if err := http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		a.log.Debug("a request keeps its time limit", "error", err)
	}
	v, err := a.pressedGateway(context.WithoutCancel(c.Request().Context()), c.Request(), f, name, do, form)
	if p := refusedByFleet(err); p != nil {
		return a.showGateway(c, p.Status, gatewayView{Said: &saidView{Kind: bad, Title: "That was not possible", Lines: []string{capital(p.detail)}}})
	} else if err != nil {
		return fleetError(err)
	}
	a.log.Info("a button of a gateway's page was pressed", "gateway", name, "button", do, "by", key.Name)
	a.live.tell(changes{gatewayChanged: 1})
	if do == "remove" {
		return c.Redirect(http.StatusSeeOther, "/gateways")
	}
	return a.showGateway(c, http.StatusOK, v)
}

func (a *API) pressedGateway(ctx context.Context, r *http.Request, f Fleet, name, do string, form url.Values) (v gatewayView, err error) {
	said := func(kind, title string, lines ...string) {
		v.Said = &saidView{Kind: kind, Title: title, Lines: lines}
	}
	field := func(name string) *string { s := strings.TrimSpace(form.Get(name)); return &s }
	yes, no := true, false
	switch do {
	case "change":
		said(good, "It is changed")
		_, err = f.Change(ctx, name, sms.GatewayChange{Title: field("title"), Group: field("group")})
	case "disable":
		said(good, name+" is disconnected and not let in", "What waits for it waits on, or can be moved.")
		_, err = f.Change(ctx, name, sms.GatewayChange{Disabled: &yes})
	case "enable":
		said(good, name+" may connect again")
		_, err = f.Change(ctx, name, sms.GatewayChange{Disabled: &no})
	case "configure":
		var g sms.Gateway
		if g, err = f.Gateway(ctx, name); err != nil {
			return v, err
		}
		said(good, "The gateway gets it at once, or when it is back")
		_, err = f.Change(ctx, name, sms.GatewayChange{Configuration: wantedSettings(form, g.Configuration.Wanted)})
	case "rotate":
		overlap, parsed := time.ParseDuration(cmp.Or(form.Get("overlap"), "24h"))
		if parsed != nil || overlap < 0 || overlap > maxOverlap {
			return v, &sms.WrongGateway{Field: "overlap", Detail: "must be a duration such as 24h"}
		}
		until := "end now"
		if overlap > 0 {
			until = "are good for " + lasts(overlap) + " more"
		}
		var credentials string
		credentials, err = f.Rotate(ctx, name, overlap)
		v.Credentials = viewCredentials(name, credentials, hubURL(r, f), until)
	case "move":
		var m sms.MoveResult
		m, err = f.Move(ctx, name, form.Get("to"))
		kind, lines := good, []string{}
		if m.MayDuplicate > 0 {
			kind = warn
			lines = append(lines, countOf(m.MayDuplicate, "of them may be sent twice: it is", "of them may be sent twice: they are")+" marked as a possible duplicate.")
		}
		if m.Kept > 0 {
			lines = append(lines, countOf(m.Kept, "message stays", "messages stay")+" with it: begun already, meant for one of its modems alone, or nobody else can send them.")
		}
		said(kind, countOf(m.Moved, "message was", "messages were")+" moved", lines...)
	case "check":
		var found sms.CheckResult
		found, err = f.Check(ctx, name)
		said(good, "No difference", countOf(found.Compared, "message was", "messages were")+" compared.")
		if n := len(found.Differences); n > 0 {
			said(bad, countOf(n, "difference", "differences"), countOf(found.Compared, "message was", "messages were")+" compared.")
		}
		v.Differences = found.Differences
	case "remove":
		err = f.Delete(ctx, name)
	default:
		err = badRequest.because("The form has no such button.")
	}
	return v, err
}
