package hooks

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"gatewayd/sms"
)

// docs/hooks.md has every preset, every setting and every function, and its
// template is one.
func TestDocumentation(t *testing.T) {
	b, err := os.ReadFile("../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for _, name := range sms.HookPresets {
		if name != "template" && !strings.Contains(doc, "\n### "+name+"\n") {
			t.Errorf("the preset %s is not documented", name)
		}
		if _, ok := presets[name]; !ok {
			t.Errorf("the preset %s does not exist", name)
		}
	}
	if len(presets) != len(sms.HookPresets) {
		t.Errorf("%d presets, %d of them known to the API", len(presets), len(sms.HookPresets))
	}
	names := newRun(nil).functions()
	for name := range allowed {
		names[name] = nil
	}
	for name := range names {
		if !regexp.MustCompile("`" + name + "[ `]").MatchString(doc) {
			t.Errorf("the function %s is not documented", name)
		}
	}
	found := 0
	for _, m := range regexp.MustCompile("(?s)```\n(\\{\\{.*?)```").FindAllStringSubmatch(doc, -1) {
		found++
		if err := checkTemplate(m[1]); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
		r, v := request(t, asJSON, `{"level":"error","service":"shop","message":"is down","hosts":["a","b"]}`)
		if text, err := expand(m[1], v, r); err != nil || clean(text) != "shop: is down\na\nb" {
			t.Errorf("%q, %v", text, err)
		}
	}
	if found == 0 {
		t.Error("no template found")
	}
}
