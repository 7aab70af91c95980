package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shown are the keys of lists whose values say nothing about anybody; of what is
// not in a list, all are but the ones in hidden. Whatever is not known is hidden.
var shown = map[string]bool{
	"modems.list[].name": true, "modems.list[].port": true, "modems.list[].allow_roaming": true, "modems.list[].max_per_minute": true,
	"modems.list[].max_per_day": true, "modems.list[].max_per_month": true, "modems.list[].max_recipients_per_month": true,
	"modems.list[].balance.every": true, "modems.list[].balance.low": true, "modems.list[].top_up.by": true, "modems.list[].top_up.warn": true,
	"modems.list[].keep_alive.every": true, "modems.list[].pin_file": true,
	"webhooks[].name": true, "webhooks[].events[]": true, "webhooks[].stop": true, "webhooks[].allow_private": true, "webhooks[].secret_file": true,
	"webhooks[].match.modem": true, "hub.routes[].to": true, "destinations.allow[]": true, "destinations.deny[]": true,
}

var hidden = map[string]bool{"mail.username": true, "mail.password": true, "mail.from": true}

// Redacted is the configuration file for others to read: its keys as they are, and
// no secret, number, identity or text, nor a comment.
func Redacted(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	return redact(data)
}

func redact(data []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return []byte("# empty\n"), nil
		}
		return nil, fmt.Errorf("it is no YAML, so nothing tells what in it is secret: %s", atLine.FindString(err.Error()))
	}
	known := map[string]bool{}
	for _, p := range document().paths("") {
		known[p] = true
	}
	show := func(path string) bool {
		return known[path] && !hidden[path] && (shown[path] || !strings.Contains(path, "[]"))
	}
	return yaml.Marshal(plain(&doc, "", show, map[*yaml.Node]bool{}))
}

var atLine = regexp.MustCompile(`line \d+`)

// plain copies a node without what is not to be shown.
func plain(n *yaml.Node, path string, show func(string) bool, above map[*yaml.Node]bool) *yaml.Node {
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style}
	if above[n] {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: "(itself)"}
	}
	above[n] = true
	defer delete(above, n)
	switch n.Kind {
	case yaml.DocumentNode:
		for _, child := range n.Content {
			c.Content = append(c.Content, plain(child, path, show, above))
		}
	case yaml.AliasNode:
		return plain(n.Alias, path, show, above)
	case yaml.SequenceNode:
		for _, child := range n.Content {
			c.Content = append(c.Content, plain(child, path+"[]", show, above))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if !keyForm.MatchString(key) { // not one of ours, and perhaps no key at all
				key = "(hidden)"
			}
			c.Content = append(c.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, plain(n.Content[i+1], join(path, key), show, above))
		}
	default:
		if n.Value != "" && !show(path) {
			return &yaml.Node{Kind: yaml.ScalarNode, Value: "(hidden)"}
		}
	}
	return c
}

var keyForm = regexp.MustCompile(`^[a-z_]{1,40}$`)
