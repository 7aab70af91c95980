package api

import (
	"net/http/httptest"
	"strings"
	"testing"

	"gatewayd/auth"
)

// A person changes what recipients are told, and nothing else, and no key does.
func TestProfileOfWhoIsSignedIn(t *testing.T) {
	b := newBox(t, settings{})
	anna := b.signInAs(auth.Person{Name: "anna", Role: auth.Operator}).with("Sec-Fetch-Site", "same-origin")
	var p struct {
		Name, Role  string
		DisplayName *string `json:"display_name"`
		SignOff     *string `json:"sign_off"`
		Team        *string
	}
	b.ask("GET", "/v1/profile", anna, "").want(200).into(&p)
	if p.Name != "anna" || p.DisplayName != nil {
		t.Errorf("%+v", p)
	}
	b.ask("PATCH", "/v1/profile", anna, `{"display_name":"Anna, Example Shop","sign_off":"Yours, Anna"}`).want(200).into(&p)
	if *p.DisplayName != "Anna, Example Shop" || *p.SignOff != "Yours, Anna" {
		t.Errorf("%+v", p)
	}
	for _, body := range []string{`{"role":"admin"}`, `{"team":"other"}`, `{"sign_off":"` + strings.Repeat("x", 41) + `"}`, `{"display_name":"a\nb"}`} {
		b.ask("PATCH", "/v1/profile", anna, body).want(422)
	}
	b.ask("GET", "/v1/profile", bearer(b.admin), "").want(403)
	b.ask("PATCH", "/v1/profile", bearer(b.admin), `{"sign_off":"x"}`).want(403)

	b.ask("PATCH", "/v1/people/anna", bearer(b.admin), `{"team":"Sales"}`).want(200).into(&p)
	if *p.Team != "Sales" || *p.SignOff != "Yours, Anna" {
		t.Errorf("%+v", p)
	}
	page := b.ask("GET", "/account", anna, "").want(200).Body.String()
	for _, want := range []string{`value="Anna, Example Shop"`, `value="Yours, Anna"`, "the team Sales"} {
		if !strings.Contains(page, want) {
			t.Errorf("the account lacks %s", want)
		}
	}
	page = b.form("/account", anna, "do", "profile", "display_name", "Anna", "sign_off", "").want(200).Body.String()
	if !strings.Contains(page, "Recipients are told Anna from now on.") || strings.Contains(page, "Yours") {
		t.Error("the form of the account saves nothing")
	}
	b.form("/account", anna, "do", "profile", "display_name", "", "sign_off", "a\tb").want(422)
}

// An invitation goes by e-mail where it can, else it is a link to hand over.
func TestInvitationsByAPIAndPage(t *testing.T) {
	mails := true
	b := newBox(t, settings{change: func(o *Options) { o.Mails = func() bool { return mails } }})
	type invited struct {
		Code            string
		Email           *string
		InvitationEmail *struct{ State string } `json:"invitation_email"`
		InvitedUntil    *string                 `json:"invited_until"`
	}
	add := func(name string) (p invited) {
		b.post("/v1/people", b.admin, `{"name":"`+name+`","role":"operator","email":"`+name+`@example.org"}`).want(201).into(&p)
		return p
	}
	if p := add("anna"); p.Code != "" || p.InvitationEmail == nil || p.InvitationEmail.State != "waiting" || *p.Email != "anna@example.org" {
		t.Errorf("with a mail server: %+v", p)
	}
	var p invited
	b.post("/v1/people/anna/invite?by=code", b.admin, "").want(200).into(&p)
	if p.Code == "" || p.InvitationEmail != nil {
		t.Errorf("by code: %+v", p)
	}
	p = invited{}
	b.post("/v1/people/anna/invite", b.admin, "").want(200).into(&p)
	if p.Code != "" || p.InvitationEmail == nil {
		t.Errorf("again, by e-mail: %+v", p)
	}
	p = invited{}
	b.ask("DELETE", "/v1/people/anna/invite", bearer(b.admin), "").want(200).into(&p)
	if p.InvitationEmail != nil || p.InvitedUntil != nil {
		t.Errorf("withdrawn: %+v", p)
	}
	b.post("/v1/people", b.admin, `{"name":"bert","role":"operator"}`).want(201)
	b.post("/v1/people/bert/invite?by=email", b.admin, "").want(409)
	b.post("/v1/people/bert/invite?by=post", b.admin, "").want(422)
	b.post("/v1/people", b.admin, `{"name":"carl","role":"operator","email":"no address"}`).want(422)
	mails = false
	p = invited{}
	if p = add("dora"); p.Code == "" || p.InvitationEmail != nil {
		t.Errorf("without a mail server: %+v", p)
	}
	b.post("/v1/people/dora/invite?by=email", b.admin, "").want(409)

	page := b.ask("GET", "/people", bearer(b.admin), "").want(200).Body.String()
	if !strings.Contains(page, "dora@example.org") || strings.Contains(page, "Send the invitation again") || !strings.Contains(page, "<code>mail.host</code>") {
		t.Error("the page offers an e-mail without a mail server")
	}
	boss := b.signInAs(auth.Person{Name: "boss", Role: auth.Administrator}).with("Sec-Fetch-Site", "same-origin", "Host", "box.example:8443")
	page = b.form("/people", boss, "do", "add", "name", "emil", "role", "operator", "email", "emil@example.org", "team", "Sales").want(200).Body.String()
	if !strings.Contains(page, `href="http://box.example:8443/welcome#`) || !strings.Contains(page, `class="qr"`) {
		t.Error("no link with a QR code to hand over")
	}
	mails = true
	page = b.form("/people", boss, "do", "invite", "id", "emil").want(200).Body.String()
	if !strings.Contains(page, "The invitation is being sent by e-mail.") || strings.Contains(page, `class="qr"`) || !strings.Contains(page, "team Sales") {
		t.Error("the page does not tell of the e-mail")
	}
	page = b.form("/people", boss, "do", "withdraw", "id", "emil").want(200).Body.String()
	if !strings.Contains(page, "emil is not invited any more.") {
		t.Error("the page does not withdraw")
	}
	page = b.form("/people", boss, "do", "change", "id", "emil", "role", "operator", "team", "Support", "email", "", "display_name", "Emil E.", "sign_off", "").want(200).Body.String()
	if !strings.Contains(page, "team Support") || !strings.Contains(page, "recipients are told “Emil E.”") {
		t.Error("the page does not change a profile")
	}
}

// A link leads where others can go too.
func TestLinksLeadToTheBox(t *testing.T) {
	b := newBox(t, settings{})
	base := func(host string) string {
		r := httptest.NewRequest("GET", "/people", nil)
		r.Host = host
		return b.base(r)
	}
	for host, want := range map[string]string{"shop.local": "http://shop.local", "192.0.2.7:8080": "http://192.0.2.7:8080", "shop.local:80": "http://shop.local",
		"localhost:8080": "http://localhost:8080"} { // not on the local network: there is no better one
		if got := base(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	b.o.LAN = onLAN{}
	for _, host := range []string{"localhost:8080", "127.0.0.1", "[::1]:8080"} {
		if got := base(host); got != "https://shop.local" {
			t.Errorf("%s: %s", host, got)
		}
	}
}

type onLAN struct{}

func (onLAN) Addresses() []string { return []string{"https://shop.local", "https://192.0.2.7"} }
func (onLAN) Fingerprint() string { return "" }
func (onLAN) Authority() []byte   { return nil }
