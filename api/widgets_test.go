package api

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"image"
	"image/png"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"gatewayd/sms"
)

func TestWidgetsThroughTheAPI(t *testing.T) {
	b := newBox(t, settings{})
	var made struct {
		ID, Key, Embed, Title string
		Version               int64
		Origins               []string
	}
	a := b.post("/v1/widgets", b.admin, `{"name":"Shop","origins":["https://www.example.org/"],"theme":{"accent":"#ABC"}}`).want(201).into(&made)
	if a.Header().Get("Location") != "/v1/widgets/"+made.ID || made.Title != "Chat by text" || made.Version != 1 || made.Origins[0] != "https://www.example.org" ||
		made.Embed != `<script src="http://example.com/widget/v1/embed.js" data-widget="`+made.ID+`" data-key="`+made.Key+`" async></script>` {
		t.Errorf("made: %+v", made)
	}
	b.happened("hi", &sms.Author{Kind: sms.AuthorVisitor, ID: "vis_1", Widget: made.ID}, "", "")
	var report struct{ Lines []struct{ ID, Name string } }
	if b.get("/v1/reports?by=widget").want(200).into(&report); len(report.Lines) != 1 || report.Lines[0].Name != "Shop" {
		t.Errorf("the report calls it %+v", report.Lines)
	}
	path := "/v1/widgets/" + made.ID
	as := bearer(b.admin)
	// What is not given stays, also within a part.
	var now struct {
		Theme   struct{ Accent, Font string }
		Title   string
		Version int64
		Key     string
	}
	b.ask("PATCH", path, as, `{"theme":{"font":"georgia"},"title":null}`).want(200).into(&now)
	if now.Theme.Accent != "#aabbcc" || now.Theme.Font != "georgia" || now.Title != "Chat by text" || now.Version != 2 {
		t.Errorf("changed: %+v", now)
	}
	b.ask("PATCH", path, as, `{"title":"","origins":["*"],"theme":{"accent":"red;"}}`).problem(invalidFields, "origins", "theme.accent", "title")
	b.ask("PATCH", path, as, `{"colour":"x"}`).problem(invalidFields, "colour")
	var versions struct {
		Versions []struct {
			Version int64
			By      struct{ Name string }
		}
	}
	if b.ask("GET", path+"/versions", as, "").want(200).into(&versions); len(versions.Versions) != 2 || versions.Versions[0].By.Name != "admin" {
		t.Errorf("versions: %+v", versions)
	}
	if b.ask("POST", path+"/versions/1/restore", as, "").want(200).into(&now); now.Version != 3 {
		t.Errorf("after going back: %+v", now)
	}
	b.ask("POST", path+"/versions/99/restore", as, "").problem(notFound)
	before := now.Key
	if b.ask("POST", path+"/rotate", as, "").want(200).into(&now); now.Key == before {
		t.Error("the key is the same")
	}
	b.ask("POST", path+"/rotate", as, `{"overlap":"999h"}`).problem(invalidFields, "overlap")

	b.ask("PATCH", "/v1/widgets/common", as, `{"banner":{"text":"Closed on Monday"},"override":true}`).want(200)
	b.ask("PATCH", "/v1/widgets/common", as, `{"banner":{"text":""}}`).want(200)
	b.ask("POST", "/v1/widgets/common/versions/1/restore", as, "").want(200)
	var common struct {
		Override bool
		Banner   struct{ Text string }
		Version  int64
	}
	if b.ask("GET", "/v1/widgets/common", as, "").want(200).into(&common); !common.Override || common.Banner.Text != "Closed on Monday" || common.Version != 3 {
		t.Errorf("common: %+v", common)
	}
	b.ask("GET", "/v1/widgets/common/versions", as, "").want(200)

	var file strings.Builder
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, 4, 4))); err != nil {
		t.Fatal(err)
	}
	data := base64.StdEncoding.EncodeToString([]byte(file.String()))
	var picture struct{ ID, URL string }
	b.post("/v1/widgets/images", b.admin, `{"name":"a.png","data":"`+data+`"}`).want(201).into(&picture)
	b.post("/v1/widgets/images", b.admin, `{"data":"aGVsbG8="}`).problem(invalidFields, "data")
	b.ask("PATCH", path, as, `{"theme":{"logo":"`+picture.ID+`"}}`).want(200)
	b.ask("DELETE", "/v1/widgets/images/"+picture.ID, as, "").problem(conflict)
	b.ask("PATCH", path, as, `{"theme":{"logo":""}}`).want(200)
	b.ask("DELETE", "/v1/widgets/images/"+picture.ID, as, "").want(204)
	b.ask("GET", "/v1/widgets/images", as, "").want(200)

	b.ask("DELETE", path, as, "").want(204)
	b.ask("GET", path, as, "").problem(notFound)
	b.ask("GET", path+"/versions", as, "").problem(notFound)
	if got := b.ask("GET", "/v1/widgets", as, "").want(200).Body.String(); strings.TrimSpace(got) != `{"widgets":[]}` {
		t.Errorf("after deleting: %s", got)
	}
}

// What owners type is text on the admin's page, which is as strict as all others.
func TestPageOfTheWidgets(t *testing.T) {
	b := newBox(t, settings{})
	nasty := `"><script>alert(1)</script><img src=x onerror=alert(2)>`
	body, err := json.Marshal(map[string]any{"name": nasty, "title": nasty, "welcome": "</textarea>" + nasty, "terms": map[string]any{"text": "</textarea>" + nasty},
		"banner": map[string]any{"text": nasty}, "area": map[string]any{"text": nasty}, "origins": []string{"https://www.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ ID, Key, Embed string }
	b.post("/v1/widgets", b.admin, string(body)).want(201).into(&made)
	b.ask("PATCH", "/v1/widgets/"+made.ID, bearer(b.admin), `{"characters":100}`).want(200)
	as := bearer(b.admin)
	for path, wants := range map[string][]string{
		"/widgets": {nasty, "https://www.example.org"}, "/widgets?widget=" + made.ID: {nasty, made.Embed, "Go back to 1", "by admin"},
		"/widgets?widget=new": {"Make the widget"}, "/widgets?widget=common": {"This theme counts more"},
	} {
		page := b.ask("GET", path, as, "").want(200).Body.String()
		for _, want := range wants {
			if !strings.Contains(html.UnescapeString(page), want) {
				t.Errorf("%s lacks %q", path, want)
			}
		}
		for _, bad := range []string{"<script>alert", "<img src=x", "ZgotmplZ", " style=", "<style", " onclick"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
		for _, script := range regexp.MustCompile(`<script[^>]*>(.*)`).FindAllStringSubmatch(page, -1) {
			if !strings.HasPrefix(script[1], "</script>") {
				t.Errorf("%s: an inline script: %s", path, script[0])
			}
		}
	}
	b.ask("GET", "/widgets?widget=wgt_x", as, "").problem(notFound)

	form := func() header {
		return as.with("Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")
	}
	a := b.ask("POST", "/widgets/preview", form(), url.Values{"settings": {string(body)}}.Encode()).want(200)
	if policy := a.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'self'") || strings.Contains(policy, "allow-same-origin") || strings.Contains(a.Body.String(), "<img src=x") {
		t.Errorf("the preview: %s\n%s", policy, a.Body)
	}
	a = b.ask("POST", "/widgets/preview", form(), url.Values{"common": {"yes"}, "settings": {`{"theme":{"accent":"teal"}}`}}.Encode()).want(200)
	if !strings.Contains(a.Body.String(), "--accent:#008080") {
		t.Errorf("the preview of what all have: %s", a.Body)
	}
	if a = b.ask("POST", "/widgets/preview", form(), url.Values{"settings": {`{"name":"x","theme":{"accent":"url(x)"}}`}}.Encode()).want(200); !strings.Contains(a.Body.String(), "theme.accent") {
		t.Errorf("the preview of a mistake: %s", a.Body)
	}
	b.ask("POST", "/widgets/preview", form().with("Accept", "application/json"), url.Values{"settings": {`{"characters":"many"}`}}.Encode()).problem(badRequest)
}
