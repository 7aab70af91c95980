package arch

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What is made of api/openapi.yaml is what api/openapi.yaml says now.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	for dir, file := range map[string]string{"wire": "wire.gen.go", "api": "server.gen.go", "client/rest": "rest.gen.go"} {
		config, err := os.ReadFile(filepath.Join(dir, "oapi-codegen.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		made, other := filepath.Join(t.TempDir(), file), filepath.Join(t.TempDir(), "config.yaml")
		config = bytes.Replace(config, []byte("output: "+file), []byte("output: "+made), 1)
		if err := os.WriteFile(other, config, 0o600); err != nil {
			t.Fatal(err)
		}
		document, err := filepath.Rel(dir, "api/openapi.yaml")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", "tool", "oapi-codegen", "-config", other, document)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", dir, err, out)
		}
		want, err := os.ReadFile(made)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s/%s is not what api/openapi.yaml makes of it: go generate ./...", dir, file)
		}
	}
}
