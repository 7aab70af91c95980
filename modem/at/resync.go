package at

import (
	"context"
	"strings"
	"time"
)

// Times of Resync.
const (
	quiet    = 200 * time.Millisecond // silence that ends draining
	drainMax = 2 * time.Second
	wakeWait = 2 * time.Second
	askWait  = 3 * time.Second
)

// questions whose answers can't be taken for each other's. Each is asked at
// most once per Resync, and never the one that was lost, so an answer proves
// that everything before it has been answered or dropped.
var questions = []Command{
	{Line: "AT+CGSN", Mine: isSerial},
	{Line: "AT+CMEE?", Prefix: "+CMEE"},
	{Line: "AT+CMGF?", Prefix: "+CMGF"},
	{Line: "AT+CNMI?", Prefix: "+CNMI"},
	{Line: "AT+CSMS?", Prefix: "+CSMS"},
}

// escape leaves a prompt, if the modem sits at one.
var escape = []byte{0x1b, '\r'}

// isSerial knows an IMEI, plain or as "+CGSN: …".
func isSerial(line string) bool {
	if rest, ok := after(line, "+CGSN"); ok {
		line = rest
	}
	line = strings.Trim(line, `"`)
	if len(line) < 14 || len(line) > 17 {
		return false
	}
	for i := 0; i < len(line); i++ {
		if line[i] < '0' || line[i] > '9' {
			return false
		}
	}
	return true
}

// Resync leaves a prompt that may be open, reads what comes — a late +CMGS
// goes to the handler —, waits for an answer to AT, up to tries times, and
// asks questions until one has its own answer.
func (p *Port) Resync(ctx context.Context, tries int) error {
	p.resyncing, p.reprompt = true, false
	defer func() {
		p.resyncing = false
		p.stop()
	}()
	p.stop()
	p.stale = true
	p.giveUpTrail()
	if err := p.write(escape); err != nil {
		return err
	}
	if err := p.silence(ctx, drainMax); err != nil {
		return err
	}
	if err := p.wake(ctx, tries); err != nil {
		return err
	}
	for _, q := range questions {
		if p.lost.Line != "" && q.Line == p.lost.Line {
			continue
		}
		q.Digits = true
		ok, err := p.ask(ctx, q)
		if err != nil {
			return err
		}
		if ok {
			p.stale, p.lost = false, Command{}
			p.resyncs++
			return nil
		}
	}
	return ErrParrot
}

// wake sends AT until anything answers, and then waits for silence: the
// answers to the earlier tries may come too.
func (p *Port) wake(ctx context.Context, tries int) error {
	for i := range tries {
		c := Command{Line: "AT", Digits: true}
		if i == 2 { // results may have been switched off, or to digits
			c.Line = "ATQ0V1E0"
		}
		p.start(c)
		if err := p.write([]byte(c.Line + "\r")); err != nil {
			return err
		}
		answered := false
		err := p.until(ctx, wakeWait, func(e Event) bool {
			answered = e == Done
			return answered
		})
		p.stop()
		if err != nil {
			return err
		}
		if answered {
			return p.silence(ctx, drainMax)
		}
	}
	return ErrSilent
}

// ask tells whether q got its own answer and then a final result. A result
// alone may be another command's: it is passed over.
func (p *Port) ask(ctx context.Context, q Command) (bool, error) {
	p.start(q)
	if err := p.write([]byte(q.Line + "\r")); err != nil {
		return false, err
	}
	mine := false
	limit := askWait
	for !mine {
		done := false
		err := p.until(ctx, limit, func(e Event) bool {
			done = e == Done
			return done
		})
		if err != nil {
			return false, err
		}
		if !done {
			break
		}
		if mine = len(p.lines) > 0; !mine {
			p.running = true
			limit = 2 * quiet // it may have been ours: a refusal
		}
	}
	p.stop()
	return mine, nil
}

// silence reads until nothing has come for a while, for max at most.
func (p *Port) silence(ctx context.Context, max time.Duration) error {
	end := time.Now().Add(max)
	for time.Now().Before(end) {
		heard := false
		if err := p.until(ctx, quiet, func(Event) bool { heard = true; return true }); err != nil {
			return err
		}
		if !heard {
			return nil
		}
	}
	return nil
}

// until gives tokens to Take for d, or until stop says so. It fails only when
// the port is gone or ctx over.
func (p *Port) until(ctx context.Context, d time.Duration, stop func(Event) bool) error {
	p.timer.Reset(d)
	for {
		select {
		case t := <-p.tokens:
			e := p.Take(t)
			if e == Gone {
				return p.Cause()
			}
			if p.reprompt { // later than our escape
				p.reprompt = false
				p.await.Store(true)
				if err := p.write(escape); err != nil {
					return err
				}
			}
			if stop(e) {
				return nil
			}
		case <-p.timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
