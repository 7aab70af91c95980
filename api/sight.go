package api

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/queue"
	"gatewayd/sms"
)

// hidden are those of some conversations that a key may not read; nil: it may read all
// that there are. Programs and admins see everything; anybody else who has signed in sees
// the conversations of his team, and what belongs to none. Every door that shows a
// message or an event asks here.
func (a *API) hidden(ctx context.Context, key *auth.Key, conversations []string) (map[string]bool, error) {
	p := key.Person
	if p == nil || key.Can(auth.Admin) || a.o.Chat == nil || len(conversations) == 0 {
		return nil, nil
	}
	seen, err := a.o.Chat.Sees(ctx, chat.Sender{Kind: sms.AuthorPerson, ID: p.ID, Team: p.Team}, conversations)
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, id := range conversations {
		all[id] = id != "" && !seen[id]
	}
	return all, nil
}

// message is a message that a key may read; one of somebody else's conversation is not there.
func (a *API) message(ctx context.Context, key *auth.Key, id string) (*sms.Message, error) {
	m, err := a.o.Queue.Message(ctx, id)
	if err != nil {
		return nil, err
	}
	hidden, err := a.hidden(ctx, key, []string{m.Conversation})
	if err == nil && hidden[m.Conversation] {
		m, err = nil, queue.ErrNotFound
	}
	return m, err
}

// mostPages is how many pages are read for one, of which a key may not read all.
const mostPages = 20

// search finds what a key may read, as queue.Search does.
func (a *API) search(ctx context.Context, key *auth.Key, f queue.Filter) (found queue.Found, err error) {
	limit, messages := f.Limit, []sms.Message{}
	for range mostPages {
		if found, err = a.o.Queue.Search(ctx, f); err != nil {
			return found, err
		}
		kept, err := a.readable(ctx, key, found.Messages)
		if err != nil {
			return found, err
		}
		all := len(kept) == len(found.Messages)
		messages = append(messages, kept...)
		if all || found.Next == "" || len(messages) >= limit {
			break
		}
		f.Cursor, f.Limit = found.Next, limit-len(messages)
	}
	found.Messages = messages
	return found, nil
}

// list finds what a key may read, as queue.List does.
func (a *API) list(ctx context.Context, key *auth.Key, f queue.Filter) (page []sms.Message, next string, err error) {
	limit := f.Limit
	for range mostPages {
		var more []sms.Message
		if more, next, err = a.o.Queue.List(ctx, f); err != nil {
			return nil, "", err
		}
		kept, err := a.readable(ctx, key, more)
		if err != nil {
			return nil, "", err
		}
		page = append(page, kept...)
		if len(kept) == len(more) || next == "" || len(page) >= limit {
			break
		}
		f.Cursor, f.Limit = next, limit-len(page)
	}
	return page, next, nil
}

func (a *API) readable(ctx context.Context, key *auth.Key, messages []sms.Message) ([]sms.Message, error) {
	ids := make([]string, len(messages))
	for i := range messages {
		ids[i] = messages[i].Conversation
	}
	hidden, err := a.hidden(ctx, key, ids)
	return slices.DeleteFunc(messages, func(m sms.Message) bool { return hidden[m.Conversation] }), err
}

// conversationOf is the conversation that an event is about; "": none. Of a sender's event it
// is the sender, as if that were a conversation of nobody's team: who is blocked, and from
// which network address, is for admins.
func conversationOf(e sms.Event) string {
	of := strings.HasPrefix(e.Type, "conversation.") || strings.HasPrefix(e.Type, "sender.")
	if !of && !strings.HasPrefix(e.Type, "message.") && !strings.HasPrefix(e.Type, "consent.") {
		return ""
	}
	var data struct {
		ID           any    `json:"id"` // of an entry of the log of consent a number
		Conversation string `json:"conversation"`
	}
	if json.Unmarshal(e.Data, &data) != nil {
		return ""
	}
	if id, ok := data.ID.(string); of && ok {
		return id
	}
	return data.Conversation
}
