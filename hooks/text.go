package hooks

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatewayd/sms/pdu"
)

// fits reports whether a text needs at most so many parts.
func fits(text string, parts int) bool {
	a, err := pdu.Analyse(text)
	return err == nil && a.Parts <= parts
}

// dots are what stands for what was left out. The character for it is none of
// GSM 7-bit: it would more than halve the room of a text that has no other such.
func dots(text string) string {
	if a, err := pdu.Analyse(text); err == nil && a.ForcedBy != 0 {
		return "…"
	}
	return "..."
}

// shorten leaves at most n characters of s.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	mark := []rune(dots(s))
	if n <= len(mark) {
		return string([]rune(s)[:n])
	}
	return strings.TrimRightFunc(string([]rune(s)[:n-len(mark)]), unicode.IsSpace) + string(mark)
}

// clean makes a text of what a program wrote: no control characters but line
// ends, no spaces around it.
func clean(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// oneLine makes one line of a text.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// longest is the largest number up to most for which fit holds; it holds for
// all below that.
func longest(most int, fit func(int) bool) int {
	low, high := 0, most
	for low < high {
		middle := (low + high + 1) / 2
		if fit(middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// fit leaves of a text what so many parts hold.
func fit(text string, parts int) string {
	if fits(text, parts) {
		return text
	}
	most := parts * 160 // no part has more characters
	if r := []rune(text); len(r) > most+1 {
		text = string(r[:most+1])
	}
	n := longest(min(utf8.RuneCountInString(text), most), func(n int) bool { return fits(shorten(text, n), parts) })
	return shorten(text, n)
}

// listing is a head with as many lines below it as so many parts hold, and how
// many more there are: beside those left out here, the sender left out some. Of
// the first line there is at least a piece.
func listing(head string, lines []string, left, parts int) string {
	text := func(lines []string, rest int) string {
		text := strings.Join(append([]string{head}, lines...), "\n")
		if rest > 0 {
			text += fmt.Sprintf("\n%s and %d more", dots(text), rest)
		}
		return text
	}
	more := func(n int) string { return text(lines[:n], len(lines)-n+left) }
	if all := more(len(lines)); fits(all, parts) || len(lines) == 0 {
		return fit(all, parts)
	}
	if n := longest(len(lines)-1, func(n int) bool { return fits(more(n), parts) }); n > 0 {
		return more(n)
	}
	piece := func(n int) string { return text([]string{shorten(lines[0], n)}, len(lines)-1+left) }
	return fit(piece(longest(utf8.RuneCountInString(lines[0]), func(n int) bool { return fits(piece(n), parts) })), parts)
}
