package sim

import (
	"bytes"
	"slices"
	"time"

	"github.com/warthog618/sms/encoding/tpdu"
)

// Submission is one SMS-SUBMIT that the network accepted. The ledger of them
// is what crash tests compare the gateway's promises with.
type Submission struct {
	Seq     int // 1, 2, 3 … in the order of acceptance
	At      time.Time
	Modem   string
	From    string // the SIM's number
	To      string // as it was dialled, with "+" if its type was international
	TOA     byte   // type of address of To
	MR      byte   // TP-MR that the modem gave it
	TPDU    []byte // as the gateway wrote it
	Report  bool   // a status report was asked for
	Class   int    // -1: none
	RefBits int    // 8 or 16; 0: a message of one part
	Ref     int
	Part    int // 1 to Parts
	Parts   int
	// Text or Data of the whole message, from the moment its last part was
	// accepted. A part that came again after that has neither.
	Text     string
	Data     []byte
	Complete bool
}

// ledger keeps the newest submissions.
type ledger struct {
	keep     int
	accepted []*Submission // pointers: growing copies little, for senders wait meanwhile
	seq      int
	sets     assembler
}

// Accepted returns what the network accepted so far, oldest first.
func (n *Network) Accepted() []Submission { return n.AcceptedAfter(0) }

// AcceptedAfter returns what the network accepted after the submission with
// that Seq.
func (n *Network) AcceptedAfter(seq int) []Submission {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.ledger.accepted
	if len(all) > 0 {
		all = all[min(max(seq-all[0].Seq+1, 0), len(all)):]
	}
	copies := make([]Submission, len(all))
	for i, e := range all {
		copies[i] = *e
	}
	return copies
}

func (l *ledger) add(e Submission, p *part) {
	l.seq++
	e.Seq = l.seq
	l.accepted = append(l.accepted, &e)
	if len(l.accepted) > l.keep+l.keep/4 { // seldom, so that the copying costs nothing
		l.accepted = append([]*Submission(nil), l.accepted[len(l.accepted)-l.keep:]...)
	}
	p.entries = []int{e.Seq}
	whole := l.sets.add(p)
	if whole == nil {
		return
	}
	t, data := text(whole)
	first := l.accepted[0].Seq
	for _, p := range whole {
		for _, seq := range p.entries {
			if i := seq - first; i >= 0 {
				e := l.accepted[i]
				e.Text, e.Data, e.Complete = t, data, true
			}
		}
	}
}

// slip is the SMSC's note that a sender wants a status report.
type slip struct {
	sender string // number
	mr     byte
	to     tpdu.Address
	scts   time.Time
}

// parcel is what the SMSC has for one phone: a part, a status report, or a
// raw PDU that a test brought.
type parcel struct {
	raw     []byte // PDU with the SMSC address, for modems
	part    *part  // for handsets; nil for reports and raw PDUs
	slip    *slip  // report to return, nil if none was asked for
	ready   time.Time
	expires time.Time // zero: never
	taken   func()    // called with n.mu held when the phone has it
}

// verdict is a phone's answer to a parcel.
type verdict int

const (
	taken   verdict = iota // it has it
	pending                // it will say later, by answered
	refused                // off, out of reach or full: try again later
)

// subscriber is a phone: a modem or a handset. offer is called without locks.
type subscriber interface {
	offer(p *parcel) verdict
}

// mailbox is what waits at the SMSC for one number. One parcel at a time is
// offered, the next when the phone has answered.
type mailbox struct {
	number string
	sub    subscriber
	queue  []*parcel
	busy   bool      // the head is being offered
	held   bool      // refused: waits for an alert or the retry time
	next   time.Time // of the next call of pump, zero if there will be none
}

// box returns a number's mailbox; a number that nobody has becomes a handset.
// Called with n.mu held, number normalised.
func (n *Network) box(number string) *mailbox {
	b := n.boxes[number]
	if b == nil {
		h := &Handset{net: n, number: number, on: true}
		n.handsets[number] = h
		b = &mailbox{number: number, sub: h}
		n.boxes[number] = b
		n.tell()
	}
	return b
}

// submit takes a part from a modem, or refuses it with a +CMS code. It is the
// moment from which the message is the network's. withReport asks for a
// status report that is returned at once instead of being sent later.
func (n *Network) submit(m *Modem, from string, s *submit, mr byte, reportNow bool) (cms int, report []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	dialled := s.t.DA.Number()
	to := n.normal(dialled)
	if to == "" || s.t.DA.TypeOfNumber() == tpdu.TonAlphanumeric {
		return 1, nil
	}
	fate := n.fates[to]
	if fate.CMS != 0 {
		return fate.CMS, nil
	}
	now := n.now()
	wantsReport := s.t.FirstOctet.SRR()
	p := partOf(&s.t, from, to, now)
	n.ledger.add(Submission{
		At: now, Modem: m.name, From: from, To: dialled, TOA: s.t.DA.TOA, MR: mr, TPDU: bytes.Clone(s.tpdu),
		Report: wantsReport, Class: p.class, RefBits: p.bits, Ref: p.ref, Part: max(p.seq, 1), Parts: max(p.total, 1),
	}, partOf(&s.t, from, to, now))
	n.tell()

	var note *slip
	if wantsReport && !fate.Silent {
		note = &slip{sender: from, mr: mr, to: s.t.DA, scts: now}
		if fate.ReportAs != "" {
			note.to = address(fate.ReportAs)
		}
	}
	reports := fate.Reports
	if note != nil && reportNow {
		var status byte
		if len(reports) > 0 {
			status, reports = reports[0], reports[1:]
		}
		report, _ = statusReport(n.opt.SMSC, note, status, now)
		if len(reports) == 0 {
			note = nil
		}
	}
	if fate.Reports != nil {
		for i, status := range reports {
			n.sendReport(note, status, time.Duration(i)*time.Second)
		}
		return 0, report
	}
	raw, err := n.deliverOf(&s.t, from, now)
	if err != nil { // it could be read, so it can be written
		return 38, nil
	}
	d := &parcel{raw: raw, part: p, slip: note, ready: now.Add(n.opt.Delivery)}
	if v := s.t.VP; v.Format == tpdu.VpfRelative && v.Duration > 0 {
		d.expires = now.Add(v.Duration)
	}
	n.post(n.box(to), d)
	return 0, report
}

// deliverOf makes the SMS-DELIVER of a submitted part.
func (n *Network) deliverOf(t *tpdu.TPDU, from string, now time.Time) ([]byte, error) {
	d := tpdu.TPDU{OA: address(from), PID: t.PID, DCS: t.DCS, SCTS: tpdu.Timestamp{Time: now}, UD: t.UD}
	if err := d.SetSmsType(tpdu.SmsDeliver); err != nil {
		return nil, err
	}
	d.FirstOctet |= 0x04
	if len(t.UDH) > 0 {
		d.SetUDH(t.UDH)
	}
	return withSMSC(n.opt.SMSC, &d)
}

// post puts a parcel into a mailbox. Called with n.mu held.
func (n *Network) post(b *mailbox, p *parcel) {
	at := len(b.queue)
	for at > 0 && p.ready.Before(b.queue[at-1].ready) && (at > 1 || !b.busy) {
		at--
	}
	b.queue = slices.Insert(b.queue, at, p)
	n.pumpAt(b, b.queue[0].ready)
	if !p.expires.IsZero() {
		n.clock.after(time.Until(p.expires), func() { n.expire(b, p) })
	}
}

// pumpAt has pump called at t, unless it will be called by then anyway.
// Called with n.mu held.
func (n *Network) pumpAt(b *mailbox, t time.Time) {
	if !b.next.IsZero() && !t.Before(b.next) {
		return
	}
	b.next = t
	n.clock.after(time.Until(t), func() {
		n.mu.Lock()
		if b.next.Equal(t) {
			b.next = time.Time{}
		}
		n.mu.Unlock()
		n.pump(b)
	})
}

// pump offers what is due to its phone, until the phone refuses or asks for time.
func (n *Network) pump(b *mailbox) {
	for {
		n.mu.Lock()
		if b.busy || b.held || len(b.queue) == 0 {
			n.mu.Unlock()
			return
		}
		head := b.queue[0]
		if time.Until(head.ready) > 0 {
			n.pumpAt(b, head.ready)
			n.mu.Unlock()
			return
		}
		b.busy = true
		n.mu.Unlock()

		v := b.sub.offer(head)
		if v == pending {
			return
		}
		n.mu.Lock()
		n.settle(b, v == taken)
		n.mu.Unlock()
	}
}

// answered is how a phone that asked for time says whether it took the parcel.
// It may hold its own lock.
func (n *Network) answered(number string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.boxes[number]; b != nil && b.busy {
		n.settle(b, ok)
		n.pumpAt(b, n.now())
	}
}

// settle ends an offer. Called with n.mu held.
func (n *Network) settle(b *mailbox, ok bool) {
	b.busy = false
	if !ok {
		b.held = true
		n.clock.after(n.opt.Retry, func() { n.alert(b.number) })
		return
	}
	head := b.queue[0]
	b.queue = slices.Delete(b.queue, 0, 1)
	if head.taken != nil {
		head.taken()
	}
	n.sendReport(head.slip, 0, 0)
}

// alert tells the SMSC that a phone is there again, or has memory again. The
// phone may hold its own lock.
func (n *Network) alert(number string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.boxes[number]; b != nil && b.held {
		b.held = false
		n.pumpAt(b, n.now())
	}
}

// expire gives up a parcel whose validity period is over.
func (n *Network) expire(b *mailbox, p *parcel) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, q := range b.queue {
		if q == p && (i > 0 || !b.busy) {
			b.queue = slices.Delete(b.queue, i, i+1)
			n.sendReport(p.slip, 0x46, 0)
			return
		}
	}
}

// sendReport sends a status report to the sender of the part that s notes; nil
// if none was asked for. Called with n.mu held.
func (n *Network) sendReport(s *slip, status byte, later time.Duration) {
	if s == nil {
		return
	}
	now := n.now()
	raw, err := statusReport(n.opt.SMSC, s, status, now)
	b := n.boxes[s.sender]
	if err != nil || b == nil {
		return
	}
	n.post(b, &parcel{raw: raw, ready: now.Add(n.opt.Report + later)})
}

// Inject has the SMSC deliver a raw PDU, SMSC address in front, to a number.
func (n *Network) Inject(number string, raw []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.post(n.box(n.normal(number)), &parcel{raw: bytes.Clone(raw), ready: n.now()})
}

// Waiting tells how many PDUs the SMSC holds for a number.
func (n *Network) Waiting(number string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.boxes[n.normal(number)]; b != nil {
		return len(b.queue)
	}
	return 0
}

// PartText is what this part alone says, as far as it can be read without the
// others: crash tests put a sign of its message into each part. It is "" for
// binary messages.
func (s Submission) PartText() string {
	r, err := readSubmit(append([]byte{0}, s.TPDU...), len(s.TPDU))
	if err != nil {
		return ""
	}
	t, _ := text([]*part{partOf(&r.t, s.From, s.To, s.At)})
	return t
}
