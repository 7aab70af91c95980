package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/door"
)

// roleWords says every role in plain words.
var roleWords = map[auth.Role]string{
	auth.Technician:    "Technician: sees how the box is, tests and restarts modems",
	auth.Operator:      "Operator: sends and reads messages",
	auth.Administrator: "Admin: all of it, with keys, webhooks and people",
}

// roleView is one role to choose.
type roleView struct{ Role, Title string }

func viewRoles() (all []roleView) {
	for _, r := range auth.Roles {
		all = append(all, roleView{string(r), roleWords[r]})
	}
	return all
}

// peopleView is the page of the people.
type peopleView struct {
	Said   *saidView
	Code   *codeView
	People []personView
	Roles  []roleView
	Mails  bool   // invitations can go by e-mail
	Name   string // that was typed, when it was refused
	Role   string
	Email  string
	Team   string
	Teams  []string // that there are
}

// codeView is an invitation to hand over; it is shown this once.
type codeView struct {
	Name, Code, Link string
	Until            time.Time
	QR               qrView // of the link
}

type personView struct {
	ID, Name, Role        string
	Title                 string
	Pill                  pill
	Texts, Technician     bool
	Disabled, You         bool
	SignedInAt, CreatedAt time.Time
	InvitedUntil          time.Time
	Email, Team           string
	DisplayName, SignOff  string
	Waits                 bool // there is an invitation, or an e-mail with one
	Letter                string
	LetterKind            string
	LetterAt              time.Time
}

// tellLetter says how the e-mail with the invitation stands.
func (v *personView) tellLetter(l auth.Letter) {
	v.LetterAt = l.At
	switch l.State {
	case auth.LetterWaiting:
		v.Letter, v.LetterKind = "The invitation is being sent by e-mail.", idle
		if l.Error != "" {
			v.Letter, v.LetterKind = "The invitation could not be sent by e-mail yet: "+l.Error+". It is tried again at", warn
		}
	case auth.LetterSent:
		v.Letter, v.LetterKind = "The invitation was sent by e-mail", good
	case auth.LetterFailed:
		v.Letter, v.LetterKind = "The invitation could not be sent by e-mail: "+l.Error+". Correct the address, or hand over a link; given up", bad
	}
	if l.State == auth.LetterWaiting && l.Error == "" {
		v.LetterAt = time.Time{}
	}
}

func (a *API) peoplePage(c echo.Context) error {
	return a.showPeople(c, http.StatusOK, peopleView{})
}

func (a *API) showPeople(c echo.Context, status int, v peopleView) error {
	people, err := a.o.Keys.People(c.Request().Context())
	if err != nil {
		return err
	}
	if v.Roles = viewRoles(); v.Role == "" {
		v.Role = string(auth.Technician)
	}
	me := keyOf(c)
	for i := range people {
		v.People = append(v.People, viewPerson(&people[i], me, a.now()))
		if t := people[i].Team; t != "" && !slices.Contains(v.Teams, t) {
			v.Teams = append(v.Teams, t)
		}
	}
	v.Mails = a.mails()
	f := a.frame(c, "People")
	f.Style = "people.css"
	return a.page(c, status, "people.html", f, v)
}

func viewPerson(p *auth.Person, me *auth.Key, now time.Time) personView {
	v := personView{ID: p.ID, Name: p.Name, Role: string(p.Role), Title: roleWords[p.Role], Pill: pill{string(p.Role), good}, Texts: p.SeesTexts,
		Technician: p.Role == auth.Technician, Disabled: !p.DisabledAt.IsZero(), You: me.ID == p.ID, SignedInAt: p.SignedInAt, CreatedAt: p.CreatedAt,
		Email: p.Email, Team: p.Team, DisplayName: p.DisplayName, SignOff: p.SignOff, Waits: p.Letter.State != auth.NoLetter || !p.Invited.IsZero()}
	v.tellLetter(p.Letter)
	if !p.HasPassword {
		v.Pill = pill{"invited", idle}
		if v.InvitedUntil = p.Invited; !now.Before(p.Invited) {
			v.Pill, v.InvitedUntil = pill{"no password", warn}, time.Time{}
		}
	}
	if v.Disabled {
		v.Pill = pill{"disabled", bad}
	}
	return v
}

// changePeople is a button of the page.
func (a *API) changePeople(c echo.Context) error {
	if err := a.readForm(c, "This"); err != nil {
		return err
	}
	ctx, form, keys := c.Request().Context(), c.Request().PostForm, a.o.Keys
	id, role, texts := form.Get("id"), auth.Role(form.Get("role")), form.Get("sees_texts") != ""
	yes, no := true, false
	var p auth.Person
	var code, done, log string
	var err error
	switch form.Get("do") {
	case "add":
		done, log = "was added", "a person was added"
		p, code, err = a.addPerson(c.Request(), auth.Person{Name: form.Get("name"), Role: role, SeesTexts: texts,
			Email: strings.TrimSpace(form.Get("email")), Team: strings.TrimSpace(form.Get("team"))}, "")
	case "change":
		done, log = "was changed", "a person was changed"
		p, err = a.changePerson(ctx, id, form, role, texts)
	case "disable":
		done, log = "can't sign in any more", "a person was disabled"
		p, err = keys.ChangePerson(ctx, id, auth.PersonChange{Disabled: &yes})
	case "enable":
		done, log = "may sign in again", "a person was enabled"
		p, err = keys.ChangePerson(ctx, id, auth.PersonChange{Disabled: &no})
	case "invite":
		done, log = "has no password any more and needs the new code", "a person was invited to choose a new password"
		p, code, err = a.invitePerson(c.Request(), id, "")
	case "code":
		done, log = "has no password any more and needs the new code", "a person was invited to choose a new password"
		p, code, err = a.invitePerson(c.Request(), id, byCode)
	case "withdraw":
		done, log = "is not invited any more", "an invitation was withdrawn"
		p, err = keys.Withdraw(ctx, id)
	case "sign-out":
		done, log = "was signed out everywhere", "a person was signed out everywhere"
		p, err = keys.SignOutPerson(ctx, id)
	case "remove":
		done, log = "was removed", "a person was removed"
		p, err = keys.RemovePerson(ctx, id)
	default:
		return badRequest.because("The form does not say what to do.")
	}
	if v, status := a.refusedChange(err, form); status != 0 {
		return a.showPeople(c, status, v)
	}
	if err != nil {
		return err
	}
	a.audit(keyOf(c), log, &p)
	if _, _, err := a.identify(c.Request()); errors.Is(err, auth.ErrInvalid) {
		return a.toSignIn(c) // it was oneself
	}
	v := peopleView{Said: &saidView{Kind: good, Title: p.Name + " " + done + "."}}
	if code != "" {
		link := auth.WelcomeLink(a.base(c.Request()), code, p.Name)
		v.Code = &codeView{Name: p.Name, Code: code, Link: link, Until: p.Invited, QR: viewQR(link)}
	}
	return a.showPeople(c, http.StatusOK, v)
}

// refusedChange is what the page says of an error that people can mend; status 0:
// it is none of these.
func (a *API) refusedChange(err error, form url.Values) (v peopleView, status int) {
	var wrong *auth.WrongError
	switch {
	case errors.As(err, &wrong):
		v, status = peopleView{Said: &saidView{Kind: bad, Title: capital(wrong.Error()) + "."}}, http.StatusUnprocessableEntity
	case errors.Is(err, auth.ErrLastAdmin):
		v, status = peopleView{Said: &saidView{Kind: bad, Title: capital(err.Error()) + "."}}, http.StatusConflict
	default:
		return v, 0
	}
	if form.Get("do") == "add" {
		v.Name, v.Role, v.Email, v.Team = form.Get("name"), form.Get("role"), form.Get("email"), form.Get("team")
	}
	return v, status
}

// changePerson saves what the form says of somebody. What is the same is no change:
// the person need not sign in again for it.
func (a *API) changePerson(ctx context.Context, id string, form url.Values, role auth.Role, texts bool) (auth.Person, error) {
	p, err := a.o.Keys.Person(ctx, id)
	if err != nil {
		return p, err
	}
	var change auth.PersonChange
	if role != p.Role {
		change.Role = &role
	}
	if texts != p.SeesTexts && (role == auth.Technician || p.Role == auth.Technician) {
		change.SeesTexts = &texts
	}
	for name, field := range map[string]**string{"display_name": &change.Profile.DisplayName, "sign_off": &change.Profile.SignOff,
		"team": &change.Profile.Team, "email": &change.Profile.Email} {
		if form.Has(name) {
			value := form.Get(name)
			*field = &value
		}
	}
	if change == (auth.PersonChange{}) {
		return p, nil
	}
	return a.o.Keys.ChangePerson(ctx, id, change)
}

// welcomeView is the page where a code becomes a password.
type welcomeView struct {
	First             bool // there are no people yet: the code is the first-run code
	Code, Name, Error string
	Plain             bool
	Least             int // characters of a password
}

func (a *API) welcomePage(c echo.Context) error {
	return a.showWelcome(c, http.StatusOK, welcomeView{})
}

func (a *API) showWelcome(c echo.Context, status int, v welcomeView) error {
	var err error
	if v.First, err = a.o.Keys.Unclaimed(c.Request().Context()); err != nil {
		return err
	}
	v.Plain, v.Least = readable(c.Request()), auth.MinPassword
	f := a.frame(c, "Welcome")
	f.Style, f.Script = "people.css", "welcome.js"
	return a.page(c, status, "welcome.html", f, v)
}

// welcome makes the first admin of who has the first-run code, and gives somebody who
// was invited the password that was chosen.
func (a *API) welcome(c echo.Context) error {
	if err := a.readForm(c, "The form"); err != nil {
		return err
	}
	r := c.Request()
	ctx, form, who := r.Context(), r.PostForm, door.Guesser(r)
	v := welcomeView{Code: form.Get("code"), Name: form.Get("name")}
	refuse := func(status int, why string) error {
		v.Error = why
		return a.showWelcome(c, status, v)
	}
	if form.Get("password") != form.Get("again") {
		return refuse(http.StatusUnprocessableEntity, "The two passwords are not the same.")
	}
	if wait := a.attempts.Take(who); wait > 0 {
		return refuse(http.StatusTooManyRequests, "Too many wrong codes. "+again(c, wait))
	}
	first := true
	p, err := a.o.Keys.Claim(ctx, v.Code, v.Name, form.Get("password"))
	if errors.Is(err, auth.ErrWrongCode) {
		first = false
		p, err = a.o.Keys.Accept(ctx, v.Code, v.Name, form.Get("password"))
	}
	if errors.Is(err, auth.ErrWrongCode) {
		a.log.Warn("a wrong code was tried", "from", who)
		return refuse(http.StatusUnauthorized, "The code or the name is wrong, or the code was used already or has expired.")
	}
	a.attempts.Return(who) // not a guess
	var wrong *auth.WrongError
	if errors.As(err, &wrong) {
		return refuse(http.StatusUnprocessableEntity, "The "+wrong.Error()+".")
	}
	if err != nil {
		return err
	}
	a.log.Info("a password was chosen with a code", "person", p.Name, "role", p.Role, "first", first, "from", who)
	cookie, err := a.o.Keys.StartSession(ctx, p.ID, browserOf(r))
	if err == nil {
		err = a.markDevice(c, p.ID)
	}
	if err != nil {
		return err
	}
	next := "/"
	if first && a.serves("/setup") {
		next = "/setup"
	}
	return a.enter(c, cookie, next)
}

// serves reports whether there is a page.
func (a *API) serves(path string) bool {
	for _, r := range a.routes() {
		if r.method == http.MethodGet && r.path == path {
			return true
		}
	}
	return false
}

// accountView is the page of whoever is signed in.
type accountView struct {
	Name, Title string
	Person      bool // signed in with a password, not with a key
	Scopes      string
	Sessions    []sessionView
	Said        *saidView
	Error       string // of the form to change the password
	Least       int
	DisplayName string
	SignOff     string
	Team        string
	Most        struct{ DisplayName, SignOff int }
}

type sessionView struct {
	ID, Browser       string
	CreatedAt, SeenAt time.Time
	This              bool
}

func (a *API) accountPage(c echo.Context) error {
	return a.showAccount(c, http.StatusOK, accountView{})
}

func (a *API) showAccount(c echo.Context, status int, v accountView) error {
	r, key := c.Request(), keyOf(c)
	v.Name, v.Scopes, v.Least = key.Name, auth.Scopes(key.Scopes), auth.MinPassword
	if p := key.Person; p != nil {
		v.Person, v.Title, v.Team = true, roleWords[p.Role], p.Team
		v.DisplayName, v.SignOff, v.Most.DisplayName, v.Most.SignOff = p.DisplayName, p.SignOff, auth.MaxDisplayName, auth.MaxSignOff
		all, err := a.o.Keys.Sessions(r.Context(), p.ID)
		if err != nil {
			return err
		}
		this := thisSession(r)
		for _, s := range all {
			v.Sessions = append(v.Sessions, sessionView{s.ID, s.Browser, s.CreatedAt, s.SeenAt, s.ID == this})
		}
	}
	f := a.frame(c, "Account")
	f.Style = "people.css"
	return a.page(c, status, "account.html", f, v)
}

// thisSession is the id of the session that a request comes with.
func thisSession(r *http.Request) string {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return auth.SessionID(cookie.Value)
}

// changeAccount changes one's own password, or ends one's own sessions.
func (a *API) changeAccount(c echo.Context) error {
	if err := a.readForm(c, "This"); err != nil {
		return err
	}
	r, me := c.Request(), keyOf(c).Person
	if me == nil {
		return wrongScope.because("You are signed in with the API key %q, which has no password and no list of sessions; people have them.", keyOf(c).Name)
	}
	switch form := r.PostForm; form.Get("do") {
	case "password":
		return a.changeOwnPassword(c, me, form)
	case "profile":
		return a.changeOwnProfile(c, me, form)
	case "end":
		if err := a.o.Keys.EndSession(r.Context(), me.ID, form.Get("session")); err != nil {
			return err
		}
		a.log.Info("a person ended a session", "person", me.Name)
		if form.Get("session") == thisSession(r) {
			return a.toSignIn(c)
		}
		return a.showAccount(c, http.StatusOK, accountView{Said: &saidView{Kind: good, Title: "That session has ended."}})
	case "end-all":
		if _, err := a.o.Keys.SignOutPerson(r.Context(), me.ID); err != nil {
			return err
		}
		a.log.Info("a person ended all sessions", "person", me.Name)
		setCookie(c, "", -1)
		return c.Redirect(http.StatusSeeOther, "/sign-in")
	}
	return badRequest.because("The form does not say what to do.")
}

// changeOwnProfile saves what recipients are told of oneself.
func (a *API) changeOwnProfile(c echo.Context, me *auth.Person, form url.Values) error {
	name, signOff := form.Get("display_name"), form.Get("sign_off")
	changed, err := a.o.Keys.ChangeProfile(c.Request().Context(), me.ID, auth.Profile{DisplayName: &name, SignOff: &signOff})
	var wrong *auth.WrongError
	if errors.As(err, &wrong) {
		return a.showAccount(c, http.StatusUnprocessableEntity, accountView{Said: &saidView{Kind: bad, Title: "Nothing was saved", Lines: []string{"The " + wrong.Error() + "."}}})
	}
	if err != nil {
		return err
	}
	*me = changed
	a.log.Info("a person changed the own profile", "person", me.Name)
	return a.showAccount(c, http.StatusOK, accountView{Said: &saidView{Kind: good, Title: "Recipients are told " + me.Shown() + " from now on."}})
}

// changeOwnPassword ends all sessions but this one, which goes on under a new cookie.
func (a *API) changeOwnPassword(c echo.Context, me *auth.Person, form url.Values) error {
	r := c.Request()
	refuse := func(status int, why string) error { return a.showAccount(c, status, accountView{Error: why}) }
	if form.Get("password") != form.Get("again") {
		return refuse(http.StatusUnprocessableEntity, "The two new passwords are not the same.")
	}
	// Whoever has found the browser open must not guess the password here.
	if wait := a.devices.Take(me.ID); wait > 0 {
		return refuse(http.StatusTooManyRequests, "Too many wrong passwords. "+again(c, wait))
	}
	_, err := a.o.Keys.ChangePassword(r.Context(), me.ID, form.Get("old"), form.Get("password"))
	if errors.Is(err, auth.ErrWrongPassword) {
		a.log.Warn("a change of a password failed: the old one is wrong", "person", me.Name, "from", door.Guesser(r))
		return refuse(http.StatusUnprocessableEntity, "The password that you have now is another.")
	}
	a.devices.Return(me.ID)
	var wrong *auth.WrongError
	if errors.As(err, &wrong) {
		return refuse(http.StatusUnprocessableEntity, "The new "+wrong.Error()+".")
	}
	if err != nil {
		return err
	}
	a.log.Info("a person changed the own password", "person", me.Name, "from", door.Guesser(r))
	cookie, err := a.o.Keys.StartSession(r.Context(), me.ID, browserOf(r))
	if err == nil {
		err = a.markDevice(c, me.ID)
	}
	if err != nil {
		return err
	}
	setCookie(c, cookie, int(auth.SessionLife/time.Second))
	r.Header.Set("Cookie", cookieName+"="+cookie) // which of the list is this one
	return a.showAccount(c, http.StatusOK, accountView{Said: &saidView{Kind: good, Title: "Your password is changed.", Lines: []string{"All other sessions have ended."}}})
}
