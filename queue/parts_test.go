package queue_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
)

// at moves the clock and gives the parts of a text that the service centre gets
// then.
func (b *box) at(after time.Duration, text string, ref byte) [][]byte {
	b.t.Helper()
	b.now = b.now.Add(after)
	return b.texts(phone, text, ref)
}

var long = [2]string{strings.Repeat("a", 200), strings.Repeat("b", 200)}

// A gateway that knows one reference only: a part was lost, and the second part
// of the next text comes before its first. What belongs together is told by the
// service centre's times.
func TestReusedReferenceOutOfOrder(t *testing.T) {
	b := open(t, queue.Options{})
	one := b.at(0, long[0], 1)
	b.receive("SM", 1, one[0])
	two := b.at(20*time.Minute, long[1], 1)
	b.receive("SM", 2, two[1])
	if n := len(b.inbound()); n != 0 {
		t.Fatalf("%d messages of parts that are 20 minutes apart", n)
	}
	b.receive("SM", 3, two[0])
	if got := b.inbound(); len(got) != 1 || got[0].Text != long[1] {
		t.Fatalf("%+v", got)
	}
	b.receive("SM", 4, one[1]) // late, but it is of that time
	if got := b.inbound(); len(got) != 2 || got[1].Text != long[0] {
		t.Fatalf("%+v", got)
	}
}

// A text whose parts were sent an hour apart is whole in the end: two sets that
// have just what the other lacks are one.
func TestSlowSender(t *testing.T) {
	b := open(t, queue.Options{AssemblyWait: 24 * time.Hour})
	b.receive("SM", 1, b.at(0, long[0], 1)[0])
	b.receive("SM", 2, b.at(time.Hour, long[0], 1)[1])
	b.now = b.now.Add(23 * time.Hour)
	if err := b.q.AssembleOverdue(b.now); err != nil {
		t.Fatal(err)
	}
	if got := b.inbound(); len(got) != 1 || got[0].Text != long[0] || got[0].Incomplete {
		t.Fatalf("%+v", got)
	}
	b.now = b.now.Add(48 * time.Hour)
	if err := b.q.AssembleOverdue(b.now); err != nil || len(b.inbound()) != 1 {
		t.Errorf("%d messages (%v)", len(b.inbound()), err)
	}
}

// A sender that got no answer sends a part again: it is the same, and leaves
// nothing behind that waits for ever.
func TestPartSentAgain(t *testing.T) {
	b := open(t, queue.Options{AssemblyWait: time.Hour})
	b.receive("SM", 1, b.at(0, long[0], 1)[0])
	again := b.at(time.Minute, long[0], 1)
	b.receive("SM", 2, again[0])
	b.receive("SM", 3, again[1])
	b.now = b.now.Add(2 * time.Hour)
	if err := b.q.AssembleOverdue(b.now); err != nil {
		t.Fatal(err)
	}
	if got := b.inbound(); len(got) != 1 || got[0].Text != long[0] || got[0].Incomplete {
		t.Fatalf("%+v", got)
	}
}

// The network tells a PDU again through another service centre, and no longer
// that more is waiting: it is the same PDU.
func TestToldAgain(t *testing.T) {
	b := open(t, queue.Options{AssemblyWait: time.Hour})
	again := func(raw []byte) []byte {
		raw = bytes.Clone(raw)
		raw[2] ^= 0x01 // a digit of the service centre
		raw[1+int(raw[0])] ^= 0x04
		return raw
	}
	whole := b.texts(phone, "hi", 0)[0]
	b.receive("SM", 1, whole)
	b.receive("SM", 2, again(whole))
	if got := b.inbound(); len(got) != 2 || !got[1].PossibleDuplicate {
		t.Fatalf("%+v", got)
	}
	parts := b.texts(phone, long[0], 1)
	b.receive("SM", 3, parts[0])
	b.receive("SM", 4, again(parts[0]))
	b.receive("SM", 5, parts[1])
	b.receive("SM", 6, again(parts[1])) // of what is complete by now
	b.now = b.now.Add(2 * time.Hour)
	if err := b.q.AssembleOverdue(b.now); err != nil {
		t.Fatal(err)
	}
	if got := b.inbound(); len(got) != 3 || got[2].Text != long[0] || got[2].PossibleDuplicate || got[2].Incomplete {
		t.Fatalf("%+v", got[2:])
	}
	// All of it again: it may be a repeat, and is not dropped.
	b.receive("SM", 7, again(parts[0]))
	b.receive("SM", 8, again(parts[1]))
	if got := b.inbound(); len(got) != 4 || got[3].Text != long[0] || !got[3].PossibleDuplicate {
		t.Fatalf("%+v", got[3:])
	}
}

// 5 of 8 bits is another reference than 5 of 16, and a part that can't be is
// shown alone. The PDUs are assembled by hand.
func TestWidthsAndImpossibleParts(t *testing.T) {
	const head = "00440B911234567890F1000462101121436500"
	b := open(t, queue.Options{})
	b.receive("SM", 1, unhex(t, head+"08 050003050201 4131"))
	b.receive("SM", 2, unhex(t, head+"09 06080400050202 4232"))
	if n := len(b.inbound()); n != 0 {
		t.Fatalf("%d messages", n)
	}
	b.receive("SM", 3, unhex(t, head+"09 06080400050201 4231"))
	b.receive("SM", 4, unhex(t, head+"08 050003050202 4132"))
	b.receive("SM", 5, unhex(t, head+"08 050003050200 4330")) // part 0 of 2
	b.receive("SM", 6, unhex(t, head+"08 050003050203 4333")) // part 3 of 2
	b.receive("SM", 7, unhex(t, head+"08 050003050101 4331")) // the only one
	var got []string
	for _, m := range b.inbound() {
		got = append(got, string(m.Data))
		if m.Incomplete {
			t.Errorf("%+v", m)
		}
	}
	if s := strings.Join(got, " "); s != "B1B2 A1A2 C0 C3 C1" {
		t.Error(s)
	}
}

// The other's last word counts, whichever report comes last: also of two that
// come before it is known what became of the part.
func TestStillTryingThenFinal(t *testing.T) {
	for name, reports := range map[string][]byte{"in order": {0x20, 0x00}, "out of order": {0x00, 0x30}, "many": {0x20, 0x30, 0x00, 0x00, 0x21}} {
		b := open(t, queue.Options{})
		m := b.sent(5)
		for _, st := range reports {
			b.now = b.now.Add(time.Hour)
			b.reportOf(5, b.now.Add(-time.Hour), st)
		}
		b.want(m.ID, sms.Delivered)
		b.wantTold(m.ID, "queued", "sending", "sent", "delivered")

		m = b.submit(reported, "x") // before +CMGS
		b.begin(m, 1)
		for _, st := range reports {
			b.reportOf(6, b.now, st)
		}
		b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 6}, nil)
		if got := b.message(m.ID); got.Status != sms.Delivered {
			t.Errorf("%s: %s", name, got.Status)
		}
	}
}

// Hours later, when its slot is long free, in the number's national form, and
// from another service centre than the part went through.
func TestReportHoursLate(t *testing.T) {
	b := open(t, queue.Options{ReportWait: time.Hour})
	m := b.sent(5)
	got := b.now
	b.now = b.now.Add(50 * time.Hour)
	if _, err := b.q.FreeReported(b.now); err != nil {
		t.Fatal(err)
	}
	if d := b.rings().Outbound.Depth; d != 0 {
		t.Fatalf("depth %d", d)
	}
	// TP-MR 5, to 0170 1234567 as the network dials it, TP-ST 0; by hand.
	raw := "0791 9471227210F4" + "06 05 0B81 1007214365F7" + scts(got) + scts(b.now) + "00"
	b.receive("SR", 1, unhex(t, raw))
	b.want(m.ID, sms.Delivered)
}

// scts is a time stamp in hex, in UTC.
func scts(t time.Time) string {
	digits := []byte(t.UTC().Format("060102150405") + "00")
	for i := 0; i < len(digits); i += 2 {
		digits[i], digits[i+1] = digits[i+1], digits[i]
	}
	return string(digits)
}

// A test message that comes in parts, as some networks and anybody may send it,
// is over like any other: nothing looks for it again.
func TestCanaryInParts(t *testing.T) {
	asked := 0
	b := open(t, queue.Options{AssemblyWait: time.Hour, Canary: func(text string) bool {
		if asked++; asked > 100 {
			panic("it is looked at for ever")
		}
		return text == long[0]
	}})
	parts := b.at(0, long[0], 1)
	b.receive("SM", 1, parts[0])
	b.receive("SM", 2, parts[1])
	b.now = b.now.Add(2 * time.Hour)
	if err := b.q.AssembleOverdue(b.now); err != nil {
		t.Error(err)
	}
	if got := b.inbound(); len(got) != 0 || asked != 1 {
		t.Errorf("it was looked at %d times, and is handed on: %+v", asked, got)
	}
}
