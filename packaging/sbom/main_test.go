package main

import (
	"bytes"
	"encoding/json"
	"runtime/debug"
	"testing"
)

func TestListsWhatWasLinked(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.25.1",
		Main:      debug.Module{Path: "gatewayd", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "example.org/a", Version: "v1.2.3+incompatible"},
			{Path: "example.org/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/new", Version: "v2.0.0"}},
		},
		Settings: []debug.BuildSetting{{Key: "GOARCH", Value: "arm64"}, {Key: "GOOS", Value: "linux"}},
	}
	var out bytes.Buffer
	if err := write(&out, "v0.9", info); err != nil {
		t.Fatal(err)
	}
	var got bom
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Format != "CycloneDX" || got.SpecVersion != "1.6" || got.Version != 1 {
		t.Errorf("it is %s %s, version %d", got.Format, got.SpecVersion, got.Version)
	}
	if want := "pkg:golang/gatewayd@v0.9?type=module&goarch=arm64&goos=linux"; got.Metadata.Component.PURL != want {
		t.Errorf("the program is %s, want %s", got.Metadata.Component.PURL, want)
	}
	want := []string{"pkg:golang/std@1.25.1", "pkg:golang/example.org/a@v1.2.3%2Bincompatible", "pkg:golang/example.org/new@v2.0.0"}
	if len(got.Components) != len(want) {
		t.Fatalf("components %v, want %v", got.Components, want)
	}
	for i, c := range got.Components {
		if c.PURL != want[i] || c.Name == "" || c.Version == "" || c.Type != "library" {
			t.Errorf("component %+v, want %s", c, want[i])
		}
	}
}
