package widget

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/color/palette"
	"image/gif"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gatewayd/db"
)

func TestVersions(t *testing.T) {
	r := newRig(t, 1)
	one := r.make()
	for _, title := range []string{"Second", "Third", "Third"} { // what stays as it is makes none
		var err error
		if one, err = r.Change(ctx, one.ID, By{"usr_2", "Eve"}, func(s *Settings) error { s.Title = title; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	back, err := r.GoBack(ctx, one.ID, 1, admin)
	if err != nil || back.Title != "Chat by text" || back.Version != 4 {
		t.Fatalf("%v: %+v", err, back)
	}
	all, err := r.Versions(ctx, one.ID)
	if err != nil || len(all) != 4 || all[0].Version != 4 || *all[0].BroughtBy != 1 || all[0].By != admin || all[1].By.Name != "Eve" || all[1].BroughtBy != nil || !all[1].At.Equal(r.now) {
		t.Fatalf("%v: %+v", err, all)
	}
	var then Settings
	if err := json.Unmarshal(all[2].Settings, &then); err != nil || then.Title != "Second" {
		t.Errorf("%v: version 2 was %+v", err, then)
	}
	if _, err := r.GoBack(ctx, one.ID, 9, admin); !errors.Is(err, ErrNotFound) {
		t.Errorf("version 9: %v", err)
	}
	if _, err := r.Change(ctx, one.ID, admin, func(s *Settings) error { s.Title = ""; return nil }); !errors.As(err, new(Wrong)) {
		t.Errorf("no title: %v", err)
	}
	if now, err := r.Get(ctx, one.ID); err != nil || now.Version != 4 {
		t.Errorf("a change that was refused left %+v, %v", now, err)
	}
}

// What all widgets have reaches each of them, under or over its own theme.
func TestWhatAllHave(t *testing.T) {
	r := newRig(t, 1)
	one := r.make(func(s *Settings) { s.Theme.Accent = "#112233"; s.Banner.Text = "Mine" })
	common := func(change func(*Common)) look {
		t.Helper()
		if _, _, err := r.ChangeCommon(ctx, admin, func(c *Common) error { change(c); return nil }); err != nil {
			t.Fatal(err)
		}
		_, l, err := r.current(ctx, one.ID)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	before := common(func(*Common) {}).Version
	l := common(func(c *Common) {
		c.Theme = Theme{Accent: "red", Bubble: "#eeeeee"}
		c.Banner = Banner{Text: "Ours", Link: "https://example.com/x"}
	})
	if l.Style["--accent"] != "#112233" || l.Style["--bubble"] != "#eeeeee" || len(l.Banners) != 2 || l.Banners[0].Text != "Ours" || l.Version == before {
		t.Errorf("beside its own: %+v", l)
	}
	if l = common(func(c *Common) { c.Override = true }); l.Style["--accent"] != "#ff0000" {
		t.Errorf("over its own: %v", l.Style)
	}
	if _, version, err := r.GoBackCommon(ctx, 1, admin); err != nil || version != 3 {
		t.Errorf("back: %d, %v", version, err)
	}
	if _, l, _ = r.current(ctx, one.ID); l.Style["--accent"] != "#112233" {
		t.Errorf("after going back: %v", l.Style)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	r := newRig(t, 1)
	for field, change := range map[string]func(*Settings){
		"name": func(s *Settings) { s.Name = " " }, "title": func(s *Settings) { s.Title = strings.Repeat("x", 61) },
		"welcome": func(s *Settings) { s.Welcome = "a\x00b" }, "language": func(s *Settings) { s.Language = "xx" }, "characters": func(s *Settings) { s.Characters = 5 },
		"terms.link": func(s *Settings) { s.Terms.Link = "javascript:alert(1)" }, "banner.link": func(s *Settings) { s.Banner.Link = "http://example.com" },
		"area.video": func(s *Settings) { s.Area.Video = "https://a;script-src *" }, "area.link": func(s *Settings) { s.Area.Link = "https://user:secret@example.com" },
		"area.image": func(s *Settings) { s.Area.Image = "../../etc" }, "theme.logo": func(s *Settings) { s.Theme.Logo = "x" },
		"theme.accent": func(s *Settings) { s.Theme.Accent = "red;}body{background:url(//evil.example)" }, "theme.background": func(s *Settings) { s.Theme.Background = "var(--x)" },
		"theme.font": func(s *Settings) { s.Theme.Font = "Arial;}" }, "theme.side": func(s *Settings) { s.Theme.Side = "top" },
		"theme.corners": func(s *Settings) { n := 99; s.Theme.Corners = &n }, "theme.text": func(s *Settings) { s.Theme.Text, s.Theme.Background = "#777777", "#888888" },
		"origins": func(s *Settings) { s.Origins = []string{"https://a.example", "*"} },
	} {
		s := Defaults()
		s.Name = "x"
		change(&s)
		var wrong Wrong
		if _, err := r.Create(ctx, s, admin); !errors.As(err, &wrong) || len(wrong) != 1 || wrong[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestParseOrigin(t *testing.T) {
	for in, want := range map[string]string{
		"https://www.example.org": "https://www.example.org", " https://WWW.Example.ORG/ ": "https://www.example.org", "https://example.org:443": "https://example.org",
		"https://example.org:8443": "https://example.org:8443", "http://localhost:3000": "http://localhost:3000", "http://192.168.1.7": "http://192.168.1.7", "https://[2001:db8::1]:444": "https://[2001:db8::1]:444",
		"http://site.local": "http://site.local", "https://xn--bcher-kva.example": "https://xn--bcher-kva.example",
		"http://example.org": "", "https://*.example.org": "", "https://example.org/shop": "", "example.org": "", "*": "", "null": "", "https://a b": "", "https://a;b": "", "https://bücher.example": "",
		"https://a@b.example": "", "ftp://a.example": "", "https://": "", "https://a.example?x": "", "https://a,b": "", "https://a'b": "",
	} {
		got, err := ParseOrigin(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestColours(t *testing.T) {
	for in, want := range map[string]Colour{"#ABC": "#aabbcc", " #0b6e66 ": "#0b6e66", "rgb(11, 110,102)": "#0b6e66", "rgb(1 2 3)": "#010203", "White": "#ffffff",
		"#12": "", "#gggggg": "", "rgb(1,2)": "", "rgb(1,2,300)": "", "rgb(1,2,3": "", "red;": "", "url(x)": "", "": "", "expression(1)": "", "#fff /* */": ""} {
		got, err := ParseColour(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	if c := contrast("#000000", "#ffffff"); c < 20.9 || c > 21.1 {
		t.Errorf("black on white: %f", c)
	}
	// Whatever is chosen, texts can be read.
	for _, accent := range []string{"#ffff00", "#808080", "#0000ff", "#767676", "#ff0000"} {
		s := Theme{Accent: accent, Text: accent, Background: accent, Bubble: accent}.over(plain).style()
		for text, ground := range map[string]string{"--on-accent": "--accent", "--ink": "--ground", "--on-bubble": "--bubble", "--link": "--ground"} {
			if c := contrast(Colour(s[text]), Colour(s[ground])); c < leastContrast {
				t.Errorf("%s: %s on %s has a contrast of %.1f", accent, s[text], s[ground], c)
			}
		}
	}
	for _, p := range Presets() {
		if err := (&Common{Theme: p.Theme}).check(nobody); err != nil {
			t.Errorf("the theme %s: %v", p.Title, err)
		}
	}
}

func nobody(id string) bool { return id == "" }

var canonical = regexp.MustCompile(`^#[0-9a-f]{6}$`)

func FuzzColour(f *testing.F) {
	for _, s := range []string{"#abc", "#0b6e66", "rgb(1,2,3)", "white", "rgb(1 2 3)", "#ééé"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseColour(s)
		if err == nil && !canonical.MatchString(string(c)) {
			t.Fatalf("%q is read as %q", s, c)
		}
		if err == nil {
			if again, err := ParseColour(string(c)); again != c || err != nil {
				t.Fatalf("%q: %q, %v", c, again, err)
			}
		}
	})
}

var safeOrigin = regexp.MustCompile(`^https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]+)?$`)

// What comes out of it stands in a header of the frame.
func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://www.example.org", "http://localhost:1", "https://[::1]", "https://a:b@c", "https://a%0d%0a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ParseOrigin(s)
		if err == nil && !safeOrigin.MatchString(o) {
			t.Fatalf("%q is read as %q", s, o)
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"Ann", "win.example.com", "J. R. O'Neill", "Anna-Lena (Praxis)", "\u202eAnn"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, ok := nameOf(s)
		if ok && (strings.ContainsAny(name, "\n\r:/@<>\"\\") || len([]rune(name)) > longestName || name == "") {
			t.Fatalf("%q passes as %q", s, name)
		}
	})
}

// Pictures are what was drawn anew, of a size that fits.
func TestPictures(t *testing.T) {
	r := newRig(t, 1)
	hidden := append(picture(t, 3, 2), []byte("<script>alert(1)</script>")...)
	one, err := r.AddImage(ctx, `C:\logos\<b>logo.svg`, hidden)
	if err != nil || one.Name != "<b>logo.svg" || one.Width != 3 || one.Height != 2 || one.Type != "image/png" {
		t.Fatalf("%v: %+v", err, one)
	}
	a := r.ask("GET", "image/"+one.ID, nil, nil).want(200)
	if bytes.Contains(a.Body.Bytes(), []byte("script")) || a.Header().Get("Content-Type") != "image/png" || a.Body.Len() != one.Size {
		t.Errorf("served is %q as %v", a.Body.String(), a.Header())
	}
	if again, err := r.AddImage(ctx, "same.png", picture(t, 3, 2)); err != nil || again.ID != one.ID {
		t.Errorf("%v: the same picture is %s and %s", err, one.ID, again.ID)
	}
	var moving bytes.Buffer
	if err := gif.Encode(&moving, image.NewPaletted(image.Rect(0, 0, 2, 2), palette.WebSafe), nil); err != nil {
		t.Fatal(err)
	}
	if g, err := r.AddImage(ctx, "x.gif", moving.Bytes()); err != nil || g.Type != "image/png" {
		t.Errorf("%v: %+v", err, g)
	}
	for name, data := range map[string][]byte{
		"text": []byte("hello"), "an SVG": []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), "nothing": nil, "HTML": []byte("<!DOCTYPE html>"),
		"half a picture": picture(t, 300, 300)[:60], "too many bytes": make([]byte, MaxImage+1), "too many pixels": huge(t),
	} {
		if _, err := r.AddImage(ctx, "x.png", data); !errors.As(err, new(Wrong)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := r.make(func(s *Settings) { s.Theme.Logo = one.ID })
	if err := r.DeleteImage(ctx, one.ID); !errors.Is(err, ErrInUse) {
		t.Errorf("deleting what a widget has: %v", err)
	}
	if _, err := r.Change(ctx, w.ID, admin, func(s *Settings) error { s.Theme.Logo = ""; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteImage(ctx, one.ID); err != nil {
		t.Error(err)
	}
	if back, err := r.GoBack(ctx, w.ID, 1, admin); err != nil || back.Theme.Logo != "" {
		t.Errorf("%v: a version with a picture that is gone: %+v", err, back.Theme)
	}
}

// huge is a small file that claims to be a picture of 50,000 × 50,000.
func huge(t *testing.T) []byte {
	b := picture(t, 1, 1)
	copy(b[16:], []byte{0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50})
	return b
}

func FuzzPicture(f *testing.F) {
	f.Add(picture(f, 2, 2))
	f.Add([]byte("GIF89a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		if _, drawn, size, err := redraw(data); err == nil && (len(drawn) == 0 || size.X*size.Y > mostPixels) {
			t.Fatal("drawn", len(drawn), size)
		}
	})
}

const nasty = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"'` + "`${x}\\u2028{{.}}"

// Whatever an owner typed is text in the frame: in its HTML there is one script, ours, and one
// sheet of styles, made of parsed values.
func TestTextsStayTextsInTheFrame(t *testing.T) {
	r := newRig(t, 1)
	fill := func(s *Settings) {
		s.Name, s.Title, s.Welcome, s.Terms.Text, s.Banner.Text, s.Area.Text = nasty[:60], nasty[:50], nasty, nasty, nasty, nasty
	}
	one := r.make(fill)
	if _, _, err := r.ChangeCommon(ctx, admin, func(c *Common) error { c.Banner.Text = nasty; return nil }); err != nil {
		t.Fatal(err)
	}
	preview := httptest.NewRecorder()
	if err := r.Preview(ctx, preview, one.Settings); err != nil {
		t.Fatal(err)
	}
	s := Defaults()
	s.Title = nasty
	mistakes := httptest.NewRecorder()
	if err := r.Preview(ctx, mistakes, s); err != nil || !strings.Contains(mistakes.Body.String(), "<b>name</b> is missing") {
		t.Errorf("%v: a preview of mistakes is %s", err, mistakes.Body)
	}
	for name, page := range map[string]string{"the frame": r.ask("GET", "frame"+named(one), nil, nil).want(200).Body.String(), "the preview": preview.Body.String(), "mistakes": mistakes.Body.String()} {
		for _, bad := range []string{"<img src", "alert(1)</", "<script>alert"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %s", name, bad)
			}
		}
		scripts := regexp.MustCompile(`<script[^>]*>`).FindAllString(page, -1)
		if name != "mistakes" && (len(scripts) != 2 || !strings.Contains(scripts[0], "application/json") || !strings.Contains(scripts[1], "frame.js")) {
			t.Errorf("%s has the scripts %v", name, scripts)
		}
		if regexp.MustCompile(`<[^>]* on\w+=`).MatchString(page) || strings.Contains(page, " style=") {
			t.Errorf("%s has something inline", name)
		}
		if name == "mistakes" {
			continue
		}
		_, after, _ := strings.Cut(page, `id="look">`)
		data, _, _ := strings.Cut(after, "</script>")
		var l look
		if err := json.Unmarshal([]byte(data), &l); err != nil || l.Welcome != nasty || l.Banners[0].Text != nasty {
			t.Errorf("%s: %v: the texts do not come through: %q", name, err, l.Welcome)
		}
		sheet := regexp.MustCompile(`<style nonce="\w+">([^<]*)</style>`).FindStringSubmatch(page)
		if sheet == nil || strings.Contains(sheet[1], "ZgotmplZ") || !strings.Contains(sheet[1], "--accent:#0b6e66;") {
			t.Errorf("%s has the style %v", name, sheet)
		}
	}
	policy := preview.Header().Get("Content-Security-Policy")
	for _, want := range []string{"frame-ancestors 'self';", "connect-src 'none';", "sandbox allow-scripts allow-popups"} {
		if !strings.Contains(policy, want) || strings.Contains(policy, "allow-same-origin") {
			t.Errorf("the preview's policy is %s", policy)
		}
	}
}

// All languages say the same things.
func TestWords(t *testing.T) {
	english := words()["en"]
	for tag, said := range words() {
		for name := range english {
			if said[name] == "" {
				t.Errorf("%s lacks %s", tag, name)
			}
			for _, hole := range []string{"{n}", "{when}"} {
				if strings.Contains(english[name], hole) != strings.Contains(said[name], hole) {
					t.Errorf("%s: %s has %s in one language only", tag, name, hole)
				}
			}
		}
		if len(said) != len(english) {
			t.Errorf("%s says %d things, English %d", tag, len(said), len(english))
		}
	}
	for _, c := range LanguageNames() {
		if c.Title == "" {
			t.Errorf("the language %s has no name", c.Name)
		}
	}
}

func dirOf(r *rig) string { return filepath.Dir(r.db.Path()) }

// restore merges a backup with the database of a rig, as gateway.Restore does.
func restore(t *testing.T, r *rig, backup string) *db.DB {
	t.Helper()
	f, err := os.Open(backup)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stage, err := db.Stage(ctx, t.TempDir(), f)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := db.Open(ctx, db.Options{Dir: stage, Attach: filepath.Join(dirOf(r), db.FileName), Copied: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Write(Restore); err != nil {
		t.Fatal(err)
	}
	return d
}

// A restored backup brings back no key, no widget, no origin and no visitor that went since.
func TestRestore(t *testing.T) {
	r := newRig(t, 2)
	rotated, deleted, narrowed := r.make(), r.make(), r.make(func(s *Settings) { s.Origins = append(s.Origins, "https://old.example") })
	ann := r.begin(rotated, nil)
	backup := t.TempDir() + "/backup.db"
	if err := db.Backup(ctx, dirOf(r), backup, true); err != nil {
		t.Fatal(err)
	}
	fresh, err := r.Rotate(ctx, rotated.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(ctx, deleted.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Change(ctx, narrowed.ID, admin, func(s *Settings) error { s.Origins = []string{site}; return nil }); err != nil {
		t.Fatal(err)
	}
	made := r.make(func(s *Settings) { s.Name = "New" })
	if _, err := r.q.EraseNumber(ctx, phone); err != nil {
		t.Fatal(err)
	}
	restored := restore(t, r, backup)
	all := map[string]Widget{}
	if err := restored.Read(ctx, func(q db.Querier) error {
		rows, err := q.Query(widgetColumns + `WHERE w.deleted_at IS NULL`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			one, err := scanWidget(rows.Scan)
			if err != nil {
				return err
			}
			all[one.ID] = one
		}
		var n int
		if err := q.QueryRow(`SELECT count(*) FROM widget_visitors WHERE name <> '' OR hash <> x''`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%v: %d visitors came back: %v", err, n, ann)
		}
		return rows.Err()
	}); err != nil {
		t.Fatal(err)
	}
	if len(all) != 3 || all[rotated.ID].Key != fresh.Key || all[made.ID].Name != "New" || len(all[narrowed.ID].Origins) != 1 {
		t.Errorf("restored: %+v", all)
	}
}
