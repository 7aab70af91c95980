package chat

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// keywords finds words and phrases in texts: whole words, whatever their case and
// however their letters are written (full width, with or without accents, with
// invisible characters between). By the first word of each.
type keywords map[string][]keyword

type keyword struct {
	rest []string // the words behind the first
	said string   // as the admin wrote it
}

func newKeywords(list []string) keywords {
	all := keywords{}
	for _, k := range list {
		if w := words(k); len(w) > 0 {
			all[w[0]] = append(all[w[0]], keyword{w[1:], k})
		}
	}
	return all
}

// in is the first keyword that a text has, as the admin wrote it; "": it has none.
func (k keywords) in(text string) string {
	if len(k) == 0 {
		return ""
	}
	w := words(text)
	for i, first := range w {
	next:
		for _, one := range k[first] {
			if len(one.rest) > len(w)-i-1 {
				continue
			}
			for j, word := range one.rest {
				if w[i+1+j] != word {
					continue next
				}
			}
			return one.said
		}
	}
	return ""
}

var foldCase = cases.Fold()

// words are the words of a text, in one form. Scripts that put nothing between their
// words have a word in each letter, so their phrases are found as well.
func words(text string) (all []string) {
	var b strings.Builder
	end := func() {
		if b.Len() > 0 {
			all = append(all, b.String())
			b.Reset()
		}
	}
	for _, r := range foldCase.String(norm.NFKD.String(text)) {
		switch {
		case r >= 0x300 && r <= 0x36f || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r): // accents, and what can't be seen
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar):
			end()
			all = append(all, string(r))
		case unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r):
			b.WriteRune(r)
		default:
			end()
		}
	}
	end()
	return all
}
