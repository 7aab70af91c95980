package api

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/contacts"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

type consentPage struct {
	Consents   []sms.Consent `json:"consents"`
	NextCursor *string       `json:"next_cursor"`
}

// ListConsents lists the log of consent, newest first.
func (a server) ListConsents(ctx context.Context, r ListConsentsRequestObject) (ListConsentsResponseObject, error) {
	p := r.Params
	f := queue.ConsentFilter{
		Number: a.party(or(p.Number, "")), Conversation: or(p.Conversation, ""), Decision: sms.Decision(or(p.Decision, "")),
		Since: or(p.Since, time.Time{}), Until: or(p.Until, time.Time{}), Limit: or(p.Limit, defaultLimit),
	}
	if c := or(p.Cursor, ""); c != "" {
		before, err := strconv.ParseInt(c, 10, 64)
		if err != nil || before < 1 {
			return nil, queue.ErrBadCursor
		}
		f.Before = before
	}
	page, next, err := a.o.Queue.Consents(ctx, f)
	if err != nil {
		return nil, err
	}
	about := make([]string, len(page))
	for i := range page {
		about[i] = page[i].Conversation
	}
	hidden, err := a.hidden(ctx, from(ctx).key, about)
	if err != nil {
		return nil, err
	}
	page = slices.DeleteFunc(page, func(c sms.Consent) bool { return hidden[c.Conversation] })
	v := consentPage{Consents: orEmpty(page)}
	if next > 0 {
		cursor := strconv.FormatInt(next, 10)
		v.NextCursor = &cursor
	}
	return reply{status: http.StatusOK, v: v}, nil
}

type stopJSON struct {
	Since  time.Time `json:"since"`
	Word   string    `json:"word"`
	Reason string    `json:"reason"`
}

type optInJSON struct {
	queue.ExportedOptIn
	Of *int `json:"of"`
}

type standingJSON struct {
	Number string      `json:"number"`
	Stop   *stopJSON   `json:"stop"`
	OptIns []optInJSON `json:"opt_ins"`
}

// standing shows how a number's consent stands.
func (a *API) standing(ctx context.Context, of string) (reply, error) {
	s, err := a.o.Queue.StandingOf(ctx, of)
	if err != nil {
		return reply{}, err
	}
	v := standingJSON{Number: s.Number, OptIns: []optInJSON{}}
	about := make([]string, len(s.OptIns))
	for i := range s.OptIns {
		about[i] = s.OptIns[i].Exported().Conversation
	}
	hidden, err := a.hidden(ctx, from(ctx).key, about)
	if err != nil {
		return reply{}, err
	}
	if s.Stop != nil {
		v.Stop = &stopJSON{s.Stop.Since, s.Stop.Word, s.Stop.Reason}
	}
	for i, o := range s.OptIns {
		if hidden[about[i]] {
			continue
		}
		one := optInJSON{ExportedOptIn: o.Exported()}
		if o.Of > 0 {
			one.Of = &o.Of
		}
		v.OptIns = append(v.OptIns, one)
	}
	return reply{status: http.StatusOK, v: v}, nil
}

// numbered reads a number that somebody means to be one.
func (a *API) numbered(s string) (string, error) {
	n, err := number.Parse(s, a.o.Region())
	if err != nil {
		return "", wrong(FieldError{Field: "number", Detail: err.Error()})
	}
	return n, nil
}

// GetConsent shows how a number's consent stands.
func (a server) GetConsent(ctx context.Context, r GetConsentRequestObject) (GetConsentResponseObject, error) {
	n, err := a.numbered(r.Number)
	if err != nil {
		return nil, err
	}
	return a.standing(ctx, n)
}

// RecordConsent notes what a phone's owner said elsewhere. Whoever may send may spare
// somebody texts; to answer for somebody that they want them takes an admin.
func (a server) RecordConsent(ctx context.Context, r RecordConsentRequestObject) (RecordConsentResponseObject, error) {
	in := from(ctx)
	decision := sms.Decision(r.Body.Decision)
	if decision == sms.DecisionOptIn && !in.key.Can(auth.Admin) {
		return nil, lacks(auth.Admin, in.key)
	}
	n, err := a.numbered(r.Body.Number)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(r.Body.Wording) == "" {
		return nil, wrong(FieldError{Field: "wording", Detail: "must say what was said, and how it can be proved"})
	}
	by := queue.Source{Reason: queue.ReasonAdmin, Wording: r.Body.Wording, By: in.key.ID}
	if p := in.key.Person; p != nil {
		by.By = p.ID
	}
	if string(or(r.Body.Reason, "")) == queue.ReasonImport {
		by.Reason = queue.ReasonImport
	}
	if err := a.o.Queue.RecordConsent(n, decision, by); err != nil {
		return nil, err
	}
	return a.standing(ctx, n)
}

// exportConsents is GET /v1/consents/export: all of the log, written as it is read. An
// error once it has begun cuts it off, which a reader of chunks notices.
func (a *API) exportConsents(c echo.Context) error {
	if key := keyOf(c); key.Person != nil && !key.Can(auth.Admin) {
		return wrongScope.because("The whole log is of all teams, so among people it is for admins; GET /v1/consents lists what is your team's.")
	}
	format := c.QueryParam("format")
	if format == "" {
		format = "csv"
	}
	if format != "csv" && format != "json" {
		return wrong(FieldError{Field: "format", Detail: "must be csv or json"})
	}
	file := consentFile{w: bufio.NewWriterSize(c.Response(), 32<<10)}
	kind := echo.MIMEApplicationJSON
	if format == "csv" {
		file.table, kind = csv.NewWriter(file.w), "text/csv; charset=utf-8"
	}
	deadline := http.NewResponseController(c.Response().Writer)
	begin := func() {
		h := c.Response().Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="consents-%s.%s"`, a.now().UTC().Format("20060102"), format))
		c.Response().WriteHeader(http.StatusOK)
		file.begin()
	}
	begun := false
	err := a.o.Queue.EachConsent(c.Request().Context(), func(e sms.Consent) error {
		if !begun {
			begin()
			begun = true
		}
		_ = deadline.SetWriteDeadline(time.Now().Add(writeWait)) // an export may be long; a reader may not stop
		return file.put(e)
	})
	if err == nil {
		if !begun {
			begin()
			begun = true
		}
		err = file.end()
	}
	if err != nil && begun {
		a.log.Error("an export was cut off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// consentFile writes the log of consent as CSV, or without a table as a JSON array.
type consentFile struct {
	w     *bufio.Writer
	table *csv.Writer
	some  bool
}

func (f *consentFile) begin() {
	if f.table == nil {
		f.w.WriteByte('[')
		return
	}
	_ = f.table.Write([]string{"id", "at", "clock_uncertain", "number", "decision", "reason", "wording", "source", "conversation", "sim"})
}

func (f *consentFile) put(e sms.Consent) error {
	if f.table != nil {
		return f.table.Write([]string{strconv.FormatInt(e.ID, 10), e.At.UTC().Format(time.RFC3339Nano), strconv.FormatBool(e.ClockUncertain), contacts.Guarded(e.Number), string(e.Decision),
			e.Reason, contacts.Guarded(e.Wording), e.Source, e.Conversation, e.SIM})
	}
	if f.some {
		f.w.WriteByte(',')
	}
	f.some = true
	b, err := e.MarshalJSON()
	if err == nil {
		_, err = f.w.Write(b)
	}
	return err
}

func (f *consentFile) end() error {
	if f.table == nil {
		f.w.WriteString("]\n")
	} else if f.table.Flush(); f.table.Error() != nil {
		return f.table.Error()
	}
	return f.w.Flush()
}
