package api

import (
	"flag"
	"os"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "write order.txt anew")

// order.txt is what the document says, and no two objects have the same members
// in another order.
func TestOrderOfMembers(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal(documentYAML, &doc); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	var lines []string
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == "properties" && child.Kind == yaml.MappingNode && len(child.Content) > 2 {
				var names []string
				for j := 0; j < len(child.Content); j += 2 {
					names = append(names, child.Content[j].Value)
				}
				key, line := sortedNames(names), strings.Join(names, " ")
				if other, ok := seen[key]; !ok {
					lines = append(lines, line)
				} else if other != line {
					t.Errorf("the document has %q and %q: let them have one order", other, line)
				}
				seen[key] = line
			}
			walk(child)
		}
	}
	walk(&doc)
	want := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile("order.txt", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if len(lines) < 100 || orderText != want {
		t.Errorf("order.txt (%d objects) is not what api/openapi.yaml says: go generate ./api", len(lines))
	}
}
