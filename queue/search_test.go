package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
)

func TestSearch(t *testing.T) {
	b := open(t, queue.Options{})
	for to, text := range map[string]string{
		"+491701234567": "Grüße aus KÖLN", "+491709999999": "100% wrong_way \\ back", "+4366412345": "plain", "12345": "to a short code",
	} {
		b.submit(to, text)
	}
	for _, raw := range b.texts("+491700000077", "written by hand", 1) {
		b.receive("SM", 1, raw)
	}
	for saying, want := range map[string]string{
		"4567": "+491701234567", "0170 123": "+491701234567", "+49 (170) 1234567": "+491701234567", "0049170123": "+491701234567", "0170-99": "+491709999999",
		"köln": "+491701234567", "KÖLN": "+491701234567", "grüße": "+491701234567", "GRÜẞE": "+491701234567", "aus": "+491701234567", "AUS": "+491701234567",
		"100%": "+491709999999", "g_w": "+491709999999", "w_w": "", `\ b`: "+491709999999", "%": "+491709999999", "PLAIN": "+4366412345",
		"77": "+491700000077", "by HAND": "+491700000077", "nobody": "", "'; DROP TABLE messages; --": "",
	} {
		found, err := b.q.Search(context.Background(), queue.Filter{Saying: saying})
		if err != nil || found.Next != "" {
			t.Errorf("%q: %v, next %q", saying, err, found.Next)
		}
		var got []string
		for _, m := range found.Messages {
			if m.Direction == sms.Inbound {
				m.To = m.From
			}
			got = append(got, m.To)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q finds %v, want %q", saying, got, want)
		}
	}
}

// However many messages there are, one request looks at so many, says how far it
// has looked, and the next goes on from there; together they miss none.
func TestSearchIsBounded(t *testing.T) {
	b := open(t, queue.Options{})
	for i := range 100 {
		b.submit(fmt.Sprintf("+4917012345%02d", i), fmt.Sprintf("number %d%s", i, map[bool]string{true: " needle"}[i%30 == 0]))
		b.now = b.now.Add(time.Minute)
	}
	// A gap in the rows costs no request of its own.
	for i := 40; i < 80; i++ {
		m := b.messageTo(fmt.Sprintf("+4917012345%02d", i))
		if _, err := b.q.Cancel(context.Background(), m.ID); err != nil {
			t.Fatal(err)
		}
		if err := b.q.EraseMessage(context.Background(), m.ID); err != nil {
			t.Fatal(err)
		}
	}
	var found []string
	f, asked := queue.Filter{Saying: "needle", Limit: 1}, 0
	for back := b.now; ; asked++ {
		got, err := b.q.SearchWithin(context.Background(), f, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got.Messages {
			found = append(found, m.Text)
		}
		if got.Next == "" {
			if !got.Back.IsZero() {
				t.Errorf("it has looked at all, and says back to %v", got.Back)
			}
			break
		}
		if !got.Back.Before(back) {
			t.Errorf("it has looked back to %v, after %v", got.Back, back)
		}
		f.Cursor, back = got.Next, got.Back
	}
	if strings.Join(found, ", ") != "number 90 needle, number 30 needle, number 0 needle" || asked > 8 {
		t.Errorf("%d requests found %v", asked, found)
	}
	// A day long ago is found at once.
	for i := range 100 {
		if i >= 40 && i < 80 {
			continue
		}
		at := b.now.Add(time.Duration(i-100) * time.Minute)
		got, err := b.q.SearchWithin(context.Background(), queue.Filter{Since: at, Until: at.Add(time.Minute)}, 3)
		if err != nil || len(got.Messages) != 1 || !got.Messages[0].CreatedAt.Equal(at) {
			t.Errorf("minute %d: %v, %v", i, got.Messages, err)
		}
	}
	// Behind since there is nothing to look at.
	got, err := b.q.SearchWithin(context.Background(), queue.Filter{Saying: "nothing", Since: b.now.Add(-5 * time.Minute)}, 10)
	if err != nil || got.Next != "" {
		t.Errorf("since: next %q, %v", got.Next, err)
	}
	if _, err := b.q.Search(context.Background(), queue.Filter{Cursor: "x"}); !errors.Is(err, queue.ErrBadCursor) {
		t.Errorf("a wrong cursor: %v", err)
	}
}

func (b *box) messageTo(number string) sms.Message {
	b.t.Helper()
	page, _, err := b.q.List(context.Background(), queue.Filter{To: number})
	if err != nil || len(page) != 1 {
		b.t.Fatalf("messages to %s: %v %v", number, page, err)
	}
	return page[0]
}

func TestHistory(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit("+491701234567", "x")
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartUnconfirmed}, nil)
	h, err := b.q.History(context.Background(), m.Row)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range h.Told {
		told = append(told, e.Type)
		if sms.EventOf(e.Message.Status) != e.Type {
			t.Errorf("%s shows a message that is %s", e.Type, e.Message.Status)
		}
	}
	if strings.Join(told, " ") != "message.queued message.sending message.unconfirmed" || h.Cut || h.Slot == nil || !h.DoubtEnds.Equal(b.now.Add(2*time.Minute)) {
		t.Errorf("history: %v %+v", told, h)
	}
	ids, upTo, err := b.q.Troubles(context.Background(), 0, 10)
	if err != nil || len(ids) != 1 || ids[0] != m.ID || upTo != 3 {
		t.Errorf("troubles: %v up to %d, %v", ids, upTo, err)
	}
	if ids, _, err = b.q.Troubles(context.Background(), upTo, 10); err != nil || len(ids) != 0 {
		t.Errorf("troubles after that: %v, %v", ids, err)
	}
	// It is sent again and goes out: its trace goes on.
	b.now = b.now.Add(3 * time.Minute)
	b.settle()
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 7}, nil)
	if ids, _, err = b.q.Troubles(context.Background(), upTo, 10); err != nil || len(ids) != 1 {
		t.Errorf("troubles once it went out: %v, %v", ids, err)
	}
	ok := b.submit("+491701234568", "y")
	b.begin(ok, 1)
	b.advance(&queue.Verdict{Row: ok.Row, Part: 1, Fate: queue.PartConfirmed, MR: 8}, nil)
	if ids, _, err = b.q.Troubles(context.Background(), 0, 10); err != nil || len(ids) != 1 {
		t.Errorf("troubles with one that went well: %v, %v", ids, err)
	}
}
