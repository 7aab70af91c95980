package api

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"gatewayd/auth"
	"gatewayd/sms"
)

// Fleet is what the API sees of a hub's gateways. Its errors are those of sms/gateway.go,
// wrapped with words: ErrNoGateway, ErrGatewayExists, ErrGatewayAway, ErrGatewayBusy, *WrongGateway.
type Fleet interface {
	// Gateways returns all of them, by name.
	Gateways(context.Context) ([]sms.Gateway, error)
	Gateway(ctx context.Context, name string) (sms.Gateway, error)
	// Add returns the new gateway's credentials, a standard .creds file, for this once.
	Add(context.Context, sms.NewGateway) (g sms.Gateway, credentials string, err error)
	Change(ctx context.Context, name string, c sms.GatewayChange) (sms.Gateway, error)
	// Delete forgets a gateway. ErrGatewayBusy: it has messages that are not over.
	Delete(ctx context.Context, name string) error
	// Rotate returns new credentials; the ones before hold for overlap more.
	Rotate(ctx context.Context, name string, overlap time.Duration) (credentials string, err error)
	// Move hands a gateway's messages to another one, or to "group:" and a group's
	// name; "": to the others of its group.
	Move(ctx context.Context, name, to string) (sms.MoveResult, error)
	// Check compares both ends' messages, once what is under way has settled.
	Check(ctx context.Context, name string) (sms.CheckResult, error)
	Mirror(ctx context.Context, name string) (sms.Mirror, error)
	// Waiting tells how many messages have no gateway yet, by the reason in words.
	Waiting() map[string]int
	// WaitsFor says in words why a message has no gateway yet; "": it has, or needs none.
	WaitsFor(ctx context.Context, id string) (why string, err error)
	// URL is where gateways find the hub: what hub.url is on them.
	URL() string
}

// defaultCredentialsOverlap gives somebody a day to carry new credentials to a gateway.
const defaultCredentialsOverlap = 24 * time.Hour

var noHub = &kind{"no-hub", 404, "This gateway has no hub part",
	"Gateways are kept by a hub: the same program, started with “gatewayd hub run”. Ask that one. See docs/hub.md."}

// fleet are the hub's gateways, if this is one.
func (a *API) fleet() (Fleet, error) {
	if a.o.Fleet == nil {
		return nil, noHub.because("This is a gateway of its own, not a hub with gateways.")
	}
	return a.o.Fleet, nil
}

// fleetError words what the hub says no to.
func fleetError(err error) error {
	var mistake *sms.WrongGateway
	switch {
	case errors.As(err, &mistake):
		return wrong(FieldError{Field: mistake.Field, Detail: mistake.Detail})
	case errors.Is(err, sms.ErrNoGateway):
		return notFound.because("%s; GET /v1/gateways lists them.", capital(err.Error()))
	case errors.Is(err, sms.ErrGatewayExists), errors.Is(err, sms.ErrGatewayAway), errors.Is(err, sms.ErrGatewayBusy):
		return conflict.because("%s.", capital(err.Error()))
	case errors.Is(err, context.DeadlineExceeded):
		return conflict.because("The gateway did not answer in time. Ask again when its link is better.")
	}
	return err
}

// discreetGateway leaves out of a gateway what the key's holder may not see.
func discreetGateway(key *auth.Key, g sms.Gateway) sms.Gateway {
	modems := make([]sms.Modem, len(g.Modems))
	for i, m := range g.Modems {
		modems[i] = discreet(key, m)
	}
	g.Modems = modems
	if !key.Can(auth.Admin) { // who is told of alarms
		g.Configuration.Wanted = sms.GatewaySettings{}
	}
	return g
}

// gateways are all as the key's holder may see them, of a group and a state if these are named.
func (a *API) gateways(ctx context.Context, key *auth.Key, group string, state sms.GatewayState) ([]sms.Gateway, error) {
	f, err := a.fleet()
	if err != nil {
		return nil, err
	}
	all, err := f.Gateways(ctx)
	if err != nil {
		return nil, fleetError(err)
	}
	some := []sms.Gateway{}
	for _, g := range all {
		if (group == "" || g.Group == group) && (state == "" || g.State() == state) {
			some = append(some, discreetGateway(key, g))
		}
	}
	return some, nil
}

func (a *API) gateway(ctx context.Context, key *auth.Key, name string) (sms.Gateway, error) {
	f, err := a.fleet()
	if err != nil {
		return sms.Gateway{}, err
	}
	g, err := f.Gateway(ctx, name)
	return discreetGateway(key, g), fleetError(err)
}

// ListGateways lists the gateways.
func (a server) ListGateways(ctx context.Context, r ListGatewaysRequestObject) (ListGatewaysResponseObject, error) {
	all, err := a.gateways(ctx, from(ctx).key, or(r.Params.Group, ""), sms.GatewayState(or(r.Params.State, "")))
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: map[string]any{"gateways": all}}, nil
}

// AddGateway adds one, and shows its credentials.
func (a server) AddGateway(ctx context.Context, r AddGatewayRequestObject) (AddGatewayResponseObject, error) {
	f, err := a.fleet()
	if err != nil {
		return nil, err
	}
	g, credentials, err := f.Add(context.WithoutCancel(ctx), sms.NewGateway{Name: r.Body.Name, Title: or(r.Body.Title, ""), Group: or(r.Body.Group, "")})
	if err != nil {
		return nil, fleetError(err)
	}
	a.log.Info("a gateway was added", "gateway", g.Name, "by", from(ctx).key.Name)
	return reply{http.StatusCreated, map[string]any{"gateway": discreetGateway(from(ctx).key, g), "credentials": credentials, "url": hubURL(from(ctx).request, f)},
		map[string]string{"Location": "/v1/gateways/" + g.Name}}, nil
}

// GetGateway shows one gateway.
func (a server) GetGateway(ctx context.Context, r GetGatewayRequestObject) (GetGatewayResponseObject, error) {
	return withFleet(ctx, a, func(ctx context.Context, _ Fleet) (sms.Gateway, error) { return a.gateway(ctx, from(ctx).key, r.Name) })
}

// ChangeGateway changes one.
func (a server) ChangeGateway(ctx context.Context, r ChangeGatewayRequestObject) (ChangeGatewayResponseObject, error) {
	c := sms.GatewayChange{Title: r.Body.Title, Group: r.Body.Group, Disabled: r.Body.Disabled}
	if w := r.Body.Configuration; w != nil {
		c.Configuration = &sms.GatewaySettings{DefaultRegion: w.DefaultRegion, Name: w.Name, AlarmsSMSTo: w.AlarmsSmsTo, AlarmsMailTo: w.AlarmsMailTo}
		if w.ChatRules != nil {
			rules, err := json.Marshal(w.ChatRules)
			if err != nil {
				return nil, err
			}
			c.Configuration.ChatRules = rules
		}
	}
	return withFleet(ctx, a, func(ctx context.Context, f Fleet) (sms.Gateway, error) {
		g, err := f.Change(ctx, r.Name, c)
		if err == nil {
			a.log.Info("a gateway was changed", "gateway", g.Name, "disabled", g.Disabled, "configuration", g.Configuration.Version, "by", from(ctx).key.Name)
		}
		return discreetGateway(from(ctx).key, g), err
	})
}

// DeleteGateway removes one.
func (a server) DeleteGateway(ctx context.Context, r DeleteGatewayRequestObject) (DeleteGatewayResponseObject, error) {
	f, err := a.fleet()
	if err != nil {
		return nil, err
	}
	if err := f.Delete(context.WithoutCancel(ctx), r.Name); err != nil {
		return nil, fleetError(err)
	}
	a.log.Info("a gateway was removed", "gateway", r.Name, "by", from(ctx).key.Name)
	return DeleteGateway204Response{}, nil
}

// RotateGatewayCredentials makes new credentials.
func (a server) RotateGatewayCredentials(ctx context.Context, r RotateGatewayCredentialsRequestObject) (RotateGatewayCredentialsResponseObject, error) {
	overlap := defaultCredentialsOverlap
	if r.Body != nil {
		var err error
		if overlap, err = overlapOf(r.Body.Overlap, defaultCredentialsOverlap, maxOverlap); err != nil {
			return nil, err
		}
	}
	return withFleet(ctx, a, func(ctx context.Context, f Fleet) (map[string]any, error) {
		credentials, err := f.Rotate(ctx, r.Name, overlap)
		if err == nil {
			a.log.Info("a gateway got new credentials", "gateway", r.Name, "by", from(ctx).key.Name)
		}
		return map[string]any{"credentials": credentials, "url": hubURL(from(ctx).request, f)}, err
	})
}

// MoveGatewayMessages hands a gateway's messages to others.
func (a server) MoveGatewayMessages(ctx context.Context, r MoveGatewayMessagesRequestObject) (MoveGatewayMessagesResponseObject, error) {
	to := ""
	if r.Body != nil {
		to = or(r.Body.To, "")
	}
	patient(ctx, a)
	return withFleet(ctx, a, func(ctx context.Context, f Fleet) (sms.MoveResult, error) {
		done, err := f.Move(ctx, r.Name, to)
		if err == nil {
			a.log.Info("a gateway's messages were moved", "gateway", r.Name, "to", to, "moved", done.Moved, "may_duplicate", done.MayDuplicate, "by", from(ctx).key.Name)
		}
		return done, err
	})
}

// CheckGateway compares both ends' messages.
func (a server) CheckGateway(ctx context.Context, r CheckGatewayRequestObject) (CheckGatewayResponseObject, error) {
	patient(ctx, a)
	return withFleet(ctx, a, func(ctx context.Context, f Fleet) (sms.CheckResult, error) {
		found, err := f.Check(ctx, r.Name)
		found.Differences = orEmpty(found.Differences)
		return found, err
	})
}

// GetGatewayMirror shows the pointers of both sides.
func (a server) GetGatewayMirror(ctx context.Context, r GetGatewayMirrorRequestObject) (GetGatewayMirrorResponseObject, error) {
	return withFleet(ctx, a, func(ctx context.Context, f Fleet) (sms.Mirror, error) { return f.Mirror(ctx, r.Name) })
}

// patient gives a request as long as a gateway at the end of a slow link may need.
func patient(ctx context.Context, a server) {
	if err := http.NewResponseController(from(ctx).writer).SetWriteDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		a.log.Debug("a request keeps its time limit", "error", err)
	}
}

// withFleet answers with what do makes of the hub's gateways. Who hangs up leaves nothing
// half done.
func withFleet[T any](ctx context.Context, a server, do func(ctx context.Context, f Fleet) (T, error)) (reply, error) {
	f, err := a.fleet()
	if err != nil {
		return reply{}, err
	}
	v, err := do(context.WithoutCancel(ctx), f)
	if err != nil {
		return reply{}, fleetError(err)
	}
	return reply{status: http.StatusOK, v: v}, nil
}

// hubURL is where gateways find the hub. A hub that listens everywhere
// does not know by which name; whoever asks has used one.
func hubURL(r *http.Request, f Fleet) string {
	told := f.URL()
	u, err := url.Parse(told)
	if err != nil || strings.Contains(told, ",") {
		return told
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err != nil || !ip.IsUnspecified() {
		return told
	}
	u.Host = net.JoinHostPort((&url.URL{Host: r.Host}).Hostname(), u.Port())
	return u.String()
}
