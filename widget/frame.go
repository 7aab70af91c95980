package widget

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatewayd/door"
)

var frameTemplates = template.Must(template.ParseFS(assetFiles, "assets/frame.html", "assets/mistakes.html"))

func etag(content []byte) string {
	sum := sha256.Sum256(content)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

// frame is GET frame: the document in which a visitor writes.
//
// It is of the gateway's origin, and the page around it of another, so neither can
// read the other. It keeps that origin (allow-same-origin): without, it would lose the
// place where its token outlives a click on the site's next page, and its requests
// could not be told from those of any other sandboxed page. What that origin could do
// is taken from it otherwise: it may connect to nothing but its own door, run its own
// scripts, and is never shown as a page of its own.
func (w *Widgets) frame(rw http.ResponseWriter, r *http.Request) error {
	one, l, err := w.asks(r)
	if err != nil {
		return err
	}
	if into := r.Header.Get("Sec-Fetch-Dest"); into != "" && into != "iframe" {
		return door.Refuse(http.StatusForbidden, "origin", "A widget is shown in a frame of a web site, and not as a page of its own.")
	}
	if from := r.Header.Get("Referer"); from != "" {
		u, err := url.Parse(from)
		if err != nil || !one.allows(u.Scheme+"://"+u.Host) || door.Ours(from, r) {
			return door.Refuse(http.StatusForbidden, "origin", "This page may not have the widget: its owner lists the origins of those that may.")
		}
	}
	if len(one.Origins) == 0 {
		return door.Refuse(http.StatusForbidden, "origin", "The widget has no origins yet: nobody may have it.")
	}
	if !plainHost(r.Host) { // it becomes part of the policy
		return door.Refuse(http.StatusBadRequest, "origin", "The header Host names no host.")
	}
	below := r.Host + Prefix + "v1/"
	return show(rw, http.StatusOK, l, policy{
		ancestors: strings.Join(one.Origins, " "), scripts: below + "frame.js " + below + "count.js " + below + "solve.js", connect: below,
		sandbox: "allow-scripts allow-forms allow-popups allow-popups-to-escape-sandbox allow-same-origin",
	}, r.URL.Query())
}

// plainHost tells whether a Host header is a host and maybe a port: nobody's name and
// nothing behind them, where a policy could be hidden.
func plainHost(host string) bool {
	u, err := url.Parse("//" + host)
	return err == nil && u.Host == host && hostname(u.Hostname())
}

// policy is what differs between frames of what they may do.
type policy struct{ ancestors, scripts, connect, sandbox string }

func show(rw http.ResponseWriter, status int, l look, p policy, q url.Values, wrong ...FieldError) error {
	name, nonce := "frame.html", rand.Text()
	if len(wrong) > 0 {
		name = "mistakes.html"
	}
	var b bytes.Buffer
	err := frameTemplates.ExecuteTemplate(&b, name, map[string]any{"Look": l, "Sheet": sheet(l.Style), "Nonce": nonce, "Widget": q.Get("widget"), "Key": q.Get("key"), "Base": Prefix + "v1/", "Wrong": wrong})
	if err != nil {
		return err
	}
	h := rw.Header()
	h.Set("Content-Security-Policy", strings.Join([]string{
		"default-src 'none'", "script-src " + p.scripts, "style-src 'self' 'nonce-" + nonce + "'", "img-src 'self'", "media-src " + l.film(), "connect-src " + p.connect,
		"frame-ancestors " + p.ancestors, "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'", "sandbox " + p.sandbox,
	}, "; "))
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // else a site that isolates itself could not have it
	h.Set("Content-Type", "text/html; charset=utf-8")
	rw.WriteHeader(status)
	_, err = rw.Write(b.Bytes())
	return err
}

// Preview writes the frame as it would be with settings that nobody has saved yet: the
// real one, which nothing is sent from. Only pages of the gateway may show it, in a
// sandbox that keeps it from their origin.
func (w *Widgets) Preview(ctx context.Context, rw http.ResponseWriter, s Settings) error {
	c, common, err := w.Common(ctx)
	if err != nil {
		return err
	}
	return w.preview(ctx, rw, s, c, common)
}

// PreviewCommon is Preview of what all widgets would have, in a widget that has nothing
// of its own.
func (w *Widgets) PreviewCommon(ctx context.Context, rw http.ResponseWriter, c Common) error {
	s := Defaults()
	s.Name, s.Welcome = "preview", "Lorem ipsum dolor sit amet."
	return w.preview(ctx, rw, s, c, 0)
}

func (w *Widgets) preview(ctx context.Context, rw http.ResponseWriter, s Settings, c Common, common int64) error {
	images, err := w.Images(ctx)
	if err != nil {
		return err
	}
	known := func(id string) bool { return slices.ContainsFunc(images, func(i Image) bool { return i.ID == id }) }
	p := policy{ancestors: "'self'", scripts: "'self'", connect: "'none'", sandbox: "allow-scripts allow-popups"}
	var wrong Wrong
	if err := cmp.Or(s.check(known), c.check(known)); errors.As(err, &wrong) {
		return show(rw, http.StatusOK, w.lookOf(Defaults(), 0, Common{}, 0), p, nil, wrong...)
	}
	l := w.lookOf(s, 0, c, common)
	l.Preview = true
	return show(rw, http.StatusOK, l, p, nil)
}

// Line is the one line that a page needs.
func (one *Widget) Line(base string) string {
	return `<script src="` + template.HTMLEscapeString(strings.TrimSuffix(base, "/")+Prefix) + `v1/embed.js" data-widget="` + one.ID + `" data-key="` + one.Key + `" async></script>`
}
