package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// Prefix is what the texts of a conversation begin with: a stranger's texts say whose
// they are. "": nothing.
func (v *Conversation) Prefix() string {
	if v.Mode != ByInvitation || v.OurName == "" {
		return ""
	}
	return v.OurName + ": "
}

// said is a text as its recipient reads it, with the sign-off of a person who did not
// write it already. By SMS it stands behind the name, in a stranger's conversation, and
// wherever a mode was chosen: its copy, or the next one, may come without a number.
func (e *entry) said(s Sender, p parcel) string {
	text := p.Text
	if s.Kind == sms.AuthorPerson && s.SignOff != "" && !strings.HasSuffix(strings.TrimSpace(text), s.SignOff) {
		text += "\n" + s.SignOff
	}
	switch {
	case p.via == sms.ViaInternet:
		return text
	case p.plain():
		return e.Prefix() + text
	}
	return sms.Headed(e.nameOf(s), p.Subject, text, p.links)
}

// nameOf is whom a text by SMS says that it is of, where a mode was chosen.
func (e *entry) nameOf(s Sender) string {
	if e.OurName != "" && (e.Mode == ByInvitation || s.Kind == sms.AuthorKey) {
		return e.OurName
	}
	return s.Name
}

// repeats is the message that a sender has handed in to a conversation under a clientID
// before, by whatever way it went; nil: there is none.
func (e *entry) repeats(r db.Querier, s Sender, l Letter) (*sms.Message, error) {
	if l.ClientID == "" || l.Text == "" && len(l.Files) == 0 {
		return nil, nil
	}
	m, err := queue.SubmittedAs(r, s.keyID(), l.ClientID, e.ID)
	if m == nil || err != nil || m.Redacted {
		return m, err
	}
	var ids, links []string
	for _, f := range m.Files {
		ids = append(ids, f.ID)
		if at := strings.LastIndex(m.Text, "/f/"+f.ID); at >= 0 {
			links = append(links, m.Text[strings.LastIndex(m.Text[:at], "\n")+1:at]+"/f/"+f.ID)
		}
	}
	if m.Text != e.said(s, parcel{Letter: l, via: m.Via, links: links}) || m.Subject != l.Subject || !slices.Equal(ids, l.Files) {
		return nil, fmt.Errorf("client_id: %w", queue.ErrKeyReused)
	}
	return m, nil
}

// WroteTo is the number that a sender wrote to under a clientID; "": it did not.
func (c *Chat) WroteTo(ctx context.Context, s Sender, clientID string) (number string, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		number, err = queue.SubmittedTo(r, s.keyID(), clientID)
		return err
	})
	return number, err
}

// Send sends a text in a conversation, by SMS. One that the sender sent under the same
// clientID before is not sent again.
func (c *Chat) Send(ctx context.Context, s Sender, id, text, clientID string) (*sms.Message, error) {
	return c.Post(ctx, s, id, Letter{Text: text, ClientID: clientID})
}

// Post sends a letter in a conversation, by the way that its mode leads to.
func (c *Chat) Post(ctx context.Context, s Sender, id string, l Letter) (*sms.Message, error) {
	e, err := c.seen(ctx, s, id)
	if err != nil {
		return nil, err
	}
	var before *sms.Message
	err = c.o.DB.Read(ctx, func(r db.Querier) (err error) {
		before, err = e.repeats(r, s, l)
		return err
	})
	if before != nil || err != nil {
		return before, err
	}
	p, err := c.pack(ctx, e.Number, l)
	if err != nil {
		return nil, err
	}
	var m sms.Message
	err = c.allowed(ctx, s, e.Number, l.checked(), func(tx *db.Tx) error {
		e, err := c.writable(tx, s, id)
		if err == nil {
			m, err = c.send(tx, e, s, p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if m.Via == sms.ViaSMS {
		c.o.Desk.Foreseen(ctx, &m)
	}
	return &m, nil
}

// seen is a conversation that the sender may see.
func (c *Chat) seen(ctx context.Context, s Sender, id string) (e *entry, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		e, err = c.theirs(r, s, id)
		return err
	})
	return e, err
}

func (c *Chat) theirs(r db.Querier, s Sender, id string) (*entry, error) {
	e, err := byID(r, id)
	if err == nil && (e == nil || !s.May(&e.Conversation)) {
		err = notFound()
	}
	return e, err
}

// writable is a conversation in which the sender may write.
func (c *Chat) writable(tx *db.Tx, s Sender, id string) (*entry, error) {
	e, err := c.theirs(tx, s, id)
	if err == nil {
		err = mayWrite(e)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// mayWrite says why nothing can be written in a conversation; nil: something can.
func mayWrite(e *entry) error {
	switch e.State {
	case StateClosed:
		return fail(Closed, "", "This conversation is closed. Open it again, or begin a new one.")
	case StateBlocked:
		return fail(BlockedNumber, "", "This conversation is blocked%s. An admin can unblock it.", because(e.Reason))
	}
	return nil
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// send queues a letter in a conversation, in the caller's transaction.
func (c *Chat) send(tx *db.Tx, e *entry, s Sender, p parcel) (sms.Message, error) {
	if stopped, err := c.o.Queue.Stopped(tx, e.Number); stopped || err != nil {
		return sms.Message{}, orOptedOut(err)
	}
	d, err := c.byInternet(e, s, p), error(nil)
	if p.via == sms.ViaSMS {
		o, err := c.o.Queue.OptInOf(tx, e.ID)
		if err != nil {
			return sms.Message{}, err
		}
		if !holds(e.Mode, o) {
			return sms.Message{}, notOptedIn(e, o)
		}
		if d, err = c.draft(e, s, e.said(s, p), p.ClientID); err != nil {
			return sms.Message{}, err
		}
		d.Mode, d.Copy, d.Subject, d.Files = p.Mode, p.copy, p.Subject, p.files
	}
	if s.Caller.Charge != nil {
		if err := s.Caller.Charge(tx, 1); err != nil {
			return sms.Message{}, err
		}
	}
	m, err := c.o.Queue.SubmitTx(tx, d)
	var wrong *queue.DraftError
	if errors.As(err, &wrong) {
		err = fail(TooLong, wrong.Field, "%s", wrong.Detail)
	}
	return m, err
}

func notOptedIn(e *entry, o *queue.OptIn) error {
	switch {
	case o == nil:
		return fail(NotOptedIn, "", "The phone was not asked yet whether it wants to chat. Invite it.")
	case o.State == queue.OptInAsked:
		return fail(NotOptedIn, "", "The phone was asked and has not said YES yet. Nothing else goes out until it does.")
	case o.State == queue.OptInGiven:
		return fail(NotOptedIn, "", "%d messages went out since the phone said YES: it must be asked again. Invite it.", o.Used)
	}
	return fail(NotOptedIn, "", "What the phone agreed to is over. Invite it again.")
}

// draft makes a text ready for the queue, as the desk of every door does.
func (c *Chat) draft(e *entry, s Sender, text, clientID string) (queue.Draft, error) {
	if number.KindOf(e.Number) == number.Alphanumeric {
		return queue.Draft{}, fail(Destination, "to", "%s is a name that texts are sent under, and no number: it can't be answered.", e.Number)
	}
	caller := s.Caller
	caller.KeyID = s.keyID()
	d, wrong := c.o.Desk.Draft(caller, intake.Message{To: e.Number, Text: &text, ClientID: clientID})
	if len(wrong) > 0 {
		first := wrong[0]
		code := Invalid
		switch {
		case first.Field == "to":
			code = Destination
		case strings.HasPrefix(first.Detail, "needs "):
			code = TooLong
		}
		return d, fail(code, first.Field, "%s", first.Detail)
	}
	d.KeyID, d.Conversation, d.Author = caller.KeyID, e.ID, s.author()
	c.follow(e)
	d.Pin, d.From = e.Modem, e.Local
	if e.Mode == ByInvitation {
		d.Consent = queue.ConsentInvite
	}
	return d, nil
}

// submitted books each message that goes out in its conversation. One that names none
// belongs to the team's with that number, if there is one.
func (c *Chat) submitted(tx *db.Tx, m *sms.Message, pin string) error {
	own := m.Conversation != ""
	if !own {
		if m.Conversation = c.join(m.To, pin); m.Conversation == "" {
			return nil
		}
	}
	e, err := byID(tx, m.Conversation)
	if e == nil || err != nil {
		return err
	}
	e.lastRow = m.Row
	if m.Author != nil && m.Author.Kind == sms.AuthorAuto {
		e.place = c.nextPlace()
		return c.save(tx, e)
	}
	c.stir(e)
	// What goes by internet says nothing of what the phone has agreed to.
	if own && m.Via == sms.ViaSMS || e.Mode == Transaction {
		e.move(said)
	}
	return c.save(tx, e)
}

// begins says how a message may go: one of a conversation by its SIM, and one that may go
// by any not by one by which a stranger writes with the number, or did not long ago: its
// answer would come into the stranger's window.
func (c *Chat) begins(tx *db.Tx, l queue.Leaving) (w queue.Way, err error) {
	if w.Refused = c.barred(l.Author, l.Key); w.Refused == nil {
		w.Refused = c.ruledOut(l)
	}
	switch {
	case w.Refused != nil || l.SIM == "":
	case l.Pin == "":
		err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM conversations WHERE number = ? AND sim = ? AND visitor <> '' AND (state <> 'closed' OR active_at > ?))`,
			l.To, l.SIM, ms(c.o.Now().Add(-rest))).Scan(&w.Avoid)
	case l.Conversation != "" && l.Author != nil:
		var e *entry
		if e, err = byID(tx, l.Conversation); e != nil {
			w.SIM = e.SIM
		}
	}
	return w, err
}

// join finds, in memory, the team's conversation that a message belongs to: the one of
// the modem that must send it, else the one of which something was said last.
func (c *Chat) join(to, pin string) string {
	for _, r := range slices.Backward(c.live[to]) {
		if pin == "" || r.modem == pin {
			return r.id
		}
	}
	return ""
}

// sendPending sends what waited for YES. What can't go is kept, and tried again.
func (c *Chat) sendPending(tx *db.Tx, e *entry) error {
	by := e.pendingBy
	if e.pending == "" || by == nil {
		return nil
	}
	s := Sender{Kind: by.Kind, ID: by.ID, Name: by.Name, SignOff: by.SignOff, Address: by.Address, KeyID: by.KeyID, Widget: e.Owner.Widget, Team: e.Owner.Team}
	err := c.admit(tx, s, e.Number, e.pending)
	if err == nil {
		var p parcel
		if p, err = c.asWritten(context.Background(), e.letter()); err == nil {
			_, err = c.send(tx, e, s, p)
		}
	}
	var refused *Error
	switch {
	case err == nil:
	case errors.As(err, &refused), errors.Is(err, queue.ErrKeyReused), errors.Is(err, queue.ErrNotFound):
		// Whoever wrote it finds it where it was written.
		c.log.Warn("the first text of a conversation was not sent after YES", "conversation", e.ID, "why", err)
		if err := c.putDraft(tx, e.ID, by.ID, e.pending); err != nil {
			return err
		}
	case errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrDiskFull):
		return nil // later
	default:
		return err
	}
	now, err := byID(tx, e.ID) // what was sent is booked
	if now == nil || err != nil {
		return err
	}
	now.pending, now.pendingBy = "", nil
	*e = *now
	return c.save(tx, e)
}
