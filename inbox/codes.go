package inbox

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"

	"gatewayd/captcha"
	"gatewayd/door"
	"gatewayd/queue"
	"gatewayd/sms/number"
)

// ErrNotTexted means that the hub texts no code to a number, whoever asks: its owner has
// ruled out where it is.
var ErrNotTexted = errors.New("this number is not texted from here")

const (
	codeLife  = 10 * time.Minute
	codeTries = 5
	mostCodes = 10_000
)

// codes are those that were texted and not used yet. They are in memory alone: a restart
// ends them, and whoever waits for one asks again.
type codes struct {
	key []byte // only what is made with it is kept of a code

	mu     sync.Mutex
	open   map[string]*asked // by what the browser got that asked
	solved map[string]time.Time
}

// asked is that somebody wants to open the inbox of a number. The code is good in the
// browser that asked for it alone, so nobody can guess at another's.
type asked struct {
	number, name string
	mac          []byte
	tries        int
	until        time.Time
}

func (c *codes) mac(ask, code string) []byte {
	m := hmac.New(sha256.New, c.key)
	fmt.Fprintf(m, "%s %s", ask, code)
	return m.Sum(nil)
}

// begin makes a code. It returns what the browser is to keep, and the code.
func (c *codes) begin(n, name string, now time.Time) (ask, code string, err error) {
	k, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return "", "", err
	}
	ask, code = rand.Text(), fmt.Sprintf("%06d", k)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(now)
	if len(c.open) >= mostCodes {
		return "", "", door.Refuse(http.StatusServiceUnavailable, "full", "Too many people wait for a code. Try again in ten minutes.")
	}
	if c.open == nil {
		c.open = map[string]*asked{}
	}
	c.open[ask] = &asked{n, name, c.mac(ask, code), codeTries, now.Add(codeLife)}
	return ask, code, nil
}

// try is one guess at a code.
func (c *codes) try(ask, code string, now time.Time) (n, name string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(now)
	a := c.open[ask]
	if a == nil {
		return "", "", false
	}
	a.tries--
	if ok = hmac.Equal(a.mac, c.mac(ask, code)); ok || a.tries <= 0 {
		delete(c.open, ask)
	}
	return a.number, a.name, ok
}

// spoil has no code fit: it was not texted, so whoever enters one guesses. Else what limits
// the codes to a number would not limit the guesses at them.
func (c *codes) spoil(ask string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.open[ask]; a != nil {
		a.mac = nil
	}
}

func (c *codes) drop(n string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ask, a := range c.open {
		if a.number == n {
			delete(c.open, ask)
		}
	}
}

// spend takes a solution of a puzzle, once.
func (c *codes) spend(p captcha.Pass, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(now)
	if c.solved == nil {
		c.solved = map[string]time.Time{}
	}
	if _, used := c.solved[p.ID]; used || len(c.solved) >= mostCodes {
		return false
	}
	c.solved[p.ID] = p.Until
	return true
}

func (c *codes) forget(now time.Time) {
	for ask, a := range c.open {
		if !now.Before(a.until) {
			delete(c.open, ask)
		}
	}
	for id, until := range c.solved {
		if !now.Before(until) {
			delete(c.solved, id)
		}
	}
}

// puzzle is POST puzzle.
func (b *Inbox) puzzle(w http.ResponseWriter, r *http.Request) error {
	p, err := b.puzzles.Challenge(b.effort)
	if err != nil {
		return err
	}
	return door.Answer(w, http.StatusOK, map[string]any{"puzzle": p})
}

// code is POST code: somebody wants a code to a number. The answer is the same whether
// it has an inbox, whether it takes texts from here, and whether it got one too many.
func (b *Inbox) code(w http.ResponseWriter, r *http.Request) error {
	var in struct{ Number, Region, Name, Solution string }
	if err := door.Read(r, &in); err != nil {
		return err
	}
	region := strings.ToUpper(in.Region)
	if region == "" {
		region = b.o.Region()
	}
	n, err := number.Parse(in.Number, region)
	if err != nil || number.KindOf(n) != number.International {
		return door.Refuse(http.StatusUnprocessableEntity, "number", "This is no phone number. Begin it with + and the country's code.")
	}
	name, ok := cleanName(in.Name)
	if !ok {
		return door.Refuse(http.StatusUnprocessableEntity, "name", "A name has 1 to %d characters.", longestName)
	}
	now := b.o.Now()
	pass, err := b.puzzles.Verify(in.Solution, b.effort)
	if err != nil || !b.codes.spend(pass, now) {
		return door.Refuse(http.StatusUnprocessableEntity, "puzzle", "The puzzle is not solved. Load the page anew.")
	}
	if err := door.Limited(b.limits.texted, door.Guesser(r)); err != nil {
		return err
	}
	ask, code, err := b.codes.begin(n, name, now)
	if err != nil {
		return err
	}
	texted := false
	defer func() {
		if !texted {
			b.codes.spoil(ask)
		}
	}()
	if b.limits.number.Take(n) == 0 { // else it gets no more, and nobody learns that it did
		if err := door.Limited(b.limits.all, ""); err != nil {
			return err
		}
		err := b.o.Text(r.Context(), n, b.textOf(code), now.Add(codeLife))
		texted = err == nil
		if errors.Is(err, ErrNotTexted) {
			return door.Refuse(http.StatusUnprocessableEntity, "not-texted", "Nothing is texted to numbers like this one from here.")
		} else if errors.Is(err, queue.ErrFull) || errors.Is(err, queue.ErrDiskFull) {
			return err
		} else if err != nil {
			b.log.Warn("a code for an inbox could not be texted", "error", err)
		}
	}
	return door.Answer(w, http.StatusAccepted, map[string]any{"ask": ask, "expires_in": int(codeLife.Seconds()), "digits": 6})
}

// textOf is what is texted.
func (b *Inbox) textOf(code string) string {
	at := ""
	if name := b.o.Name(); name != "" {
		at = " at " + cut(name, 40)
	}
	return code + " is your code to open your inbox" + at + ". It is good for 10 minutes. Tell it to nobody. If you did not ask for it, ignore this."
}

// open is POST open: the code opens the inbox, which is made if there was none.
func (b *Inbox) open(w http.ResponseWriter, r *http.Request) error {
	var in struct{ Ask, Code string }
	if err := door.Read(r, &in); err != nil {
		return err
	}
	if err := door.Limited(b.limits.guessed, door.Guesser(r)); err != nil {
		return err
	}
	code := strings.Map(func(c rune) rune {
		if c < '0' || c > '9' {
			return -1
		}
		return c
	}, cut(in.Code, 40))
	n, name, ok := b.codes.try(cut(in.Ask, 40), code, b.o.Now())
	if !ok {
		return door.Refuse(http.StatusForbidden, "code", "This is not the code, or it is over: it is good for ten minutes and %d tries.", codeTries)
	}
	b.limits.guessed.Return(door.Guesser(r))
	token, err := b.admit(n, name, r.UserAgent())
	if err != nil {
		return err
	}
	setCookie(w, r, token, sessionLife)
	return door.Answer(w, http.StatusOK, map[string]any{"number": n, "name": name})
}
