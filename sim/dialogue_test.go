package sim

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/warthog618/sms/encoding/tpdu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dialogue is a conversation with a modem over its pipe, in virtual time.
type dialogue struct {
	t    *testing.T
	pipe io.ReadWriteCloser
	mu   sync.Mutex
	said strings.Builder
}

// inBubble runs a test with a network in virtual time.
func inBubble(t *testing.T, o NetworkOptions, f func(t *testing.T, n *Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(o)
		defer n.Close()
		f(t, n)
	})
}

func talk(t *testing.T, m *Modem) *dialogue {
	t.Helper()
	p, err := m.OpenPipe()
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, p)
}

// listen is talk on a pipe that is open.
func listen(t *testing.T, p io.ReadWriteCloser) *dialogue {
	d := &dialogue{t: t, pipe: p}
	go func() {
		b := make([]byte, 256)
		for {
			n, err := p.Read(b)
			d.mu.Lock()
			d.said.Write(b[:n])
			d.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { p.Close() })
	return d
}

// plainly is talk after ATE0 and AT+CMEE=1.
func plainly(t *testing.T, m *Modem) *dialogue {
	t.Helper()
	d := talk(t, m)
	d.say("ATE0;+CMEE=1\r")
	d.hears("ATE0;+CMEE=1\r\r\nOK\r\n")
	return d
}

func (d *dialogue) say(s string) {
	d.t.Helper()
	if _, err := io.WriteString(d.pipe, s); err != nil {
		d.t.Fatalf("writing %q: %v", s, err)
	}
}

// heard returns what the modem said until nothing more happens at this moment.
func (d *dialogue) heard() string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.said.String()
	d.said.Reset()
	return s
}

// hears compares what the modem said byte by byte.
func (d *dialogue) hears(want string) {
	d.t.Helper()
	if got := d.heard(); got != want {
		d.t.Fatalf("the modem said\n %q, not\n %q", got, want)
	}
}

// ask says a command and wants these lines and a final result.
func (d *dialogue) ask(command string, lines ...string) {
	d.t.Helper()
	d.say(command + "\r")
	var want strings.Builder
	for _, l := range lines {
		want.WriteString("\r\n" + l + "\r\n")
	}
	if got := d.heard(); got != want.String() {
		d.t.Fatalf("%s was answered\n %q, not\n %q", command, got, want.String())
	}
}

// after lets virtual time pass.
func (d *dialogue) after(t time.Duration) { time.Sleep(t); synctest.Wait() }

// submitTPDU builds an SMS-SUBMIT of one part.
func submitTPDU(t *testing.T, to, words string, report bool) []byte {
	t.Helper()
	all := submitTPDUs(t, to, words, report)
	if len(all) != 1 {
		t.Fatalf("%d parts", len(all))
	}
	return all[0]
}

func submitTPDUs(t *testing.T, to, words string, report bool) [][]byte {
	t.Helper()
	x := tpdu.TPDU{DA: address(to)}
	if err := x.SetSmsType(tpdu.SmsSubmit); err != nil {
		t.Fatal(err)
	}
	if report {
		x.FirstOctet |= tpdu.FoSRR
	}
	ud, _, alphabet := tpdu.EncodeUserData([]byte(words))
	if alphabet == tpdu.AlphaUCS2 {
		x.DCS = tpdu.DcsUCS2Data
	}
	var all [][]byte
	for _, p := range x.Segment(ud, tpdu.WithConcatRef(constant(77))) {
		b, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// sends hands a PDU in, with an open prompt in between, and returns the answer.
func (d *dialogue) sends(tpdu []byte) string {
	d.t.Helper()
	d.say(fmt.Sprintf("AT+CMGS=%d\r", len(tpdu)))
	d.hears("\r\n> ")
	d.say("00" + hex.EncodeToString(tpdu))
	d.hears("")
	d.say("\x1a")
	return d.heard()
}
