package modem_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/modem/internal/script"
	"gatewayd/sms"
)

// rig is a driver and a scripted modem. What the modem answers by itself is in
// answers; the rest of the conversation is the test's.
type rig struct {
	t     *testing.T
	m     *modem.Modem
	box   *box
	inbox *inbox
	stop  func()

	mu      sync.Mutex
	answers map[string]string // by what is heard; a key that ends in * is a prefix
	opened  int
	wires   []*script.Wire // the modem's ends, one per Open
	devs    []*script.Modem
	dev     *script.Modem // at the last one
	openErr error
	// elsewhere answers what answers does not.
	elsewhere func(heard string) (answer string, ok bool)
	echo      bool
	states    []sms.Modem
}

// usual is what a plain modem answers while it is brought up and polled.
func usual() map[string]string {
	return map[string]string{
		"␛": "", "AT": "OK", "ATZ": "OK", "ATE0": "OK", "ATV1": "OK", "AT+CMEE=1": "OK",
		"AT+CGMI": "ACME|OK", "AT+CGMM": "Stick|OK", "AT+CGMR": "1.0|OK", "AT+CGSN": "352099000000006|OK",
		"AT+CMEE?": "+CMEE: 1|OK", "AT+CMGF?": "+CMGF: 0|OK",
		"AT^CURC=0": "ERROR", "AT+CCID": "+CCID: 89490200001234567890|OK", "AT+CPIN?": "+CPIN: READY|OK",
		"AT+CFUN?": "+CFUN: 1|OK", "AT+CIMI": "262011234567890|OK", "AT+CREG=2": "OK", "AT+CGREG=2": "OK", "AT+CEREG=2": "OK",
		`AT+CSCS="GSM"`: "OK", "AT+COPS=3,0": "OK", "AT+CMGF=0": "OK", "AT+CSMS=0": "+CSMS: 1,1,1|OK",
		"AT+CPMS=?": `+CPMS: ("SM"),("SM"),("SM")|OK`, `AT+CPMS="SM","SM","SM"`: "+CPMS: 0,30,0,30,0,30|OK",
		"AT+CSCA?": `+CSCA: "+491710000000",145|OK`, "AT+CNUM": "OK",
		"AT+CNMI=2,1,0,2,0": "OK", "AT+CNMI?": "+CNMI: 2,1,0,2,0|OK", "AT+CLIP=1": "OK", "AT+CUSD=1": "OK",
		"AT+SPIC": "ERROR", "AT+QPINC?": "ERROR", "AT+ZPINPUK=?": "ERROR", "AT#PCT": "ERROR", "AT^SPIC": "ERROR",
		"AT+CREG?": "+CREG: 2,1|OK", "AT+CGREG?": "+CGREG: 2,1|OK", "AT+CEREG?": "+CEREG: 2,0|OK",
		"AT+CSQ": "+CSQ: 20,99|OK", "AT+CESQ": "ERROR", "AT^HCSQ?": "ERROR", "AT+QCSQ": "ERROR", "AT+CPSI?": "ERROR", "AT+COPS?": `+COPS: 0,0,"Net",0|OK`,
		"AT+CMGL=4": "OK", "AT+CPMS?": `+CPMS: "SM",0,30,"SM",0,30,"SM",0,30|OK`,
	}
}

// converse runs f against a modem that is up and ready, inside a bubble.
func converse(t *testing.T, f func(r *rig)) {
	t.Helper()
	with(t, nil, nil, func(r *rig) {
		r.state(sms.Ready)
		f(r)
	})
}

// with runs f with other answers and options.
func with(t *testing.T, answers map[string]string, change func(*modem.Options), f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, box: newBox(), inbox: &inbox{}, answers: usual()}
		for k, v := range answers {
			r.knows(k, v)
		}
		o := modem.Options{
			Name: "one", Port: "/dev/ttyUSB2", Outbox: r.box, Inbox: r.inbox, Open: r.open,
			OnState: func(m sms.Modem) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.states = append(r.states, m)
			},
			Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		}
		if change != nil {
			change(&o)
		}
		r.m = modem.New(o)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.m.Run(ctx) }()
		stopped := false
		r.stop = func() {
			if stopped {
				return
			}
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
			r.mu.Lock()
			wires, devs := r.wires, r.devs
			r.mu.Unlock()
			for _, w := range wires {
				_ = w.Close()
			}
			for _, d := range devs {
				<-d.Done() // it may be in the middle of an answer
			}
		}
		defer r.stop()
		synctest.Wait()
		f(r)
	})
}

func (r *rig) open(context.Context) (io.ReadWriteCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.openErr != nil {
		return nil, r.openErr
	}
	ours, theirs := script.NewWire()
	r.opened++
	r.wires = append(r.wires, theirs)
	r.dev = script.Play(r.t, theirs)
	r.devs = append(r.devs, r.dev)
	r.dev.Answer(r.answer)
	return ours, nil
}

func (r *rig) answer(heard string) (string, bool) {
	a, ok := r.known(heard)
	if !ok && r.elsewhere != nil {
		return r.elsewhere(heard)
	}
	if ok && r.echo && strings.HasPrefix(heard, "AT") {
		a = heard + "\r" + a
	}
	return a, ok
}

func (r *rig) known(heard string) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.answers[heard]
	for k, v := range r.answers {
		if !ok && strings.HasSuffix(k, "*") && strings.HasPrefix(heard, k[:len(k)-1]) {
			a, ok = v, true
		}
	}
	if !ok || a == "" {
		return "", ok
	}
	return "\r\n" + strings.ReplaceAll(a, "|", "\r\n\r\n") + "\r\n", true
}

// knows changes what the modem answers by itself; "-" as answer: nothing does.
func (r *rig) knows(heard, answer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if answer == "-" {
		delete(r.answers, heard)
		return
	}
	r.answers[heard] = answer
}

func (r *rig) modem() *script.Modem {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dev
}

func (r *rig) hear(want string) { r.t.Helper(); r.modem().Hear(want) }
func (r *rig) say(lines ...string) {
	r.modem().SayLines(lines...)
}

func (r *rig) until(what string, limit time.Duration, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(limit); ; {
		synctest.Wait()
		if ok() {
			return
		}
		if !time.Now().Before(end) {
			r.t.Fatalf("%s: not within %s; state %+v", what, limit, r.m.Snapshot())
		}
		<-time.After(50 * time.Millisecond)
	}
}

func (r *rig) state(want sms.ModemState) {
	r.t.Helper()
	r.until("state "+string(want), 10*time.Minute, func() bool { return r.m.Snapshot().State == want })
}

// outcomes waits for so many booked outcomes.
func (r *rig) outcomes(n int) []modem.Outcome {
	r.t.Helper()
	r.until("outcomes", 10*time.Minute, func() bool { return len(r.box.booked()) >= n })
	return r.box.booked()
}

// part is a part of 18 octets, each different.
func part(name string, row int64) *modem.Part {
	return &modem.Part{Row: row, MessageID: name, Number: 1, Total: 1, To: "+49170123" + name, TPDU: []byte("0123456789abcdef" + name[:1] + "x")}
}

const (
	cmd  = "AT+CMGS=18"
	body = "0030313233343536373839616263646566"
)

func hexOf(p *modem.Part) string {
	const digits = "0123456789ABCDEF"
	s := "00"
	for _, b := range p.TPDU {
		s += string(digits[b>>4]) + string(digits[b&15])
	}
	return s
}

// takes plays the modem's side of one part up to Ctrl-Z.
func (r *rig) takes(p *modem.Part) {
	r.t.Helper()
	r.hear(cmd)
	r.modem().Say("\r\n> ")
	r.hear(hexOf(p) + "␚")
}

func splitAnswer(a string) []string {
	if a == "" {
		return nil
	}
	return strings.Split(a, "|")
}
