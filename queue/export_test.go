package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatewayd/queue"
	"gatewayd/sms"
)

// Whatever erasing a number would erase is in its export, and nobody else's.
func TestExportHasAllThatIsKept(t *testing.T) {
	b := open(t, queue.Options{})
	ctx := context.Background()
	const number, other = "+491733333333", "+491744444444"
	for i, of := range []string{number, other} {
		m := b.submit(of, "out to "+of)
		b.begin(m, 1)
		b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 1 + i}, nil)
		long := b.texts(of, strings.Repeat("in from "+of+" ", 12), byte(9+i))
		b.receive("SM", 10*i+1, long[0])
		b.receive("SM", 10*i+2, long[1])
		b.receive("SM", 10*i+3, b.texts(of, strings.Repeat("c", 400), byte(20+i))[0]) // the rest never comes
		b.report(byte(50+i), of, 0)
		b.receive("SM", 10*i+4, b.texts(of, "STOP", 0)[0])
		if err := b.q.Append(sms.EventCall, sms.Call{Modem: "m", From: of, At: b.now}, nil); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int{}
	var order []string
	var whole strings.Builder
	err := b.q.ExportNumber(ctx, number, func(section string, row any) error {
		if got[section]++; got[section] == 1 {
			order = append(order, section)
		}
		if m, ok := row.(queue.ExportedMessage); ok && m.Message.Direction == sms.Inbound && len(m.PDUs) != m.Message.Parts {
			t.Errorf("%d PDUs of %d parts", len(m.PDUs), m.Message.Parts)
		} else if ok && m.Message.Direction == sms.Outbound && (len(m.Parts) != 1 || len(m.Events) != 3) {
			t.Errorf("%+v", m)
		}
		return json.NewEncoder(&whole).Encode(row)
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"messages": 3, "pdus": 2 /* the part, and the report itself */, "reports": 1, "calls": 1, "consent": 1, "consent_log": 1, "sims": 1}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("exported %v, want %v", got, want)
	}
	if want := slices.DeleteFunc(b.q.ExportSections(), func(s string) bool { return got[s] == 0 }); !slices.Equal(order, want) {
		t.Errorf("in the order %v, want %v", order, want)
	}
	if strings.Contains(whole.String(), other) || !strings.Contains(whole.String(), "out to "+number) {
		t.Error(whole.String())
	}
	kept, err := b.q.CountNumber(ctx, number)
	if err != nil || kept != (queue.Kept{Outbound: 1, Inbound: 2, Loose: 4, Stopped: true}) {
		t.Errorf("%+v, %v", kept, err)
	}
	if _, err := b.q.EraseNumber(ctx, number); err != nil {
		t.Fatal(err)
	}
	clear(got)
	if err := b.q.ExportNumber(ctx, number, func(section string, _ any) error { got[section]++; return nil }); err != nil || fmt.Sprint(got) != "map[consent:1 consent_log:1]" {
		t.Errorf("after it was erased: %v (%v)", got, err)
	}
}
