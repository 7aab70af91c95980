package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/queue"
	"gatewayd/sms"
)

// messagesView is the page of all messages.
type messagesView struct {
	Form     searchForm
	Statuses []sms.Status
	Modems   []string
	Gateways []string    // of a hub
	Keys     []keyChoice // nil: the reader may not see whose keys there are
	Zone     string      // of the days in the form
	Faults   []string
	Messages []messageLine
	Count    string
	Live     bool   // the newest of all: it keeps itself up to date
	Filtered bool   // something was filled in
	Narrowed bool   // more than the search
	First    string // leads back to the newest, "" on that page
	Next     string // leads on, "" at the end
	NextWord string
	Looked   time.Time // how far, if that is not the end
}

type keyChoice struct{ Principal, Name string }

// searchForm is what the reader filled in, as it was.
type searchForm struct{ Q, Direction, Status, Modem, Gateway, Key, Since, Until string }

const longestSearch = 100

// messagesPage is GET /messages: it finds messages by a plain form.
func (a *API) messagesPage(c echo.Context) error {
	ctx, key := c.Request().Context(), keyOf(c)
	v := messagesView{Statuses: sms.Statuses, Zone: time.Now().Format("MST")}
	for _, m := range a.modems(key) {
		v.Modems = append(v.Modems, m.Name)
	}
	if a.o.Fleet != nil {
		all, err := a.gateways(ctx, key, "", "")
		if err != nil {
			return err
		}
		for _, g := range all {
			v.Gateways = append(v.Gateways, g.Name)
		}
	}
	if key.Can(auth.Admin) {
		keys, err := a.o.Keys.List(ctx)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if !slices.ContainsFunc(v.Keys, func(o keyChoice) bool { return o.Principal == k.Principal }) {
				v.Keys = append(v.Keys, keyChoice{k.Principal, k.Name})
			}
		}
	}
	f := v.read(c)
	cursor := c.QueryParam("cursor")
	f.Cursor = cursor
	_, newest, err := a.o.Queue.Span(ctx) // before what is shown: what comes meanwhile is told
	if err != nil {
		return err
	}
	var found queue.Found
	if len(v.Faults) == 0 {
		found, err = a.search(ctx, key, f)
	}
	if err != nil {
		return err
	}
	numbers := make([]string, len(found.Messages))
	for i, m := range found.Messages {
		v.Messages = append(v.Messages, lineOf(m))
		numbers[i] = v.Messages[i].Number
	}
	names, err := a.namesOf(ctx, key, numbers...)
	if err != nil {
		return err
	}
	for i := range v.Messages {
		v.Messages[i].Name = names[v.Messages[i].Number]
	}
	v.told(found, cursor != "", f.Limit)
	frame := a.frame(c, "Messages")
	frame.Style, frame.Script = "messages.css", "messages.js"
	// A search would be made anew with each message.
	if v.Live = cursor == "" && !v.Filtered; v.Live {
		frame.Live, frame.Seq = true, newest
	}
	return a.page(c, http.StatusOK, "messages.html", frame, v)
}

// read takes the form's fields; an empty one selects nothing.
func (v *messagesView) read(c echo.Context) queue.Filter {
	form := searchForm{
		Q: strings.TrimSpace(c.QueryParam("q")), Direction: c.QueryParam("direction"), Status: c.QueryParam("status"), Modem: c.QueryParam("modem"),
		Gateway: c.QueryParam("gateway"), Key: c.QueryParam("key"), Since: c.QueryParam("since"), Until: c.QueryParam("until"),
	}
	v.Form, v.Filtered, v.Narrowed = form, form != searchForm{}, form != searchForm{Q: form.Q}
	fault := func(format string, args ...any) { v.Faults = append(v.Faults, fmt.Sprintf(format, args...)) }
	f := queue.Filter{Saying: form.Q, Modem: form.Modem, Gateway: form.Gateway, Limit: defaultLimit}
	if !utf8.ValidString(form.Q) || utf8.RuneCountInString(form.Q) > longestSearch {
		fault("Search for at most %d characters.", longestSearch)
	}
	switch f.Direction = sms.Direction(form.Direction); f.Direction {
	case "", sms.Inbound, sms.Outbound:
	default:
		fault("A message was sent or received; there is no other direction.")
	}
	if form.Status != "" {
		if f.Status = []sms.Status{sms.Status(form.Status)}; !slices.Contains(sms.Statuses, f.Status[0]) {
			fault("No message has that status.")
		}
	}
	if form.Key != "" && v.Keys != nil {
		f.Of = &queue.Share{Keys: []string{form.Key}, Modems: []string{}}
	} else {
		v.Form.Key = ""
	}
	day := func(name, value string) time.Time {
		if value == "" {
			return time.Time{}
		}
		t, err := time.ParseInLocation(time.DateOnly, value, time.Local)
		if err != nil {
			fault("%s must be a day such as 2026-11-27.", name)
		}
		return t
	}
	f.Since = day("From day", form.Since)
	if until := day("To day", form.Until); !until.IsZero() {
		f.Until = until.AddDate(0, 0, 1) // that day too
	}
	return f
}

// told says how much this is, and where there is more.
func (v *messagesView) told(found queue.Found, onward bool, limit int) {
	link := func(cursor string) string {
		values := url.Values{}
		for name, value := range map[string]string{"q": v.Form.Q, "direction": v.Form.Direction, "status": v.Form.Status, "modem": v.Form.Modem,
			"gateway": v.Form.Gateway, "key": v.Form.Key, "since": v.Form.Since, "until": v.Form.Until, "cursor": cursor} {
			if value != "" {
				values.Set(name, value)
			}
		}
		if len(values) == 0 {
			return "/messages"
		}
		return "/messages?" + values.Encode()
	}
	if onward {
		v.First = link("")
	}
	n := len(found.Messages)
	what := countOf(n, "message", "messages")
	switch {
	case found.Next == "" && !onward:
		v.Count = what + ", and no more."
	case found.Next == "":
		v.Count = what + " more, and then no more."
	case n == limit:
		v.Count = "The newest " + what + "; there may be more."
		if onward {
			v.Count = what + " more; there may be more yet."
		}
		v.NextWord = "Older messages"
	default:
		v.Count = what + " so far."
		v.NextWord, v.Looked = "Search further back", found.Back
	}
	if found.Next != "" {
		v.Next = link(found.Next)
	}
}

// pressMessage is POST /messages/{id}: a button of a message's page was pressed.
func (a *API) pressMessage(c echo.Context) error {
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, 8<<10)
	if err := r.ParseForm(); err != nil {
		return badRequest.because("The form can't be read.")
	}
	said, err := a.pressed(context.WithoutCancel(r.Context()), keyOf(c), param(c, "id"), r.PostForm.Get("do"), r.PostForm.Get("delivery"))
	if err == nil {
		return a.showMessage(c, said)
	}
	if p := problemOf(err); p.kind == conflict {
		said = &saidView{Kind: bad, Title: "That was not possible", Lines: []string{p.detail}}
		return a.showMessage(c, said)
	}
	return err
}

// pressed does what a button says, for a key that may.
func (a *API) pressed(ctx context.Context, key *auth.Key, id, button, delivery string) (*saidView, error) {
	scope, known := map[string]auth.Scope{"cancel": auth.Send, "redact": auth.Admin, "retry": auth.Admin}[button]
	switch {
	case !known:
		return nil, badRequest.because("The form has no such button.")
	case !key.Can(scope):
		return nil, wrongScope.because("This button needs the scope %q.", scope)
	}
	if _, err := a.message(ctx, key, id); err != nil {
		return nil, err
	}
	switch button {
	case "cancel":
		_, err := a.o.Cancel(ctx, id)
		return &saidView{Kind: good, Title: "It is canceled and will not be sent"}, err
	case "redact":
		_, err := a.o.Queue.Redact(ctx, id)
		return &saidView{Kind: good, Title: "The text is erased"}, err
	}
	if a.o.Deliveries == nil {
		return nil, notFound.because("This gateway has no webhooks.")
	}
	_, err := a.o.Deliveries.Retry(ctx, delivery)
	return &saidView{Kind: good, Title: "The receiver is told again"}, err
}
