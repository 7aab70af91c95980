package at_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem/at"
	"gatewayd/modem/internal/script"
)

var cmgs = at.Command{Line: "AT+CMGS=18", Prefix: "+CMGS", Prompt: true, Timeout: time.Minute}

// event waits for the next thing that means something to the command.
func (k *talk) event(limit time.Duration) at.Event {
	k.t.Helper()
	end := time.After(limit)
	for {
		select {
		case t := <-k.p.Tokens():
			if e := k.p.Take(t); e != at.Nothing {
				return e
			}
		case <-end:
			return at.Nothing
		}
	}
}

// send goes through a whole conversation as the driver does.
func (k *talk) send(pdu string) (string, error) {
	k.t.Helper()
	if err := k.p.Begin(cmgs); err != nil {
		return "", err
	}
	if e := k.event(15 * time.Second); e != at.Prompted && e != at.Prompting {
		if e == at.Done {
			return "", k.p.Result()
		}
		return "", errors.New("no prompt")
	}
	if err := k.p.Data([]byte(pdu)); err != nil {
		return "", err
	}
	if err := k.p.Submit(); err != nil {
		return "", err
	}
	if e := k.event(time.Minute); e != at.Done {
		return "", errors.New("no result")
	}
	return strings.Join(k.p.Lines(), "|"), k.p.Result()
}

func TestPromptInEveryForm(t *testing.T) {
	for _, prompt := range []string{"\r\n> ", "\r\n>", ">", "> ", "\r\n>\r\n", "\r\n> \r\n", "AT+CMGS=18\r\r\n> ", "\r\n+CREG: 1\r\n\r\n> "} {
		bubble(t, func(k *talk) {
			k.plays(func(m *script.Modem) {
				m.Hear("AT+CMGS=18")
				m.Say(prompt)
				m.Hear("00" + pduA + "␚")
				m.SayLines("+CMGS: 41", "OK")
			})
			if got, err := k.send("00" + pduA); err != nil || got != "+CMGS: 41" {
				t.Errorf("prompt %q: %q, %v", prompt, got, err)
			}
		})
	}
}

// Outside a command that awaits it, ">" is an ordinary character.
func TestPromptOnlyWhileAwaited(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CSQ")
			m.Say("\r\n> \r\n>nonsense\r\n")
			m.SayLines("+CSQ: 20,99", "OK")
		})
		k.want(csq, "+CSQ: 20,99")
		if k.p.Stale() {
			t.Error("out of step")
		}
	})
}

// A second ">" neither writes the PDU again nor ends the wait.
func TestSecondPromptWritesNothing(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CMGS=18")
			m.Say("\r\n> ")
			m.Hear("00" + pduA + "␚")
			m.Say("\r\n> \r\n>\r\n")
			m.SayLines("+CMGS: 41", "OK")
		})
		if got, err := k.send("00" + pduA); err != nil || got != "+CMGS: 41" {
			t.Errorf("%q, %v", got, err)
		}
		if w := k.wire.Writes(); len(w) != 3 || w[1] != "00"+pduA || w[2] != "\x1a" {
			t.Errorf("wrote %q", w)
		}
	})
}

// A +CMGS and its OK that come before our Ctrl-Z are an earlier message's.
func TestLateReferenceBeforeCtrlZ(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CMGS=18")
			m.SayLines("+CMGS: 40", "OK")
			m.Say("\r\n> ")
			m.Hear("00" + pduA + "␚")
			m.SayLines("+CMGS: 41", "OK")
		})
		if got, err := k.send("00" + pduA); err != nil || got != "+CMGS: 41" {
			t.Errorf("%q, %v", got, err)
		}
		k.heard("+CMGS: 40")
	})
}

// An error instead of the prompt ends the command, and the prompt may still
// come: nothing is written before the port is in step again.
func TestErrorInsteadOfPrompt(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) { m.Hear("AT+CMGS=18"); m.SayLines("+CMS ERROR: 304") })
		_, err := k.send(pduA)
		var e *at.Error
		if !errors.As(err, &e) || e.Code != 304 || !k.p.Stale() {
			t.Errorf("%v, stale %v", err, k.p.Stale())
		}
	})
}

func TestReferenceWithoutWaiting(t *testing.T) {
	bubble(t, func(k *talk) {
		k.m.Say("\r\n+CMGS: 7\r\n\r\nOK\r\n")
		synctest.Wait()
		k.p.Drain()
		k.heard("+CMGS: 7")
	})
}

// conversation is what a modem says while one message is sent, with noise in
// every gap that there is.
var conversation = []string{"AT+CMGS=18\r\r\n> ", "00" + pduA + "\x1a\r\n+CMGS: 41,\"" + "0011" + "\"\r\n\r\nOK\r\n"}

var noises = []string{
	"\r\n+CMTI: \"SM\",3\r\n",
	"\r\n+CDS: 25\r\n" + report25 + "\r\n",
	"\r\n^RSSI:18\r\r\n",
	"\r\n+CMT: ,18\r\n\r\n" + pduB + "\r\n",
	"\r\nRING\r\n\r\n+CLIP: \"+491701234567\",145\r\n",
	"\x00\x11\x13",
}

const report25 = "07919471010000000601" + "0C91947110325476" + "10102000108000" + "10102000108000" + "00"

// Noise in every gap, and the whole cut at every byte: the reference is found,
// nothing is written twice, and every announcement is heard once.
func TestWholeSendWithNoiseAndEverySplit(t *testing.T) {
	for _, noise := range noises {
		gaps := [][]string{
			{noise + conversation[0], conversation[1]},
			{"AT+CMGS=18\r" + noise + "\r\n> ", conversation[1]},
			{conversation[0], noise + conversation[1]},
			{conversation[0], "\r\n+CMGS: 41\r\n" + noise + "\r\nOK\r\n"},
			{conversation[0], conversation[1] + noise},
		}
		for g, says := range gaps {
			total := len(says[0]) + len(says[1])
			for split := range total {
				bubble(t, func(k *talk) {
					at0 := min(split, len(says[0]))
					at1 := max(0, split-len(says[0]))
					k.plays(func(m *script.Modem) {
						m.Hear("AT+CMGS=18")
						sayIn2(m, says[0], at0)
						m.Hear("00" + pduA + "␚")
						sayIn2(m, says[1], at1)
					})
					got, err := k.send("00" + pduA)
					if err != nil || !strings.HasPrefix(got, "+CMGS: 41") {
						t.Fatalf("noise %q in gap %d, cut at %d: %q, %v", noise, g, split, got, err)
					}
					<-time.After(time.Second)
					k.p.Drain()
					if n := len(k.wire.Writes()); n != 3 {
						t.Fatalf("noise %q in gap %d, cut at %d: %d writes", noise, g, split, n)
					}
					if want := strings.Count(noise, ":"); len(k.urcs) != max(want, strings.Count(noise, "RING")+want) {
						t.Fatalf("noise %q in gap %d, cut at %d: heard %q", noise, g, split, k.urcs)
					}
				})
			}
		}
	}
}

func sayIn2(m *script.Modem, s string, cut int) {
	if cut > 0 && cut < len(s) {
		m.Say(s[:cut])
		<-time.After(100 * time.Millisecond)
		s = s[cut:]
	}
	m.Say(s)
}

func ExampleError() {
	fmt.Println(&at.Error{Command: "AT+CPIN?", Set: "CME", Code: 10, Text: "+CME ERROR: 10"})
	// Output: AT+CPIN? was answered +CME ERROR: 10
}
