package widget

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Colour is one of a theme, as #rrggbb. Nothing else ever reaches a style sheet.
type Colour string

// ParseColour reads a colour as people and style sheets write it: #rgb, #rrggbb,
// rgb(r, g, b), or one of a few names.
func ParseColour(s string) (Colour, error) {
	in := strings.ToLower(strings.TrimSpace(s))
	if named, ok := colourNames[in]; ok {
		return named, nil
	}
	if digits, ok := strings.CutPrefix(in, "#"); ok {
		if len(digits) == 3 {
			digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
		}
		if len(digits) == 6 && strings.Trim(digits, "0123456789abcdef") == "" {
			return Colour("#" + digits), nil
		}
	}
	if list, ok := strings.CutPrefix(in, "rgb("); ok && strings.HasSuffix(list, ")") {
		parts := strings.FieldsFunc(strings.TrimSuffix(list, ")"), func(r rune) bool { return r == ',' || r == ' ' })
		if len(parts) == 3 {
			var b [3]uint64
			var err error
			for i := range parts {
				var e error
				if b[i], e = strconv.ParseUint(parts[i], 10, 8); e != nil {
					err = e
				}
			}
			if err == nil {
				return Colour(fmt.Sprintf("#%02x%02x%02x", b[0], b[1], b[2])), nil
			}
		}
	}
	return "", fmt.Errorf("must be a colour such as #0b6e66, rgb(11, 110, 102) or white")
}

// colourNames are those of CSS that are basic enough to be typed by heart.
var colourNames = map[string]Colour{
	"black": "#000000", "white": "#ffffff", "gray": "#808080", "grey": "#808080", "silver": "#c0c0c0", "red": "#ff0000", "maroon": "#800000",
	"yellow": "#ffff00", "olive": "#808000", "lime": "#00ff00", "green": "#008000", "aqua": "#00ffff", "teal": "#008080", "blue": "#0000ff",
	"navy": "#000080", "fuchsia": "#ff00ff", "purple": "#800080", "orange": "#ffa500",
}

// luminance is how bright a colour is, by WCAG 2.2.
func (c Colour) luminance() float64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(string(c), "#"), 16, 32)
	if err != nil {
		return 0
	}
	linear := func(b uint64) float64 {
		v := float64(b&0xff) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(n>>16) + 0.7152*linear(n>>8) + 0.0722*linear(n)
}

// contrast is the ratio of two colours by WCAG, from 1 to 21.
func contrast(a, b Colour) float64 {
	la, lb := a.luminance(), b.luminance()
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// leastContrast is what WCAG wants of ordinary text.
const leastContrast = 4.5

// on is black or white, whichever can be read better on c: one of them always can.
func (c Colour) on() Colour {
	if contrast(c, "#ffffff") >= contrast(c, "#000000") {
		return "#ffffff"
	}
	return "#000000"
}

// readable is c if it can be read on ground, else what can.
func (c Colour) readable(ground Colour) Colour {
	if contrast(c, ground) >= leastContrast {
		return c
	}
	return ground.on()
}

// fonts are what a theme may choose: families that are on the reader's machine, so
// nothing is fetched from anywhere.
var fonts = []font{
	{"system", "As the device has it", `system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif`},
	{"arial", "Arial", `Arial, Helvetica, "Liberation Sans", sans-serif`},
	{"verdana", "Verdana", `Verdana, "DejaVu Sans", sans-serif`},
	{"trebuchet", "Trebuchet", `"Trebuchet MS", "Lucida Grande", sans-serif`},
	{"rounded", "Rounded", `ui-rounded, "Hiragino Maru Gothic ProN", Quicksand, Comfortaa, Nunito, sans-serif`},
	{"georgia", "Georgia", `Georgia, "DejaVu Serif", serif`},
	{"times", "Times", `"Times New Roman", Times, "Liberation Serif", serif`},
	{"mono", "Typewriter", `ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace`},
}

type font struct{ Name, Title, stack string }

func fontNamed(name string) (font, bool) {
	for _, f := range fonts {
		if f.Name == name {
			return f, true
		}
	}
	return font{}, false
}

// Choice is something to choose in a theme or a widget.
type Choice struct{ Name, Title string }

// Fonts are those that a theme may have.
func Fonts() (all []Choice) {
	for _, f := range fonts {
		all = append(all, Choice{f.Name, f.Title})
	}
	return all
}

// Preset is a theme to begin with.
type Preset struct {
	Title string
	Theme Theme
}

// Presets are themes that can be read well, to begin one's own with.
func Presets() []Preset {
	corners := func(n int) *int { return &n }
	return []Preset{
		{"Plain", plain},
		{"Night", Theme{Accent: "#5cc9bd", Background: "#101514", Text: "#e6eceb", Bubble: "#25302e", Font: "system", Corners: corners(14)}},
		{"Sea", Theme{Accent: "#1d4f91", Background: "#f3f8fd", Text: "#10243c", Bubble: "#d9e8f7", Font: "verdana", Corners: corners(10)}},
		{"Sand", Theme{Accent: "#8a4b12", Background: "#fdf8f0", Text: "#33261a", Bubble: "#f1e3cd", Font: "georgia", Corners: corners(6)}},
		{"Berry", Theme{Accent: "#9c1f5c", Background: "#fff7fb", Text: "#2f1522", Bubble: "#f8dcea", Font: "rounded", Corners: corners(22)}},
		{"Contrast", Theme{Accent: "#000000", Background: "#ffffff", Text: "#000000", Bubble: "#ffffff", Font: "arial", Corners: corners(0)}},
	}
}
