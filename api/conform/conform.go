// Package conform holds answers against the OpenAPI document, in tests: with
// another library than the one that the server checks requests with.
package conform

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Document is an OpenAPI document.
type Document struct {
	root    map[string]any
	paths   []path // those with the fewest parameters first
	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema // by their place
}

type path struct {
	template string
	*regexp.Regexp
}

const place = "file:///openapi.json"

var parameter = regexp.MustCompile(`\\\{\w+\\\}`)

// Load reads a document.
func Load(file string) (*Document, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var doc any
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if b, err = json.Marshal(doc); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	d := &Document{root: root.(map[string]any), schemas: map[string]*jsonschema.Schema{}}
	for template := range object(d.root["paths"]) {
		pattern := "^" + parameter.ReplaceAllString(regexp.QuoteMeta(template), `[^/]+`) + "$"
		d.paths = append(d.paths, path{template, regexp.MustCompile(pattern)})
	}
	slices.SortFunc(d.paths, func(a, b path) int {
		return cmp.Or(strings.Count(a.template, "{")-strings.Count(b.template, "{"), strings.Compare(a.template, b.template))
	})
	return d, nil
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

// Operation is where the document has what a request asks for, "" if it has
// nothing.
func (d *Document) Operation(r *http.Request) string {
	for _, p := range d.paths {
		if p.MatchString(r.URL.EscapedPath()) {
			if at := "/paths/" + escape(p.template) + "/" + strings.ToLower(r.Method); d.get(at) != nil {
				return at
			}
		}
	}
	return ""
}

func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func (d *Document) get(at string) any {
	var v any = d.root
	for _, name := range strings.Split(at, "/")[1:] {
		v = object(v)[strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")]
	}
	return v
}

// follow is where a place leads to.
func (d *Document) follow(at string) string {
	for {
		to, ok := object(d.get(at))["$ref"].(string)
		if !ok {
			return at
		}
		at = strings.TrimPrefix(to, "#")
	}
}

// Check says in what an answer is not what the document promises.
func (d *Document) Check(r *http.Request, status int, header http.Header, body []byte) error {
	op := d.Operation(r)
	if op == "" {
		if status < 400 {
			return fmt.Errorf("%d, and the document does not have this operation", status)
		}
		return nil
	}
	at := d.follow(op + "/responses/" + strconv.Itoa(status))
	response := object(d.get(at))
	if response == nil {
		return fmt.Errorf("the document does not have the status %d: %.300s", status, body)
	}
	for name := range object(response["headers"]) {
		if err := d.header(at+"/headers/"+escape(name), header.Values(name)); err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
	}
	content := object(response["content"])
	if content == nil {
		if len(body) > 0 && r.Method != http.MethodHead {
			return fmt.Errorf("%d has no body: %.300q", status, body)
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if top, _, ok := strings.Cut(media, "/"); ok && content[media] == nil && content[top+"/*"] != nil {
		return nil // the document has the whole range
	}
	if err != nil || content[media] == nil {
		return fmt.Errorf("%d has no body of the type %q", status, header.Get("Content-Type"))
	}
	if !strings.HasSuffix(media, "json") {
		return nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w in %.300q", err, body)
	}
	return d.valid(at+"/content/"+escape(media)+"/schema", v)
}

func (d *Document) header(at string, values []string) error {
	at = d.follow(at)
	if len(values) == 0 {
		if object(d.get(at))["required"] == true {
			return fmt.Errorf("is missing")
		}
		return nil
	}
	var v any = values[0]
	if object(d.get(d.follow(at + "/schema")))["type"] == "integer" {
		v = json.Number(values[0])
	}
	return d.valid(at+"/schema", v)
}

func (d *Document) valid(at string, v any) error {
	s, err := d.schema(at)
	if err != nil {
		return err
	}
	return s.Validate(v)
}

func (d *Document) schema(at string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.schemas[at]; s != nil {
		return s, nil
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(place, d.root); err != nil {
		return nil, err
	}
	s, err := c.Compile(place + "#" + at)
	d.schemas[at] = s
	return s, err
}

// Transport makes requests and tells Failed of answers that are not what the
// document promises. Streams are left alone.
type Transport struct {
	Document *Document
	Ours     func(*http.Request) bool // the others are let pass
	Failed   func(*http.Request, error)
	Next     http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	a, err := t.Next.RoundTrip(r)
	if err != nil || !t.Ours(r) || strings.HasPrefix(a.Header.Get("Content-Type"), "text/event-stream") {
		return a, err
	}
	body, err := io.ReadAll(a.Body)
	a.Body.Close()
	if err != nil { // it is the caller's to read so far
		a.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), broken{err}))
		return a, nil
	}
	a.Body = io.NopCloser(bytes.NewReader(body))
	if err := t.Document.Check(r, a.StatusCode, a.Header, body); err != nil {
		t.Failed(r, err)
	}
	return a, nil
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
