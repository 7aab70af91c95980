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

	"gatewayd/sms/number"
)

// numberOf reads the number in a path.
func (a *API) numberOf(c echo.Context) (string, error) {
	n, err := number.Parse(param(c, "number"), a.o.Region)
	if err == nil {
		return n, nil
	}
	// Companies send under names, which are kept as they came.
	name := param(c, "number")
	if !strings.ContainsFunc(name, unicode.IsLetter) || checkLine(name, 20) != "" {
		return "", wrong(FieldError{Field: "number", Detail: err.Error()})
	}
	return name, nil
}

// eraseNumber is DELETE /v1/numbers/{number}.
func (a *API) eraseNumber(c echo.Context) error {
	n, err := a.numberOf(c)
	if err != nil {
		return err
	}
	erased, err := a.o.Queue.EraseNumber(context.WithoutCancel(c.Request().Context()), n)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, map[string]any{"number": n, "erased": erased})
}

// countNumber is GET /v1/numbers/{number}.
func (a *API) countNumber(c echo.Context) error {
	n, err := a.numberOf(c)
	if err != nil {
		return err
	}
	k, err := a.o.Queue.CountNumber(c.Request().Context(), n)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, map[string]any{"number": n, "outbound": k.Outbound, "inbound": k.Inbound,
		"unfinished": k.Unfinished, "loose": k.Loose, "stopped": k.Stopped})
}

// exportNumber is GET /v1/numbers/{number}/export: one JSON document, written as
// it is read. An error once it has begun cuts it off, which a reader of chunks notices.
func (a *API) exportNumber(c echo.Context) error {
	n, err := a.numberOf(c)
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
