package queue_test

import (
	"strings"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

const reported = "+491701234567"

// sent sends a message of one part; mr < 0: its answer is lost.
func (b *box) sent(mr int) sms.Message {
	b.t.Helper()
	m := b.submit(reported, "x")
	b.begin(m, 1)
	v := &queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: mr}
	if mr < 0 {
		v.Fate = queue.PartUnconfirmed
		b.now = b.now.Add(time.Minute)
	}
	b.advance(v, nil)
	return m
}

// reportOf is a report for what the service centre got at a time.
func (b *box) reportOf(mr byte, got time.Time, status byte) {
	b.t.Helper()
	b.receive("", -1, pdu.EncodeReport("+491710760000", pdu.Report{MR: mr, To: reported, SCTS: got, Discharge: b.now, Status: status}))
}

// A report is for the part that has its reference, not for a later one to the
// same number of which nobody knows the reference.
func TestReportAndALaterDoubt(t *testing.T) {
	b := open(t, queue.Options{})
	first := b.sent(5)
	at := b.now
	b.now = b.now.Add(10 * time.Second)
	doubtful := b.sent(-1)
	b.reportOf(5, at, 0)
	b.want(first.ID, sms.Delivered)
	b.want(doubtful.ID, sms.Unconfirmed)
	// Nor is its repetition.
	b.now = b.now.Add(time.Minute)
	b.reportOf(5, at, 0)
	b.want(doubtful.ID, sms.Unconfirmed)
}

// Without a reference number and time settle a doubt.
func TestReportSettlesByTime(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.sent(-1)
	b.reportOf(77, b.now.Add(-10*time.Minute), 0)
	b.want(m.ID, sms.Unconfirmed)
	b.reportOf(78, b.now.Add(3*time.Second), 0) // another was on the air by then
	b.want(m.ID, sms.Unconfirmed)
	b.reportOf(79, b.now.Add(-57*time.Second).In(time.FixedZone("", 2*3600)), 0)
	b.want(m.ID, sms.Delivered)
}

// A modem that refused a part may give its reference to the next. The report
// that comes before the next one's answer is booked is not the refused one's.
func TestReportAndAnUnusedReference(t *testing.T) {
	b := open(t, queue.Options{})
	doubtful := b.submit(reported, "x")
	s := b.startOf(doubtful, 1)
	s.ExpectedMR = 9
	b.advance(nil, s)
	b.advance(&queue.Verdict{Row: doubtful.Row, Part: 1, Fate: queue.PartUnconfirmed}, nil)
	b.now = b.now.Add(40 * time.Second)
	next := b.submit(reported, "y")
	b.begin(next, 1)
	at := b.now.Add(time.Second)
	b.now = b.now.Add(2 * time.Second)
	b.reportOf(9, at, 0)
	b.want(doubtful.ID, sms.Unconfirmed)
	b.advance(&queue.Verdict{Row: next.Row, Part: 1, Fate: queue.PartConfirmed, MR: 9}, nil)
	b.want(next.ID, sms.Delivered)
	b.want(doubtful.ID, sms.Unconfirmed)

	// One that never left waits for no report.
	third := b.submit(reported, "z")
	b.begin(third, 1)
	b.advance(&queue.Verdict{Row: third.Row, Part: 1, Fate: queue.PartRetry}, nil)
	b.now = b.now.Add(time.Second)
	b.reportOf(11, b.now, 0)
	b.want(third.ID, sms.Queued)
}

// A network that hears no acknowledgement tells a report again. The repetition
// is not another message's.
func TestRepeatedReport(t *testing.T) {
	b := open(t, queue.Options{})
	doubtful := b.sent(-1)
	b.now = b.now.Add(20 * time.Second)
	next := b.sent(3)
	at := b.now.Add(time.Second)
	for range 3 {
		b.now = b.now.Add(10 * time.Second)
		b.reportOf(3, at, 0)
	}
	b.want(next.ID, sms.Delivered)
	b.want(doubtful.ID, sms.Unconfirmed)
	b.wantTold(next.ID, "queued", "sending", "sent", "delivered")
	// Nor is it that of a part on the air.
	m := b.submit(reported, "x")
	b.begin(m, 1)
	b.reportOf(3, at, 0)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 3}, nil)
	b.want(m.ID, sms.Sent)
	b.reportOf(3, b.now, 0)
	b.want(m.ID, sms.Delivered)
}

// A report that came before the doubt settles it at once, also without a
// reference.
func TestEarlyReportSettles(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit(reported, "x")
	b.begin(m, 1)
	b.reportOf(9, b.now.Add(-time.Hour), 0) // an old one, told again
	at := b.now.Add(2 * time.Second)
	b.now = b.now.Add(5 * time.Second)
	b.reportOf(77, at, 0)
	b.want(m.ID, sms.Sending)
	b.now = b.now.Add(time.Minute)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartUnconfirmed}, nil)
	b.want(m.ID, sms.Delivered)
	b.wantTold(m.ID, "queued", "sending", "unconfirmed", "sent", "delivered")

	m = b.submit(reported, "y")
	b.begin(m, 1)
	b.reportOf(10, b.now.Add(-time.Hour), 0)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartUnconfirmed}, nil)
	b.want(m.ID, sms.Unconfirmed)
}

// References begin again after 256 parts; the time tells whose report it is.
func TestReportAfterWrapAround(t *testing.T) {
	b := open(t, queue.Options{})
	old := b.sent(5) // the phone is off for three days
	at := b.now
	b.now = b.now.Add(3 * 24 * time.Hour)
	fresh := b.sent(5)
	b.reportOf(5, at.Add(2*time.Second), 0)
	b.want(fresh.ID, sms.Sent)
	b.want(old.ID, sms.Delivered)
	b.reportOf(5, b.now.Add(2*time.Second), 0)
	b.want(fresh.ID, sms.Delivered)
}

// Of reports that came before the answer the one for its number counts.
func TestEarlyReportsOfTwoNumbers(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit(reported, "x")
	b.begin(m, 1)
	b.report(5, reported, 0)
	b.report(5, "+491709999999", 0)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 5}, nil)
	b.want(m.ID, sms.Delivered)
}

// A failed report for a first part does not tell the others as sent.
func TestFailedReportBetweenParts(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit(reported, strings.Repeat("abcdefghij", 40))
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 5}, b.startOf(m, 2))
	b.report(5, reported, 0x46)
	b.want(m.ID, sms.Undelivered)
	b.wantTold(m.ID, "queued", "sending", "undelivered")
	b.advance(&queue.Verdict{Row: m.Row, Part: 2, Fate: queue.PartConfirmed, MR: 6}, nil)
	if ok, err := b.q.Advance(nil, b.startOf(m, 3)); ok || err != nil {
		t.Errorf("the next part may start: %v %v", ok, err)
	}
}
