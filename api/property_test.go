package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"gatewayd/queue"
	"gatewayd/sms"
)

// hostile are texts that nobody should send.
var hostile = []string{
	"", " ", "\x00", "a\r\nb: c", "\x1b[2J", "\u202eabc", "é́́", "𝕏😀👩\u200d👩\u200d👧", "'; DROP TABLE messages;--", "<script>alert(1)</script>", "{{.}}", "%s%n%d",
	"../../etc/passwd", "..", ".", "null", "true", "-1", "0", "1e999", "NaN", "99999999999999999999", "9223372036854775807", "9223372036854775808",
	"2030-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "+", "+49", "＋４９１７０１２３４５６７", "\ufeff", "\uffff",
	strings.Repeat("a", 300), strings.Repeat("ж", 5000), "a,b,,", "msg_", "gw_x",
}

// wrongTypes are values of every type.
func wrongTypes() []any {
	return []any{nil, true, 0, -1, 1.5, 1e300, json.Number("1e999"), json.Number("123456789012345678901234567890"), "", "x", []any{}, []any{nil}, []any{map[string]any{}},
		map[string]any{}, map[string]any{"": ""}, map[string]any{"a": map[string]any{"a": []any{}}}}
}

// Whatever is sent to whichever operation: the answer has a status that the
// document names and a body that is valid against it, and nothing is our fault.
func TestAnyRequestGetsADocumentedAnswer(t *testing.T) {
	b := newBox(t, settings{queue: queue.Options{OutboundCapacity: 1 << 20}, change: func(o *Options) { o.Hooks = &fakeHooks{answer: sms.HookAnswer{Messages: []sms.HookText{}}} }})
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	b.modems.says = sms.USSDAnswer{State: sms.USSDDone, Text: "Your credit is 10 €"}
	m := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x"}`).accepted()
	p := &prober{box: b, known: map[string]string{"id": m.ID, "name": "office", "number": "+491701234567", "file": "style.css"}}
	asked := map[string]int{}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		item := doc.Paths.Value(path)
		for _, method := range slices.Sorted(maps.Keys(item.Operations())) {
			op := item.GetOperation(method)
			p.n = 0
			p.operation(method, path, slices.Concat(item.Parameters, op.Parameters), op)
			asked[op.OperationID] = p.n
		}
	}
	for id, n := range asked {
		if n < 10 {
			t.Errorf("%s was asked %d times only", id, n)
		}
	}
	t.Logf("asked: %v", asked)
}

// prober asks one operation after the other.
type prober struct {
	*box
	known map[string]string // parameters of paths for which there is something
	n     int
}

// probe is one request in the making.
type probe struct {
	path    string
	params  map[string]string
	query   url.Values
	header  http.Header
	body    []byte
	hasBody bool
}

func (p *prober) operation(method, path string, params openapi3.Parameters, op *openapi3.Operation) {
	seed := []byte(method + path)
	random := rand.New(rand.NewPCG(uint64(len(seed)), uint64(seed[len(seed)-1])))
	fresh := func() *probe {
		r := &probe{path: path, params: map[string]string{}, query: url.Values{}, header: http.Header{"Authorization": {"Bearer " + p.admin}}}
		for _, ref := range params {
			if ref.Value.In == openapi3.ParameterInPath {
				r.params[ref.Value.Name] = p.valid(ref.Value)
			}
		}
		if ok := op.Responses.Value("200"); ok != nil && ok.Value.Content["text/event-stream"] != nil {
			r.header.Set("Accept", "application/json") // a stream has no end
		}
		return r
	}
	var base any
	media, isJSON := "", false
	if op.RequestBody != nil {
		for name, content := range op.RequestBody.Value.Content {
			if isJSON = name == "application/json"; media == "" || isJSON {
				media, base = name, p.sample(content)
			}
		}
	}
	send := func(r *probe, v any) {
		if media != "" && !r.hasBody {
			if r.header.Get("Content-Type") == "" {
				r.header.Set("Content-Type", media)
			}
			r.body = encode(v)
			if !isJSON {
				r.body = []byte(formOf(v))
			}
		}
		p.ask(method, r)
	}
	send(fresh(), base)
	for _, ref := range params {
		par := ref.Value
		for _, value := range slices.Concat(hostile, aroundLimits(par.Schema.Value)) {
			r := fresh()
			r.set(par, value)
			send(r, base)
		}
		if par.In == openapi3.ParameterInQuery {
			r := fresh()
			r.query[par.Name] = []string{p.valid(par), p.valid(par)}
			send(r, base)
		}
	}
	for _, query := range []string{"bogus=1", "%zz=1", "a=%ff", "limit[]=1", strings.Repeat("a=b&", 500), ";", "=&=&"} {
		r := fresh()
		r.path += "?" + query
		send(r, base)
	}
	for name, value := range map[string]string{"Accept": "text/html", "Content-Length": "-", "Idempotency-Key": "a b", "Last-Event-ID": "x", "Cookie": "gatewayd_session=\"", "Origin": "null", "X-Forwarded-Proto": "\x7f"} {
		r := fresh()
		if r.header.Get(name) == "" {
			r.header.Set(name, value)
		}
		send(r, base)
	}
	if media == "" {
		for range 3 { // a body that nobody asked for
			r := fresh()
			r.header.Set("Content-Type", "application/json")
			r.body, r.hasBody = []byte(`{"a":1}`), true
			send(r, nil)
		}
		return
	}
	for _, raw := range rawBodies(encode(base)) {
		r := fresh()
		r.body, r.hasBody = raw, true
		r.header.Set("Content-Type", media)
		send(r, base)
	}
	for _, other := range []string{"text/plain", "application/json; charset=utf-16", "multipart/form-data", "application/x-www-form-urlencoded", "/", "application/json, application/json"} {
		r := fresh()
		r.header.Set("Content-Type", other)
		send(r, base)
	}
	schema := op.RequestBody.Value.Content[media].Schema
	changed := mutations(schema, base, 0)
	for _, v := range changed {
		send(fresh(), v)
	}
	for range 40 { // several mistakes at once
		v := base
		for range 2 + random.IntN(3) {
			if next := mutations(schema, v, 0); len(next) > 0 {
				v = next[random.IntN(len(next))]
			}
		}
		send(fresh(), v)
	}
}

func (r *probe) set(par *openapi3.Parameter, value string) {
	switch par.In {
	case openapi3.ParameterInPath:
		r.params[par.Name] = value
	case openapi3.ParameterInQuery:
		r.query.Set(par.Name, value)
	case openapi3.ParameterInHeader:
		r.header[http.CanonicalHeaderKey(par.Name)] = []string{value}
	}
}

// ask sends a request as it is, and judges the answer.
func (p *prober) ask(method string, r *probe) {
	p.t.Helper()
	p.n++
	path, query, _ := strings.Cut(r.path, "?")
	for name, value := range r.params {
		if value == "" || value == "." || value == ".." { // it would be another path
			value = "%20"
		} else {
			value = url.PathEscape(value)
		}
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	if len(r.query) > 0 {
		query = r.query.Encode()
	}
	req := httptest.NewRequest(method, path, bytes.NewReader(r.body))
	req.URL.RawQuery = query
	req.Header = r.header
	// Who waits for something gets it after a moment, or has left.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	w := &leaver{httptest.NewRecorder(), cancel}
	p.handler.ServeHTTP(w, req.WithContext(ctx))
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return
	}
	what := fmt.Sprintf("%s %s?%s %v %.200q", method, path, shorten(query), r.header, r.body)
	if w.Code >= 500 {
		p.t.Errorf("%s: %d: %s", what, w.Code, w.Body)
	}
	before := p.t.Failed()
	if conforms(p.t, req, w.ResponseRecorder); !before && p.t.Failed() {
		p.t.Logf("that was %s", what)
	}
}

// leaver leaves a stream once it has begun: it has no end of its own.
type leaver struct {
	*httptest.ResponseRecorder
	leave func()
}

func (l *leaver) Flush() {
	l.ResponseRecorder.Flush()
	l.leave()
}

// valid is a value of a parameter that the document allows, of something that is
// there if possible.
func (p *prober) valid(par *openapi3.Parameter) string {
	switch s := par.Schema.Value; {
	case par.In == openapi3.ParameterInPath && p.known[par.Name] != "":
		return p.known[par.Name]
	case par.Example != nil:
		return fmt.Sprint(par.Example)
	case s.Default != nil:
		return fmt.Sprint(s.Default)
	default:
		return fmt.Sprint(sampleOf(par.Schema, 0))
	}
}

// sample is a body that is as the document says: an example of its own, else
// one that is made up.
func (p *prober) sample(m *openapi3.MediaType) any {
	v := sampleOf(m.Schema, 0)
	if names := slices.Sorted(maps.Keys(m.Examples)); len(names) > 0 {
		example := m.Examples[names[0]].Value.Value
		if all, ok := v.(map[string]any); ok {
			if some, ok := example.(map[string]any); ok {
				for name := range all { // only what is in it, else it is another kind
					if _, ok := some[name]; !ok {
						delete(all, name)
					}
				}
			}
		}
		v = example
	}
	return v
}

func sampleOf(ref *openapi3.SchemaRef, depth int) any {
	s := ref.Value
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Example != nil:
		return s.Example
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.OneOf) > 0:
		return sampleOf(s.OneOf[0], depth+1)
	case len(s.AnyOf) > 0:
		return sampleOf(s.AnyOf[0], depth+1)
	case len(s.AllOf) > 0:
		return sampleOf(s.AllOf[0], depth+1)
	case s.Type == nil || depth > 5:
		return nil
	case s.Type.Includes("object"):
		o := map[string]any{}
		for name, property := range s.Properties {
			if slices.Contains(s.Required, name) {
				o[name] = sampleOf(property, depth+1)
			}
		}
		return o
	case s.Type.Includes("array"):
		return []any{sampleOf(s.Items, depth+1)}
	case s.Type.Includes("integer"), s.Type.Includes("number"):
		if s.Min != nil {
			return *s.Min
		}
		return 1
	case s.Type.Includes("boolean"):
		return true
	case s.Format == "date-time":
		return "2998-01-01T00:00:00Z"
	}
	return strings.Repeat("a", max(1, int(s.MinLength)))
}

// aroundLimits are texts just inside and outside of what a schema allows.
func aroundLimits(s *openapi3.Schema) (all []string) {
	for _, v := range boundaries(s) {
		if text, ok := v.(string); ok {
			all = append(all, text)
		} else {
			all = append(all, fmt.Sprintf("%v", v))
		}
	}
	return all
}

func boundaries(s *openapi3.Schema) (all []any) {
	if s.Min != nil {
		all = append(all, *s.Min, *s.Min-1, *s.Min+0.5)
	}
	if s.Max != nil {
		all = append(all, *s.Max, *s.Max+1)
	}
	if s.MaxLength != nil {
		all = append(all, strings.Repeat("a", int(*s.MaxLength)), strings.Repeat("a", int(*s.MaxLength)+1), strings.Repeat("😀", int(*s.MaxLength)))
	}
	return append(all, s.Enum...)
}

// mutations are bodies that differ from one in one place: a member is missing,
// of another type, at a limit, hostile, or unknown.
func mutations(ref *openapi3.SchemaRef, v any, depth int) (all []any) {
	if depth == 0 {
		all = append(all, wrongTypes()...)
	}
	if ref == nil || ref.Value == nil || depth > 4 {
		return all
	}
	s := ref.Value
	switch v := v.(type) {
	case map[string]any:
		with := func(name string, member any, there bool) {
			o := maps.Clone(v)
			if o[name] = member; !there {
				delete(o, name)
			}
			all = append(all, o)
		}
		with("bogus", 1, true)
		with(strings.Repeat("x", 5000), 1, true)
		with("\x00", nil, true)
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			property := s.Properties[name]
			with(name, nil, false)
			for _, member := range slices.Concat(wrongTypes(), boundaries(property.Value)) {
				with(name, member, true)
			}
			if property.Value.Type != nil && property.Value.Type.Includes("string") {
				for _, text := range hostile {
					with(name, text, true)
				}
			}
			member, ok := v[name]
			if !ok {
				member = sampleOf(property, 0)
			}
			for _, deeper := range mutations(property, member, depth+1) {
				with(name, deeper, true)
			}
		}
		if of := s.AdditionalProperties.Schema; of != nil {
			for _, text := range hostile {
				with(text, text, true)
			}
			for _, member := range wrongTypes() {
				with("k", member, true)
			}
		}
	case []any:
		all = append(all, []any{}, []any{nil}, slices.Repeat([]any{1}, 2000))
		if len(v) > 0 {
			for _, item := range mutations(s.Items, v[0], depth+1) {
				all = append(all, append([]any{item}, v[1:]...), []any{v[0], item})
			}
		}
	}
	return all
}

// rawBodies are bodies that encoding a value does not give.
func rawBodies(valid []byte) [][]byte {
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	twice := bytes.Replace(valid, []byte("{"), append([]byte("{"), append(bytes.Trim(valid, "{}\n"), ',')...), 1)
	return [][]byte{
		{}, []byte(" "), []byte("\x00"), []byte("{"), []byte("nul"), []byte("\ufeff{}"), []byte("{}{}"), []byte(deep), []byte(strings.Repeat("[", 100_000)),
		append([]byte{0xff, 0xfe}, valid...), bytes.ReplaceAll(valid, []byte(`:"`), []byte(":\"\xc3")), bytes.ReplaceAll(valid, []byte(`:"`), []byte(`:"\ud800`)),
		twice, append(slices.Clone(valid), " x"...), bytes.Repeat([]byte(" "), 70_000), []byte(`{"` + strings.Repeat("k", 60_000) + `":1}`),
		[]byte(`[` + strings.Repeat("0,", 30_000) + `0]`), []byte("a=b&c=%zz"),
	}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func formOf(v any) string {
	values := url.Values{}
	if o, ok := v.(map[string]any); ok {
		for name, member := range o {
			values.Set(name, fmt.Sprint(member))
		}
	}
	return values.Encode()
}
