package twilio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"gatewayd/auth"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/webhook"
)

// maxRedirects is how many documents may go on in another.
const maxRedirects = 5

// Answered acts on the answer to a received text. All that it asks for is queued
// in one commit, under the delivery's ID: whenever that is delivered again, the
// texts that were queued first stay the only ones. A document that can't be read
// would be no better the next time, so it is logged and not asked for again.
func (c *Callbacks) Answered(ctx context.Context, d webhook.Delivery, header http.Header, body []byte) error {
	if d.Event.Type != sms.EventOf(sms.Received) {
		return nil
	}
	to, m, err := c.about(ctx, d)
	if err != nil || to == nil {
		return err
	}
	log := c.a.log.With("account", to.SID, "delivery", d.ID)
	var replies []reply
	at := d.URL // of the document
	for hops := 0; ; hops++ {
		doc, err := read(header, body)
		if err != nil {
			log.Warn("the answer to a received text can't be used", "error", err)
			break
		}
		for _, r := range doc.replies {
			if r.callback = resolve(at, r.callback); r.callback != "" && c.a.o.Callback(r.callback) != "" {
				log.Warn("a reply's status is told to nobody: its address is none that a callback may have")
				r.callback = ""
			}
			replies = append(replies, r)
		}
		if doc.redirect == "" {
			break
		}
		next := resolve(at, doc.redirect)
		if hops == maxRedirects || c.a.o.Client == nil || next == "" || c.a.o.Callback(next) != "" {
			log.Warn("a Redirect is not followed", "redirects", hops)
			break
		}
		at = next
		if header, body, err = c.fetch(ctx, to.token, at, doc.method, fields(to.SID, m)); err != nil {
			return fmt.Errorf("following a Redirect: %w", err)
		}
	}
	if len(replies) > 0 && !to.key.Can(auth.Send) {
		log.Warn("the replies to a received text are not sent: the account's key has not the scope send", "replies", len(replies))
		return nil
	}
	var drafts []queue.Draft
	who := c.a.as(to.key)
	for i, r := range replies[:min(len(replies), maxReplies)] {
		draft, wrong := c.draft(who, to.AnyFrom, m, r)
		if len(wrong) > 0 {
			log.Warn("a reply to a received text is not sent", "reply", i+1, "field", wrong[0].Field)
			log.Debug("a reply to a received text is not sent", "reply", i+1, "error", intake.Refused(wrong))
			continue
		}
		drafts = append(drafts, draft)
	}
	if len(drafts) == 0 {
		return nil
	}
	// With a space, so it is never a key that a client gave.
	once := &queue.Idempotency{KeyID: who.KeyID, Key: "reply " + d.ID, Body: []byte(d.ID)}
	_, _, err = c.a.o.Desk.Submit(ctx, who, drafts, once)
	if errors.Is(err, queue.ErrNotFound) {
		return nil // they were queued, and erased since
	}
	return err
}

// draft makes a reply ready. Unless the document says otherwise it goes to whom
// the text came from, from the SIM that it came to.
func (c *Callbacks) draft(who intake.Caller, anyFrom bool, received *sms.Message, r reply) (queue.Draft, []intake.FieldError) {
	m := intake.Message{To: r.to, From: r.from, Text: &r.body, Metadata: map[string]string{metaReplyTo: sidOf(received.ID)}}
	if m.To == "" {
		m.To = received.From
	}
	if m.From == "" || serviceSID.MatchString(m.From) {
		m.From = received.Modem
	}
	if r.callback != "" {
		m.Metadata[metaCallback] = r.callback
	}
	draft, wrong := c.a.o.Desk.Draft(who, m)
	if len(wrong) == 1 && wrong[0].Field == "from" && (r.from == "" || anyFrom) {
		m.From = "" // the modem is gone since
		draft, wrong = c.a.o.Desk.Draft(who, m)
	}
	return draft, wrong
}

// resolve is an address as it stands in the document at another; "" if it is none.
func resolve(at, address string) string {
	if address == "" {
		return ""
	}
	base, err := url.Parse(at)
	if err != nil {
		return ""
	}
	u, err := base.Parse(address)
	if err != nil || !isURL(u.String()) {
		return ""
	}
	u.Fragment = ""
	return u.String()
}

// fetch gets the document that a Redirect names, with the same fields as the
// first. The client's guard keeps it from addresses that a callback may not have.
func (c *Callbacks) fetch(ctx context.Context, token, address, method string, form url.Values) (http.Header, []byte, error) {
	var body io.Reader
	signed := form
	if method == http.MethodGet {
		u, err := url.Parse(address)
		if err != nil {
			return nil, nil, errors.New("its address is none")
		}
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += form.Encode()
		address, signed = u.String(), nil
	} else {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, nil, errors.New("its address is none")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("User-Agent", "gatewayd")
	req.Header.Set("X-Twilio-Signature", sign(token, address, signed))
	res, err := c.a.o.Client.Do(req)
	if err != nil {
		if ue := (*url.Error)(nil); errors.As(err, &ue) {
			err = ue.Err // without the address, whose query may be a secret
		}
		return nil, nil, err
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, nil, fmt.Errorf("HTTP %d", res.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	return res.Header, text, err
}
