package widget

import (
	"bytes"
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"gatewayd/captcha"
	"gatewayd/chat"
	"gatewayd/door"
	"gatewayd/queue"
)

//go:embed assets
var assetFiles embed.FS

// largestBody of what visitors send: a name, a number and a text.
const largestBody = 16 << 10

// routes are what strangers reach. What stands here has no key and no session: the
// table of api, with its scopes, is another door.
func (w *Widgets) routes() http.Handler {
	d := door.Door{Headers: door.Headers(), RefusalOf: w.refusalOf, Broken: "The gateway's log has the details.", Count: w.o.Count, Log: w.log}
	mux := http.NewServeMux()
	at := func(method, path string, h door.Handler) {
		route := Prefix + "v1/" + path
		mux.HandleFunc(method+" "+route, d.Around(route, h))
	}
	at("GET", "embed.js", w.script("embed.js", nil))
	at("GET", "frame.js", w.script("frame.js", nil))
	at("GET", "count.js", w.script("count.js", nil))
	at("GET", "solve.js", w.script("solve.js", captcha.Solver))
	at("GET", "frame.css", w.script("frame.css", nil))
	at("GET", "image/{id}", w.image)
	at("GET", "ticket", w.giveTicket)
	at("GET", "frame", w.frame)
	at("POST", "puzzle", w.inFrame(w.puzzle))
	at("POST", "prove", w.inFrame(w.prove))
	at("POST", "start", w.inFrame(w.start))
	at("GET", "chat", w.inFrame(w.showChat))
	at("POST", "messages", w.inFrame(w.send))
	at("POST", "invite", w.inFrame(w.invite))
	at("POST", "end", w.inFrame(w.end))
	at("GET", "events", w.inFrame(w.events))
	mux.HandleFunc(Prefix, d.Around(Prefix, func(http.ResponseWriter, *http.Request) error {
		return door.Refuse(http.StatusNotFound, "not-found", "There is nothing at this path for this method.")
	}))
	return mux
}

func (w *Widgets) refusalOf(err error) *door.Refusal {
	var own *door.Refusal
	var said *chat.Error
	var tooMany *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &said):
		return refusalOfChat(said)
	case errors.As(err, &tooMany):
		return door.Refuse(http.StatusRequestEntityTooLarge, "too-long", "The body is larger than %d bytes.", tooMany.Limit)
	case errors.Is(err, queue.ErrNotFound):
		return door.Refuse(http.StatusNotFound, "not-found", "There is no such thing here.")
	case errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrDiskFull):
		return door.Later(http.StatusServiceUnavailable, "full", "The gateway takes no more messages at the moment.", 30*time.Second)
	}
	return door.Later(http.StatusServiceUnavailable, "storage", "The gateway's database did not answer as it should.", 10*time.Second)
}

// script serves a file that pages everywhere load. It is the same for everybody, so it
// may be read by all of them: a frame in the preview has no origin of its own.
func (w *Widgets) script(name string, content []byte) door.Handler {
	if content == nil {
		var err error
		if content, err = fs.ReadFile(assetFiles, "assets/"+name); err != nil {
			panic(err) // it is part of the program
		}
	}
	tag := etag(content)
	return func(rw http.ResponseWriter, r *http.Request) error {
		h := rw.Header()
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cache-Control", "public, max-age=300") // an upgrade shows soon, without a new line in anybody's page
		h.Set("ETag", tag)
		kind := "text/javascript; charset=utf-8"
		if strings.HasSuffix(name, ".css") {
			kind = "text/css; charset=utf-8"
		}
		h.Set("Content-Type", kind)
		http.ServeContent(rw, r, name, time.Time{}, bytes.NewReader(content))
		return nil
	}
}

// image serves a picture. Its id is made of what is in it, so it never changes.
func (w *Widgets) image(rw http.ResponseWriter, r *http.Request) error {
	kind, data, err := w.picture(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	h := rw.Header()
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", "inline")
	http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(data))
	return nil
}

// asks finds the widget that a request names, if its key is right. Who names a wrong one
// learns nothing: not even whether there is such a widget.
func (w *Widgets) asks(r *http.Request) (one Widget, l look, err error) {
	wait := w.asked.Take(door.Guesser(r))
	if wait > 0 {
		return one, l, door.Later(http.StatusTooManyRequests, "limit", "Too many requests came from this address.", wait)
	}
	q := r.URL.Query()
	one, l, err = w.current(r.Context(), q.Get("widget"))
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return one, l, err
	}
	if err != nil || !one.takes(q.Get("key"), w.o.Now()) {
		return one, l, door.Refuse(http.StatusForbidden, "widget", "There is no such widget, or this is not its key.")
	}
	return one, l, nil
}

// giveTicket is GET ticket: a page asks, by the script that it has embedded, for a
// ticket and for what the button looks like. It is the one place that another origin
// may read, and only if it is listed.
func (w *Widgets) giveTicket(rw http.ResponseWriter, r *http.Request) error {
	rw.Header().Add("Vary", "Origin")
	one, l, err := w.asks(r)
	if err != nil {
		return err
	}
	site := r.Header.Get("Origin")
	if !one.allows(site) {
		return door.Refuse(http.StatusForbidden, "origin", "Pages of the origin %q may not have this widget: its owner lists those that may.", cut(site, 200))
	}
	if door.Ours(site, r) {
		return door.Refuse(http.StatusForbidden, "origin", "Pages of the gateway itself can't have a widget: it would not be separate from them.")
	}
	h := rw.Header()
	h.Set("Access-Control-Allow-Origin", site)
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if !one.Enabled {
		return door.Answer(rw, http.StatusOK, map[string]any{"enabled": false})
	}
	return door.Answer(rw, http.StatusOK, map[string]any{
		"enabled": true, "title": l.Title, "open": l.Words["open"], "close": l.Words["close"], "language": l.Language, "side": l.Side,
		"accent": l.Style["--accent"], "on_accent": l.Style["--on-accent"], "font": l.Style["--font"], "corners": l.Style["--corners"],
		"ticket": w.sign(ticket{one.ID, site, w.o.Now().Add(ticketLife).Unix()}),
	})
}

// inFrame lets a request through that a frame of ours has made. Whatever else a
// browser sends says so itself: no other page's script can write these headers.
func (w *Widgets) inFrame(next door.Handler) door.Handler {
	return func(rw http.ResponseWriter, r *http.Request) error {
		if !door.OwnPage(r) {
			return door.Refuse(http.StatusForbidden, "origin", "Only the widget's own frame may ask this.")
		}
		r.Body = http.MaxBytesReader(rw, r.Body, largestBody)
		return next(rw, r)
	}
}

func cut(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
