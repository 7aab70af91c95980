package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// SetLAN returns the content of a configuration file with http.lan.listen set to
// listen, "" for nowhere. All else stays as it is, byte by byte where the file is
// written in lines, as people write it.
func SetLAN(data []byte, listen string) ([]byte, error) {
	for _, edit := range []func([]byte, string) ([]byte, error){setInPlace, setByNode} {
		changed, err := edit(data, listen)
		if err != nil {
			continue
		}
		if got, err := lanOf(changed); err == nil && got == listen {
			return changed, nil
		}
	}
	return nil, fmt.Errorf("http.lan.listen could not be set in it; write there yourself:\n\nhttp:\n  lan:\n    listen: %q", listen)
}

// lanOf reads http.lan.listen and nothing else.
func lanOf(data []byte) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return "", err
	}
	_, http := entry(rootOf(&doc), "http")
	_, lan := entry(http, "lan")
	_, listen := entry(lan, "listen")
	if listen == nil || listen.Tag == "!!null" {
		return "", nil
	}
	return listen.Value, nil
}

func rootOf(doc *yaml.Node) *yaml.Node {
	if len(doc.Content) == 1 {
		return doc.Content[0]
	}
	return nil
}

// entry finds a key of a section and its value; nil if there is none.
func entry(section *yaml.Node, key string) (k, v *yaml.Node) {
	if section == nil || section.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(section.Content); i += 2 {
		if section.Content[i].Value == key {
			return section.Content[i], section.Content[i+1]
		}
	}
	return nil, nil
}

var errNotInPlace = errors.New("it is not written in lines")

// setInPlace changes the one value, or adds the lines that are missing.
func setInPlace(data []byte, listen string) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	quoted := fmt.Sprintf("%q", listen)
	httpKey, http := entry(rootOf(&doc), "http")
	if httpKey == nil {
		if len(data) > 0 && data[len(data)-1] != '\n' {
			data = append(bytes.Clone(data), '\n')
		}
		return append(bytes.Clone(data), "\nhttp:\n  lan:\n    listen: "+quoted+"\n"...), nil
	}
	lanKey, lan := entry(http, "lan")
	if lanKey == nil {
		at := strings.Repeat(" ", indent(httpKey, http))
		return insert(data, httpKey.Line, http, at+"lan:", at+"  listen: "+quoted)
	}
	listenKey, value := entry(lan, "listen")
	if listenKey == nil {
		return insert(data, lanKey.Line, lan, strings.Repeat(" ", indent(lanKey, lan))+"listen: "+quoted)
	}
	return replace(data, value, listenKey, quoted)
}

// indent is how far the keys of a section stand to the right.
func indent(key, section *yaml.Node) int {
	if section.Kind == yaml.MappingNode && len(section.Content) > 0 {
		return section.Content[0].Column - 1
	}
	return key.Column - 1 + 2
}

// insert adds lines below line.
func insert(data []byte, line int, section *yaml.Node, lines ...string) ([]byte, error) {
	if section.Style&yaml.FlowStyle != 0 || section.Kind != yaml.MappingNode && section.Tag != "!!null" {
		return nil, errNotInPlace
	}
	all := strings.SplitAfter(string(data), "\n")
	if line > len(all) {
		return nil, errNotInPlace
	}
	if !strings.HasSuffix(all[line-1], "\n") {
		all[line-1] += "\n"
	}
	return []byte(strings.Join(all[:line], "") + strings.Join(lines, "\n") + "\n" + strings.Join(all[line:], "")), nil
}

// replace puts another scalar in the place of one.
func replace(data []byte, value, key *yaml.Node, text string) ([]byte, error) {
	all := strings.SplitAfter(string(data), "\n")
	line := key.Line
	if value.Kind != yaml.ScalarNode || value.Line != 0 && value.Line != line || line > len(all) || value.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 || value.Anchor != "" {
		return nil, errNotInPlace
	}
	old := all[line-1]
	from := key.Column - 1 + len(key.Value)
	if from > len(old) || !strings.HasPrefix(old[from:], ":") {
		return nil, errNotInPlace
	}
	rest := old[from+1:]
	blank := len(rest) - len(strings.TrimLeft(rest, " \t"))
	written := rest[blank:]
	size := 0
	switch {
	case value.Tag == "!!null" && value.Value == "":
	case value.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		end := strings.IndexByte(written[1:], written[0])
		if end < 0 {
			return nil, errNotInPlace
		}
		size = end + 2
	default:
		size = len(value.Value)
	}
	all[line-1] = old[:from+1] + " " + text + written[size:]
	return []byte(strings.Join(all, "")), nil
}

// setByNode writes the document anew, with its comments.
func setByNode(data []byte, listen string) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	section := rootOf(&doc)
	for _, key := range []string{"http", "lan"} {
		_, next := entry(section, key)
		if next == nil || next.Kind != yaml.MappingNode {
			return nil, errNotInPlace
		}
		if key == "lan" {
			section = next
			break
		}
		if _, lan := entry(next, "lan"); lan == nil {
			next.Content = append(next.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "lan"}, &yaml.Node{Kind: yaml.MappingNode, Style: next.Style})
		}
		section = next
	}
	text := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: listen}
	if _, v := entry(section, "listen"); v != nil {
		*v = *text
	} else {
		section.Content = append(section.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "listen"}, text)
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(&doc), e.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
