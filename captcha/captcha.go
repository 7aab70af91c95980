// Package captcha sets puzzles that a browser solves by itself, by trying numbers:
// nothing to a person who writes to a few phones, and dear to a program that writes
// to thousands. The puzzles are those of ALTCHA (github.com/altcha-org/altcha-lib-go);
// a script that solves them comes along, for WebCrypto is not there on plain http.
//
// Nothing is kept of a puzzle that was set: it is signed. That a solution is taken
// once only is for whoever verifies it to see to, by its Pass.
package captcha

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/altcha-org/altcha-lib-go"
)

// Solver is an ES module with solve(challenge, progress), a Promise of the solution.
//
//go:embed solve.js
var Solver []byte

// Life is how long a puzzle may be solved, and its solution used.
const Life = 10 * time.Minute

// Effort is how much there is to try.
type Effort int

// The efforts: a fifth of a second on a desktop and one second on a small phone, and
// four times as much.
const (
	Normal Effort = 100_000
	Hard   Effort = 400_000
)

// KeySize is the bytes of a key that signs.
const KeySize = 32

// Challenge is a puzzle as the solver wants it, in JSON.
type Challenge = altcha.Challenge

// ErrWrong is the error of a solution that solves nothing of ours, or no more.
var ErrWrong = errors.New("the puzzle is not solved: it is another gateway's, has expired, was too easy, or its solution is wrong")

// Captcha sets puzzles and looks solutions through. Its methods may be called by many at once.
type Captcha struct {
	key string
	now func() time.Time
}

// New signs with key. Whoever knows it needs not solve anything.
func New(key []byte, now func() time.Time) *Captcha {
	return &Captcha{hex.EncodeToString(key), now}
}

// Challenge sets a puzzle.
func (c *Captcha) Challenge(effort Effort) (Challenge, error) {
	until := c.now().Add(Life)
	return altcha.CreateChallenge(altcha.ChallengeOptions{
		Algorithm: altcha.SHA256, MaxNumber: int64(effort), SaltLength: 16, HMACKey: c.key, Expires: &until,
		Params: url.Values{"effort": {strconv.Itoa(int(effort))}},
	})
}

// Pass tells one solution from all others.
type Pass struct {
	ID    string // of the puzzle
	Until time.Time
}

// maxSolution is far more than a solution has.
const maxSolution = 1 << 10

// Verify looks a solution through: it is of a puzzle of ours that took so much effort
// at least, and has not expired. The error is ErrWrong.
func (c *Captcha) Verify(solution string, effort Effort) (Pass, error) {
	if len(solution) > maxSolution {
		return Pass{}, ErrWrong
	}
	raw, err := base64.StdEncoding.DecodeString(solution)
	if err != nil {
		return Pass{}, ErrWrong
	}
	var p altcha.Payload
	if err := json.Unmarshal(raw, &p); err != nil || p.Algorithm != string(altcha.SHA256) {
		return Pass{}, ErrWrong
	}
	// The library's own look at the time is by the machine's clock, not by ours.
	if ok, err := altcha.VerifySolutionSafe(p, c.key, false); err != nil || !ok {
		return Pass{}, ErrWrong
	}
	until, tried, err := stated(p)
	if err != nil || !c.now().Before(until) || tried < effort {
		return Pass{}, ErrWrong
	}
	id := sha256.Sum256([]byte(p.Challenge))
	return Pass{ID: hex.EncodeToString(id[:16]), Until: until}, nil
}

// stated is what a puzzle says of itself; its signature has been verified.
func stated(p altcha.Payload) (until time.Time, tried Effort, err error) {
	params := altcha.ExtractParams(p)
	at, err := strconv.ParseInt(params.Get("expires"), 10, 64)
	if err != nil {
		return until, 0, fmt.Errorf("expires: %w", err)
	}
	n, err := strconv.Atoi(params.Get("effort"))
	if err != nil {
		return until, 0, fmt.Errorf("effort: %w", err)
	}
	return time.Unix(at, 0), Effort(n), nil
}

// Solve solves a puzzle as the solver does, for programs and tests.
func Solve(c Challenge) (string, error) {
	found, err := altcha.SolveChallengeSafe(c.Challenge, c.Salt, altcha.Algorithm(c.Algorithm), int(c.MaxNumber), 0, nil)
	if err != nil {
		return "", err
	}
	if found == nil {
		return "", ErrWrong
	}
	b, err := json.Marshal(altcha.Payload{Algorithm: c.Algorithm, Challenge: c.Challenge, Number: int64(found.Number), Salt: c.Salt, Signature: c.Signature})
	return base64.StdEncoding.EncodeToString(b), err
}
