//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"gatewayd/sms/pdu"
)

// textsToCount are of every kind.
func textsToCount() []string {
	list := []string{"x", "é", "€", "`", "\f", "\t", "ç", "Ç", "😀", "ж", "a\r\nb", "\u00a0", "\u2028", "ﬁ", "e\u0301", "👩‍👩‍👧‍👦", "\u0000", "\u001b", "\u0085"}
	for _, c := range []string{"a", "€", "ж", "😀"} {
		for n := range 340 {
			list = append(list, strings.Repeat(c, n+1), "b"+strings.Repeat(c, n+1))
		}
	}
	const seed = 7
	r := rand.New(rand.NewPCG(seed, seed))
	letters := []rune("aeiou nrst @£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà^{}\\[~]|€\n")
	foreign := []rune("жçŁ“”😀\U0001F1E9\t—")
	for range 1500 {
		var b strings.Builder
		for range 1 + r.IntN(400) {
			b.WriteRune(letters[r.IntN(len(letters))])
		}
		if r.IntN(2) == 0 {
			b.WriteRune(foreign[r.IntN(len(foreign))])
			b.WriteString("ok 😀")
		}
		list = append(list, b.String())
	}
	return list
}

// counts has a script count texts, as browsers do.
func counts(t *testing.T, file string, list []string, into any) {
	t.Helper()
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(append([]string{string(script)}, list...))
	if err != nil {
		t.Fatal(err)
	}
	// An address of data is a module whatever the version of node.
	program := node(t, "--input-type=module", "-e", `
		import { readFileSync } from 'node:fs';
		const [script, ...texts] = JSON.parse(readFileSync(0, 'utf8'));
		const { count } = await import('data:text/javascript,' + encodeURIComponent(script));
		console.log(JSON.stringify(texts.map(count)));`)
	program.Stdin, program.Stderr = bytes.NewReader(input), os.Stderr
	out, err := program.Output()
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The counter of the widget says the same, as far as it says anything.
func TestCounterOfTheWidget(t *testing.T) {
	list := textsToCount()
	var counted []struct {
		Characters, Units, Parts int
		ForcedBy                 string
	}
	counts(t, "../widget/assets/count.js", list, &counted)
	if len(counted) != len(list) {
		t.Fatalf("%d texts are counted, want %d", len(counted), len(list))
	}
	wrong := 0
	for i, text := range list {
		want, err := pdu.Analyse(text)
		if err != nil {
			continue // the gateway says so
		}
		got := counted[i]
		if got.Characters != utf8.RuneCountInString(text) || got.Units != want.Units || got.Parts != want.Parts || got.ForcedBy != want.Forced().Character {
			if wrong++; wrong < 10 {
				t.Errorf("%.60q (%d): the widget counts %+v, the gateway %+v", text, len(text), got, want)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d are counted otherwise", wrong, len(list))
	}
}

// The counter of the chat page says what the gateway will do: the same script that
// browsers load, on texts of every kind, beside the gateway's own analysis.
func TestCounterOfTheChatPage(t *testing.T) {
	list := textsToCount()
	var counted []struct {
		Encoding           string
		Units, Parts, Left int
		Forced             *struct {
			Character, CodePoint string
			Position             int
		}
		Unsendable *struct{ Position int }
	}
	counts(t, "../api/assets/chat-count.js", list, &counted)
	if len(counted) != len(list) {
		t.Fatalf("%d texts are counted, want %d", len(counted), len(list))
	}
	wrong := 0
	for i, text := range list {
		got := counted[i]
		want, err := pdu.Analyse(text)
		if (err != nil) != (got.Unsendable != nil) {
			t.Errorf("%q: the page finds %+v, the gateway says %v", text, got.Unsendable, err)
		}
		if err != nil {
			continue
		}
		f := want.Forced()
		same := got.Encoding == string(want.Encoding) && got.Units == want.Units && got.Parts == want.Parts && got.Left == want.Left
		if got.Forced == nil {
			same = same && f.Character == ""
		} else {
			same = same && f.Character == got.Forced.Character && f.CodePoint == got.Forced.CodePoint && f.Position == got.Forced.Position
		}
		if !same {
			if wrong++; wrong < 10 {
				t.Errorf("%.60q (%d): the page counts %+v %+v, the gateway %+v", text, len(text), got, got.Forced, want)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d are counted otherwise", wrong, len(list))
	}
}
