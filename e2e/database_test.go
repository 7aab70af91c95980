//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that is no database of ours is refused with exit status 1 and what to
// do, and nothing is changed.
func TestUnusableDatabase(t *testing.T) {
	s := &site{t: t}
	data, dir := t.TempDir(), t.TempDir()
	config, file := filepath.Join(dir, "gatewayd.yaml"), filepath.Join(data, "gatewayd.db")
	const content = "Dear diary, this file has nothing to do with texts."
	for path, text := range map[string]string{file: content, config: "data_dir: " + data + "\nhttp: {listen: \"127.0.0.1:0\"}\nmodems: {discover: false}\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range [][]string{{"run"}, {"keys", "list"}} {
		_, errs, status := s.gatewayd(append(command, "--config", config)...)
		lines := strings.Split(strings.TrimSpace(errs), "\n")
		if last := lines[len(lines)-1]; status != 1 || !strings.Contains(last, file) || !strings.Contains(last, "not a database") || !strings.Contains(last, "gatewayd restore") {
			t.Errorf("%v: exit %d, said:\n%s", command, status, errs)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != content {
		t.Errorf("the file is %q now, %v", b, err)
	}
	for _, more := range []string{"-wal", "-shm", "-journal", ".new"} {
		if _, err := os.Stat(file + more); err == nil {
			t.Errorf("%s was made", file+more)
		}
	}
}
