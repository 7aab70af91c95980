package sim

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed pages
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"clock": func(t time.Time) string { return t.Format("15:04") },
	"stamp": func(t time.Time) string { return t.Format(time.RFC3339) },
}).ParseFS(files, "pages/*.html"))

// shownMessages is how many of a handset's messages its page shows.
const shownMessages = 200

// Handler serves the pages of handsets and modems under NetworkOptions.Base,
// and the same as JSON. Whoever may see it may write as any handset: mount it
// behind a sign-in.
func (n *Network) Handler() http.Handler {
	mux := http.NewServeMux()
	base := n.opt.Base
	mux.HandleFunc("GET "+base+"{$}", func(w http.ResponseWriter, r *http.Request) { n.index(w, http.StatusOK, "") })
	mux.HandleFunc("POST "+base+"{$}", n.openHandset)
	mux.HandleFunc("GET "+base+"events", func(w http.ResponseWriter, r *http.Request) {
		n.stream(w, r, "list", func() any { return n.indexPage("") })
	})
	mux.HandleFunc("GET "+base+"{number}/{$}", n.withHandset(func(w http.ResponseWriter, r *http.Request, h *Handset) {
		n.handset(w, http.StatusOK, h, handsetPage{})
	}))
	mux.HandleFunc("POST "+base+"{number}/{$}", n.withHandset(n.answer))
	mux.HandleFunc("GET "+base+"{number}/{what}", func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("what") {
		case "events":
			n.withHandset(func(w http.ResponseWriter, r *http.Request, h *Handset) {
				n.stream(w, r, "messages", func() any { return n.handsetPage(h, handsetPage{}) })
			})(w, r)
		case "messages":
			n.listMessages(w, r)
		default:
			http.NotFound(w, r)
		}
	})
	n.modemPages(mux)
	n.api(mux)
	for name, kind := range map[string]string{"style.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		mux.HandleFunc("GET "+base+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			http.ServeFileFS(w, r, files, "pages/"+name)
		})
	}
	return http.NewCrossOriginProtection().Handler(guarded(mux))
}

// guarded sets the headers that every answer has.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

type indexPage struct {
	Handsets []handsetLine
	Modems   []ModemStatus
	Error    string
}

type handsetLine struct {
	*Handset
	Last *Message
}

func (n *Network) indexPage(problem string) indexPage {
	page := indexPage{Modems: n.statuses(), Error: problem}
	for _, h := range n.Handsets() {
		line := handsetLine{Handset: h}
		if m := h.Messages(); len(m) > 0 {
			line.Last = &m[len(m)-1]
		}
		page.Handsets = append(page.Handsets, line)
	}
	return page
}

func (n *Network) index(w http.ResponseWriter, status int, problem string) {
	render(w, status, "index.html", n.indexPage(problem))
}

func (n *Network) openHandset(w http.ResponseWriter, r *http.Request) {
	if !readForm(w, r) {
		return
	}
	number := strings.TrimSpace(r.PostFormValue("number"))
	h := n.Handset(number)
	if h == nil {
		n.index(w, http.StatusUnprocessableEntity,
			fmt.Sprintf("%q can't be a handset: it takes a number like +491701234567 or 12345 that no modem has.", number))
		return
	}
	seeOther(w, "./"+h.Number()+"/")
}

type handsetPage struct {
	*Handset
	Messages []Message
	Modems   []ModemStatus
	Specials []Special
	To       string // whom the answer is for
	As       string // one of Specials
	Draft    string
	Error    string
	Fate     fateForm
}

// handsetPage fills in what p does not say.
func (n *Network) handsetPage(h *Handset, p handsetPage) handsetPage {
	p.Handset, p.Modems, p.Specials = h, n.statuses(), Specials
	if p.Fate.Error == "" {
		p.Fate = fateFormOf(n.Fate(h.number))
	}
	p.Messages = h.Messages()
	if len(p.Messages) > shownMessages {
		p.Messages = p.Messages[len(p.Messages)-shownMessages:]
	}
	if p.To == "" {
		if len(p.Messages) > 0 {
			p.To = p.Messages[len(p.Messages)-1].Peer
		} else if len(p.Modems) > 0 {
			p.To = p.Modems[0].SIM.Number
		}
	}
	return p
}

func (n *Network) handset(w http.ResponseWriter, status int, h *Handset, p handsetPage) {
	render(w, status, "handset.html", n.handsetPage(h, p))
}

func (n *Network) withHandset(f func(http.ResponseWriter, *http.Request, *Handset)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := n.existing(r.PathValue("number")) // looking must not make one
		if h == nil {
			http.Error(w, "There is no such handset. Open it on the page of all handsets.", http.StatusNotFound)
			return
		}
		f(w, r, h)
	}
}

// answer is the form of a handset's page: a text, or the power button.
func (n *Network) answer(w http.ResponseWriter, r *http.Request, h *Handset) {
	if !readForm(w, r) {
		return
	}
	if power := r.PostFormValue("power"); power != "" {
		h.SetOn(power == "on")
		seeOther(w, "./")
		return
	}
	if r.PostForm.Has("fate") {
		form := fateForm{Kind: r.PostFormValue("fate"), Code: r.PostFormValue("code"), As: r.PostFormValue("report_as")}
		fate, err := form.fate()
		if err != nil {
			form.Error = "Not set: " + err.Error() + "."
			n.handset(w, http.StatusUnprocessableEntity, h, handsetPage{Fate: form})
			return
		}
		n.SetFate(h.number, fate)
		seeOther(w, "./")
		return
	}
	to, as, text := strings.TrimSpace(r.PostFormValue("to")), r.PostFormValue("as"), strings.ReplaceAll(r.PostFormValue("text"), "\r\n", "\n")
	if err := h.SendSpecial(to, as, text); err != nil {
		n.handset(w, http.StatusUnprocessableEntity, h, handsetPage{To: to, As: as, Draft: text, Error: "Not sent: " + err.Error() + "."})
		return
	}
	seeOther(w, "./")
}

func readForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "The form can't be read: "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

// seeOther redirects relative to where the browser is, so that a proxy in
// front may mount the pages anywhere.
func seeOther(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

func render(w http.ResponseWriter, status int, name string, page any) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, page); err != nil {
		http.Error(w, "The page can't be shown: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader may be gone
}

// existing returns a handset that is there already.
func (n *Network) existing(number string) *Handset {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.handsets[n.normal(number)]
}

const (
	heartbeat = 15 * time.Second       // keeps idle streams from being taken for dead
	pause     = 100 * time.Millisecond // between two pictures of a busy page
)

// stream sends the live part of a page, rendered, at once and whenever it
// has become another.
func (n *Network) stream(w http.ResponseWriter, r *http.Request, name string, page func() any) {
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{}) // not every server has one to lift
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	calm := time.NewTimer(pause)
	defer calm.Stop()
	var last string
	for {
		changed := n.Changed()
		var b bytes.Buffer
		if err := templates.ExecuteTemplate(&b, name, page()); err != nil {
			return
		}
		if now := b.String(); now != last {
			last = now
			if _, err := fmt.Fprintf(w, "event: live\ndata: %s\n\n", strings.ReplaceAll(now, "\n", "\ndata: ")); err != nil {
				return
			}
		}
		if control.Flush() != nil || n.isClosed() {
			return
		}
		calm.Reset(pause)
		select {
		case <-calm.C:
		case <-r.Context().Done():
			return
		}
		select {
		case <-changed:
		case <-beat.C:
			if _, err := fmt.Fprint(w, ":\n\n"); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

func (n *Network) isClosed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}
