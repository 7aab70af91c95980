package api

import (
	"context"
	"net/http"
	"time"

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

// PreviewMessage tells what POST /v1/messages would make of the same body. It
// queues nothing.
func (a server) PreviewMessage(ctx context.Context, r PreviewMessageRequestObject) (PreviewMessageResponseObject, error) {
	in := from(ctx)
	p, errs := a.o.Desk.Preview(ctx, in.caller, in.order(*r.Body, nil))
	if errs := in.refused(mistakesOf(errs, nil)...); len(errs) > 0 {
		return nil, wrong(cut(errs)...)
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
	return reply{status: http.StatusOK, v: j}, nil
}
