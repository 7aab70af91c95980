package api

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"

	"gatewayd/contacts"
)

// table is an answer for a spreadsheet: CSV as RFC 4180 has it, with the names of the
// columns first.
type table struct {
	name string // of the file
	rows [][]string
}

func (t table) VisitGetReportResponse(w http.ResponseWriter) error      { return t.write(w) }
func (t table) VisitListSendErrorsResponse(w http.ResponseWriter) error { return t.write(w) }

func (t table) write(w http.ResponseWriter) error {
	var b bytes.Buffer
	c := csv.NewWriter(&b)
	c.UseCRLF = true
	for _, row := range t.rows {
		cells := make([]string, len(row))
		for i, s := range row {
			cells[i] = contacts.Guarded(s)
		}
		if err := c.Write(cells); err != nil {
			return err
		}
	}
	c.Flush()
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", t.name))
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(b.Bytes())
	return err
}
