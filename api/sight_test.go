package api

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
)

// A person of one team reads nothing of another's conversations, through whatever door;
// a program with the scope read sees all messages.
func TestTeamsReadTheirOwn(t *testing.T) {
	b := newBox(t, settings{})
	shop := b.signInAs(auth.Person{Name: "carl", Role: auth.Operator, Team: "shop"}).with("Sec-Fetch-Site", "same-origin")
	repair := b.signInAs(auth.Person{Name: "rita", Role: auth.Operator, Team: "repair"}).with("Sec-Fetch-Site", "same-origin")
	var talk struct {
		ID   string
		Last struct{ ID string } `json:"last_message"`
	}
	b.ask("POST", "/v1/conversations", shop, `{"to":"+491711111111","name":"Anna","mode":"open","text":"secretword"}`).want(201).into(&talk)
	m := talk.Last.ID
	b.ask("POST", "/v1/conversations/"+talk.ID+"/notes", shop, `{"text":"secretword"}`).want(201)
	b.ask("POST", "/v1/messages", bearer(b.send), `{"to":"+491712222222","text":"an alarm for all"}`).want(202)

	body := func(who header, path string) string {
		t.Helper()
		return b.ask("GET", path, who, "").want(200).Body.String()
	}
	for _, path := range []string{"/v1/messages", "/v1/messages?q=secretword", "/v1/messages?limit=1&to=%2B491711111111", "/messages", "/", "/v1/events?after=0", "/v1/events?after=0&types=message.*"} {
		json := header{"Accept": "application/json"}
		for k, v := range map[string]header{"repair": repair, "shop": shop} {
			who := v
			if strings.Contains(path, "events") {
				who = v.with("Accept", json["Accept"])
			}
			got := body(who, path)
			if has := strings.Contains(got, "491711111111"); has != (k == "shop") {
				t.Errorf("%s of %s: tells of the conversation: %v", path, k, has)
			}
		}
	}
	if !strings.Contains(body(repair, "/v1/messages"), "an alarm for all") {
		t.Error("what is in no conversation is hidden")
	}
	for _, key := range []string{b.read, b.admin} {
		if !strings.Contains(body(bearer(key), "/v1/messages"), "secretword") {
			t.Error("a program does not see all messages")
		}
	}
	if got := body(repair, "/v1/messages?limit=1"); !strings.Contains(got, "an alarm for all") {
		t.Errorf("a page that could be full is not: %s", got)
	}
	for _, path := range []string{"/v1/messages/" + m, "/v1/messages/" + m + "/timeline", "/v1/messages/" + m + "/pdus", "/v1/messages/" + m + "/trace", "/messages/" + m,
		"/v1/conversations/" + talk.ID, "/v1/conversations/" + talk.ID + "/messages", "/v1/conversations/" + talk.ID + "/notes", "/v1/conversations/" + talk.ID + "/draft"} {
		b.ask("GET", path, shop, "").want(200)
		b.ask("GET", path, repair, "").want(404)
	}
	one := "/v1/conversations/" + talk.ID
	for _, r := range [][3]string{{"DELETE", "/v1/messages/" + m, ""}, {"PATCH", one, `{"team":"repair"}`}, {"DELETE", one, ""}, {"POST", one + "/messages", `{"text":"x"}`},
		{"POST", one + "/invite", `{}`}, {"POST", one + "/read", ""}, {"POST", one + "/block", `{}`}, {"POST", one + "/notes", `{"text":"x"}`}, {"PUT", one + "/draft", `{"text":"x"}`}} {
		if got := b.ask(r[0], r[1], repair, r[2]); got.Code != 404 {
			t.Errorf("%s %s: %d %s", r[0], r[1], got.Code, got.Body)
		}
	}
	b.form("/messages/"+m, repair, "do", "cancel", "button", "cancel").want(404)
	b.ask("GET", "/v1/conversations?team=shop", repair, "").problem(wrongScope)
	b.ask("GET", "/v1/conversations?team=*", repair, "").problem(wrongScope)
	b.ask("GET", "/v1/consents/export", repair, "").problem(wrongScope)
	if got := body(repair, "/v1/conversations?q=secretword"); strings.Contains(got, talk.ID) {
		t.Error("the search finds it")
	}

	b.ask("POST", "/v1/conversations", shop, `{"to":"+491713333333","mode":"invite","text":"x"}`).want(201)
	for who, wants := range map[string]bool{"repair": false, "shop": true} {
		h := map[string]header{"repair": repair, "shop": shop}[who]
		if strings.Contains(body(h, "/v1/consents"), "491713333333") != wants || strings.Contains(body(h, "/v1/consents/+491713333333"), "conv_") != wants {
			t.Errorf("%s: what is known of consent: %s", who, body(h, "/v1/consents"))
		}
	}

	b.ask("POST", "/v1/senders/addr_192.0.2.9/block", bearer(b.admin), "").want(200)
	if got := body(shop.with("Accept", "application/json"), "/v1/events?after=0"); strings.Contains(got, "192.0.2.9") {
		t.Errorf("who is blocked: %s", got)
	}

	// The stream tells of no event of it either, up to one that all see behind all others.
	b.ask("POST", "/v1/messages", bearer(b.send), `{"to":"+491712222222","text":"the last for all"}`).want(202)
	for who, wants := range map[string]bool{"repair": false, "shop": true} {
		h := map[string]header{"repair": repair, "shop": shop}[who]
		within, cancel := context.WithTimeout(ctx, 30*time.Second)
		r := httptest.NewRequest("GET", "/v1/events?after=0", nil).WithContext(within)
		for name, value := range h {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(&leaver{w, func() {
			if strings.Contains(w.Body.String(), "the last for all") {
				cancel()
			}
		}}, r)
		cancel()
		if got := w.Body.String(); !strings.Contains(got, "the last for all") || strings.Contains(got, talk.ID) != wants || strings.Contains(got, "491713333333") != wants || !strings.Contains(got, "an alarm for all") {
			t.Errorf("the stream of %s: %s", who, got)
		}
	}
}
