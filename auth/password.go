package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// cost is what a guess costs. 12 MiB and three passes are one of the equally strong
// choices of OWASP's table (as 19 MiB and two, or 46 MiB and one), and the one that a
// machine of 512 MB, which also runs modems, does not feel. The strength against who
// has the file comes from the length that a password must have; who asks over the
// network is held to a few tries.
type cost struct {
	memory uint32 // KiB
	passes uint32
}

var costs = cost{memory: 12 << 10, passes: 3}

const (
	saltLength = 16
	hashLength = 32
	lanes      = 1
	// MinPassword is how many characters a password has at least. There are no
	// rules about digits or signs: they make passwords harder to keep, not to guess.
	MinPassword = 10
	maxPassword = 256 // bytes
)

// gate lets one password at a time be hashed, so that sign-ins cost 12 MiB and one
// core at most, however many come.
type gate struct {
	slot    chan struct{}
	waiting atomic.Int32
}

// maxWaiting is how many strangers may stand in line: a few seconds, on a slow Pi.
const maxWaiting = 8

// ErrBusy means that too many passwords are being checked already.
var ErrBusy = errors.New("too many people are signing in at this moment; try again in a few seconds")

func newGate() *gate { return &gate{slot: make(chan struct{}, 1)} }

// pass does work once it is its turn. Who is no stranger is never sent away.
func (g *gate) pass(ctx context.Context, stranger bool, work func()) error {
	n := g.waiting.Add(1)
	defer g.waiting.Add(-1)
	if stranger && n > maxWaiting {
		return ErrBusy
	}
	select {
	case g.slot <- struct{}{}:
		defer func() { <-g.slot }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil { // whoever asked has left while waiting
		return err
	}
	work()
	return nil
}

// hashPassword makes of a password what is stored: the PHC string of argon2id.
func (k *Keys) hashPassword(ctx context.Context, password string) (stored string, err error) {
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails
	err = k.gate.pass(ctx, false, func() { stored = costs.encode(salt, costs.hash(password, salt)) })
	return stored, err
}

// matches reports whether a password is the one that was stored. It takes as long
// when nothing was.
func (k *Keys) matches(ctx context.Context, stored, password string, stranger bool) (ok bool, err error) {
	c, salt, want, decodeErr := decode(stored)
	if decodeErr != nil {
		c, salt, want = costs, make([]byte, saltLength), nil
	}
	err = k.gate.pass(ctx, stranger, func() { ok = subtle.ConstantTimeCompare(c.hash(password, salt), want) == 1 })
	if err == nil && stored != "" && decodeErr != nil {
		err = decodeErr // the database is damaged: no verdict on the password
	}
	return ok, err
}

func (c cost) hash(password string, salt []byte) []byte {
	// The same letter may come as one code point or as two, as the keyboard will.
	return argon2.IDKey([]byte(norm.NFC.String(password)), salt, c.passes, c.memory, lanes, hashLength)
}

func (c cost) encode(salt, hash []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.passes, lanes, b64.EncodeToString(salt), b64.EncodeToString(hash))
}

// decode reads what encode wrote, with whatever cost that was.
func decode(stored string) (c cost, salt, hash []byte, err error) {
	parts := strings.Split(stored, "$")
	wrong := errors.New("a password's hash in the database can't be read")
	var version, p int
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return c, nil, nil, wrong
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return c, nil, nil, wrong
	}
	// What is larger than this would be no hash of ours but a way to eat memory.
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.passes, &p); err != nil || p != lanes ||
		c.memory < 8 || c.memory > 64<<10 || c.passes < 1 || c.passes > 10 {
		return c, nil, nil, wrong
	}
	b64 := base64.RawStdEncoding.Strict()
	if salt, err = b64.DecodeString(parts[4]); err != nil || len(salt) < 8 {
		return c, nil, nil, wrong
	}
	if hash, err = b64.DecodeString(parts[5]); err != nil || len(hash) != hashLength {
		return c, nil, nil, wrong
	}
	return c, salt, hash, nil
}

// guessed are long enough passwords that every guesser tries first.
const guessed = ` 1234567890 0123456789 0987654321 12345678910 123456789a 1q2w3e4r5t 1qaz2wsx3edc qwertyuiop qwertzuiop qwerty12345 qwerty123456
 password12 password123 password1234 passwort123 passwort1234 passw0rd123 iloveyou12 raspberrypi gatewayd123 changeme123 letmein123 administrator admin12345
 abcdefghij abcd123456 abc1234567 asdfghjkl1 asdfghjkl; football123 princess123 sunshine123 welcome123 trustno1234 superman123 zxcvbnm123 `

// checkPassword says what is wrong with a password that somebody chose.
func checkPassword(password string, names ...string) error {
	wrong := func(detail string) error { return &WrongError{"password", detail} }
	letters := []rune(norm.NFC.String(password))
	lower := strings.ToLower(string(letters))
	same, next := true, true
	for i, r := range letters {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return wrong("has a character that no keyboard types")
		}
		if i > 0 {
			same, next = same && r == letters[i-1], next && (r == letters[i-1]+1 || r == letters[i-1]-1)
		}
	}
	switch {
	case len(letters) < MinPassword:
		return wrong(fmt.Sprintf("must have at least %d characters; three or four words that don't belong together are easy to keep", MinPassword))
	case len(password) > maxPassword:
		return wrong(fmt.Sprintf("must have at most %d bytes", maxPassword))
	case same || next || strings.Contains(guessed, " "+lower+" "):
		return wrong("is one of those that are tried first; take another")
	}
	for _, name := range names {
		if name != "" && strings.TrimRight(strings.ReplaceAll(lower, fold(name), ""), "0123456789 !.-_") == "" {
			return wrong("is hardly more than the name; take another")
		}
	}
	return nil
}
