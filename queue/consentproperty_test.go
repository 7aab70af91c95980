package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// world is what the numbers have said, kept apart from the queue: what it hands to
// modems is held against this.
type world struct {
	*box
	rnd      *rand.Rand
	stopped  map[string]bool
	chats    map[string]*talk // by conversation
	accepted map[string]int   // by message: when
	jobs     map[int64]*queue.Job
	step     int
	trail    []string
	handed   int // messages that a modem got
	refused  int
}

// talk is a conversation that needs an opt-in. Each field is the last time that it was so.
type talk struct {
	number           string
	asked, yes, over int
	revived          bool // a STOP ended it that a START lifts
}

const confirmation = "You get no more messages from us. Reply START to get them again."

// Whatever is sent, said and restarted in whichever order: no message is handed to a
// modem after its number's STOP was stored, but the one that confirms it; and none that
// needs an opt-in without one that was asked for, given and not ended since.
func TestNothingPassesConsent(t *testing.T) {
	handed, refused := 0, 0
	for seed := range uint64(6) {
		w := &world{
			box: open(t, queue.Options{BatchSlice: 2, Consent: func() queue.ConsentRules { return queue.ConsentRules{Answers: queue.AnswersAll, PerOptIn: 2} }}),
			rnd: rand.New(rand.NewPCG(seed, 7)), stopped: map[string]bool{}, chats: map[string]*talk{}, accepted: map[string]int{}, jobs: map[int64]*queue.Job{},
		}
		for range 150 {
			w.step++
			w.trail = append(w.trail, w.something())
			if t.Failed() {
				t.Fatalf("seed %d:\n%s", seed, strings.Join(w.trail, "\n"))
			}
		}
		handed, refused = handed+w.handed, refused+w.refused
	}
	if handed < 100 || refused < 25 {
		t.Errorf("%d messages were handed to a modem and %d refused: too few to tell", handed, refused)
	}
}

func (w *world) something() string {
	w.t.Helper()
	ctx := context.Background()
	w.now = w.now.Add(time.Duration(1+w.rnd.IntN(30)) * time.Second)
	number := fmt.Sprintf("+49170000000%d", w.rnd.IntN(2))
	conversation := fmt.Sprintf("conv_%s_%d", number, w.rnd.IntN(2))
	c := w.chats[conversation]
	if c == nil {
		c = &talk{number: number}
		w.chats[conversation] = c
	}
	must := func(err error) {
		w.t.Helper()
		if err != nil && !errors.Is(err, queue.ErrConflict) {
			w.t.Error(err)
		}
	}
	switch n := w.rnd.IntN(24); {
	case n < 4:
		drafts := make([]queue.Draft, []int{1, 1, 1, 5}[w.rnd.IntN(4)])
		for i := range drafts {
			d := queue.Draft{Message: sms.Message{To: number, Text: strings.Repeat("x", 1+200*w.rnd.IntN(2)), Priority: 4, DeliveryReport: true}}
			switch w.rnd.IntN(6) {
			case 0:
				d.SendAt = w.now.Add(time.Minute)
			case 1: // as the door for Twilio's words makes them
				d.KeyID, d.Pin, d.Metadata = "AC1", "office", map[string]string{"twilio": "{}"}
			case 2:
				d.ExpiresAt = w.now.Add(3 * time.Minute)
			case 3, 4:
				d.Conversation, d.Consent = conversation, queue.ConsentInvite
			}
			drafts[i] = d
		}
		all, _, err := w.q.Submit(ctx, drafts, nil)
		must(err)
		for _, m := range all {
			w.accepted[m.ID] = w.step
		}
		return fmt.Sprintf("%d: %d messages to %s, in %s", w.step, len(drafts), number, conversation)
	case n < 6:
		var err error
		all, _, fault := w.q.Submit(ctx, []queue.Draft{{Consent: queue.ConsentInvite, Message: sms.Message{To: number, Text: "hi", Priority: 4, Conversation: conversation}}}, nil)
		must(errors.Join(err, fault))
		w.accepted[all[0].ID] = w.step
		return fmt.Sprintf("%d: %s says something", w.step, conversation)
	case n < 8:
		err := w.q.Do(func(tx *db.Tx) error {
			if err := w.q.AskOptInTx(tx, conversation, number, "8949", queue.Source{Wording: "YES?"}); err != nil {
				return err
			}
			m, err := w.q.SubmitTx(tx, queue.Draft{Consent: queue.ConsentInvitation, Message: sms.Message{To: number, Text: "YES?", Priority: 4, Conversation: conversation}})
			w.accepted[m.ID] = w.step
			return err
		})
		if err == nil {
			c.asked = w.step
		}
		must(err)
		return fmt.Sprintf("%d: %s is asked: %v", w.step, conversation, err)
	case n < 14:
		word := []string{"STOP", "quit", "START", "start", "YES", "ja", "yes!", "help", "hello"}[w.rnd.IntN(9)]
		w.say(number, word)
		w.hears(number, word)
		return fmt.Sprintf("%d: %s says %s", w.step, number, word)
	case n == 14:
		must(w.q.Do(func(tx *db.Tx) error { return w.q.EndOptInTx(tx, conversation, queue.ReasonIdle) }))
		if !w.stopped[number] { // else it is over already, and comes back with START
			c.over, c.revived = w.step, false
		}
		return fmt.Sprintf("%d: %s ends", w.step, conversation)
	case n == 15:
		w.restart()
		for number, is := range w.stopped {
			if stopped, err := w.isStopped(number); err != nil || stopped != is {
				w.t.Errorf("after a restart %s is stopped: %v (%v), want %v", number, stopped, err, is)
			}
		}
		return fmt.Sprintf("%d: restart", w.step)
	case n < 18:
		for _, due := range []func(time.Time) (time.Time, error){w.q.ReleaseDue, w.q.ExpireDue, w.q.SettleUnconfirmed, w.q.EndSilent} {
			_, err := due(w.now)
			must(err)
		}
		return fmt.Sprintf("%d: housekeeping", w.step)
	}
	return fmt.Sprintf("%d: %s", w.step, w.modem())
}

// hears is what a text means to the model.
func (w *world) hears(number, word string) {
	switch strings.ToLower(word) {
	case "stop", "quit":
		if !w.stopped[number] {
			for _, c := range w.chats {
				if c.number == number && max(c.asked, c.yes) > c.over {
					c.over, c.revived = w.step, true
				}
			}
		}
		w.stopped[number] = true
	case "start", "yes", "ja", "yes!":
		lifted := w.stopped[number]
		w.stopped[number] = false
		for _, c := range w.chats {
			if c.number != number {
				continue
			}
			if c.asked > c.over || lifted && c.revived || strings.EqualFold(word, "start") && c.asked > 0 {
				c.yes, c.revived = w.step, false
			}
		}
	}
}

func (w *world) isStopped(number string) (stopped bool, err error) {
	err = w.db.Read(context.Background(), func(r db.Querier) error {
		stopped, err = w.q.Stopped(r, number)
		return err
	})
	return stopped, err
}

// modem does what a modem may do with a message, also with one that it loaded long ago.
func (w *world) modem() string {
	w.t.Helper()
	ctx := context.Background()
	all, _, err := w.q.List(ctx, queue.Filter{Direction: sms.Outbound, Limit: 500, Status: []sms.Status{sms.Queued}})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(all) == 0 {
		return "nothing to send"
	}
	m := all[w.rnd.IntN(len(all))]
	job := w.jobs[m.Row]
	if job == nil || w.rnd.IntN(2) == 0 {
		if job, err = w.q.Job(ctx, m.Row, "8949"); err != nil {
			w.t.Fatal(err)
		}
		w.jobs[m.Row] = job
		if w.rnd.IntN(3) == 0 {
			return "a modem loads " + m.ID
		}
	}
	s := w.startOf(m, job.Next)
	s.Job, s.Ref = job, job.Ref
	ok, err := w.q.Advance(nil, s)
	if err != nil {
		w.t.Fatal(err)
	}
	if !ok {
		w.refused++
		return "refused " + m.ID + " to " + m.To
	}
	w.handed++
	delete(w.jobs, m.Row)
	w.permitted(m)
	v := &queue.Verdict{Row: m.Row, Part: job.Next, Fate: queue.Fate(max(0, w.rnd.IntN(7)-3)), MR: w.rnd.IntN(200), Err: &sms.Error{Code: "x"}}
	if v.Fate == queue.PartUnconfirmed {
		v.Err = nil
	}
	if _, err := w.q.Advance(v, nil); err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("handed %s to %s in %s, with fate %d", m.ID, m.To, m.Conversation, v.Fate)
}

// permitted holds a message that a modem got against what its number has said.
func (w *world) permitted(m sms.Message) {
	w.t.Helper()
	if w.stopped[m.To] && (m.Text != confirmation || m.Author == nil) {
		w.t.Errorf("message %s %q was handed to a modem after STOP", m.ID, m.Text)
	}
	if m.Conversation == "" || m.Text == "YES?" || m.Author != nil {
		return
	}
	c := w.chats[m.Conversation]
	if c.yes <= c.over || w.accepted[m.ID] < c.over {
		w.t.Errorf("message %s of %s (accepted %d) was handed to a modem without an opt-in: asked %d, given %d, ended %d", m.ID, m.Conversation, w.accepted[m.ID], c.asked, c.yes, c.over)
	}
	if o := w.optIn(m.Conversation); o.Used > 2 {
		w.t.Errorf("%d messages under one opt-in of 2", o.Used)
	}
}
