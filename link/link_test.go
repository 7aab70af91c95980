package link

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// id is the nth of some message ids.
func id(n int) string { return fmt.Sprintf("msg_01J%023d", n) }

func message(n int) mirror.Item {
	return mirror.Item{Message: &mirror.Message{ID: id(n), Address: n, Epoch: 1, To: "+4915112345" + fmt.Sprintf("%03d", n), Text: "hello", Priority: sms.DefaultPriority, CreatedAt: time.Now().Add(-time.Minute)}}
}

// A message is taken once, however often the link is cut, stands still or either side is
// started again; a full ring leaves the rest at the hub.
func TestMessagesAreTakenOnce(t *testing.T) {
	r := newRig(t)
	r.start()
	const n = 60
	for i := range n {
		r.put(message(i))
	}
	r.until("the ring is full", func() bool { return r.queue.FreeOutbound() == 0 })
	if w := r.waiting(); w < n-20-1 {
		t.Errorf("%d wait at the hub, want %d at least", w, n-20)
	}
	// Who makes room sends none: what is canceled is over.
	canceled := 0
	for step := 0; canceled < n; step++ {
		switch step {
		case 1, 5:
			r.proxy.cut()
		case 2:
			r.restart()
		case 3:
			r.proxy.set(false, true)
			time.AfterFunc(time.Second, func() { r.proxy.set(false, false) })
		case 4:
			r.restartServer()
		}
		before := canceled
		r.until("more is there", func() bool {
			for i := range n {
				if m, err := r.queue.Message(t.Context(), id(i)); err == nil && m.Status == sms.Queued {
					if _, err := r.queue.Cancel(t.Context(), id(i)); err == nil {
						canceled++
					}
				}
			}
			return canceled > before
		})
	}
	r.until("the hub has nothing left", func() bool { return r.waiting() == 0 })
	r.until("the hub knows of all", r.locked(func() bool {
		for i := range n {
			if s := r.states[id(i)]; len(s) == 0 || s[len(s)-1].Status != sms.Canceled {
				return false
			}
		}
		return true
	}))
	for i := range n {
		if s := r.states[id(i)]; len(s) != 2 || s[0].Status != sms.Queued || s[0].Address != i {
			t.Errorf("message %d: %+v", i, s)
		}
	}
}

// Events that pile up while the link is down are told in order, once, oldest first.
func TestEventsAreToldInOrder(t *testing.T) {
	r := newRig(t)
	r.proxy.set(true, false)
	r.start()
	const n = 700
	for i := range n {
		fatal(t, r.queue.Append(sms.EventAlarmBegin, sms.Alarm{Code: "test", Title: fmt.Sprint(i)}, nil))
		if i%100 == 50 {
			fatal(t, r.queue.AppendModemState(sms.Modem{Name: "office", Reason: fmt.Sprint(i)}))
		}
	}
	r.until("it is said why there is no link", func() bool { return r.link.Status().Error != "" })
	if got := r.link.Status().Untold; got < n {
		t.Errorf("%d untold", got)
	}
	r.proxy.set(false, false)
	r.until("some is told", r.locked(func() bool { return len(r.events) > 100 }))
	r.proxy.cut()
	r.until("more is told", r.locked(func() bool { return len(r.events) > 200 }))
	r.restart()
	r.until("more is told", r.locked(func() bool { return len(r.events) > 300 }))
	r.restartServer()
	r.until("all is told", func() bool { return r.link.Status().Untold == 0 })
	last := fmt.Sprintf(`"title":"%d"`, n-1)
	r.until("the hub has all", r.locked(func() bool { return len(r.events) > 0 && contains(string(r.events[len(r.events)-1].Alarm), last) }))
	r.mu.Lock()
	defer r.mu.Unlock()
	next, modems := 0, 0
	for _, e := range r.events {
		switch {
		case e.Modem != nil:
			modems++
		case !contains(string(e.Alarm), fmt.Sprintf(`"title":"%d"`, next)):
			t.Fatalf("after %d came %s", next-1, e.Alarm)
		default:
			next++
		}
	}
	if next != n || modems < 1 || modems > 5 { // of the states of a look the newest
		t.Errorf("%d alarms and %d modems", next, modems)
	}
	if r.log == "" || r.hellos[len(r.hellos)-1].Log != r.log {
		t.Errorf("log %q", r.log)
	}
}

// The stop list is told at the first link, and decisions travel both ways, not back.
func TestConsentTravels(t *testing.T) {
	r := newRig(t)
	opt := func(number string, by queue.Source) {
		t.Helper()
		fatal(t, r.queue.Do(func(tx *db.Tx) error { return r.queue.OptOutTx(tx, number, by) }))
	}
	for i := range 3 {
		opt(fmt.Sprintf("+49151000000%d", i), queue.Source{Reason: queue.ReasonWord, Wording: "STOP"})
	}
	r.start()
	told := func(number string) func() bool {
		return r.locked(func() bool {
			for _, e := range r.events {
				for _, c := range e.Consent {
					if c.Number == number && c.Stopped {
						return true
					}
				}
			}
			return false
		})
	}
	for i := range 3 {
		r.until("the stop list is told", told(fmt.Sprintf("+49151000000%d", i)))
	}
	r.mu.Lock()
	r.answer.Consent = []mirror.Consent{{Seq: 7, Number: "+4915177777777", Stopped: true, At: time.Now(), Reason: queue.ReasonWord}}
	r.mu.Unlock()
	fatal(t, r.nc.Publish(mirror.Wake(name), nil))
	r.until("the hub's decision holds", func() bool {
		stopped := false
		fatal(t, r.database.Read(t.Context(), func(q db.Querier) (err error) { stopped, err = r.queue.Stopped(q, "+4915177777777"); return err }))
		return stopped
	})
	r.until("the hub hears how far it came", r.locked(func() bool { return r.hellos[len(r.hellos)-1].Consent == 7 }))
	const stated = "+4915199999999" // by somebody at the gateway, which is no decision of the number's
	fatal(t, r.queue.Do(func(tx *db.Tx) error {
		return r.queue.StateTx(tx, stated, "", queue.Source{By: "usr_a", Wording: "Form"})
	}))
	opt("+4915188888888", queue.Source{Reason: queue.ReasonWord, Wording: "STOP"})
	r.until("a new one is told", told("+4915188888888"))
	r.mu.Lock()
	for _, e := range r.events {
		for _, c := range e.Consent {
			if c.Number == stated {
				t.Errorf("what was stated is told: %+v", c)
			}
		}
	}
	r.mu.Unlock()
	if told("+4915177777777")() {
		t.Error("what came from the hub was told to it")
	}
	r.mu.Lock()
	r.events = nil
	r.mu.Unlock()
	r.restart()
	opt("+4915199999999", queue.Source{Reason: queue.ReasonWord, Wording: "STOP"})
	r.until("a new one is told", told("+4915199999999"))
	if told("+4915100000001")() {
		t.Error("the stop list was told twice")
	}
}

// A half-open link is found, by hellos that nobody answers or by pings.
func TestHalfOpenLinkIsFound(t *testing.T) {
	r := newRig(t)
	r.start()
	r.until("it is up", func() bool { return r.link.Up() })
	r.proxy.set(false, true)
	r.until("it is found", func() bool { return !r.link.Up() })
	if s := r.link.Status(); s.Error == "" {
		t.Errorf("%+v", s)
	}
	r.proxy.set(false, false)
	r.until("it is up again", func() bool { return r.link.Up() })
	if s := r.link.Status(); s.Error != "" || s.Reconnects == 0 || s.Name != name {
		t.Errorf("%+v", s)
	}
}

// A hub behind a NATS that goes on is waited for without giving the connection up.
func TestHubIsAwayAndNATSIsThere(t *testing.T) {
	r := newRig(t)
	r.mu.Lock()
	r.silent = true
	r.mu.Unlock()
	r.start()
	r.until("it is said", func() bool { return contains(r.link.Status().Error, "the hub does not answer") })
	r.mu.Lock()
	r.silent = false
	r.mu.Unlock()
	r.until("it is up", func() bool { return r.link.Up() })
}

// Epoch and lease hold what the hub gave; without the hub a lease runs out.
func TestEpochAndLease(t *testing.T) {
	r := newRig(t)
	r.answer.Lease = 1
	r.start()
	r.put(message(1))
	r.until("it is here", func() bool {
		m, err := r.queue.Message(t.Context(), id(1))
		return err == nil && m.Status == sms.Queued
	})
	r.until("the lease holds", r.leased)
	r.mu.Lock()
	r.answer.Epoch = 2
	r.mu.Unlock()
	fatal(t, r.nc.Publish(mirror.Wake(name), nil))
	r.until("what is of the older epoch ends", func() bool {
		m, err := r.queue.Message(t.Context(), id(1))
		return err == nil && m.Status == sms.Canceled
	})
	r.until("the hub hears it", r.locked(func() bool {
		s := r.states[id(1)]
		return len(s) == 2 && s[1].Error != nil && s[1].Error.Code == "moved"
	}))
	r.proxy.set(true, false)
	r.proxy.cut()
	r.until("the lease runs out", func() bool { return !r.link.leased() })
	r.restart()
	if r.link.leased() {
		t.Error("a restart gives a lease")
	}
	r.proxy.set(false, false)
	r.until("the lease holds again", r.leased)
}

func (r *rig) leased() bool { return r.link.leased() }

// What is wrong with the credentials is said in words, and mended without a restart.
func TestCredentialsAreReadAnew(t *testing.T) {
	r := newRig(t)
	good, err := os.ReadFile(r.creds)
	fatal(t, err)
	fatal(t, os.WriteFile(r.creds, []byte("nothing"), 0o600))
	r.start()
	r.until("it is said", func() bool { return contains(r.link.Status().Error, "credentials", "gatewayd hub add-gateway") })
	fatal(t, os.WriteFile(r.creds, good, 0o600))
	r.until("it is up", func() bool { return r.link.Up() })
}

// What is received, and what goes by internet, is told with all that belongs to it; what
// the hub has of it comes back.
func TestArrivalsAndInboxes(t *testing.T) {
	r := newRig(t)
	content := strings.Repeat("0123456789", 7000) // three pieces
	r.options = func(o *Options) {
		o.File = func(_ context.Context, id string) (io.ReadCloser, error) {
			if id != "file_1" {
				return nil, os.ErrNotExist
			}
			return io.NopCloser(strings.NewReader(content)), nil
		}
	}
	r.start()
	// "hello" from +4915112345678.
	pdu, err := hex.DecodeString("0004" + "0D91" + "945111325476F8" + "0000" + "62117290000000" + "05" + "E8329BFD06")
	fatal(t, err)
	fatal(t, r.queue.Receive(sms.Incoming{Modem: "office", ICCID: "8949000000000000001", Number: "+49301", PDU: pdu, At: time.Now()}))
	sent, _, err := r.queue.Submit(t.Context(), []queue.Draft{{Message: sms.Message{To: "+4915112345678", Text: "a picture", Via: sms.ViaInternet, Mode: sms.ModeInternet, Subject: "s",
		Author: &sms.Author{Kind: sms.AuthorPerson, Name: "Ann"}, Files: []sms.File{{ID: "file_1", Name: "a.png", Type: "image/png", Size: int64(len(content))}, {ID: "file_2", Name: "lost"}}}}}, nil)
	fatal(t, err)
	var arrived *mirror.Arrived
	var inbox *mirror.Inbox
	var got []byte
	r.until("both are told", r.locked(func() bool {
		arrived, inbox, got = nil, nil, nil
		for _, e := range r.events {
			switch {
			case e.Arrived != nil:
				arrived = e.Arrived
			case e.Chunk != nil && inbox == nil && e.Chunk.Offset == int64(len(got)):
				got = append(got, e.Chunk.Data...)
			case e.Inbox != nil:
				inbox = e.Inbox
			}
		}
		return arrived != nil && inbox != nil
	}))
	if m := arrived.Message; m.Text != "hello" || m.From != "+4915112345678" || arrived.SIM != "8949000000000000001" || arrived.Mirror != 0 || !arrived.Dialled {
		t.Errorf("%+v", arrived)
	}
	if inbox.ID != sent[0].ID || inbox.Name != "Ann" || inbox.Text != "a picture" || inbox.Subject != "s" || inbox.BySMS || len(inbox.Files) != 2 || string(got) != content {
		t.Errorf("%+v and %d bytes", inbox, len(got))
	}
	address := 17
	reply := id(99)
	r.put(mirror.Item{Receipts: []mirror.Receipt{{ID: arrived.Message.ID, Address: &address}, {ID: sent[0].ID, Copy: sms.CopySent}, {ID: "msg_nobody", Copy: sms.CopySent}}})
	r.put(mirror.Item{Reply: &mirror.Reply{ID: reply, From: "+4915112345678", Name: "Bob", Text: "nice", At: time.Now(), To: sent[0].ID}})
	r.put(mirror.Item{Receipts: []mirror.Receipt{{ID: sent[0].ID, ReadAt: time.Now()}}})
	r.until("the reply is here", func() bool { m, err := r.queue.Message(t.Context(), reply); return err == nil && m.Text == "nice" })
	r.until("it was read", func() bool {
		m, err := r.queue.Message(t.Context(), sent[0].ID)
		return err == nil && m.Status == sms.Delivered
	})
	var slots mirror.CommandAnswer
	r.command(mirror.CommandRequest{Mirror: &mirror.Slice{Limit: 10}}, &slots)
	if len(slots.Slots) != 1 || slots.Slots[0].Address != 17 || slots.Slots[0].Direction != sms.Inbound || slots.More {
		t.Errorf("%+v", slots)
	}
	r.until("nothing waits", func() bool { return r.waiting() == 0 && r.link.Status().Untold == 0 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if slots.Newest > r.seq {
		t.Errorf("the hub waits for %d and gets no more than %d", slots.Newest, r.seq)
	}
	for _, e := range r.events {
		if e.Arrived != nil && e.Arrived.Message.ID == reply {
			t.Error("what came from an inbox was told as received")
		}
	}
}

// A thin link carries a file that it takes long for: what is on its way at once leaves room
// for the pings by which a dead link is found. On its way at once it would take longer than
// three pings are waited for, which are as long apart as no busy machine delays them.
func TestFileOnAThinLink(t *testing.T) {
	r := newRig(t)
	r.times.ping, r.times.answer = 2*time.Second, 5*time.Second
	content := strings.Repeat("0123456789", 50000)
	r.options = func(o *Options) {
		o.File = func(context.Context, string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)), nil
		}
	}
	r.start()
	r.until("it is up", func() bool { return r.link.Up() })
	r.proxy.thin.Store(64 << 10)
	_, _, err := r.queue.Submit(t.Context(), []queue.Draft{{Message: sms.Message{To: "+4915112345678", Text: "a film", Via: sms.ViaInternet, Mode: sms.ModeInternet,
		Files: []sms.File{{ID: "file_1", Name: "a.mp4", Type: "video/mp4", Size: int64(len(content))}}}}}, nil)
	fatal(t, err)
	r.within(time.Minute, "it is told", r.locked(func() bool { return len(r.events) > 0 && r.events[len(r.events)-1].Inbox != nil }))
	if n := r.link.Status().Reconnects; n > 0 {
		t.Errorf("the link was given up %d times", n)
	}
}

// command asks the gateway, once it is there: it may be dialling again just now.
func (r *rig) command(c mirror.CommandRequest, a *mirror.CommandAnswer) {
	r.t.Helper()
	b, err := json.Marshal(c)
	fatal(r.t, err)
	var m *nats.Msg
	r.until("somebody takes the command", func() bool {
		m, err = r.nc.Request(mirror.Command(name), b, 5*time.Second)
		return !errors.Is(err, nats.ErrNoResponders)
	})
	fatal(r.t, err)
	fatal(r.t, json.Unmarshal(m.Data, a))
}

// The hub cancels, and asks what a gateway can't do.
func TestCommands(t *testing.T) {
	r := newRig(t)
	r.options = func(o *Options) {
		o.Reset = func(m string) error { return errors.New(m + ": it is not in use") }
	}
	r.start()
	r.put(message(1))
	r.until("it is here", func() bool {
		m, err := r.queue.Message(t.Context(), id(1))
		return err == nil && m.Status == sms.Queued
	})
	var a mirror.CommandAnswer
	if r.command(mirror.CommandRequest{Cancel: id(1)}, &a); a.Status != sms.Canceled || a.Error != "" {
		t.Errorf("%+v", a)
	}
	for want, c := range map[string]mirror.CommandRequest{
		"does not have": {Cancel: id(2)}, "office: it is not in use": {Reset: "office"}, "older than its hub": {},
		"digits": {USSD: &mirror.USSD{Modem: "office", Step: sms.USSD{Code: "rm -rf"}}},
	} {
		var a mirror.CommandAnswer
		if r.command(c, &a); !contains(a.Error, want) {
			t.Errorf("%+v: %+v", c, a)
		}
	}
}

// A configuration is applied once, and what can't be is told in words.
func TestConfigurationIsAppliedOrRefused(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	var applied []int64
	r.options = func(o *Options) {
		o.Apply = func(_ context.Context, c mirror.Configuration) error {
			mu.Lock()
			defer mu.Unlock()
			if applied = append(applied, c.Version); c.Version == 2 {
				return errors.New("default_region is set in the configuration file")
			}
			return nil
		}
	}
	set := func(version int64) {
		r.mu.Lock()
		r.answer.Configuration = &mirror.Configuration{Version: version}
		r.mu.Unlock()
	}
	heard := func(version int64, why string) func() bool {
		return r.locked(func() bool {
			n := len(r.hellos)
			return n > 0 && r.hellos[n-1].Configuration == version && contains(r.hellos[n-1].ConfigError, why)
		})
	}
	set(1)
	r.start()
	r.until("the first holds", heard(1, ""))
	set(2)
	r.until("the second is refused", heard(1, "configuration file"))
	said := 0
	r.until("more hellos", r.locked(func() bool {
		if said == 0 {
			said = len(r.hellos)
		}
		return len(r.hellos) >= said+3
	}))
	set(3)
	r.until("the third holds", heard(3, ""))
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(applied) != "[1 2 3]" {
		t.Errorf("applied %v", applied)
	}
}

// A hub without consumers answers pulls itself.
func TestPullByRequest(t *testing.T) {
	r := newRig(t)
	r.answer.Pull = "request"
	var mu sync.Mutex
	waiting := map[uint64]mirror.Item{}
	for i := range 40 {
		waiting[uint64(i+1)] = message(i)
	}
	most := 0
	_, err := r.nc.Subscribe(mirror.PullSubject(name), func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		var p mirror.PullRequest
		if err := json.Unmarshal(m.Data, &p); err != nil {
			t.Error(err)
		}
		for _, seq := range p.Have {
			delete(waiting, seq)
		}
		var a mirror.PullAnswer
		for seq, i := range waiting {
			if len(a.Items) == p.Free {
				break
			}
			b, _ := json.Marshal(i)
			a.Items = append(a.Items, mirror.Pulled{Seq: seq, Item: b})
		}
		most = max(most, len(a.Items))
		b, _ := json.Marshal(a)
		m.Respond(b)
	})
	fatal(t, err)
	r.start()
	left := func() int { mu.Lock(); defer mu.Unlock(); return len(waiting) }
	r.until("the ring is full and told", func() bool { return left() == 20 })
	r.proxy.cut()
	canceled := 0
	r.until("all is taken", func() bool {
		for i := range 40 {
			if m, err := r.queue.Message(t.Context(), id(i)); err == nil && m.Status == sms.Queued {
				if _, err := r.queue.Cancel(t.Context(), id(i)); err == nil {
					canceled++
				}
			}
		}
		return left() == 0
	})
	mu.Lock()
	defer mu.Unlock()
	if most > 20 {
		t.Errorf("%d at once", most)
	}
}

func TestWords(t *testing.T) {
	for want, err := range map[string]error{
		"hub.ca_file": x509.UnknownAuthorityError{}, "does not accept this gateway's credentials": nats.ErrAuthorization, "have expired": nats.ErrAuthExpired,
		"revoked": nats.ErrAuthRevoked, "does not speak TLS": nats.ErrSecureConnWanted, "nothing listens": &net.OpError{Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"can't be resolved": &net.DNSError{Name: "hub.example"}, "in time": nats.ErrTimeout, "half a minute": nats.ErrStaleConnection, "no hub answers": &errNoAnswer{nats.ErrNoResponders},
	} {
		if got := words(fmt.Errorf("x: %w", err)); !contains(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
}
