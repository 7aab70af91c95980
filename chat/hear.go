package chat

import (
	"strings"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// simOfNone stands for the SIM of a conversation that came by internet and got none: what
// is sent in it as SMS may go by any.
const simOfNone = "internet"

// receive gives a received message its conversation, before its row is written. What is
// no text belongs to one that there is, and begins none.
func (c *Chat) receive(tx *db.Tx, m *sms.Message, sim string) error {
	if m.From == "" || c.isBlocked(m.From) {
		return nil // it could not be read, or is to be read by nobody
	}
	find := c.listening
	if m.Via == sms.ViaInternet {
		find = c.answered
	}
	e, err := find(tx, m, sim)
	if err != nil || e == nil && m.Kind != sms.KindText {
		return err
	}
	fresh := e == nil
	if fresh {
		if e, err = c.begunByPhone(tx, m, sim); err != nil {
			return err
		}
	}
	m.Conversation = e.ID
	if m.Via == sms.ViaSMS {
		e.Modem, e.Local = m.Modem, m.To
	}
	e.lastRow = m.Row
	if e.State == StateBlocked {
		e.activeAt = c.o.Now()
		return c.save(tx, e) // it is kept, and calls nobody
	}
	e.Unread++
	c.stir(e)
	o, err := c.o.Queue.OptInOf(tx, e.ID)
	if err != nil {
		return err
	}
	if m.Via == sms.ViaInternet && e.State == StateClosed {
		other, err := liveOn(tx, e.Number, e.SIM)
		if err != nil {
			return err
		}
		if other != nil { // its SIM is another's by now: what it was answered stands in it, and it stays closed
			return c.save(tx, e)
		}
	}
	switch {
	case e.State == StateClosed && e.Owner.Visitor != "":
		e.move(reopened) // a late answer: it is not for the team's eyes
	case e.State == StateClosed || holds(e.Mode, o):
		e.move(heard)
	}
	return c.save(tx, e)
}

// listening is the conversation that a text is an answer in: the one that is not closed;
// else the one that the SIM still rests for, or the team's last one; nil: none.
func (c *Chat) listening(tx *db.Tx, m *sms.Message, sim string) (*entry, error) {
	e, err := liveOn(tx, m.From, sim)
	if e != nil || err != nil {
		return e, err
	}
	if sim == m.Modem || strings.Trim(sim, "0123456789") != "" {
		// It came before the modem has told which SIM it has: the one that it had.
		if e, err = one(tx, `WHERE c.number = ? AND c.modem = ? AND c.state <> 'closed' ORDER BY c.place DESC LIMIT 1`, m.From, m.Modem); e != nil || err != nil {
			return e, err
		}
	}
	return one(tx, `WHERE c.number = ? AND c.sim = ? AND c.deleted = 0 AND (c.active_at > ? OR c.visitor = '') ORDER BY c.active_at > ?3 DESC, c.place DESC LIMIT 1`,
		m.From, sim, ms(c.o.Now().Add(-rest)))
}

// answered is the conversation that a message by internet belongs to: the one of the
// message that it answers, whose id it brings; else the team's that has its sender's
// number, one that is not closed first; nil: there is none. A stranger's window shows
// what was answered to the stranger and nothing else.
func (c *Chat) answered(tx *db.Tx, m *sms.Message, _ string) (*entry, error) {
	e, err := byID(tx, m.Conversation)
	if m.Conversation = ""; err != nil || e != nil && e.Number == m.From {
		return e, err
	}
	return one(tx, `WHERE c.number = ? AND c.visitor = '' AND c.deleted = 0 ORDER BY c.state = 'closed', c.place DESC LIMIT 1`, m.From)
}

// begunByPhone makes the conversation of a text from a number that has none.
func (c *Chat) begunByPhone(tx *db.Tx, m *sms.Message, sim string) (*entry, error) {
	team, person, err := c.inbox(tx, m, sim)
	if err != nil {
		return nil, err
	}
	through := SIM{ID: sim, Modem: m.Modem, Local: m.To}
	if m.Via == sms.ViaInternet {
		// It has a SIM too: whoever answers may send SMS.
		able, _ := c.sims("")
		if through, err = c.free(tx, able, m.From, Owner{Team: team}); err != nil {
			through, err = SIM{ID: simOfNone}, nil // none that works, or none that is free
		}
	}
	now := c.o.Now()
	e := &entry{activeAt: now, Conversation: Conversation{Number: m.From, SIM: through.ID, Modem: through.Modem, Local: through.Local, Mode: Transaction, State: StateNew,
		Owner: Owner{Team: team}, AssignedTo: person, Begun: "phone", CreatedAt: now, UpdatedAt: now}}
	if err := c.save(tx, e); err != nil {
		return nil, err
	}
	return e, c.adopt(tx, e)
}

// heard does what a text asks for, once it is stored and counts for consent.
func (c *Chat) heard(tx *db.Tx, m *sms.Message, sim string) error {
	if m.Conversation == "" {
		return nil
	}
	word := c.o.Queue.WordOf(m.Text)
	if word.Kind == queue.WordStop || word.Kind == queue.WordStart {
		// These hold for every conversation with the number.
		if err := c.consentChanged(tx, m.From); err != nil {
			return err
		}
	}
	e, err := byID(tx, m.Conversation)
	if e == nil || err != nil {
		return err
	}
	if err := c.goBy(tx, e); err != nil {
		return err
	}
	if err := c.heardAbuse(tx, &e.Conversation, m, word); err != nil {
		return err
	}
	if word.Kind == queue.WordWho && m.Via == sms.ViaSMS { // an inbox shows by itself who is there
		return c.who(tx, e, m, sim)
	}
	if e, err = byID(tx, e.ID); e == nil || err != nil { // what was heard may have blocked it
		return err
	}
	return c.called(tx, e, m.Text)
}

// consentChanged brings a number's conversations to the states that their opt-ins say.
func (c *Chat) consentChanged(tx *db.Tx, number string) error {
	found, err := all(tx, `WHERE c.number = ? AND c.mode = 'invite' AND c.state NOT IN ('closed', 'blocked')`, number)
	for _, e := range found {
		if err == nil {
			err = c.goBy(tx, e)
		}
	}
	return err
}

// goBy brings a conversation to the state that its opt-in says, and sends what waited
// for that.
func (c *Chat) goBy(tx *db.Tx, e *entry) error {
	if e.Mode != ByInvitation {
		return nil
	}
	o, err := c.o.Queue.OptInOf(tx, e.ID)
	if o == nil || err != nil {
		return err
	}
	switch {
	case o.Holds() && e.move(agreed):
		c.stir(e)
	case o.State == queue.OptInEnded:
		e.move(ended)
	}
	if err := c.save(tx, e); err != nil || !o.Holds() {
		return err
	}
	return c.sendPending(tx, e)
}
