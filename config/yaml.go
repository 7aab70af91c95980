package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }

// loader collects what one Load finds.
type loader struct {
	c     *Config
	dir   string         // of the file: its relative paths begin here
	lines map[string]int // path → line in the file
	env   map[string]string
	errs  Errors
	all   []string // every known path, for hints
}

func (l *loader) fail(key, value, allowed string) {
	l.errs = append(l.errs, Error{Key: key, Value: value, Allowed: allowed, Line: l.line(key), Env: l.env[key]})
}

// line is where key stands, or the nearest section above it.
func (l *loader) line(key string) int {
	if l.env[key] != "" {
		return 0
	}
	for key != "" {
		if n, ok := l.lines[key]; ok {
			return n
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return 0
}

// Decoder makes the loader viper's reader of YAML.
func (l *loader) Decoder(string) (viper.Decoder, error) { return l, nil }

var errSecondDocument = errors.New("a second document (---) begins; one is read, so join them")

// Decode reads a document into v. Every scalar stays text; what has no place
// is left out and booked as a mistake.
func (l *loader) Decode(b []byte, v map[string]any) error {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // an empty file: the defaults
		}
		return err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errSecondDocument
	}
	root := document()
	l.all = root.paths("")
	if len(doc.Content) == 1 && doc.Content[0].Tag != "!!null" {
		if m, ok := l.walk(doc.Content[0], root, "").(map[string]any); ok {
			for k, value := range m {
				v[k] = value
			}
		}
	}
	return nil
}

// walk turns a node into text, map[string]any or []any as its shape wants; nil
// is an absent value or one that was refused. A shape's depth bounds it.
func (l *loader) walk(n *yaml.Node, s *shape, path string) any {
	for depth := 0; n.Kind == yaml.AliasNode && depth < 8; depth++ {
		n = n.Alias
	}
	if _, known := l.lines[path]; path != "" && !known {
		l.lines[path] = n.Line
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil
	case s.leaf():
		if n.Kind != yaml.ScalarNode {
			l.fail(path, "", "one value is expected here, not a list or a section")
			return nil
		}
		return n.Value
	case s.item != nil:
		if n.Kind != yaml.SequenceNode {
			l.fail(path, "", "a list is expected here, each entry behind a dash")
			return nil
		}
		return l.walkList(n, s, path)
	default:
		if n.Kind != yaml.MappingNode {
			l.fail(path, "", "a section is expected here, with the keys "+strings.Join(s.order, ", "))
			return nil
		}
		return l.walkSection(n, s, path)
	}
}

func (l *loader) walkList(n *yaml.Node, s *shape, path string) any {
	list := make([]any, 0, len(n.Content))
	for i, entry := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		v := l.walk(entry, s.item, at)
		switch {
		case v != nil:
		case s.item.leaf():
			v = ""
		default: // keeps the numbers of the entries behind it
			v = map[string]any{}
		}
		list = append(list, v)
	}
	return list
}

func (l *loader) walkSection(n *yaml.Node, s *shape, path string) any {
	m := map[string]any{}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		name := k.Value
		at := join(path, name)
		child := s.keys[name]
		if k.Kind != yaml.ScalarNode || child == nil {
			if k.Kind != yaml.ScalarNode {
				at, name = path, "?"
			}
			l.errs = append(l.errs, Error{Key: printable(at), Line: k.Line, Allowed: suggest(path, name, s.order, l.all)})
			continue
		}
		if seen[name] {
			l.errs = append(l.errs, Error{Key: at, Line: k.Line, Allowed: "this key stands here twice"})
			continue
		}
		seen[name] = true
		l.lines[at] = k.Line
		if v := l.walk(value, child, at); v != nil {
			m[name] = v
		}
	}
	return m
}

// printable makes an unknown key fit for one line.
func printable(key string) string {
	const most = 120
	if r := []rune(key); len(r) > most {
		key = string(r[:most]) + "…"
	}
	return oneLine(key)
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// syntaxError words what the YAML library said. Its messages about anchors
// repeat what the file says there, which may be a secret.
func (l *loader) syntaxError(path string, err error) Error {
	var parse viper.ConfigParseError
	if errors.As(err, &parse) {
		err = parse.Unwrap()
	}
	words := strings.TrimPrefix(err.Error(), "yaml: ")
	if strings.Contains(words, "anchor") {
		words = "an alias (*name) has no anchor (&name); put a value that begins with * or & in quotes"
		if m := yamlLine.FindString(err.Error()); m != "" {
			words = m + ": " + words
		}
	}
	return Error{Allowed: fmt.Sprintf("%s can't be read as YAML: %s", path, words)}
}
