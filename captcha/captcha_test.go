package captcha

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/altcha-org/altcha-lib-go"
)

var key = []byte("0123456789abcdef0123456789abcdef")

const easy Effort = 500

func TestVerify(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	c := New(key, func() time.Time { return now })
	puzzle, err := c.Challenge(easy)
	if err != nil {
		t.Fatal(err)
	}
	solution, err := Solve(puzzle)
	if err != nil {
		t.Fatal(err)
	}
	pass, err := c.Verify(solution, easy)
	if err != nil || pass.ID == "" || !pass.Until.Equal(now.Add(Life)) {
		t.Fatal(pass, err)
	}
	if again, err := c.Verify(solution, easy); err != nil || again != pass {
		t.Error("the same solution is another pass", again, err)
	}
	wrong := func(what, solution string, effort Effort) {
		t.Helper()
		if _, err := c.Verify(solution, effort); !errors.Is(err, ErrWrong) {
			t.Errorf("%s: %v", what, err)
		}
	}
	changed := func(change func(*altcha.Payload)) string {
		raw, _ := base64.StdEncoding.DecodeString(solution)
		var p altcha.Payload
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
		change(&p)
		b, _ := json.Marshal(p)
		return base64.StdEncoding.EncodeToString(b)
	}
	wrong("an easier one", solution, easy+1)
	wrong("another number", changed(func(p *altcha.Payload) { p.Number++ }), easy)
	wrong("more effort than there was", changed(func(p *altcha.Payload) { p.Salt = strings.Replace(p.Salt, "effort=500", "effort=9999", 1) }), easy)
	wrong("a later end", changed(func(p *altcha.Payload) { p.Salt = strings.Replace(p.Salt, "expires=1", "expires=9", 1) }), easy)
	wrong("a weaker hash", changed(func(p *altcha.Payload) { p.Algorithm = "SHA-1" }), easy)
	wrong("no signature", changed(func(p *altcha.Payload) { p.Signature = "" }), easy)
	wrong("nothing", "", easy)
	wrong("no base64", "%", easy)
	wrong("no JSON", base64.StdEncoding.EncodeToString([]byte("[]")), easy)
	wrong("too much", strings.Repeat("A", maxSolution+4), easy)
	if _, err := New([]byte("another"), c.now).Verify(solution, easy); !errors.Is(err, ErrWrong) {
		t.Error("another gateway's puzzle is taken:", err)
	}
	// Digits that move from the salt into the number give the same hash.
	spliced := changed(func(p *altcha.Payload) { p.Salt = strings.TrimSuffix(p.Salt, "&") })
	if pass2, err := c.Verify(spliced, easy); err == nil && pass2.ID != pass.ID {
		t.Error("one solution gives two passes")
	}
	now = now.Add(Life)
	wrong("one that has expired", solution, easy)
}

// The script finds the same solutions, without WebCrypto, for salts of any length.
func TestSolver(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "solve.mjs"), Solver, 0o600); err != nil {
		t.Fatal(err)
	}
	var all []Challenge
	for length := 1; length < 70; length += 4 {
		puzzle, err := altcha.CreateChallenge(altcha.ChallengeOptions{Algorithm: altcha.SHA256, MaxNumber: 300, SaltLength: length, HMACKey: "key"})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, puzzle)
	}
	c := New(key, time.Now)
	puzzle, err := c.Challenge(easy)
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, puzzle)
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	const program = `import { solve } from "./solve.mjs";
const all = []; for (const c of JSON.parse(process.argv[2])) all.push(await solve(c, () => {}));
let lost = ""; await solve({ ...JSON.parse(process.argv[2])[0], maxNumber: 0, challenge: "00".repeat(32) }).catch((e) => { lost = String(e); });
console.log(JSON.stringify({ all, lost }));`
	if err := os.WriteFile(filepath.Join(dir, "run.mjs"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	node := exec.Command("node", "run.mjs", string(b))
	node.Dir = dir
	out, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got struct {
		All  []string
		Lost string
	}
	if err := json.Unmarshal(out, &got); err != nil || len(got.All) != len(all) {
		t.Fatalf("%v: %s", err, out)
	}
	for i, puzzle := range all {
		want, err := Solve(puzzle)
		if err != nil {
			t.Fatal(err)
		}
		if number(t, got.All[i]) != number(t, want) {
			t.Errorf("%s: %s, want %s", puzzle.Salt, got.All[i], want)
		}
	}
	if _, err := c.Verify(got.All[len(all)-1], easy); err != nil {
		t.Error(err)
	}
	if !strings.Contains(got.Lost, "no number") {
		t.Errorf("a puzzle without solution: %q", got.Lost)
	}
}

// number is what a solution says, whatever JSON it is written in.
func number(t *testing.T, solution string) (p altcha.Payload) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(solution)
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		t.Errorf("%s: %v", solution, err)
	}
	return p
}

func FuzzVerify(f *testing.F) {
	own := make([]byte, KeySize) // the fuzzer's processes each have another solution
	if _, err := rand.Read(own); err != nil {
		f.Fatal(err)
	}
	c := New(own, time.Now)
	puzzle, err := c.Challenge(easy)
	if err != nil {
		f.Fatal(err)
	}
	solution, err := Solve(puzzle)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(solution)
	f.Add("")
	f.Add("e30=")
	good, _ := c.Verify(solution, easy)
	f.Fuzz(func(t *testing.T, s string) {
		if pass, err := c.Verify(s, easy); err == nil && pass != good {
			t.Errorf("%q gives a pass", s)
		}
	})
}

// The end of a puzzle can't be moved: digits of the number that solves it, written behind
// the salt, where the time until which it is good stands, give the same hash.
func TestNoSplicing(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	c := New(make([]byte, KeySize), func() time.Time { return now })
	for range 20 {
		puzzle, err := c.Challenge(2000)
		if err != nil {
			t.Fatal(err)
		}
		solved, err := Solve(puzzle)
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.Verify(solved, 2000)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := base64.StdEncoding.DecodeString(solved)
		var p altcha.Payload
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
		digits := strconv.FormatInt(p.Number, 10)
		for i := 1; i < len(digits); i++ {
			moved := p
			moved.Salt += digits[:i]
			moved.Number, _ = strconv.ParseInt(digits[i:], 10, 64)
			b, _ := json.Marshal(moved)
			if pass, err := c.Verify(base64.StdEncoding.EncodeToString(b), 2000); err == nil && pass != first {
				t.Fatalf("%d moved: another pass, good until %s", i, pass.Until)
			}
		}
	}
}
