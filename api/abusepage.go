package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/chat"
	"gatewayd/intake"
	"gatewayd/sms/number"
)

// abuseView is the page about who may write what to whom by chat.
type abuseView struct {
	Said    *saidView
	Senders []senderView
	Next    string // of the list of senders
	All     bool   // not only those to look at
	Numbers []blockedView
	Number  string // that was typed, when it was refused
	Rules   rulesView
	Fault   map[string]string // what is wrong with a field of the rules
}

type senderView struct {
	ID, Title, Kind string
	Pill            pill
	Answers         string
	Today           int
	Blocked, Review bool
	Reason, By      string
	BlockedAt       time.Time
	LastAt          time.Time
}

type blockedView struct {
	Number, Reason string
	At             time.Time
}

// rulesView is the rules as a form has them.
type rulesView struct {
	Keywords, Destinations string
	Types                  []typeView
	Limits                 []spanView
	Invitations            []askedView
	Abroad                 bool
	Spam, Threat, Stop     string
	Widget, Days, Same     string
	Puzzles, Carrier       bool
}

type typeView struct {
	Type    string
	Title   string
	Allowed bool
}

type spanView struct{ Name, Title, Minute, Hour, Day string }

type askedView struct{ Name, Title, Day string }

var typeTitles = map[number.Type]string{
	number.Mobile: "Mobile", number.FixedLine: "Fixed line", number.Either: "Fixed line or mobile (as in North America)", number.TollFree: "Toll-free",
	number.PremiumRate: "Premium rate", number.SharedCost: "Shared cost", number.VoIP: "Voice over IP", number.Personal: "Personal", number.Pager: "Pager",
	number.Company: "Company-wide", number.Voicemail: "Voicemail", number.ShortCode: "Short code", number.Unpublished: "In no published range",
}

var kindTitles = map[string]string{"person": "Person", "visitor": "Visitor of a widget", "key": "API key", "address": "Network address of visitors", "widget": "Widget"}

func viewRules(r chat.AbuseRules) rulesView {
	n := strconv.Itoa
	v := rulesView{Keywords: strings.Join(r.Keywords, "\n"), Destinations: strings.Join(r.Destinations, ", "),
		Spam: n(r.Thresholds.Spam), Threat: n(r.Thresholds.Threat), Stop: n(r.Thresholds.Stop), Widget: n(r.WidgetThreshold),
		Days: n(r.CountDays), Same: n(r.SameText), Puzzles: r.Puzzles, Carrier: r.PreferCarrier, Abroad: r.Abroad}
	for _, i := range invitationTitles {
		v.Invitations = append(v.Invitations, askedView{i.name, i.title, n(*i.of(&r.Invitations))})
	}
	for _, t := range number.Types {
		v.Types = append(v.Types, typeView{string(t), typeTitles[t], slices.Contains(r.NumberTypes, t)})
	}
	for _, l := range limitTitles {
		of := l.of(&r.Limits)
		v.Limits = append(v.Limits, spanView{l.name, l.title, n(of.PerMinute), n(of.PerHour), n(of.PerDay)})
	}
	return v
}

// limitTitles are the limits as the form names them.
var limitTitles = []struct {
	name, title string
	of          func(*chat.Limits) *chat.Rate
}{
	{"person", "Each person", func(l *chat.Limits) *chat.Rate { return &l.Person }},
	{"visitor", "Each visitor", func(l *chat.Limits) *chat.Rate { return &l.Visitor }},
	{"address", "All visitors of one network address", func(l *chat.Limits) *chat.Rate { return &l.Address }},
	{"widget", "All visitors of one widget", func(l *chat.Limits) *chat.Rate { return &l.Widget }},
}

// invitationTitles are the bounds of invitations as the form names them.
var invitationTitles = []struct {
	name, title string
	of          func(*chat.Invitations) *int
}{
	{"visitor", "Of each visitor", func(i *chat.Invitations) *int { return &i.Visitor }},
	{"address", "Of one network address", func(i *chat.Invitations) *int { return &i.Address }},
	{"widget", "Of one widget", func(i *chat.Invitations) *int { return &i.Widget }},
	{"all", "Of all visitors", func(i *chat.Invitations) *int { return &i.All }},
	{"number", "To one silent number", func(i *chat.Invitations) *int { return &i.Number }},
}

// formRules reads the rules of a form, and how it was filled in.
func formRules(form url.Values) (r chat.AbuseRules, wrongs intake.Refused) {
	r = chat.AbuseRules{Puzzles: form.Get("puzzles") != "", PreferCarrier: form.Get("prefer_carrier") != "", Abroad: form.Get("abroad") != "",
		Invitations: chat.DefaultAbuseRules().Invitations}
	for line := range strings.Lines(form.Get("keywords")) {
		if line = strings.TrimSpace(line); line != "" {
			r.Keywords = append(r.Keywords, line)
		}
	}
	for d := range strings.SplitSeq(form.Get("destinations"), ",") {
		if d = strings.TrimSpace(d); d != "" {
			r.Destinations = append(r.Destinations, d)
		}
	}
	for _, t := range form["number_types"] {
		r.NumberTypes = append(r.NumberTypes, number.Type(t))
	}
	read := func(field string, into *int) {
		n, err := strconv.Atoi(strings.TrimSpace(form.Get(field)))
		if err != nil {
			wrongs = append(wrongs, intake.FieldError{Field: field, Detail: "must be a whole number"})
		}
		*into = n
	}
	for _, l := range limitTitles {
		of := l.of(&r.Limits)
		read("limits."+l.name+".per_minute", &of.PerMinute)
		read("limits."+l.name+".per_hour", &of.PerHour)
		read("limits."+l.name+".per_day", &of.PerDay)
	}
	for _, i := range invitationTitles {
		if field := "invitations." + i.name; form.Has(field) {
			read(field, i.of(&r.Invitations))
		}
	}
	read("thresholds.spam", &r.Thresholds.Spam)
	read("thresholds.threat", &r.Thresholds.Threat)
	read("thresholds.stop", &r.Thresholds.Stop)
	read("widget_threshold", &r.WidgetThreshold)
	read("count_days", &r.CountDays)
	read("same_text", &r.SameText)
	return r, wrongs
}

// typedRules is a refused form as it was filled in.
func typedRules(r chat.AbuseRules, form url.Values) rulesView {
	v := viewRules(r)
	v.Keywords, v.Destinations = form.Get("keywords"), form.Get("destinations")
	v.Spam, v.Threat, v.Stop = form.Get("thresholds.spam"), form.Get("thresholds.threat"), form.Get("thresholds.stop")
	v.Widget, v.Days, v.Same = form.Get("widget_threshold"), form.Get("count_days"), form.Get("same_text")
	for i := range v.Invitations {
		if field := "invitations." + v.Invitations[i].Name; form.Has(field) {
			v.Invitations[i].Day = form.Get(field)
		}
	}
	for i := range v.Limits {
		l := &v.Limits[i]
		l.Minute, l.Hour, l.Day = form.Get("limits."+l.Name+".per_minute"), form.Get("limits."+l.Name+".per_hour"), form.Get("limits."+l.Name+".per_day")
	}
	return v
}

func viewSender(s *chat.SenderRecord, people map[string]string) senderView {
	title := s.Name
	if name := people[s.ID]; name != "" {
		title = name
	} else if title == "" {
		title = strings.TrimPrefix(s.ID, "addr_")
	}
	v := senderView{ID: s.ID, Title: title, Kind: kindTitles[s.Kind], Pill: pill{"open", good}, Today: s.Today,
		Blocked: !s.BlockedAt.IsZero(), Reason: s.Reason, By: s.BlockedBy, BlockedAt: s.BlockedAt, LastAt: s.LastAt}
	if name := people[s.BlockedBy]; name != "" {
		v.By = name
	}
	var answers []string
	for _, one := range []struct {
		n    int
		word string
	}{{s.Answers.Spam, "SPAM"}, {s.Answers.Threat, "THREAT"}, {s.Answers.Stop, "STOP"}} {
		if one.n > 0 {
			answers = append(answers, strconv.Itoa(one.n)+" × "+one.word)
		}
	}
	if v.Answers = strings.Join(answers, ", "); v.Answers != "" {
		v.Pill = pill{"answered", warn}
	}
	if v.Blocked {
		v.Pill, v.Review = pill{"blocked", bad}, s.BlockedBy == ""
	}
	return v
}

func (a *API) abusePage(c echo.Context) error {
	return a.showAbuse(c, http.StatusOK, abuseView{})
}

func (a *API) showAbuse(c echo.Context, status int, v abuseView) error {
	talks, err := a.talks()
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	people, err := a.namesOfPeople(ctx)
	if err != nil {
		return err
	}
	f := chat.SenderFilter{State: chat.SendersAnswered, Cursor: c.QueryParam("cursor")}
	if v.All = c.QueryParam("senders") == "all"; v.All {
		f.State = ""
	}
	senders, next, err := talks.Senders(ctx, f)
	if err != nil {
		return err
	}
	for i := range senders {
		v.Senders = append(v.Senders, viewSender(&senders[i], people))
	}
	if next != "" {
		q := url.Values{"cursor": {next}}
		if v.All {
			q.Set("senders", "all")
		}
		v.Next = "/abuse?" + q.Encode()
	}
	numbers, err := talks.BlockedNumbers(ctx)
	if err != nil {
		return err
	}
	for _, b := range numbers {
		v.Numbers = append(v.Numbers, blockedView{b.Number, b.Reason, b.At})
	}
	if v.Fault == nil {
		v.Rules = viewRules(talks.AbuseRules())
	}
	fr := a.frame(c, "Abuse")
	fr.Style = "abuse.css"
	return a.page(c, status, "abuse.html", fr, v)
}

// namesOfPeople are the names of the people by their ids.
func (a *API) namesOfPeople(ctx context.Context) (map[string]string, error) {
	people, err := a.o.Keys.People(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for i := range people {
		names[people[i].ID] = people[i].Name
	}
	return names, nil
}

// maxRulesForm is room for all keywords that there may be.
const maxRulesForm = 512 << 10

// changeAbuse is a button of the page.
func (a *API) changeAbuse(c echo.Context) error {
	if err := a.readLongForm(c, "This", maxRulesForm); err != nil {
		return err
	}
	talks, err := a.talks()
	if err != nil {
		return err
	}
	ctx, form, me := c.Request().Context(), c.Request().PostForm, keyOf(c)
	done, said := "", ""
	switch form.Get("do") {
	case "block":
		done, said = "a sender was blocked for the chat", "Blocked. Nothing more goes out from there."
		_, err = talks.BlockSender(ctx, form.Get("id"), form.Get("reason"), me.Principal)
	case "reopen":
		done, said = "a sender was opened again for the chat", "Open again. What was answered until now counts no more."
		_, err = talks.ReopenSender(ctx, form.Get("id"), me.Principal)
	case "block-number":
		done, said = "a number was blocked for the chat", "The number is blocked."
		_, err = talks.BlockNumber(ctx, form.Get("number"), form.Get("reason"), me.Principal)
	case "unblock-number":
		done, said = "a number was unblocked for the chat", "The number is not blocked any more."
		err = talks.UnblockNumber(ctx, form.Get("number"))
	case "rules":
		done, said = "the rules of the chat were changed", "Saved. The rules hold from the next message on."
		return a.changeRules(c, talks, form, done, said)
	case "defaults":
		done, said = "the rules of the chat were changed", "The rules are the defaults again."
		_, err = talks.SetAbuseRules(ctx, chat.DefaultAbuseRules(), me.Principal)
	default:
		return badRequest.because("The form does not say what to do.")
	}
	var refused intake.Refused
	if errors.As(err, &refused) {
		return a.showAbuse(c, http.StatusUnprocessableEntity, abuseView{Said: &saidView{Kind: bad, Title: "Nothing was changed.", Lines: lines(refused)}, Number: form.Get("number")})
	}
	if err != nil {
		return err
	}
	a.log.Info(done, "by", me.Name)
	return a.showAbuse(c, http.StatusOK, abuseView{Said: &saidView{Kind: good, Title: said}})
}

func (a *API) changeRules(c echo.Context, talks *chat.Chat, form url.Values, done, said string) error {
	rules, wrongs := formRules(form)
	var err error
	if len(wrongs) == 0 {
		_, err = talks.SetAbuseRules(c.Request().Context(), rules, keyOf(c).Principal)
	} else {
		err = talks.CheckAbuseRules(rules)
	}
	var more intake.Refused
	if errors.As(err, &more) {
		typed := wrongs
		wrongs = slices.DeleteFunc(slices.Clone(more), func(one intake.FieldError) bool {
			return slices.ContainsFunc(typed, func(w intake.FieldError) bool { return w.Field == one.Field })
		})
		wrongs = append(wrongs, typed...)
	} else if err != nil {
		return err
	}
	if len(wrongs) > 0 {
		v := abuseView{Said: &saidView{Kind: bad, Title: "The rules were not changed.", Lines: lines(wrongs)}, Rules: typedRules(rules, form), Fault: map[string]string{}}
		for _, w := range wrongs {
			v.Fault[entry.ReplaceAllString(w.Field, "")] = w.Detail
		}
		return a.showAbuse(c, http.StatusUnprocessableEntity, v)
	}
	a.log.Info(done, "by", keyOf(c).Name)
	return a.showAbuse(c, http.StatusOK, abuseView{Said: &saidView{Kind: good, Title: said}})
}

// entry is the place in a list that a field's name ends with.
var entry = regexp.MustCompile(`\[\d+\]$`)

// fieldTitles are the fields of the page as people read them.
var fieldTitles = map[string]string{
	"keywords": "Words and phrases", "destinations": "Countries", "number_types": "Types of numbers", "thresholds.spam": "SPAM", "thresholds.threat": "THREAT",
	"thresholds.stop": "STOP", "widget_threshold": "The widget’s answers", "count_days": "Days that answers count", "invitations.visitor": "Invitations of each visitor", "invitations.address": "Invitations of one network address",
	"invitations.widget": "Invitations of one widget", "invitations.all": "Invitations of all visitors", "invitations.number": "Invitations to one silent number", "same_text": "The same text",
	"reason": "The reason", "number": "The number", "per_minute": "a minute", "per_hour": "an hour", "per_day": "a day",
}

// lines say what is wrong, for people.
func lines(wrongs intake.Refused) []string {
	const shown = 10
	all := make([]string, 0, len(wrongs))
	for _, w := range wrongs[:min(len(wrongs), shown)] {
		base := entry.ReplaceAllString(w.Field, "")
		title := fieldTitles[base]
		if title == "" {
			if parts := strings.Split(base, "."); len(parts) == 3 {
				for _, l := range limitTitles {
					if l.name == parts[1] {
						title = l.title + ", " + fieldTitles[parts[2]]
					}
				}
			}
		}
		if at := entry.FindString(w.Field); at != "" {
			if n, err := strconv.Atoi(strings.Trim(at, "[]")); err == nil {
				title += ", entry " + strconv.Itoa(n+1)
			}
		}
		all = append(all, title+": "+w.Detail+".")
	}
	if more := len(wrongs) - shown; more > 0 {
		all = append(all, "And "+strconv.Itoa(more)+" more.")
	}
	return all
}
