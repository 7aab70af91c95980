package twilio

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/sms"
	"gatewayd/webhook"
)

// FormatName is the name of the webhook.Format under which Callbacks must be
// known to whoever delivers them.
const FormatName = "twilio"

// Callbacks tell accounts of their messages, as Twilio would: a webhook.Source
// that says who gets an event, and the webhook.Format that words it and acts on
// the answer.
type Callbacks struct{ a *API }

// Callbacks are those of the API's accounts.
func (a *API) Callbacks() *Callbacks { return &Callbacks{a} }

// Targets names the receivers of an event: the SMS URLs of those who get a
// received text, and the status callback of a message that an account handed in.
func (c *Callbacks) Targets(q db.Querier, e *sms.Event) ([]webhook.Target, error) {
	if e.Type == sms.EventOf(sms.Received) {
		return received(q, e)
	}
	if e.Key == "" || !told(e.Type) {
		return nil, nil
	}
	account, err := selectAccount(q, `key_id = ?1 OR sid = (SELECT account FROM twilio_keys WHERE key_id = ?1)`, e.Key)
	if errors.Is(err, ErrNoAccount) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m sms.Message
	if err := json.Unmarshal(e.Data, &m); err != nil {
		return nil, err
	}
	address := m.Metadata[metaCallback]
	if address == "" {
		address = account.StatusCallback
	}
	if address == "" || again(&m) {
		return nil, nil
	}
	return []webhook.Target{{URL: address, Format: FormatName, Account: account.SID}}, nil
}

// Idle implements webhook.Idler: without an account there is nobody to tell.
func (c *Callbacks) Idle(q db.Querier) (bool, error) {
	var any bool
	err := q.QueryRow(`SELECT EXISTS (SELECT 1 FROM twilio_accounts)`).Scan(&any)
	return !any, err
}

// told tells which events become status callbacks: receivers know the statuses
// queued, sent, delivered, undelivered and failed, and some stop at any other.
func told(kind string) bool {
	for _, s := range []sms.Status{sms.Queued, sms.Sent, sms.Delivered, sms.Undelivered, sms.Failed, sms.Expired} {
		if kind == sms.EventOf(s) {
			return true
		}
	}
	return false
}

// again tells that a message is queued once more: for the receiver it still is.
func again(m *sms.Message) bool {
	return m.Status == sms.Queued && (m.Attempts > 0 || m.PossibleDuplicate)
}

// received are the targets of a received text. What is no text, such as an MMS
// notice, has no form that these receivers know.
func received(q db.Querier, e *sms.Event) ([]webhook.Target, error) {
	rows, err := q.Query(`SELECT ` + accountColumns + ` FROM twilio_accounts WHERE sms_url <> ''`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var m sms.Message
	var all []webhook.Target
	for rows.Next() {
		account, err := scanAccount(rows.Scan)
		if err != nil {
			return nil, err
		}
		if m.ID == "" {
			if err := json.Unmarshal(e.Data, &m); err != nil {
				return nil, err
			}
		}
		if m.Kind == sms.KindText && account.takes(m.Modem, m.To) {
			all = append(all, webhook.Target{URL: account.SMSURL, Format: FormatName, Account: account.SID})
		}
	}
	return all, rows.Err()
}

// Request words an event as a signed form.
func (c *Callbacks) Request(d webhook.Delivery) (*webhook.Request, error) {
	to, m, err := c.about(context.Background(), d)
	if err != nil || to == nil {
		return nil, err
	}
	form := fields(to.SID, m)
	h := http.Header{}
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	h.Set("Accept", "*/*")
	h.Set("I-Twilio-Idempotency-Token", d.ID) // the same at every attempt
	h.Set("X-Twilio-Signature", sign(to.token, d.URL, form))
	return &webhook.Request{Header: h, Body: []byte(form.Encode())}, nil
}

// about returns whom and what a delivery is about; nobody: there is nothing to
// tell, because the account was revoked or the text erased meanwhile.
func (c *Callbacks) about(ctx context.Context, d webhook.Delivery) (*caller, *sms.Message, error) {
	to := &caller{}
	var err error
	if to.Account, err = c.a.accounts.Get(ctx, d.Account); err == nil {
		to.key, err = c.a.o.Keys.Foreign(ctx, to.KeyID)
	}
	if errors.Is(err, ErrNoAccount) || errors.Is(err, auth.ErrInvalid) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var m sms.Message
	if err := json.Unmarshal(d.Event.Data, &m); err != nil {
		return nil, nil, err
	}
	if m.Direction == sms.Inbound && m.Redacted {
		return nil, nil, nil
	}
	return to, &m, nil
}

// fields are what a callback says.
func fields(account string, m *sms.Message) url.Values {
	f := url.Values{}
	set := func(value string, names ...string) {
		for _, name := range names {
			f.Set(name, value)
		}
	}
	set(sidOf(m.ID), "MessageSid", "SmsSid")
	set(account, "AccountSid")
	set(m.From, "From")
	set(m.To, "To")
	set(apiVersion, "ApiVersion")
	if m.Direction == sms.Inbound {
		set(sidOf(m.ID), "SmsMessageSid")
		set(m.Text, "Body")
		set("0", "NumMedia")
		set(strconv.Itoa(m.Parts), "NumSegments")
		set(string(sms.Received), "SmsStatus")
		return f
	}
	set(statusOf(m.Status), "MessageStatus", "SmsStatus")
	if s := m.Metadata[metaService]; s != "" {
		set(s, "MessagingServiceSid")
	}
	if code := codeOf(m); code != nil {
		set(strconv.Itoa(*code), "ErrorCode")
	}
	return f
}

// sign is X-Twilio-Signature of a form that is posted to an address, which
// counts exactly as it was configured.
func sign(token, address string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(token)) // the protocol's hash
	mac.Write([]byte(address))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			mac.Write([]byte(name + value))
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
