package widget

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gatewayd/captcha"
	"gatewayd/chat"
	"gatewayd/db"
	"gatewayd/door"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// chatView is a conversation as its visitor sees it.
type chatView struct {
	ID        string        `json:"id"` // tells it from the one before; no request takes it
	Number    string        `json:"number"`
	OurName   string        `json:"our_name"`
	State     chat.State    `json:"state"`
	NeedYes   bool          `json:"need_yes"`   // the phone must be asked again
	MayInvite bool          `json:"may_invite"` // it can be
	Waiting   bool          `json:"waiting"`    // a text goes out once the phone says YES
	Stopped   bool          `json:"stopped"`
	Accepted  bool          `json:"accepted"` // the terms as they are now were, and are not to be again
	Messages  []messageView `json:"messages"` // the oldest first
}

type messageView struct {
	ID     string     `json:"id"`
	Mine   bool       `json:"mine"`
	Auto   bool       `json:"auto"` // the gateway's own: the invitation, a confirmation
	Text   string     `json:"text"`
	Status sms.Status `json:"status"`
	At     time.Time  `json:"at"`
}

// mostShown is how many messages a visitor sees: the last ones.
const mostShown = 200

// viewOf is the visitor's conversation; nil: there is none. Which one is the
// visitor's, no request says.
func (w *Widgets) viewOf(ctx context.Context, v visitor) (*chatView, error) {
	if v.Conversation == "" {
		return nil, nil
	}
	c, err := w.o.Chat.Get(ctx, v.Conversation)
	var gone *chat.Error
	if errors.Is(err, queue.ErrNotFound) || errors.As(err, &gone) && gone.Code == chat.NotFound {
		return nil, nil // erased
	}
	if err != nil {
		return nil, err
	}
	if c.Owner.Visitor != v.ID {
		return nil, nil
	}
	thread, err := w.o.Chat.Messages(ctx, c.ID, "", "", mostShown)
	if err != nil {
		return nil, err
	}
	view := &chatView{ID: c.ID, Number: c.Number, OurName: c.OurName, State: c.State, Waiting: c.Waiting, Stopped: c.Stopped, Messages: []messageView{}}
	over := c.State == chat.StateClosed || c.State == chat.StateBlocked || c.Stopped
	view.NeedYes = c.Mode == chat.ByInvitation && !c.OptIn.Holds() && (c.OptIn == nil || c.OptIn.State != queue.OptInAsked)
	view.MayInvite = view.NeedYes && !over
	// Anybody can type anybody's number. What its owner writes to us before having agreed
	// to talk with this stranger is not the stranger's to read.
	agreed := c.OptIn != nil && !c.OptIn.GivenAt.IsZero()
	var one Widget
	err = w.o.DB.Read(ctx, func(r db.Querier) (err error) { one, err = loadWidget(r, v.Widget); return err })
	if err == nil {
		view.Accepted, err = w.hasAccepted(ctx, one, v.ID)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	for _, m := range thread.Messages {
		if m.Direction == sms.Inbound && !agreed {
			continue
		}
		one := messageView{ID: m.ID, Mine: m.Direction == sms.Outbound, Text: m.Text, Status: m.Status, At: m.CreatedAt}
		if one.Mine && (m.Author == nil || m.Author.Kind != sms.AuthorVisitor) {
			one.Mine, one.Auto = false, true
		} else if one.Mine {
			one.Text = strings.TrimPrefix(one.Text, c.Prefix())
		}
		view.Messages = append(view.Messages, one)
	}
	return view, nil
}

// showChat is GET chat: what the event stream tells, for those whom it does not reach.
func (w *Widgets) showChat(rw http.ResponseWriter, r *http.Request) error {
	v, _, l, err := w.enter(r)
	if err != nil {
		return err
	}
	view, err := w.viewOf(r.Context(), v)
	if err != nil {
		return err
	}
	return door.Answer(rw, http.StatusOK, map[string]any{"look": l, "chat": view})
}

// ticketed is what a ticket says, if it still holds: its widget is there and enabled,
// and still lists the origin.
func (w *Widgets) ticketed(ctx context.Context, s string) (t ticket, one Widget, l look, err error) {
	t, ok := w.ticketOf(s)
	if !ok {
		return t, one, l, door.Refuse(http.StatusForbidden, "expired", "The ticket is none of this gateway's, or too old. The page around gets another.")
	}
	one, l, err = w.current(ctx, t.Widget)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && !one.Enabled:
		return t, one, l, door.Refuse(http.StatusForbidden, "disabled", "The widget is switched off.")
	case err == nil && !one.allows(t.Site):
		return t, one, l, door.Refuse(http.StatusForbidden, "origin", "Pages of the origin %q may not have this widget any more.", cut(t.Site, 200))
	}
	return t, one, l, err
}

// puzzle is POST puzzle: what a browser has to solve before the first message, and
// again when it looks like a program.
func (w *Widgets) puzzle(rw http.ResponseWriter, r *http.Request) error {
	var in struct {
		Ticket string `json:"ticket"`
	}
	if err := door.Read(r, &in); err != nil {
		return err
	}
	if err := door.Limited(w.asked, door.Guesser(r)); err != nil {
		return err
	}
	var who chat.Sender
	if v, _, _, err := w.enter(r); err == nil {
		who = v.sender()
	} else if _, _, _, err := w.ticketed(r.Context(), in.Ticket); err != nil {
		return err
	}
	puzzle, needed, err := w.o.Chat.Challenge(r.Context(), who)
	if err != nil {
		return err
	}
	return door.Answer(rw, http.StatusOK, map[string]any{"puzzle": puzzle, "needed": needed})
}

// prove is POST prove: the puzzle of a visitor who looked like a program is solved.
func (w *Widgets) prove(rw http.ResponseWriter, r *http.Request) error {
	var in struct {
		Solution string `json:"solution"`
	}
	if err := door.Read(r, &in); err != nil {
		return err
	}
	v, _, _, err := w.enter(r)
	if err != nil {
		return err
	}
	if err := w.proven(r.Context(), v.sender(), in.Solution); err != nil {
		return err
	}
	return door.Answer(rw, http.StatusOK, map[string]any{})
}

func (w *Widgets) proven(ctx context.Context, who chat.Sender, solution string) error {
	err := w.o.Chat.Prove(ctx, who, solution)
	if errors.Is(err, captcha.ErrWrong) {
		return door.Refuse(http.StatusForbidden, "captcha", "The puzzle is not solved, or its solution was used before.")
	}
	return err
}

// start is POST start: name, number and terms are there, and the first text; the phone
// is asked.
func (w *Widgets) start(rw http.ResponseWriter, r *http.Request) error {
	var in struct {
		Ticket, Name, Number, Region, Text, Solution, Version string
		Terms                                                 bool
		ClientID                                              string `json:"client_id"`
	}
	if err := door.Read(r, &in); err != nil {
		return err
	}
	ctx, from := r.Context(), door.Address(r)
	t, one, l, err := w.ticketed(ctx, in.Ticket)
	if err != nil {
		return err
	}
	v, _, _, err := w.enter(r)
	if err != nil || v.Widget != one.ID {
		v = visitor{Widget: one.ID}
	}
	v.Address, v.Site = from, t.Site
	var ok bool
	if v.Name, ok = nameOf(in.Name); !ok {
		return door.Refuse(http.StatusUnprocessableEntity, "name", "The name must have from 1 to %d letters, and neither an address nor a number in it.", longestName)
	}
	if !number.ValidRegion(in.Region) {
		in.Region = l.Region
	}
	if v.Number, err = number.Parse(in.Number, in.Region); err != nil || number.KindOf(v.Number) != number.International {
		return door.Refuse(http.StatusUnprocessableEntity, "number", "The number is none that a phone has.")
	}
	text := strings.TrimSpace(in.Text)
	if text == "" {
		return door.Refuse(http.StatusUnprocessableEntity, "text", "The first text is missing.")
	}
	if err := fits(v.Name+": "+text, l); err != nil {
		return err
	}
	terms, err := w.accepted(ctx, one, v, in.Terms, in.Version)
	if err != nil {
		return err
	}
	if err := door.Limited(w.begun, door.GuesserOf(from)); err != nil {
		return err
	}
	before, fresh := v.Conversation, v.ID == ""
	if fresh {
		v.ID = "vis_" + newID(w.o.Now())
	}
	// Before anything is kept: who solves nothing costs the gateway nothing.
	if err := w.worked(ctx, v.sender(), in.Solution); err != nil {
		return err
	}
	token, start, err := w.admit(&v, fresh, terms)
	if err != nil {
		return err
	}
	if before != "" {
		w.closed(ctx, v, before)
	}
	c, _, err := w.o.Chat.Begin(ctx, v.sender(), chat.Wanted{To: v.Number, OurName: v.Name, Mode: chat.ByInvitation, Text: text, ClientID: clientID(in.ClientID)})
	if err != nil {
		return err
	}
	if err := w.began(&v, start, c.ID); err != nil {
		return err
	}
	view, err := w.viewOf(ctx, v)
	if err != nil {
		return err
	}
	said := map[string]any{"chat": view}
	if token != "" {
		said["token"] = token
	}
	return door.Answer(rw, http.StatusCreated, said)
}

// worked takes the solution of a puzzle, and wants one from whom the chat wants one.
func (w *Widgets) worked(ctx context.Context, who chat.Sender, solution string) error {
	if solution != "" {
		return w.proven(ctx, who, solution)
	}
	_, needed, err := w.o.Chat.Challenge(ctx, who)
	if err == nil && needed {
		err = door.Refuse(http.StatusForbidden, "captcha", "A puzzle has to be solved first.")
	}
	return err
}

// clientID is an id of the frame's for a message, so that one that is sent again
// because its answer got lost goes out once.
func clientID(s string) string {
	if s == "" || len(s) > 64 || strings.Trim(s, "0123456789abcdef") != "" {
		return ""
	}
	return s
}

// accepted is the version of the widget whose terms a visitor has accepted; nil: it has
// none. Whoever accepted what has changed since is shown it again.
func (w *Widgets) accepted(ctx context.Context, one Widget, v visitor, now bool, shown string) (*int64, error) {
	if one.Terms.none() {
		return nil, nil
	}
	if !now {
		if has, err := w.hasAccepted(ctx, one, v.ID); has || err != nil {
			return nil, err
		}
	}
	missing := door.Refuse(http.StatusUnprocessableEntity, "terms", "The terms must be accepted first.")
	if !now {
		return nil, missing
	}
	version, _, _ := strings.Cut(shown, ".")
	saw, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return nil, missing
	}
	if saw != one.Version {
		var then Settings
		err := w.o.DB.Read(ctx, func(r db.Querier) error { return loadSettings(r, one.ID, saw, &then) })
		if errors.Is(err, ErrNotFound) || err == nil && !then.Terms.say(one.Terms) {
			return nil, missing
		}
		if err != nil {
			return nil, err
		}
	}
	return &one.Version, nil
}

// fits refuses a text that is too long with the name in front of it.
func fits(whole string, l look) error {
	if n := utf8.RuneCountInString(whole); n > l.Characters {
		return door.Refuse(http.StatusUnprocessableEntity, "too-long", "With the name in front of it the text has %d characters; %d at most.", n, l.Characters)
	}
	return nil
}

// act runs what a visitor does in the conversation that is open, and shows it then.
func (w *Widgets) act(rw http.ResponseWriter, r *http.Request, do func(v visitor, l look, text, clientID string) error) error {
	var in struct {
		Text     string `json:"text"`
		ClientID string `json:"client_id"`
	}
	if err := door.Read(r, &in); err != nil {
		return err
	}
	v, one, l, err := w.enter(r)
	if err != nil {
		return err
	}
	if v.Conversation == "" {
		return door.Refuse(http.StatusConflict, "closed", "No conversation is open.")
	}
	if !one.Enabled {
		return door.Refuse(http.StatusForbidden, "disabled", "The widget is switched off.")
	}
	text := strings.TrimSpace(in.Text)
	if err := fits(v.Name+": "+text, l); err != nil {
		return err
	}
	if err := do(v, l, text, clientID(in.ClientID)); err != nil {
		return err
	}
	view, err := w.viewOf(r.Context(), v)
	if err != nil {
		return err
	}
	return door.Answer(rw, http.StatusOK, map[string]any{"chat": view})
}

// send is POST messages.
func (w *Widgets) send(rw http.ResponseWriter, r *http.Request) error {
	return w.act(rw, r, func(v visitor, _ look, text, clientID string) error {
		if text == "" {
			return door.Refuse(http.StatusUnprocessableEntity, "text", "The text is missing.")
		}
		_, err := w.o.Chat.Send(r.Context(), v.sender(), v.Conversation, text, clientID)
		return err
	})
}

// invite is POST invite: the phone is asked again, and a text waits for its YES.
func (w *Widgets) invite(rw http.ResponseWriter, r *http.Request) error {
	return w.act(rw, r, func(v visitor, _ look, text, clientID string) error {
		_, err := w.o.Chat.Invite(r.Context(), v.sender(), v.Conversation, text, clientID)
		return err
	})
}

// end is POST end.
func (w *Widgets) end(rw http.ResponseWriter, r *http.Request) error {
	return w.act(rw, r, func(v visitor, _ look, _, _ string) error {
		_, err := w.o.Chat.Close(r.Context(), v.sender(), v.Conversation)
		return err
	})
}

// closed ends the conversation that a visitor leaves for another one, so that its SIM
// is free for others. One that can't be ended becomes idle by itself.
func (w *Widgets) closed(ctx context.Context, v visitor, id string) {
	if _, err := w.o.Chat.Close(ctx, v.sender(), id); err != nil {
		w.log.Debug("a conversation that was left could not be closed", "conversation", id, "error", err)
	}
}

// refusalOfChat is what a visitor is told of an error of the chat. Its details may
// speak of others, so they stay here.
func refusalOfChat(e *chat.Error) *door.Refusal {
	status := http.StatusConflict
	switch e.Code {
	case chat.NotFound:
		status = http.StatusNotFound
	case chat.Limit:
		status = http.StatusTooManyRequests
	case chat.BlockedSender, chat.Captcha:
		status = http.StatusForbidden
	case chat.Keyword, chat.Destination, chat.TooLong, chat.Invalid, chat.BlockedNumber:
		status = http.StatusUnprocessableEntity
	}
	return door.Later(status, string(e.Code), "The chat refused it: "+string(e.Code)+".", e.RetryAfter)
}
