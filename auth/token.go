package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
)

// A token is "gw_" + id + "_" + secret, so that a leaked one is recognised by
// scanners and a listed key can be matched to the token without its secret.
const (
	tokenPrefix  = "gw_"
	idLength     = 10 // of 62: about 59 bits, enough never to meet again
	secretLength = 43 // of 62: 256 bits
	alphabet     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// random returns n characters of the alphabet, each equally likely.
func random(n int) string {
	out := make([]byte, 0, n)
	buf := make([]byte, 2*n)
	for len(out) < n {
		_, _ = rand.Read(buf) // never fails; it ends the program instead
		for _, b := range buf {
			// 248 is the largest multiple of 62 in a byte: what is above
			// would make the first letters likelier.
			if b < 248 && len(out) < n {
				out = append(out, alphabet[b%62])
			}
		}
	}
	return string(out)
}

// split takes a token apart; ok is false when it can't be one of ours.
func split(token string) (id, secret string, ok bool) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(rest) != idLength+1+secretLength || rest[idLength] != '_' {
		return "", "", false
	}
	id, secret = rest[:idLength], rest[idLength+1:]
	for _, r := range id + secret {
		if !strings.ContainsRune(alphabet, r) {
			return "", "", false
		}
	}
	return id, secret, true
}

// digest is what is stored of a secret. The secret has 256 random bits, so a
// slow hash would add nothing.
func digest(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// Shown is the part of a token that may be shown.
func Shown(token string) string {
	id, _, ok := split(token)
	if !ok {
		return "(not a gatewayd key)"
	}
	return tokenPrefix + id
}
