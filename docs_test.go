package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each code that a message's error may have by the gateway's own word stands in
// docs/errors.md, with what to do.
func TestErrorCodesAreTold(t *testing.T) {
	page, err := os.ReadFile("docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	_, own, _ := strings.Cut(string(page), "## The gateway's own codes")
	own, _, _ = strings.Cut(own, "\n## ")
	code := regexp.MustCompile(`sms\.Error\{Code: "([a-z-]+)"`)
	seen := 0
	for _, dir := range []string{"queue", "chat", "gateway", "modem", "intake"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range code.FindAllStringSubmatch(string(source), -1) {
				seen++
				if !regexp.MustCompile(`(?m)^\| (?:[a-z-]+, )*` + found[1] + `(?:, [a-z-]+)* \|`).MatchString(own) {
					t.Errorf("%s has the code %s, which docs/errors.md does not tell", file, found[1])
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d codes were found in the sources", seen)
	}
}

// docs/README.md leads to every document, and to none twice.
func TestDocumentsAreListedOnce(t *testing.T) {
	list, err := os.ReadFile("docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if n := strings.Count(string(list), "]("+name+")"); n != 1 && name != "README.md" {
			t.Errorf("docs/README.md names %s %d times", name, n)
		}
	}
}
