package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// chaos is half an hour of traffic through three modems of which one or the
// other always has a trouble, with restarts of the gateway in between.
type chaos struct {
	*world
	rnd      *rand.Rand
	sent     []sms.Message
	pinned   map[string]bool
	received []string
}

// After any troubles everything is settled, nothing is lost, nothing went out
// twice without being marked, and the order was kept.
func TestChaos(t *testing.T) {
	for _, seed := range []uint64{6, 16} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			o := air()
			o.Seed = seed
			inWorld(t, 3, o, func(w *world) {
				c := &chaos{world: w, rnd: rand.New(rand.NewPCG(seed, 0)), pinned: map[string]bool{}}
				for end := time.Now().Add(30 * time.Minute); time.Now().Before(end); {
					c.pass(time.Duration(c.rnd.IntN(5000)) * time.Millisecond)
					c.post()
					if c.rnd.IntN(8) == 0 {
						c.trouble()
					}
				}
				for _, m := range c.modems {
					m.Fault(func(f *sim.Faults) { *f = sim.Faults{} })
					if err := m.Plug(); err != nil {
						t.Error(err)
					}
				}
				c.pass(6 * time.Hour)
				c.check()
			})
		})
	}
}

func (c *chaos) post() {
	n := len(c.sent)
	text := fmt.Sprintf("message %d", n)
	if c.rnd.IntN(5) == 0 {
		text += strings.Repeat(" and more of it", 25)
	}
	pin := ""
	if c.rnd.IntN(10) == 0 {
		pin = c.modems[c.rnd.IntN(3)].Name()
	}
	m := c.submit(fmt.Sprintf("+49170000000%d", c.rnd.IntN(5)), text, func(d *queue.Draft) {
		d.Pin = pin
		if c.rnd.IntN(10) == 0 {
			d.Priority = 9
		}
		if c.rnd.IntN(10) == 0 {
			d.OnUnconfirmed = sms.Fail
		}
	})
	c.sent = append(c.sent, m)
	c.pinned[m.ID] = pin != ""
	if c.rnd.IntN(20) == 0 {
		late := c.sent[c.rnd.IntN(len(c.sent))]
		if _, err := c.g.Queue().Cancel(context.Background(), late.ID); err != nil && !errors.Is(err, queue.ErrConflict) {
			c.t.Error(err)
		}
	}
	if c.rnd.IntN(10) == 0 {
		text := fmt.Sprintf("answer %d", len(c.received)) + strings.Repeat(".", 200*c.rnd.IntN(2))
		if err := c.net.Handset(phone).Send(c.modems[c.rnd.IntN(3)].Number(), text); err != nil {
			c.t.Error(err)
		}
		c.received = append(c.received, text)
	}
}

func (c *chaos) trouble() {
	m := c.modems[c.rnd.IntN(3)]
	lost := c.rnd.IntN(2) == 0
	codes := []string{"+CMS ERROR: 38", "+CMS ERROR: 10", "+CMS ERROR: 210", "+CMS ERROR: 500", "+CMS ERROR: 41", "+CMS ERROR: 332", "+CMS ERROR: 331", "ERROR"}
	code := codes[c.rnd.IntN(len(codes))]
	switch c.rnd.IntN(12) {
	case 0:
		m.Unplug()
		c.pass(time.Duration(c.rnd.IntN(60)) * time.Second)
		if err := m.Plug(); err != nil {
			c.t.Error(err)
		}
	case 1:
		m.Reset()
	case 2: // one of these at a time: a late answer tells of nothing that was lost
		m.Fault(func(f *sim.Faults) { *f = sim.Faults{Silent: 1, Lost: lost} })
	case 3:
		late := time.Duration(30+c.rnd.IntN(150)) * time.Second
		m.Fault(func(f *sim.Faults) { *f = sim.Faults{Late: 1, LateBy: late} })
	case 4:
		m.Fault(func(f *sim.Faults) { *f = sim.Faults{OKOnly: 1, Lost: lost} })
	case 5:
		m.Fault(func(f *sim.Faults) { f.Reject, f.SendError = 1, code })
	case 6:
		m.Fault(func(f *sim.Faults) { f.RejectCommand, f.SendError = 1, code })
	case 7:
		m.Fault(func(f *sim.Faults) { f.CMTIMissing, f.Duplicate = 1, 1 })
	case 8:
		m.Fault(func(f *sim.Faults) { f.Mute = true })
		c.pass(time.Duration(c.rnd.IntN(120)) * time.Second)
		m.Fault(func(f *sim.Faults) { f.Mute = false })
	case 9:
		m.Fault(func(f *sim.Faults) { f.NoPrompt, f.ReportFirst = 1, lost })
	case 10:
		c.net.SetLatency(time.Duration(c.rnd.IntN(3000))*time.Millisecond, 0)
	default:
		c.end()
		c.start()
	}
}

func (c *chaos) check() {
	parts := map[string]int{} // how often each went out
	for _, s := range c.net.Accepted() {
		parts[string(s.TPDU)]++
	}
	saw := map[string]int{}   // how often each text did
	first := map[string]int{} // and when
	for i, s := range c.net.Accepted() {
		if s.Complete {
			if _, ok := first[s.Text]; !ok {
				first[s.Text] = i
			}
			saw[s.Text] = max(saw[s.Text], parts[string(s.TPDU)])
		}
	}
	type row struct {
		to       string
		priority int
	}
	last := map[row]int{}
	counts := map[sms.Status]int{}
	for _, m := range c.sent {
		got := c.message(m.ID)
		counts[got.Status]++
		n, name := saw[m.Text], m.Text[:min(len(m.Text), 12)]
		switch got.Status {
		case sms.Sent, sms.Delivered:
			if n == 0 {
				c.t.Errorf("%q is %s and the network never had it", name, got.Status)
			}
		case sms.Canceled:
			if n > 0 {
				c.t.Errorf("%q was canceled and went out", name)
			}
		case sms.Failed:
			if n > 0 && got.Error.Code != "unconfirmed" {
				c.t.Errorf("%q failed (%v) and went out", name, got.Error)
			}
		default:
			c.t.Errorf("%q is %s in the end (%v), attempts %d, modem %s", name, got.Status, got.Error, got.Attempts, got.Modem)
		}
		if n > 1 && !got.PossibleDuplicate {
			c.t.Errorf("%q went out %d times and is not marked", name, n)
		}
		if n == 1 && got.Attempts == 1 && !c.pinned[m.ID] {
			at := row{m.To, m.Priority}
			if i := first[m.Text]; i < last[at] {
				c.t.Errorf("%q was overtaken", name)
			} else {
				last[at] = i
			}
		}
	}
	in := map[string]int{}
	for _, m := range c.inbound() {
		if !m.PossibleDuplicate {
			in[m.Text]++
		}
	}
	for _, text := range c.received {
		if in[text] != 1 {
			c.t.Errorf("%q was received %d times", text[:9], in[text])
		}
	}
	d := c.g.dispatch
	if len(d.entries) > 0 || len(d.recipients) > 0 || len(d.held) > 0 {
		c.t.Errorf("in memory are left %d messages, %d recipients, %d lines", len(d.entries), len(d.recipients), len(d.held))
	}
	c.t.Logf("%d sent: %v; %d received", len(c.sent), counts, len(c.received))
}
