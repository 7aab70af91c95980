package twilio

import (
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

const (
	maxBody     = 1600  // characters of a text, as at Twilio
	maxValidity = 36000 // seconds
)

var (
	serviceSID = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	dialable   = regexp.MustCompile(`^\+?[0-9 ().-]+$`)
)

// create is POST …/Messages.json. Parameters that say nothing to a modem are
// ignored; those that would change what the recipient gets are refused.
func (a *API) create(r *request) (int, any, error) {
	if err := r.may(auth.Send); err != nil {
		return 0, nil, err
	}
	m, err := a.read(r)
	if err != nil {
		return 0, nil, err
	}
	who := a.as(r.caller.key)
	draft, wrong := a.o.Desk.Draft(who, m)
	if len(wrong) > 0 && wrong[0].Field == "from" && r.caller.AnyFrom {
		m.From = ""
		draft, wrong = a.o.Desk.Draft(who, m)
	}
	if len(wrong) > 0 {
		return 0, nil, a.refuse(who, wrong, &m)
	}
	// Twilio refuses at once what would fail, and programs act on its code: they
	// take the number off their lists. Who says STOP between this and the commit is
	// found by the queue, and the message fails with the same code.
	if stopped, err := a.o.Queue.OptedOut(r.Context(), draft.To); err != nil {
		return 0, nil, err
	} else if stopped {
		return 0, nil, optedOut
	}
	once, err := a.once(r, &draft)
	if err != nil {
		return 0, nil, err
	}
	accepted, _, err := a.o.Desk.Submit(r.Context(), who, []queue.Draft{draft}, once)
	if once != nil && errors.Is(err, queue.ErrNotFound) {
		return 0, nil, erasedMeantime
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, created(r.account, &accepted[0]), nil
}

// created is the answer to a new message. Its error stays null, whatever became
// of it since: there are clients that read it as a string.
func created(account string, m *sms.Message) messageJSON {
	v := view(account, m)
	v.ErrorCode, v.ErrorMessage = nil, nil
	return v
}

// refuse words what is wrong, as Twilio would: one thing at a time.
func (a *API) refuse(who intake.Caller, wrong []intake.FieldError, m *intake.Message) error {
	for _, field := range []string{"to", "from", "text"} {
		for _, e := range wrong {
			switch {
			case e.Field != field:
			case field == "to" && a.forbids(who, m.To):
				return notThere.says("To %s", e.Detail)
			case field == "text" && a.o.Desk.RefusesUnicode(*m.Text):
				return badParameter.says("Body %s", e.Detail)
			case field == "from" && !dialable.MatchString(m.From):
				return badFrom.says("The 'From' is neither the number nor the name of a modem here")
			default:
				return failureOf(e)
			}
		}
	}
	return failureOf(wrong[0])
}

// forbids tells whether a number is one, and refused for where it is.
func (a *API) forbids(who intake.Caller, to string) bool {
	n, err := number.Parse(to, a.o.Region())
	return err == nil && a.o.Desk.Refuses(who, n) != ""
}

// read reads the parameters of a new message.
func (a *API) read(r *request) (m intake.Message, err error) {
	f := r.form
	m.To, m.From = strings.TrimSpace(f.Get("To")), strings.TrimSpace(f.Get("From"))
	service := strings.TrimSpace(f.Get("MessagingServiceSid"))
	if serviceSID.MatchString(m.From) {
		service, m.From = m.From, ""
	}
	body := f.Get("Body")
	switch {
	case m.To == "":
		return m, noTo
	case service != "" && !serviceSID.MatchString(service):
		return m, badService
	case m.From == "" && service == "" && !r.caller.AnyFrom:
		return m, noFrom
	case f.Get("MediaUrl") != "":
		return m, noMedia
	case f.Get("ContentSid") != "":
		return m, noContent
	case body == "":
		return m, noBody
	case !utf8.ValidString(body):
		return m, badParameter.says("Body is not UTF-8")
	case utf8.RuneCountInString(body) > maxBody:
		return m, tooLong.says("The message body exceeds the limit of %d characters", maxBody)
	}
	m.Text = &body
	callback := f.Get("StatusCallback")
	if callback != "" {
		if !isURL(callback) {
			return m, badCallback
		}
		if why := a.o.Callback(callback); why != "" {
			return m, badCallback.says("The 'StatusCallback' URL %s", why)
		}
	}
	for name, value := range map[string]string{metaService: service, metaCallback: callback} {
		if value != "" {
			if m.Metadata == nil {
				m.Metadata = map[string]string{}
			}
			m.Metadata[name] = value
		}
	}
	return m, a.times(r, &m)
}

// times reads when a message is sent and until when it may be.
func (a *API) times(r *request, m *intake.Message) error {
	kind, at := r.form.Get("ScheduleType"), r.form.Get("SendAt")
	if kind != "" && kind != "fixed" || kind != "" && at == "" {
		return badSchedule
	}
	if at != "" {
		t, err := time.Parse(time.RFC3339, at)
		if err != nil || t.Year() > 9999 || t.Year() < 1970 {
			return badSchedule
		}
		m.SendAt = t
	}
	if v := r.form.Get("ValidityPeriod"); v != "" {
		seconds, err := strconv.Atoi(v)
		if err != nil || seconds < 1 || seconds > maxValidity {
			return badParameter.says("ValidityPeriod must be a whole number of seconds from 1 to %d", maxValidity)
		}
		from := a.o.Now()
		if m.SendAt.After(from) {
			from = m.SendAt
		}
		m.ExpiresAt = from.Add(time.Duration(seconds) * time.Second)
	}
	return nil
}

// once names a message by what it says, for accounts with a dedup window: the
// same again within it gets the first one's answer. Neither of Twilio's clients
// sends a key of its own with a request that it repeats. What is kept can be read
// back by nobody, and goes with the next message after the window.
func (a *API) once(r *request, d *queue.Draft) (*queue.Idempotency, error) {
	window := r.caller.Dedup
	if window == 0 {
		return nil, nil
	}
	b, err := json.Marshal([]any{d.To, d.Text, d.Pin, d.Metadata[metaService], d.SendAt.UnixMilli(), r.caller.key.ID})
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, []byte(r.caller.token))
	mac.Write(b)
	hash, now := mac.Sum(nil), a.o.Now()
	var name string
	err = a.o.DB.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM twilio_recent WHERE account = ? AND (at <= ? OR at > ?)`,
			r.account, now.Add(-window).UnixMilli(), now.UnixMilli())
		if err != nil {
			return err
		}
		err = tx.QueryRow(`SELECT once FROM twilio_recent WHERE account = ? AND hash = ?`, r.account, hash).Scan(&name)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		name = hexSID("dedup ") // with a space, so it is never a client's own
		_, err = tx.Exec(`INSERT INTO twilio_recent (account, hash, at, once) VALUES (?, ?, ?, ?)`, r.account, hash, now.UnixMilli(), name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &queue.Idempotency{KeyID: r.caller.key.Principal, Key: name, Body: []byte(name)}, nil
}
