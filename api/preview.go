package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/sms"
)

// previewJSON is what would become of a message.
type previewJSON struct {
	To              string        `json:"to"`
	Text            *string       `json:"text"` // as it would be sent; null: data
	Encoding        sms.Encoding  `json:"encoding"`
	Parts           int           `json:"parts"`
	Units           int           `json:"units"`
	UnitsLeft       int           `json:"units_left"`
	ForcedBy        *sms.Forced   `json:"forced_by"`
	ExpectedAt      *time.Time    `json:"expected_at"`
	ExpectedModem   *string       `json:"expected_modem"`
	ExpectedBecause []string      `json:"expected_because"`
	Warnings        []sms.Warning `json:"warnings"`
}

// previewMessage is POST /v1/messages/preview: what POST /v1/messages would make
// of the same body. It queues nothing.
func (a *API) previewMessage(c echo.Context) error {
	v, err := readJSON(c.Response(), c.Request(), maxMessageBody)
	if err != nil {
		return err
	}
	body, ok := v.(*object)
	if !ok {
		return wrong(FieldError{Field: "body", Detail: "must be a JSON object"})
	}
	var errs []FieldError
	m := a.message(callerOf(c), newFields(body, "", &errs))
	if len(errs) > 0 {
		return wrong(errs...)
	}
	p, errs := a.o.Desk.Preview(c.Request().Context(), callerOf(c), m)
	if len(errs) > 0 {
		return wrong(errs...)
	}
	j := previewJSON{To: p.To, Encoding: p.Encoding, Parts: p.Parts, Units: p.Units, UnitsLeft: p.Left, ExpectedModem: orNil(p.Outlook.Modem),
		ExpectedBecause: orEmpty(p.Outlook.Because), Warnings: orEmpty(p.Warnings)}
	if p.Data == nil {
		j.Text = &p.Text
	}
	if p.ForcedBy != (sms.Forced{}) {
		j.ForcedBy = &p.ForcedBy
	}
	if at := p.Outlook.At.UTC(); !at.IsZero() {
		j.ExpectedAt = &at
	}
	return a.json(c, http.StatusOK, j)
}
