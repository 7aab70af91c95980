package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// docsView is the OpenAPI document as people read it: made here, so that it
// needs no script, no other network and no other policy than the other pages.
type docsView struct {
	Title, Summary string
	About          template.HTML
	Tags           []docTag
	Schemas        []docSchema
	Base           string // where curl finds this server
}

type docTag struct {
	Name, Title string
	About       template.HTML
	Operations  []docOperation
}

type docOperation struct {
	ID, Method, Path, Summary, Scope string
	About                            template.HTML
	Params, Fields                   []docField
	Body                             string        // the media type of what is sent
	BodyAbout                        template.HTML // and what is said of it
	Examples                         []docExample
	Answers                          []docAnswer
	Open                             bool
}

// docExample is a request as curl makes it, behind the server's address.
type docExample struct{ Name, Before, After string }

type docAnswer struct {
	Status string
	Good   bool
	About  template.HTML
	Type   docType
	Fields []docField
}

type docSchema struct {
	Name   string
	About  template.HTML
	Type   docType
	Fields []docField
}

type docField struct {
	Name, In string
	Required bool
	Type     docType
	Limits   []string
	About    template.HTML
	Fields   []docField
}

// docType is a type in words; Ref is a schema of the document that it links to.
type docType struct{ Before, Ref, After string }

// docsPage shows the document.
func (a *API) docsPage(c echo.Context) error {
	view, err := a.docs()
	if err != nil {
		p := internal.because("The OpenAPI document can't be read.")
		p.cause = err
		return p
	}
	v := *view
	v.Base = "http://" + c.Request().Host
	if secure(c.Request()) {
		v.Base = "https://" + c.Request().Host
	}
	f := a.frame(c, "API")
	f.Style = "docs.css"
	return a.page(c, http.StatusOK, "docs.html", f, v)
}

func viewDocs() (*docsView, error) {
	doc, err := parseDocument(true) // the places tell the order
	if err != nil {
		return nil, err
	}
	v := &docsView{Title: doc.Info.Title, Summary: doc.Info.Summary, About: prose(doc.Info.Description)}
	for _, tag := range doc.Tags {
		if tag.Name == "pages" { // who reads this looks at them
			continue
		}
		t := docTag{Name: tag.Name, Title: capital(tag.Name), About: prose(tag.Description)}
		type placed struct {
			docOperation
			line int
		}
		var all []placed
		for path, item := range doc.Paths.Map() {
			for method, op := range item.Operations() {
				if slices.Contains(op.Tags, tag.Name) {
					all = append(all, placed{viewOperation(method, path, item, op), op.Origin.Key.Line})
				}
			}
		}
		slices.SortFunc(all, func(a, b placed) int { return a.line - b.line })
		for _, o := range all {
			t.Operations = append(t.Operations, o.docOperation)
		}
		v.Tags = append(v.Tags, t)
	}
	names := slices.SortedFunc(maps.Keys(doc.Components.Schemas), strings.Compare)
	for _, name := range names {
		s := doc.Components.Schemas[name]
		v.Schemas = append(v.Schemas, docSchema{Name: name, About: prose(s.Value.Description), Type: typeOf(&openapi3.SchemaRef{Value: s.Value}), Fields: fieldsOf(s.Value)})
	}
	return v, nil
}

func viewOperation(method, path string, item *openapi3.PathItem, op *openapi3.Operation) docOperation {
	o := docOperation{ID: op.OperationID, Method: method, Path: path, Summary: op.Summary,
		About: prose(strings.TrimSpace(scopeSaid.ReplaceAllString(op.Description, "")))}
	scope, err := scopeOf(op)
	o.Scope, o.Open = string(scope), err == nil && scope == ""
	curlPath, query := path, ""
	for _, ref := range slices.Concat(item.Parameters, op.Parameters) {
		p := ref.Value
		f := docField{Name: p.Name, In: p.In, Required: p.Required, Type: typeOf(p.Schema), Limits: limitsOf(p.Schema.Value), About: prose(p.Description)}
		o.Params = append(o.Params, f)
		if p.In == openapi3.ParameterInPath && p.Example != nil {
			curlPath = strings.ReplaceAll(curlPath, "{"+p.Name+"}", fmt.Sprint(p.Example))
		}
	}
	curl := "curl"
	if method != http.MethodGet {
		curl += " -X " + method
	}
	after := query
	if !o.Open {
		after += " \\\n  -H \"Authorization: Bearer $GATEWAYD_KEY\""
	}
	if op.RequestBody == nil {
		o.Examples = []docExample{{"", curl + " ", curlPath + after}}
	} else {
		body := op.RequestBody.Value
		for _, media := range slices.Sorted(maps.Keys(body.Content)) {
			content := body.Content[media]
			o.Body, o.BodyAbout = media, prose(cmp.Or(body.Description, content.Schema.Value.Description))
			o.Fields = fieldsOf(content.Schema.Value)
			request := after + fmt.Sprintf(" \\\n  -H \"Content-Type: %s\"", media)
			examples := content.Examples
			if len(examples) == 0 {
				examples = openapi3.Examples{"": {Value: &openapi3.Example{Value: exampleOf(content.Schema, 0)}}}
			}
			for _, name := range slices.SortedFunc(maps.Keys(examples), byLine(examples)) {
				text := strings.ReplaceAll(inOrder(content.Schema, examples[name].Value.Value), "'", `'\''`)
				o.Examples = append(o.Examples, docExample{name, curl + " ", curlPath + request + " \\\n  -d '" + text + "'"})
			}
		}
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses.Map())) {
		r := op.Responses.Value(status).Value
		answer := docAnswer{Status: status, Good: status < "400", About: prose(*r.Description)}
		if content := r.Content.Get("application/json"); content != nil {
			if answer.Type = typeOf(content.Schema); content.Schema.Ref == "" {
				answer.Fields = fieldsOf(content.Schema.Value)
			}
		}
		o.Answers = append(o.Answers, answer)
	}
	return o
}

// byLine orders examples as the document does.
func byLine(examples openapi3.Examples) func(a, b string) int {
	line := func(name string) int {
		if origin := examples[name].Value.Origin; origin != nil && origin.Key != nil {
			return origin.Key.Line
		}
		return 0
	}
	return func(a, b string) int { return cmp.Or(line(a)-line(b), strings.Compare(a, b)) }
}

// inOrder is a value as JSON, the members of an object as the document lists them.
func inOrder(schema *openapi3.SchemaRef, v any) string {
	o, ok := v.(map[string]any)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(b)
	}
	names := slices.SortedFunc(maps.Keys(o), func(a, b string) int {
		return cmp.Or(cmp.Compare(place(schema, a), place(schema, b)), strings.Compare(a, b))
	})
	members := make([]string, len(names))
	for i, name := range names {
		members[i] = fmt.Sprintf("%q: %s", name, inOrder(child(schema, name, false), o[name]))
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// scopeSaid is how descriptions begin; the page has a place of its own for it.
var scopeSaid = regexp.MustCompile("^Scope: `\\w+`(?:, unless the configuration opens it)?\\.?\\s*")

// fieldsOf lists an object's members as the document does.
func fieldsOf(s *openapi3.Schema) (all []docField) {
	parent := openapi3.NewSchemaRef("", s)
	names := slices.SortedFunc(maps.Keys(s.Properties), func(a, b string) int { return cmp.Compare(place(parent, a), place(parent, b)) })
	for _, name := range names {
		ref := s.Properties[name]
		f := docField{Name: name, Required: slices.Contains(s.Required, name), Type: typeOf(ref), Limits: limitsOf(ref.Value), About: prose(ref.Value.Description)}
		switch {
		case f.Type.Ref != "":
		case ref.Value.Type != nil && ref.Value.Type.Includes("array") && ref.Value.Items != nil:
			f.Fields = fieldsOf(ref.Value.Items.Value)
		default:
			f.Fields = fieldsOf(ref.Value)
		}
		all = append(all, f)
	}
	return all
}

const components = "#/components/schemas/"

func typeOf(ref *openapi3.SchemaRef) docType {
	s := ref.Value
	name, isRef := strings.CutPrefix(ref.Ref, components)
	null := ""
	if s.Type != nil && s.Type.Includes("null") {
		null = " or null"
	}
	switch {
	case isRef && len(s.Properties) > 0:
		return docType{Ref: name}
	case isRef && len(s.Enum) > 0:
		return docType{Ref: name, After: null}
	case len(s.OneOf) == 2 && s.OneOf[1].Value.Type.Is("null"):
		t := typeOf(s.OneOf[0])
		t.After += " or null"
		return t
	case s.Type == nil:
		return docType{Before: "any"}
	case s.Type.Includes("array"):
		t := typeOf(s.Items)
		t.Before, t.After = "array of "+t.Before, t.After+null
		return t
	}
	word := s.Type.Slice()[0]
	if of := s.AdditionalProperties.Schema; of != nil && of.Value.Type != nil {
		word += " of " + of.Value.Type.Slice()[0] + "s"
	}
	switch {
	case s.Format == "date-time":
		word = "time"
	case s.Format == "http-url":
		word = "URL"
	}
	return docType{Before: word + null}
}

// limitsOf says what a value must keep to.
func limitsOf(s *openapi3.Schema) (all []string) {
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if len(s.Enum) > 0 {
		add("%s", choices(s))
	}
	switch {
	case s.Min != nil && s.Max != nil:
		add("%v to %v", decimal(*s.Min), decimal(*s.Max))
	case s.Min != nil:
		add("%v or more", decimal(*s.Min))
	}
	if s.MaxLength != nil {
		add("%d characters at most", *s.MaxLength)
	}
	if s.MaxItems != nil {
		add("%d at most", *s.MaxItems)
	}
	if s.MaxProps != nil {
		add("%d members at most", *s.MaxProps)
	}
	if s.Default != nil {
		add("default %v", s.Default)
	}
	return all
}

// exampleOf makes up a value for a schema without an example.
func exampleOf(ref *openapi3.SchemaRef, depth int) any {
	s := ref.Value
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type == nil || depth > 4:
		return nil
	case s.Type.Includes("array"):
		return []any{exampleOf(s.Items, depth+1)}
	case s.Type.Includes("object"):
		o := map[string]any{}
		for name, member := range s.Properties {
			if slices.Contains(s.Required, name) {
				o[name] = exampleOf(member, depth+1)
			}
		}
		if s.Properties["text"] != nil && s.Properties["to"] != nil {
			o["text"] = "Your parcel is here."
		}
		return o
	case s.Type.Includes("integer"), s.Type.Includes("number"):
		return 1
	case s.Type.Includes("boolean"):
		return true
	}
	return "…"
}

var (
	codeInProse = regexp.MustCompile("`([^`]+)`")
	boldInProse = regexp.MustCompile(`\*\*([^*]+)\*\*`)
)

// prose turns the document's descriptions into HTML: paragraphs, code and bold
// are all the Markdown that they use.
func prose(s string) template.HTML {
	var b strings.Builder
	for _, paragraph := range strings.Split(strings.TrimSpace(s), "\n\n") {
		if paragraph = strings.TrimSpace(paragraph); paragraph == "" {
			continue
		}
		text := template.HTMLEscapeString(paragraph)
		text = codeInProse.ReplaceAllString(text, "<code>$1</code>")
		text = boldInProse.ReplaceAllString(text, "<strong>$1</strong>")
		b.WriteString("<p>" + text + "</p>\n")
	}
	return template.HTML(b.String()) // it is ours, and escaped
}
