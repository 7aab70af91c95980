package widget

import (
	"embed"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

//go:embed words/*.json
var wordFiles embed.FS

// words are what a frame says, by language and by name.
var words = sync.OnceValue(func() map[string]map[string]string {
	all := map[string]map[string]string{}
	files, err := wordFiles.ReadDir("words")
	if err != nil {
		panic(err) // they are part of the program
	}
	for _, f := range files {
		b, err := wordFiles.ReadFile(path.Join("words", f.Name()))
		if err != nil {
			panic(err)
		}
		said := map[string]string{}
		if err := json.Unmarshal(b, &said); err != nil {
			panic(f.Name() + ": " + err.Error())
		}
		all[strings.TrimSuffix(f.Name(), ".json")] = said
	}
	return all
})

// Languages are those that a widget speaks.
func Languages() []string { return slices.Sorted(maps.Keys(words())) }

// LanguageNames are the languages as those who speak them call them.
func LanguageNames() (all []Choice) {
	for _, tag := range Languages() {
		all = append(all, Choice{tag, display.Self.Name(language.Make(tag))})
	}
	return all
}
