package auth

import (
	"crypto/rand"
	"strings"
)

// A code is typed from a screen, so it has nothing that looks like another
// character. Ten of 31 are 49 bits: at the few tries that a source has, no guesser
// comes anywhere; so a plain hash of it will do too.
const (
	codeLetters = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
	codeLength  = 10
)

// newCode returns a code as people read it: two groups of five.
func newCode() string {
	var out []byte
	buf := make([]byte, 2*codeLength)
	for len(out) < codeLength {
		_, _ = rand.Read(buf) // never fails
		for _, b := range buf {
			if b < 248 && len(out) < codeLength { // 248 is the largest multiple of 31 in a byte
				out = append(out, codeLetters[b%31])
			}
		}
	}
	return string(out[:codeLength/2]) + "-" + string(out[codeLength/2:])
}

// codeHash is what is stored of a code, however it was typed.
func codeHash(typed string) []byte {
	return digest("code " + strings.ToUpper(strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, typed)))
}
