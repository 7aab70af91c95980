package modem_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/modem"
	"gatewayd/modem/transcript"
	"gatewayd/sms"
)

// opens counts how often the port was opened.
func opens(r *rig) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

// Three faults in a row start the modem afresh; two and a success do not.
func TestFaultsAreHealed(t *testing.T) {
	converse(t, func(r *rig) {
		r.box.add(part("a", 1), part("b", 2), part("c", 3))
		for i, name := range []string{"a", "b", "c"} {
			r.takes(part(name, 0))
			if i == 2 {
				r.say("+CMGS: 1", "OK")
			} else {
				r.say("+CMS ERROR: 500")
			}
		}
		r.outcomes(3)
		if n := opens(r); n != 1 {
			t.Errorf("opened %d times", n)
		}
		r.box.add(part("d", 4), part("e", 5), part("f", 6))
		for _, name := range []string{"d", "e", "f"} {
			r.takes(part(name, 0))
			r.say("+CMS ERROR: 500")
		}
		r.outcomes(6)
		r.until("opened again", time.Minute, func() bool { return opens(r) == 2 })
		r.state(sms.Ready)
		if c := r.m.Snapshot().Counters; c.Restarts != 1 || c.PartsFailed != 5 {
			t.Errorf("%+v", c)
		}
	})
}

func TestSIMTroubleParksTheModem(t *testing.T) {
	converse(t, func(r *rig) {
		p := part("a", 1)
		r.box.add(p)
		r.takes(p)
		r.say("+CMS ERROR: 50")
		if o := r.outcomes(1)[0]; o.Result != modem.Refused || o.Err.Class != sms.Account {
			t.Fatalf("%+v", o)
		}
		r.state(sms.Parked)
		s := r.m.Snapshot()
		if !strings.Contains(s.Reason, "cms-50") || s.Advice == "" {
			t.Errorf("%q %q", s.Reason, s.Advice)
		}
		b := part("b", 2)
		r.box.add(b)
		r.modem().Quiet(4 * time.Minute) // nothing is sent meanwhile
		r.takes(b)                       // and then it is tried
		r.say("+CMGS: 1", "OK")
		r.outcomes(2)
		r.state(sms.Ready)
	})
}

// While there is no network nothing is asked for; when it comes, at once.
func TestSearchingAsksForNothing(t *testing.T) {
	converse(t, func(r *rig) {
		r.knows("AT+CREG?", "+CREG: 2,2|OK")
		r.knows("AT+CGREG?", "+CGREG: 2,2|OK")
		r.say("+CREG: 2", "+CGREG: 2")
		r.state(sms.Searching)
		if s := r.m.Snapshot(); s.Operator+s.Technology != "" {
			t.Errorf("without a network it shows %q %q", s.Operator, s.Technology)
		}
		p := part("a", 1)
		r.box.add(p)
		r.modem().Quiet(time.Minute)
		if n, out := r.box.left(); n != 1 || out != 0 {
			t.Errorf("%d wait, %d are out", n, out)
		}
		r.knows("AT+CREG?", "+CREG: 2,1|OK")
		start := time.Now()
		r.say("+CREG: 1")
		r.takes(p)
		if d := time.Since(start); d > time.Second {
			t.Errorf("took %s", d)
		}
		r.say("+CMS ERROR: 331")
		r.until("its operator", time.Minute, func() bool { return r.m.Snapshot().Operator == "Net" })
		r.outcomes(1)
		r.state(sms.Searching)
		r.state(sms.Ready)
	})
}

// Registration is found without an announcement too.
func TestRegistrationIsPolled(t *testing.T) {
	with(t, map[string]string{"AT+CREG?": "+CREG: 2,2|OK", "AT+CGREG?": "+CGREG: 2,2|OK"}, nil, func(r *rig) {
		r.state(sms.Searching)
		<-time.After(20 * time.Second)
		r.knows("AT+CREG?", "+CREG: 2,5|OK")
		r.until("ready", 4*time.Second, func() bool { return r.m.Snapshot().State == sms.Ready })
		if s := r.m.Snapshot(); s.Registration != "roaming" {
			t.Error(s.Registration)
		}
	})
}

func TestUnplugAndReplug(t *testing.T) {
	converse(t, func(r *rig) {
		r.modem().Wire().Unplug()
		r.until("absent", 2*time.Second, func() bool { return r.m.Snapshot().State == sms.Absent })
		if s := r.m.Snapshot(); s.Operator+s.Technology+s.Registration != "" || s.Signal != nil {
			t.Errorf("a modem that is not there shows a network: %+v", s)
		}
		r.state(sms.Ready)
		if s := r.m.Snapshot(); s.Operator != "Net" || s.Technology != "GSM" || s.Registration != "home" || s.Signal == nil {
			t.Errorf("back again it shows %+v", s)
		}
		if opens(r) != 2 {
			t.Errorf("opened %d times", opens(r))
		}
	})
}

// A modem that dies silently is noticed at the next question.
func TestSilentDeath(t *testing.T) {
	converse(t, func(r *rig) {
		r.mu.Lock()
		r.answers = map[string]string{"*": ""}
		r.mu.Unlock()
		r.until("noticed", 2*time.Minute, func() bool { return opens(r) >= 2 })
		r.mu.Lock()
		r.answers = usual()
		r.mu.Unlock()
		r.state(sms.Ready)
	})
}

func TestResetIsAtOnce(t *testing.T) {
	converse(t, func(r *rig) {
		r.m.Reset()
		r.until("opened again", time.Second, func() bool { return opens(r) == 2 })
		r.state(sms.Ready)
	})
}

func TestModemThatRestartsItself(t *testing.T) {
	for _, line := range []string{"RDY", "^SYSSTART", "NORMAL POWER DOWN", "+CPIN: NOT READY"} {
		converse(t, func(r *rig) {
			r.say(line)
			r.until(line, 10*time.Second, func() bool { return opens(r) == 2 })
			r.state(sms.Ready)
		})
	}
}

// Between two parts too: the second waits until the modem is up again.
func TestRestartBetweenTwoParts(t *testing.T) {
	converse(t, func(r *rig) {
		a, b := part("a", 1), part("b", 2)
		r.box.add(a, b)
		r.takes(a)
		r.say("RDY", "+CMGS: 1", "OK")
		r.until("started again", time.Minute, func() bool { return opens(r) == 2 })
		r.takes(b)
		r.say("+CMGS: 2", "OK")
		r.outcomes(2)
	})
}

// The signal is polled every half minute, in dBm as the standard says.
func TestSignal(t *testing.T) {
	converse(t, func(r *rig) {
		for _, c := range []struct {
			csq, quality string
			dbm, percent int
		}{{"31,99", "good", -51, 100}, {"10,0", "good", -93, 32}, {"7,0", "fair", -99, 23}, {"2,99", "poor", -109, 6}, {"0,99", "none", -113, 0}, {"141,99", "good", -75, 61}} {
			r.knows("AT+CSQ", "+CSQ: "+c.csq+"|OK")
			<-time.After(31 * time.Second)
			synctest.Wait()
			if s := r.m.Snapshot().Signal; s == nil || s.DBm != c.dbm || s.Percent != c.percent || s.Quality != c.quality {
				t.Errorf("+CSQ: %s is %+v", c.csq, s)
			}
		}
		r.knows("AT+CSQ", "+CSQ: 99,99|OK")
		<-time.After(31 * time.Second)
		synctest.Wait()
		if s := r.m.Snapshot().Signal; s != nil {
			t.Errorf("99 is %+v", s)
		}
	})
}

// While parts wait, polling costs one question in half a minute.
func TestPollingGivesWayToParts(t *testing.T) {
	converse(t, func(r *rig) {
		base := len(r.modem().Wire().Writes())
		var parts []*modem.Part
		for i := range 120 {
			parts = append(parts, part("abcdefgh"[i%8:i%8+1], int64(i)))
		}
		r.box.add(parts...)
		for i, p := range parts {
			r.takes(p)
			<-time.After(time.Second)
			r.say("+CMGS: "+string(rune('0'+i%10)), "OK")
		}
		r.outcomes(120)
		polls := 0
		for _, w := range r.modem().Wire().Writes()[base:] {
			if strings.HasSuffix(w, "?\r") || w == "AT+CSQ\r" {
				polls++
			}
		}
		if polls < 3 || polls > 5 {
			t.Errorf("%d questions in two minutes of sending", polls)
		}
	})
}

func TestMetricsAreBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	metrics := modem.NewMetrics(reg)
	with(t, nil, func(o *modem.Options) { o.Metrics = metrics }, func(r *rig) {
		r.state(sms.Ready)
		p := part("a", 1)
		r.box.add(p)
		r.takes(p)
		r.say("+CMGS: 1", "OK")
		r.outcomes(1)
	})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	results, states := map[string]float64{}, 0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "gatewayd_modem_parts_total":
				results[m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			case "gatewayd_modem_state":
				states++
			}
		}
	}
	if len(results) != 4 || results["confirmed"] != 1 || results["unknown"] != 0 {
		t.Errorf("%v", results)
	}
	if states == 0 || states > 3 {
		t.Errorf("%d states", states)
	}
}

// A recording has every byte both ways, and plays back as the modem that it was.
func TestRecordingPlaysBack(t *testing.T) {
	var whole transcript.Transcript
	with(t, nil, func(o *modem.Options) {
		ring := transcript.NewRing(1 << 20)
		o.Record = ring.Add
		o.OnState = func(m sms.Modem) {
			if m.State == sms.Ready {
				entries, begin := ring.Entries()
				whole = transcript.Of(m, entries, begin, true)
			}
		}
	}, func(r *rig) {
		time.Sleep(time.Minute)
		r.stop()
	})
	var text strings.Builder
	if err := whole.Write(&text); err != nil {
		t.Fatal(err)
	}
	if s := text.String(); !strings.Contains(s, `> "AT+CSQ\r"`) || !strings.Contains(s, `+CSQ: 20,99`) || strings.Contains(s, "491710000000") {
		t.Error(s)
	}
	plays(t, strings.NewReader(text.String()), sms.Ready)
}

// plays runs a modem against a transcript until it has come to a state.
func plays(t *testing.T, r io.Reader, want sms.ModemState) {
	t.Helper()
	recording, err := transcript.Read(r)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		reached := make(chan sms.Modem, 100)
		player := transcript.NewPlayer(recording)
		m := modem.New(modem.Options{
			Name: "played", Port: "transcript", Outbox: newBox(), Inbox: &inbox{},
			Open:    func(context.Context) (io.ReadWriteCloser, error) { return player, nil },
			OnState: func(m sms.Modem) { reached <- m },
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		over := time.After(5 * time.Minute)
		for state := sms.Absent; state != want; {
			select {
			case m := <-reached:
				state = m.State
				t.Logf("%s: %s", m.State, m.Reason)
			case <-over:
				t.Fatalf("it is %s after five minutes, want %s; the recording has no answer to %q", state, want, player.Unknown())
			}
		}
		cancel()
		<-done
	})
}

// Numbers and texts are logged at debug only.
func TestLogsTellNoNumbers(t *testing.T) {
	var b bytes.Buffer
	with(t, nil, func(o *modem.Options) { o.Log = infoLog(&b) }, func(r *rig) {
		r.state(sms.Ready)
		p := part("7654321", 1)
		r.box.add(p)
		r.takes(p)
		r.say("+CMT: ,18", deliver, "+CLIP: \"+491701234567\",145", "+CMS ERROR: 500")
		r.outcomes(1)
		r.stop()
	})
	for _, secret := range []string{"7654321", "491701234567", deliver, body} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("the log tells %s: %s", secret, b.String())
		}
	}
	if !strings.Contains(b.String(), "modem=one") {
		t.Error("nothing was logged")
	}
}
