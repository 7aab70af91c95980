package api

import (
	"html"
	"net/url"
	"strings"
	"testing"

	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/sms"
)

// wrote has somebody write by chat, so that there is a sender.
func (b *box) wrote(id, to string) {
	b.t.Helper()
	s := chat.Sender{Kind: sms.AuthorPerson, ID: id, Name: "Anna <b>", Address: "192.0.2.7"}
	if _, _, err := b.o.Chat.Begin(ctx, s, chat.Wanted{To: to, Text: "hello", Mode: chat.Transaction}); err != nil {
		b.t.Fatal(err)
	}
}

func TestBlockedNumbersByTheAPI(t *testing.T) {
	b := newBox(t, settings{})
	h := bearer(b.admin)
	a := b.post("/v1/blocked-numbers", b.admin, `{"number":"+49 171 1234567","reason":"threats"}`).want(201)
	if got := a.Header().Get("Location"); got != "/v1/blocked-numbers/+491711234567" {
		t.Error(got)
	}
	b.post("/v1/blocked-numbers", b.admin, `{"number":"x!","reason":"`+strings.Repeat("x", 201)+`"}`).problem(invalidFields, "reason")
	b.post("/v1/blocked-numbers", b.admin, `{"number":"12"}`).problem(invalidFields, "number")
	b.post("/v1/blocked-numbers", b.read, `{"number":"+491711234567"}`).problem(wrongScope)
	var list struct {
		Numbers []struct{ Number, Reason string } `json:"blocked_numbers"`
	}
	b.ask("GET", "/v1/blocked-numbers", h, "").want(200).into(&list)
	if len(list.Numbers) != 1 || list.Numbers[0].Number != "+491711234567" || list.Numbers[0].Reason != "threats" {
		t.Errorf("%+v", list)
	}
	b.post("/v1/conversations", b.admin, `{"to":"+491711234567","text":"hi"}`).problem(blockedNumber, "to")
	b.ask("DELETE", "/v1/blocked-numbers/"+url.PathEscape("+491711234567"), h, "").want(204)
	b.ask("DELETE", "/v1/blocked-numbers/"+url.PathEscape("+491711234567"), h, "").problem(notFound)
}

func TestSendersByTheAPI(t *testing.T) {
	b := newBox(t, settings{})
	h := bearer(b.admin)
	b.wrote("usr_anna", "+491711234567")
	b.wrote("usr_bert", "+491711234568")
	type sender struct {
		ID, Kind string
		Blocked  bool
		Reason   *string
		Answers  chat.Thresholds
	}
	var page struct {
		Senders []sender
		Next    *string `json:"next_cursor"`
	}
	b.ask("GET", "/v1/senders?limit=1&kind=person", h, "").want(200).into(&page)
	if len(page.Senders) != 1 || page.Next == nil {
		t.Fatalf("%+v", page)
	}
	first := page.Senders[0].ID
	b.ask("GET", "/v1/senders?limit=1&cursor="+url.QueryEscape(*page.Next), h, "").want(200).into(&page)
	if len(page.Senders) != 1 || page.Next != nil || page.Senders[0].ID == first {
		t.Fatalf("%+v", page)
	}
	var s sender
	b.post("/v1/senders/usr_anna/block", b.admin, `{"reason":"advertises"}`).want(200).into(&s)
	if !s.Blocked || s.Reason == nil || *s.Reason != "advertises" {
		t.Errorf("%+v", s)
	}
	b.ask("POST", "/v1/senders/addr_2001:db8::/block", h, "").want(200)
	b.ask("GET", "/v1/senders?state=blocked", h, "").want(200).into(&page)
	if len(page.Senders) != 2 {
		t.Errorf("%+v", page)
	}
	b.ask("POST", "/v1/senders/usr_anna/reopen", h, "").want(200).into(&s)
	if s.Blocked {
		t.Errorf("%+v", s)
	}
	b.ask("POST", "/v1/senders/nobody/reopen", h, "").problem(notFound)
	b.ask("POST", "/v1/senders/addr_nonsense/block", h, "").problem(notFound)
	b.ask("GET", "/v1/senders?state=x&kind=y", h, "").problem(invalidFields, "state", "kind")
	b.ask("GET", "/v1/senders?cursor=x", h, "").problem(invalidFields, "cursor")
	b.ask("GET", "/v1/senders", bearer(b.read), "").problem(wrongScope)
}

func TestChatRulesByTheAPI(t *testing.T) {
	b := newBox(t, settings{})
	h := bearer(b.admin)
	put := func(body string) *answer {
		return b.ask("PUT", "/v1/chat/rules", h.with("Content-Type", "application/json"), body)
	}
	var r chat.AbuseRules
	put(`{"keywords":["casino"],"thresholds":{"spam":1},"limits":{"visitor":{"per_day":5}},"puzzles":false}`).want(200).into(&r)
	d := chat.DefaultAbuseRules()
	if r.Keywords[0] != "casino" || r.Thresholds != (chat.Thresholds{Spam: 1, Threat: d.Thresholds.Threat, Stop: d.Thresholds.Stop}) ||
		r.Limits.Visitor.PerDay != 5 || r.Limits.Visitor.PerMinute != d.Limits.Visitor.PerMinute || r.Puzzles {
		t.Errorf("%+v", r)
	}
	put(`{"invitations":{"all":7},"abroad":true}`).want(200).into(&r)
	if r.Invitations.All != 7 || r.Invitations.Number != d.Invitations.Number || !r.Abroad {
		t.Errorf("%+v", r)
	}
	put(`{"invitations":{"all":-1}}`).problem(invalidFields, "invitations.all")
	put(`{"keywords":["casino"]}`).want(200)
	put(`{"keywords":["!"],"destinations":["XX"],"number_types":["king"],"same_text":-1,"limits":{"person":{"per_hour":-1}}}`).
		problem(invalidFields, "keywords[0]", "destinations[0]", "number_types[0]", "limits.person.per_hour", "same_text")
	put(`{"colour":"red"}`).problem(invalidFields, "colour")
	b.ask("GET", "/v1/chat/rules", h, "").want(200).into(&r)
	if len(r.Keywords) != 1 {
		t.Errorf("%+v", r)
	}
	b.post("/v1/conversations", b.admin, `{"to":"+491711234567","text":"our Casino"}`).problem(keywordRefused, "text")
}

func TestAbusePage(t *testing.T) {
	b := newBox(t, settings{})
	anna := b.signInAs(auth.Person{Name: "anna", Role: auth.Administrator}).with("Sec-Fetch-Site", "same-origin")
	b.wrote("usr_other", "+491711234567")
	page := b.ask("GET", "/abuse?senders=all", anna, "").want(200).Body.String()
	if !strings.Contains(page, "Anna &lt;b&gt;") || !strings.Contains(page, `href="/abuse" aria-current`) {
		t.Errorf("the page: %s", page)
	}
	for _, step := range []struct {
		status int
		says   string
		values []string
	}{
		{200, "Blocked. Nothing more goes out", []string{"do", "block", "id", "usr_other", "reason", "advertises"}},
		{200, "Open again", []string{"do", "reopen", "id", "usr_other"}},
		{200, "The number is blocked", []string{"do", "block-number", "number", "+491711234568", "reason", "<i>threats</i>"}},
		{200, "not blocked any more", []string{"do", "unblock-number", "number", "+491711234568"}},
		{422, "The number: has 2 digits", []string{"do", "block-number", "number", "12"}},
		{422, "Words and phrases, entry 2: has no letter", []string{"do", "rules", "keywords", "one\n!!", "count_days", "x"}},
		{422, "Each person, an hour: must be a whole number", []string{"do", "rules", "keywords", "one"}},
		{200, "defaults again", []string{"do", "defaults"}},
		{404, "", []string{"do", "reopen", "id", "nobody"}},
		{400, "", []string{"do", "dance"}},
	} {
		page := html.UnescapeString(b.form("/abuse", anna, step.values...).want(step.status).Body.String())
		if !strings.Contains(page, step.says) {
			t.Errorf("%q: %s", step.values, page)
		}
	}
	rules := []string{"do", "rules", "keywords", "casino\nfree money", "destinations", "DE, +43", "number_types", "mobile", "puzzles", "yes",
		"thresholds.spam", "1", "thresholds.threat", "2", "thresholds.stop", "0", "widget_threshold", "9", "count_days", "10", "same_text", "4"}
	for _, l := range limitTitles {
		rules = append(rules, "limits."+l.name+".per_minute", "1", "limits."+l.name+".per_hour", "2", "limits."+l.name+".per_day", "3")
	}
	b.form("/abuse", anna, append(rules, "invitations.all", "x")...).want(422)
	b.form("/abuse", anna, append(rules, "invitations.all", "77", "abroad", "yes")...).want(200)
	if r := b.o.Chat.AbuseRules(); r.Invitations.All != 77 || r.Invitations.Widget != chat.DefaultAbuseRules().Invitations.Widget || !r.Abroad {
		t.Errorf("%+v", r)
	}
	b.form("/abuse", anna, rules...).want(200)
	r := b.o.Chat.AbuseRules()
	if len(r.Keywords) != 2 || len(r.Destinations) != 2 || len(r.NumberTypes) != 1 || !r.Puzzles || r.PreferCarrier || r.SameText != 4 ||
		r.Limits.Widget != (chat.Rate{PerMinute: 1, PerHour: 2, PerDay: 3}) || r.Thresholds != (chat.Thresholds{Spam: 1, Threat: 2}) {
		t.Errorf("%+v", r)
	}
	b.ask("GET", "/abuse", b.signInAs(auth.Person{Name: "bert", Role: auth.Operator}), "").problem(wrongScope)
	b.form("/abuse", anna.with("Sec-Fetch-Site", "cross-site"), "do", "defaults").problem(foreignOrigin)
}
