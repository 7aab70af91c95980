package sim

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// docs/simulator.md lists the faults of the table, and nothing else. With
// UPDATE_DOCS set the list is written anew.
func TestFaultsAreDocumented(t *testing.T) {
	const path, begin, end = "../docs/simulator.md", "<!-- faults: generated -->\n", "<!-- end of faults -->"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	list, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the faults", path)
	}
	var want strings.Builder
	want.WriteString("| fault | value | what happens |\n| --- | --- | --- |\n")
	for _, f := range faultTable {
		kind := string(f.kind)
		if len(f.choices) > 0 {
			kind = "`" + strings.Join(f.choices, "`, `") + "`"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", f.name, kind, strings.ReplaceAll(f.words, "|", `\|`))
	}
	if list == want.String() {
		return
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		t.Fatalf("%s lists other faults than the table; run the test with UPDATE_DOCS=1", path)
	}
	if err := os.WriteFile(path, []byte(head+begin+want.String()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPersonalitiesAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Profiles() {
		if !strings.Contains(string(b), "`"+p.Slug+"`") {
			t.Errorf("docs/simulator.md does not name %s", p.Slug)
		}
	}
	for _, s := range Specials {
		if !strings.Contains(string(b), s.Name) {
			t.Errorf("docs/simulator.md does not name %s", s.Name)
		}
	}
	for name := range actions {
		if !strings.Contains(string(b), name) {
			t.Errorf("docs/simulator.md does not name the action %s", name)
		}
	}
}
