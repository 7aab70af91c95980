package modem_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/sim"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// shelf is a scripted storage: what CMGR, CMGL, CMGD and CPMS say of it agrees.
type shelf struct {
	mu    sync.Mutex
	total int
	slots map[int]string
	own   map[int]bool
}

func newShelf(total int) *shelf {
	return &shelf{total: total, slots: map[int]string{}, own: map[int]bool{}}
}

func (s *shelf) put(index int, pdu string) { s.mu.Lock(); defer s.mu.Unlock(); s.slots[index] = pdu }

func (s *shelf) left() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.slots) }

// answer plays the shelf where the rig's own table says nothing.
func (s *shelf) answer(heard string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var index int
	stat := func(i int) string {
		if s.own[i] {
			return "2"
		}
		return "0"
	}
	switch {
	case heard == "AT+CMGL=4":
		var all []int
		for i := range s.slots {
			all = append(all, i)
		}
		slices.Sort(all)
		lines := ""
		for _, i := range all {
			lines += fmt.Sprintf("\r\n+CMGL: %d,%s,,%d\r\n%s\r\n\r\n", i, stat(i), len(s.slots[i])/2-8, s.slots[i])
		}
		return lines + "\r\nOK\r\n", true
	case strings.HasPrefix(heard, "AT+CPMS"):
		return fmt.Sprintf("\r\n+CPMS: %d,%d,%[1]d,%[2]d,%[1]d,%[2]d\r\n\r\nOK\r\n", len(s.slots), s.total), true
	case numbered(heard, "AT+CMGR=%d", &index):
		if s.slots[index] == "" {
			return "\r\n+CMS ERROR: 321\r\n", true
		}
		return fmt.Sprintf("\r\n+CMGR: %s,,%d\r\n%s\r\n\r\nOK\r\n", stat(index), len(s.slots[index])/2-8, s.slots[index]), true
	case numbered(heard, "AT+CMGD=%d", &index):
		delete(s.slots, index)
		return "\r\nOK\r\n", true
	}
	return "", false
}

func numbered(heard, format string, n *int) bool {
	k, err := fmt.Sscanf(heard, format, n)
	return err == nil && k == 1 && heard == fmt.Sprintf(format, *n)
}

// shelved runs f with a modem whose storage is a shelf.
func shelved(t *testing.T, s *shelf, f func(r *rig)) {
	t.Helper()
	with(t, map[string]string{"AT+CMGL=4": "-", "AT+CPMS?": "-"}, nil, func(r *rig) {
		r.elsewhere = s.answer
		r.state(sms.Ready)
		f(r)
	})
}

// distinct is a PDU that differs from the others in its text.
func distinct(i int) string {
	return fmt.Sprintf("07919471010000000404A13210000410100020100080%02d", 3) + fmt.Sprintf("%02X%02X%02X", 0x41+i%16, 0x42+i/16, 0x43)
}

// Fifty messages come at once while there is much to send, to an inbox on a slow
// disk, and deleting one takes the modem as long as it takes the worst: all are
// there, once each, in order, and sending goes on between the deletions.
func TestBurstWhileSending(t *testing.T) {
	s := newShelf(60)
	shelved(t, s, func(r *rig) {
		slow := s.answer
		r.elsewhere = func(heard string) (string, bool) {
			if strings.HasPrefix(heard, "AT+CMGD=") {
				<-time.After(7 * time.Second)
			}
			return slow(heard)
		}
		r.inbox.slow = 300 * time.Millisecond
		r.knows(cmd, "-")
		var parts []*modem.Part
		for i := range 20 {
			parts = append(parts, part(string(rune('a'+i)), int64(i+1)))
		}
		var burst []string
		for i := range 50 {
			s.put(i+1, distinct(i))
			burst = append(burst, fmt.Sprintf(`+CMTI: "SM",%d`, i+1))
		}
		r.box.add(parts...)
		r.takes(parts[0])
		r.say(burst...)
		r.say(burst[:10]...) // some twice
		r.say("+CMGS: 1", "OK")
		for i, p := range parts[1:] {
			start := time.Now()
			r.takes(p)
			limit := 8 * time.Second // one deletion
			if i == 0 {
				limit += 50 * r.inbox.slow // what was announced is stored first
			}
			if d := time.Since(start); d > limit {
				t.Fatalf("part %d waited %s", i+2, d)
			}
			r.say(fmt.Sprintf("+CMGS: %d", i+2), "OK")
		}
		r.outcomes(20)
		r.until("all deleted", 10*time.Minute, func() bool { return s.left() == 0 })
		got := r.inbox.all()
		if len(got) != 50 {
			t.Fatalf("%d received", len(got))
		}
		for i, in := range got {
			if in.Index != i+1 {
				t.Fatalf("%d came at place %d", in.Index, i)
			}
		}
		if r.inbox.deletions() != 50 {
			t.Errorf("%d deletions booked", r.inbox.deletions())
		}
	})
}

// A deletion whose answer is lost is made good by a sweep, and the message is
// given to the Inbox again under the same place, which knows it.
func TestLostDeletion(t *testing.T) {
	s := newShelf(30)
	shelved(t, s, func(r *rig) {
		lost := true
		r.elsewhere = func(heard string) (string, bool) {
			if heard == "AT+CMGD=3" && lost {
				lost = false
				return "", true // neither done nor answered
			}
			return s.answer(heard)
		}
		s.put(3, deliver)
		r.say(`+CMTI: "SM",3`)
		r.until("deleted after all", 2*time.Minute, func() bool { return s.left() == 0 })
		for _, in := range r.inbox.all() {
			if in.Storage != "SM" || in.Index != 3 {
				t.Errorf("%+v", in)
			}
		}
		r.state(sms.Ready)
	})
}

// A message that replaces another in its place is read before that is deleted.
func TestReplacedBeforeItIsDeleted(t *testing.T) {
	converse(t, func(r *rig) {
		r.knows("AT+CMGR=3", "+CMGR: 0,,18|"+deliver+"|OK")
		r.knows("AT+CMGR=4", "-")
		r.say(`+CMTI: "SM",3`, `+CMTI: "SM",4`)
		r.hear("AT+CMGR=4") // 3 is stored, and not deleted yet
		r.knows("AT+CMGR=3", "+CMGR: 0,,18|"+deliverB+"|OK")
		r.say(`+CMTI: "SM",3`)
		r.say("+CMGR: 0,,18", deliver, "OK")
		r.hear("AT+CMGD=4")
		r.say("OK")
		r.hear("AT+CMGD=3")
		r.say("OK")
		got := r.inbox.all()
		if len(got) != 3 || got[2].Index != 3 || fmt.Sprintf("%X", got[2].PDU) != deliverB {
			t.Errorf("%+v", got)
		}
	})
}

// A modem that announces what it has yet to store is asked again, and CPMS is
// not believed.
func TestAnnouncedBeforeItIsThere(t *testing.T) {
	for name, empty := range map[string]string{"OK": "OK", "zeros": "+CMGR: 0,,0|OK", "321": "+CMS ERROR: 321", "no PDU": "+CMGR: 0,,18|OK"} {
		t.Run(name, func(t *testing.T) {
			converse(t, func(r *rig) {
				r.knows("AT+CMGR=0", empty)
				r.say(`+CMTI: "SM",0`)
				<-time.After(500 * time.Millisecond)
				r.knows("AT+CMGR=0", "+CMGR: 0,,18|"+deliver+"|OK")
				start := time.Now()
				r.hear("AT+CMGD=0")
				r.say("OK")
				if d := time.Since(start); d > time.Second {
					t.Errorf("after %s", d)
				}
			})
		})
	}
}

// Every storage that an announcement may name, whatever was chosen.
func TestStoragesOfAnnouncements(t *testing.T) {
	for name, c := range map[string]struct{ says, storage, pdu string }{
		"report in SR":                     {`+CDSI: "SR",2`, "SR", report},
		"report in ME":                     {`+CDSI: "ME",2`, "ME", report},
		"report in SM":                     {`+CDSI: "SM",2`, "SM", report},
		"text in ME though SM was chosen":  {`+CMTI: "ME",2`, "ME", deliver},
		"class 2 in SM":                    {`+CMTI: "SM",2`, "SM", deliver},
		"all three must be named for that": {`+CMTI: "MT",2`, "MT", deliver},
	} {
		t.Run(name, func(t *testing.T) {
			converse(t, func(r *rig) {
				r.knows(`AT+CPMS="SR"`, "+CPMS: 1,10|OK")
				r.knows(`AT+CPMS="ME"`, "+CPMS: 1,10|OK")
				r.knows(`AT+CPMS="SM"`, "+CPMS: 1,10|OK")
				r.knows(`AT+CPMS="MT"`, "ERROR")
				r.knows(`AT+CPMS="MT","SM","SM"`, "+CPMS: 1,10|OK")
				r.knows("AT+CMGR=2", "+CMGR: 0,,18|"+c.pdu+"|OK")
				r.say(c.says)
				r.hear("AT+CMGD=2")
				r.say("OK")
				if got := r.inbox.all(); len(got) != 1 || got[0].Storage != c.storage || got[0].Index != 2 {
					t.Errorf("%+v", got)
				}
				// From now on it is swept too.
				sweeps := func() int { return strings.Count(strings.Join(r.modem().Wire().Writes(), ""), "AT+CMGL") }
				before, want := sweeps(), 2
				if c.storage == "SM" {
					want = 1
				}
				<-time.After(6 * time.Minute)
				synctest.Wait()
				if n := sweeps() - before; n != want {
					t.Errorf("%d storages swept, want %d", n, want)
				}
			})
		})
	}
}

// The answer to CMGL may have any number of newlines, and what was stored in an
// order of its own is told in the order of the service centre's times.
func TestSweepInTheOrderOfTime(t *testing.T) {
	later := strings.Replace(deliverB, "10102000108000", "10102000208000", 1)
	for name, between := range map[string]string{"one": "\r\n", "several": "\r\n\r\n\r\n", "none": "\n", "CR only": "\r", "CR CR LF": "\r\r\n"} {
		converse(t, func(r *rig) {
			r.knows("AT+CMGL=4", "-")
			r.knows("AT+CMGD=*", "OK")
			r.say(`+CMTI: "SM",-1`)
			r.hear("AT+CMGL=4")
			r.modem().Say("\r\n" + strings.Join([]string{"+CMGL: 1,1,,18", later, "+CMGL: 2,0,\"\",18", strings.ToLower(deliver), "OK"}, between) + "\r\n")
			r.until("both", time.Minute, func() bool { return len(r.inbox.all()) == 2 })
			if got := r.inbox.all(); got[0].Index != 2 || got[1].Index != 1 {
				t.Errorf("%s: %+v", name, got)
			}
			r.knows("AT+CMGL=4", "OK")
		})
	}
}

// A sweep that the modem refuses is tried again soon; one that the Inbox refuses
// goes on where it was.
func TestSweepGoesOn(t *testing.T) {
	converse(t, func(r *rig) {
		r.knows("AT+CMGL=4", "+CMS ERROR: 314")
		r.say(`^SMMEMFULL: "SM"`)
		<-time.After(5 * time.Second)
		r.knows("AT+CMGL=4", "+CMGL: 5,0,,18|"+deliver+"|OK")
		start := time.Now()
		r.hear("AT+CMGD=5")
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("after %s", d)
		}
		r.knows("AT+CMGL=4", "OK")
		r.say("OK")
	})
	s := newShelf(30)
	for i := range 10 {
		s.put(i+1, distinct(i))
	}
	with(t, map[string]string{"AT+CMGL=4": "-", "AT+CPMS?": "-"}, nil, func(r *rig) {
		r.elsewhere = s.answer
		r.inbox.onStore = func(in sms.Incoming) {
			if in.Index == 4 {
				r.inbox.err = errors.New("inbound ring is full") // for those behind it
			}
		}
		r.until("four deleted", 2*time.Minute, func() bool { return s.left() == 6 })
		r.inbox.mu.Lock()
		r.inbox.err, r.inbox.onStore = nil, nil
		r.inbox.mu.Unlock()
		r.until("all", 2*time.Minute, func() bool { return s.left() == 0 })
		if n := len(r.inbox.all()); n != 10 {
			t.Errorf("stored %d times", n)
		}
		for _, w := range r.modem().Wire().Writes() {
			if strings.HasPrefix(w, "AT+CMGD") && strings.Contains(w, ",") {
				t.Errorf("wrote %q: it takes what came meanwhile", w)
			}
		}
	})
}

// A storage that is nearly full warns as long as it is, and the modem works on.
func TestNearlyFullWarns(t *testing.T) {
	s := newShelf(20)
	for i := range 14 {
		s.put(i+1, distinct(i))
		s.own[i+1] = true // of a phone
	}
	shelved(t, s, func(r *rig) {
		r.until("warned", time.Minute, func() bool { return r.m.Snapshot().Warning != "" })
		got := r.m.Snapshot()
		if got.State != sms.Ready || !strings.Contains(got.Warning, "SM holds 14 of 20") || !strings.Contains(got.Warning, "delete them with a phone") {
			t.Errorf("%s, %q", got.State, got.Warning)
		}
		told := func() (warned, quiet bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, m := range r.states {
				warned = warned || m.Warning != ""
			}
			return warned, r.states[len(r.states)-1].Warning == ""
		}
		if warned, _ := told(); !warned {
			t.Error("not told")
		}
		p := part("a", 1)
		r.box.add(p)
		r.takes(p)
		r.say("+CMGS: 1", "OK")
		r.outcomes(1)
		if s.left() != 14 {
			t.Error("what was not received was deleted")
		}
		s.mu.Lock()
		clear(s.own) // received ones
		s.mu.Unlock()
		r.until("no warning", 10*time.Minute, func() bool { return r.m.Snapshot().Warning == "" })
		if _, quiet := told(); !quiet || s.left() != 0 || len(r.inbox.all()) != 14 {
			t.Errorf("%d left, %d stored", s.left(), len(r.inbox.all()))
		}
	})
}

// Whatever says that there is no room has the storage swept.
func TestRoomIsMade(t *testing.T) {
	for name, says := range map[string][]string{
		"Huawei's word":       {`^SMMEMFULL: "SM"`},
		"an indicator":        {"+CIEV: 3,1"},
		"a named indicator":   {`+CIEV: "SMSFULL",1`},
		"refused, SIM full":   {"+CMS ERROR: 208"},
		"refused, no memory":  {"+CMS ERROR: 322"},
		"refused, CME":        {"+CME ERROR: 20"},
		"indicator that ends": {"+CIEV: 3,0"},
		"another indicator":   {"+CIEV: 2,1"},
	} {
		t.Run(name, func(t *testing.T) {
			converse(t, func(r *rig) {
				r.knows("AT+CIND=?", `+CIND: ("battchg",(0-5)),("signal",(0-5)),("smsfull",(0-1)),("call",(0-1))|OK`)
				r.knows("AT+CMGL=4", "-")
				none := name == "indicator that ends" || name == "another indicator"
				if strings.HasPrefix(name, "refused") {
					p := part("a", 1)
					r.box.add(p)
					r.takes(p)
				}
				r.say(says...)
				if none {
					r.modem().Quiet(time.Minute)
					return
				}
				start := time.Now()
				r.hear("AT+CMGL=4")
				if d := time.Since(start); d > time.Minute {
					t.Fatalf("after %s", d)
				}
				r.say("OK")
				if name == "an indicator" { // known by now
					r.knows("AT+CIND=?", "-")
					r.say(says...)
					r.hear("AT+CMGL=4")
					r.say("OK")
				}
			})
		})
	}
}

// A modem that lost all settings without a word is set up again before a PDU goes
// out as text, and nothing that it says as text is taken for a PDU.
func TestForgetfulModem(t *testing.T) {
	again := func(r *rig) {
		t.Helper()
		r.until("set up again", time.Minute, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.opened == 2 })
		r.state(sms.Ready)
	}
	t.Run("found by the check", func(t *testing.T) {
		for heard, forgotten := range map[string]string{"AT+CMGF?": "+CMGF: 1|OK", "AT+CMEE?": "+CMEE: 0|OK"} {
			converse(t, func(r *rig) {
				<-time.After(4 * time.Minute) // it remembers so far
				before := r.answers[heard]
				r.knows(heard, forgotten)
				r.until("noticed", 4*time.Minute, func() bool { return r.m.Snapshot().State == sms.Healing })
				if s := r.m.Snapshot(); !strings.Contains(s.Reason, "forgotten") || s.Advice == "" {
					t.Errorf("%q, %q", s.Reason, s.Advice)
				}
				r.knows(heard, before)
				again(r)
			})
		}
	})
	t.Run("never had codes", func(t *testing.T) {
		with(t, map[string]string{"AT+CMEE?": "+CMEE: 0|OK", "AT+CMEE=1": "ERROR", "AT+CMEE=2": "ERROR"}, nil, func(r *rig) {
			r.state(sms.Ready)
			<-time.After(20 * time.Minute)
			if r.opened != 1 {
				t.Error("started again for nothing")
			}
		})
	})
	t.Run("echoes at CMGS", func(t *testing.T) {
		converse(t, func(r *rig) {
			p := part("a", 1)
			r.box.add(p)
			r.hear(cmd)
			r.modem().Say(cmd + "\r\r\n> ")
			again(r)
			for _, w := range r.modem().Wire().Writes() {
				if strings.Contains(w, body[:10]) {
					t.Fatal("a PDU went out to a modem that is not in PDU mode")
				}
			}
			if o := r.box.booked(); len(o) != 1 || o[0].Result != modem.NotSent {
				t.Errorf("%+v", o)
			}
		})
	})
	t.Run("always echoes", func(t *testing.T) {
		with(t, nil, nil, func(r *rig) {
			r.echo = true
			r.state(sms.Ready)
			p := part("a", 1)
			r.box.add(p)
			r.hear(cmd)
			r.modem().Say(cmd + "\r\r\n> ")
			r.hear(hexOf(p) + "␚")
			r.say("+CMGS: 1", "OK")
			r.outcomes(1)
			if r.opened != 1 {
				t.Error("started again for nothing")
			}
		})
	})
	t.Run("reads as text", func(t *testing.T) {
		converse(t, func(r *rig) {
			r.knows("AT+CMGR=3", `+CMGR: "REC UNREAD","+491711111111",,"26/11/22,12:00:00+04"|0123456789ABCDEF0123456789|OK`)
			r.say(`+CMTI: "SM",3`)
			again(r)
			if len(r.inbox.all()) != 0 {
				t.Errorf("%+v", r.inbox.all())
			}
		})
	})
}

// SIMCom hands class 0 over under a name of its own.
func TestClassZeroOfSIMCom(t *testing.T) {
	const flash = "07919471010000000404A1321000101010200010800003C2E231"
	for _, head := range []string{"+CLASS0: ,18", "+CLASS0: \"\",18", "+CLASS0:18"} {
		converse(t, func(r *rig) {
			r.say(head, flash)
			r.until("stored", 10*time.Second, func() bool { return len(r.inbox.all()) == 1 })
			if d, _, err := pdu.Decode(r.inbox.all()[0].PDU); err != nil || d.Class != 0 {
				t.Errorf("%+v, %v", d, err)
			}
			r.modem().Quiet(10 * time.Second)
		})
	}
}

// A modem that hands over directly waits for its acknowledgement in vain while
// the network takes a minute for a part. It switches announcing off; that is seen
// and mended as soon as the part is over, and what came is stored.
func TestAcknowledgementMissedBehindCMGS(t *testing.T) {
	with(t, insists(), nil, func(r *rig) {
		r.state(sms.Ready)
		p := part("a", 1)
		r.box.add(p)
		r.takes(p)
		r.say("+CMT: ,18", deliver)
		<-time.After(58 * time.Second)
		if len(r.inbox.all()) != 1 {
			t.Error("not stored at once")
		}
		r.knows("AT+CNMI?", "+CNMI: 2,0,0,0,0|OK")
		r.knows("AT+CNMI=2,2,0,1,0", "-")
		r.knows("AT+CMGL=4", "-")
		r.say("+CMGS: 1", "OK")
		r.hear("AT+CNMA")
		r.say("+CMS ERROR: 340")
		r.hear("AT+CNMI=2,2,0,1,0")
		r.knows("AT+CNMI?", "+CNMI: 2,2,0,1,0|OK")
		r.say("OK")
		r.hear("AT+CMGL=4")
		r.say("OK")
		if s := r.m.Snapshot().State; s != sms.Ready {
			t.Error(s)
		}
	})
}

// On the simulator: the burst, a class 2 text, a type 0 text that nobody sees, a
// storage that fills up while nobody reads, all through the whole driver.
func TestReceivingOnTheSimulator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := sim.OnTheAir()
		o.Delivery = 0
		s := drive(t, o, sim.ModemOptions{}, nil)
		defer s.stop()
		s.state(sms.Ready)
		s.dev.Fault(func(f *sim.Faults) {
			f.Slow = map[string]time.Duration{"+CMGD": 7 * time.Second}
			f.CMTITwice, f.CMTIUnknown = 10, 2
		})
		s.inbox.slow = 100 * time.Millisecond
		for i := range 50 {
			s.net.Inject(s.dev.Number(), unhexed(t, distinct(i)))
			if i%10 == 0 {
				s.box.add(text(t, "+491701234567", fmt.Sprintf("%d", i))...)
			}
		}
		s.net.Inject(s.dev.Number(), unhexed(t, "07919471010000000404A132100012101020001080"+"0003C2E231")) // class 2
		s.net.Inject(s.dev.Number(), unhexed(t, "07919471010000000404A132104000101020001080"+"0003C2E231")) // type 0
		s.until("all sent", 10*time.Minute, func() bool { return len(s.box.booked()) == 5 })
		s.until("all there", 20*time.Minute, func() bool {
			seen := map[string]bool{}
			for _, in := range s.inbox.all() {
				if d, _, err := pdu.Decode(in.PDU); err == nil && d != nil {
					seen[string(in.PDU)] = true
				}
			}
			return len(seen) == 51 && s.net.Waiting(s.dev.Number()) == 0
		})
		s.until("emptied", 20*time.Minute, func() bool { m := s.m.Snapshot(); return m.Storage.Used == 0 && m.Warning == "" })
	})
}

func unhexed(t *testing.T, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
