package inbox

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"gatewayd/captcha"
	"gatewayd/door"
	"gatewayd/files"
	"gatewayd/queue"
)

//go:embed assets
var assets embed.FS

// largestBody of what is no file.
const largestBody = 64 << 10

// routes are what people reach. What stands here has no key and no session of the
// gateway's people: the table of api, with its scopes, is another door.
func (b *Inbox) routes() http.Handler {
	headers := door.Headers()
	headers["X-Frame-Options"], headers["Cross-Origin-Opener-Policy"] = "DENY", "same-origin"
	d := door.Door{Headers: headers, RefusalOf: refusalOf, Broken: "The hub's log has the details.", Count: b.o.Count, Log: b.log}
	mux := http.NewServeMux()
	at := func(method, path string, h door.Handler) {
		mux.HandleFunc(method+" "+Prefix+path, d.Around(Prefix+path, h))
	}
	at("GET", "{$}", b.home)
	at("GET", "inbox.js", b.asset("inbox.js", "text/javascript; charset=utf-8", nil))
	at("GET", "show.js", b.asset("show.js", "text/javascript; charset=utf-8", nil))
	at("GET", "inbox.css", b.asset("inbox.css", "text/css; charset=utf-8", nil))
	at("GET", "icon.svg", b.asset("icon.svg", "image/svg+xml", nil))
	at("GET", "solve.js", b.asset("solve.js", "text/javascript; charset=utf-8", captcha.Solver))
	at("POST", "v1/puzzle", b.stranger(b.puzzle))
	at("POST", "v1/code", b.stranger(b.code))
	at("POST", "v1/open", b.stranger(b.open))
	at("GET", "v1/me", b.maybe(b.owner(b.me)))
	at("POST", "v1/name", b.owner(b.rename))
	at("POST", "v1/leave", b.owner(b.leave))
	at("POST", "v1/close", b.owner(b.closeInbox))
	at("GET", "v1/threads", b.owner(b.threads))
	at("GET", "v1/threads/{id}", b.owner(b.messages))
	at("POST", "v1/threads/{id}/read", b.owner(b.readUpTo))
	at("POST", "v1/threads/{id}/messages", b.owner(b.say))
	at("GET", "v1/search", b.owner(b.search))
	at("GET", "v1/events", b.owner(b.events))
	at("POST", "v1/files", b.owner(b.upload))
	mux.HandleFunc("GET "+Links+"{id}", d.Around(Links+"{id}", b.link))
	nothing := func(http.ResponseWriter, *http.Request) error {
		return door.Refuse(http.StatusNotFound, "not-found", "There is nothing at this path for this method.")
	}
	mux.HandleFunc(Prefix, d.Around(Prefix, nothing))
	mux.HandleFunc(Links, d.Around(Links, nothing))
	return mux
}

// stranger lets a request through that our own page has made. Whatever else a browser
// sends says so itself: no other page's script can write these headers.
func (b *Inbox) stranger(next door.Handler) door.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !door.OwnPage(r) {
			return door.Refuse(http.StatusForbidden, "origin", "Only the inbox's own page may ask this.")
		}
		if err := door.Limited(b.limits.asked, door.Guesser(r)); err != nil {
			return err
		}
		r.Body = http.MaxBytesReader(w, r.Body, largestBody)
		return next(w, r)
	}
}

// owner is stranger of somebody who is signed in.
func (b *Inbox) owner(next func(http.ResponseWriter, *http.Request, person) error) door.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !door.OwnPage(r) {
			return door.Refuse(http.StatusForbidden, "origin", "Only the inbox's own page may ask this.")
		}
		p, err := b.enter(w, r)
		if err != nil {
			return err
		}
		most := int64(largestBody)
		if r.URL.Path == Prefix+"v1/files" {
			most = b.o.Files.Max() + 1
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		return next(w, r, p)
	}
}

// maybe answers who has not signed in with nobody: a page asks so when it is opened, and
// that is no error.
func (b *Inbox) maybe(next door.Handler) door.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := next(w, r)
		var why *door.Refusal
		if r.URL.Query().Has("maybe") && errors.As(err, &why) && why.Code == "session" {
			return door.Answer(w, http.StatusOK, map[string]any{"number": ""})
		}
		return err
	}
}

func refusalOf(err error) *door.Refusal {
	var own *door.Refusal
	var tooMany *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &tooMany), errors.Is(err, files.ErrTooLarge):
		return door.Refuse(http.StatusRequestEntityTooLarge, "too-large", "That is too large.")
	case errors.Is(err, queue.ErrNotFound):
		return door.Refuse(http.StatusNotFound, "not-found", "There is no such thing here.")
	case errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrInboundFull), errors.Is(err, queue.ErrDiskFull), errors.Is(err, files.ErrFull):
		return door.Later(http.StatusServiceUnavailable, "full", "There is no room at the moment.", 30*time.Second)
	}
	return door.Later(http.StatusServiceUnavailable, "storage", "The hub's database did not answer as it should.", 10*time.Second)
}

// home is the page of all inboxes: whose it shows, the cookie says.
func (b *Inbox) home(w http.ResponseWriter, r *http.Request) error {
	return b.page(w, http.StatusOK, "inbox.html", map[string]any{"Name": b.o.Name(), "Region": b.o.Region()})
}

// asset serves what the page loads.
func (b *Inbox) asset(name, kind string, content []byte) door.Handler {
	if content == nil {
		var err error
		if content, err = assets.ReadFile("assets/" + name); err != nil {
			panic(err) // it is part of the program
		}
	}
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		h.Set("Content-Type", kind)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
		return nil
	}
}

// cut is the beginning of a text, in bytes, without half a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
