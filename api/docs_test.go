package api

import (
	"html"
	"regexp"
	"strings"
	"testing"
)

// The page shows every operation and every schema, and no link of it leads
// nowhere or to another network.
func TestDocsShowTheWholeDocument(t *testing.T) {
	b := newBox(t, settings{})
	page := b.ask("GET", "/docs", header{"Host": `x"><script>`}, "").want(200).Body.String()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Tags[0] == "pages" {
				continue
			}
			for _, want := range []string{`id="` + op.OperationID + `"`, html.EscapeString(op.Summary), "<code>" + path + "</code>"} {
				if !strings.Contains(strings.ReplaceAll(page, "&#39;", "'"), strings.ReplaceAll(want, "&#39;", "'")) {
					t.Errorf("%s %s: the page does not have %s", method, path, want)
				}
			}
		}
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("%s is there twice", m[1])
		}
		ids[m[1]] = true
	}
	for name := range doc.Components.Schemas {
		if !ids["schema-"+name] {
			t.Errorf("the schema %s is not on the page", name)
		}
	}
	for _, m := range regexp.MustCompile(`(?:href|src)="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if at, inside := strings.CutPrefix(m[1], "#"); inside && !ids[at] || !inside && !strings.HasPrefix(m[1], "/") {
			t.Errorf("%s leads nowhere", m[1])
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "style=") {
		t.Error("something is in line, or came in with the address")
	}
	if !strings.Contains(page, `curl -X POST http://x&#34;&gt;&lt;script&gt;/v1/messages`) {
		t.Error("no example with this server's address")
	}
	for _, from := range []string{"/", "/problems/not-found"} {
		if !strings.Contains(b.ask("GET", from, bearer(b.read), "").Body.String(), `href="/docs"`) {
			t.Errorf("%s does not lead to it", from)
		}
	}
}
