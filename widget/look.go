package widget

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"sync"

	"gatewayd/db"
	"gatewayd/sms/number"
)

// look is how a widget shows to visitors: its own settings and what all have in
// common. Nothing of it is a secret.
type look struct {
	Version    string            `json:"version"` // changes with every change of either
	Enabled    bool              `json:"enabled"`
	Title      string            `json:"title"`
	Welcome    string            `json:"welcome"`
	Terms      Terms             `json:"terms"`
	Language   string            `json:"language"`
	Characters int               `json:"characters"`
	Style      map[string]string `json:"style"` // custom properties of the frame's style sheet
	Side       string            `json:"side"`
	Logo       string            `json:"logo"` // addresses of pictures on this gateway
	Image      string            `json:"image"`
	Banners    []Banner          `json:"banners"` // with addresses of pictures
	Area       Area              `json:"area"`
	Words      map[string]string `json:"words"`
	Region     string            `json:"region"` // the country that is chosen until the visitor chooses
	Regions    []region          `json:"regions"`
	Preview    bool              `json:"preview"`
}

// region is a country whose numbers may be typed in national form.
type region struct {
	Region string `json:"region"`
	Name   string `json:"name"` // in English; browsers say it in the widget's language
}

func (w *Widgets) lookOf(s Settings, version int64, c Common, common int64) look {
	theme := s.Theme.over(c.Theme).over(plain)
	if c.Override {
		theme = c.Theme.over(s.Theme).over(plain)
	}
	l := look{
		Version: fmt.Sprintf("%d.%d", version, common), Enabled: s.Enabled, Title: titled(s), Welcome: s.Welcome, Terms: s.Terms, Language: s.Language,
		Characters: s.Characters, Style: theme.style(), Side: theme.Side, Logo: pictured(theme.Logo), Image: pictured(theme.Image), Banners: []Banner{},
		Area: s.Area, Words: words()[cmp.Or(s.Language, "en")], Region: cmp.Or(w.o.Region(), "DE"),
	}
	for _, b := range []Banner{c.Banner, s.Banner} {
		if b.Image = pictured(b.Image); b.Text != "" || b.Image != "" {
			l.Banners = append(l.Banners, b)
		}
	}
	l.Area.Image = pictured(l.Area.Image)
	for _, known := range number.Countries() {
		l.Regions = append(l.Regions, region{known.Region, known.Name})
	}
	return l
}

func pictured(id string) string {
	if id == "" {
		return ""
	}
	return imagePath(id)
}

// style is a theme as custom properties. Whatever was chosen, what is written can be
// read on what it is written on.
func (t Theme) style() map[string]string {
	accent, ground, bubble := Colour(t.Accent), Colour(t.Background), Colour(t.Bubble)
	text := Colour(t.Text).readable(ground)
	f, _ := fontNamed(t.Font)
	return map[string]string{
		"--accent": string(accent), "--on-accent": string(accent.on()), "--ground": string(ground), "--ink": string(text),
		"--bubble": string(bubble), "--on-bubble": string(Colour(t.Text).readable(bubble)),
		"--link": string(accent.readable(ground)), "--font": f.stack, "--corners": fmt.Sprintf("%dpx", *t.Corners),
	}
}

// sheet is a style as a style sheet. Its values are colours that were parsed, a number,
// and a stack of the table of fonts.
func sheet(style map[string]string) template.CSS {
	var b strings.Builder
	b.WriteString(":root{")
	for _, name := range []string{"--accent", "--on-accent", "--ground", "--ink", "--bubble", "--on-bubble", "--link", "--font", "--corners"} {
		b.WriteString(name + ":" + style[name] + ";")
	}
	b.WriteString("}")
	return template.CSS(b.String())
}

// film is the origin and path of the area's film, for the policy of the frame.
func (l look) film() string {
	u, err := url.Parse(l.Area.Video)
	if err != nil || u.Host == "" {
		return "'none'"
	}
	return "https://" + u.Host // browsers follow redirects within it
}

// current is a widget and how it shows now.
func (w *Widgets) current(ctx context.Context, id string) (one Widget, l look, err error) {
	var c Common
	var common int64
	err = w.o.DB.Read(ctx, func(r db.Querier) (err error) {
		if one, err = loadWidget(r, id); err == nil {
			c, common, err = loadCommon(r)
		}
		return err
	})
	if err != nil {
		return one, l, err
	}
	return one, w.lookOf(one.Settings, one.Version, c, common), nil
}

// looks tells open frames that something about widgets has changed.
type looks struct {
	mu      sync.Mutex
	changed chan struct{}
}

// next is closed at the next change. Get it, then look, then wait on it.
func (l *looks) next() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

func (l *looks) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}
