package api

import (
	"slices"
	"strings"

	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// maxBatch is the most messages of one batch.
const maxBatch = 1000

// inOrder is how the mistakes of one message are told; what it does not have
// comes last.
var inOrder = []string{"priority", "flash", "delivery_report", "on_unconfirmed", "callback_url", "metadata", "client_id", "to", "text",
	"data", "port", "from", "send_at", "expires_at"}

// draft reads one message that is to be sent; what is wrong is in f.
func (a *API) draft(who intake.Caller, f *fields) queue.Draft {
	first := len(*f.errs)
	m := intake.Message{
		Flash:         f.boolean("flash", false),
		OnUnconfirmed: sms.OnUnconfirmed(f.oneOf("on_unconfirmed", string(sms.Resend), string(sms.Fail))),
		CallbackURL:   f.httpURL("callback_url"),
		Metadata:      f.metadata("metadata"),
		Port:          f.integer("port", 1, 65535, 0),
		SendAt:        f.instant("send_at"),
		ExpiresAt:     f.instant("expires_at"),
	}
	priority, report := f.integer("priority", 0, queue.Priorities-1, sms.DefaultPriority), f.boolean("delivery_report", true)
	m.Priority, m.DeliveryReport = &priority, &report
	m.To, _ = f.text("to")
	m.From, _ = f.line("from", 100)
	m.ClientID, _ = f.line("client_id", 255)
	if v, ok := f.take("text"); ok {
		text, isString := v.(string)
		if !isString {
			f.wrong("text", "must be a string")
		}
		m.Text = &text
	}
	if _, ok := f.take("data"); ok {
		if m.Data = f.base64("data"); m.Data == nil {
			m.Data = []byte{}
		}
	}
	d, errs := a.o.Desk.Draft(who, m)
	for _, e := range errs {
		// Whoever wrote a field in a wrong way is told so once.
		if !f.isWrong(e.Field) {
			f.wrong(e.Field, "%s", e.Detail)
		}
	}
	slices.SortStableFunc((*f.errs)[first:], func(x, y FieldError) int { return f.rank(x) - f.rank(y) })
	f.done()
	return d
}

// rank is where the mistake of a message stands among its others.
func (f *fields) rank(e FieldError) int {
	name, _, _ := strings.Cut(strings.TrimPrefix(e.Field, f.path), ".")
	return slices.Index(inOrder, name)
}
