package hooks

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
)

// A token is "hook_" + id + "_" + secret, so that a leaked one is recognised by
// scanners, and so that the secret is compared with one hash only. It is made
// of letters and digits: it stands in addresses.
const (
	idPrefix     = "hook_"
	idLength     = 20
	secretLength = 52 // 256 bits and more
)

// random returns n random characters of those of rand.Text, 5 bits each.
func random(n int) string {
	s := ""
	for len(s) < n {
		s += strings.ToLower(rand.Text())
	}
	return s[:n]
}

// split takes a token apart; ok is false when it can't be one of ours.
func split(token string) (id, secret string, ok bool) {
	const idEnd = len(idPrefix) + idLength
	if len(token) != idEnd+1+secretLength || !strings.HasPrefix(token, idPrefix) || token[idEnd] != '_' {
		return "", "", false
	}
	return token[:idEnd], token[idEnd+1:], true
}

// digest is what is stored of a secret, which is too random to need a slow hash.
func digest(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}
