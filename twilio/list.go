package twilio

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatewayd/queue"
	"gatewayd/sms/number"
)

const (
	defaultPage = 50
	maxPage     = 1000
)

// listJSON is a page of messages. The URIs are paths, which clients join to
// their base URL; null ends the paging.
type listJSON struct {
	Messages        []messageJSON `json:"messages"`
	Page            int           `json:"page"`
	PageSize        int           `json:"page_size"`
	Start           int           `json:"start"`
	End             int           `json:"end"`
	URI             string        `json:"uri"`
	FirstPageURI    string        `json:"first_page_uri"`
	NextPageURI     *string       `json:"next_page_uri"`
	PreviousPageURI *string       `json:"previous_page_uri"`
}

// The two kinds of PageToken: a cursor of the queue, for the page behind it or
// the one before it.
const (
	behind = "PA"
	before = "PB"
)

// list is GET …/Messages.json.
func (a *API) list(r *request) (int, any, error) {
	// The operator of DateSent> is a part of the name, and so it stays when it was
	// not escaped.
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, nil, badRequest.says("The query can't be read: a %% must begin an escape")
	}
	size := count(q.Get("PageSize"), defaultPage)
	page := count(q.Get("Page"), 0)
	f := queue.Filter{Limit: max(1, min(size, maxPage)), To: a.party(q.Get("To")), From: a.party(q.Get("From"))}
	if err := sentWithin(q, &f); err != nil {
		return 0, nil, err
	}
	token := q.Get("PageToken")
	switch {
	case token == "" && page > 0: // a number alone would skip or repeat what came meanwhile
		return 0, nil, badParameter.says("Page needs a PageToken: follow next_page_uri")
	case token == "":
	case len(token) > len(behind) && (strings.HasPrefix(token, behind) || strings.HasPrefix(token, before)):
		f.Cursor, f.Newer = token[len(behind):], strings.HasPrefix(token, before)
	default:
		return 0, nil, badParameter.says("PageToken is not one that this list gave")
	}
	if f.Of, err = a.share(r); err != nil {
		return 0, nil, err
	}
	found, next, err := a.o.Queue.List(r.Context(), f)
	if errors.Is(err, queue.ErrBadCursor) {
		return 0, nil, badParameter.says("PageToken is not one that this list gave")
	}
	if err != nil {
		return 0, nil, err
	}
	list := listJSON{Messages: make([]messageJSON, len(found)), Page: page, PageSize: f.Limit, Start: page * f.Limit}
	list.End = list.Start + max(0, len(found)-1)
	for i := range found {
		list.Messages[i] = view(r.account, &found[i])
	}
	uri := func(page int, token string) string {
		v := url.Values{}
		for name, values := range q {
			if name == "To" || name == "From" || strings.HasPrefix(name, "DateSent") {
				v[name] = values
			}
		}
		v.Set("PageSize", strconv.Itoa(f.Limit))
		v.Set("Page", strconv.Itoa(page))
		if token != "" {
			v.Set("PageToken", token)
		}
		return Prefix + "Accounts/" + r.account + "/Messages.json?" + v.Encode()
	}
	list.URI, list.FirstPageURI = uri(page, token), uri(0, "")
	if next != "" {
		list.NextPageURI = orNil(uri(page+1, behind+next))
	}
	switch {
	case page > 1 && len(found) > 0:
		list.PreviousPageURI = orNil(uri(page-1, before+queue.CursorAt(&found[0])))
	case page > 0:
		list.PreviousPageURI = orNil(uri(0, ""))
	}
	return http.StatusOK, list, nil
}

// count reads a number; anything else is as if it were not there.
func count(s string, otherwise int) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1_000_000_000 {
		return otherwise
	}
	return n
}

// party normalises one side of a message to filter by.
func (a *API) party(s string) string {
	s = strings.TrimSpace(s)
	if n, err := number.Parse(s, a.o.Region()); err == nil {
		return n
	}
	return s
}

// sentWithin reads DateSent, DateSent< and DateSent>, each a day or a second;
// both ends are in the list.
func sentWithin(q url.Values, f *queue.Filter) error {
	for name, values := range q {
		op, ok := strings.CutPrefix(name, "DateSent")
		if !ok || values[0] == "" {
			continue
		}
		from, until, err := span(values[0])
		if err != nil {
			return badParameter.says("%s must be a day such as 2026-11-22 or a time such as 2026-11-22T06:18:55Z", name)
		}
		if (op == "" || op == ">") && from.After(f.SentSince) {
			f.SentSince = from
		}
		if (op == "" || op == "<") && (f.SentUntil.IsZero() || until.Before(f.SentUntil)) {
			f.SentUntil = until
		}
	}
	return nil
}

// span is the day or the second that a text names; until is not part of it.
func span(s string) (from, until time.Time, err error) {
	if from, err = time.Parse(time.DateOnly, s); err == nil {
		return from, from.AddDate(0, 0, 1), nil
	}
	if from, err = time.Parse(time.RFC3339, strings.Replace(s, " ", "+", 1)); err != nil {
		return from, until, err
	}
	from = from.Truncate(time.Second)
	return from, from.Add(time.Second), nil
}
