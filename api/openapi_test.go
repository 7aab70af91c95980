package api

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

var echoParameter = regexp.MustCompile(`:(\w+)`)

// The document is kept by hand: it must have every route and no other.
func TestDocumentHasEveryRoute(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t, settings{})
	served := map[string]bool{}
	for _, r := range b.everyRoute() {
		name := r.method + " " + echoParameter.ReplaceAllString(r.path, "{$1}")
		served[name] = true
		item := doc.Paths.Value(strings.SplitN(name, " ", 2)[1])
		if item == nil || item.GetOperation(r.method) == nil {
			t.Errorf("%s is served and not documented", name)
			continue
		}
		op := item.GetOperation(r.method)
		open := op.Security != nil && len(*op.Security) == 0
		if open != (r.scope == "") {
			t.Errorf("%s: open according to the document: %v; scope %q", name, open, r.scope)
		}
		if scope, err := scopeOf(op); err != nil || op.Security != nil && scope != r.scope {
			t.Errorf("%s: the document's security names the scope %q, %v; it is served for %q", name, scope, err, r.scope)
		}
		if strings.HasPrefix(r.path, "/v1/") && !strings.Contains(op.Description, "Scope: `"+string(r.scope)+"`") {
			t.Errorf("%s: the document does not say that it needs the scope %s", name, r.scope)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !served[method+" "+path] {
				t.Errorf("%s %s is documented and not served", method, path)
			}
		}
	}
}

func TestDocumentIsServedAsJSON(t *testing.T) {
	b := newBox(t, settings{})
	a := b.ask("GET", "/openapi.json", nil, "").want(http.StatusOK)
	doc, err := openapi3.NewLoader().LoadFromData(a.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(ctx); err != nil {
		t.Error(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Paths.Value("/v1/messages") == nil {
		t.Errorf("OpenAPI %q with %d paths", doc.OpenAPI, doc.Paths.Len())
	}
}

// Every error that the catalogue knows has a page that its type leads to.
func TestProblemTypesAreReadable(t *testing.T) {
	b := newBox(t, settings{})
	for _, k := range catalogue {
		a := b.ask("GET", k.Type(), nil, "").want(http.StatusOK)
		if !strings.Contains(a.Body.String(), k.Title[:10]) {
			t.Errorf("%s does not show its title", k.Type())
		}
	}
	b.ask("GET", "/problems/nothing", nil, "").problem(notFound)
}
