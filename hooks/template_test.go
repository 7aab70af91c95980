package hooks

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func request(t testing.TB, contentType, body string) (*Request, any) {
	t.Helper()
	r := &Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {contentType}, "X-Who": {"me"}}, Query: url.Values{"to": {"+491"}}, Body: []byte(body)}
	v, err := decode(r)
	if err != nil {
		t.Fatal(err)
	}
	return r, v
}

func TestTemplates(t *testing.T) {
	const body = `{"name":"disk <1>","n":7,"big":1234567.5,"whole":2.0,"list":["a","b","c"],"at":"2026-03-01T10:20:30Z","nothing":null,
		"labels":{"b":"2","a":"1"},"flag":true,"deep":[{"x":1},{"x":2}],"seconds":1772360430}`
	r, v := request(t, "application/json", body)
	for source, want := range map[string]string{
		`{{.name}}`:                                                    "disk <1>",
		`{{.n}} {{.big}} {{.whole}} {{.flag}}`:                         "7 1234567.5 2 true",
		`[{{.missing}}{{.a.b.c}}{{.nothing}}]`:                         "[]",
		`[{{upper .missing}}{{.missing | lower}}]`:                     "[]",
		`{{.list}} {{join "+" .list}}`:                                 "a, b, c a+b+c",
		`{{.labels}} {{json .list}}`:                                   `{"a":"1","b":"2"} ["a","b","c"]`,
		`{{range .deep}}<{{.x}}>{{end}}`:                               "<1><2>",
		`{{range $k, $v := .labels}}{{$k}}={{$v}};{{else}}none{{end}}`: "a=1;b=2;",
		`{{range .missing}}x{{else}}none{{end}}`:                       "none",
		`{{range .list}}{{if eq . "b"}}{{continue}}{{end}}{{if eq . "c"}}{{break}}{{end}}{{.}}{{end}}`: "a",
		`{{with .deep}}{{len .}}{{end}}`:                  "2",
		`{{if gt .n 5}}many{{else}}few{{end}}`:            "many",
		`{{if gt .big 5}}many{{end}}`:                     "many",
		`{{if lt .missing 5}}less{{else}}unknown{{end}}`:  "unknown",
		`{{if and .flag (eq .n 7 8)}}yes{{end}}`:          "yes",
		`{{if ne .name "x"}}other{{end}}`:                 "other",
		`{{default "-" .missing}} {{.n | default "-"}}`:   "- 7",
		`{{truncate 4 .name}}`:                            "d...",
		`{{truncate 3 "äöü漢"}}|{{truncate 2 "äö漢字"}}`:     "äö…|ä…",
		`{{first .list}}{{last .list}}{{first .missing}}`: "ac",
		`{{date "15:04" .at}} {{date "2006" .name}}`:      "10:20 disk <1>",
		`{{date "15:04" .seconds}}`:                       "10:20",
		`{{trim "  a "}}{{line "a\n b"}}`:                 "aa b",
		`{{replace "i" "o" .name}}`:                       "dosk <1>",
		`{{if contains "isk" .name}}c{{end}}{{if hasPrefix "d" .name}}p{{end}}{{if hasSuffix ">" .name}}s{{end}}`: "cps",
		`{{range split "," "x,y"}}[{{.}}]{{end}}`:                   "[x][y]",
		`{{query "to"}} {{header "x-who"}} {{len (body)}}`:          fmt.Sprint("+491 me ", len(body)),
		`{{printf "%05d %s %v" .n .name .missing}}`:                 "00007 disk <1> ",
		`{{print .n .name}}{{println .n}}`:                          "7disk <1>7\n",
		`{{$x := .n}}{{$x}}{{$x = 3}}{{$x}}`:                        "73",
		`{{index .list 1}}{{index .labels "a"}}{{slice .name 0 2}}`: "b1di",
		`{{/* why */}}{{- " a" -}} b`:                               " ab",
		`{{range 3}}{{.}}{{end}}`:                                   "012",
	} {
		x := newRun(r)
		x.zone = time.UTC
		tree, err := x.compile(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if err := tree.Execute(x, v); err != nil {
			t.Errorf("%s: %v", source, err)
		}
		if got := x.out.String(); got != want {
			t.Errorf("%s makes %q, want %q", source, got, want)
		}
	}
}

func TestTemplateErrorsSayWhere(t *testing.T) {
	for source, want := range map[string]struct {
		line, column int
		detail       string
	}{
		"a\n{{.b}} {{nope .c}}":          {2, 8, `function "nope" not defined`},
		"{{if .a}}":                      {1, 1, "unexpected EOF"},
		"a\nb {{.c":                      {2, 3, "unclosed action"},
		"{{call .x}}":                    {1, 1, `function "call" not defined`},
		"{{html .x}}":                    {1, 1, `function "html" not defined`},
		"{{_step 1}}":                    {1, 1, `function "_step" not defined`},
		"x\n {{template \"x\"}}":         {2, 13, "template is not known here"},
		"{{define \"x\"}}{{end}}":        {1, 3, "define and block are not known here"},
		"{{block \"x\" .}}y{{end}}":      {1, 1, "define and block are not known here"},
		strings.Repeat("{{.a}}", 600):    {1, 0, "more than 1000 parts"},
		strings.Repeat("x", maxSource+1): {0, 0, "longer than 8192 bytes"},
		"{{.x}}{{range .x}}{{end":        {1, 19, "unclosed action"},
	} {
		var e *TemplateError
		if err := checkTemplate(source); !errors.As(err, &e) {
			t.Errorf("%.40q: %v", source, err)
		} else if e.Line != want.line || want.column != 0 && e.Column != want.column || !strings.Contains(e.Detail, want.detail) {
			t.Errorf("%.40q: line %d, column %d, %s; want %+v", source, e.Line, e.Column, e.Detail, want)
		}
	}
	r, v := request(t, "application/json", `{"a":"x"}`)
	var e *TemplateError
	if _, err := expand("ok\n  {{index .a 7}}", v, r); !errors.As(err, &e) || e.Line != 2 || e.Column != 5 {
		t.Errorf("%v", err)
	}
}

// hostile is a request that would make loops long, and texts large.
func hostile(t testing.TB) (*Request, any) {
	var b strings.Builder
	b.WriteString(`{"n":9000000000000000000,"s":"` + strings.Repeat("x", maxValue) + `","a":[0`)
	b.WriteString(strings.Repeat(",1", 5_000))
	b.WriteString(`],"m":{"_":1`)
	for i := range 5_000 {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	b.WriteString(`}}`)
	return request(t, "application/json", b.String())
}

// Whatever a template does, it ends soon and its text stays small.
func TestHostileTemplatesEnd(t *testing.T) {
	r, v := hostile(t)
	nested := func(n int, over, body string) string {
		return strings.Repeat("{{range "+over+"}}", n) + body + strings.Repeat("{{end}}", n)
	}
	doubling := "{{$x := .s}}" + strings.Repeat("{{$x = print $x $x}}", 40)
	for name, source := range map[string]string{
		"nested ranges without a body":   nested(10, "$.a", ""),
		"nested ranges over a map":       nested(10, "$.m", ""),
		"sorting a map each round":       "{{range .a}}{{range $.m}}{{break}}{{end}}{{end}}",
		"a range over a number":          "{{range .n}}{{end}}",
		"nested ranges over numbers":     nested(5, "$.n", ""),
		"a range over a constant":        "{{range 9000000000000000000}}{{end}}",
		"ranges that continue":           nested(8, "$.a", "{{continue}}"),
		"much in each round":             "{{range .a}}" + strings.Repeat("{{if .}}{{end}}", 200) + "{{end}}",
		"json in each round":             "{{range .a}}{{$x := json $.a}}{{end}}",
		"printing all in each round":     "{{range .a}}{{len (print $.m)}}{{end}}",
		"comparing in each round":        "{{range .a}}{{if eq $.s $.s $.s $.s $.s $.s}}{{end}}{{end}}",
		"upper in each round":            "{{range .a}}{{$x := upper (upper (upper $.s))}}{{end}}",
		"splitting in each round":        `{{range .a}}{{$x := split "" $.s}}{{end}}`,
		"replacing in each round":        `{{range .a}}{{$x := replace "x" "y" $.s}}{{end}}`,
		"doubling a text":                doubling,
		"joining much":                   `{{join .s .a}}`,
		"replacing by more":              `{{replace "x" .s .s}}`,
		"wide verbs":                     `{{range .a}}{{$x := printf "%999999d" 1}}{{end}}`,
		"verbs with a width to be given": `{{printf "%*d" 99999999 1}}`,
		"many wide verbs":                `{{range .a}}{{$x := printf "` + strings.Repeat("%999d", 500) + `" 1}}{{end}}`,
		"itself":                         `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`,
		"itself by another name":         `{{template "template" .}}`,
		"methods":                        `{{.n.String}}`,
		"much text":                      "{{range .a}}{{$.s}}{{end}}",
		"all at once":                    "{{.}}",
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			text, err := expand(source, v, r)
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			if len(text) > maxOutput {
				t.Errorf("it made %d bytes", len(text))
			}
			if err == nil && name != "much text" && name != "all at once" && !strings.Contains(name, "each round") && name != "much in each round" {
				t.Errorf("it made %.40q", text)
			}
		})
	}
	if text, err := expand("{{range .a}}{{$.s}}{{end}}", v, r); err != nil || len(text) != maxOutput {
		t.Errorf("a long text is cut off: %d bytes, %v", len(text), err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(`{{range $i, $x := .a}}{{if eq $i 1}}{{break}}{{end}}{{$x | upper | truncate 3}}{{end}}`, `{"a":["x","y"]}`)
	f.Add(`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`, `{}`)
	f.Add(`{{with .a}}{{printf "%d %s" .b .c}}{{else with .d}}{{date "15:04" .}}{{end}}`, `{"a":{"b":1},"d":"2026-01-01T00:00:00Z"}`)
	f.Add(`{{join "," (split "a" .s)}}{{slice .s 1 2}}{{index .l 0}}{{json .}}`, `{"s":"banana","l":[1]}`)
	f.Fuzz(func(t *testing.T, source, body string) {
		r := &Request{Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
		v, err := decode(r)
		if err != nil {
			return
		}
		begin := time.Now()
		text, err := expand(source, v, r)
		if took := time.Since(begin); took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
		if len(text) > maxOutput || err == nil && utf8.ValidString(source) && !utf8.ValidString(clean(text)) {
			t.Errorf("it made %d bytes", len(text))
		}
		room{parts: 3}.fits(room{parts: 3}.fit(clean(text)))
	})
}
