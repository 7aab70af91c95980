package chat_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/chat"
	"gatewayd/queue"
	"gatewayd/sms"
)

// phones is what phones have said, kept apart from the queue and the chat: what modems
// get is held against it. Each number of talks is the last step at which it was so.
type phones struct {
	*world
	random  *rand.Rand
	step    int
	stopped map[string]bool
	talks   map[string]*agreement // by conversation, of those that ask first
	went    int
	refused int
}

type agreement struct {
	number           string
	asked, yes, over int
}

// Whatever people, strangers and programs send, phones say and restarts come between: no
// message is handed to a modem after its number's STOP was stored, but the one that
// confirms it; none of a conversation that asks first without a YES since it was asked
// and not over since; and each text is in the conversation of its number and its SIM.
func TestNothingPassesConsentByChat(t *testing.T) {
	went, refused := 0, 0
	for seed := range uint64(3) {
		p := &phones{world: newWorld(t, 3), random: rand.New(rand.NewPCG(seed, 11)), stopped: map[string]bool{}, talks: map[string]*agreement{}}
		p.set(func(r *chat.AbuseRules) { r.Limits, r.SameText, r.Thresholds = chat.Limits{}, 0, chat.Thresholds{} })
		for p.step = 1; p.step <= 150 && !t.Failed(); p.step++ {
			p.now = p.now.Add(time.Duration(1+p.random.IntN(300)) * time.Second)
			what := p.something()
			if t.Failed() {
				t.Errorf("seed %d, step %d: %s", seed, p.step, what)
			}
		}
		went, refused = went+p.went, refused+p.refused
	}
	if went < 100 || refused < 20 {
		t.Errorf("%d messages went out and %d were refused: too few to tell", went, refused)
	}
}

func (p *phones) something() string {
	p.t.Helper()
	senders := []chat.Sender{person("anna", ""), person("bert", "sales"), visitor("v1"), visitor("v2")}
	s, number := senders[p.random.IntN(len(senders))], mobile(p.random.IntN(2))
	allowed := func(err error) {
		p.t.Helper()
		var no *chat.Error
		if err != nil && !errors.As(err, &no) {
			p.t.Error(err)
		}
	}
	live, _, err := p.List(ctx, chat.Filter{Number: number, Limit: 20})
	if err != nil {
		p.t.Fatal(err)
	}
	live = slices.DeleteFunc(live, func(v chat.Conversation) bool { return !s.May(&v) })
	text := fmt.Sprint("text ", p.step)
	switch n := p.random.IntN(20); {
	case n < 3:
		v, _, err := p.Begin(ctx, s, chat.Wanted{To: number, Mode: chat.ByInvitation, Text: text})
		allowed(err)
		p.noteAsked(v)
		return fmt.Sprintf("%s begins with %s: %v", s.ID, number, err)
	case n < 7 && len(live) > 0:
		v := live[p.random.IntN(len(live))]
		_, err := p.Send(ctx, s, v.ID, text, "")
		if allowed(err); err != nil {
			again, invited := p.Invite(ctx, s, v.ID, text, "")
			allowed(invited)
			p.noteAsked(again)
		}
		return fmt.Sprintf("%s sends to %s in %s: %v", s.ID, number, v.ID, err)
	case n == 7 && len(live) > 0:
		v := live[p.random.IntN(len(live))]
		_, err := p.Close(ctx, s, v.ID)
		allowed(err)
		if a := p.talks[v.ID]; a != nil {
			a.over = p.step
		}
		return fmt.Sprintf("%s closes %s", s.ID, v.ID)
	case n < 10:
		batch := make([]queue.Draft, []int{1, 1, 1, 1, 1, 26}[p.random.IntN(6)])
		for i := range batch {
			batch[i] = queue.Draft{Message: sms.Message{To: number, Text: text, Priority: 4}, KeyID: "shop"}
		}
		if _, _, err := p.q.Submit(ctx, batch, nil); err != nil {
			p.t.Error(err)
		}
		return fmt.Sprintf("%d of a program to %s", len(batch), number)
	case n < 15:
		word := []string{"STOP", "START", "YES", "ja", "yes", "hello"}[p.random.IntN(6)]
		modem := p.modems[p.random.IntN(len(p.modems))]
		if len(live) > 0 {
			modem, _ = p.modems.Get(live[0].Modem)
		}
		m := p.says(number, modem.Name, word)
		if v, err := p.Get(ctx, m.Conversation); err != nil || v.Number != number || v.SIM != modem.ICCID {
			p.t.Errorf("%q from %s to %s is in %+v (%v)", word, number, modem.ICCID, v, err)
		}
		p.hears(number, word)
		return fmt.Sprintf("%s says %s to %s", number, word, modem.Name)
	case n == 15:
		p.due()
	case n == 16:
		p.restart()
	default:
		return p.modem() + ", " + p.modem() + ", " + p.modem()
	}
	return "due, or a restart"
}

func (p *phones) noteAsked(v *chat.Conversation) {
	if v == nil || v.Mode != chat.ByInvitation {
		return
	}
	if p.talks[v.ID] == nil {
		p.talks[v.ID] = &agreement{number: v.Number}
	}
	p.talks[v.ID].asked = p.step
}

func (p *phones) hears(number, word string) {
	yes := word != "hello" && word != "STOP"
	if word != "hello" {
		p.stopped[number] = !yes
	}
	for _, a := range p.talks {
		if a.number == number && yes && a.asked > 0 {
			a.yes = p.step
		} else if a.number == number && word == "STOP" {
			a.over = p.step
		}
	}
}

// modem hands out one message that waits.
func (p *phones) modem() string {
	p.t.Helper()
	page, _, err := p.q.List(ctx, queue.Filter{Direction: sms.Outbound, Status: []sms.Status{sms.Queued}, Limit: 100})
	if err != nil {
		p.t.Fatal(err)
	}
	if len(page) == 0 {
		return "nothing waits"
	}
	m := page[p.random.IntN(len(page))]
	if !p.onAir(m) {
		p.refused++
		return "refused " + m.Text
	}
	p.went++
	confirms := m.Author != nil && m.Author.Kind == sms.AuthorAuto && strings.HasPrefix(m.Text, "You get no more")
	if p.stopped[m.To] && !confirms {
		p.t.Errorf("%q to %s was handed to a modem after STOP", m.Text, m.To)
	}
	a := p.talks[m.Conversation]
	if written := m.Author != nil && m.Author.Kind != sms.AuthorAuto; written && a != nil && a.yes <= a.over {
		p.t.Errorf("%q in %s was handed to a modem without YES: asked %d, YES %d, over %d", m.Text, m.Conversation, a.asked, a.yes, a.over)
	}
	return "went out: " + m.Text
}
