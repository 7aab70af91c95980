package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatewayd/sms"
)

const (
	lateAfter  = 30 * time.Second  // all troubles over, and still not at its end
	stuckAfter = 150 * time.Second // it never will be
)

// check lets a life without troubles finish what waits, then compares what
// clients were promised, what the network saw, what handsets sent and what the
// webhook receiver got, and the statuses that the API tells.
func (w *world) check(ctx context.Context) error {
	w.setTraffic(false)
	for _, m := range w.modems {
		m.ClearFaults()
		w.plug(m)
	}
	d, err := w.start("")
	if err != nil {
		return err
	}
	defer d.kill()
	began, late := time.Now(), false
	var open []string
	for {
		if d.dead() {
			return fmt.Errorf("world %d: the daemon ended by itself:\n%s", w.seed, w.tail())
		}
		err := w.readLog(ctx)
		if err == nil {
			if open = w.open(); len(open) == 0 {
				break
			}
		}
		switch took := time.Since(began); {
		case took > stuckAfter:
			w.stuck(open, err)
			return nil
		case took > lateAfter && !late:
			late = true
			w.lab.late(w, open)
		}
		sleep(ctx, 20*time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	w.lab.settled(time.Since(began))
	w.readNetwork()
	if err := w.compare(ctx); err != nil {
		return err
	}
	w.lives = nil
	return nil
}

// readLog follows the gateway's own event log.
func (w *world) readLog(ctx context.Context) error {
	for {
		var page struct {
			Events []struct { // of modems too
				Type string
				Data json.RawMessage
			}
			NextAfter int64 `json:"next_after"`
			Reset     bool
		}
		if err := w.get(ctx, fmt.Sprintf("/v1/events?after=%d&limit=500", w.logged), &page); err != nil {
			return err
		}
		if page.Reset && w.logged > 0 {
			w.blame("", disorder, "the event log no longer goes as far as it did: %d events had been read", w.logged)
		}
		for _, logged := range page.Events {
			if !strings.HasPrefix(logged.Type, "message.") {
				continue
			}
			var e event
			if err := json.Unmarshal(logged.Data, &e.Data); err != nil {
				return err
			}
			w.order[e.number()] = append(w.order[e.number()], told{e.Data.ID, e.Data.Status})
			w.final[e.Data.ID] = e.Data
		}
		w.logged = page.NextAfter
		if len(page.Events) == 0 {
			return nil
		}
	}
}

// open tells in words what is not at its end.
func (w *world) open() (all []string) {
	for _, m := range w.modems {
		if n := w.net.Waiting(m.Number()); n > 0 {
			all = append(all, fmt.Sprintf("the network has %d PDUs for %s", n, m.Name()))
		}
	}
	for i := range handsets {
		if n := w.net.Waiting(number(i)); n > 0 {
			all = append(all, fmt.Sprintf("the network has %d parts for %s", n, number(i)))
		}
	}
	for id, m := range w.final {
		if m.Direction == sms.Outbound && !final(m.Status) {
			all = append(all, fmt.Sprintf("%s (%s) is %s", tagOf(m.Text), id, m.Status))
		}
	}
	w.hook.mu.Lock()
	for i := range handsets {
		if want, got := w.order[number(i)], w.hook.order[number(i)]; len(got) != len(want) {
			all = append(all, fmt.Sprintf("of %d events of %s %d were told", len(want), number(i), len(got)))
		}
	}
	w.hook.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asking > 0 {
		all = append(all, fmt.Sprintf("%d requests have no 202", w.asking))
	}
	for tag, l := range w.letters {
		if !l.checked && len(l.taken) == 0 {
			all = append(all, fmt.Sprintf("the text %s of a handset was not told", tag))
		}
	}
	slices.Sort(all)
	return all
}

// stuck blames what never came to its end.
func (w *world) stuck(open []string, err error) {
	if err != nil {
		open = append(open, fmt.Sprintf("the log can't be read: %v", err))
	}
	for _, m := range w.modems {
		s := m.Status()
		open = append(open, fmt.Sprintf("%s is a %s, plugged in %v, and holds %v", m.Name(), s.Personality.Name, s.Present, s.Storage))
	}
	w.blame("", lost, "not at its end %v after the last kill: %s", stuckAfter, strings.Join(open, "; "))
	w.lab.retire(w)
}

// readNetwork reads what the network accepted since the last time.
func (w *world) readNetwork() {
	accepted := w.net.AcceptedAfter(w.seen)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range accepted {
		w.seen = s.Seq
		// The last part may be too short for a tag; it has the others' reference.
		set := fmt.Sprint(s.To, s.Ref, s.Parts)
		tag := tagOf(s.PartText())
		if tag == "" && s.Parts > 1 {
			tag = w.sets[set]
		} else {
			w.sets[set] = tag
		}
		m := w.messages[tag]
		if m == nil {
			w.blame(tag, untrue, "the network saw a part that nobody asked for: %q", s.PartText())
			continue
		}
		m.saw(s)
		m.whole = m.whole || s.Complete && s.Text == m.text
		m.checked = false
	}
}

// compare holds the four ledgers against each other.
func (w *world) compare(ctx context.Context) error {
	w.compareOrder()
	told, err := w.readAPI(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var t tally
	for _, tag := range sorted(w.messages) {
		if m := w.messages[tag]; !m.checked {
			w.judge(m, told[tag], &t)
			m.checked = true
		}
	}
	for _, tag := range sorted(w.letters) {
		if l := w.letters[tag]; !l.checked {
			w.judgeLetter(l, &t)
			l.checked = true
		}
	}
	w.lab.add(t)
	return nil
}

// readAPI gets every message that is not checked yet, by tag: more than one is
// one too many.
func (w *world) readAPI(ctx context.Context) (map[string][]sms.Message, error) {
	w.mu.Lock()
	wanted := map[string]bool{}
	for tag, m := range w.messages {
		if !m.checked {
			wanted[tag] = true
		}
	}
	w.mu.Unlock()
	all := map[string][]sms.Message{}
	for cursor, missing := "", len(wanted); missing > 0; {
		var page struct {
			Messages   []sms.Message
			NextCursor string `json:"next_cursor"`
		}
		if err := w.get(ctx, "/v1/messages?direction=outbound&limit=500"+cursor, &page); err != nil {
			return nil, err
		}
		for _, m := range page.Messages {
			tag := tagOf(m.Text)
			if wanted[tag] && len(all[tag]) == 0 {
				missing--
			}
			all[tag] = append(all[tag], m)
		}
		if page.NextCursor == "" {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(page.NextCursor)
	}
	return all, nil
}

// compareOrder holds what the receiver took, number by number, against the log:
// every event, once, in order.
func (w *world) compareOrder() {
	w.hook.mu.Lock()
	defer w.hook.mu.Unlock()
	for _, number := range sorted(w.order) {
		want, got := w.order[number], w.hook.order[number]
		n := min(len(want), len(got)) // an event may just have come: the next check looks at it
		for i := range n {
			if got[i] != want[i] {
				w.blame("", disorder, "event %d of %s was told as %v, and is %v in the log", i+1, number, got[i], want[i])
				break
			}
		}
		w.order[number], w.hook.order[number] = want[n:], got[n:]
	}
}
