package inbox

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"strings"
	"time"

	"gatewayd/door"
	"gatewayd/files"
	"gatewayd/queue"
)

var pages = template.Must(template.New("").Funcs(template.FuncMap{"size": size}).ParseFS(assets, "assets/*.html"))

// slowest is how slow a download may be that is not cut off, in bytes a second.
const slowest = 2 << 10

// link is GET /f/{id}: the page of a file for whoever opens its link, and the file itself
// for everything that wants no page: pictures and films in pages, and programs.
func (b *Inbox) link(w http.ResponseWriter, r *http.Request) error {
	if err := door.Limited(b.limits.links, door.Guesser(r)); err != nil {
		return err
	}
	h := w.Header()
	h.Set("X-Robots-Tag", "noindex, nofollow, noarchive")
	h.Add("Vary", "Accept")
	paged := strings.Contains(r.Header.Get("Accept"), "text/html") && !r.URL.Query().Has("download") && !r.URL.Query().Has("raw")
	f, content, err := b.o.Files.Get(r.Context(), r.PathValue("id"))
	switch {
	case errors.Is(err, queue.ErrNotFound), errors.Is(err, files.ErrIncomplete):
		// Whether it comes yet, nobody can tell: the gateway that has it may be away.
		h.Set("Retry-After", "60")
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			return b.page(w, http.StatusNotFound, "file.html", map[string]any{"Missing": true, "Name": b.o.Name()})
		}
		return door.Refuse(http.StatusNotFound, "not-here", "This file is not here yet, or it was erased. Try again later.")
	case err != nil:
		return err
	}
	defer content.Close()
	if paged {
		return b.page(w, http.StatusOK, "file.html", map[string]any{"File": f, "Kind": files.Kind(f.Type), "Path": Links + f.ID, "Name": b.o.Name()})
	}
	how := "attachment"
	if files.Inline(f.Type) && !r.URL.Query().Has("download") {
		how = "inline"
	}
	named := mime.FormatMediaType(how, map[string]string{"filename": f.Name})
	if named == "" {
		named = how
	}
	h.Set("Content-Disposition", named)
	h.Set("Content-Type", f.Type)
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // a gateway's chat page may show it
	h.Set("Cache-Control", "private, max-age=600")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute + time.Duration(f.Size/slowest)*time.Second))
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

// page writes a page of ours.
func (b *Inbox) page(w http.ResponseWriter, status int, name string, data map[string]any) error {
	nonce := rand.Text()
	data["Nonce"], data["Base"] = nonce, Prefix
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, data); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Security-Policy", strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self' 'nonce-" + nonce + "'", "img-src 'self' blob:", "media-src 'self' blob:", "connect-src 'self'",
		"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
	}, "; "))
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, err := w.Write(body.Bytes())
	return err
}

// size is a size in words.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1_000_000:
		return fmt.Sprintf("%d KB", (n+500)/1000)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
