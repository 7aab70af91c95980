package api

import (
	"encoding/json"
	"html"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Everything that the chat page names is there, nothing stands inline, and what the page
// is told of its reader is what the reader may.
func TestChatPage(t *testing.T) {
	b := newBox(t, settings{})
	page := b.ask("GET", "/chat", bearer(b.admin), "").want(200).Body.String()
	for _, want := range []string{` data-send data-admin `, `data-unicode="allow"`, `<a href="/chat" aria-current="page">Chat</a>`, `<noscript>`, `href="/messages"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, bad := range []string{" style=", "<style", " onclick", "javascript:", "http://", "https://"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, m := range regexp.MustCompile(`(?:href|src)="(/assets/[^"]+|/manifest[^"]+)"`).FindAllStringSubmatch(page, -1) {
		b.ask("GET", m[1], nil, "").want(200)
	}
	reader := b.ask("GET", "/chat", bearer(b.read), "").want(200).Body.String()
	if strings.Contains(reader, "data-send") || strings.Contains(reader, "data-admin") || strings.Contains(reader, `data-act="new"`) {
		t.Error("who may only read is told that he may send")
	}
	b.ask("GET", "/chat/conv_01KB2N8Q7R5V3W1X9Y8Z7A6B5C", bearer(b.read), "").want(200)
	b.ask("GET", "/chat/other", bearer(b.read), "").want(404)
	b.ask("GET", "/chat", bearer(b.send), "").want(403)
}

// The script names its modules, and the page has a browser fetch all of them at once.
func TestChatModulesAreAllNamed(t *testing.T) {
	imported := map[string]bool{}
	for _, name := range append([]string{"chat.js"}, chatModules...) {
		script, err := fs.ReadFile(assetFiles, "assets/"+name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`from '\./([^']+)'`).FindAllSubmatch(script, -1) {
			imported[string(m[1])] = true
		}
		// Names and texts are text: nothing in it makes HTML of a string.
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"} {
			if strings.Contains(string(script), bad) {
				t.Errorf("%s has %s", name, bad)
			}
		}
	}
	for _, name := range chatModules {
		if !imported[name] {
			t.Errorf("%s is preloaded and imported by none", name)
		}
		delete(imported, name)
	}
	for name := range imported {
		t.Errorf("%s is imported and not preloaded", name)
	}
}

// What makes an app of the page: the manifest, its icons, and a worker that may act for
// the chat and keeps nothing but what is the same for everybody.
func TestChatIsAnApp(t *testing.T) {
	b := newBox(t, settings{})
	a := b.ask("GET", "/manifest.webmanifest", nil, "").want(200)
	if got := a.Header().Get("Content-Type"); got != "application/manifest+json" {
		t.Errorf("the manifest is %s", got)
	}
	var manifest struct {
		StartURL string `json:"start_url"`
		Scope    string
		Icons    []struct{ Src, Sizes, Type, Purpose string }
	}
	if err := json.Unmarshal(a.Body.Bytes(), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.StartURL != "/chat" || manifest.Scope != "/chat" {
		t.Errorf("it starts at %s within %s", manifest.StartURL, manifest.Scope)
	}
	var kinds []string
	for _, icon := range manifest.Icons {
		kinds = append(kinds, icon.Sizes+" "+icon.Purpose)
		if got := b.ask("GET", icon.Src, nil, "").want(200).Header().Get("Content-Type"); got != icon.Type {
			t.Errorf("%s is %s, not %s", icon.Src, got, icon.Type)
		}
	}
	for _, want := range []string{"192x192 ", "512x512 ", "512x512 maskable"} {
		if !slices.Contains(kinds, want) {
			t.Errorf("there is no icon of %s", want)
		}
	}
	a = b.ask("GET", "/sw.js", nil, "").want(200)
	if got := a.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/javascript") {
		t.Errorf("the worker is %s", got)
	}
	shell := regexp.MustCompile(`(?s)const shell = \[(.*?)\]`).FindStringSubmatch(a.Body.String())
	if shell == nil {
		t.Fatal("the worker keeps nothing")
	}
	for _, m := range regexp.MustCompile(`'(/[^']+)'`).FindAllStringSubmatch(shell[1], -1) {
		if !strings.HasPrefix(m[1], "/assets/") {
			t.Errorf("it keeps %s", m[1])
		}
		b.ask("GET", m[1], nil, "").want(200)
	}
	b.ask("GET", "/chat/away", nil, "").want(200)
}

func TestChatTerms(t *testing.T) {
	b := newBox(t, settings{})
	text := func(key string) string {
		return html.UnescapeString(b.ask("GET", "/chat/terms", bearer(key), "").want(200).Body.String())
	}
	if page := text(b.read); !strings.Contains(page, "has written no terms") || strings.Contains(page, "<form class=\"card\"") {
		t.Errorf("the default terms: %s", page)
	}
	form := bearer(b.admin).with("Content-Type", "application/x-www-form-urlencoded")
	b.ask("POST", "/chat/terms", form, url.Values{"terms": {"Be kind.\r\n<b>Always.</b>"}}.Encode()).want(200)
	if page := b.ask("GET", "/chat/terms", bearer(b.read), "").Body.String(); !strings.Contains(page, "Be kind.\n&lt;b&gt;Always.") || strings.Contains(page, "has written no terms") {
		t.Errorf("the owner's terms: %s", page)
	}
	b.ask("POST", "/chat/terms", form, url.Values{"terms": {""}}.Encode()).want(200)
	if page := text(b.read); !strings.Contains(page, "has written no terms") {
		t.Error("the default terms don't come back")
	}
	for path, want := range map[string]string{"/chat/help": "delivered", "/chat/about": "Apache License"} {
		if page := b.get(path).want(200).Body.String(); !strings.Contains(page, want) {
			t.Errorf("%s lacks %q", path, want)
		}
	}
}
