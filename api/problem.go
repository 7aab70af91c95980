package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/contacts"
	"gatewayd/intake"
	"gatewayd/queue"
)

// kind is one sort of error that the API answers with. The catalogue below has
// all of them; each is served as a page under its type.
type kind struct {
	Name   string // the last element of the type
	Status int
	Title  string
	Help   string // what to do about it
}

// Type identifies the kind for programs, and is where people read about it.
func (k *kind) Type() string { return "/problems/" + k.Name }

// The catalogue.
var (
	notJSON = &kind{"not-json", 400, "The body is not JSON",
		"Send one JSON value in UTF-8 and nothing behind it. The detail says where reading stopped."}
	badRequest = &kind{"bad-request", 400, "The request can't be read",
		"Something in the request line or its headers is not valid HTTP for this server."}
	noKey = &kind{"no-valid-key", 401, "A valid API key is needed",
		"Send the header “Authorization: Bearer KEY”. Make a key with “gatewayd keys create”. Keys never go into the URL."}
	wrongScope = &kind{"wrong-scope", 403, "The API key may not do this",
		"Every key has scopes: send, read, admin. The detail names the one that is missing; make a key that has it."}
	foreignOrigin = &kind{"foreign-origin", 403, "Another site's page sent this",
		"A browser's session counts only for requests from gatewayd's own pages. Programs use an API key instead."}
	notFound = &kind{"not-found", 404, "There is no such thing here",
		"Look at the path and at the id in it. What was erased or is older than history.keep is gone."}
	methodNotAllowed = &kind{"method-not-allowed", 405, "The path does not take this method",
		"The header Allow lists the methods that it takes."}
	conflict = &kind{"conflict", 409, "The present state does not allow this",
		"The detail says what the state is. Ask for it again, then decide."}
	tooLate = &kind{"too-late", 409, "The message would be late",
		"Nothing was queued. The detail says when it is expected to be sent. Give it more time, or leave reject_if_late out: then it is taken, with a warning."}
	tooLarge = &kind{"too-large", 413, "The body is too large",
		"A message is at most 64 KiB of JSON, a batch 4 MiB. Send a batch in several."}
	wrongMediaType = &kind{"wrong-media-type", 415, "The body has the wrong content type",
		"Send “Content-Type: application/json”."}
	invalidFields = &kind{"invalid-fields", 422, "Some fields are wrong",
		"errors lists every field that is wrong and says what is allowed. Nothing was queued."}
	keyReused = &kind{"key-reused", 422, "The key came with another body before",
		"An Idempotency-Key or a client_id belongs to one request. Use a new one for a new message, and the same body to repeat the old."}
	rateExceeded = &kind{"rate-exceeded", 429, "The API key sends too fast",
		"Nothing was queued. Wait as many seconds as the header Retry-After says; RateLimit-Policy and RateLimit tell the limits of the key before they are reached."}
	quotaExceeded = &kind{"quota-exceeded", 429, "The API key's messages of today are used up",
		"Nothing was queued. They begin anew at midnight of the gateway, which Retry-After tells in seconds. A batch goes as a whole or not at all: a smaller one may still fit."}
	hookTooFast = &kind{"hook-rate-exceeded", 429, "The hook is told too much",
		"Nothing was queued. Wait as many seconds as the header Retry-After says. max_per_minute of the hook sets how many messages it may make; if nobody should have told it so much, its token has leaked: POST /v1/hooks/{id}/rotate."}
	tooManyListeners = &kind{"too-many-listeners", 429, "The API key listens too often",
		"Close event streams that nobody reads, or make another key. Many readers are better served by one that hands on."}
	badSignature = &kind{"bad-signature", 401, "The request is not signed as it must be",
		"The hook has a secret: the sender must have the same, and sign with it. The detail says which signature was looked at."}
	tooManyAttempts = &kind{"too-many-attempts", 429, "Too many wrong keys",
		"Wait as many seconds as the header Retry-After says. A valid key is answered all the while."}
	internal = &kind{"internal", 500, "Something went wrong inside gatewayd",
		"This is a defect. The log has the details; please report it with them."}
	queueFull = &kind{"queue-full", 503, "The outbound queue is full",
		"Nothing was queued. Try again after Retry-After seconds; look at the modems if it lasts. queue.outbound_capacity sets the size."}
	diskFull = &kind{"disk-full", 503, "The disk is full",
		"Nothing was queued; what was accepted before is still sent, and texts are still received. Make room on the disk of data_dir: " +
			"new messages are taken again by themselves. disk.reserve sets how much must be free. Try again after Retry-After seconds."}
	storage = &kind{"storage", 503, "The database can't be used now",
		"Nothing was stored. Usually the disk is failing: look at the log. Try again after Retry-After seconds."}
	notReady = &kind{"not-ready", 503, "gatewayd is not ready",
		"It is starting or stopping, or its database takes no messages. The log says which."}
	damaged = &kind{"database-damaged", 503, "The database file is damaged",
		"Nothing was stored, and nothing is sent or received: what can still be saved must not be written over. Stop gatewayd and restore a backup: gatewayd restore FILE."}
)

var catalogue = []*kind{damaged, notJSON, badRequest, noKey, badSignature, wrongScope, foreignOrigin, notFound, noHub, methodNotAllowed, conflict, tooLate,
	tooLarge, wrongMediaType, invalidFields, keyReused, rateExceeded, quotaExceeded, hookTooFast, tooManyListeners, tooManyAttempts, internal, queueFull, diskFull, storage, notReady,
	noNumberFree, notOptedIn, optedOut, blockedSender, blockedNumber, keywordRefused, destinationRefused, chatLimit, puzzleNeeded, conversationClosed}

// FieldError says what is wrong with one field.
type FieldError = intake.FieldError

// problem is an error as a client sees it.
type problem struct {
	*kind
	detail string
	fields []FieldError
	retry  time.Duration // Retry-After; 0: none
	cause  error         // for the log
}

func (p *problem) Error() string {
	if p.cause != nil {
		return p.Name + ": " + p.cause.Error()
	}
	return p.Name + ": " + p.detail
}

func (p *problem) Unwrap() error { return p.cause }

func (k *kind) because(format string, args ...any) *problem {
	return &problem{kind: k, detail: fmt.Sprintf(format, args...)}
}

// wrong is the problem of fields that are wrong.
func wrong(fields ...FieldError) *problem {
	said := make([]string, len(fields))
	for i, f := range fields {
		said[i] = f.Field + " " + f.Detail
	}
	const shown = 3
	detail := strings.Join(said[:min(len(said), shown)], "; ")
	if len(said) > shown {
		detail += fmt.Sprintf("; and %d more", len(said)-shown)
	}
	return &problem{kind: invalidFields, detail: detail, fields: fields}
}

// problemOf turns any error into what the client is told. Errors of the queue
// that are no verdict on the request come from the disk.
func problemOf(err error) *problem {
	var p *problem
	var he *echo.HTTPError
	var refused intake.Refused
	var late *intake.Late
	var limit *auth.LimitError
	var key *auth.WrongError
	var said *chat.Error
	var contact contacts.Refused
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &said):
		return problemOfChat(said)
	case errors.Is(err, intake.ErrUnderWay):
		p = conflict.because("The first request with this Idempotency-Key is still under way. Ask again in a moment: it is then answered as the first was.")
		p.retry = time.Second // clients repeat a conflict only if they are told to
	case errors.As(err, &late):
		return tooLate.because("%s.", capital(late.Error()))
	case errors.As(err, &refused):
		return wrong(refused...)
	case errors.As(err, &contact):
		return refusedContact(contact)
	case contacts.Unreadable(err):
		return badRequest.because("%s.", capital(err.Error()))
	case errors.As(err, &limit):
		p = rateExceeded.because("%s.", capital(limit.Error()))
		if limit.Limit == auth.PerDay {
			p = quotaExceeded.because("%s.", capital(limit.Error()))
		}
		p.retry = limit.Wait
	case errors.As(err, &key):
		return wrong(FieldError{Field: key.Field, Detail: key.Detail})
	case errors.As(err, &he):
		return problemOfEcho(he)
	case errors.Is(err, queue.ErrFull):
		p = queueFull.because("No slot of the outbound ring is free.")
		p.retry = 30 * time.Second
	case errors.Is(err, queue.ErrDiskFull):
		p = diskFull.because("There is no room for new messages beside what was accepted already.")
		p.retry = 30 * time.Second
	case errors.Is(err, queue.ErrKeyReused):
		p = keyReused.because("%s.", capital(err.Error()))
	case errors.Is(err, queue.ErrNotFound), errors.Is(err, auth.ErrNotFound), errors.Is(err, auth.ErrNoPerson):
		p = notFound.because("%s.", capital(err.Error()))
	case errors.Is(err, queue.ErrDamaged):
		p = damaged.because("The file contradicts itself. Stop gatewayd and restore a backup: gatewayd restore FILE.")
		p.retry = 10 * time.Minute
	case errors.Is(err, queue.ErrConflict), errors.Is(err, auth.ErrEnded), errors.Is(err, auth.ErrForeign), errors.Is(err, auth.ErrLastAdmin), errors.Is(err, auth.ErrNoEmail):
		p = conflict.because("%s.", capital(err.Error()))
	case errors.Is(err, queue.ErrBadCursor):
		return wrong(FieldError{Field: "cursor", Detail: "is not one that this list gave; begin again without it"})
	case errors.Is(err, auth.ErrInvalid):
		p = noKey.because("The API key is unknown, expired or revoked.")
	default:
		p = storage.because("The database did not answer as it should.")
		p.retry = 10 * time.Second
	}
	p.cause = err
	return p
}

func problemOfEcho(he *echo.HTTPError) *problem {
	switch he.Code {
	case http.StatusNotFound:
		return notFound.because("No such path.")
	case http.StatusMethodNotAllowed:
		return methodNotAllowed.because("See the header Allow.")
	}
	if he.Code >= 500 {
		return &problem{kind: internal, detail: "The log has the details.", cause: he}
	}
	return &problem{kind: badRequest, detail: fmt.Sprint(he.Message), cause: he}
}

// capital makes a Go error a sentence's beginning.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// fail is the one place that answers with an error.
func (a *API) fail(c echo.Context, err error) {
	if c.Response().Committed {
		// The answer has begun: all that is left is to cut it off.
		a.log.Debug("answer cut off", "route", c.Path(), "error", err)
		return
	}
	p := problemOf(err)
	// What is full has an alarm of its own: a line for each request that is
	// refused would fill the disk further.
	if p.Status >= 500 && p.kind != queueFull && p.kind != diskFull && !errors.Is(err, context.Canceled) {
		a.log.Error("request failed", "route", c.Path(), "method", c.Request().Method, "status", p.Status, "error", err)
	}
	h := c.Response().Header()
	if p.retry > 0 {
		// Rounded up: asking a moment too early would only be refused again.
		h.Set("Retry-After", strconv.Itoa(int((p.retry+time.Second-1)/time.Second)))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="gatewayd"`)
	}
	if isPage(c) && acceptsHTML(c.Request()) {
		if p.kind == noKey {
			err = a.toSignIn(c)
		} else {
			err = a.page(c, p.Status, "problem.html", a.frame(c, p.Title), problemView{p.kind, p.detail})
		}
	} else {
		h.Set(echo.HeaderContentType, "application/problem+json")
		err = c.JSON(p.Status, struct {
			Type   string       `json:"type"`
			Title  string       `json:"title"`
			Status int          `json:"status"`
			Detail string       `json:"detail"`
			Errors []FieldError `json:"errors,omitempty"`
		}{p.Type(), p.Title, p.Status, p.detail, p.fields})
	}
	if err != nil {
		a.log.Debug("answer not written", "route", c.Path(), "error", err)
	}
}
