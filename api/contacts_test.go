package api

import (
	"bytes"
	"fmt"
	"html"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatewayd/auth"
	"gatewayd/contacts"
	"gatewayd/db"
	"gatewayd/queue"
)

// made is the id of what a request has made.
func (a *answer) made() string {
	a.t.Helper()
	var v struct{ ID string }
	a.want(http.StatusCreated).into(&v)
	if got := a.Header().Get("Location"); !strings.HasSuffix(got, "/"+v.ID) {
		a.t.Errorf("made %s at %s", v.ID, got)
	}
	return v.ID
}

func TestContactsByAPI(t *testing.T) {
	b := newBox(t, settings{change: func(o *Options) { o.Region = func() string { return "DE" } }})
	anna := b.post("/v1/contacts", b.send, `{"name":"Anna","numbers":["0170 1234567"],"consent":{"wording":"Form","at":"2026-05-02T00:00:00Z"}}`).made()
	p := b.post("/v1/contacts", b.send, `{"name":"Bert","numbers":["+491701234567"]}`).problem(conflict)
	if !strings.Contains(p.Detail, `in the contact "Anna" already`) {
		t.Error(p.Detail)
	}
	b.post("/v1/contacts", b.send, `{"name":"\u0007","numbers":["12","x"],"email":"x","language":"xx-"}`).problem(invalidFields, "name", "numbers/0", "numbers/1", "email", "language")
	b.post("/v1/contacts", b.read, `{"name":"Bert","numbers":["+491701234568"]}`).problem(wrongScope)
	bert := b.post("/v1/contacts", b.send, `{"name":"Bert","numbers":["+491701234568"],"team":"shop"}`).made()
	var list struct {
		Contacts []contacts.ContactView
		Next     *string `json:"next_cursor"`
	}
	names := func(query string) string {
		t.Helper()
		list.Contacts, list.Next = nil, nil
		b.get("/v1/contacts" + query).want(200).into(&list)
		var all []string
		for _, c := range list.Contacts {
			all = append(all, c.Name)
		}
		return strings.Join(all, " ")
	}
	for query, want := range map[string]string{"": "Anna Bert", "?q=ann": "Anna", "?team=shop": "Bert", "?number=01701234568": "Bert", "?number=%2B4911111111": "", "?q=567": "Anna"} {
		if got := names(query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if got := names("?limit=1"); got != "Anna" || list.Next == nil || names("?limit=1&cursor="+*list.Next) != "Bert" || list.Next != nil {
		t.Error("pages: ", got)
	}
	b.ask("GET", "/v1/contacts?cursor=x", bearer(b.read), "").problem(invalidFields, "cursor")

	club := b.post("/v1/groups", b.send, `{"name":"Club"}`).made()
	b.post("/v1/groups", b.send, `{"name":"club"}`).problem(conflict)
	b.post("/v1/groups/"+club+"/members", b.send, fmt.Sprintf(`{"contacts":[%q]}`, anna)).want(200)
	b.post("/v1/groups/"+club+"/members", b.send, fmt.Sprintf(`{"contacts":[%q]}`, bert)).problem(notFound) // of another team
	if got := names("?group=" + club); got != "Anna" {
		t.Error(got)
	}
	b.ask("PATCH", "/v1/contacts/"+anna, bearer(b.send), `{"note":"x","numbers":["+491701234567","+491701234569"],"groups":[]}`).want(200)
	var c contacts.ContactView
	b.get("/v1/contacts/" + anna).want(200).into(&c)
	if c.Note != "x" || len(c.Numbers) != 2 || len(c.Groups) != 0 || c.Consent == nil || c.Consent.Wording != "Form" {
		t.Errorf("%+v", c)
	}
	c = contacts.ContactView{}
	b.ask("PATCH", "/v1/contacts/"+anna, bearer(b.send), `{"consent":null}`).want(200).into(&c)
	if c.Consent != nil {
		t.Errorf("%+v", c.Consent)
	}
	b.ask("PATCH", "/v1/contacts/"+anna, bearer(b.send), `{"groups":["`+club+`"]}`).want(200)
	b.ask("PATCH", "/v1/groups/"+club, bearer(b.send), `{"name":"Verein"}`).want(200)
	b.ask("DELETE", "/v1/groups/"+club+"/members/"+anna, bearer(b.send), "").want(204)
	b.ask("DELETE", "/v1/groups/"+club+"/members/"+anna, bearer(b.send), "").problem(notFound)
	b.get("/v1/groups").want(200)
	b.ask("DELETE", "/v1/groups/"+club, bearer(b.send), "").want(204)
	b.get("/v1/groups/" + club).problem(notFound)

	var kept struct{ Contacts []contacts.ContactView }
	b.ask("GET", "/v1/numbers/+491701234567/export", bearer(b.admin), "").want(200).into(&kept)
	if len(kept.Contacts) != 1 || kept.Contacts[0].ID != anna {
		t.Errorf("exported: %+v", kept)
	}
	b.ask("DELETE", "/v1/numbers/+491701234568", bearer(b.admin), "").want(200)
	b.get("/v1/contacts/" + bert).problem(notFound)
	b.ask("DELETE", "/v1/contacts/"+anna, bearer(b.send), "").want(204)
	if got := names(""); got != "" {
		t.Error(got)
	}
}

func TestContactFilesByAPI(t *testing.T) {
	b := newBox(t, settings{change: func(o *Options) { o.Region = func() string { return "DE" } }})
	csv := bearer(b.send).with("Content-Type", "text/csv; charset=utf-8")
	const file = "name,phone\nAnna,01701234567\n=1+1,0170123456\nBert,x\n"
	var said importView
	b.ask("POST", "/v1/contacts/import?dry_run=true", csv, file).want(200).into(&said)
	if said.Stored || said.New != 2 || said.Wrong != 1 || len(said.Details) != 1 || said.Details[0].Line != 4 {
		t.Errorf("%+v", said)
	}
	b.ask("POST", "/v1/contacts/import", csv, file).problem(invalidFields, "line 4, number")
	b.ask("POST", "/v1/contacts/import?rows=good", csv, file).want(200).into(&said)
	if !said.Stored || said.New != 2 {
		t.Errorf("%+v", said)
	}
	b.ask("POST", "/v1/contacts/import", csv, "name\nAnna\n").problem(badRequest)
	b.ask("POST", "/v1/contacts/import", bearer(b.send), file).problem(wrongMediaType)
	b.ask("POST", "/v1/contacts/import?group=grp_x", csv, file).problem(notFound)
	b.ask("POST", "/v1/contacts/import?rows=some", csv, file).problem(invalidFields, "rows")
	b.ask("POST", "/v1/contacts/import", bearer(b.send).with("Content-Type", "text/vcard"), "BEGIN:VCARD\nFN:Carl\nTEL:+491701234569\nEND:VCARD\n").want(200)

	a := b.get("/v1/contacts/export?separator=semicolon").want(200)
	if got := a.Body.String(); !strings.Contains(got, "\r\n'=1+1;+49170123456;") || !strings.HasPrefix(got, "\ufeffname;number;") || !strings.Contains(a.Header().Get("Content-Disposition"), "contacts.csv") {
		t.Errorf("%q", got)
	}
	if got := b.get("/v1/contacts/export?format=vcard&q=carl").want(200).Body.String(); strings.Count(got, "BEGIN:VCARD") != 1 || !strings.Contains(got, "TEL;TYPE=CELL,PREF:+491701234569\r\n") {
		t.Errorf("%q", got)
	}
	b.ask("GET", "/v1/contacts/export?format=xls", bearer(b.read), "").problem(invalidFields, "format")
}

// Each member gets a message of its own, or is told of; the same again sends nothing twice.
func TestGroupIsWrittenTo(t *testing.T) {
	b := newBox(t, settings{})
	group := b.post("/v1/groups", b.send, `{"name":"Club"}`).made()
	const stopped = "+491701234569"
	for i, name := range []string{"Anna", "Bert", "Carl"} {
		consent := `{"wording":"Form"}`
		if name == "Bert" {
			consent = "null"
		}
		b.post("/v1/contacts", b.send, fmt.Sprintf(`{"name":%q,"numbers":["+49170123456%d"],"groups":[%q],"consent":%s}`, name, 7+i, group, consent)).made()
	}
	if err := b.queue.Do(func(tx *db.Tx) error {
		return b.queue.OptOutTx(tx, stopped, queue.Source{Reason: queue.ReasonWord, Wording: "STOP"})
	}); err != nil {
		t.Fatal(err)
	}
	anna := b.signInAs(auth.Person{Name: "anna", Role: auth.Operator}).with("Sec-Fetch-Site", "same-origin")
	const body = `{"text":"No training tonight.","client_id":"x1","our_name":"Club"}`
	var first, second groupAnswer
	b.ask("POST", "/v1/groups/"+group+"/messages", anna, body).want(202).into(&first)
	var states []string
	for _, r := range first.Results {
		states = append(states, r.Name+" "+r.State)
	}
	if got := strings.Join(states, ", "); got != "Anna accepted, Bert invited, Carl refused" || first.Accepted != 1 || first.Invited != 1 || first.Refused != 1 {
		t.Errorf("%s: %+v", got, first)
	}
	if e := first.Results[2].Error; e == nil || e.Type != optedOut.Type() {
		t.Errorf("refused with %+v", e)
	}
	texts := func() string {
		all := []string{}
		for _, m := range b.messages() {
			all = append(all, m.To+" "+m.Text)
		}
		slices.Sort(all)
		return strings.Join(all, "|")
	}
	sent := texts()
	if !strings.Contains(sent, "+491701234567 No training tonight.") || strings.Contains(sent, stopped) || strings.Contains(sent, "+491701234568 No") {
		t.Error(sent)
	}
	b.ask("POST", "/v1/groups/"+group+"/messages", anna, body).want(202).into(&second)
	if got := texts(); got != sent || second.Results[0].Message == nil || *second.Results[0].Message != *first.Results[0].Message {
		t.Errorf("the second time: %s", got)
	}
	got := html.UnescapeString(b.form("/contacts", anna, "do", "write", "group", group, "text", "Back\r\ntomorrow", "client_id", "x2").want(200).Body.String())
	for _, want := range []string{"1 message is on its way", "Bert: The phone was asked", "Carl: "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	b.form("/contacts", anna, "do", "write", "group", group, "text", " ").want(422)
	b.ask("POST", "/v1/groups/grp_x/messages", anna, body).problem(notFound)
	page := b.ask("GET", "/messages", anna, "").want(200).Body.String()
	if !strings.Contains(page, `>Anna</span>`) {
		t.Error("the messages don't say the name")
	}
	if page := b.ask("GET", "/messages/"+*first.Results[0].Message, anna, "").want(200).Body.String(); !strings.Contains(page, `<span class="dim">Anna</span>`) {
		t.Error("the message does not say the name")
	}
}

// upload posts a form with a file.
func (b *box) upload(h header, file string, values ...string) *answer {
	b.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for i := 0; i < len(values); i += 2 {
		if err := w.WriteField(values[i], values[i+1]); err != nil {
			b.t.Fatal(err)
		}
	}
	if file != "" {
		part, err := w.CreateFormFile("file", "contacts.csv")
		if err != nil {
			b.t.Fatal(err)
		}
		fmt.Fprint(part, file)
	}
	w.Close()
	req := httptest.NewRequest("POST", "/contacts/import", &body)
	req.Header.Set("Content-Type", w.FormDataContentType())
	for k, v := range h {
		req.Header.Set(k, v)
	}
	rec := httptest.NewRecorder()
	b.handler.ServeHTTP(rec, req)
	conforms(b.t, req, rec)
	return &answer{b.t, "POST /contacts/import", rec}
}

func TestContactPages(t *testing.T) {
	b := newBox(t, settings{})
	anna := b.signInAs(auth.Person{Name: "anna", Role: auth.Operator}).with("Sec-Fetch-Site", "same-origin")
	page := func(a *answer, wanted ...string) string {
		t.Helper()
		got := a.Body.String()
		for _, s := range wanted {
			if !strings.Contains(got, s) {
				t.Errorf("%s: no %q in %s", a.what, s, got)
			}
		}
		return got
	}
	page(b.ask("GET", "/contacts", anna, "").want(200), `aria-current="page">Contacts`, "There are none yet")
	const evil = `<script>alert(1)</script>`
	got := page(b.form("/contacts/new", anna, "do", "save", "name", evil, "numbers", "+491701234567\r\n+491701234568", "note", evil, "organisation", evil).want(200), "is saved", html.EscapeString(evil))
	if strings.Contains(got, "<script>alert") {
		t.Error("a script")
	}
	got = page(b.form("/contacts/new", anna, "do", "save", "name", "Bert", "numbers", "+491701234567", "note", "typed").want(409), "in the contact", ">typed<", `value="Bert"`)
	if strings.Contains(got, "<script>alert") {
		t.Error("a script")
	}
	page(b.form("/contacts/new", anna, "do", "save", "name", "Bert", "numbers", "0170", "consent", "Form", "consent_at", "x").want(422), "The day of the consent is no day")
	page(b.form("/contacts/new", anna, "do", "save", "name", "Bert", "numbers", "0170").want(422), "A number has 4 digits")
	got = page(b.form("/contacts", anna, "do", "add-group", "name", "Club").want(200), "is made", "Nobody is in this group yet")
	group := regexp.MustCompile(`grp_\w+`).FindString(got)
	page(b.form("/contacts", anna, "do", "add-group", "name", "club").want(409), "There is a group named")
	page(b.form("/contacts", anna, "do", "rename-group", "group", group, "name", "Verein").want(200), "<h1>Verein</h1>")
	page(b.form("/contacts/new", anna, "do", "save", "name", "Bert", "numbers", "+491701234569", "groups", group, "consent", "Form", "consent_at", "2026-05-02").want(200), `value="2026-05-02"`, "checked")
	got = page(b.ask("GET", "/contacts?group="+group, anna, "").want(200), "Bert", "consent</span>")
	id := regexp.MustCompile(`/contacts/(con_\w+)`).FindStringSubmatch(got)[1]
	page(b.ask("GET", "/contacts?q=bert", anna, "").want(200), "Bert", "Found")
	page(b.ask("GET", "/contacts/"+id, anna, "").want(200), "Form")
	b.ask("GET", "/contacts/con_x", anna, "").problem(notFound)

	got = page(b.upload(anna, "name,phone,street\nCarl,+491701234570,x\nDora,y\n"+evil+",\n", "do", "preview", "group", group).want(200), "Import 1<", "left out", "“y” has the character", "Columns that are not read: street")
	if strings.Contains(got, "<script>alert") {
		t.Error("a script")
	}
	token := regexp.MustCompile(`name="token" value="(\w+)"`).FindStringSubmatch(got)[1]
	other := b.signInAs(auth.Person{Name: "bert", Role: auth.Operator}).with("Sec-Fetch-Site", "same-origin")
	page(b.upload(other, "", "do", "import", "token", token).want(422), "not there any more")
	page(b.upload(anna, "", "do", "import", "token", token).want(200), "1 contact is new", "Carl")
	page(b.upload(anna, "", "do", "import", "token", token).want(422), "not there any more")
	page(b.upload(anna, "", "do", "preview").want(422), "Choose a file first")
	page(b.upload(anna, "PK\x00", "do", "preview").want(422), "can’t be imported")
	b.upload(anna.with("Sec-Fetch-Site", "cross-site"), "", "do", "import").problem(foreignOrigin)
	b.form("/contacts", anna, "do", "dance").problem(badRequest)

	shop := b.signInAs(auth.Person{Name: "carl", Role: auth.Operator, Team: "shop"}).with("Sec-Fetch-Site", "same-origin")
	page(b.ask("GET", "/contacts", shop, "").want(200), "There are none yet")
	b.ask("GET", "/contacts/"+id, shop, "").problem(notFound)
	b.ask("GET", "/v1/contacts?team=other", shop, "").problem(wrongScope)
	tess := b.signInAs(auth.Person{Name: "tess", Role: auth.Technician, SeesTexts: true}).with("Sec-Fetch-Site", "same-origin")
	if got := page(b.ask("GET", "/contacts/"+id, tess, "").want(200), "disabled"); strings.Contains(got, `value="delete"`) {
		t.Error("a technician may delete")
	}
	b.form("/contacts/"+id, tess, "do", "delete").problem(wrongScope)
	page(b.form("/contacts/"+id, anna, "do", "delete").want(200), "Bert is deleted")
	page(b.form("/contacts", anna, "do", "delete-group", "group", group).want(200), "its members stay", "Carl")
}
