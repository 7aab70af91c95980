package intake

import (
	"context"
	"fmt"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
)

// Foreseer tells when messages will be sent.
type Foreseer interface {
	// Foresee tells it of messages that are handed in now, each behind those before it.
	// With explain it says what that is based on.
	Foresee(ctx context.Context, drafts []queue.Draft, explain bool) []Outlook
	// Outlook tells it of one that waits; false: it does not wait any more.
	Outlook(ctx context.Context, m *sms.Message) (Outlook, bool)
}

// Outlook is when a message is expected to be sent.
type Outlook struct {
	At      time.Time // of its last part; zero: nobody can tell
	Modem   string    // through which; "": nobody can tell
	Because []string  // in words, what that is based on; if asked for
}

// Late refuses a message that was to be refused rather than sent late. Nothing
// was queued.
type Late struct {
	Index     int // of the draft
	At        time.Time
	ExpiresAt time.Time
}

func (l *Late) Error() string {
	if l.At.IsZero() {
		return fmt.Sprintf("message %d: no modem can send it now, and reject_if_late is set", l.Index)
	}
	return fmt.Sprintf("message %d: it is expected to be sent at %s, after its expires_at %s, and reject_if_late is set",
		l.Index, l.At.UTC().Format(time.RFC3339), l.ExpiresAt.UTC().Format(time.RFC3339))
}

// foresee writes into drafts when they are expected to be sent, and what is to be
// said of that. Errors: *Late, those of the queue.
func (d *Desk) foresee(ctx context.Context, drafts []queue.Draft) error {
	if d.o.Fleet != nil {
		for i, none := range d.o.Fleet.NoneFor(ctx, drafts) {
			if none {
				if err := d.warn(ctx, i, &drafts[i], sms.WarnNoGateway, Outlook{}); err != nil {
					return err
				}
			}
		}
	}
	if d.o.Foreseer == nil {
		return nil
	}
	trusted := d.o.Clock.Trusted()
	for i, o := range d.o.Foreseer.Foresee(ctx, drafts, false) {
		m := &drafts[i]
		w := warningOf(o, m.ExpiresAt)
		if trusted {
			m.ExpectedAt, m.ExpectedModem = o.At, o.Modem
		} else if w == sms.WarnLate { // nobody knows what time it is; that no modem is there, one does
			w = ""
		}
		if w == "" {
			continue
		}
		if err := d.warn(ctx, i, m, w, o); err != nil {
			return err
		}
	}
	return nil
}

// warn has a warning go with the answer, or refuses what is to be refused then.
func (d *Desk) warn(ctx context.Context, i int, m *queue.Draft, w sms.Warning, o Outlook) error {
	if m.RejectIfLate {
		// One that was accepted is not late because it is handed in once more.
		known, err := d.o.Queue.KnowsClientID(ctx, m.KeyID, m.ClientID)
		if err != nil {
			return err
		}
		if !known {
			return &Late{i, o.At, m.ExpiresAt}
		}
	}
	m.Warnings = append(m.Warnings, w)
	return nil
}

func warningOf(o Outlook, expires time.Time) sms.Warning {
	switch {
	case o.At.IsZero():
		return sms.WarnNoModem
	case !expires.IsZero() && o.At.After(expires):
		return sms.WarnLate
	}
	return ""
}

// Foreseen is a message that waits with when it is expected by now: what was said
// when it was accepted may have changed since.
func (d *Desk) Foreseen(ctx context.Context, m *sms.Message) {
	if d.o.Foreseer == nil || m.Direction != sms.Outbound || m.Status != sms.Queued || m.Held || !d.o.Clock.Trusted() {
		return
	}
	if o, ok := d.o.Foreseer.Outlook(ctx, m); ok {
		m.ExpectedAt, m.ExpectedModem = o.At, o.Modem
	}
}

// Preview is what would become of a message.
type Preview struct {
	queue.Draft
	Units, Left int // septets, UTF-16 units or octets: in all, and that fit into the last part besides
	Outlook     Outlook
}

// Preview tells what Draft and Submit would make of a message, and sends nothing.
func (d *Desk) Preview(ctx context.Context, who Caller, m Message) (Preview, []FieldError) {
	m.RejectIfLate = false // a preview says when it would be late
	draft, errs := d.Draft(who, m)
	if len(errs) > 0 {
		return Preview{}, errs
	}
	p := Preview{Draft: draft}
	if a, err := analyse(draft); err == nil {
		p.Units, p.Left, p.ForcedBy = a.Units, a.Left, a.Forced()
	}
	if d.o.Fleet != nil && d.o.Fleet.NoneFor(ctx, []queue.Draft{draft})[0] {
		p.Warnings = append(p.Warnings, sms.WarnNoGateway)
	}
	if d.o.Foreseer != nil {
		o := d.o.Foreseer.Foresee(ctx, []queue.Draft{draft}, true)[0]
		w := warningOf(o, p.ExpiresAt)
		if d.o.Clock.Trusted() {
			p.Outlook = o
		} else {
			p.Outlook.Because = []string{"the clock is not set, so nobody can tell when"}
		}
		if w == sms.WarnNoModem || w != "" && d.o.Clock.Trusted() {
			p.Warnings = append(p.Warnings, w)
		}
	}
	return p, nil
}
