package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/contacts"
	"gatewayd/queue"
	"gatewayd/sms"
)

// contactsView is the page of the contacts.
type contactsView struct {
	Said     *saidView
	Q        string
	Group    *contacts.Group // that is shown alone; nil: all
	Groups   []contacts.Group
	Contacts []contactLine
	Next     string // leads on, "" at the end
	First    string // leads back, "" on the first page
	Filtered bool
	MayWrite bool
	MayChat  bool
	Teams    bool   // they may be of several
	CSV, Vcf string // where the export is
	NewGroup string // that was typed, when it was refused
	ClientID string // of the next text to a group
	Write    groupForm
}

// groupForm is the form that writes to a group.
type groupForm struct {
	Text, Subject, Mode string
	Hub                 chat.Hub // it offers the ways if the gateway belongs to one
	Files               []sms.File
	Members             []memberChoice
	Chosen              map[string]bool // of an earlier try
}

type memberChoice struct {
	ID, Name string
	In       bool
	Inbox    bool // internet reaches it now
	Online   bool
}

type contactLine struct {
	ID, Name, Number, Organisation, Team string
	More                                 int // numbers
	Groups                               []contacts.GroupName
	Consent                              bool
}

func (a *API) contactsPage(c echo.Context) error {
	return a.showContacts(c, http.StatusOK, contactsView{}, c.QueryParam("group"))
}

func (a *API) showContacts(c echo.Context, status int, v contactsView, group string) error {
	ctx, key := c.Request().Context(), keyOf(c)
	known, of, err := a.known(key, nil)
	if err != nil {
		return err
	}
	v.ClientID = rand.Text()
	v.MayWrite, v.MayChat, v.Teams = key.Can(auth.Send), a.o.Chat != nil && key.Can(auth.Send), of.Any
	if v.Groups, err = known.Groups(ctx, of); err != nil {
		return err
	}
	v.Q = shortenTo(strings.TrimSpace(c.QueryParam("q")), longestSearch)
	f := contacts.Filter{Q: v.Q, Group: group, Cursor: c.QueryParam("cursor"), Limit: 100}
	if i := slices.IndexFunc(v.Groups, func(g contacts.Group) bool { return g.ID == group }); i >= 0 {
		v.Group = &v.Groups[i]
	} else if group != "" {
		return contacts.ErrNoGroup
	}
	if v.Group != nil && v.MayChat && v.Group.Members <= maxGroupMessages {
		if err := a.fillWrite(ctx, known, of, group, &v.Write); err != nil {
			return err
		}
	}
	page, next, err := known.List(ctx, of, f)
	if err != nil {
		return err
	}
	for i := range page {
		p := &page[i]
		l := contactLine{ID: p.ID, Name: p.Name, Organisation: p.Organisation, Team: p.Team, Groups: p.Groups, Consent: p.Consent != nil, More: len(p.Numbers) - 1}
		if len(p.Numbers) > 0 {
			l.Number = p.Numbers[0]
		}
		v.Contacts = append(v.Contacts, l)
	}
	values := url.Values{}
	for name, value := range map[string]string{"q": v.Q, "group": group} {
		if value != "" {
			values.Set(name, value)
		}
	}
	v.Filtered = len(values) > 0
	if f.Cursor != "" {
		v.First = "/contacts?" + values.Encode()
	}
	v.CSV = "/v1/contacts/export?" + with(values, "format", "csv")
	v.Vcf = "/v1/contacts/export?" + with(values, "format", "vcard")
	if next != "" {
		v.Next = "/contacts?" + with(values, "cursor", next)
	}
	frame := a.frame(c, "Contacts")
	frame.Style = "contacts.css"
	return a.page(c, status, "contacts.html", frame, v)
}

// fillWrite puts the members into the form, with how they can be reached.
func (a *API) fillWrite(ctx context.Context, known *contacts.Contacts, of contacts.Of, group string, w *groupForm) error {
	w.Hub = a.o.Chat.Hub()
	members, err := chosen(ctx, known, of, groupLetter{Group: group})
	if err != nil {
		return err
	}
	var numbers []string
	for _, m := range members {
		numbers = append(numbers, m.Numbers...)
	}
	who := a.o.Chat.Presence(ctx, numbers)
	for _, m := range members {
		p := who[reached(m.Numbers, who)]
		w.Members = append(w.Members, memberChoice{m.ID, m.Name, w.Chosen[m.ID], p.Inbox, p.Online})
	}
	return nil
}

// with is a query with one more parameter.
func with(values url.Values, name, value string) string {
	all := url.Values{name: {value}}
	for n, v := range values {
		all[n] = v
	}
	return all.Encode()
}

func shortenTo(s string, most int) string {
	if r := []rune(strings.ToValidUTF8(s, "\uFFFD")); len(r) > most {
		return string(r[:most])
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// changeContacts is a button of the page of contacts.
func (a *API) changeContacts(c echo.Context) error {
	form, err := a.readGroupForm(c)
	if err != nil {
		return err
	}
	ctx, key, id := context.WithoutCancel(c.Request().Context()), keyOf(c), form.Get("group")
	known, of, err := a.known(key, nil)
	if err != nil {
		return err
	}
	done, show := "", id
	switch form.Get("do") {
	case "add-group":
		var g *contacts.Group
		if g, err = known.AddGroup(ctx, teamOf(key), form.Get("name")); err == nil {
			done, show = "The group “"+g.Name+"” is made.", g.ID
		}
	case "rename-group":
		done = "The group is renamed."
		_, err = known.RenameGroup(ctx, of, id, form.Get("name"))
	case "delete-group":
		done, show = "The group is deleted; its members stay.", ""
		err = known.DeleteGroup(ctx, of, id)
	case "write":
		return a.writeToGroup(c, known, of, form)
	default:
		return badRequest.because("The form does not say what to do.")
	}
	v := contactsView{Said: &saidView{Kind: good, Title: done}}
	status, said := refusedContacts(err)
	if said != nil {
		v = contactsView{Said: said, NewGroup: form.Get("name")}
		show = id
	} else if err != nil {
		return err
	}
	return a.showContacts(c, status, v, show)
}

// writeToGroup sends a text to members of a group, all if none is chosen, and says to
// whom it did not go.
func (a *API) writeToGroup(c echo.Context, known *contacts.Contacts, of contacts.Of, form url.Values) error {
	l := groupLetter{Group: form.Get("group"), Letter: chat.Letter{Text: strings.TrimSpace(strings.ReplaceAll(form.Get("text"), "\r\n", "\n")),
		ClientID: shortenTo(form.Get("client_id"), 64), Subject: strings.TrimSpace(form.Get("subject")), Mode: sms.Mode(form.Get("mode")), Files: form["file"]}}
	if members := form["member"]; len(members) > 0 {
		l.Members = &members
	}
	typed := groupForm{Text: l.Text, Subject: l.Subject, Mode: string(l.Mode), Chosen: map[string]bool{}}
	for _, id := range form["member"] {
		typed.Chosen[id] = true
	}
	refuse := func(status int, title string, lines ...string) error {
		typed.Files = a.attached(c, l.Files)
		return a.showContacts(c, status, contactsView{Said: &saidView{Kind: bad, Title: title, Lines: lines}, Write: typed}, l.Group)
	}
	switch {
	case l.Text == "" && len(l.Files) == 0:
		return refuse(http.StatusUnprocessableEntity, "Write a text first")
	case len(l.Files) > chat.MostFiles:
		return refuse(http.StatusUnprocessableEntity, fmt.Sprintf("%d files go with a message at most", chat.MostFiles))
	}
	r := c.Request()
	ctx := context.WithValue(r.Context(), incomingKey{}, &incoming{request: r, key: keyOf(c), caller: a.callerOf(c)})
	answer, err := a.messageGroup(ctx, known, of, l)
	if p := (*problem)(nil); errors.As(err, &p) && p.kind == conflict {
		return refuse(http.StatusConflict, "That was not possible", p.detail)
	}
	if err != nil {
		return err
	}
	said := &saidView{Kind: good, Title: countOf(answer.Accepted, "message is on its way", "messages are on their way")}
	byInternet := 0
	for _, one := range answer.Results {
		if or(one.Via, "") == "internet" {
			byInternet++
		}
	}
	if byInternet > 0 {
		said.Lines = append(said.Lines, fmt.Sprintf("%d by internet, %d by SMS.", byInternet, answer.Accepted-byInternet))
	}
	if answer.Invited > 0 {
		said.Lines = append(said.Lines, countOf(answer.Invited, "member was", "members were")+" asked first: the text goes out once they say YES.")
	}
	const most = 20
	for _, one := range answer.Results {
		if one.Error != nil && len(said.Lines) < most {
			said.Kind, said.Lines = warn, append(said.Lines, one.Name+": "+one.Error.Detail)
		}
	}
	return a.showContacts(c, http.StatusOK, contactsView{Said: said}, l.Group)
}

// refusedContacts is what a page says of an error that people can mend; nil: it is
// none of these.
func refusedContacts(err error) (status int, said *saidView) {
	var wrong contacts.Refused
	switch {
	case err == nil:
		return http.StatusOK, nil
	case errors.As(err, &wrong):
		s := &saidView{Kind: bad, Title: "That can’t be stored"}
		for _, m := range wrong {
			s.Lines = append(s.Lines, capital(fieldWords(m.Field))+" "+m.Detail+".")
		}
		return http.StatusUnprocessableEntity, s
	case errors.Is(err, queue.ErrConflict):
		return http.StatusConflict, &saidView{Kind: bad, Title: "That was not possible", Lines: []string{capital(err.Error()) + "."}}
	}
	return 0, nil
}

// fieldWords names a field as the form does.
func fieldWords(field string) string {
	first, index, _ := strings.Cut(field, "/")
	switch {
	case first == "numbers" && index != "":
		return "a number"
	case first == "numbers":
		return "the numbers"
	case field == "consent/wording":
		return "the consent"
	case field == "consent/at":
		return "the day of the consent"
	}
	if first == "email" {
		first = "e-mail address"
	}
	return "the " + first
}

// contactView is the page of one contact, or the form of a new one.
type contactView struct {
	Said      *saidView
	ID        string // "": a new one
	Title     string
	Form      contactForm
	Groups    []groupChoice
	Number    string // the first one
	CreatedAt time.Time
	UpdatedAt time.Time
	MayWrite  bool
	MayChat   bool
}

// contactForm is what is filled in.
type contactForm struct{ Name, Numbers, Email, Organisation, Note, Language, Consent, ConsentAt string }

type groupChoice struct {
	ID, Name string
	In       bool
}

// newContactPage is GET /contacts/new; a number may be given with it.
func (a *API) newContactPage(c echo.Context) error {
	return a.showContact(c, http.StatusOK, contactView{Form: contactForm{Name: shortenTo(c.QueryParam("name"), contacts.MaxName), Numbers: shortenTo(c.QueryParam("number"), 40)}}, nil)
}

func (a *API) contactPage(c echo.Context) error {
	known, of, err := a.known(keyOf(c), nil)
	if err != nil {
		return err
	}
	found, err := known.Get(c.Request().Context(), of, param(c, "id"))
	if err != nil {
		return err
	}
	return a.showContact(c, http.StatusOK, contactView{Form: filledBy(found)}, found)
}

func filledBy(c *contacts.Contact) contactForm {
	f := contactForm{Name: c.Name, Numbers: strings.Join(c.Numbers, "\n"), Email: c.Email, Organisation: c.Organisation, Note: c.Note, Language: c.Language}
	if c.Consent != nil {
		f.Consent, f.ConsentAt = c.Consent.Wording, c.Consent.At.In(time.Local).Format(time.DateOnly)
	}
	return f
}

// showContact shows a form as it is filled in; found is the contact that is there.
func (a *API) showContact(c echo.Context, status int, v contactView, found *contacts.Contact) error {
	key := keyOf(c)
	known, _, err := a.known(key, nil)
	if err != nil {
		return err
	}
	team := teamOf(key)
	v.Title, v.MayWrite = "New contact", key.Can(auth.Send)
	if found != nil {
		team, v.ID, v.Title, v.CreatedAt, v.UpdatedAt = found.Team, found.ID, found.Name, found.CreatedAt, found.UpdatedAt
		v.MayChat = a.o.Chat != nil && v.MayWrite
		if len(found.Numbers) > 0 {
			v.Number = found.Numbers[0]
		}
	}
	groups, err := known.Groups(c.Request().Context(), contacts.Of{Team: team})
	if err != nil {
		return err
	}
	for _, g := range groups {
		v.Groups = append(v.Groups, groupChoice{g.ID, g.Name, found != nil && slices.ContainsFunc(found.Groups, func(in contacts.GroupName) bool { return in.ID == g.ID })})
	}
	frame := a.frame(c, v.Title)
	frame.Style = "contacts.css"
	return a.page(c, status, "contact.html", frame, v)
}

// pressContact is a button of a contact's page, or of the form of a new one.
func (a *API) pressContact(c echo.Context) error {
	form, err := readForm(c)
	if err != nil {
		return err
	}
	ctx, key, id := context.WithoutCancel(c.Request().Context()), keyOf(c), param(c, "id")
	known, of, err := a.known(key, nil)
	if err != nil {
		return err
	}
	var before, after *contacts.Contact
	if id != "" {
		if before, err = known.Get(ctx, of, id); err != nil {
			return err
		}
	}
	switch do := form.Get("do"); {
	case do == "delete" && id != "":
		if err := known.Delete(ctx, of, id); err != nil {
			return err
		}
		return a.showContacts(c, http.StatusOK, contactsView{Said: &saidView{Kind: good, Title: before.Name + " is deleted."}}, "")
	case do != "save":
		return badRequest.because("The form does not say what to do.")
	case before == nil:
		wanted := contacts.Contact{Team: teamOf(key)}
		if err = fillIn(&wanted, form); err == nil {
			after, err = known.Create(ctx, key.ID, wanted)
		}
	default:
		var wrong error
		after, err = known.Change(ctx, of, key.ID, id, func(c *contacts.Contact) { wrong = fillIn(c, form) })
		if wrong != nil {
			after, err = nil, wrong
		}
	}
	if status, said := refusedContacts(err); said != nil {
		return a.showContact(c, status, contactView{Said: said, Form: contactForm{form.Get("name"), form.Get("numbers"), form.Get("email"), form.Get("organisation"),
			form.Get("note"), form.Get("language"), form.Get("consent"), form.Get("consent_at")}}, before)
	}
	if err != nil {
		return err
	}
	return a.showContact(c, http.StatusOK, contactView{Said: &saidView{Kind: good, Title: after.Name + " is saved."}, Form: filledBy(after)}, after)
}

// fillIn takes what a form says.
func fillIn(c *contacts.Contact, form url.Values) error {
	c.Name, c.Email, c.Organisation = form.Get("name"), form.Get("email"), form.Get("organisation")
	c.Note, c.Language = form.Get("note"), form.Get("language")
	c.Numbers = nil
	for _, n := range strings.FieldsFunc(form.Get("numbers"), func(r rune) bool { return r == '\n' || r == '\r' || r == ',' || r == ';' }) {
		if n = strings.TrimSpace(n); n != "" {
			c.Numbers = append(c.Numbers, n)
		}
	}
	had := c.Consent
	c.Consent = nil
	if wording := strings.TrimSpace(form.Get("consent")); wording != "" {
		c.Consent = &contacts.Consent{Wording: wording}
		if day := form.Get("consent_at"); day != "" {
			at, err := time.ParseInLocation(time.DateOnly, day, time.Local)
			if err != nil {
				return contacts.Refused{{Field: "consent/at", Detail: "is no day such as 2026-11-27"}}
			}
			c.Consent.At = at
		}
		// The form has the day alone: a moment of that day stays as it is.
		if had != nil && had.Wording == wording && had.At.In(time.Local).Format(time.DateOnly) == form.Get("consent_at") {
			c.Consent = had
		}
	}
	c.Groups = nil
	for _, id := range form["groups"] {
		c.Groups = append(c.Groups, contacts.GroupName{ID: id})
	}
	return nil
}
