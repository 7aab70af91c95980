package sim

import (
	"bufio"
	"context"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// browser asks the pages of a network as a browser does.
type browser struct {
	t *testing.T
	*httptest.Server
}

func browse(t *testing.T, o NetworkOptions) (*Network, *Modem, *browser) {
	t.Helper()
	n := NewNetwork(o)
	m := n.AddModem(ModemOptions{Name: "office"})
	s := httptest.NewServer(n.Handler())
	t.Cleanup(func() {
		n.Close() // ends the streams, which the server waits for
		s.Close()
	})
	return n, m, &browser{t, s}
}

func (b *browser) do(r *http.Request) (*http.Response, string) {
	b.t.Helper()
	resp, err := b.Client().Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(body)
}

// shows is what a page's HTML shows of a text.
func shows(body, words string) bool { return strings.Contains(html.UnescapeString(body), words) }

func (b *browser) get(path string) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), "GET", b.URL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

func (b *browser) post(path string, form url.Values, headers ...string) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), "POST", b.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return b.do(r)
}

func TestPagesWithoutJavaScript(t *testing.T) {
	n, m, b := browse(t, NetworkOptions{})
	resp, body := b.get("/handsets/")
	if resp.StatusCode != 200 || !strings.Contains(body, "Simulated") || !shows(body, m.Number()) {
		t.Fatalf("%d\n%s", resp.StatusCode, body)
	}
	// Opening redirects, relative, to the handset's page, which the client follows.
	resp, body = b.post("/handsets/", url.Values{"number": {" +491701234567 "}})
	if got := resp.Request.URL.Path; resp.StatusCode != 200 || got != "/handsets/+491701234567/" {
		t.Fatalf("%d at %s\n%s", resp.StatusCode, got, body)
	}
	if !strings.Contains(body, "Simulated phone") || !strings.Contains(body, "No messages yet") {
		t.Fatalf("the page says\n%s", body)
	}
	_, body = b.post("/handsets/+491701234567/", url.Values{"to": {m.Number()}, "text": {"<b>Hi</b>\r\nمرحبا"}})
	if !strings.Contains(body, "&lt;b&gt;Hi&lt;/b&gt;\nمرحبا") {
		t.Fatalf("the answer is not shown:\n%s", body)
	}
	h := n.Handset("+491701234567")
	if err := h.Wait(t.Context(), func(all []Message) bool { return len(all) == 1 && all[0].Delivered }); err != nil {
		t.Fatal(err)
	}
	if len(m.Stored("SM")) != 1 {
		t.Fatal("the modem did not get it")
	}
}

func TestPageMistakes(t *testing.T) {
	_, m, b := browse(t, NetworkOptions{})
	b.post("/handsets/", url.Values{"number": {"12345"}})
	for _, c := range []struct {
		path   string
		form   url.Values
		status int
		says   string
	}{
		{"/handsets/", url.Values{"number": {"help"}}, 422, "can&#39;t be a handset"},
		{"/handsets/", url.Values{"number": {m.Number()}}, 422, "can&#39;t be a handset"},
		{"/handsets/12345/", url.Values{"to": {"nobody"}, "text": {"kept draft"}}, 422, "kept draft"},
		{"/handsets/12345/", url.Values{"to": {m.Number()}, "text": {""}}, 422, "the text is empty"},
		{"/handsets/999/", url.Values{"to": {m.Number()}, "text": {"x"}}, 404, "no such handset"},
		{"/handsets/12345/", url.Values{"to": {m.Number()}, "text": {strings.Repeat("x", 70<<10)}}, 400, "too large"},
	} {
		resp, body := b.post(c.path, c.form)
		if resp.StatusCode != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %.60v: %d\n%s", c.path, c.form, resp.StatusCode, body)
		}
	}
	if resp, _ := b.get("/handsets/+4917099999/"); resp.StatusCode != 404 {
		t.Errorf("looking at a handset that is not there: %d", resp.StatusCode)
	}
}

func TestPagesRefuseOtherSites(t *testing.T) {
	n, m, b := browse(t, NetworkOptions{})
	n.Handset("12345")
	form := url.Values{"to": {m.Number()}, "text": {"forged"}}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		if resp, _ := b.post("/handsets/12345/", form, header...); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%v: %d", header, resp.StatusCode)
		}
	}
	if len(n.Handset("12345").Messages()) != 0 {
		t.Error("a forged text was sent")
	}
	if resp, _ := b.post("/handsets/12345/", form, "Sec-Fetch-Site", "same-origin"); resp.StatusCode != 200 {
		t.Errorf("from the page itself: %d", resp.StatusCode)
	}
}

// Nothing but the page's own files may be needed, and a policy says so.
func TestPagesStandAlone(t *testing.T) {
	n, m, b := browse(t, NetworkOptions{Base: "deep/phones"})
	if err := n.Handset("12345").Send(m.Number(), "x"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/deep/phones/", "/deep/phones/12345/", "/deep/phones/style.css", "/deep/phones/live.js"} {
		resp, body := b.get(path)
		if resp.StatusCode != 200 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'self'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		for _, never := range []string{"http:", "https:", "style=", "<style", "onclick", `href="/`, `src="/`, `action="/`} {
			if strings.Contains(body, never) {
				t.Errorf("%s has %q in it", path, never)
			}
		}
		if strings.Contains(body, "<script>") {
			t.Errorf("%s has a script in it", path)
		}
	}
}

func TestPageIsLive(t *testing.T) {
	n, m, b := browse(t, NetworkOptions{})
	h := n.Handset("+491701234567")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", b.URL+"/handsets/+491701234567/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	until := func(part string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), part) {
				return
			}
		}
		t.Fatalf("the stream ended before %q: %v", part, lines.Err())
	}
	until("No messages yet")
	if err := h.Send(m.Number(), "first & last"); err != nil {
		t.Fatal(err)
	}
	until("first &amp; last")
	until("delivered")
	n.Close()
	for lines.Scan() { // the stream must end now
	}
}
