package hooks

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatewayd/intake"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// room is what a text may take.
type room struct {
	parts int
	plain bool // it is transliterated where that can be done
}

func roomOf(s *sms.HookSettings) room {
	return room{s.MaxParts, s.Unicode == string(intake.Transliterate)}
}

// fits reports whether a text, as it will be sent, needs no more.
func (r room) fits(text string) bool {
	if r.plain {
		text, _ = pdu.Transliterate(text)
	}
	a, err := pdu.Analyse(text)
	return err == nil && a.Parts <= r.parts
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

// fit leaves of a text what there is room for.
func (r room) fit(text string) string {
	if r.fits(text) {
		return text
	}
	most := r.parts * 160 // no part has more characters
	if all := []rune(text); len(all) > most+1 {
		text = string(all[:most+1])
	}
	n := longest(min(utf8.RuneCountInString(text), most), func(n int) bool { return r.fits(shorten(text, n)) })
	return shorten(text, n)
}

// listing is a head with as many lines below it as there is room for, and how
// many more there are: beside those left out here, the sender left out some. Of
// the first line there is at least a piece.
func (r room) listing(head string, lines []string, left int) string {
	text := func(lines []string, rest int) string {
		text := strings.Join(append([]string{head}, lines...), "\n")
		if rest > 0 {
			text += fmt.Sprintf("\n%s and %d more", dots(text), rest)
		}
		return text
	}
	more := func(n int) string { return text(lines[:n], len(lines)-n+left) }
	if all := more(len(lines)); r.fits(all) || len(lines) == 0 {
		return r.fit(all)
	}
	if n := longest(len(lines)-1, func(n int) bool { return r.fits(more(n)) }); n > 0 {
		return more(n)
	}
	piece := func(n int) string { return text([]string{shorten(lines[0], n)}, len(lines)-1+left) }
	return r.fit(piece(longest(utf8.RuneCountInString(lines[0]), func(n int) bool { return r.fits(piece(n)) })))
}
