package api

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"gatewayd/sms/number"
)

// maxErrors bounds an answer by something else than the client's imagination.
const maxErrors = 100

func cut(errs []FieldError) []FieldError { return errs[:min(len(errs), maxErrors)] }

// mistake is what is wrong at one place of a body.
type mistake struct {
	path   []string // members' names and items' numbers
	detail string
	whole  bool // what is below the path has not been looked at
}

// formats are what values of a format must be, beyond being strings.
var formats = map[string]func(string) error{
	"date-time": func(s string) error {
		_, err := parseTime(s)
		return err
	},
	"http-url": func(s string) error {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" || controlCharacter(s) != "" {
			return errors.New("must be an http or https URL with a host and without a fragment")
		}
		return nil
	},
	"destination": func(s string) error {
		_, err := number.ParseDestination(s)
		return err
	},
}

// noControl is the pattern of what is one line.
const noControl = `^\P{Cc}*$`

var visit = func() []openapi3.SchemaValidationOption {
	all := []openapi3.SchemaValidationOption{openapi3.MultiErrors()}
	for name, check := range formats {
		all = append(all, openapi3.WithStringFormatValidator(name, openapi3.NewCallbackValidator(check)))
	}
	return all
}()

// places are paths, to be found at once among many.
type places map[string]bool

// within tells whether a path, or one that leads to it, is among them; strictly:
// one that leads to it only.
func (p places) within(path []string, strictly bool) bool {
	var key []byte
	for i := range path {
		if p[string(key)] {
			return true
		}
		key = strconv.AppendQuote(key, path[i])
	}
	return !strictly && p[string(key)]
}

func placeOf(path []string) string {
	var key []byte
	for _, name := range path {
		key = strconv.AppendQuote(key, name)
	}
	return string(key)
}

func placesOf(found []mistake, which func(mistake) bool) places {
	all := places{}
	for _, m := range found {
		if which(m) {
			all[placeOf(m.path)] = true
		}
	}
	return all
}

// mistakes are all that is wrong with a body, in no order.
func (o *operation) mistakes(v value) (found []mistake) {
	found = schemaMistakes(o.body, v.any, nil)
	for _, n := range o.names {
		found = append(found, wrongNames(v.any, n.path, nil, n.rule)...)
	}
	return found
}

func schemaMistakes(s *openapi3.SchemaRef, v any, path []string) (found []mistake) {
	err := s.Value.VisitJSON(v, visit...)
	if err == nil {
		return nil
	}
	var add func(error)
	add = func(err error) {
		var many openapi3.MultiError
		var one *openapi3.SchemaError
		switch {
		case errors.As(err, &one):
			found = append(found, read(one, path)...)
		case errors.As(err, &many):
			for _, e := range many {
				add(e)
			}
		default:
			found = append(found, mistake{path: path, detail: "is not as the document says"})
		}
	}
	if many, ok := err.(openapi3.MultiError); ok {
		for _, e := range many {
			add(e)
		}
	} else {
		add(err)
	}
	return found
}

// read puts an error of the schema's into words that read on from the field's
// name.
func read(e *openapi3.SchemaError, path []string) []mistake {
	path = append(slices.Clone(path), e.JSONPointer()...)
	s := e.Schema
	said := func(format string, args ...any) []mistake {
		return []mistake{{path: path, detail: fmt.Sprintf(format, args...)}}
	}
	switch e.SchemaField {
	case "required":
		return said("is missing")
	case "nullable":
		return said(isNull)
	case "type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		return []mistake{{path, orMistake(s, ofType(s)), true}}
	case "minLength":
		if s.MinLength == 1 {
			return said("is empty")
		}
		return said("is shorter than %d characters", s.MinLength)
	case "maxLength":
		return said("is longer than %d characters", *s.MaxLength)
	case "minItems":
		if text := orMistake(s, ""); text != "" {
			return said("%s", text)
		}
		if s.MinItems == 1 {
			return said("is empty")
		}
		return said("needs %d at least", s.MinItems)
	case "maxItems":
		return []mistake{{path, fmt.Sprintf("has %d %s; at most %d are allowed", len(e.Value.([]any)), last(path, "items"), *s.MaxItems), true}}
	case "maxProperties":
		return []mistake{{path, fmt.Sprintf("has %d members; at most %d are allowed", len(e.Value.(map[string]any)), *s.MaxProps), true}}
	case "minProperties":
		return said("needs %d members at least", s.MinProps)
	case "uniqueItems":
		return said("has something twice")
	case "multipleOf":
		return said("must be a multiple of %v", *s.MultipleOf)
	case "enum":
		return said("must be one of %s", choices(s))
	case "pattern":
		if text, ok := e.Value.(string); ok && s.Pattern == noControl {
			return said("%s", controlCharacter(text))
		}
		return said("%s", orMistake(s, "must match the pattern "+s.Pattern))
	case "format":
		text, _ := e.Value.(string)
		if check := formats[s.Format]; check != nil {
			return said("%s", check(text))
		}
		return said("%s", orMistake(s, "must have the format "+s.Format))
	case "properties": // one error for each that is not known
		if name, ok := unknown(e.Reason); ok {
			return []mistake{{append(path, name), "is not a known field", true}}
		}
	case "oneOf", "anyOf", "allOf":
		return alternatives(e, path)
	}
	return said("%s", orMistake(s, "is not as the document says"))
}

// isNull is a mistake of which only the place tells whether it is one.
const isNull = "is null"

// unknown is the name of a member that the document does not have. Only the error's
// words tell it; to look for it among the members would take for ever if they are many.
func unknown(reason string) (name string, ok bool) {
	quoted, ok := strings.CutPrefix(reason, "property ")
	if !ok {
		return "", false
	}
	quoted, err := strconv.QuotedPrefix(quoted)
	if err != nil {
		return "", false
	}
	name, err = strconv.Unquote(quoted)
	return name, err == nil
}

// alternatives tells what is wrong with the only alternative that there is
// beside null, or with all parts of an allOf.
func alternatives(e *openapi3.SchemaError, path []string) (found []mistake) {
	var parts []*openapi3.SchemaRef
	for _, ref := range slices.Concat(e.Schema.OneOf, e.Schema.AnyOf, e.Schema.AllOf) {
		if ref.Value.Type == nil || !ref.Value.Type.Is("null") {
			parts = append(parts, ref)
		}
	}
	if text := orMistake(e.Schema, ""); text == "" && (e.SchemaField == "allOf" || len(parts) == 1) {
		for _, ref := range parts {
			found = append(found, schemaMistakes(ref, e.Value, path)...)
		}
	}
	if len(found) == 0 {
		found = []mistake{{path, orMistake(e.Schema, "has none of the forms that are allowed"), true}}
	}
	return found
}

// orMistake is what the document says of a wrong value in words (x-mistake), or
// otherwise.
func orMistake(s *openapi3.Schema, otherwise string) string {
	if text, ok := s.Extensions["x-mistake"].(string); ok {
		return text
	}
	return otherwise
}

// ofType says what a value must be, in type and size.
func ofType(s *openapi3.Schema) string {
	if s == nil || s.Type == nil {
		return "must be something else"
	}
	number := "a number"
	switch t := s.Type; {
	case t.Includes("integer"):
		number = "a whole number"
	case t.Includes("number"):
	case t.Includes("boolean"):
		return "must be true or false"
	case t.Includes("array"):
		return "must be an array"
	case t.Includes("object"):
		if of := s.AdditionalProperties.Schema; of != nil && of.Value.Type.Is("string") {
			return "must be an object of strings"
		}
		return "must be an object"
	default:
		return "must be a string"
	}
	switch {
	case s.Min != nil && s.Max != nil:
		return fmt.Sprintf("must be %s from %v to %v", number, decimal(*s.Min), decimal(*s.Max))
	case s.Min != nil:
		return fmt.Sprintf("must be %s, %v at least", number, decimal(*s.Min))
	case s.Max != nil:
		return fmt.Sprintf("must be %s, %v at most", number, decimal(*s.Max))
	}
	return "must be " + number
}

// decimal writes a number as people do: 10000000, not 1e+07.
func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func choices(s *openapi3.Schema) string {
	var words []string
	for _, v := range s.Enum {
		if v != nil {
			words = append(words, fmt.Sprint(v))
		}
	}
	return strings.Join(words, ", ")
}

func last(path []string, otherwise string) string {
	if len(path) == 0 {
		return otherwise
	}
	return path[len(path)-1]
}

// wrongNames finds members whose names break a rule.
func wrongNames(v any, path, at []string, rule *openapi3.Schema) (found []mistake) {
	switch v := v.(type) {
	case []any:
		if len(path) > 0 && path[0] == "*" {
			for i, item := range v {
				found = append(found, wrongNames(item, path[1:], append(slices.Clone(at), strconv.Itoa(i)), rule)...)
			}
		}
	case map[string]any:
		if len(path) > 0 {
			if member := v[path[0]]; member != nil {
				return wrongNames(member, path[1:], append(slices.Clone(at), path[0]), rule)
			}
			return nil
		}
		for name := range v {
			if name == "" {
				found = append(found, mistake{path: at, detail: "has a member without a name"})
			} else if m := schemaMistakes(openapi3.NewSchemaRef("", rule), name, nil); len(m) > 0 {
				found = append(found, mistake{path: append(slices.Clone(at), name), detail: "has a name that " + m[0].detail, whole: true})
			}
		}
	}
	return found
}

// shorten keeps an answer from growing with what a client invents.
func shorten(s string) string {
	const most = 64
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// checkLine says what is wrong with what must be one line of at most so many
// characters, "" if nothing is.
func checkLine(s string, most int) string {
	if utf8.RuneCountInString(s) > most {
		return fmt.Sprintf("is longer than %d characters", most)
	}
	return controlCharacter(s)
}

// controlCharacter names one that a text has, "" if it has none.
func controlCharacter(s string) string {
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return fmt.Sprintf("contains the control character %U", r)
	}
	return ""
}

// parseTime reads RFC 3339. Years are bounded so that a time survives being
// kept as milliseconds and written as JSON.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("must be a time such as 2026-11-30T08:00:00Z (RFC 3339, with its offset)")
	}
	if y := t.UTC().Year(); y < 1970 || y > 9998 {
		return time.Time{}, fmt.Errorf("must be a time from 1970 to 9998")
	}
	return t, nil
}
