// Command sbom writes what a Go binary is made of, as CycloneDX JSON, from what
// the linker has left in it:
//
//	sbom VERSION BINARY > gatewayd.cdx.json
//
// The same binary gives the same bytes.
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
)

type component struct {
	Ref     string `json:"bom-ref"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

type bom struct {
	Format      string `json:"bomFormat"`
	SpecVersion string `json:"specVersion"`
	Version     int    `json:"version"`
	Metadata    struct {
		Component component `json:"component"`
	} `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom VERSION BINARY")
		os.Exit(2)
	}
	info, err := buildinfo.ReadFile(os.Args[2])
	if err == nil {
		err = write(os.Stdout, os.Args[1], info)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func write(to io.Writer, version string, info *debug.BuildInfo) error {
	b := bom{Format: "CycloneDX", SpecVersion: "1.6", Version: 1}
	b.Metadata.Component = of("application", info.Main.Path, version, info)
	// Which Go it is decides about most security advisories.
	b.Components = []component{of("library", "std", strings.TrimPrefix(info.GoVersion, "go"), info)}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		b.Components = append(b.Components, of("library", m.Path, m.Version, info))
	}
	all := dependency{Ref: b.Metadata.Component.Ref}
	for _, c := range b.Components {
		all.DependsOn = append(all.DependsOn, c.Ref)
	}
	b.Dependencies = []dependency{all} // what needs which is not in a binary
	out := json.NewEncoder(to)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(b)
}

// of makes a component. Its package URL is https://github.com/package-url/purl-spec's
// type golang: what the binary was made for belongs to the program's alone.
func of(kind, path, version string, info *debug.BuildInfo) component {
	purl := "pkg:golang/" + path + "@" + url.QueryEscape(version)
	if kind == "application" {
		purl += "?type=module"
		for _, s := range info.Settings {
			if s.Key == "GOARCH" || s.Key == "GOOS" {
				purl += "&" + strings.ToLower(s.Key) + "=" + s.Value
			}
		}
	}
	return component{Ref: purl, Type: kind, Name: path, Version: version, PURL: purl}
}
