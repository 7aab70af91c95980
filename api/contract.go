package api

import (
	_ "embed" // the OpenAPI document
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"

	"gatewayd/auth"
)

//go:generate go tool oapi-codegen -config oapi-codegen.yaml openapi.yaml

// documentYAML is the API as it is promised. Server and types are generated from
// it, and requests are checked against it.
//
//go:embed openapi.yaml
var documentYAML []byte

// documentJSON is the OpenAPI document, which is kept as YAML for people.
func documentJSON() ([]byte, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(documentYAML, &doc); err != nil {
		return nil, err
	}
	return json.Marshal(doc)
}

// operation is what the document says about one, ready to check requests with.
type operation struct {
	*openapi3.Operation
	method, path string
	params       []*openapi3.Parameter
	scope        auth.Scope          // "": open to everybody
	body         *openapi3.SchemaRef // of a body in JSON; nil: none
	media        []string            // the content types that it may be declared as
	limit        int64               // of the body's bytes
	optional     bool                // the body may be missing
	sample       string              // " such as" one of the document's examples of the body
	names        []nameRule          // of the body's members
}

// nameRule is what the names of an object's members must be, for kin-openapi
// ignores propertyNames where it uses no other library.
type nameRule struct {
	path []string // "*": each item
	rule *openapi3.Schema
}

// parseDocument reads the document as kin-openapi knows it. With places it tells where
// in the text everything stands, which takes twice as long and is kept by nobody who
// only checks requests.
func parseDocument(places bool) (*openapi3.T, error) {
	loader := openapi3.NewLoader()
	loader.IncludeOrigin = places
	return loader.LoadFromData(documentYAML)
}

// contract is what the document promises, by operationId.
var contract = sync.OnceValues(func() (map[string]*operation, error) {
	doc, err := parseDocument(false)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	all := map[string]*operation{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			o, err := newOperation(method, path, item, op)
			if err != nil {
				return nil, fmt.Errorf("openapi.yaml: %s %s: %w", method, path, err)
			}
			all[op.OperationID] = o
		}
	}
	return all, nil
})

func newOperation(method, path string, item *openapi3.PathItem, op *openapi3.Operation) (*operation, error) {
	o := &operation{Operation: op, method: method, path: path, limit: maxMessageBody}
	for _, list := range []openapi3.Parameters{item.Parameters, op.Parameters} {
		for _, p := range list {
			o.params = append(o.params, p.Value)
		}
	}
	var err error
	if o.scope, err = scopeOf(op); err != nil {
		return nil, err
	}
	if op.RequestBody != nil {
		body := op.RequestBody.Value
		if media := body.Content.Get("application/json"); media != nil {
			o.body, o.optional = media.Schema, !body.Required
			o.media = slices.Sorted(maps.Keys(body.Content))
			o.names = nameRules(media.Schema, nil, nil)
			for _, name := range slices.Sorted(maps.Keys(media.Examples))[:min(len(media.Examples), 1)] {
				sample, err := json.Marshal(media.Examples[name].Value.Value)
				if err != nil {
					return nil, err
				}
				o.sample = " such as " + string(sample)
			}
		}
		if most, ok := body.Extensions["x-max-bytes"].(float64); ok {
			o.limit = int64(most)
		}
	}
	return o, nil
}

// scopeOf reads which scope an operation needs: the same for every way to show a
// key. One that does not say it needs the highest; a list without a scope is for
// every key.
func scopeOf(op *openapi3.Operation) (auth.Scope, error) {
	if op.Security == nil {
		return auth.Admin, nil
	}
	scope := auth.Scope("")
	for i, way := range *op.Security {
		for _, scopes := range way {
			one := anyScope
			if len(scopes) > 0 {
				one = auth.Scope(scopes[0])
			}
			if len(scopes) > 1 || i > 0 && one != scope {
				return "", fmt.Errorf("security must name one scope, the same for key and session")
			}
			scope = one
		}
	}
	return scope, nil
}

// nameRules finds the objects of a schema whose members' names have rules.
func nameRules(ref *openapi3.SchemaRef, path []string, seen []*openapi3.Schema) (rules []nameRule) {
	if ref == nil || ref.Value == nil || slices.Contains(seen, ref.Value) {
		return nil
	}
	s := ref.Value
	seen = append(slices.Clone(seen), s)
	if s.PropertyNames != nil {
		rules = append(rules, nameRule{slices.Clone(path), s.PropertyNames.Value})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		rules = append(rules, nameRules(s.Properties[name], append(slices.Clone(path), name), seen)...)
	}
	return append(rules, nameRules(s.Items, append(slices.Clone(path), "*"), seen)...)
}

var braces = regexp.MustCompile(`\{(\w+)\}`)

// route is the operation's path as the router takes it.
func (o *operation) route() string { return braces.ReplaceAllString(o.path, ":$1") }

// child is the schema of a member or an item, nil if the document has none.
func child(s *openapi3.SchemaRef, name string, item bool) *openapi3.SchemaRef {
	switch {
	case s == nil || s.Value == nil:
		return nil
	case item:
		return s.Value.Items
	case s.Value.Properties[name] != nil:
		return s.Value.Properties[name]
	}
	return s.Value.AdditionalProperties.Schema
}
