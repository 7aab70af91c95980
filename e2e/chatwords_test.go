//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"gatewayd/sms"
)

// The chat page takes from a text what an SMS has around it, as the gateway does; and
// orders times as times: as texts, half a second comes after half a second and a bit.
func TestWordsOfTheChatPage(t *testing.T) {
	anna := &sms.Author{Kind: sms.AuthorPerson, ID: "usr_1", Name: "Anna"}
	one := sms.File{ID: "one", Name: "key.png", Type: "image/png", Size: 1}
	messages := []sms.Message{
		{Text: "Anna: hello", Mode: sms.ModeSMS, Author: anna},
		{Text: "Anna: hello", Author: anna},
		{Text: "Anna: hello", Via: sms.ViaInternet, Mode: sms.ModeAuto, Author: anna},
		{Text: "Anna: [Keys] hello\nhttps://hub.example/f/one", Subject: "Keys", Mode: sms.ModeAuto, Author: anna, Files: []sms.File{one}},
		{Text: "Anna: https://hub.example/f/one", Mode: sms.ModeAuto, Author: anna, Files: []sms.File{one}},
		{Text: "Anna: see\nhttps://hub.example/f/other", Mode: sms.ModeAuto, Author: anna, Files: []sms.File{one}},
	}
	script, err := os.ReadFile("../api/assets/chat-words.js")
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal([]any{string(script), messages})
	if err != nil {
		t.Fatal(err)
	}
	program := node(t, "--input-type=module", "-e", `
		import { readFileSync } from 'node:fs';
		const [script, messages] = JSON.parse(readFileSync(0, 'utf8'));
		const { bare, moment } = await import('data:text/javascript,' + encodeURIComponent(script));
		console.log(JSON.stringify({ texts: messages.map(m => bare(m)), ordered: moment('2026-11-27T09:00:01.5Z') < moment('2026-11-27T09:00:01.512Z') }));`)
	program.Stdin = strings.NewReader(string(input))
	out, err := program.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Texts   []string
		Ordered bool
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !got.Ordered {
		t.Error("half a second comes after half a second and a bit")
	}
	for i := range messages {
		if want := messages[i].Bare(); got.Texts[i] != want {
			t.Errorf("%q is %q on the page, and %q to the gateway", messages[i].Text, got.Texts[i], want)
		}
	}
}
