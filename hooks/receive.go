package hooks

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// Receive makes texts of a request and queues them: all or none. What was told
// before sends nothing. Its answer always has the hook's preset, if the token
// opens one. Errors: ErrNotFound, *sms.HookError, intake.Refused and
// intake.ErrUnderWay, and those of the queue.
func (h *Hooks) Receive(ctx context.Context, r *Request) (a sms.HookAnswer, err error) {
	hook, err := h.find(ctx, r.Token)
	if err != nil {
		return a, err
	}
	s := &hook.HookSettings
	if !mayAsk(s, r.Remote) {
		return a, ErrNotFound
	}
	a.Messages, a.Preset = []sms.HookText{}, s.Preset
	switch {
	case r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodGet && s.AllowGet:
	case r.Method == http.MethodGet:
		return a, &sms.HookError{Refusal: sms.HookMethod, Detail: "this hook takes no GET; its owner may allow it with allow_get"}
	default:
		return a, &sms.HookError{Refusal: sms.HookMethod, Detail: "a hook takes POST and PUT"}
	}
	now := h.o.Now()
	if s.Secret != "" {
		stamp := now
		if !h.o.Trusted() {
			stamp = time.Time{} // nobody knows how old the request is
		}
		if err := verify(s.Secret, r.Header, r.Body, stamp); err != nil {
			return a, &sms.HookError{Refusal: sms.HookUnsigned, Detail: err.Error()}
		}
	}
	if err := h.used(hook); err != nil {
		return a, err
	}
	v, err := decode(r)
	if err != nil {
		return a, &sms.HookError{Refusal: sms.HookUnreadable, Detail: err.Error()}
	}
	h.settle(s)
	m, err := read(s, unwrap(v), r)
	if err != nil || m.skip != "" {
		a.Skipped = &m.skip
		return a, err
	}
	who := intake.Caller{KeyID: "hook:" + hook.ID, Charge: h.rates.charge(hook.ID, s.MaxPerMinute)}
	drafts, err := h.drafts(who, s, m, now, hook.ID)
	if err != nil {
		return a, err
	}
	once, err := h.once(who, hook, r, v, m, now)
	if err != nil {
		return a, err
	}
	accepted, replayed, err := h.o.Desk.Submit(ctx, who, drafts, once)
	if replayed = replayed || errors.Is(err, queue.ErrNotFound) && once != nil; replayed && err != nil {
		before := "it was told before, and what was sent is erased since"
		a.Skipped, err = &before, nil
	}
	a.Replayed = replayed
	for _, message := range accepted {
		a.Messages = append(a.Messages, sms.HookText{ID: message.ID, Status: message.Status,
			Length: utf8.RuneCountInString(message.Text), Parts: message.Parts, Encoding: message.Encoding})
	}
	return a, err
}

// Preview tells what a hook with these settings would make of a request, and
// sends nothing.
func (h *Hooks) Preview(_ context.Context, s sms.HookSettings, r *Request) (p sms.HookPreview, err error) {
	if s.Name == "" {
		s.Name = "preview"
	}
	if s.Preset == "supabase" && s.Secret == "" {
		s.Secret = "whsec_bm90IGEgc2VjcmV0LCBub2JvZHkgaXMgYXNrZWQ="
	}
	if err := h.check(&s); err != nil {
		return p, err
	}
	v, err := decode(r)
	if err != nil {
		return p, &sms.HookError{Refusal: sms.HookUnreadable, Detail: err.Error()}
	}
	h.settle(&s)
	m, err := read(&s, unwrap(v), r)
	p.To = []string{}
	if err != nil || m.skip != "" {
		p.Skipped = &m.skip
		return p, err
	}
	drafts, err := h.drafts(intake.Caller{}, &s, m, h.o.Now(), "")
	if err != nil {
		return p, err
	}
	for _, d := range drafts {
		p.To = append(p.To, d.To)
	}
	p.Text = drafts[0].Text // as it would be sent
	analysis, err := pdu.Analyse(p.Text)
	if err != nil {
		return p, intake.Refused{{Field: "text", Detail: err.Error()}}
	}
	p.Length, p.Parts, p.Encoding = utf8.RuneCountInString(p.Text), analysis.Parts, analysis.Encoding
	if analysis.ForcedBy != 0 {
		forced := string(analysis.ForcedBy)
		p.ForcedBy = &forced
	}
	return p, nil
}

// settle decides what the settings leave to the gateway.
func (h *Hooks) settle(s *sms.HookSettings) {
	s.Unicode = cmp.Or(s.Unicode, string(h.o.Desk.Unicode()))
}

// read makes a text of a request, and says who gets it.
func read(s *sms.HookSettings, v any, r *Request) (made, error) {
	m := presets[s.Preset].read(v, r, s)
	if m.skip != "" {
		return m, nil
	}
	if s.Template != "" {
		text, err := expand(s.Template, v, r)
		if err != nil {
			return m, intake.Refused{{Field: "template", Detail: "failed with this request: " + err.Error()}}
		}
		m.text = text
	}
	if m.text = roomOf(s).fit(clean(m.text)); m.text == "" {
		m.skip = "it made no text"
		return m, nil
	}
	if s.ToTemplate != "" {
		named, err := expand(s.ToTemplate, v, r)
		if err != nil {
			return m, intake.Refused{{Field: "to_template", Detail: "failed with this request: " + err.Error()}}
		}
		m.to = nil
		for _, to := range strings.FieldsFunc(named, func(r rune) bool { return r == ',' || r == ';' || r == '\n' || r == '\r' }) {
			if to = strings.TrimSpace(to); to != "" {
				m.to = append(m.to, to)
			}
		}
	}
	if len(m.to) == 0 {
		m.to = s.To
	}
	switch {
	case len(m.to) == 0:
		return m, intake.Refused{{Field: "to", Detail: "is empty: to_template made no recipient of this request, and the hook has no list"}}
	case len(m.to) > maxRecipients:
		return m, intake.Refused{{Field: "to", Detail: fmt.Sprintf("has %d recipients; at most %d are allowed", len(m.to), maxRecipients)}}
	}
	return m, nil
}

// drafts are the messages, one for each recipient.
func (h *Hooks) drafts(who intake.Caller, s *sms.HookSettings, m made, now time.Time, id string) ([]queue.Draft, error) {
	message := intake.Message{From: s.From, Text: &m.text, Priority: &s.Priority, Unicode: intake.Unicode(s.Unicode)}
	if s.ExpiresAfter > 0 {
		message.ExpiresAt = now.Add(time.Duration(s.ExpiresAfter) * time.Second)
	}
	if s.Preset == "supabase" {
		message.OnUnconfirmed = sms.Fail // a code is asked for again
	}
	if id != "" {
		message.Metadata = map[string]string{"hook": id}
	}
	var drafts []queue.Draft
	var wrong intake.Refused
	for i, to := range m.to {
		message.To = to
		d, errs := h.o.Desk.Draft(who, message)
		for _, e := range errs {
			if e.Field == "to" {
				e.Field = fmt.Sprintf("to[%d]", i)
			} else if i > 0 {
				continue // it was said of the first already
			}
			wrong = append(wrong, e)
		}
		same := false
		for _, before := range drafts {
			same = same || before.To == d.To
		}
		if !same {
			drafts = append(drafts, d)
		}
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	return drafts, nil
}

// once is what makes a repeated request recognisable; nil: nothing does. The
// answer itself is kept by the queue, in the commit that takes the messages.
func (h *Hooks) once(who intake.Caller, hook row, r *Request, v any, m made, now time.Time) (*queue.Idempotency, error) {
	window := time.Duration(hook.DedupWindow) * time.Second
	whole, _ := json.Marshal([]any{v, r.Query}) // equal JSON is equal, however it is written
	kind, said, in := "", "", time.Duration(0)
	body := []byte("any")
	header := r.Header.Get("Idempotency-Key")
	switch {
	case len(header) > 255:
		return nil, intake.Refused{{Field: "Idempotency-Key", Detail: "must have at most 255 characters"}}
	case header != "":
		kind, said = "Idempotency-Key", header
		sum := sha256.Sum256(whole)
		body = sum[:]
	case m.delivery != "":
		kind, said = "delivery", m.delivery
	case m.same != "" && window > 0:
		kind, said, in = "same", m.same, window
	case r.Header.Get("webhook-id") != "":
		kind, said = "webhook-id", r.Header.Get("webhook-id")
	case window > 0:
		kind, said, in = "request", string(whole), window
	default:
		return nil, nil
	}
	// Under the token, which is stored nowhere: what was said can't be guessed
	// from what is kept of it.
	key := mac([]byte(r.Token), []byte(kind+"\n"+said))
	name := kind + ":" + hex.EncodeToString(key)
	if in > 0 {
		var since int64
		err := h.o.DB.Write(func(tx *db.Tx) (err error) {
			var fresh bool
			since, fresh, err = begun(tx, hook.ID, key, in, now)
			if err == nil && fresh { // what would be refused leaves nothing behind
				err = h.rates.admits(hook.ID, hook.MaxPerMinute, len(m.to))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		name += ":" + strconv.FormatInt(since, 10)
	}
	return &queue.Idempotency{KeyID: who.KeyID, Key: name, Body: body}, nil
}
