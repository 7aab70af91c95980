package modem_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/sms"
)

func TestPartsGoOutOneCommitEach(t *testing.T) {
	converse(t, func(r *rig) {
		a, b, c := part("a", 1), part("b", 2), part("c", 3)
		r.box.add(a, b, c)
		for i, p := range []*modem.Part{a, b, c} {
			r.takes(p)
			r.say("+CMGS: "+[]string{"254", "255", "0"}[i], "OK")
		}
		got := r.outcomes(3)
		for i, o := range got {
			if o.Result != modem.Confirmed || o.MR != []int{254, 255, 0}[i] {
				t.Errorf("%d: %+v", i, o)
			}
		}
		if want := []int{-1, 255, 0}; !equal(r.box.expected, want) {
			t.Errorf("expected references %v, want %v", r.box.expected, want)
		}
		if s := r.m.Snapshot(); s.Counters.PartsSent != 3 {
			t.Errorf("counters %+v", s.Counters)
		}
	})
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// The PDU waits for the commit, and Ctrl-Z is a write of its own.
func TestNothingIsSentBeforeTheCommit(t *testing.T) {
	converse(t, func(r *rig) {
		r.box.hold = make(chan struct{})
		p := part("a", 1)
		r.box.add(p)
		r.hear(cmd) // overlaps the commit
		r.modem().Say("\r\n> ")
		r.modem().Quiet(10 * time.Second)
		close(r.box.hold)
		r.hear(hexOf(p) + "␚")
		w := r.modem().Wire().Writes()
		if w[len(w)-1] != "\x1a" || w[len(w)-2] != hexOf(p) {
			t.Errorf("the last writes were %q", w[len(w)-3:])
		}
		r.say("+CMGS: 1", "OK")
		r.outcomes(1)
	})
}

// A modem that leaves its prompt while the commit takes long gets no PDU.
func TestPromptThatEndsDuringTheCommit(t *testing.T) {
	converse(t, func(r *rig) {
		r.box.hold = make(chan struct{})
		p := part("a", 1)
		r.box.add(p)
		r.hear(cmd)
		r.modem().Say("\r\n> ")
		<-time.After(30 * time.Second)
		r.say("+CMS ERROR: 500")
		synctest.Wait()
		close(r.box.hold)
		if o := r.outcomes(1)[0]; o.Result != modem.Refused || o.Err.Code != "cms-500" {
			t.Errorf("%+v %v", o, o.Err)
		}
	})
}

// The table of fates: what the modem does after Ctrl-Z, and what is known then.
func TestFates(t *testing.T) {
	for name, c := range map[string]struct {
		does   func(r *rig)
		result modem.Result
		class  sms.Class
		code   string
		mr     int
	}{
		"reference":              {func(r *rig) { r.say("+CMGS: 41", "OK") }, modem.Confirmed, "", "", 41},
		"reference and more":     {func(r *rig) { r.say(`+CMGS: 41,"26/01/01,12:00:00+04"`, "OK") }, modem.Confirmed, "", "", 41},
		"reference unreadable":   {func(r *rig) { r.say("+CMGS: ", "OK") }, modem.Confirmed, "", "", -1},
		"reference, no OK":       {func(r *rig) { r.say("+CMGS: 41") }, modem.Confirmed, "", "", 41},
		"reference, then pulled": {func(r *rig) { r.say("+CMGS: 41"); synctest.Wait(); r.modem().Wire().Unplug() }, modem.Confirmed, "", "", 41},
		"echo":                   {func(r *rig) { r.say(body+"6178", "+CMGS: 41", "OK") }, modem.Confirmed, "", "", 41},
		"duplicate at the SC":    {func(r *rig) { r.say("+CMS ERROR: 197") }, modem.Confirmed, "", "", -1},
		"OK without reference":   {func(r *rig) { r.say("OK") }, modem.Unknown, sms.Unknown, "unconfirmed", -1},
		"no answer":              {func(*rig) {}, modem.Unknown, sms.Unknown, "unconfirmed", -1},
		"pulled":                 {func(r *rig) { r.modem().Wire().Unplug() }, modem.Unknown, sms.Unknown, "unconfirmed", -1},
		"restarted":              {func(r *rig) { r.say("RDY") }, modem.Unknown, sms.Unknown, "unconfirmed", -1},
		"network timeout":        {func(r *rig) { r.say("+CMS ERROR: 332") }, modem.Unknown, sms.Unknown, "unconfirmed", -1},
		"network timeout, CME":   {func(r *rig) { r.say("+CME ERROR: 31") }, modem.Unknown, sms.Unknown, "unconfirmed", -1},
		"500 at once":            {func(r *rig) { r.say("+CMS ERROR: 500") }, modem.Refused, sms.Fault, "cms-500", -1},
		"500 late":               {func(r *rig) { <-time.After(25 * time.Second); r.say("+CMS ERROR: 500") }, modem.Unknown, sms.Unknown, "unconfirmed", -1},
		"ERROR at once":          {func(r *rig) { r.say("ERROR") }, modem.Refused, sms.Fault, "modem-error", -1},
		"ERROR late":             {func(r *rig) { <-time.After(25 * time.Second); r.say("ERROR") }, modem.Unknown, sms.Unknown, "unconfirmed", -1},
		"unassigned":             {func(r *rig) { r.say("+CMS ERROR: 1") }, modem.Refused, sms.Permanent, "cms-1", -1},
		"congestion":             {func(r *rig) { r.say("+CMS ERROR: 42") }, modem.Refused, sms.Later, "cms-42", -1},
		"temporary":              {func(r *rig) { r.say("+CMS ERROR: 41") }, modem.Refused, sms.Now, "cms-41", -1},
		"no SIM":                 {func(r *rig) { r.say("+CME ERROR: 10") }, modem.Refused, sms.Account, "cme-10", -1},
		"no SIM, in words":       {func(r *rig) { r.say("+CME ERROR: SIM not inserted") }, modem.Refused, sms.Account, "cme-10", -1},
		"maker's own":            {func(r *rig) { r.say("+CMS ERROR: 5000") }, modem.Refused, sms.Fault, "cms-5000", -1},
	} {
		t.Run(name, func(t *testing.T) {
			converse(t, func(r *rig) {
				p := part("a", 1)
				r.box.add(p)
				r.takes(p)
				c.does(r)
				start := time.Now()
				o := r.outcomes(1)[0]
				if d := time.Since(start); name != "no answer" && !strings.HasSuffix(name, "late") && d > 10*time.Second {
					t.Errorf("booked only after %s", d)
				}
				if o.Part != p || o.Result != c.result || o.MR != c.mr {
					t.Fatalf("%+v, %v", o, o.Err)
				}
				if c.class == "" {
					if o.Err != nil {
						t.Errorf("error %v of a part that is confirmed", o.Err)
					}
					return
				}
				if o.Err == nil || o.Err.Class != c.class || o.Err.Code != c.code || o.Err.Title == "" || o.Err.Detail == "" {
					t.Errorf("error %+v, want %s of class %s", o.Err, c.code, c.class)
				}
			})
		})
	}
}

// After an unknown fate nobody knows which reference comes next.
func TestExpectedReferenceAfterADoubt(t *testing.T) {
	converse(t, func(r *rig) {
		for i, answer := range []string{"+CMGS: 7|OK", "+CMS ERROR: 332", "+CMGS: 9|OK", "+CMS ERROR: 42", "OK"} {
			p := part("abcde"[i:i+1], int64(i))
			r.box.add(p)
			r.takes(p)
			r.say(splitAnswer(answer)...)
			r.outcomes(i + 1)
		}
		if want := []int{-1, 8, -1, 10, 10}; !equal(r.box.expected, want) {
			t.Errorf("expected %v, want %v", r.box.expected, want)
		}
		if o := r.box.booked()[4]; o.Result != modem.Unknown || o.ExpectedMR != 10 {
			t.Errorf("%+v", o)
		}
	})
}

// What happens before Ctrl-Z leaves the part unsent, and known to be.
func TestBeforeCtrlZ(t *testing.T) {
	for name, c := range map[string]struct {
		does   func(r *rig)
		result modem.Result
		code   string
	}{
		"no prompt":            {func(r *rig) { r.hear(cmd) }, modem.NotSent, "not-sent"},
		"OK and no prompt":     {func(r *rig) { r.hear(cmd); r.say("OK") }, modem.NotSent, "not-sent"},
		"ERROR instead":        {func(r *rig) { r.hear(cmd); r.say("ERROR") }, modem.NotSent, "modem-error"},
		"bad length":           {func(r *rig) { r.hear(cmd); r.say("+CMS ERROR: 304") }, modem.Refused, "cms-304"},
		"SIM busy":             {func(r *rig) { r.hear(cmd); r.say("+CMS ERROR: 314") }, modem.Refused, "cms-314"},
		"network timeout":      {func(r *rig) { r.hear(cmd); r.say("+CMS ERROR: 332") }, modem.NotSent, "cms-332"},
		"pulled before prompt": {func(r *rig) { r.hear(cmd); r.modem().Wire().Unplug() }, modem.NotSent, modem.PortGone},
	} {
		t.Run(name, func(t *testing.T) {
			converse(t, func(r *rig) {
				p := part("a", 1)
				r.box.add(p)
				c.does(r)
				o := r.outcomes(1)[0]
				if o.Part != p || o.Result != c.result || o.Err == nil || o.Err.Code != c.code {
					t.Errorf("%+v, %v", o, o.Err)
				}
				for _, w := range r.wires[0].Writes() {
					if strings.Contains(w, "\x1a") || strings.Contains(w, body) {
						t.Errorf("wrote %q", w)
					}
				}
			})
		})
	}
}

// A canceled or refused part costs an ESC, not a message.
func TestTheOutboxTakesAPartBack(t *testing.T) {
	converse(t, func(r *rig) {
		a, b, c := part("a", 1), part("b", 2), part("c", 3)
		r.box.refuse = map[*modem.Part]bool{b: true}
		r.knows("␛", "-")
		r.box.add(a, b, c)
		r.takes(a)
		r.say("+CMGS: 1", "OK")
		r.hear(cmd)
		r.hear("␛")
		r.say("OK")
		r.takes(c)
		r.say("+CMGS: 2", "OK")
		got := r.outcomes(2)
		if len(got) != 2 || got[0].Part != a || got[1].Part != c {
			t.Errorf("%+v", got)
		}
	})
}

// A failing disk: nothing goes out, nothing is lost, the outcome before too.
func TestDiskThatFails(t *testing.T) {
	converse(t, func(r *rig) {
		a, b := part("a", 1), part("b", 2)
		r.box.add(a, b)
		r.takes(a)
		r.box.mu.Lock()
		r.box.failures = 4 // one Begin, three Finish
		r.box.mu.Unlock()
		r.say("+CMGS: 9", "OK")
		r.hear(cmd)
		r.modem().Say("\r\n> ")
		got := r.outcomes(1)
		if got[0].Part != a || got[0].Result != modem.Confirmed || got[0].MR != 9 {
			t.Errorf("%+v", got[0])
		}
		r.takes(b)
		r.say("+CMGS: 10", "OK")
		if got := r.outcomes(2); got[1].Part != b || got[1].MR != 10 {
			t.Errorf("%+v", got)
		}
	})
}

// After 20 s without an answer the part that was chosen meanwhile goes back.
func TestAPartBehindASilentOneGoesBack(t *testing.T) {
	converse(t, func(r *rig) {
		a, b := part("a", 1), part("b", 2)
		r.box.add(a, b)
		r.takes(a)
		synctest.Wait()
		if n, _ := r.box.left(); n != 0 {
			t.Fatal("the next part was not chosen while the first is on the air")
		}
		<-time.After(19 * time.Second)
		synctest.Wait()
		if n, _ := r.box.left(); n != 0 {
			t.Error("given back too early")
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if n, _ := r.box.left(); n != 1 {
			t.Error("not given back")
		}
		r.say("+CMGS: 1", "OK")
		r.takes(b)
		r.say("+CMGS: 2", "OK")
		r.outcomes(2)
	})
}

// Announced messages are fetched before the next part, and the outcome is
// booked before that. Deleting them can wait: one goes before each part.
func TestAnnouncedMessageBetweenTwoParts(t *testing.T) {
	converse(t, func(r *rig) {
		a, b := part("a", 1), part("b", 2)
		r.box.add(a, b)
		r.takes(a)
		r.say(`+CMTI: "SM",3`, "+CMGS: 1", `+CDSI: "SM",4`, "OK")
		r.hear("AT+CMGR=3")
		if got := r.box.booked(); len(got) != 1 || got[0].MR != 1 {
			t.Errorf("not booked before the fetch: %+v", got)
		}
		r.say("+CMGR: 0,,18", deliver, "OK")
		r.hear("AT+CMGR=4")
		if got := r.inbox.all(); len(got) != 1 || got[0].Storage != "SM" || got[0].Index != 3 || got[0].ICCID != "89490200001234567890" {
			t.Errorf("stored %+v", got)
		}
		r.say("+CMGR: 0,,25", report, "OK")
		r.hear("AT+CMGD=3")
		r.say("OK")
		r.takes(b)
		r.say("+CMGS: 2", "OK")
		r.outcomes(2)
		r.hear("AT+CMGD=4")
		r.say("OK")
		if s := r.m.Snapshot().Counters; s.Received != 1 || s.Reports != 1 {
			t.Errorf("counters %+v", s)
		}
	})
}

// The end of the process gives a part on the air eight seconds.
func TestStopping(t *testing.T) {
	converse(t, func(r *rig) {
		p := part("a", 1)
		r.box.add(p)
		r.takes(p)
		go func() { <-time.After(5 * time.Second); r.say("+CMGS: 1", "OK") }()
		r.stop()
		if o := r.box.booked(); len(o) != 1 || o[0].Result != modem.Confirmed {
			t.Errorf("%+v", o)
		}
	})
	converse(t, func(r *rig) {
		a, b := part("a", 1), part("b", 2)
		r.box.add(a, b)
		r.takes(a)
		start := time.Now()
		r.stop()
		if d := time.Since(start); d > 9*time.Second || d < 8*time.Second {
			t.Errorf("stopped after %s", d)
		}
		if o := r.box.booked(); len(o) != 1 || o[0].Result != modem.Unknown {
			t.Errorf("%+v", o)
		}
		if n, out := r.box.left(); n != 1 || out != 0 {
			t.Errorf("the part behind did not go back: %d waiting, %d out", n, out)
		}
	})
}

// A modem whose prompt comes as the process ends is left in command mode, and
// nothing was sent.
func TestStoppingAtThePrompt(t *testing.T) {
	converse(t, func(r *rig) {
		r.box.hold = make(chan struct{})
		r.knows("␛", "-")
		r.box.add(part("a", 1))
		r.hear(cmd)
		r.modem().Say("\r\n> ")
		synctest.Wait()
		stopped := make(chan struct{})
		go func() { r.stop(); close(stopped) }()
		synctest.Wait()
		close(r.box.hold)
		r.hear("␛")
		r.say("OK")
		<-stopped
		if o := r.box.booked(); len(o) != 1 || o[0].Result != modem.NotSent {
			t.Errorf("%+v", o)
		}
	})
}

const (
	deliver = "07919471010000000404A1321000001010200010800003C2E231"
	report  = "079194710100000006010C91947110325476101020001080001010200010800000"
)

// A panic where a part is booked ends neither the daemon nor the part.
func TestPanicOfTheOutbox(t *testing.T) {
	converse(t, func(r *rig) {
		r.box.panics = 1
		p := part("a", 1)
		r.box.add(p)
		r.hear(cmd)
		r.modem().Say("\r\n> ") // and nobody writes a PDU
		r.takes(p)
		r.say("+CMGS: 1", "OK")
		if o := r.outcomes(1)[0]; o.Result != modem.Confirmed {
			t.Errorf("%+v", o)
		}
	})
}

// Parts that follow each other keep the link, if the modem can; each message
// asks once.
func TestLinkIsKeptForLongMessages(t *testing.T) {
	long := func() (all []*modem.Part) {
		for i, name := range []string{"a", "b", "c"} {
			p := part(name, 1)
			p.Number, p.Total = i+1, 3
			all = append(all, p)
		}
		return all
	}
	for _, answer := range []string{"OK", "ERROR"} {
		converse(t, func(r *rig) {
			parts := long()
			r.box.add(parts...)
			r.hear("AT+CMMS=1")
			r.say(answer)
			for _, p := range parts {
				r.takes(p)
				r.say("+CMGS: 1", "OK")
			}
			r.outcomes(3)
			again := long()
			for _, p := range again {
				p.Row = 2
			}
			r.box.add(again...)
			if answer == "OK" {
				r.hear("AT+CMMS=1")
				r.say("OK")
			}
			r.takes(again[0])
		})
	}
}

// After a prompt's sign the rest of it is waited for, a moment: what is written
// before it is whole is lost on some modems.
func TestPromptIsLetSettle(t *testing.T) {
	converse(t, func(r *rig) {
		p := part("a", 1)
		r.box.add(p)
		r.hear(cmd)
		r.modem().Say("\r\n>")
		<-time.After(10 * time.Millisecond)
		synctest.Wait()
		for _, w := range r.wires[0].Writes() {
			if strings.Contains(w, body) {
				t.Error("the PDU was written before the prompt was whole")
			}
		}
		r.modem().Say(" ")
		r.hear(hexOf(p) + "␚")
		r.say("+CMGS: 1", "OK")
		r.outcomes(1)
	})
}
