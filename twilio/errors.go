package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"gatewayd/auth"
	"gatewayd/intake"
	"gatewayd/queue"
)

// failure is an error as Twilio's clients read it: they show code and message
// to their programs, which act on the code.
type failure struct {
	code    int
	status  int
	message string
	retry   time.Duration // Retry-After; 0: none
}

func (f *failure) Error() string { return fmt.Sprintf("%d: %s", f.code, f.message) }

// says is the same failure with its circumstances.
func (f *failure) says(format string, args ...any) *failure {
	g := *f
	g.message = fmt.Sprintf(format, args...)
	return &g
}

// The failures. Codes are Twilio's where it has one for the case; those that it
// lacks follow its way of putting 20 before the HTTP status.
var (
	badParameter     = &failure{code: 20001, status: 400, message: "Invalid parameter"}
	unauthorized     = &failure{code: 20003, status: 401, message: "Authenticate"}
	forbidden        = &failure{code: 20003, status: 403, message: "Permission denied"}
	methodNotAllowed = &failure{code: 20004, status: 405, message: "Method not allowed"}
	notOver          = &failure{code: 20009, status: 409, message: "The message can't be changed before it is over; cancel it first, or wait"}
	badRequest       = &failure{code: 20400, status: 400, message: "Bad request"}
	notFound         = &failure{code: 20404, status: 404, message: "The requested resource was not found"}
	conflict         = &failure{code: 20409, status: 409, message: "Conflict"}
	tooLarge         = &failure{code: 20413, status: 413, message: "The body is too large"}
	wrongMediaType   = &failure{code: 20415, status: 415, message: "The body must be a form: Content-Type application/x-www-form-urlencoded"}
	tooMany          = &failure{code: 20429, status: 429, message: "Too many requests", retry: time.Second}
	internal         = &failure{code: 20500, status: 500, message: "Something went wrong inside gatewayd; its log has the details"}
	unavailable      = &failure{code: 20503, status: 503, message: "Nothing was queued: the database takes no messages now", retry: 10 * time.Second}

	badTo          = &failure{code: 21211, status: 400, message: "Invalid 'To' phone number"}
	badFrom        = &failure{code: 21212, status: 400, message: "Invalid 'From' phone number"}
	notThere       = &failure{code: 21408, status: 400, message: "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"}
	noBody         = &failure{code: 21602, status: 400, message: "Message body is required"}
	noFrom         = &failure{code: 21603, status: 400, message: "A 'From' number or a MessagingServiceSid is required to send a message"}
	noTo           = &failure{code: 21604, status: 400, message: "A 'To' phone number is required"}
	foreignFrom    = &failure{code: 21606, status: 400, message: "The 'From' number is not of a modem here"}
	badCallback    = &failure{code: 21609, status: 400, message: "The 'StatusCallback' URL is not a valid URL"}
	optedOut       = &failure{code: 21610, status: 400, message: "The recipient has said STOP and gets no more messages until it says START"}
	tooLong        = &failure{code: 21617, status: 400, message: "The message body is too long"}
	noMedia        = &failure{code: 21620, status: 400, message: "MediaUrl is not supported: these modems send texts only"}
	noContent      = &failure{code: 21655, status: 400, message: "ContentSid is not supported: there are no content templates here"}
	badService     = &failure{code: 21701, status: 400, message: "The MessagingServiceSid must be MG and 32 hex digits"}
	queueOverflow  = &failure{code: 30001, status: 503, message: "The queue is full; nothing was queued", retry: 30 * time.Second}
	notCancelable  = &failure{code: 30409, status: 409, message: "The message can't be canceled any more: a modem has it, or it is over"}
	badSchedule    = &failure{code: 35114, status: 400, message: "SendAt must be a time such as 2026-11-22T06:18:55Z, with ScheduleType=fixed"}
	noSuchMessage  = notFound.says("The requested message was not found")
	erasedMeantime = conflict.says("The same message was handed in just before and erased since; nothing was sent again")
)

// limited is an error that says when to come again: a limit of the caller's key.
type limited interface{ RetryAfter() time.Duration }

// errorOf turns any error into what the client is told.
func (a *API) errorOf(err error) *failure {
	var f *failure
	var fields intake.Refused
	var limit limited
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, auth.ErrInvalid):
		return unauthorized
	case errors.As(err, &fields):
		return failureOf(fields[0])
	case errors.As(err, &limit):
		g := tooMany.says("%s", err)
		g.retry = max(limit.RetryAfter(), time.Second)
		return g
	case errors.Is(err, intake.ErrUnderWay):
		return conflict.says("The same message is being handed in just now; ask again in a moment")
	case errors.Is(err, queue.ErrFull):
		return queueOverflow
	case errors.Is(err, queue.ErrNotFound):
		return noSuchMessage
	case errors.Is(err, queue.ErrConflict):
		return notOver
	}
	if !errors.Is(err, queue.ErrDiskFull) && !errors.Is(err, context.Canceled) { // that has an alarm of its own
		a.log.Error("a request to the Twilio API failed", "error", err)
	}
	return unavailable
}

// failureOf words what the desk says of a field.
func failureOf(e intake.FieldError) *failure {
	kind := badParameter
	name := e.Field
	switch e.Field {
	case "to":
		kind, name = badTo, "To"
	case "from":
		return foreignFrom.says("The 'From' number is neither the number nor the name of a modem here")
	case "text":
		kind, name = tooLong, "Body"
	case "callback_url":
		kind, name = badCallback, "StatusCallback"
	case "expires_at":
		name = "ValidityPeriod"
	}
	return kind.says("%s %s", name, e.Detail)
}

func (a *API) fail(w http.ResponseWriter, f *failure) {
	if f.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.retry+time.Second-1)/time.Second)))
	}
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="Twilio API"`)
	}
	answer(w, f.status, map[string]any{
		"code": f.code, "message": f.message, "more_info": "https://www.twilio.com/docs/errors/" + strconv.Itoa(f.code), "status": f.status,
	})
}
