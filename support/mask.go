package support

import (
	"regexp"
	"strings"
)

var (
	// What opens something.
	tokens = regexp.MustCompile(`\b(gw|whsec|hk|hook|wvt)_[A-Za-z0-9+/=_-]{6,}|/hooks/[^\s"?#]+|(?i:bearer|basic)\s+[A-Za-z0-9+/=._~-]{6,}`)
	// user:password@ and all behind the host of an address.
	links  = regexp.MustCompile(`(?i)\b(https?://)(?:[^\s"/@]*@)?([^\s"/?#\\]+)[^\s"\\]*`)
	mails  = regexp.MustCompile(`[A-Za-z0-9._%+-]+@([A-Za-z0-9.-]+\.[A-Za-z]{2,})`)
	hex    = regexp.MustCompile(`\b[0-9A-Fa-f]{24,}\b`)
	digits = regexp.MustCompile(`\+?[0-9][0-9 ()/-]{4,}[0-9]`)
	hour   = regexp.MustCompile(`^\d{4}-\d{2}-\d{2} \d{2}$`)
	moment = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
)

// Mask takes out of a text what opens something, and the middle of what may be a
// phone number, a SIM's or a modem's identity. Times and small numbers stay.
func Mask(text string) string {
	text = tokens.ReplaceAllStringFunc(text, func(s string) string {
		if strings.HasPrefix(s, "/hooks/:") {
			return s // the name of the route
		}
		if name, _, ok := strings.Cut(s, "_"); ok && !strings.ContainsAny(name, " /") {
			return name + "_(hidden)"
		}
		return "(hidden)"
	})
	text = links.ReplaceAllString(text, "$1$2/…")
	text = mails.ReplaceAllString(text, "…@$1")
	text = hex.ReplaceAllString(text, "(hex)")
	var b strings.Builder
	last := 0
	for _, at := range digits.FindAllStringIndex(text, -1) {
		s := text[at[0]:at[1]]
		b.WriteString(text[last:at[0]])
		last = at[1]
		if keeps(text, at[0], at[1]) {
			b.WriteString(s)
			continue
		}
		b.WriteString(s[:min(3, len(s))] + "…" + s[len(s)-2:])
	}
	return b.String() + text[last:]
}

// keeps tells whether digits are no number of somebody: a date, a fraction or a
// part of a word.
func keeps(text string, from, to int) bool {
	s := text[from:to]
	if moment.MatchString(s) || to < len(text) && text[to] == ':' && hour.MatchString(s) { // 2026-11-27 00:12:24
		return true
	}
	return from > 1 && text[from-1] == '.' && text[from-2] >= '0' && text[from-2] <= '9' && !strings.Contains(s, " ")
}
