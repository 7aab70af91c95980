// Package twilio serves the part of Twilio's Messages API that programs written
// for it use, so that they need another base URL and nothing else: the same
// paths, forms, answers, error codes and callbacks. It is a door to the same
// desk and the same queue as the API of our own; what it keeps are accounts.
package twilio

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Prefix is the path that everything is under.
const Prefix = "/" + apiVersion + "/"

const apiVersion = "2010-04-01"

// maxForm is the largest body that is read; a text of 1,600 characters takes at
// most 20 KB.
const maxForm = 64 << 10

// Options are what New needs; the first four must be given.
type Options struct {
	Queue  *queue.Queue
	Desk   *intake.Desk
	Keys   *auth.Keys
	DB     *db.DB
	Region func() string    // ISO country whose national numbers are accepted, which may change; nil or "": none
	Now    func() time.Time // nil: time.Now
	// Cancel cancels a message wherever it is; nil: at this gateway alone, as Queue does.
	Cancel func(ctx context.Context, id string) (*sms.Message, error)
	Client *http.Client // fetches what a Redirect names; nil: none is followed
	// Callback says what is wrong with the address of a status callback, "" if
	// nothing is; nil: nothing.
	Callback func(url string) string
	Log      *slog.Logger // nil: nothing is logged
	// Count books a request that was answered, under a route without SIDs; nil:
	// nothing is counted.
	Count func(route, method string, status int, took time.Duration)
}

// API is the Twilio-compatible API and its callbacks.
type API struct {
	o        Options
	accounts *Accounts
	log      *slog.Logger
}

// New prepares the API. It starts nothing.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Region == nil {
		o.Region = func() string { return "" }
	}
	if o.Cancel == nil {
		o.Cancel = o.Queue.Cancel
	}
	if o.Callback == nil {
		o.Callback = func(string) string { return "" }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Count == nil {
		o.Count = func(string, string, int, time.Duration) {}
	}
	return &API{o: o, accounts: NewAccounts(o.DB, o.Keys), log: o.Log}
}

// request is one request to a resource of an account.
type request struct {
	*http.Request
	caller  *caller
	account string     // of the path; it is the caller's
	sid     string     // of a message in the path
	form    url.Values // of a POST
}

// handler answers a request: a status and what is sent as JSON, nil: nothing.
type handler func(r *request) (status int, body any, err error)

// resource is what stands at a path, by method.
type resource map[string]handler

// find returns the resource at the path behind Prefix. Twilio answers a path
// without .json in XML, which nobody's client asks for; here both are the same.
func (a *API) find(path string) (resource, *request) {
	parts := strings.Split(strings.TrimSuffix(path, ".json"), "/")
	if len(parts) < 2 || parts[0] != "Accounts" {
		return nil, nil
	}
	r := &request{account: parts[1]}
	switch rest := parts[2:]; {
	case len(rest) == 0:
		return resource{"GET": a.fetchAccount}, r
	case rest[0] != "Messages":
	case len(rest) == 1:
		return resource{"GET": a.list, "POST": a.create}, r
	case len(rest) == 2:
		r.sid = rest[1]
		return resource{"GET": a.fetch, "POST": a.change, "DELETE": a.remove}, r
	case len(rest) == 3 && rest[2] == "Media":
		r.sid = rest[1]
		return resource{"GET": a.media}, r
	}
	return nil, nil
}

// ServeHTTP answers everything below Prefix, always in JSON: clients can read
// nothing else, errors included.
func (a *API) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	start := time.Now()
	defer func() {
		if v := recover(); v != nil {
			a.log.Error("a handler of the Twilio API panicked", "panic", v, "stack", string(debug.Stack()))
			a.fail(w, internal)
			a.o.Count(routeOf(hr), hr.Method, internal.status, time.Since(start))
		}
	}()
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Twilio-Request-Id", hexSID("RQ")) // clients show it in their logs
	status, body, err := a.serve(w, hr)
	if err != nil {
		f := a.errorOf(err)
		status = f.status
		a.log.Debug("request to the Twilio API", "method", hr.Method, "status", f.status, "code", f.code, "took", time.Since(start))
		a.fail(w, f)
	} else {
		a.log.Debug("request to the Twilio API", "method", hr.Method, "status", status, "took", time.Since(start))
		answer(w, status, body)
	}
	a.o.Count(routeOf(hr), hr.Method, status, time.Since(start))
}

// routeOf is the path of a request without the SIDs in it, "" if there is no such
// resource.
func routeOf(r *http.Request) string {
	path := strings.TrimPrefix(r.URL.Path, Prefix)
	parts := strings.Split(strings.TrimSuffix(path, ".json"), "/")
	if len(parts) < 2 || parts[0] != "Accounts" || len(parts) > 5 {
		return ""
	}
	parts[1] = ":account"
	if len(parts) > 2 && parts[2] != "Messages" || len(parts) > 4 && parts[4] != "Media" {
		return ""
	}
	if len(parts) > 3 {
		parts[3] = ":sid"
	}
	return Prefix + strings.Join(parts, "/")
}

func (a *API) serve(w http.ResponseWriter, hr *http.Request) (int, any, error) {
	what, r := a.find(strings.TrimPrefix(hr.URL.Path, Prefix))
	if what == nil {
		return 0, nil, notFound.says("The requested resource %s was not found", hr.URL.Path)
	}
	method := hr.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	handle := what[method]
	if handle == nil {
		var allow []string
		for _, m := range []string{"GET", "POST", "DELETE"} {
			if what[m] != nil {
				allow = append(allow, m)
			}
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return 0, nil, methodNotAllowed
	}
	user, password, ok := hr.BasicAuth()
	if !ok {
		return 0, nil, unauthorized
	}
	c, err := a.accounts.check(hr.Context(), user, password)
	if err != nil {
		return 0, nil, err
	}
	if c.SID != r.account { // which others there are is not said
		return 0, nil, unauthorized
	}
	r.Request, r.caller = hr, c
	if method == http.MethodPost {
		if r.form, err = readForm(w, hr); err != nil {
			return 0, nil, err
		}
	}
	return handle(r)
}

func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, wrongMediaType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		if tooMany := (*http.MaxBytesError)(nil); errors.As(err, &tooMany) {
			return nil, tooLarge
		}
		return nil, badRequest.says("The body ended before its announced length")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, badRequest.says("The body is not a form: a %% must begin an escape")
	}
	return form, nil
}

func answer(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	b, err := json.Marshal(body)
	if err != nil { // made of our own structs
		panic("twilio: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // whoever hung up does not read it
}

// as is who hands messages in with a key.
func (a *API) as(key *auth.Key) intake.Caller {
	return intake.Caller{KeyID: key.Principal, Rules: key.Rules(), Charge: a.o.Keys.Charge(key)}
}

// may is an error unless the caller's key has a scope.
func (r *request) may(s auth.Scope) error {
	if r.caller.key.Can(s) {
		return nil
	}
	return forbidden.says("The key %q of this account needs the scope %s for this", r.caller.key.Name, s)
}

// share is what of all messages the caller sees.
func (a *API) share(r *request) (*queue.Share, error) {
	return a.accounts.share(r.Context(), r.caller, r.caller.key.Can(auth.Read))
}

// fetchAccount is what programs ask to find out whether their credentials are
// right.
func (a *API) fetchAccount(r *request) (int, any, error) {
	uri := Prefix + "Accounts/" + r.account
	created := r.caller.key.CreatedAt.UTC().Format(time.RFC1123Z)
	return http.StatusOK, map[string]any{
		"sid": r.account, "owner_account_sid": r.account, "friendly_name": r.caller.key.Name, "status": "active", "type": "Full",
		"date_created": created, "date_updated": created, "uri": uri + ".json",
		"subresource_uris": map[string]string{"messages": uri + "/Messages.json"},
	}, nil
}

// own tells whether a message is the account's, whatever else its key may see.
func (a *API) own(ctx context.Context, r *request, id string) (bool, error) {
	share, err := a.accounts.share(ctx, r.caller, false)
	if err != nil {
		return false, err
	}
	_, err = a.o.Queue.MessageOf(ctx, share, id)
	if errors.Is(err, queue.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
