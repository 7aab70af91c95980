package sim

import (
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// step is one moment of a dialogue: what is said, time that passes, and what
// the modem says until then.
type step struct {
	say   string
	after time.Duration
	hears string
}

// Every fault of sending, each on its own, with the network taking 2 s. PDU
// stands for a good one; texts is what the handset has in the end.
func TestSendingFaults(t *testing.T) {
	const second = time.Second
	cmgs := step{say: "AT+CMGS=LEN\r", hears: "\r\n> "}
	sends := step{say: "PDU\x1a"}
	done := func(mr int) string { return fmt.Sprintf("\r\n+CMGS: %d\r\n\r\nOK\r\n", mr) }
	again := []step{cmgs, sends, {after: 2 * second, hears: done(2)}}
	for name, c := range map[string]struct {
		fault  func(f *Faults)
		steps  []step
		texts  int
		second bool // a second send afterwards works and gets the next reference
	}{
		"none": {func(*Faults) {}, []step{cmgs, sends, {after: 2 * second, hears: done(1)}}, 2, true},
		"late prompt": {func(f *Faults) { f.PromptDelay = 4 * second }, []step{
			{say: "AT+CMGS=LEN\r"}, {after: 3 * second},
			{say: "00"}, // too early: lost
			{after: second, hears: "\r\n> "}, sends, {after: 2 * second, hears: done(1)},
		}, 1, false},
		"late prompt, given up": {func(f *Faults) { f.PromptDelay = 4 * second }, []step{
			{say: "AT+CMGS=LEN\r"}, {say: "\x1b\r", hears: "\r\nOK\r\n"}, {after: 9 * second},
			{say: "AT\r", hears: "\r\nOK\r\n"},
		}, 0, false},
		"late prompt, deaf": {func(f *Faults) { f.PromptDelay, f.PromptDeaf = 4*second, true }, []step{
			{say: "AT+CMGS=LEN\r"}, {say: "\x1b\r"}, {after: 4 * second, hears: "\r\n> "},
			{say: "\x1b\r", hears: "\r\nOK\r\n"},
		}, 0, false},
		"split prompt": {func(f *Faults) { f.SplitPrompt = true }, []step{
			{say: "AT+CMGS=LEN\r", hears: "\r"}, {after: 5e6, hears: "\n"}, {after: 5e6, hears: ">"}, {after: 5e6, hears: " "},
			sends, {after: 2 * second, hears: done(1)},
		}, 1, false},
		"no prompt": {func(f *Faults) { f.NoPrompt = 1 }, []step{
			{say: "AT+CMGS=LEN\r"}, {after: second}, {say: "AT\r"}, {after: second}, // eaten
			{say: "\x1b\r", hears: "\r\nOK\r\n"}, cmgs, sends, {after: 2 * second, hears: done(1)},
		}, 2, true},
		"silent, delivered": {func(f *Faults) { f.Silent = 1 }, []step{
			cmgs, sends, {after: 300 * second}, {say: "AT\r", hears: "\r\nOK\r\n"},
		}, 2, true},
		"silent, lost": {func(f *Faults) { f.Silent, f.Lost = 1, true }, []step{
			cmgs, sends, {after: 300 * second}, {say: "AT\r", hears: "\r\nOK\r\n"},
		}, 1, true},
		"OK without +CMGS": {func(f *Faults) { f.OKOnly = 1 }, []step{cmgs, sends, {after: 2 * second, hears: "\r\nOK\r\n"}}, 2, true},
		"OK without +CMGS, lost": {func(f *Faults) { f.OKOnly, f.Lost = 1, true }, []step{
			cmgs, sends, {after: 2 * second, hears: "\r\nOK\r\n"},
		}, 1, true},
		"late answer": {func(f *Faults) { f.Late, f.LateBy = 1, 70*second }, []step{
			cmgs, sends, {after: 60 * second}, {say: "\x1b\rAT\r"}, {after: 11 * second},
			{after: second, hears: done(1) + "\r\nOK\r\n"}, // AT had to wait
		}, 2, true},
		"late answer between others": {func(f *Faults) { f.Late, f.LateBy, f.LateDetached = 1, 70*second, true }, []step{
			cmgs, sends, {after: 60 * second}, {say: "AT\r", hears: "\r\nOK\r\n"}, cmgs,
			{after: 12 * second, hears: done(1)}, // not the answer to the second one
			sends, {after: 2 * second, hears: done(2)},
		}, 2, false},
		"refused by the network": {func(f *Faults) { f.Reject, f.SendError = 1, "+CMS ERROR: 38" }, []step{
			cmgs, sends, {after: 2 * second, hears: "\r\n+CMS ERROR: 38\r\n"},
		}, 1, true},
		"refused for one number": {func(f *Faults) { f.RejectFor = map[string]string{"+491701234567": "+CMS ERROR: 10"} }, []step{
			cmgs, sends, {after: 2 * second, hears: "\r\n+CMS ERROR: 10\r\n"},
		}, 0, false},
		"refused before the prompt": {func(f *Faults) { f.RejectCommand, f.SendError = 1, "+CME ERROR: 14" }, []step{
			{say: "AT+CMGS=LEN\r", hears: "\r\n+CME ERROR: 14\r\n"}, cmgs, sends, {after: 2 * second, hears: done(1)},
		}, 2, true},
		"CR CR LF": {func(f *Faults) { f.CRCRLF = true }, []step{
			{say: "AT+CMGS=LEN\r", hears: "\r\r\n> "}, sends, {after: 2 * second, hears: "\r\r\n+CMGS: 1\r\r\n\r\r\nOK\r\r\n"},
		}, 1, false},
		"echo stays": {func(f *Faults) { f.KeepEcho = true }, []step{
			{say: "ATE0\r", hears: "ATE0\r\r\nOK\r\n"},
			{say: "AT+CMGS=LEN\r", hears: "AT+CMGS=LEN\r\r\n> "},
			{say: "PDU\x1a", hears: "PDU\x1a"}, {after: 2 * second, hears: done(1)},
		}, 1, false},
		"noise in every gap": {func(f *Faults) { f.Noise = []string{"^BOOT:1", "+CREG: 5"} }, []step{
			{say: "AT+CMGS=LEN\r", hears: "\r\n^BOOT:1\r\n\r\n+CREG: 5\r\n\r\n> \r\n^BOOT:1\r\n\r\n+CREG: 5\r\n"},
			sends,
			{after: 2 * second, hears: strings.ReplaceAll("N\r\n+CMGS: 1\r\nN\r\nOK\r\n", "N", "\r\n^BOOT:1\r\n\r\n+CREG: 5\r\n")},
		}, 1, false},
		"slow command": {func(f *Faults) { f.Slow = map[string]time.Duration{"+CSQ": 5 * second} }, []step{
			{say: "AT+CSQ;+CREG?\r"}, {after: 5 * second, hears: "\r\n+CSQ: 21,99\r\n\r\n+CREG: 0,1\r\n\r\nOK\r\n"},
		}, 0, false},
		"mute": {func(f *Faults) { f.Mute = true }, []step{{say: "AT\r"}, {say: "AT+CMGS=LEN\r"}, {after: 60 * second}}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, NetworkOptions{Latency: 2 * second}, func(t *testing.T, n *Network) {
				m := n.AddModem(ModemOptions{})
				d := plainly(t, m)
				m.Fault(c.fault)
				pdu := submitTPDU(t, "+491701234567", "x", false)
				fill := strings.NewReplacer("LEN", fmt.Sprint(len(pdu)), "PDU", "00"+upperHex(pdu))
				steps := c.steps
				if c.second && name != "late answer between others" {
					more := again
					if name == "no prompt" || name == "refused before the prompt" || name == "late prompt, given up" {
						more = []step{cmgs, sends, {after: 2 * second, hears: done(2)}}
					}
					steps = append(append([]step(nil), steps...), more...)
				}
				for i, s := range steps {
					if s.say != "" {
						d.say(fill.Replace(s.say))
					}
					d.after(s.after)
					if got, want := d.heard(), fill.Replace(s.hears); got != want {
						t.Fatalf("step %d: after %q the modem said\n %q, not\n %q", i, s.say, got, want)
					}
				}
				d.after(time.Minute)
				if got := n.Handset("+491701234567").Received(); len(got) != c.texts {
					t.Errorf("the handset has %d texts, not %d", len(got), c.texts)
				}
			})
		})
	}
}

func TestReportBeforeTheAnswer(t *testing.T) {
	inBubble(t, NetworkOptions{Latency: 2 * time.Second}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		d := plainly(t, m)
		d.ask("AT+CNMI=2,1,0,1,0", "OK")
		m.Fault(func(f *Faults) { f.ReportFirst = true })
		d.sends(submitTPDU(t, "+491701234567", "x", true))
		d.after(time.Second)
		if got := d.heard(); !strings.HasPrefix(got, "\r\n+CDS: ") || !strings.HasSuffix(got, "00\r\n") {
			t.Fatalf("%q", got)
		}
		d.after(time.Second)
		d.hears("\r\n+CMGS: 1\r\n\r\nOK\r\n")
		d.after(time.Minute)
		d.hears("") // it is not reported twice

		n.SetFate("+491701234568", Fate{Reports: []byte{0x46}})
		d.sends(submitTPDU(t, "+491701234568", "x", true))
		d.after(time.Second)
		if got := d.heard(); !strings.HasPrefix(got, "\r\n+CDS: ") || !strings.HasSuffix(got, "46\r\n") {
			t.Fatalf("what is never delivered is reported as %q", got)
		}
	})
}

func TestReceivingFaults(t *testing.T) {
	inBubble(t, NetworkOptions{Retry: time.Minute}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		d := plainly(t, m)
		m.Fault(func(f *Faults) { f.RefuseCNMI = true })
		d.ask("AT+CNMI=2,1,0,2,0", "+CMS ERROR: 303")
		m.Fault(func(f *Faults) { *f = Faults{ForgetCNMI: true} })
		d.ask("AT+CNMI=2,1,0,2,0", "OK")
		d.ask("AT+CNMI?", "+CNMI: 0,0,0,0,0", "OK")
		m.Fault(func(f *Faults) { *f = Faults{Duplicate: 1} })
		d.ask("AT+CNMI=2,1,0,2,0", "OK")
		m.Inject(deliverPDU(t, Text{Text: "x"}))
		d.hears("\r\n+CMTI: \"SM\",1\r\n")
		d.after(time.Minute)
		d.hears("\r\n+CMTI: \"SM\",2\r\n")
		d.after(time.Hour)
		d.hears("")
		all := m.Stored("SM")
		if len(all) != 2 || string(all[0]) != string(all[1]) {
			t.Errorf("stored %X", all)
		}
		d.ask("AT+CMGD=1,4", "OK")
		m.Fault(func(f *Faults) { *f = Faults{CMTITwice: 1} })
		m.Inject(deliverPDU(t, Text{Text: "y"}))
		d.hears(strings.Repeat("\r\n+CMTI: \"SM\",1\r\n", 2))
		m.Fault(func(f *Faults) { *f = Faults{CMTIMissing: 1} })
		m.Inject(deliverPDU(t, Text{Text: "z"}))
		d.hears("")
		m.Fault(func(f *Faults) { *f = Faults{CMTIUnknown: 1} })
		m.Inject(deliverPDU(t, Text{Text: "z"}))
		d.hears("\r\n+CMTI: \"SM\",-1\r\n")
		d.ask("AT+CMGD=1,4", "OK")
		// A broken PDU is passed on like any other.
		m.Inject([]byte{0xFF, 0x00, 0x12})
		d.hears("\r\n+CMTI: \"SM\",1\r\n")
		d.ask("AT+CMGR=1", "+CMGR: 0,,0\r\nFF0012", "OK")
		// Flooding goes on until it is turned off.
		m.Fault(func(f *Faults) { f.Noise, f.Flood = []string{"^BOOT:1"}, time.Second })
		d.after(3 * time.Second)
		d.hears(strings.Repeat("\r\n^BOOT:1\r\n", 3))
		m.Fault(func(f *Faults) { *f = Faults{} })
		d.after(time.Minute)
		d.hears("")
	})
}

func TestBlockedWrites(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		d := plainly(t, m)
		m.Fault(func(f *Faults) { f.Block = true })
		wrote := make(chan error, 1)
		go func() {
			_, err := io.WriteString(d.pipe, "AT\r")
			wrote <- err
		}()
		synctest.Wait()
		select {
		case err := <-wrote:
			t.Fatalf("the write returned: %v", err)
		default:
		}
		m.Fault(func(f *Faults) { f.Block = false })
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
		d.hears("\r\nOK\r\n")

		m.Fault(func(f *Faults) { f.Block = true })
		go func() {
			_, err := io.WriteString(d.pipe, "AT\r")
			wrote <- err
		}()
		synctest.Wait()
		d.pipe.Close() // wakes the writer
		if err := <-wrote; err == nil {
			t.Error("written to a closed pipe")
		}
	})
}

// The fault of a blocked write on a real terminal: the write does not return
// until it ends, or the modem is pulled.
func TestBlockedWritesOnAPTY(t *testing.T) {
	_, m, link := ptyModem(t)
	l := openSerial(t, link)
	l.say("ATE0\r")
	l.until("OK\r\n")
	m.Fault(func(f *Faults) { f.Block = true })
	wrote := make(chan error)
	go func() {
		_, err := io.WriteString(l.port, "AT\r")
		wrote <- err
	}()
	m.Fault(func(f *Faults) { f.Block = false })
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	l.until("OK\r\n")
	m.Fault(func(f *Faults) { f.Block = true })
	go func() {
		_, err := io.WriteString(l.port, "AT\r")
		wrote <- err
	}()
	select {
	case err := <-wrote:
		t.Fatalf("the write returned: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	m.Unplug()
	if err := <-wrote; err == nil {
		t.Error("written to an unplugged modem")
	}
}

func TestPipeIsExclusiveAndOpensAgain(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		p := m.Pipe()
		if _, err := m.OpenPipe(); err == nil || !strings.Contains(err.Error(), "busy") {
			t.Errorf("second opening: %v", err)
		}
		if _, err := m.Pipe().Write([]byte("AT\r")); err == nil {
			t.Error("the second pipe can be written")
		}
		read := make(chan error, 1)
		go func() {
			_, err := p.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		p.Close()
		if err := <-read; err != fs.ErrClosed {
			t.Errorf("a closed read: %v", err)
		}
		d := plainly(t, m)
		m.Unplug()
		if _, err := m.OpenPipe(); err == nil {
			t.Error("an unplugged modem was opened")
		}
		if _, err := d.pipe.Write([]byte("AT\r")); err == nil {
			t.Error("an unplugged modem was written to")
		}
		if err := m.Plug(); err != nil {
			t.Fatal(err)
		}
		d = talk(t, m)
		d.say("AT\r")
		d.hears("AT\r\r\nOK\r\n") // it has forgotten ATE0
	})
}

// Pulled before the network has the message: it is lost. After: it is sent,
// and nobody hears the answer.
func TestUnpluggedOnTheAir(t *testing.T) {
	for after, want := range map[time.Duration]int{time.Second: 0, 2500 * time.Millisecond: 1} {
		inBubble(t, NetworkOptions{Latency: 4 * time.Second}, func(t *testing.T, n *Network) {
			m := n.AddModem(ModemOptions{})
			d := plainly(t, m)
			d.sends(submitTPDU(t, "+491701234567", "x", true))
			d.after(after)
			m.Unplug()
			d.after(time.Minute)
			if got := len(n.Accepted()); got != want {
				t.Errorf("pulled after %v: %d accepted", after, got)
			}
			d.hears("")
		})
	}
}
