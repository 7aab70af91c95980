package modem_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/sms"
)

const (
	deliverB = "07919471010000000404A1321000001010200010800003C3E331"
	direct23 = "+CMT: ,18"
)

// Stored before it is deleted, deleted only when stored.
func TestFetchStoresBeforeItDeletes(t *testing.T) {
	converse(t, func(r *rig) {
		r.knows("AT+CMGR=3", "+CMGR: 0,,18|"+deliver+"|OK")
		r.inbox.onStore = func(sms.Incoming) {
			for _, w := range r.modem().Wire().Writes() {
				if strings.HasPrefix(w, "AT+CMGD") {
					t.Error("deleted before it was stored")
				}
			}
		}
		r.say(`+CMTI: "SM",3`)
		r.hear("AT+CMGD=3")
		if got := r.inbox.all(); len(got) != 1 || got[0].Index != 3 || got[0].Modem != "one" || len(got[0].PDU) != 26 {
			t.Errorf("%+v", got)
		}
		if len(r.inbox.deleted) != 0 {
			t.Error("booked as deleted before the modem said so")
		}
		r.say("OK")
		r.until("deletion booked", time.Second, func() bool { r.inbox.mu.Lock(); defer r.inbox.mu.Unlock(); return len(r.inbox.deleted) == 1 })
	})
}

// While the Inbox refuses, SIM and network keep the message; then it is read.
func TestInboundFull(t *testing.T) {
	converse(t, func(r *rig) {
		r.inbox.mu.Lock()
		r.inbox.err = errors.New("inbound ring is full")
		r.inbox.mu.Unlock()
		r.knows("AT+CMGR=3", "+CMGR: 0,,18|"+deliver+"|OK")
		r.knows("AT+CMGL=4", "+CMGL: 3,1,,18|"+deliver+"|OK")
		r.say(`+CMTI: "SM",3`)
		r.state(sms.StorageFull)
		if s := r.m.Snapshot(); !strings.Contains(s.Reason, "inbound ring is full") || s.Advice == "" {
			t.Errorf("%q, %q", s.Reason, s.Advice)
		}
		p := part("a", 1) // sending goes on
		r.box.add(p)
		r.takes(p)
		r.say("+CMGS: 1", "OK")
		r.outcomes(1)
		<-time.After(time.Minute)
		r.inbox.mu.Lock()
		r.inbox.err = nil
		r.inbox.mu.Unlock()
		r.hear("AT+CMGD=3")
		r.knows("AT+CMGL=4", "OK")
		r.say("OK")
		r.state(sms.Ready)
	})
}

func TestStartReadsWhatCameMeanwhile(t *testing.T) {
	with(t, map[string]string{
		"AT+CMGL=4": "+CMGL: 1,0,,18|" + deliver + "|+CMGL: 2,3,,18|" + deliverB + "|+CMGL: 4,2,,18|" + deliverB + "|+CMGL: 7,1,,18|" + deliverB + "|+CMGL: 9,0,,0|OK",
		"AT+CMGD=1": "OK", "AT+CMGD=7": "OK",
	}, nil, func(r *rig) {
		r.state(sms.Ready)
		got := r.inbox.all()
		if len(got) != 2 || got[0].Index != 1 || got[1].Index != 7 {
			t.Errorf("%+v", got)
		}
	})
}

// Every odd shape of an announcement and of the answer to CMGR.
func TestOddShapes(t *testing.T) {
	for name, c := range map[string]struct {
		says   []string
		answer map[string]string
		stored int
	}{
		"no space":               {[]string{`+CMTI:"SM",3`}, map[string]string{"AT+CMGR=3": "+CMGR:0,,18|" + deliver + "|OK"}, 1},
		"no quotes":              {[]string{`+CMTI: SM,3`}, map[string]string{"AT+CMGR=3": "+CMGR: 0,\"\",18|" + deliver + "|OK"}, 1},
		"blank between":          {[]string{`+CMTI: "SM",3`}, map[string]string{"AT+CMGR=3": "+CMGR: 1,,18||| |" + strings.ToLower(deliver) + "||OK"}, 1},
		"empty slot":             {[]string{`+CMTI: "SM",3`}, map[string]string{"AT+CMGR=3": "+CMGR: 0,,0|OK"}, 0},
		"only OK":                {[]string{`+CMTI: "SM",3`}, map[string]string{"AT+CMGR=3": "OK"}, 0},
		"321":                    {[]string{`+CMTI: "SM",3`}, map[string]string{"AT+CMGR=3": "+CMS ERROR: 321"}, 0},
		"own message":            {[]string{`+CMTI: "SM",3`}, map[string]string{"AT+CMGR=3": "+CMGR: 2,,18|" + deliver + "|OK"}, 0},
		"twice":                  {[]string{`+CMTI: "SM",3`, `+CMTI: "SM",3`}, map[string]string{"AT+CMGR=3": "+CMGR: 0,,18|" + deliver + "|OK"}, 1},
		"index -1":               {[]string{`+CMTI: "SM",-1`}, map[string]string{"AT+CMGL=4": "+CMGL: 3,0,,18|" + deliver + "|OK"}, 1},
		"unreadable":             {[]string{`+CMTI: "SM",3`}, map[string]string{"AT+CMGR=3": "ERROR", "AT+CMGL=4": "+CMGL: 3,0,,18|" + deliver + "|OK"}, 1},
		"a class 0 text":         {[]string{direct23, deliver}, nil, 1},
		"a report, direct":       {[]string{"+CDS: 25", report}, nil, 1},
		"a report, ZTE":          {[]string{"+CDS: ,25", report}, nil, 1},
		"a report in SM":         {[]string{`+CDSI: "SM",3`}, map[string]string{"AT+CMGR=3": "+CMGR: 0,,25|" + report + "|OK"}, 1},
		"in the other storage":   {[]string{`+CMTI: "ME",3`}, map[string]string{`AT+CPMS="ME"`: "+CPMS: 1,50|OK", "AT+CMGR=3": "+CMGR: 0,,18|" + deliver + "|OK"}, 1},
		"CMT without its PDU":    {[]string{direct23, "^RSSI:18"}, map[string]string{"AT+CMGL=4": "+CMGL: 3,0,,18|" + deliver + "|OK"}, 1},
		"the storage says full":  {[]string{`^SMMEMFULL: "SM"`}, map[string]string{"AT+CMGL=4": "+CMGL: 3,0,,18|" + deliver + "|OK"}, 1},
		"announced without room": {[]string{"+CMTI:"}, map[string]string{"AT+CMGL=4": "+CMGL: 3,0,,18|" + deliver + "|OK"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			converse(t, func(r *rig) {
				r.knows("AT+CMGD=*", "OK")
				for k, v := range c.answer {
					r.knows(k, v)
				}
				// In one write: what comes later is announced anew, and rightly so.
				r.say(c.says...)
				<-time.After(45 * time.Second)
				synctest.Wait()
				// The same PDU of the same place is one message to the Inbox: one that
				// is announced again while it is read is read again.
				places := map[string]bool{}
				for i, in := range r.inbox.all() {
					key := fmt.Sprintf("%s %d %X", in.Storage, in.Index, in.PDU)
					if in.Storage == "" {
						key = fmt.Sprint("direct ", i)
					}
					places[key] = true
				}
				n := len(places)
				// The scripted storage is never emptied: a sweep may find it again.
				if c.stored == 0 && n != 0 || n == 0 && c.stored != 0 || c.answer["AT+CMGL=4"] == "" && n != c.stored {
					t.Errorf("stored %d times", n)
				}
				for _, w := range r.modem().Wire().Writes() {
					if strings.Contains(w, "=-") {
						t.Errorf("wrote %q", w)
					}
				}
			})
		})
	}
}

// A burst is read in order, each once.
func TestBurstOfAnnouncements(t *testing.T) {
	converse(t, func(r *rig) {
		var burst []string
		for i := range 50 {
			n := string(rune('0'+i/10)) + string(rune('0'+i%10))
			r.knows("AT+CMGR="+strings.TrimPrefix(n, "0"), "+CMGR: 0,,18|"+deliver+"|OK")
			burst = append(burst, `+CMTI: "SM",`+strings.TrimPrefix(n, "0"))
		}
		r.knows("AT+CMGD=*", "OK")
		r.say(burst...)
		r.until("all", time.Minute, func() bool { return len(r.inbox.all()) == 50 })
		for i, in := range r.inbox.all() {
			if in.Index != i {
				t.Fatalf("%d came at place %d", in.Index, i)
			}
		}
	})
}

// insists is a modem that hands messages over directly and wants to be told
// that they were stored.
func insists() map[string]string {
	a := map[string]string{"AT+CSMS=0": "+CMS ERROR: 303", "AT+CSMS?": "+CSMS: 1,1,1,1|OK", "AT+CSMS=1": "+CSMS: 1,1,1|OK",
		"AT+CNMI=2,2,0,1,0": "OK", "AT+CNMI?": "+CNMI: 2,2,0,1,0|OK"}
	for _, form := range []string{"2,1,0,2,0", "1,1,0,2,0", "2,1,0,1,0", "1,1,0,1,0", "2,1,2,1,0", "2,1,0,0,0", "1,1,0,0,0", "2,1,2,0,0"} {
		a["AT+CNMI="+form] = "+CMS ERROR: 303"
	}
	return a
}

// Stored, then acknowledged; during a CMGS the acknowledgement waits for its end.
func TestAcknowledgesWhatIsStored(t *testing.T) {
	with(t, insists(), nil, func(r *rig) {
		r.state(sms.Ready)
		r.say("+CMT: ,18", deliver)
		r.hear("AT+CNMA")
		if len(r.inbox.all()) != 1 {
			t.Error("acknowledged before it was stored")
		}
		r.say("OK")
		a, b := part("a", 1), part("b", 2)
		r.box.add(a, b)
		r.takes(a)
		r.say("+CDS: 25", report)
		synctest.Wait()
		if len(r.inbox.all()) != 2 {
			t.Error("not stored at once")
		}
		r.modem().Quiet(5 * time.Second)
		r.say("+CMGS: 1", "OK")
		r.hear("AT+CNMA")
		r.say("OK")
		r.takes(b)
		r.say("+CMGS: 2", "OK")
		r.outcomes(2)
	})
}

// The form that a modem takes is found once.
func TestFormOfTheAcknowledgement(t *testing.T) {
	with(t, insists(), nil, func(r *rig) {
		r.state(sms.Ready)
		r.say("+CMT: ,18", deliver)
		r.hear("AT+CNMA")
		r.say("ERROR")
		r.hear("AT+CNMA=0")
		r.say("+CMS ERROR: 303")
		r.hear("AT+CNMA=1")
		r.say("OK")
		r.say("+CMT: ,18", deliverB)
		r.hear("AT+CNMA=1")
		r.say("OK")
	})
}

func TestNothingIsAcknowledgedThatIsNotStored(t *testing.T) {
	with(t, insists(), nil, func(r *rig) {
		r.state(sms.Ready)
		r.inbox.mu.Lock()
		r.inbox.err = errors.New("inbound ring is full")
		r.inbox.mu.Unlock()
		r.say("+CMT: ,18", deliver)
		r.modem().Quiet(5 * time.Second)
		r.inbox.mu.Lock()
		r.inbox.err = nil
		r.inbox.mu.Unlock()
		r.hear("AT+CNMA") // the one held in memory is stored at last
		r.say("+CMS ERROR: 340")
		r.until("stored", time.Minute, func() bool { return len(r.inbox.all()) == 1 })
		if s := r.m.Snapshot().State; s != sms.Ready {
			t.Error(s)
		}
	})
}

// A modem that missed an acknowledgement, or was reset behind our back, stops
// announcing: that is noticed and mended.
func TestAnnouncingIsChecked(t *testing.T) {
	converse(t, func(r *rig) {
		r.knows("AT+CNMI?", "+CNMI: 0,0,0,0,0|OK")
		r.knows("AT+CNMI=2,1,0,2,0", "-")
		r.hear("AT+CNMI=2,1,0,2,0")
		r.say("OK")
	})
}

// One that was given a message by the last run, which died before it could
// acknowledge it, stops announcing within seconds of the start. That is not left
// for minutes.
func TestAnnouncingIsCheckedSoonAfterADeath(t *testing.T) {
	with(t, insists(), nil, func(r *rig) {
		r.state(sms.Ready)
		start := time.Now()
		r.knows("AT+CNMI?", "+CNMI: 2,0,0,0,0|OK")
		r.knows("AT+CNMI=2,2,0,1,0", "-")
		r.hear("AT+CNMI=2,2,0,1,0")
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("after %v", d)
		}
		r.knows("AT+CMGL=4", "+CMGL: 5,0,,18|"+deliver+"|OK")
		r.say("OK")
		r.hear("AT+CMGD=5") // what it kept to itself meanwhile
		r.knows("AT+CMGL=4", "OK")
		r.say("OK")
	})
}

// What comes before the SIM is known, because the last run had asked for it, was
// for the SIM of then: its parts would find no other part, and its repetition
// would not be known as one.
func TestWhatComesBeforeTheSIMIsKnown(t *testing.T) {
	for last, want := range map[string]string{"8949020000123456789": "8949020000123456789", "": "imei:"} {
		answers := map[string]string{"AT+CGMI": "-"}
		with(t, answers, func(o *modem.Options) { o.LastSIM = last }, func(r *rig) {
			r.hear("AT+CGMI")
			r.say("+CMT: ,18", deliver)
			r.say("ACME", "OK")
			r.state(sms.Ready)
			r.say("+CMT: ,18", deliverB)
			r.until("both", time.Minute, func() bool { return len(r.inbox.all()) == 2 })
			if got := r.inbox.all(); got[0].ICCID != want || got[1].ICCID != "89490200001234567890" {
				t.Errorf("%q and %q", got[0].ICCID, got[1].ICCID)
			}
		})
	}
}

// Without CSMS=1 nobody expects an acknowledgement, and none is sent.
func TestNoAcknowledgementUnlessWanted(t *testing.T) {
	converse(t, func(r *rig) {
		r.say("+CMT: ,18", deliver)
		r.modem().Quiet(5 * time.Second)
		if len(r.inbox.all()) != 1 {
			t.Error("not stored")
		}
	})
}

// What can only be swept is found by the slow timer.
func TestSlowSweepFindsWhatWasNotAnnounced(t *testing.T) {
	converse(t, func(r *rig) {
		<-time.After(time.Minute)
		r.knows("AT+CMGL=4", "+CMGL: 5,0,,18|"+deliver+"|OK")
		r.hear("AT+CMGD=5")
		r.knows("AT+CMGL=4", "OK")
		r.say("OK")
		if got := r.inbox.all(); len(got) != 1 || got[0].Index != 5 {
			t.Errorf("%+v", got)
		}
	})
}

// After a time-out announcements may be lost: the storage is swept at once.
func TestSweepAfterATimeout(t *testing.T) {
	converse(t, func(r *rig) {
		r.knows("AT+CSQ", "") // heard, never answered
		<-time.After(40 * time.Second)
		r.knows("AT+CSQ", "+CSQ: 20,99|OK")
		r.knows("AT+CMGL=4", "+CMGL: 5,0,,18|"+deliver+"|OK")
		start := time.Now()
		r.hear("AT+CMGD=5")
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("after %s", d)
		}
		r.knows("AT+CMGL=4", "OK")
		r.say("OK")
	})
}

// Reports that are stored apart are swept too, and the reading storage is set back.
func TestReportStorageIsSwept(t *testing.T) {
	with(t, map[string]string{
		"AT+CPMS=?": `+CPMS: ("SM","ME","SR"),("SM","ME"),("SM","ME")|OK`, `AT+CPMS="ME"`: "+CPMS: 0,23|OK", "AT+CMGL=4": "-",
	}, nil, func(r *rig) {
		r.hear(`AT+CPMS="SR"`)
		r.say("+CPMS: 1,10", "OK")
		r.hear("AT+CMGL=4")
		r.say("+CMGL: 2,0,,25", report, "OK")
		r.hear(`AT+CPMS="SM"`)
		r.say("+CPMS: 0,30", "OK")
		r.hear("AT+CMGL=4")
		r.say("OK")
		r.hear(`AT+CPMS="SR"`) // the next part may go before this
		r.say("+CPMS: 1,10", "OK")
		r.hear("AT+CMGD=2")
		r.say("OK")
		r.hear(`AT+CPMS="SM"`)
		r.say("+CPMS: 0,30", "OK")
		r.state(sms.Ready)
		if got := r.inbox.all(); len(got) != 1 || got[0].Storage != "SR" || r.m.Snapshot().Storage.Name != "SM" {
			t.Errorf("%+v", got)
		}
	})
}

var _ modem.Inbox = (*inbox)(nil)
