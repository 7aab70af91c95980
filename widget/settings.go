package widget

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Settings are what the owner of a widget decides. Each change of them is a version.
type Settings struct {
	Name       string   `json:"name"` // for the gateway's people
	Enabled    bool     `json:"enabled"`
	Origins    []string `json:"origins"` // of the pages that may have it, such as https://www.example.org
	Title      string   `json:"title"`   // what visitors read on the button and above the chat
	Welcome    string   `json:"welcome"`
	Terms      Terms    `json:"terms"`
	Language   string   `json:"language"`
	Characters int      `json:"characters"` // of one message, the visitor's name in front of it included
	Theme      Theme    `json:"theme"`
	Banner     Banner   `json:"banner"`
	Area       Area     `json:"area"`
}

// Terms are what a visitor accepts before the first message.
type Terms struct {
	Text string `json:"text"`
	Link string `json:"link"`
	// Each: they are accepted before every conversation, not once by each visitor.
	Each bool `json:"each"`
}

func (t Terms) none() bool { return t.Text == "" && t.Link == "" }

// say tells whether terms say what others do.
func (t Terms) say(o Terms) bool { return t.Text == o.Text && t.Link == o.Link }

// Theme is how a widget looks. What is empty is as the common theme has it, else as
// the gateway does.
type Theme struct {
	Accent     string `json:"accent"`
	Background string `json:"background"`
	Text       string `json:"text"`
	Bubble     string `json:"bubble"` // under what the phone says
	Font       string `json:"font"`
	Corners    *int   `json:"corners"` // their radius in pixels
	Side       string `json:"side"`    // of the page where the button is: left or right
	Logo       string `json:"logo"`    // the id of an image
	Image      string `json:"image"`   // the same, behind the messages
}

// Banner is a line or picture above the chat.
type Banner struct {
	Text  string `json:"text"`
	Image string `json:"image"`
	Link  string `json:"link"`
}

// Area is a place for a picture or a film, with a link.
type Area struct {
	Image string `json:"image"`
	Video string `json:"video"` // https URL of a film that browsers play
	Text  string `json:"text"`  // what it shows, for those who don't see it; below it for the others
	Link  string `json:"link"`
}

// Common is what all widgets have beside their own.
type Common struct {
	Theme    Theme  `json:"theme"`
	Override bool   `json:"override"` // the theme counts more than those of the widgets
	Banner   Banner `json:"banner"`   // above that of each widget
}

// Defaults are what a new widget begins with.
func Defaults() Settings {
	return Settings{Enabled: true, Origins: []string{}, Title: "Chat by text", Language: "en", Characters: 145}
}

// FieldError says what is wrong with one field.
type FieldError struct{ Field, Detail string }

// Wrong are settings that can't be: all that is wrong with them.
type Wrong []FieldError

func (w Wrong) Error() string {
	said := make([]string, len(w))
	for i, f := range w {
		said[i] = f.Field + " " + f.Detail
	}
	return strings.Join(said, "; ")
}

// checker collects what is wrong.
type checker struct {
	wrong Wrong
	image func(id string) bool // whether there is such an image
}

func (c *checker) add(field, format string, args ...any) {
	c.wrong = append(c.wrong, FieldError{field, fmt.Sprintf(format, args...)})
}

// text makes s fit to be shown: without spaces around it, of at most so many
// characters, without control characters but the ends of lines where those may be.
func (c *checker) text(field string, s *string, most int, lines bool) {
	*s = strings.TrimSpace(strings.ReplaceAll(*s, "\r\n", "\n"))
	if n := utf8.RuneCountInString(*s); n > most {
		c.add(field, "has %d characters; %d at most", n, most)
	}
	if !utf8.ValidString(*s) || strings.ContainsFunc(*s, func(r rune) bool { return unicode.IsControl(r) && !(lines && r == '\n') || unsafeRune(r) }) {
		c.add(field, "has characters that can't be shown, such as control characters")
	}
}

// unsafeRune tells characters that turn the direction of what stands around them, so
// that a text could pass for another.
func unsafeRune(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

// link is an address that a visitor may be led to.
func (c *checker) link(field string, s *string) {
	*s = strings.TrimSpace(*s)
	if *s == "" {
		return
	}
	u, err := url.Parse(*s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Opaque != "" || len(*s) > 500 || !hostname(u.Hostname()) {
		c.add(field, "must be an address that begins with https://, of at most 500 characters and without a password")
		return
	}
	*s = u.String()
}

// hostname tells whether s can be the name or address of a host: nothing that means
// something in a header or a style sheet.
func hostname(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return !strings.Contains(s, "%")
	}
	return s != "" && len(s) <= 253 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == ""
}

func (c *checker) picture(field string, id *string) {
	if *id = strings.TrimSpace(*id); *id != "" && !c.image(*id) {
		c.add(field, "is not the id of an image that was uploaded")
	}
}

func (c *checker) colour(field string, s *string) {
	if *s == "" {
		return
	}
	parsed, err := ParseColour(*s)
	if err != nil {
		c.add(field, "%s", err)
		return
	}
	*s = string(parsed)
}

func (c *checker) theme(field string, t *Theme) {
	for name, s := range map[string]*string{"accent": &t.Accent, "background": &t.Background, "text": &t.Text, "bubble": &t.Bubble} {
		c.colour(field+"."+name, s)
	}
	if _, ok := fontNamed(t.Font); t.Font != "" && !ok {
		names := []string{}
		for _, f := range fonts {
			names = append(names, f.Name)
		}
		c.add(field+".font", "must be one of %s", strings.Join(names, ", "))
	}
	if t.Corners != nil && (*t.Corners < 0 || *t.Corners > 32) {
		c.add(field+".corners", "must be from 0 to 32 pixels")
	}
	if t.Side != "" && t.Side != "left" && t.Side != "right" {
		c.add(field+".side", "must be left or right")
	}
	c.picture(field+".logo", &t.Logo)
	c.picture(field+".image", &t.Image)
	text, ground := Colour(t.Text), Colour(t.Background)
	if len(c.wrong) == 0 && text != "" && ground != "" && contrast(text, ground) < leastContrast {
		c.add(field+".text", "can't be read on the background: the contrast is %.1f, and it takes %.1f", contrast(text, ground), leastContrast)
	}
}

func (c *checker) banner(field string, b *Banner) {
	c.text(field+".text", &b.Text, 300, false)
	c.picture(field+".image", &b.Image)
	c.link(field+".link", &b.Link)
}

// check puts settings in order and says all that is wrong with them.
func (s *Settings) check(image func(id string) bool) error {
	c := checker{image: image}
	if c.text("name", &s.Name, 100, false); s.Name == "" {
		c.add("name", "is missing")
	}
	if c.text("title", &s.Title, 60, false); s.Title == "" {
		c.add("title", "is missing: it is what the button says")
	}
	c.text("welcome", &s.Welcome, 1000, true)
	c.text("terms.text", &s.Terms.Text, 10_000, true)
	c.link("terms.link", &s.Terms.Link)
	if !slices.Contains(Languages(), s.Language) {
		c.add("language", "must be one of %s", strings.Join(Languages(), ", "))
	}
	if s.Characters < 20 || s.Characters > 1000 {
		c.add("characters", "must be from 20 to 1000")
	}
	if len(s.Origins) > 50 {
		c.add("origins", "are %d; 50 at most", len(s.Origins))
	}
	origins := []string{}
	for _, o := range s.Origins {
		origin, err := ParseOrigin(o)
		if err != nil {
			c.add("origins", "%q %s", o, err)
		} else if !slices.Contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	s.Origins = origins
	c.theme("theme", &s.Theme)
	c.banner("banner", &s.Banner)
	c.picture("area.image", &s.Area.Image)
	c.link("area.video", &s.Area.Video)
	c.text("area.text", &s.Area.Text, 300, false)
	c.link("area.link", &s.Area.Link)
	return c.err()
}

func (s *Common) check(image func(id string) bool) error {
	c := checker{image: image}
	c.theme("theme", &s.Theme)
	c.banner("banner", &s.Banner)
	return c.err()
}

func (c *checker) err() error {
	if len(c.wrong) == 0 {
		return nil
	}
	slices.SortStableFunc(c.wrong, func(a, b FieldError) int { return cmp.Compare(a.Field, b.Field) })
	return c.wrong
}

// ParseOrigin reads the origin of a web site: scheme, host and port, as browsers send
// it. http is only for a machine's own pages, where a site is built.
func ParseOrigin(s string) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(strings.TrimSpace(s), "/"))
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", fmt.Errorf("must be an origin such as https://www.example.org: scheme, host and port, nothing behind")
	}
	host := strings.ToLower(u.Hostname())
	if !hostname(host) || u.Port() != "" && strings.Trim(u.Port(), "0123456789") != "" {
		return "", fmt.Errorf("must name a host by letters, digits, dots and hyphens; one with other letters in its punycode form (xn--…)")
	}
	if u.Scheme == "http" && !onSite(host) {
		return "", fmt.Errorf("must begin with https://; http:// is for addresses of the local network and localhost")
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" && !(u.Scheme == "https" && port == "443") && !(u.Scheme == "http" && port == "80") {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}

// onSite tells names and addresses that nobody else's network leads to.
func onSite(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".local") || !strings.Contains(host, ".")
}

// over is t with what it leaves empty as in below.
func (t Theme) over(below Theme) Theme {
	if t.Corners == nil {
		t.Corners = below.Corners
	}
	return Theme{
		Accent: cmp.Or(t.Accent, below.Accent), Background: cmp.Or(t.Background, below.Background), Text: cmp.Or(t.Text, below.Text),
		Bubble: cmp.Or(t.Bubble, below.Bubble), Font: cmp.Or(t.Font, below.Font), Corners: t.Corners, Side: cmp.Or(t.Side, below.Side),
		Logo: cmp.Or(t.Logo, below.Logo), Image: cmp.Or(t.Image, below.Image),
	}
}

// plain is the gateway's own theme.
var plain = Theme{Accent: "#0b6e66", Background: "#ffffff", Text: "#16201e", Bubble: "#e9efed", Font: "system", Corners: new(int), Side: "right"}

func init() { *plain.Corners = 14 }
