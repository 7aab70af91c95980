//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatewayd/sim"
	"gatewayd/sms"
)

// even is a network that takes the same time for each part, so that what began
// first ends first.
func even(latency time.Duration) sim.NetworkOptions {
	return sim.NetworkOptions{Latency: latency, Delivery: 10 * time.Millisecond, Report: 10 * time.Millisecond}
}

// newKey creates another API key.
func (s *site) newKey(name, scopes string) string {
	s.t.Helper()
	out, errs, status := s.gatewayd("keys", "create", "--config", s.config, "--name", name, "--scope", scopes)
	if status != 0 {
		s.t.Fatalf("keys create: %s", errs)
	}
	return strings.TrimSpace(out)
}

// batch posts n messages at once; each gets what of says.
func (s *site) batch(n int, of func(i int) map[string]any) []sms.Message {
	s.t.Helper()
	var request struct {
		Messages []map[string]any `json:"messages"`
	}
	for i := range n {
		request.Messages = append(request.Messages, of(i))
	}
	body, err := json.Marshal(request)
	if err != nil {
		s.t.Fatal(err)
	}
	status, answer := s.call(http.MethodPost, "/v1/messages/batch", string(body))
	if status != http.StatusAccepted {
		s.t.Fatalf("a batch was answered %d %s", status, answer)
	}
	var accepted struct{ Messages []sms.Message }
	if err := json.Unmarshal(answer, &accepted); err != nil {
		s.t.Fatal(err)
	}
	return accepted.Messages
}

// place returns where in what the network accepted a text stands, -1: not there.
func place(all []sim.Submission, text string) int {
	for i, a := range all {
		if a.Text == text {
			return i
		}
	}
	return -1
}

// While a broadcast of 10,000 is under way, alarms come from another key. Each
// is the next part on the air: of the broadcast, what began before it is ahead of
// it and nothing else.
func TestAlarmsPassABroadcast(t *testing.T) {
	const (
		alarms  = 20
		latency = 300 * time.Millisecond
		// After its 202 the alarm is found by whoever chooses the next part: at once,
		// on a machine that has a processor for it.
		grace = 200 * time.Millisecond
	)
	s := newSite(t, 1, even(latency), "")
	s.binary, s.level = quickBinary(t), "warn"
	s.start()
	broadcast, alarm := s.newKey("broadcast", "send"), s.newKey("alarm", "send")
	s.key = broadcast
	for i := range 10 {
		s.batch(1000, func(n int) map[string]any {
			return map[string]any{"to": fmt.Sprintf("+49171%03d%04d", i, n), "text": fmt.Sprintf("broadcast %d", 1000*i+n)}
		})
	}
	s.key = alarm
	onAir := 0
	for i := range alarms {
		began := len(s.net.Accepted())
		s.eventually("a part of the broadcast is sent", 20*time.Second, func() bool { return len(s.net.Accepted()) > began })
		// The next one is on the air, from now on.
		text := fmt.Sprintf("alarm %d", i)
		status, answer := s.call(http.MethodPost, "/v1/messages", fmt.Sprintf(`{"to": "+491729%06d", "text": %q, "priority": 9}`, i, text))
		accepted, before := time.Now(), len(s.net.Accepted())
		if status != http.StatusAccepted {
			t.Fatalf("an alarm was answered %d %s", status, answer)
		}
		at := -1
		s.eventually("the alarm is sent", 20*time.Second, func() bool { at = place(s.net.Accepted(), text); return at >= 0 })
		between := s.net.Accepted()[min(before, at):at]
		for _, part := range between {
			if late := part.At.Add(-latency).Sub(accepted); late > grace {
				t.Errorf("%s was accepted %v before %q began, and is sent behind it", text, late, part.Text)
			}
		}
		if len(between) == 1 {
			onAir++
		}
	}
	if n := len(s.net.Accepted()); n > 1000 {
		t.Errorf("%d parts were sent: this is no broadcast under way", n)
	}
	t.Logf("%d of %d alarms waited for the part on the air and no other", onAir, alarms)
}

// Fifty messages to a number that takes none, and fifty to others behind them:
// the others go out as if they were alone, but for an attempt or two.
func TestADeadNumberDelaysNobody(t *testing.T) {
	const (
		messages = 50
		dead     = "+491730000000"
	)
	for name, fate := range map[string]sim.Fate{
		"refused for ever": {CMS: 1},  // unassigned number
		"refused for now":  {CMS: 41}, // temporary failure
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 1, even(40*time.Millisecond), "")
			s.level = "warn"
			s.net.SetFate(dead, fate)
			s.start()
			// At once, so that the dead number has no time alone.
			others := s.batch(2*messages, func(i int) map[string]any {
				if i < messages {
					return map[string]any{"to": dead, "text": fmt.Sprintf("dead %d", i)}
				}
				return map[string]any{"to": fmt.Sprintf("+4917400000%02d", i-messages), "text": fmt.Sprintf("other %d", i-messages)}
			})[messages:]
			// The log has in order what began and what was sent.
			attempts, n, sent := 0, 0, 0 // at the dead number, those before the last of the others, which were sent
			s.eventually("the others are sent", 30*time.Second, func() bool {
				attempts, n, sent = 0, 0, 0
				for _, e := range s.events() {
					var m struct{ To string }
					if e.Type != sms.EventOf(sms.Sending) && e.Type != sms.EventOf(sms.Sent) {
						continue
					}
					if err := json.Unmarshal(e.Data, &m); err != nil {
						t.Fatal(err)
					}
					switch {
					case m.To == dead && e.Type == sms.EventOf(sms.Sending):
						attempts++
					case m.To != dead && e.Type == sms.EventOf(sms.Sent):
						n = attempts
						sent++
					}
				}
				return sent >= len(others)
			})
			if accepted := s.net.Accepted(); len(accepted) != len(others) {
				t.Errorf("the network accepted %d, and of the others are %d", len(accepted), len(others))
			}
			t.Logf("%d attempts before the last of the others, and %d in all the modem has had", n, s.modems[0].Stats().Sends-messages)
			if n > messages/10 {
				t.Errorf("%d attempts at the dead number came before the last of the others", n)
			}
			for _, m := range others {
				if place(s.net.Accepted(), m.Text) < 0 {
					t.Errorf("%q was not sent", m.Text)
				}
			}
		})
	}
}
