package at_test

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem/at"
	"gatewayd/modem/internal/script"
)

// talk is a port under test and the scripted modem at its other end. The test
// owns the port; the modem's side runs in m.
type talk struct {
	t    *testing.T
	p    *at.Port
	m    *script.Modem
	wire *script.Wire // the modem's end
	urcs []at.URC
}

func bubble(t *testing.T, f func(*talk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := script.NewWire()
		k := &talk{t: t, wire: theirs}
		k.p = at.Attach(ours, slog.New(slog.DiscardHandler), func(u at.URC) { k.urcs = append(k.urcs, u) })
		k.m = script.Play(t, theirs)
		defer func() {
			_ = k.p.Close()
			<-k.m.Done()
		}()
		f(k)
	})
}

// plays runs the modem's side of a conversation beside the test.
func (k *talk) plays(f func(m *script.Modem)) {
	go f(k.m)
}

func (k *talk) do(c at.Command) ([]string, error) {
	k.t.Helper()
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	return k.p.Do(context.Background(), c)
}

func (k *talk) want(c at.Command, lines ...string) {
	k.t.Helper()
	got, err := k.do(c)
	if err != nil || strings.Join(got, "|") != strings.Join(lines, "|") {
		k.t.Fatalf("%s: %q, %v; want %q", c.Line, got, err, lines)
	}
}

func (k *talk) heard(lines ...string) {
	k.t.Helper()
	var got []string
	for _, u := range k.urcs {
		s := u.Line
		if u.PDU != "" {
			s += " " + u.PDU
		}
		got = append(got, s)
	}
	if strings.Join(got, "|") != strings.Join(lines, "|") {
		k.t.Fatalf("unsolicited: %q, want %q", got, lines)
	}
}

var (
	csq  = at.Command{Line: "AT+CSQ", Prefix: "+CSQ"}
	creg = at.Command{Line: "AT+CREG?", Prefix: "+CREG"}
	cmgl = at.Command{Line: "AT+CMGL=4", Prefix: "+CMGL", PDU: true}
	cimi = at.Command{Line: "AT+CIMI"}
)

const (
	pduA = "07919471010000000404A1321000001010200010800003C2E231"
	pduB = "07919471010000000404A1321000001010200010800003C3E331"
)

func TestAnswersInEveryLineEnd(t *testing.T) {
	for _, answer := range []string{
		"\r\n+CSQ: 20,99\r\n\r\nOK\r\n",
		"\r\r\n+CSQ: 20,99\r\r\n\r\r\nOK\r\r\n", // CR CR LF
		"\r+CSQ: 20,99\r\rOK\r",                 // CR only
		"\n+CSQ: 20,99\nOK\n",
		"\x00\r\n\x00+CSQ: 20,\x0099\r\nO\x00K\r\n", // NULs
		"AT+CSQ\r\r\n+CSQ: 20,99\r\n\r\nOK\r\n",     // echo
	} {
		bubble(t, func(k *talk) {
			k.plays(func(m *script.Modem) { m.Hear("AT+CSQ"); m.Say(answer) })
			k.want(csq, "+CSQ: 20,99")
		})
	}
}

// One line that is too long, and binary noise without any line end, neither
// end the port nor hide the answer that follows.
func TestNoiseWithoutLineEndIsNotTheEnd(t *testing.T) {
	bubble(t, func(k *talk) {
		noise := make([]byte, 200_000)
		for i := range noise {
			noise[i] = byte(0x80 + i%0x7f)
		}
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CSQ")
			m.Say(string(noise))
			m.SayLines("+CSQ: 20,99", "OK")
		})
		k.want(csq, "+CSQ: 20,99")
	})
}

func TestFinalResults(t *testing.T) {
	for line, want := range map[string]at.Error{
		"ERROR":                      {Code: -1},
		"+CMS ERROR: 38":             {Set: "CMS", Code: 38},
		"+CMS ERROR:500":             {Set: "CMS", Code: 500},
		"+CME ERROR: 14":             {Set: "CME", Code: 14},
		"+CME ERROR: SIM not inser.": {Set: "CME", Code: -1},
		"COMMAND NOT SUPPORT":        {Code: -1},
		"TOO MANY PARAMETERS":        {Code: -1},
		"MODEM ERROR: 3":             {Code: -1},
		"NA":                         {Code: -1},
	} {
		bubble(t, func(k *talk) {
			k.plays(func(m *script.Modem) { m.Hear("AT+CSQ"); m.SayLines(line) })
			_, err := k.do(csq)
			var got *at.Error
			if !errors.As(err, &got) {
				t.Fatalf("%s: %v", line, err)
			}
			want.Command, want.Text = "AT+CSQ", line
			if *got != want {
				t.Errorf("%s: %+v, want %+v", line, *got, want)
			}
			if k.p.Stale() {
				t.Errorf("%s: out of step after an answer", line)
			}
		})
	}
}

func TestNoCarrierEndsOnlyCalls(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CSQ")
			m.SayLines("NO CARRIER", "+CSQ: 1,99", "OK")
			m.Hear("ATD*99#")
			m.SayLines("NO CARRIER")
		})
		k.want(csq, "+CSQ: 1,99")
		if _, err := k.do(at.Command{Line: "ATD*99#", Call: true}); err == nil {
			t.Error("NO CARRIER did not end the call")
		}
		k.heard("NO CARRIER")
	})
}

func TestURCsComeInTheOrderOfTheWire(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CSQ")
			m.SayLines(`+CMTI: "SM",1`, "^RSSI:18", `+CMTI: "SM",2`, "+CSQ: 20,99", `+CMTI: "SM",3`, "RING", "OK", `+CMTI: "SM",4`)
		})
		k.want(csq, "+CSQ: 20,99")
		synctest.Wait()
		k.p.Drain()
		k.heard(`+CMTI: "SM",1`, "^RSSI:18", `+CMTI: "SM",2`, `+CMTI: "SM",3`, "RING", `+CMTI: "SM",4`)
	})
}

// "+CREG: 5" is news, "+CREG: 2,1" is the answer, and neither is part of CSQ's.
func TestURCWithinCommandIsNotPartOfItsAnswer(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CSQ")
			m.SayLines("+CREG: 5", "+CSQ: 20,99", "^HCSQ:\"LTE\",59,50", "OK")
			m.Hear("AT+CREG?")
			m.SayLines(`+CREG: 1,"1A2B","01C3D4E5",7`, "+CREG: 2,5,\"1A2B\",\"01C3D4E5\",7", "OK")
			m.Hear("AT+CREG?")
			m.SayLines("+CREG: 3", "+CREG: 0,1", "OK")
			m.Hear("AT+CIMI")
			m.SayLines("+ZUSIMR:2", "^MODE:5,4", "_OSIGQ: 3,0", "#STN: 33", "*PSUTTZ: 1", "SMS Ready", "262011234567890", "RING", "OK")
		})
		k.want(csq, "+CSQ: 20,99")
		k.want(creg, "+CREG: 2,5,\"1A2B\",\"01C3D4E5\",7")
		k.want(creg, "+CREG: 0,1")
		k.want(cimi, "262011234567890")
	})
}

func TestPDUOfAnAnnouncementSkipsBlanks(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CSQ")
			m.Say("\r\n+CMT: ,18\r\n\r\n \r\n\r\n" + pduA + "\r\n")
			m.SayLines("+CSQ: 20,99", "OK")
		})
		k.want(csq, "+CSQ: 20,99")
		k.heard("+CMT: ,18 " + pduA)
	})
}

// A +CMT without its PDU takes neither the running command's answer nor its OK.
func TestAnnouncementWithoutPDUTakesNothing(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CSQ")
			m.SayLines("+CMT: ,18", "+CSQ: 20,99", "OK")
			m.Hear("AT+CIMI")
			m.SayLines("262011234567890", "OK")
		})
		k.want(csq, "+CSQ: 20,99")
		k.want(cimi, "262011234567890")
		if len(k.urcs) != 0 {
			t.Fatalf("told too early: %+v", k.urcs)
		}
		<-time.After(6 * time.Second)
		k.plays(func(m *script.Modem) { m.Hear("AT+CSQ"); m.SayLines("+CSQ: 21,99", pduA, "OK") })
		k.want(csq, "+CSQ: 21,99") // the late hex line is nobody's
		if len(k.urcs) < 1 || k.urcs[0] != (at.URC{Line: "+CMT: ,18"}) {
			t.Errorf("the loss was not told: %+v", k.urcs)
		}
	})
}

// While stored messages are read, the announced length says whose a PDU is.
func TestAnnouncedPDUAmongStoredOnes(t *testing.T) {
	bubble(t, func(k *talk) {
		report := "07919471010000000601" + "04A13210" + "10102000108000" + "10102000108000" + "00"
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CMGL=4")
			m.SayLines("+CMGL: 1,1,,18", pduA, "+CDS: 21", report, "+CMGL: 2,1,,18", "+CDS: 21", pduB, report, "OK")
		})
		k.want(cmgl, "+CMGL: 1,1,,18", pduA, "+CMGL: 2,1,,18", pduB)
		k.heard("+CDS: 21 "+report, "+CDS: 21 "+report)
	})
}

func TestLateAnswerIsNotTheNextCommands(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+COPS?")
			// No answer in time. What follows finds the port out of step.
			m.Hear("␛")
			m.SayLines(`+COPS: 0,0,"Net",7`, "OK")
			m.Hear("AT")
			m.SayLines("OK")
			m.Hear("AT+CGSN")
			m.SayLines("352099000000006", "OK")
			m.Hear("AT+CSQ")
			m.SayLines("+CSQ: 20,99", "OK")
		})
		_, err := k.do(at.Command{Line: "AT+COPS?", Prefix: "+COPS"})
		if !errors.Is(err, at.ErrTimeout) || !k.p.Stale() {
			t.Fatalf("%v, stale %v", err, k.p.Stale())
		}
		if err := k.p.Begin(csq); err == nil {
			t.Fatal("a command was written to a port that is out of step")
		}
		k.want(csq, "+CSQ: 20,99")
	})
}

// The answer comes later still: after the questions of Resync. An OK alone
// proves nothing, and each question is asked once only.
func TestResyncTrustsOnlyItsOwnAnswer(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+COPS?")
			m.Hear("␛")
			m.Hear("AT")
			m.SayLines("OK") // of COPS, whose line was lost
			m.Hear("AT+CGSN")
			m.SayLines("OK") // of AT
			m.Hear("AT+CMEE?")
			m.SayLines("352099000000006", "OK") // of CGSN
			m.Hear("AT+CMGF?")
			m.SayLines("+CMEE: 1", "OK", "+CMGF: 0", "OK") // of both
			m.Hear("AT+CSQ")
			m.SayLines("+CSQ: 20,99", "OK")
		})
		if _, err := k.do(at.Command{Line: "AT+COPS?", Prefix: "+COPS"}); err == nil {
			t.Fatal("no time-out")
		}
		k.want(csq, "+CSQ: 20,99")
	})
}

func TestResyncNeverAsksWhatWasLost(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CGSN")
			m.Hear("␛")
			m.Hear("AT")
			m.SayLines("OK")
			m.Hear("AT+CMEE?")
			m.SayLines("352099000000006", "OK", "+CMEE: 1", "OK")
		})
		if _, err := k.do(at.Command{Line: "AT+CGSN"}); err == nil {
			t.Fatal("no time-out")
		}
		if err := k.p.Resync(context.Background(), 3); err != nil {
			t.Fatal(err)
		}
	})
}

func TestResyncTellsSilenceFromAParrot(t *testing.T) {
	bubble(t, func(k *talk) {
		if err := k.p.Resync(context.Background(), 3); !errors.Is(err, at.ErrSilent) {
			t.Errorf("a mute port: %v", err)
		}
	})
	bubble(t, func(k *talk) {
		k.m.Answer(func(string) (string, bool) { return "\r\nOK\r\n", true })
		if err := k.p.Resync(context.Background(), 3); !errors.Is(err, at.ErrParrot) {
			t.Errorf("a port that says OK to all: %v", err)
		}
	})
}

// Digits (V0), echo, and a modem that was told to be quiet (Q1).
func TestResyncWakesModemsInAnySetting(t *testing.T) {
	bubble(t, func(k *talk) {
		k.m.Answer(func(s string) (string, bool) {
			switch s {
			case "AT":
				return "AT\r0\r", true
			case "AT+CGSN":
				return "AT+CGSN\r352099000000006\r\n0\r", true
			}
			return "", true
		})
		if err := k.p.Resync(context.Background(), 3); err != nil {
			t.Errorf("V0: %v", err)
		}
	})
	bubble(t, func(k *talk) {
		quiet := true
		k.m.Answer(func(s string) (string, bool) {
			if strings.HasPrefix(s, "ATQ0") {
				quiet = false
			}
			switch {
			case quiet:
				return "", true
			case s == "AT+CGSN":
				return "\r\n352099000000006\r\n\r\nOK\r\n", true
			}
			return "\r\nOK\r\n", true
		})
		if err := k.p.Resync(context.Background(), 5); err != nil {
			t.Errorf("Q1: %v", err)
		}
	})
}

// A prompt that comes after the ESC is left by another ESC, before anything
// becomes the text of a message.
func TestResyncLeavesALatePrompt(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CMGS=18")
			m.Hear("␛")
			m.Say("\r\n> ")
			m.Hear("␛")
			m.SayLines("OK")
			m.Hear("AT")
			m.SayLines("OK")
			m.Hear("AT+CGSN")
			m.SayLines("352099000000006", "OK")
		})
		if _, err := k.do(at.Command{Line: "AT+CMGS=18", Prefix: "+CMGS", Prompt: true}); !errors.Is(err, at.ErrTimeout) {
			t.Fatal(err)
		}
		if err := k.p.Resync(context.Background(), 3); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCommandsEndWithCROnly(t *testing.T) {
	bubble(t, func(k *talk) {
		k.m.Answer(func(s string) (string, bool) {
			if s == "AT+CGSN" {
				return "\r\n352099000000006\r\n\r\nOK\r\n", true
			}
			return "\r\nOK\r\n", true
		})
		k.want(csq)
		if err := k.p.Resync(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		want := []string{"AT+CSQ\r", "\x1b\r", "AT\r", "AT+CGSN\r"}
		if got := k.wire.Writes(); !reflect.DeepEqual(got, want) {
			t.Errorf("wrote %q, want %q", got, want)
		}
	})
}

func TestContextEndsACommand(t *testing.T) {
	bubble(t, func(k *talk) {
		ctx, cancel := context.WithCancel(context.Background())
		k.plays(func(m *script.Modem) { m.Hear("AT+CSQ"); cancel() })
		_, err := k.p.Do(ctx, at.Command{Line: "AT+CSQ", Prefix: "+CSQ", Timeout: time.Hour})
		if !errors.Is(err, context.Canceled) || !k.p.Stale() {
			t.Errorf("%v, stale %v", err, k.p.Stale())
		}
	})
}

func TestUnpluggedEndsACommand(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) { m.Hear("AT+CSQ"); m.Wire().Unplug() })
		if _, err := k.do(csq); !errors.Is(err, at.ErrGone) || !errors.Is(err, script.ErrUnplugged) {
			t.Error(err)
		}
		if _, err := k.do(csq); !errors.Is(err, at.ErrGone) {
			t.Error(err)
		}
	})
}

// A write that the modem does not take can't hold the owner up for ever.
func TestBlockedWriteEnds(t *testing.T) {
	bubble(t, func(k *talk) {
		k.wire.Block()
		start := time.Now()
		if _, err := k.do(csq); !errors.Is(err, at.ErrGone) {
			t.Error(err)
		}
		if d := time.Since(start); d > 11*time.Second {
			t.Errorf("took %s", d)
		}
	})
}

// lazy is a transport with a read time-out: its Read returns nothing now and then.
type lazy struct {
	*script.Wire
	n int
}

func (l *lazy) Read(p []byte) (int, error) {
	if l.n++; l.n%20 != 0 {
		return 0, nil
	}
	return l.Wire.Read(p)
}

func TestReadOfNothingIsNotTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := script.NewWire()
		p := at.Attach(&lazy{Wire: ours}, slog.New(slog.DiscardHandler), func(at.URC) {})
		m := script.Play(t, theirs)
		go func() { m.Hear("AT+CSQ"); m.SayLines("+CSQ: 20,99", "OK") }()
		lines, err := p.Do(context.Background(), at.Command{Line: "AT+CSQ", Prefix: "+CSQ", Timeout: time.Minute})
		if err != nil || len(lines) != 1 {
			t.Errorf("%q, %v", lines, err)
		}
		_ = p.Close()
		<-m.Done()
	})
}

func TestErrorsDoNotTellSecrets(t *testing.T) {
	bubble(t, func(k *talk) {
		c := at.Command{Line: `AT+CPIN="4711"`, Name: "AT+CPIN=…"}
		k.plays(func(m *script.Modem) { m.Hear(c.Line); m.SayLines("+CME ERROR: 16") })
		if _, err := k.do(c); err == nil || strings.Contains(err.Error(), "4711") {
			t.Error(err)
		}
		if _, err := k.do(c); err == nil || strings.Contains(err.Error(), "4711") {
			t.Error(err)
		}
	})
}

// Some modems give the answer and forget the OK.
func TestAnswerWithoutOK(t *testing.T) {
	bubble(t, func(k *talk) {
		c := at.Command{Line: "AT+CPMS?", Prefix: "+CPMS", Lenient: true, Timeout: time.Minute}
		k.plays(func(m *script.Modem) { m.Hear("AT+CPMS?"); m.SayLines(`+CPMS: "SM",1,50`) })
		start := time.Now()
		k.want(c, `+CPMS: "SM",1,50`)
		if d := time.Since(start); d > 3*time.Second || !k.p.Stale() {
			t.Errorf("%s, stale %v", d, k.p.Stale())
		}
	})
}

// A modem that forgets the OK and chatters must not hold its port for ever.
func TestForgottenOKAmongNoise(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CPMS?")
			m.SayLines("+CPMS: 1,30")
			for range 100 {
				<-time.After(time.Second)
				m.SayLines("^RSSI:18")
			}
		})
		start := time.Now()
		k.want(at.Command{Line: "AT+CPMS?", Prefix: "+CPMS", Lenient: true, Timeout: 5 * time.Second}, "+CPMS: 1,30")
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("took %s", d)
		}
		<-time.After(2 * time.Minute)
	})
}
