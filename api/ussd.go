package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/sms"
)

// ussdWait is longer than a modem takes for a step of a USSD session.
const ussdWait = 5 * time.Minute

// askNetwork is POST /v1/modems/{name}/ussd.
func (a *API) askNetwork(c echo.Context) error {
	m, err := a.modem(c)
	if err != nil {
		return err
	}
	step, err := readUSSD(c)
	if err != nil {
		return err
	}
	// The network takes longer than other requests may.
	if err := http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(ussdWait)); err != nil {
		a.log.Debug("a request keeps its time limit", "error", err)
	}
	answer, err := a.o.Modems.USSD(c.Request().Context(), m.Name, step)
	if err != nil {
		p := conflict.because("The network was not asked: %s.", err)
		p.cause = err
		return p
	}
	return a.json(c, http.StatusOK, answer)
}

// readUSSD reads which step is wanted.
func readUSSD(c echo.Context) (step sms.USSD, err error) {
	v, err := readJSON(c.Response(), c.Request(), maxMessageBody)
	if err != nil {
		return step, err
	}
	o, ok := v.(*object)
	if !ok {
		return step, wrong(FieldError{Field: "body", Detail: "must be a JSON object"})
	}
	var errs []FieldError
	f := newFields(o, "", &errs)
	given := 0
	if s, ok := f.text("code"); ok {
		step.Code = s
		given++
		if err := sms.USSDCode(s); err != nil {
			f.wrong("code", "%s", err)
		}
	}
	if s, ok := f.text("reply"); ok {
		step.Reply = s
		given++
		if err := sms.USSDReply(s); err != nil {
			f.wrong("reply", "%s", err)
		}
	}
	if step.Cancel = f.boolean("cancel", false); step.Cancel {
		given++
	}
	f.done()
	if given != 1 && len(errs) == 0 {
		f.wrong("code", "is needed, or reply, or cancel with true, and one of them only")
	}
	if len(errs) > 0 {
		return step, wrong(errs...)
	}
	return step, nil
}
