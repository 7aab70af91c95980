package failpoint_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatewayd/failpoint"
)

// Every name is the step of one place in the code, and every place has a name
// in the list: the laboratory goes by the list.
func TestEveryNameIsAStep(t *testing.T) {
	call := regexp.MustCompile(`failpoint\.Hit\("([^"]+)"\)`)
	found := map[string]int{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range call.FindAllSubmatch(b, -1) {
			found[string(m[1])]++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range failpoint.Names {
		if found[name] != 1 {
			t.Errorf("%s is in the list, and in the code %d times", name, found[name])
		}
	}
	for name := range found {
		if !slices.Contains(failpoint.Names, name) {
			t.Errorf("%s is in the code, and not in the list", name)
		}
	}
}
