package inbox

import (
	"fmt"
	"strings"
	"testing"

	"gatewayd/mirror"
	"gatewayd/sms"
)

func TestLinksRunNothing(t *testing.T) {
	r := newRig(t)
	b := r.browser()
	b.header = nil
	put := func(name, stated, content string) string {
		t.Helper()
		f, err := r.files.Put(ctx, name, stated, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		return f.ID
	}
	for _, c := range []struct{ name, stated, content, how string }{
		{"x.html", "text/html", "<script>alert(1)</script>", "attachment"},
		{"x.svg", "image/svg+xml", "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "attachment"},
		{"x.pdf", "application/pdf", "%PDF-1.4", "attachment"},
		{"x.png", "image/png", "\x89PNG\r\n\x1a\n", "inline"},
		{"x.png", "image/png", "<html><script>", "attachment"},
	} {
		id := put(c.name, c.stated, c.content)
		a := b.ask("GET", "/f/"+id, nil).want(200)
		h := a.Header()
		if how, _, _ := strings.Cut(h.Get("Content-Disposition"), ";"); how != c.how {
			t.Errorf("%s, %q: %s", c.name, c.content, h.Get("Content-Disposition"))
		}
		if h.Get("Content-Security-Policy") != "sandbox; default-src 'none'" || !strings.Contains(h.Get("X-Robots-Tag"), "noindex") || a.Body.String() != c.content {
			t.Errorf("%s: %v", c.name, h)
		}
		if how := b.ask("GET", "/f/"+id+"?download", nil).want(200).Header().Get("Content-Disposition"); !strings.HasPrefix(how, "attachment") {
			t.Errorf("%s as a download: %s", c.name, how)
		}
	}
	b.header = map[string]string{"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Site": "none"}
	page := b.ask("GET", "/f/"+put(`"><script>alert(1)</script>.png`, "", "\x89PNG\r\n\x1a\n"), nil).want(200)
	if s := page.Body.String(); strings.Contains(s, "<script") || !strings.Contains(s, "<img") || !strings.Contains(s, "?download") {
		t.Errorf("the page is %s", s)
	}
	if p := page.Header().Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") {
		t.Errorf("its policy is %s", p)
	}
	missing := b.ask("GET", "/f/"+strings.Repeat("a", 26), nil).want(404)
	if !strings.Contains(missing.Body.String(), "not here yet") || missing.Header().Get("Retry-After") == "" {
		t.Errorf("of what is missing: %s", missing.Body)
	}
	b.header = map[string]string{"Range": "bytes=0-3"}
	if got := b.ask("GET", "/f/"+put("film.mp4", "", "\x00\x00\x00\x18ftypmp42...."), nil).want(206).Body.Len(); got != 4 {
		t.Errorf("a range has %d bytes", got)
	}
	for range 400 {
		if b.ask("GET", "/f/"+strings.Repeat("a", 26), nil).Code == 429 {
			return
		}
	}
	t.Error("links may be guessed without end")
}

// Whatever a gateway tells, an inbox takes it or not, and never twice.
func FuzzDelivered(f *testing.F) {
	r := newRig(f)
	b := r.signedIn(phone, "Bob")
	f.Add("msg_1", phone, "Ann", "", "text", "f", int64(1))
	f.Add("", "", "", "\x00", "\xff", "../x", int64(-1))
	n := 0
	f.Fuzz(func(t *testing.T, id, to, name, subject, text, file string, size int64) {
		r.t = t
		n++ // its answer is kept for ever, and the next input may be for somebody else
		id += fmt.Sprint(n)
		m := mirror.Inbox{ID: id, To: to, Name: name, Subject: subject, Text: text, Files: []sms.File{{ID: file, Name: name, Type: text, Size: size}}}
		_ = r.Chunk("north", mirror.Chunk{File: m.Files[0], Offset: size - 1, Data: []byte(text)})
		first := r.tells("north", m)
		if second := r.tells("north", m); second != first || first == "" {
			t.Errorf("%q, then %q", first, second)
		}
		if first == sms.CopySent && to != phone {
			t.Errorf("%q has no inbox, and got it", to)
		}
		b.limits.said.Return(phone)
		b.list("")
	})
}
