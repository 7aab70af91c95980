package link

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"

	"gatewayd/mirror"
	"gatewayd/queue"
)

// maxCommands is how many are carried out at once; USSD may take minutes.
const maxCommands = 8

// maxSlots is how many slots one answer has: it must fit into a message of NATS.
const maxSlots = 2000

type commands struct {
	sync.WaitGroup
	free chan struct{}
}

// command carries out what the hub asks, beside everything else.
func (s *session) command(ctx context.Context, m *nats.Msg) {
	select {
	case s.commands.free <- struct{}{}:
	default:
		s.respond(m, mirror.CommandAnswer{Error: "the gateway is busy with other commands; try again in a minute"})
		return
	}
	s.commands.Go(func() {
		defer func() { <-s.commands.free }()
		var c mirror.CommandRequest
		var a mirror.CommandAnswer
		err := json.Unmarshal(m.Data, &c)
		if err == nil {
			a, err = s.l.do(ctx, c)
		}
		if err != nil {
			a.Error = err.Error()
		}
		s.respond(m, a)
	})
}

func (s *session) respond(m *nats.Msg, a mirror.CommandAnswer) {
	b, err := json.Marshal(a)
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil {
		s.l.o.Log.Debug("a command's answer did not go out", "error", err)
	}
}

// do carries out a command.
func (l *Link) do(ctx context.Context, c mirror.CommandRequest) (a mirror.CommandAnswer, err error) {
	switch {
	case c.Cancel != "":
		m, err := l.o.Queue.CancelMirrored(ctx, c.Cancel)
		if errors.Is(err, queue.ErrNotFound) {
			err = errors.New("this gateway does not have the message")
		}
		if m != nil {
			a.Status = m.Status
		}
		if err != nil {
			return a, err
		}
	case c.Mirror != nil:
		limit := max(1, min(c.Mirror.Limit, maxSlots))
		slots, err := l.o.Queue.MirrorSlots(ctx, c.Mirror.After, limit+1)
		if err != nil {
			return a, err
		}
		if a.More = len(slots) > limit; a.More {
			slots = slots[:limit]
		}
		for _, s := range slots {
			a.Slots = append(a.Slots, mirror.Slot(s))
		}
	case c.Reset != "":
		if err := l.o.Reset(c.Reset); err != nil {
			return a, err
		}
	case c.USSD != nil:
		if err := c.USSD.Step.Check(); err != nil {
			return a, err
		}
		answer, err := l.o.USSD(ctx, c.USSD.Modem, c.USSD.Step)
		if err != nil {
			return a, err
		}
		if a.USSD, err = json.Marshal(answer); err != nil {
			return a, err
		}
	default:
		return a, errors.New("this gateway does not know that command: it is older than its hub")
	}
	a.Newest, err = l.toldTo(ctx) // asked last: all that was seen is told by then
	return a, err
}
