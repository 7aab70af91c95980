package chat

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// Wanted is a conversation that somebody wants.
type Wanted struct {
	To       string // the phone's number, as people write it
	Name     string // what its owner is called; "": not known
	OurName  string // whom the phone is told it writes with; "": the sender's name
	Mode     Mode   // "": whatever the number needs
	From     string // the SIM: a modem's name or number; "": any
	Team     string // whose it is; only of a sender who may do all
	Text     string // the first text; "": none
	ClientID string // of that text
	By       sms.Mode
	Subject  string
	Files    []string // with By and Subject as a Letter has them
}

// letter is what is to be said first.
func (w Wanted) letter() Letter { return Letter{w.Text, w.ClientID, w.By, w.Subject, w.Files} }

// empty tells whether there is nothing in a letter.
func (l Letter) empty() bool { return l.Text == "" && len(l.Files) == 0 }

// again is how long a phone that was asked is left to answer before it is asked again.
const again = 24 * time.Hour

// Begin finds the owner's live conversation with a number, or gives it a SIM, and sends
// the first text: at once, or after an invitation to which the phone says YES.
func (c *Chat) Begin(ctx context.Context, s Sender, w Wanted) (*Conversation, bool, error) {
	to, err := number.Parse(w.To, c.o.Region())
	if err != nil {
		return nil, false, fail(Invalid, "to", "%s", err)
	}
	if why := c.o.Desk.Refuses(s.Caller, to); why != "" {
		return nil, false, fail(Destination, "to", "The number %s.", why)
	}
	able, none := c.sims(w.From)
	if bad := (*Error)(nil); errors.As(none, &bad) && bad.Code == Invalid {
		return nil, false, none
	}
	who := s.owner()
	if s.All && s.Kind != sms.AuthorVisitor {
		who.Team = w.Team
	}
	if id, m, err := c.begun(ctx, s, to, who, w); id != "" || err != nil {
		if err != nil {
			return nil, false, err
		}
		v, err := c.Get(ctx, id)
		if err == nil {
			v.Sent = m
		}
		return v, false, err
	}
	p := parcel{Letter: w.letter()}
	if !p.empty() {
		if p, err = c.pack(ctx, to, p.Letter); err != nil {
			return nil, false, err
		}
	}
	var e *entry
	var created bool
	var sent *sms.Message
	err = c.allowed(ctx, s, to, p.checked(), func(tx *db.Tx) error {
		created, sent = false, nil
		if stopped, err := c.o.Queue.Stopped(tx, to); stopped || err != nil {
			return orOptedOut(err)
		}
		var err error
		if e, err = c.mine(tx, to, who, able, w.From != ""); err != nil {
			return err
		}
		if e == nil {
			if none != nil {
				return none
			}
			if e, err = c.create(tx, s, w, to, who, able); err != nil {
				return err
			}
			created = true
		}
		if w.Name != "" && e.Name == "" {
			e.Name = w.Name
			if err := c.save(tx, e); err != nil {
				return err
			}
		}
		if err := c.renamed(tx, e, s, w.OurName); err != nil {
			return err
		}
		sent, err = c.open(tx, e, s, p)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	v, err := c.Get(ctx, e.ID)
	if err == nil {
		v.Sent = sent
	}
	return v, created, err
}

// renamed notes that a stranger comes back under another name, if the phone is to be asked
// again: it is told the new one then. Who said YES said it to the name before.
func (c *Chat) renamed(tx *db.Tx, e *entry, s Sender, name string) error {
	if name == "" || name == e.OurName || s.Kind != sms.AuthorVisitor {
		return nil
	}
	o, err := c.o.Queue.OptInOf(tx, e.ID)
	if err != nil || o.Holds() || e.State == StateInvited {
		return err
	}
	e.OurName = name
	return c.save(tx, e)
}

// begun finds the conversation whose first text this is, handed in once more: what was
// charged and counted is not again, and no phone is asked again. "": it is a new one.
func (c *Chat) begun(ctx context.Context, s Sender, to string, who Owner, w Wanted) (id string, m *sms.Message, err error) {
	if w.ClientID == "" || w.letter().empty() {
		return "", nil, nil
	}
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		found, err := ofOwner(r, to, who)
		for _, e := range found {
			m, err = e.repeats(r, s, w.letter())
			switch {
			case errors.Is(err, queue.ErrKeyReused): // perhaps in another one; else it is said when it is sent
				m, err = nil, nil
			case err != nil:
				return err
			}
			if m != nil || e.awaits(s, w.Text, w.ClientID) {
				id = e.ID
				return nil
			}
		}
		return err
	})
	return id, m, err
}

// awaits tells whether a text waits for YES that the sender has handed in so.
func (e *entry) awaits(s Sender, text, clientID string) bool {
	return clientID != "" && e.pending == text && e.pendingBy != nil && e.pendingBy.KeyID == s.keyID() && e.pendingBy.ClientID == clientID
}

// ofOwner lists the conversations of an owner with a number, those first that are not closed.
func ofOwner(r db.Querier, to string, who Owner) ([]*entry, error) {
	return all(r, `WHERE c.number = ? AND c.team = ? AND c.visitor = ? AND c.deleted = 0 ORDER BY c.state = 'closed', c.place DESC LIMIT 20`, to, who.Team, who.Visitor)
}

// allowed runs what a sender wants to do, if the sender may. What admit writes down of a
// refusal stays.
func (c *Chat) allowed(ctx context.Context, s Sender, to, text string, do func(tx *db.Tx) error) error {
	var refused *Error
	err := c.o.Queue.Do(func(tx *db.Tx) error {
		refused = nil
		if err := c.admit(tx, s, to, text); errors.As(err, &refused) {
			return nil
		} else if err != nil {
			return err
		}
		return do(tx)
	})
	if err == nil && refused != nil {
		err = refused
	}
	return err
}

// mine is the conversation that somebody goes on with: one that is not closed, else the
// last one, if its SIM is free for it and works; nil: none.
func (c *Chat) mine(tx *db.Tx, to string, who Owner, able []SIM, asked bool) (*entry, error) {
	found, err := ofOwner(tx, to, who)
	if err != nil {
		return nil, err
	}
	for _, e := range found {
		works := false
		for _, s := range able {
			works = works || s.ID == e.SIM
		}
		if e.State != StateClosed {
			if asked && !works {
				continue // another SIM was asked for
			}
			return e, nil
		}
		if !works {
			continue
		}
		if taken, err := c.taken(tx, to, e.SIM, who, c.o.Now()); taken || err != nil {
			if err != nil {
				return nil, err
			}
			continue
		}
		c.reopen(e)
		return e, c.save(tx, e)
	}
	return nil, nil
}

// reopen goes on with a conversation that was closed.
func (c *Chat) reopen(e *entry) {
	e.move(reopened)
	c.follow(e)
	c.stir(e)
}

// create gives somebody's conversation with a number a SIM.
func (c *Chat) create(tx *db.Tx, s Sender, w Wanted, to string, who Owner, able []SIM) (*entry, error) {
	sim, err := c.free(tx, able, to, who)
	if err != nil {
		return nil, err
	}
	now := c.o.Now()
	e := &entry{activeAt: now, Conversation: Conversation{Number: to, Name: w.Name, OurName: w.OurName, SIM: sim.ID, Modem: sim.Modem, Local: sim.Local,
		Mode: w.Mode, State: StateIdle, Owner: who, Begun: string(s.Kind), CreatedAt: now, UpdatedAt: now}}
	if e.OurName == "" {
		e.OurName = s.Name
	}
	switch {
	case s.Kind == sms.AuthorVisitor:
		e.Mode = ByInvitation
	case e.Mode != "":
	case s.Kind == sms.AuthorKey:
		e.Mode = Transaction
	default:
		agreed, err := wroteFirst(tx, to)
		if err == nil && !agreed {
			agreed, err = c.o.Consented(tx, who.Team, to)
		}
		if err != nil {
			return nil, err
		}
		if e.Mode = ByInvitation; agreed {
			e.Mode = Transaction
		}
	}
	if e.Mode == Transaction {
		e.State = StateOpen
	}
	if s.Kind == sms.AuthorPerson {
		e.AssignedTo = s.ID
	}
	err = c.save(tx, e)
	if err == nil && w.Mode == Transaction {
		err = c.stated(tx, e, s)
	}
	if err != nil {
		return nil, err
	}
	return e, c.adopt(tx, e)
}

// wroteFirst tells whether a number wrote here by itself. What it says to an invitation,
// which may be that it wants none, lets nobody else write to it.
func wroteFirst(r db.Querier, number string) (bool, error) {
	asked := map[string]bool{}
	if err := ids(r, asked, `SELECT id FROM conversations WHERE mode = 'invite' AND number = ?`, number); err != nil {
		return false, err
	}
	return queue.HasWritten(r, number, slices.Collect(maps.Keys(asked))...)
}

// adopted is how many earlier messages a new conversation is given.
const adopted = 200

// adopt gives a team's conversation what was exchanged with its number through its SIM
// before. A stranger's gets nothing.
func (c *Chat) adopt(tx *db.Tx, e *entry) error {
	if e.Owner.Visitor != "" {
		return nil
	}
	if err := c.o.Queue.AdoptTx(tx, e.ID, e.Number, e.Modem, e.Local, adopted); err != nil {
		return err
	}
	row, err := queue.NewestRow(tx, e.ID)
	if err != nil || row == 0 {
		return err
	}
	e.lastRow, e.readUpTo = max(e.lastRow, row), max(e.readUpTo, row)
	return c.save(tx, e)
}

// open sends a conversation's first text, or asks the phone and keeps it until YES.
func (c *Chat) open(tx *db.Tx, e *entry, s Sender, p parcel) (*sms.Message, error) {
	o, err := c.o.Queue.OptInOf(tx, e.ID)
	switch {
	case err != nil:
		return nil, err
	case p.empty() && (e.State == StateBlocked || holds(e.Mode, o)):
		return nil, nil
	case e.State == StateBlocked:
		return nil, mayWrite(e)
	case p.via == sms.ViaInternet || holds(e.Mode, o):
		m, err := c.send(tx, e, s, p)
		return &m, err
	}
	return nil, c.invite(tx, e, s, o, p)
}

// Invite asks the phone again, and keeps a text, if there is one, until it says YES.
func (c *Chat) Invite(ctx context.Context, s Sender, id, text, clientID string) (*Conversation, error) {
	return c.Ask(ctx, s, id, Letter{Text: text, ClientID: clientID})
}

// Ask is Invite with a letter, which goes out by SMS.
func (c *Chat) Ask(ctx context.Context, s Sender, id string, l Letter) (*Conversation, error) {
	e, err := c.seen(ctx, s, id)
	if err != nil {
		return nil, err
	}
	var before *sms.Message // the phone may have said YES already, and the text be out
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		before, err = e.repeats(r, s, l)
		return err
	})
	if err != nil {
		return nil, err
	}
	if before != nil || e.awaits(s, l.Text, l.ClientID) {
		return c.Get(ctx, id)
	}
	p := parcel{Letter: l}
	if !l.empty() {
		if p, err = c.asWritten(ctx, l); err != nil {
			return nil, err
		}
	}
	err = c.allowed(ctx, s, e.Number, l.checked(), func(tx *db.Tx) error {
		e, err := c.writable(tx, s, id)
		if err != nil {
			return err
		}
		if stopped, err := c.o.Queue.Stopped(tx, e.Number); stopped || err != nil {
			return orOptedOut(err)
		}
		o, err := c.o.Queue.OptInOf(tx, id)
		if err != nil {
			return err
		}
		if e.Mode != ByInvitation {
			return fail(Invalid, "", "This conversation needs no invitation: write.")
		}
		if holds(e.Mode, o) {
			return fail(Invalid, "", "The phone has said YES already: write.")
		}
		return c.invite(tx, e, s, o, p)
	})
	if err != nil {
		return nil, err
	}
	return c.Get(ctx, id)
}

func (c *Chat) invite(tx *db.Tx, e *entry, s Sender, o *queue.OptIn, p parcel) error {
	text := p.Text
	if text == "" && len(p.Files) > 0 {
		return fail(NotOptedIn, "text", "The phone has to be asked first. Write some words that go with the files when it says YES.")
	}
	if text != "" {
		if e.pending != "" && e.pending != text {
			return fail(NotOptedIn, "text", "The phone was asked and has not said YES yet, and a text waits for that already.")
		}
		if _, err := c.draft(e, s, e.said(s, p), ""); err != nil { // so that what waits can go out
			return err
		}
		e.pending, e.pendingBy = text, &keptSender{s.Kind, s.ID, s.Name, s.SignOff, s.Address, s.keyID(), p.ClientID, p.Mode, p.Subject, p.Files}
	}
	if o != nil && o.State == queue.OptInAsked {
		lost, err := queue.InvitationLost(tx, e.ID)
		if err != nil {
			return err
		}
		if wait := o.AskedAt.Add(again).Sub(c.o.Now()); wait > 0 && wait <= again && !lost { // else the clock was set back
			if text != "" {
				return c.save(tx, e)
			}
			return &Error{Code: NotOptedIn, RetryAfter: wait, Detail: "The phone was asked and has not said YES yet. It can be asked again a day after that."}
		}
	}
	// What a stranger is called goes to somebody who has not agreed to anything.
	if k := c.abuse.rules.Load().keywords.in(e.OurName); k != "" {
		return &Error{Code: Keyword, Field: "our_name", Detail: fmt.Sprintf("The name has %q, which is not sent from here.", k)}
	}
	if err := c.admitInvitation(tx, s, e.Number); err != nil {
		return err
	}
	if s.Caller.Charge != nil {
		if err := s.Caller.Charge(tx, 1); err != nil {
			return err
		}
	}
	wording := strings.ReplaceAll(c.rules().Invitation, "{name}", e.OurName)
	if err := c.o.Queue.AskOptInTx(tx, e.ID, e.Number, e.SIM, queue.Source{Wording: wording, By: s.ID}); err != nil {
		return err
	}
	e.move(asked)
	c.stir(e)
	if err := c.save(tx, e); err != nil {
		return err
	}
	auto := Sender{Kind: sms.AuthorAuto, ID: s.ID, Name: e.OurName, Address: s.Address, KeyID: s.keyID(), Caller: intake.Caller{Rules: s.Caller.Rules}}
	d, err := c.draft(e, auto, wording, "")
	if err != nil {
		return err
	}
	d.Consent = queue.ConsentInvitation
	_, err = c.o.Queue.SubmitTx(tx, d)
	return err
}

func orOptedOut(err error) error {
	if err != nil {
		return err
	}
	return fail(OptedOut, "", "This phone asked for no more messages. It gets some again once it sends START.")
}
