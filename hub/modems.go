package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Modems are those of all gateways, as the API tells of modems. Their names are
// NAME@GATEWAY.
type Modems struct{ h *Hub }

// Modems are those of all gateways.
func (h *Hub) Modems() Modems { return Modems{h} }

// fleetName is what a gateway's modem is called here; "": the gateway itself.
func fleetName(modem, gateway string) string {
	if modem == "" {
		return gateway
	}
	return modem + "@" + gateway
}

// List is all of them, by gateway.
func (m Modems) List() []sms.Modem {
	var all []sms.Modem
	for _, name := range m.h.names() {
		all = append(all, m.of(name)...)
	}
	return all
}

// of are a gateway's, as it told of them last. Of one that is away nobody knows how they are.
func (m Modems) of(gateway string) []sms.Modem {
	h := m.h
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.known[gateway]
	if k == nil {
		return nil
	}
	all := slices.Clone(k.modems)
	here := k.online(h.now())
	for i := range all {
		all[i].Name = fleetName(all[i].Name, gateway)
		if !here {
			all[i].State, all[i].Since = sms.Absent, k.since
			all[i].Reason, all[i].Advice = "Its gateway is away.", "Look at the gateway's power and network; what it has it goes on with."
		}
	}
	return all
}

// Get is one by its name.
func (m Modems) Get(name string) (sms.Modem, bool) {
	_, gateway, ok := cutName(name)
	if !ok {
		return sms.Modem{}, false
	}
	for _, one := range m.of(gateway) {
		if one.Name == name {
			return one, true
		}
	}
	return sms.Modem{}, false
}

func cutName(name string) (modem, gateway string, ok bool) {
	i := strings.LastIndexByte(name, '@')
	if i < 0 {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

// Reset asks a modem to restart.
func (m Modems) Reset(name string) error {
	modem, gateway, ok := cutName(name)
	if _, there := m.Get(name); !ok || !there {
		return fmt.Errorf("%w: no modem %s", queue.ErrNotFound, name)
	}
	_, err := m.h.command(context.Background(), gateway, mirror.CommandRequest{Reset: modem})
	return err
}

// USSD does a step of a session at the modem's gateway.
func (m Modems) USSD(ctx context.Context, name string, step sms.USSD) (a sms.USSDAnswer, err error) {
	modem, gateway, ok := cutName(name)
	if _, there := m.Get(name); !ok || !there {
		return a, fmt.Errorf("%w: no modem %s", queue.ErrNotFound, name)
	}
	answer, err := m.h.command(ctx, gateway, mirror.CommandRequest{USSD: &mirror.USSD{Modem: modem, Step: step}})
	if err == nil {
		err = json.Unmarshal(answer.USSD, &a)
	}
	return a, err
}

// atGateway says where something is done that needs the modem's port.
func atGateway(name string) error {
	_, gateway, _ := cutName(name)
	return queue.Conflict("this is done at the gateway that modem %s is plugged into, on its own pages or its own API: gateway %s", name, gateway)
}

// Transcript is kept at the gateway alone.
func (m Modems) Transcript(name string, _ bool, _ io.Writer) error { return atGateway(name) }

// EnterPIN is done at the gateway alone.
func (m Modems) EnterPIN(_ context.Context, name, _ string) error { return atGateway(name) }

// SignalHistory is kept at the gateway alone: here there is none.
func (m Modems) SignalHistory(context.Context, string, time.Time) ([]sms.SignalSample, error) {
	return nil, nil
}

// Aim is done at the gateway alone.
func (m Modems) Aim(name string) (sms.Modem, error) { return sms.Modem{}, atGateway(name) }

// Forget is done at the gateway alone.
func (m Modems) Forget(name string) error { return atGateway(name) }

// errWent ends the wait for an answer of a gateway that went without giving it.
var errWent = errors.New("its connection ended before it answered")

// command asks a gateway for something at once.
func (h *Hub) command(ctx context.Context, gateway string, q mirror.CommandRequest) (a mirror.CommandAnswer, err error) {
	b, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	ctx, went := context.WithCancelCause(ctx)
	defer went(nil)
	h.mu.Lock()
	if k := h.known[gateway]; k != nil && k.there != nil {
		defer context.AfterFunc(k.there, func() { went(errWent) })()
	}
	h.mu.Unlock()
	m, err := h.nc.RequestWithContext(ctx, mirror.Command(gateway), b)
	if errors.Is(err, nats.ErrNoResponders) {
		if k, err := h.Gateway(ctx, gateway); err == nil && k.Disabled {
			return a, fmt.Errorf("%w: %s is disabled; enable it, and ask again once it is connected", sms.ErrGatewayAway, gateway)
		}
		return a, fmt.Errorf("%w: %s is away, and only it can do this; ask again once it is connected", sms.ErrGatewayAway, gateway)
	}
	if errors.Is(context.Cause(ctx), errWent) {
		return a, fmt.Errorf("%w: %s: %w; it may have done it nevertheless, so look once it is connected", sms.ErrGatewayAway, gateway, errWent)
	}
	if err != nil {
		return a, fmt.Errorf("%w: %s did not answer in time: %w", sms.ErrGatewayAway, gateway, err)
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return a, fmt.Errorf("gateway %s answers something that can't be read: %w", gateway, err)
	}
	if a.Error != "" {
		return a, queue.Conflict("%s", a.Error)
	}
	return a, nil
}
