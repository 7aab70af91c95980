package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

const admin = "+491701111111"

// postbox is a mail server that may be away.
type postbox struct {
	mu    sync.Mutex
	fail  error
	ids   []string
	mails []string // to, subject and text
}

func (p *postbox) send(_ context.Context, to []string, subject, text, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	p.ids = append(p.ids, id)
	p.mails = append(p.mails, strings.Join(to, ",")+"\n"+subject+"\n"+text)
	return nil
}

func (p *postbox) set(fail error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = fail
}

func (p *postbox) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.mails)
}

func toAdmin(p *postbox, more func(*Options)) func(*Options) {
	return func(o *Options) {
		o.Alarms.Notices = Notices{SMS: []string{admin}, Mail: []string{"on-call@example.org"}, Repeat: 24 * time.Hour}
		o.Mail = p.send
		if more != nil {
			more(o)
		}
	}
}

// An admin gets one SMS and one e-mail for what begins within a minute, and for its
// end, through the modem that works; over a restart none is lost and none twice.
func TestAdminIsTold(t *testing.T) {
	inWorld(t, 3, air(), func(w *world) {
		p := &postbox{}
		w.restart(toAdmin(p, nil))
		w.pass(2 * time.Minute)
		w.modems[0].Unplug()
		w.pass(20 * time.Second)
		w.modems[1].Unplug()
		w.pass(2 * time.Minute)
		box := w.net.Handset(admin)
		want := "gatewayd: ALARM modem-down m1: The modem is down. ALARM modem-down m2: The modem is down."
		if got := box.Received(); len(got) != 1 || got[0] != want {
			t.Fatalf("%q", got)
		}
		if got := p.got(); len(got) != 1 || !strings.HasPrefix(got[0], "on-call@example.org\ngatewayd: Alarm: The modem is down (m1) and 1 more\nALARM ") || !strings.Contains(got[0], "Code: modem-down (critical)") {
			t.Fatalf("%q", got)
		}
		w.restart(toAdmin(p, nil))
		w.pass(2 * time.Minute)
		w.plug(w.modems[0])
		w.pass(50 * time.Second) // it is over, and not told yet
		w.restart(toAdmin(p, nil))
		w.pass(3 * time.Minute)
		if got := box.Received(); len(got) != 2 || got[1] != "gatewayd: OVER modem-down m1: The modem is down." {
			t.Errorf("%q", got)
		}
		if got := p.got(); len(got) != 2 || !strings.Contains(got[1], "Over: The modem is down (m1)") {
			t.Errorf("%q", got)
		}
		w.pass(24 * time.Hour) // m2 is told again
		if got := box.Received(); len(got) != 3 || got[2] != "gatewayd: STILL modem-down m2: The modem is down." {
			t.Errorf("%q", got)
		}
	})
}

// What came and went within a minute is told to nobody; nor is what is not bad enough.
func TestLittleIsToldToNobody(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		p := &postbox{}
		w.restart(toAdmin(p, func(o *Options) { o.Alarms.Notices.Least = sms.SeverityCritical }))
		w.pass(2 * time.Minute)
		w.g.alarms.begin(diskFull, "", "The disk is full", "")
		w.pass(10 * time.Second)
		w.g.alarms.end(diskFull, "")
		w.g.alarms.begin(diskLow, "", "The disk is nearly full", "")
		w.pass(10 * time.Minute)
		if got, mails := w.net.Handset(admin).Received(), p.got(); len(got)+len(mails) != 0 {
			t.Errorf("%q %q", got, mails)
		}
		if len(w.alarmEvents()) != 3 {
			t.Errorf("%q", w.alarmEvents())
		}
	})
}

// Ten an hour and no more; what comes beyond is told together.
func TestNoticesAreLimited(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		p := &postbox{}
		w.restart(toAdmin(p, func(o *Options) { o.Alarms.Notices.PerHour = 4 }))
		w.pass(2 * time.Minute)
		for i := range 8 {
			w.g.alarms.begin(topUpDue, string(rune('a'+i)), "The SIM must be topped up", "")
			w.pass(3 * time.Minute)
		}
		if got := w.net.Handset(admin).Received(); len(got) != 4 {
			t.Errorf("%q", got)
		}
		w.pass(time.Hour)
		got := w.net.Handset(admin).Received()
		if len(got) != 5 || strings.Count(got[4], "ALARM") != 4 {
			t.Errorf("%q", got)
		}
	})
}

// With every modem down the text waits, and expires: nobody gets old ones. It is
// no reason for an alarm itself, and who said STOP gets none.
func TestNoticeOfABoxWithoutModems(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		p := &postbox{}
		w.restart(toAdmin(p, nil))
		w.pass(2 * time.Minute)
		w.modems[0].Unplug()
		w.pass(time.Hour)
		w.wantAlarms("begin modem-down m1") // and no queue-old
		if len(p.got()) != 1 {
			t.Errorf("%q", p.got())
		}
		w.pass(2 * time.Hour)
		w.plug(w.modems[0])
		w.pass(5 * time.Minute)
		got := w.net.Handset(admin).Received()
		if len(got) != 1 || !strings.Contains(got[0], "OVER") {
			t.Errorf("%q", got)
		}
		if err := w.net.Handset(admin).Send(w.modems[0].Number(), "STOP"); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		w.g.alarms.begin(topUpDue, "m1", "The SIM must be topped up", "")
		w.pass(5 * time.Minute)
		if n := len(w.net.Handset(admin).Received()); n != 1 || len(p.got()) != 3 {
			t.Errorf("after STOP %d texts, %q", n, p.got())
		}
		page, _, err := w.g.Queue().List(context.Background(), queue.Filter{Direction: sms.Outbound, Limit: 10})
		if err != nil || len(page) != 2 || page[0].Priority != 9 || page[1].Status != sms.Expired {
			t.Errorf("%v %+v", err, page)
		}
	})
}

type refusal struct{ error }

func (refusal) Permanent() bool { return true }

// An e-mail is tried again until the server takes it, over restarts too, and not
// once it was refused for good.
func TestMailIsTriedAgain(t *testing.T) {
	inWorld(t, 0, air(), func(w *world) {
		p := &postbox{fail: errors.New("connection refused")}
		more := func(o *Options) { o.Alarms.Notices.SMS = nil }
		w.restart(toAdmin(p, more))
		w.g.alarms.begin(diskLow, "", "The disk is nearly full", "Do it.")
		w.pass(time.Hour)
		w.restart(toAdmin(p, more))
		w.pass(time.Hour)
		p.set(nil)
		w.pass(20 * time.Minute)
		if got := p.got(); len(got) != 1 || !strings.Contains(got[0], "Do it.") || p.ids[0] != "alarm-1" {
			t.Errorf("%q %q", got, p.ids)
		}
		p.set(refusal{errors.New("550 no such user")})
		w.g.alarms.begin(topUpDue, "", "The power supply is too weak", "")
		w.pass(5 * time.Minute)
		p.set(nil)
		w.pass(2 * time.Hour)
		if got := p.got(); len(got) != 1 {
			t.Errorf("%q", got)
		}
	})
}

// A test tells everybody, and says what came of it.
func TestTestOfAlarms(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		p := &postbox{}
		w.restart(toAdmin(p, func(o *Options) {
			o.Alarms.Notices.Receivers = func() ([]string, []string) { return []string{admin, "+1"}, []string{"a@b.example"} }
		}))
		w.pass(time.Minute)
		p.set(errors.New("wrong password"))
		got := w.g.TestAlarms(context.Background())
		if len(got) != 3 || !got[0].OK || got[0].Message == nil || got[1].OK || got[1].Message != nil || got[2].OK || !strings.Contains(got[2].Result, "wrong password") {
			t.Errorf("%+v", got)
		}
		w.until(*got[0].Message, sms.Delivered, time.Minute)
	})
}

// The number of an admin who is erased is in no letter.
func TestErasedAdmin(t *testing.T) {
	inWorld(t, 0, air(), func(w *world) {
		w.restart(func(o *Options) { o.Alarms.Notices.SMS = []string{admin}; o.Queue.OutboundCapacity = 1 })
		w.submit(phone, "the queue is full")
		w.g.alarms.begin(topUpDue, "a", "The SIM must be topped up", "")
		w.pass(5 * time.Minute)
		count := func() (n int) {
			if err := w.g.database.Read(context.Background(), func(r db.Querier) error {
				return r.QueryRow(`SELECT count(*) FROM alarm_letters WHERE receiver = ?`, admin).Scan(&n)
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if count() != 1 {
			t.Fatal("no letter waits")
		}
		if _, err := w.g.Queue().EraseNumber(context.Background(), admin); err != nil {
			t.Fatal(err)
		}
		if count() != 0 {
			t.Error("the number is kept")
		}
	})
}

// beats counts what the dead-man signal asked.
type beats struct {
	mu     sync.Mutex
	n      int
	status int
	agent  string
}

func (b *beats) RoundTrip(req *http.Request) (*http.Response, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n, b.agent = b.n+1, req.UserAgent()
	return &http.Response{StatusCode: b.status, Status: http.StatusText(b.status), Body: io.NopCloser(strings.NewReader("OK")), Request: req}, nil
}

func (b *beats) asks() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.agent
}

func (b *beats) take(status int) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, b.n, b.status = b.n, 0, status
	return n
}

// The dead-man signal is given every minute, fails loudly, and stops when the
// writer is stuck.
func TestHeartbeat(t *testing.T) {
	inWorld(t, 0, air(), func(w *world) {
		b := &beats{status: 200}
		w.restart(func(o *Options) {
			o.Transport = b
			o.Alarms.Heartbeat = Heartbeat{URL: "https://hc.example/secret", Method: "POST"}
		})
		w.pass(10*time.Minute + time.Second)
		if n := b.take(503); n != 11 || b.asks() != "gatewayd/test" || w.g.heart.last.Load() < time.Now().Unix()-60 {
			t.Errorf("asked %d times as %q", n, b.asks())
		}
		w.pass(2 * time.Minute)
		w.wantAlarms()
		w.pass(time.Minute)
		w.wantAlarms("begin heartbeat-failing")
		if a := w.g.AlarmsNow(); !strings.Contains(a[0].Detail, "answered") || strings.Contains(a[0].Detail, "secret") {
			t.Errorf("%+v", a)
		}
		b.take(200)
		w.pass(3 * time.Minute)
		w.wantAlarms("begin heartbeat-failing", "end heartbeat-failing")

		free := make(chan struct{})
		go func() { _ = w.g.database.Write(func(*db.Tx) error { <-free; return nil }) }()
		w.pass(time.Minute)
		b.take(200)
		w.pass(10 * time.Minute)
		if n := b.take(200); n != 0 {
			t.Errorf("asked %d times though the writer is stuck", n)
		}
		close(free)
		w.pass(2 * time.Minute)
		if n := b.take(200); n == 0 {
			t.Error("not asked again")
		}
	})
}
