package arch

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"gatewayd/sms"
)

var update = flag.Bool("update", false, "rewrite what ARCHITECTURE.md generates from code")

// TestStatusDrawing holds the drawing of the statuses in ARCHITECTURE.md
// against the one table in code.
func TestStatusDrawing(t *testing.T) {
	const begin, end = "<!-- statuses: generated -->\n", "<!-- end of statuses -->"
	var b strings.Builder
	b.WriteString("```\n")
	for _, s := range sms.Statuses {
		var next []string
		for _, n := range sms.Statuses {
			if s.CanBecome(n) {
				next = append(next, string(n))
			}
		}
		if len(next) == 0 {
			next = []string{"(final)"}
		}
		fmt.Fprintf(&b, "%-12s → %s\n", s, strings.Join(next, ", "))
	}
	b.WriteString("```\n")
	file, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(file), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("ARCHITECTURE.md has no place for the drawing of the statuses")
	}
	if old == b.String() {
		return
	}
	if !*update {
		t.Fatalf("the drawing is out of date: go test . -run StatusDrawing -update\nin the page:\n%s\nin the code:\n%s", old, b.String())
	}
	if err := os.WriteFile("ARCHITECTURE.md", []byte(head+begin+b.String()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
