package queue

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for text, want := range map[string]Word{
		"STOP":                      {Kind: WordStop},
		" Stop. ":                   {Kind: WordStop},
		"«stop»!!":                  {Kind: WordStop},
		"\u200bStop\ufe0f":          {Kind: WordStop},
		"opt   out":                 {Kind: WordStop},
		"Opt-Out":                   {Kind: WordStop},
		"quit":                      {Kind: WordStop},
		"Arrêt":                     {Kind: WordStop, Lang: "fr"},
		"parar":                     {Kind: WordStop},             // Spanish and Portuguese
		"İptal":                     {Kind: WordStop, Lang: "tr"}, //
		"unstop":                    {Kind: WordStart},
		"Yes!":                      {Kind: WordStart, Yes: true, Lang: "en"},
		"y":                         {Kind: WordStart, Yes: true, Lang: "en"},
		"Ja 👍":                      {Kind: WordStart, Yes: true},
		"sí":                        {Kind: WordStart, Yes: true, Lang: "es"},
		"info":                      {Kind: WordHelp},
		"Hilfe?":                    {Kind: WordHelp, Lang: "de"},
		"who?":                      {Kind: WordWho},
		"spam":                      {Kind: WordSpam},
		"Drohung":                   {Kind: WordThreat, Lang: "de"},
		"":                          {},
		"?!":                        {},
		"please stop":               {},
		"stop it":                   {},
		"end of the line":           {},
		strings.Repeat("stop ", 40): {},
	} {
		if got := common.Of(text); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}

// Every language can be left, joined and asked for help in, and every text has its names
// put in.
func TestEveryLanguageIsWhole(t *testing.T) {
	known := map[string]bool{}
	for _, w := range builtIn[1:] {
		known[w.Lang] = true
		if len(w.Yes) == 0 || w.Lang != "en" && (len(w.Stop) == 0 || len(w.Help) == 0) {
			t.Errorf("%s lacks words", w.Lang)
		}
	}
	if texts := slices.Sorted(maps.Keys(builtInTexts)); !slices.Equal(texts, slices.Sorted(maps.Keys(known))) {
		t.Errorf("texts in %v", texts)
	}
	for lang := range builtInTexts {
		for _, contact := range []string{"", "+49 30 123456"} {
			texts := (&ConsentRules{Language: lang, Name: "Praxis Muster", Contact: contact}).texts("")
			for _, text := range []string{texts.Stopped, texts.Started, texts.Help, texts.Silence} {
				if !strings.Contains(text, "Praxis Muster") || strings.ContainsAny(text, "{}") || !strings.Contains(text, "STOP") && !strings.Contains(text, "START") {
					t.Errorf("%s: %q", lang, text)
				}
			}
			if contact != "" && !strings.Contains(texts.Help, contact) {
				t.Errorf("%s: %q", lang, texts.Help)
			}
		}
	}
}

func TestVocabularyOfTheOwner(t *testing.T) {
	v, err := NewVocabulary(Words{Lang: "sv", Stop: []string{"avsluta", "Sluta nu!"}, Yes: []string{"ja"}})
	if err != nil {
		t.Fatal(err)
	}
	if w := v.Of("sluta NU"); w != (Word{Kind: WordStop, Lang: "sv"}) || v.Of("STOP").Kind != WordStop {
		t.Errorf("%+v", w)
	}
	for _, bad := range []Words{{Lang: "sv", Yes: []string{"stop"}}, {Lang: "sv", Start: []string{"yes"}}, {Lang: "sv", Help: []string{"..."}}} {
		if _, err := NewVocabulary(bad); err == nil {
			t.Errorf("taken: %+v", bad)
		}
	}
	own := ConsentRules{Language: "sv", Texts: map[string]ConsentTexts{"sv": {Stopped: "Hej då från {name}", Help: "Ring {contact}"}}}
	if got := own.texts("sv"); got.Stopped != "Hej då från us" || got.Help != "Ring " || !strings.Contains(got.Started, "messages from us") {
		t.Errorf("%+v", got)
	}
}

// The table of words in the documents is the one that counts.
func TestWordsAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../docs/consent.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{"": "any language", "en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "nl": "Dutch", "pt": "Portuguese", "pl": "Polish", "tr": "Turkish"}
	for _, w := range builtIn {
		row := "| " + rows[w.Lang] + " |"
		for _, words := range [][]string{w.Stop, w.Start, w.Yes, w.Help, w.Who, w.Spam, w.Threat} {
			row += strings.TrimSuffix(" "+strings.Join(words, ", "), " ") + " |"
		}
		if !strings.Contains(string(b), row+"\n") {
			t.Errorf("docs/consent.md lacks the row %s", row)
		}
	}
}

func FuzzWordOf(f *testing.F) {
	for _, s := range []string{"STOP", " stop. ", "Ja 👍", "opt  out", "İptal", "\xff\xfe", strings.Repeat("a", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w := common.Of(s)
		if w.Kind == WordNone {
			return
		}
		if again := common.Of("  ¡" + bareWord(s) + "!\n"); again != w {
			t.Errorf("%q is %+v, and with something around it %+v", s, w, again)
		}
	})
}
