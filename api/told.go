package api

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// step is one name or number of a path into a body.
type step struct {
	in   *openapi3.SchemaRef // what holds it; nil: the document does not know
	item bool                // it is an item of an array
	name string
	at   int // where it stands among the others
}

// steps follows a path through the document and through the body as it came.
func steps(s *openapi3.SchemaRef, whole any, path []string) []step {
	all := make([]step, len(path))
	for i, name := range path {
		list, item := whole.([]any)
		all[i] = step{in: s, item: item, name: name, at: place(s, name)}
		var next any
		if n, err := strconv.Atoi(name); item && err == nil && n < len(list) {
			all[i].at, next = n, list[n]
		}
		if o, ok := whole.(*object); ok {
			if all[i].at == math.MaxInt { // unknown: behind the others, as they came
				all[i].at = math.MaxInt/2 + o.placeOf(name)
			}
			next = o.members[name]
		}
		s, whole = child(s, name, item), next
	}
	return all
}

// fieldName is a path as answers tell it, such as messages[3].to.
func fieldName(path []step) string {
	var b strings.Builder
	for _, s := range path {
		switch {
		case s.item:
			b.WriteString("[" + s.name + "]")
			continue
		case b.Len() > 0:
			b.WriteByte('.')
		}
		b.WriteString(shorten(s.name))
	}
	if b.Len() == 0 {
		return "body"
	}
	return b.String()
}

// told are the mistakes of a body and those that its handler adds, as they are
// answered: in the order of the document, and one for each place.
func (in *incoming) told(own ...mistake) []FieldError {
	whole := ordered(in.raw, in.value)
	type entry struct {
		path   []step
		detail string
		twice  bool
	}
	var all []entry
	add := func(m mistake, again bool) {
		path, detail := steps(in.op.body, whole, m.path), m.detail
		for i, s := range path { // a list with words of its own is told as one
			if s.item && s.in != nil && orMistake(s.in.Value, "") != "" {
				path, detail = path[:i], orMistake(s.in.Value, "")
				break
			}
		}
		all = append(all, entry{path, detail, again})
	}
	wholes := placesOf(in.found, func(m mistake) bool { return m.whole })
	for _, m := range in.found {
		if wholes.within(m.path, true) {
			continue // of what is wrong as a whole nobody needs to know more
		}
		if m.detail != isNull {
			add(m, false)
		} else if detail := nullIs(steps(in.op.body, whole, m.path)); detail != "" {
			add(mistake{path: m.path, detail: detail}, false)
		}
	}
	for _, m := range own {
		if !in.places.within(m.path, false) {
			add(m, false)
		}
	}
	if in.value.twice {
		for _, path := range givenTwice(whole, nil) {
			add(mistake{path: path, detail: "is given twice"}, true)
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int {
		return cmp.Or(slices.CompareFunc(a.path, b.path, func(x, y step) int {
			return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.name, y.name))
		}), cmp.Compare(len(a.path), len(b.path)))
	})
	var errs []FieldError
	seen := map[string]bool{}
	for _, e := range all {
		field := fieldName(e.path)
		if detail := e.detail; len(e.path) == 0 && detail == "must be an object" {
			e.detail = "must be a JSON object"
		}
		if e.twice || !seen[field] {
			errs = append(errs, FieldError{Field: field, Detail: e.detail})
		}
		seen[field] = true
	}
	return errs
}

// nullIs says what is wrong with a null: it is as good as nothing, so it is
// wrong only where something is needed.
func nullIs(path []step) string {
	if len(path) == 0 {
		return "must be an object"
	}
	s := path[len(path)-1]
	switch {
	case s.in == nil || s.in.Value == nil:
		return ""
	case s.item || s.in.Value.Properties[s.name] == nil:
		if of := child(s.in, s.name, s.item); of != nil {
			return ofType(of.Value)
		}
		return ""
	case slices.Contains(s.in.Value.Required, s.name):
		return "is missing"
	}
	return ""
}

// givenTwice finds the members that are.
func givenTwice(v any, path []string) (all [][]string) {
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			all = append(all, givenTwice(item, append(slices.Clone(path), strconv.Itoa(i)))...)
		}
	case *object:
		for _, name := range v.twice {
			all = append(all, append(slices.Clone(path), name))
		}
		for _, name := range v.names {
			all = append(all, givenTwice(v.members[name], append(slices.Clone(path), name))...)
		}
	}
	return all
}
