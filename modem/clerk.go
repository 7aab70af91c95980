package modem

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"

	"gatewayd/failpoint"
	"gatewayd/modem/at"
	"gatewayd/sms/pdu"
)

// load is a part made ready to be written.
type load struct {
	part    *Part
	command at.Command // AT+CMGS=<length>
	pdu     []byte     // hex, "00" for the SMSC of the SIM in front
}

func pack(p *Part) *load {
	if p == nil {
		return nil
	}
	length, hex := pdu.CMGS(p.TPDU)
	return &load{part: p, pdu: []byte(hex), command: at.Command{
		Line: "AT+CMGS=" + strconv.Itoa(length), Prefix: "+CMGS", Prompt: true, Timeout: resultLimit,
	}}
}

// clerk books while the modem works. He does one thing at a time: commits that
// a part is about to be sent, says so, and while it is on the air chooses and
// packs the next one.
type clerk struct {
	box   Outbox
	jobs  chan job
	begun chan verdict
	next  chan *load // one after each verdict that is ok
	gone  chan struct{}
}

type job struct {
	previous *Outcome
	next     *Part
	expected int
}

// verdict is what Begin said.
type verdict struct {
	ok  bool
	err error
}

func hire(box Outbox) *clerk {
	c := &clerk{box: box, jobs: make(chan job, 1), begun: make(chan verdict, 1), next: make(chan *load, 1), gone: make(chan struct{})}
	go c.work()
	return c
}

func (c *clerk) work() {
	defer close(c.gone)
	for j := range c.jobs {
		v := c.begin(j)
		c.begun <- v
		runtime.Gosched() // the modem's own goroutine writes the PDU first
		if v.ok {
			c.next <- c.choose()
		}
	}
}

// A panic of the Outbox is that part's trouble, not the daemon's end.
func (c *clerk) begin(j job) (v verdict) {
	defer func() {
		if p := recover(); p != nil {
			v = verdict{err: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	failpoint.Hit("modem.before-write-ahead")
	ok, err := c.box.Begin(j.previous, j.next, j.expected)
	failpoint.Hit("modem.after-write-ahead")
	return verdict{ok && err == nil, err}
}

func (c *clerk) choose() (l *load) {
	defer func() {
		if recover() != nil {
			l = nil // the modem's own goroutine asks again, and its supervisor hears of it
		}
	}()
	return pack(c.box.Next())
}

func (c *clerk) leave() {
	close(c.jobs)
	<-c.gone
}
