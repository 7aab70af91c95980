package api

import (
	"context"
	"net/http"
	"time"

	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/sms"
	"gatewayd/sms/number"
	"gatewayd/sms/pdu"
	"gatewayd/wire"
)

// senderOf is who asks for something in conversations.
func (a *API) senderOf(ctx context.Context) chat.Sender {
	in := from(ctx)
	s := chat.Sender{Kind: sms.AuthorKey, ID: in.caller.KeyID, Name: in.key.Name, KeyID: in.caller.KeyID, All: true, Caller: in.caller,
		Address: addressOf(in.request.RemoteAddr)}
	if p := in.key.Person; p != nil {
		s.Kind, s.ID, s.Name, s.SignOff, s.Team, s.All = sms.AuthorPerson, p.ID, p.Shown(), p.SignOff, p.Team, in.key.Can(auth.Admin)
	}
	return s
}

// own is the conversation if it is the caller's; else there is none.
func (a *API) own(ctx context.Context, id string) (chat.Sender, *chat.Conversation, error) {
	s := a.senderOf(ctx)
	v, err := a.o.Chat.Get(ctx, id)
	if err == nil && !s.May(v) {
		err = notFound.because("There is no such conversation, or it is not yours.")
	}
	return s, v, err
}

// GetChat tells who the caller is in conversations.
func (a server) GetChat(ctx context.Context, _ GetChatRequestObject) (GetChatResponseObject, error) {
	s := a.senderOf(ctx)
	people, err := a.o.Chat.People(ctx)
	if err != nil {
		return nil, err
	}
	type person struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Team   string `json:"team"`
		Online bool   `json:"online"`
	}
	mates := []person{}
	for _, p := range people {
		if p.Team == s.Team || s.All {
			mates = append(mates, person(p))
		}
	}
	fileBytes := int64(0)
	if a.o.Files != nil {
		fileBytes = a.o.Files.Max()
	}
	hub := a.o.Chat.Hub()
	return reply{status: http.StatusOK, v: map[string]any{
		"id": s.ID, "name": s.Name, "sign_off": s.SignOff, "team": s.Team, "admin": s.All, "people": mates,
		"limits": map[string]int64{"characters": pdu.MaxParts * 153, "parts": pdu.MaxParts, "file_bytes": fileBytes}, "prefix": s.Name + ": ",
		"hub": map[string]any{"belongs": hub.Belongs, "up": hub.Up, "since": orNever(hub.Since), "public_url": orNil(hub.PublicURL)},
	}}, nil
}

// GetInbox lists the rules of the inbox.
func (a server) GetInbox(ctx context.Context, _ GetInboxRequestObject) (GetInboxResponseObject, error) {
	rules, err := a.o.Chat.Inbox(ctx)
	return reply{status: http.StatusOK, v: map[string]any{"rules": rules}}, err
}

// SetInbox replaces them.
func (a server) SetInbox(ctx context.Context, r SetInboxRequestObject) (SetInboxResponseObject, error) {
	rules := make([]chat.InboxRule, len(r.Body.Rules))
	for i, w := range r.Body.Rules {
		rules[i] = chat.InboxRule{Keyword: w.Keyword, SIM: w.Sim, Team: w.Team, Person: w.Person}
	}
	if err := a.o.Chat.SetInbox(rules); err != nil {
		return nil, err
	}
	kept, err := a.o.Chat.Inbox(ctx)
	return reply{status: http.StatusOK, v: map[string]any{"rules": kept}}, err
}

// ListConversations lists them, newest first.
func (a server) ListConversations(ctx context.Context, r ListConversationsRequestObject) (ListConversationsResponseObject, error) {
	s, p := a.senderOf(ctx), r.Params
	f := chat.Filter{Unread: or(p.Unread, false), Widget: or(p.Widget, ""), Query: or(p.Q, ""), Cursor: or(p.Cursor, ""), Limit: or(p.Limit, defaultLimit)}
	f.Number = a.party(or(p.Number, ""))
	for _, state := range or(p.State, nil) {
		f.State = append(f.State, chat.State(state))
	}
	switch who := or(p.AssignedTo, ""); who {
	case "":
	case "me":
		f.AssignedTo = &s.ID
	case "none":
		f.AssignedTo = new(string)
	default:
		f.AssignedTo = &who
	}
	switch {
	case p.Team == nil && s.Kind == sms.AuthorPerson && f.Widget == "":
		f.Team = &s.Team
	case p.Team == nil || *p.Team == "*":
	default:
		f.Team = p.Team
	}
	if !s.All && (f.Team == nil || *f.Team != s.Team) {
		return nil, wrongScope.because("You see the conversations of your own team; admins see all.")
	}
	found, next, err := a.o.Chat.List(ctx, f)
	if err != nil {
		return nil, err
	}
	page := make([]conversationView, len(found))
	numbers := make([]string, len(found))
	for i := range found {
		numbers[i] = found[i].Number
	}
	who := a.o.Chat.Presence(ctx, numbers)
	for i := range found {
		page[i] = viewConversation(ctx, &found[i], who[found[i].Number])
	}
	return reply{status: http.StatusOK, v: map[string]any{"conversations": page, "next_cursor": orNil(next)}}, nil
}

// BeginConversation finds or makes one.
func (a server) BeginConversation(ctx context.Context, r BeginConversationRequestObject) (BeginConversationResponseObject, error) {
	b := r.Body
	v, created, err := a.o.Chat.Begin(context.WithoutCancel(ctx), a.senderOf(ctx), chat.Wanted{To: b.To, Name: or(b.Name, ""), OurName: or(b.OurName, ""),
		Mode: chat.Mode(or(b.Mode, "")), From: or(b.From, ""), Team: or(b.Team, ""), Text: or(b.Text, ""), ClientID: or(b.ClientID, ""),
		By: sms.Mode(or(b.TextMode, "")), Subject: or(b.Subject, ""), Files: or(b.Files, nil)})
	if err != nil {
		return nil, err
	}
	answer := reply{status: http.StatusOK, v: a.conversation(ctx, v)}
	if created {
		answer.status, answer.header = http.StatusCreated, map[string]string{"Location": "/v1/conversations/" + v.ID}
	}
	return answer, nil
}

// GetConversation shows one.
func (a server) GetConversation(ctx context.Context, r GetConversationRequestObject) (GetConversationResponseObject, error) {
	_, v, err := a.own(ctx, r.ID)
	return a.shown(ctx, v, err)
}

// shown is the answer with a conversation.
func (a server) shown(ctx context.Context, v *chat.Conversation, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, v: a.conversation(ctx, v)}, nil
}

// ChangeConversation changes one.
func (a server) ChangeConversation(ctx context.Context, r ChangeConversationRequestObject) (ChangeConversationResponseObject, error) {
	b := r.Body
	w := chat.Changes{Name: b.Name, OurName: b.OurName, AssignedTo: b.AssignedTo, Team: b.Team}
	if b.Mode != nil {
		mode := chat.Mode(*b.Mode)
		w.Mode = &mode
	}
	if b.State != nil {
		state := chat.State(*b.State)
		w.State = &state
	}
	v, err := a.o.Chat.Change(context.WithoutCancel(ctx), a.senderOf(ctx), r.ID, w)
	return a.shown(ctx, v, err)
}

// DeleteConversation erases what was said in one.
func (a server) DeleteConversation(ctx context.Context, r DeleteConversationRequestObject) (DeleteConversationResponseObject, error) {
	if err := a.o.Chat.Delete(context.WithoutCancel(ctx), a.senderOf(ctx), r.ID); err != nil {
		return nil, err
	}
	return DeleteConversation204Response{}, nil
}

// ListConversationMessages lists the messages of one.
func (a server) ListConversationMessages(ctx context.Context, r ListConversationMessagesRequestObject) (ListConversationMessagesResponseObject, error) {
	if _, _, err := a.own(ctx, r.ID); err != nil {
		return nil, err
	}
	var only []sms.Via
	switch or(r.Params.Tag, "") {
	case "sms":
		only = []sms.Via{sms.ViaSMS}
	case "internet":
		only = []sms.Via{sms.ViaInternet}
	}
	t, err := a.o.Chat.Messages(ctx, r.ID, or(r.Params.Before, ""), or(r.Params.After, ""), or(r.Params.Limit, defaultLimit), only...)
	return reply{status: http.StatusOK, v: map[string]any{"messages": t.Messages, "older": t.Older, "newer": t.Newer}}, err
}

// SendInConversation sends a text in one.
func (a server) SendInConversation(ctx context.Context, r SendInConversationRequestObject) (SendInConversationResponseObject, error) {
	b := r.Body
	m, err := a.o.Chat.Post(context.WithoutCancel(ctx), a.senderOf(ctx), r.ID, chat.Letter{Text: b.Text, ClientID: or(b.ClientID, ""),
		Mode: sms.Mode(or(b.Mode, "")), Subject: or(b.Subject, ""), Files: or(b.Files, nil)})
	return reply{status: http.StatusAccepted, v: m}, err
}

// InviteToConversation asks the phone again.
func (a server) InviteToConversation(ctx context.Context, r InviteToConversationRequestObject) (InviteToConversationResponseObject, error) {
	b := or(r.Body, wire.InviteToConversationJSONRequestBody{})
	v, err := a.o.Chat.Ask(context.WithoutCancel(ctx), a.senderOf(ctx), r.ID, chat.Letter{Text: or(b.Text, ""), ClientID: or(b.ClientID, ""),
		Mode: sms.Mode(or(b.Mode, "")), Subject: or(b.Subject, ""), Files: or(b.Files, nil)})
	return a.shown(ctx, v, err)
}

// ReadConversation notes what was read.
func (a server) ReadConversation(ctx context.Context, r ReadConversationRequestObject) (ReadConversationResponseObject, error) {
	b := or(r.Body, wire.ReadConversationJSONRequestBody{})
	v, err := a.o.Chat.MarkRead(context.WithoutCancel(ctx), a.senderOf(ctx), r.ID, or(b.UpTo, ""))
	return a.shown(ctx, v, err)
}

// BlockConversation blocks one.
func (a server) BlockConversation(ctx context.Context, r BlockConversationRequestObject) (BlockConversationResponseObject, error) {
	b := or(r.Body, wire.BlockConversationJSONRequestBody{})
	v, err := a.o.Chat.Block(context.WithoutCancel(ctx), a.senderOf(ctx), r.ID, or(b.Reason, ""))
	return a.shown(ctx, v, err)
}

// UnblockConversation lets one go on.
func (a server) UnblockConversation(ctx context.Context, r UnblockConversationRequestObject) (UnblockConversationResponseObject, error) {
	v, err := a.o.Chat.Unblock(context.WithoutCancel(ctx), a.senderOf(ctx), r.ID)
	return a.shown(ctx, v, err)
}

// ListNotes lists the notes about one.
func (a server) ListNotes(ctx context.Context, r ListNotesRequestObject) (ListNotesResponseObject, error) {
	notes, err := a.o.Chat.Notes(ctx, a.senderOf(ctx), r.ID)
	return reply{status: http.StatusOK, v: map[string]any{"notes": notes}}, err
}

// AddNote writes one.
func (a server) AddNote(ctx context.Context, r AddNoteRequestObject) (AddNoteResponseObject, error) {
	n, err := a.o.Chat.AddNote(a.senderOf(ctx), r.ID, r.Body.Text)
	return reply{status: http.StatusCreated, v: n}, err
}

// RemoveNote erases one.
func (a server) RemoveNote(ctx context.Context, r RemoveNoteRequestObject) (RemoveNoteResponseObject, error) {
	if err := a.o.Chat.RemoveNote(a.senderOf(ctx), r.ID, r.Note); err != nil {
		return nil, err
	}
	return RemoveNote204Response{}, nil
}

// GetDraft shows what the caller has begun to write.
func (a server) GetDraft(ctx context.Context, r GetDraftRequestObject) (GetDraftResponseObject, error) {
	text, err := a.o.Chat.Draft(ctx, a.senderOf(ctx), r.ID)
	return reply{status: http.StatusOK, v: map[string]string{"text": text}}, err
}

// SaveDraft keeps it.
func (a server) SaveDraft(ctx context.Context, r SaveDraftRequestObject) (SaveDraftResponseObject, error) {
	err := a.o.Chat.SaveDraft(a.senderOf(ctx), r.ID, r.Body.Text)
	return reply{status: http.StatusOK, v: map[string]string{"text": r.Body.Text}}, err
}

// conversationView is a conversation as it is shown; null is what it has not.
type conversationView struct {
	ID         string       `json:"id"`
	Number     string       `json:"number"`
	Name       string       `json:"name"`
	OurName    string       `json:"our_name"`
	SIM        string       `json:"sim"`
	Modem      string       `json:"modem"`
	Local      string       `json:"local"`
	Mode       chat.Mode    `json:"mode"`
	State      chat.State   `json:"state"`
	Team       *string      `json:"team"`
	Visitor    *visitorView `json:"visitor"`
	AssignedTo *string      `json:"assigned_to"`
	Unread     int          `json:"unread"`
	BegunBy    string       `json:"begun_by"`
	Carrier    *string      `json:"carrier"`
	Country    *string      `json:"country"`
	OptIn      *optInView   `json:"opt_in"`
	Waiting    bool         `json:"waiting"`
	Stopped    bool         `json:"stopped"`
	Reason     *string      `json:"reason"`
	Prefix     string       `json:"prefix"`
	Reachable  []string     `json:"reachable"`
	Online     bool         `json:"online"`
	Last       *sms.Message `json:"last_message"`
	CreatedAt  time.Time    `json:"created_at"`
	UpdatedAt  time.Time    `json:"updated_at"`
	ClosedAt   *time.Time   `json:"closed_at"`
}

type visitorView struct {
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	Address *string `json:"address"`
	Widget  string  `json:"widget"`
}

type optInView struct {
	State   string     `json:"state"`
	AskedAt *time.Time `json:"asked_at"`
	GivenAt *time.Time `json:"given_at"`
	Used    int        `json:"used"`
	Of      *int       `json:"of"`
}

func (a *API) conversation(ctx context.Context, v *chat.Conversation) conversationView {
	return viewConversation(ctx, v, a.o.Chat.Presence(ctx, []string{v.Number})[v.Number])
}

func viewConversation(ctx context.Context, v *chat.Conversation, who chat.Presence) conversationView {
	w := conversationView{ID: v.ID, Number: v.Number, Name: v.Name, OurName: v.OurName, SIM: v.SIM, Modem: v.Modem, Local: v.Local, Mode: v.Mode, State: v.State,
		AssignedTo: orNil(v.AssignedTo), Unread: v.Unread, BegunBy: v.Begun, Carrier: orNil(v.Carrier), Country: orNil(v.Country), Waiting: v.Waiting,
		Stopped: v.Stopped, Reason: orNil(v.Reason), Prefix: v.Prefix(), Last: v.Last, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt, ClosedAt: orNever(v.ClosedAt), Reachable: []string{}, Online: who.Online}
	if who.Inbox {
		w.Reachable = append(w.Reachable, "internet")
	}
	if !v.Stopped && number.KindOf(v.Number) != number.Alphanumeric {
		w.Reachable = append(w.Reachable, "sms")
	}
	if v.Owner.Visitor == "" {
		w.Team = &v.Owner.Team
	} else {
		w.Visitor = &visitorView{ID: v.Owner.Visitor, Name: v.Owner.Name, Widget: v.Owner.Widget}
		if from(ctx).key.Can(auth.Admin) {
			w.Visitor.Address = orNil(v.Owner.Address)
		}
	}
	if o := v.OptIn; o != nil {
		w.OptIn = &optInView{State: string(o.State), AskedAt: orNever(o.AskedAt), GivenAt: orNever(o.GivenAt), Used: o.Used, Of: orNone(o.Of)}
	}
	return w
}

func orNever(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// orNone is a count of which less than none means that there is no bound.
func orNone(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}
