//go:build e2e

package e2e

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"gatewayd/sms/pdu"
)

// The counter of the chat page says what the gateway will do: the same script that
// browsers load, on texts of every kind, beside the gateway's own analysis.
func TestCounterOfTheChatPage(t *testing.T) {
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
	script, err := os.ReadFile("../api/assets/chat-count.js")
	if err != nil {
		t.Fatal(err)
	}
	texts, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	// An address of data is a module whatever the version of node.
	program := node(t, "--input-type=module", "-e", `
		import { readFileSync } from 'node:fs';
		const [script, ...texts] = JSON.parse(readFileSync(0, 'utf8'));
		const { count } = await import('data:text/javascript,' + encodeURIComponent(script));
		console.log(JSON.stringify(texts.map(count)));`)
	head, err := json.Marshal(string(script))
	if err != nil {
		t.Fatal(err)
	}
	program.Stdin = strings.NewReader("[" + string(head) + "," + string(texts[1:]))
	program.Stderr = os.Stderr
	out, err := program.Output()
	if err != nil {
		t.Fatal(err)
	}
	var counted []struct {
		Encoding           string
		Units, Parts, Left int
		Forced             *struct {
			Character, CodePoint string
			Position             int
		}
		Unsendable *struct{ Position int }
	}
	if err := json.Unmarshal(out, &counted); err != nil {
		t.Fatal(err)
	}
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
