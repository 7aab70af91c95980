package api

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/intake"
)

// defaultLimit is the length of a list's page, unless the request says another.
const defaultLimit = 50

// incoming is a request that is let through: what its handler needs and the
// generated types don't have.
type incoming struct {
	request *http.Request
	writer  http.ResponseWriter
	key     *auth.Key     // nil: the operation is open to everybody
	caller  intake.Caller // what the key makes of who asks
	op      *operation
	raw     []byte // the body, if it is JSON, and as it was parsed
	value   value
	found   []mistake // in the body; only a handler that gathers gets any
	places  places    // of what was found
}

type incomingKey struct{}

func from(ctx context.Context) *incoming { return ctx.Value(incomingKey{}).(*incoming) }

// refused are the mistakes of the body; own are those that its handler found.
func (in *incoming) refused(own ...mistake) []FieldError {
	if len(in.found) == 0 && len(own) == 0 && !in.value.twice {
		return nil
	}
	return in.told(own...)
}

// isWrong reports whether something was found at a place.
func (in *incoming) isWrong(path []string) bool {
	return in.places[placeOf(path)]
}

// gathers are the operations whose handlers tell the document's mistakes
// together with their own, or have an answer that comes before them.
var gathers = map[string]bool{"sendMessage": true, "sendBatch": true, "previewMessage": true}

// check lets a request through that is as the document says.
func (a *API) check(op *operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		if op.scope == "" {
			return a.checked(op, next)
		}
		return a.guard(op.scope, a.checked(op, next))
	}
}

func (a *API) checked(op *operation, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		in := &incoming{request: r, writer: c.Response(), op: op}
		if key, ok := c.Get(contextKey).(*auth.Key); ok {
			in.key, in.caller = key, a.callerOf(c)
		}
		if op.body != nil && !(op.optional && r.ContentLength == 0) {
			var err error
			if r.ContentLength == 0 && len(r.Header.Values("Content-Type")) == 0 {
				return wrongMediaType.because("There is no body: send JSON%s. %s", op.sample, withCurl)
			}
			if in.raw, err = readBody(c.Response(), r, op.limit, op.media); err != nil {
				return err
			}
			if in.value, err = parseJSON(in.raw); err != nil {
				return err
			}
			in.found = op.mistakes(in.value)
			in.places = placesOf(in.found, func(mistake) bool { return true })
		}
		wrongParams, query, err := op.parameters(c)
		if err != nil {
			return err
		}
		switch {
		case len(wrongParams) > 0:
			return wrong(cut(append(wrongParams, in.refused()...))...)
		case !gathers[op.OperationID]:
			if errs := in.refused(); len(errs) > 0 {
				return wrong(cut(errs)...)
			}
		}
		r = r.WithContext(context.WithValue(r.Context(), incomingKey{}, in))
		if query != "" {
			u := *r.URL
			u.RawQuery = query
			r.URL = &u
		}
		in.request = r
		c.SetRequest(r)
		return next(c)
	}
}

// binder fills the generated types with the body that was checked.
type binder struct{}

func (binder) Bind(into any, c echo.Context) error {
	in := from(c.Request().Context())
	if in.raw == nil {
		return io.EOF // there is none, and the generated code lets that pass where it may
	}
	return in.bind(into)
}

func (in *incoming) bind(into any) error {
	if len(in.found) == 0 && !in.value.twice && json.Unmarshal(in.raw, into) == nil {
		return nil
	}
	// 4.0 is a whole number too, but not to encoding/json, and what is wrong is
	// left out: the handler looks at the rest.
	if err := json.Unmarshal(canonical(in.right()), into); err != nil {
		p := internal.because("The log has the details.")
		p.cause = err
		return p
	}
	return nil
}

// right is the body without what is wrong in it.
func (in *incoming) right() any {
	v := plain(in.value)
	for _, m := range in.found {
		v = without(v, m.path)
	}
	return v
}

func without(v any, path []string) any {
	if len(path) == 0 {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		if member, ok := v[path[0]]; ok {
			if v[path[0]] = without(member, path[1:]); v[path[0]] == nil {
				delete(v, path[0])
			}
		}
	case []any:
		if i, err := strconv.Atoi(path[0]); err == nil && i < len(v) {
			v[i] = without(v[i], path[1:])
		}
	}
	return v
}

// parameters checks what stands in the path, the query and the headers. query
// is how the query must be read, "" if it can be read as it is.
func (o *operation) parameters(c echo.Context) (errs []FieldError, query string, err error) {
	r := c.Request()
	values, broken := url.ParseQuery(r.URL.RawQuery)
	if broken != nil {
		errs = append(errs, FieldError{Field: "query", Detail: "can't be read: a “%” must begin an escape such as %2B"})
	}
	known := map[string]bool{}
	rewritten := false
	for _, p := range o.params {
		switch p.In {
		case openapi3.ParameterInPath:
			if detail := parameterMistake(p, []string{param(c, p.Name)}); detail != "" {
				if o.Responses.Value("422") == nil {
					return nil, "", notFound.because("Nothing has such a name: it %s.", detail)
				}
				errs = append(errs, FieldError{Field: p.Name, Detail: detail})
			}
		case openapi3.ParameterInQuery:
			known[p.Name] = true
			given := values[p.Name]
			if clean, changed := tidy(p, given); changed {
				given, rewritten = clean, true
				values[p.Name] = clean
			}
			if detail := parameterMistake(p, given); detail != "" {
				errs = append(errs, FieldError{Field: p.Name, Detail: detail})
			}
		case openapi3.ParameterInHeader:
			if detail := parameterMistake(p, r.Header.Values(p.Name)); detail != "" {
				errs = append(errs, FieldError{Field: p.Name, Detail: detail})
			}
		}
	}
	if rewritten {
		query = values.Encode()
	}
	if o.Responses.Value("422") == nil {
		return nil, query, nil // health checks don't mind
	}
	// A misspelt filter that is ignored would answer with everything.
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !known[name] {
			errs = append(errs, FieldError{Field: shorten(name), Detail: "is not a known parameter"})
		}
	}
	return errs, query, nil
}

// tidy forgives what clients do with a query: a list may be repeated as well as
// have commas, and a “+” that was not escaped arrives as a space.
func tidy(p *openapi3.Parameter, given []string) (clean []string, changed bool) {
	s := p.Schema.Value
	switch {
	case s.Type.Includes("array") && len(given) > 1:
		return []string{strings.Join(given, ",")}, true
	case s.Format == "date-time" && len(given) == 1 && strings.Contains(given[0], " "):
		return []string{strings.Replace(given[0], " ", "+", 1)}, true
	}
	return given, false
}

// parameterMistake says what is wrong with a parameter, "" if nothing is.
func parameterMistake(p *openapi3.Parameter, given []string) string {
	s := p.Schema.Value
	switch {
	case len(given) == 0 && p.Required:
		return "is missing"
	case len(given) == 0:
		return ""
	case len(given) > 1:
		return orMistake(s, "is given more than once")
	case !utf8.ValidString(given[0]):
		return orMistake(s, "is not UTF-8")
	case given[0] == "" && p.In == openapi3.ParameterInQuery:
		return "is empty; leave it out instead"
	case given[0] == "" && p.In == openapi3.ParameterInHeader:
		return orMistake(s, "is empty")
	}
	if err := controlCharacter(given[0]); err != "" {
		return orMistake(s, err)
	}
	var v any
	if s.Type.Includes("array") {
		list := []any{}
		for _, item := range strings.Split(given[0], ",") {
			list = append(list, scalar(s.Items.Value, item))
		}
		v = list
	} else {
		v = scalar(s, given[0])
	}
	for _, m := range schemaMistakes(p.Schema, v, nil) {
		return m.detail
	}
	return ""
}

// scalar is a parameter's text as a value of its type, or as the text that it is
// if it is none.
func scalar(s *openapi3.Schema, text string) any {
	switch {
	case s.Type.Includes("integer"):
		if _, err := strconv.ParseInt(text, 10, 64); err == nil {
			return json.Number(text)
		}
	case s.Type.Includes("number"):
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return json.Number(text)
		}
	case s.Type.Includes("boolean") && (text == "true" || text == "false"):
		return text == "true"
	}
	return text
}
