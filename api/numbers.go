package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/labstack/echo/v4"

	"gatewayd/queue"
	"gatewayd/sms/number"
)

// numberOf reads the number in a path.
func (a *API) numberOf(name string) (string, error) {
	n, err := number.Parse(name, a.o.Region())
	if err == nil {
		return n, nil
	}
	// Companies send under names, which are kept as they came.
	if !strings.ContainsFunc(name, unicode.IsLetter) || checkLine(name, 20) != "" {
		return "", wrong(FieldError{Field: "number", Detail: err.Error()})
	}
	return name, nil
}

// keptOf reads the number in a path and counts what is kept about it. A name that
// nothing is kept about is a mistake: a misspelt number must not look like one that
// is unknown here.
func (a *API) keptOf(ctx context.Context, name string) (string, queue.Kept, error) {
	n, err := a.numberOf(name)
	if err != nil {
		return "", queue.Kept{}, err
	}
	k, err := a.o.Queue.CountNumber(ctx, n)
	if _, noNumber := number.Parse(name, a.o.Region()); err == nil && noNumber != nil && k == (queue.Kept{}) {
		err = wrong(FieldError{Field: "number", Detail: "is no number, and nothing is kept about a sender of this name"})
	}
	return n, k, err
}

// EraseNumber erases everything that is kept about a number.
func (a server) EraseNumber(ctx context.Context, r EraseNumberRequestObject) (EraseNumberResponseObject, error) {
	n, err := a.numberOf(r.Number)
	if err != nil {
		return nil, err
	}
	erased, err := a.o.Queue.EraseNumber(context.WithoutCancel(ctx), n)
	if err != nil {
		return nil, err
	}
	named, err := a.hooksWith(ctx, n)
	if err != nil { // it is erased: that must not look undone
		a.log.Error("the hooks that an erased number stands in can't be told", "error", err)
	}
	return EraseNumber200JSONResponse{Number: n, Erased: erased, Hooks: named}, nil
}

// hooksWith are the names of the hooks that text a number.
func (a *API) hooksWith(ctx context.Context, number string) ([]string, error) {
	names := []string{}
	if a.o.Hooks == nil {
		return names, nil
	}
	all, err := a.o.Hooks.List(ctx)
	for _, h := range all {
		if slices.Contains(h.To, number) {
			names = append(names, h.Name)
		}
	}
	return names, err
}

// CountNumber tells how much is kept about a number.
func (a server) CountNumber(ctx context.Context, r CountNumberRequestObject) (CountNumberResponseObject, error) {
	n, k, err := a.keptOf(ctx, r.Number)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: map[string]any{"number": n, "outbound": k.Outbound, "inbound": k.Inbound,
		"unfinished": k.Unfinished, "loose": k.Loose, "stopped": k.Stopped}}, nil
}

// exportNumber is GET /v1/numbers/{number}/export: one JSON document, written as
// it is read. An error once it has begun cuts it off, which a reader of chunks notices.
func (a *API) exportNumber(c echo.Context) error {
	n, _, err := a.keptOf(c.Request().Context(), param(c, "number"))
	if err != nil {
		return err
	}
	deadline := http.NewResponseController(c.Response().Writer)
	w := bufio.NewWriterSize(c.Response(), 32<<10)
	sections := a.o.Queue.ExportSections()
	at, first := -1, true // the section that is open; -1: nothing is written yet
	enter := func(to int) error {
		if at < 0 {
			head, err := json.Marshal(n)
			if err != nil {
				return err
			}
			h := c.Response().Header()
			h.Set("Content-Type", echo.MIMEApplicationJSON)
			h.Set("Content-Disposition", `attachment; filename="export.json"`)
			c.Response().WriteHeader(http.StatusOK)
			fmt.Fprintf(w, `{"number":%s,"exported_at":%q`, head, a.now().UTC().Format(time.RFC3339))
		}
		for at < to {
			if at >= 0 {
				w.WriteByte(']')
			}
			if at++; at < len(sections) {
				fmt.Fprintf(w, ",%q:[", sections[at])
			}
			first = true
		}
		return nil
	}
	err = a.o.Queue.ExportNumber(c.Request().Context(), n, func(section string, row any) error {
		b, err := json.Marshal(row)
		if err != nil {
			return err
		}
		if err := enter(slices.Index(sections, section)); err != nil {
			return err
		}
		_ = deadline.SetWriteDeadline(time.Now().Add(writeWait)) // an export may be long; a reader may not stop
		if !first {
			w.WriteByte(',')
		}
		first = false
		_, err = w.Write(b)
		return err
	})
	if err == nil {
		if err = enter(len(sections)); err == nil {
			w.WriteString("}\n")
			err = w.Flush()
		}
	}
	if err != nil && at >= 0 {
		a.log.Error("an export was cut off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
}
