package api

import (
	"strings"
	"testing"
)

// A conversation from its beginning to its end, by the API.
func TestConversations(t *testing.T) {
	b := newBox(t, settings{})
	key := bearer(b.keyFor("send", "read"))
	type conversation struct {
		ID, State, Mode, Local string
		Unread                 int
		AssignedTo             *string                `json:"assigned_to"`
		Last                   *struct{ Text string } `json:"last_message"`
	}
	var v conversation
	begun := b.ask("POST", "/v1/conversations", key, `{"to":"+491711111111","name":"Anna","text":"hello"}`).want(201)
	begun.into(&v)
	if v.State != "open" || v.Mode != "open" || v.Local != "+491700000001" || v.Last == nil || v.Last.Text != "hello" || begun.Header().Get("Location") != "/v1/conversations/"+v.ID {
		t.Fatalf("%+v", v)
	}
	b.ask("POST", "/v1/conversations", key, `{"to":"+491711111111"}`).want(200)
	one := "/v1/conversations/" + v.ID
	b.ask("POST", one+"/messages", key, `{"text":"again","client_id":"c1"}`).want(202)
	b.ask("POST", one+"/messages", key, `{"text":"again","client_id":"c1"}`).want(202)
	b.ask("POST", one+"/messages", key, `{"text":"other","client_id":"c1"}`).problem(keyReused)
	var page struct {
		Messages []struct{ ID, Text string }
		Older    bool
	}
	b.ask("GET", one+"/messages?limit=2", key, "").want(200).into(&page)
	if len(page.Messages) != 2 || page.Messages[1].Text != "again" || page.Older {
		t.Fatalf("%+v", page)
	}
	b.ask("GET", one+"/messages?before="+page.Messages[1].ID, key, "").want(200).into(&page)
	if len(page.Messages) != 1 || page.Messages[0].Text != "hello" {
		t.Fatalf("%+v", page)
	}
	b.ask("PATCH", one, key, `{"name":"Anna B."}`).want(200)
	b.ask("PATCH", one, key, `{"assigned_to":"usr_nobody"}`).problem(invalidFields, "assigned_to")
	var list struct{ Conversations []conversation }
	for query, n := range map[string]int{"": 1, "?state=open,idle": 1, "?state=closed": 0, "?q=hello": 1, "?q=Anna+B": 1, "?q=0171+1111": 1, "?q=0171+2222": 0, "?q=1711111": 1, "?unread=true": 0, "?assigned_to=none": 1, "?team=x": 0} {
		if b.ask("GET", "/v1/conversations"+query, key, "").want(200).into(&list); len(list.Conversations) != n {
			t.Errorf("%s: %d conversations", query, len(list.Conversations))
		}
	}
	b.ask("POST", one+"/read", key, "").want(200)
	b.ask("POST", one+"/invite", key, "").problem(invalidFields)
	var note struct{ ID string }
	b.ask("POST", one+"/notes", key, `{"text":"calls back"}`).want(201).into(&note)
	if a := b.ask("GET", one+"/notes", key, "").want(200); !strings.Contains(a.Body.String(), "calls back") {
		t.Error(a.Body)
	}
	b.ask("DELETE", one+"/notes/"+note.ID, key, "").want(204)
	b.ask("PUT", one+"/draft", key, `{"text":"half a"}`).want(200)
	if a := b.ask("GET", one+"/draft", key, "").want(200); !strings.Contains(a.Body.String(), "half a") {
		t.Error(a.Body)
	}
	b.ask("POST", one+"/block", key, `{"reason":"rude"}`).want(200)
	b.ask("POST", one+"/messages", key, `{"text":"x"}`).problem(blockedNumber)
	b.ask("POST", one+"/unblock", key, "").want(403)
	b.ask("POST", one+"/unblock", bearer(b.admin), "").want(200)
	b.ask("POST", one+"/messages", key, `{"text":"x"}`).problem(optedOut)
	b.ask("PATCH", one, key, `{"state":"closed"}`).want(200).into(&v)
	if v.State != "closed" {
		t.Errorf("%+v", v)
	}
	b.ask("POST", one+"/messages", key, `{"text":"x"}`).problem(conversationClosed)
	b.ask("DELETE", one, key, "").problem(conflict) // a message is still to be sent
	b.ask("GET", "/v1/conversations/conv_1", key, "").problem(notFound)
	var self struct {
		Limits struct{ Characters, Parts int }
	}
	b.ask("GET", "/v1/chat", key, "").want(200).into(&self)
	if self.Limits.Parts != 10 || self.Limits.Characters != 1530 {
		t.Errorf("%+v", self)
	}
	b.ask("PUT", "/v1/chat/inbox", bearer(b.admin), `{"rules":[{"keyword":"sales","sim":"","team":"sales","person":""}]}`).want(200)
	b.ask("GET", "/v1/chat/inbox", key, "").want(200)
}
