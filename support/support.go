// Package support gathers what somebody needs to help with a gateway, without
// what is nobody's business: no secrets, no texts, and of numbers the ends.
package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"path"
	"runtime/debug"
	"strings"
	"time"
)

// Part is one file of a bundle.
type Part struct {
	Name string // of the file
	What string // in words, for the README
	// Plain: it is known to hold nothing that is to be masked.
	Plain bool
	Make  func(context.Context, io.Writer) error
}

const (
	partTime = 15 * time.Second
	partSize = 8 << 20
)

// Write writes a tar.gz of the parts and a README. A part that fails is there with
// what it has, and the README says why.
func Write(ctx context.Context, to io.Writer, version string, now time.Time, parts []Part) error {
	zip := gzip.NewWriter(to)
	files := tar.NewWriter(zip)
	folder := "gatewayd-support-" + now.UTC().Format("20060102T150405Z")
	add := func(name string, content []byte) error {
		if err := files.WriteHeader(&tar.Header{Name: path.Join(folder, name), Mode: 0o600, Size: int64(len(content)), ModTime: now}); err != nil {
			return err
		}
		_, err := files.Write(content)
		return err
	}
	var inside, missing strings.Builder
	for _, p := range parts {
		content, err := p.make(ctx)
		if err != nil {
			fmt.Fprintf(&missing, "  %s: %s\n", p.Name, Mask(err.Error()))
		}
		if len(content) == 0 {
			continue
		}
		fmt.Fprintf(&inside, "  %-28s %s\n", p.Name, p.What)
		if err := add(p.Name, content); err != nil {
			return err
		}
	}
	if missing.Len() == 0 {
		missing.WriteString("  nothing\n")
	}
	readme := fmt.Sprintf(readmeText, version, now.UTC().Format(time.RFC3339), inside.String(), missing.String())
	if err := add("README.txt", []byte(readme)); err != nil {
		return err
	}
	if err := files.Close(); err != nil {
		return err
	}
	return zip.Close()
}

const readmeText = `Support bundle of gatewayd %s, made %s.

Read it before you hand it on. It is meant to hold no secret and no text, and of
phone numbers and identities the ends only: +49…67.

What is inside:
%s
What is not inside, or not all of it, and why:
%s
Left out on purpose: texts and metadata of messages, numbers, API keys, tokens of
hooks, PINs, passwords, secrets of webhooks and what follows the host in their
addresses, the database itself, and log lines at debug.
`

// make carries a part out; whatever it does, the others go on.
func (p Part) make(ctx context.Context) (content []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	type result struct {
		content []byte
		err     error
	}
	done := make(chan result, 1) // one that hangs is left behind
	go func() {
		var b limited
		var err error
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			}
			done <- result{b.Bytes(), err}
		}()
		err = p.Make(ctx, &b)
		if err == nil && b.cut {
			err = fmt.Errorf("it is longer than %d MiB; the rest is left out", partSize>>20)
		}
	}()
	select {
	case r := <-done:
		if !p.Plain {
			r.content = []byte(Mask(string(r.content)))
		}
		return r.content, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("it took longer than %s", partTime)
	}
}

// limited takes so much and drops the rest.
type limited struct {
	bytes.Buffer
	cut bool
}

func (l *limited) Write(b []byte) (int, error) {
	n := len(b)
	if room := partSize - l.Len(); n > room {
		b, l.cut = b[:room], true
	}
	l.Buffer.Write(b)
	return n, nil
}
