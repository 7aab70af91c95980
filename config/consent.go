package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/viper"

	numbers "gatewayd/sms/number"
)

// Consent is what is asked and answered about consent: see docs/consent.md.
type Consent struct {
	Answers    string // AnswersChat, AnswersAll or AnswersNone
	Language   string // of answers to words of no one language
	Name       string // who this is to those that are answered
	Contact    string // how they reach somebody
	Silence    time.Duration
	QuietHours []QuietHours
	Words      []ConsentWords
	Texts      []ConsentTexts
}

// Which words are answered automatically.
const (
	AnswersChat = "chat"
	AnswersAll  = "all"
	AnswersNone = "none"
)

// QuietHours are when a destination is not to be texted.
type QuietHours struct {
	Destination numbers.Destination // "": all
	From, Until time.Duration       // since midnight
	TimeZone    *time.Location      // nil: that of the number
}

// ConsentWords are further words of a language.
type ConsentWords struct {
	Language                                  string
	Stop, Start, Yes, Help, Who, Spam, Threat []string
}

// ConsentTexts are answers in a language; "": as they are built in.
type ConsentTexts struct {
	Language, Stopped, Started, Help, Silence string
}

func consentFields(c *Consent) []field {
	return []field{
		{path: "consent.answers", def: AnswersChat, read: oneOf(&c.Answers, AnswersChat, AnswersAll, AnswersNone)},
		{path: "consent.language", def: "en", read: language(&c.Language)},
		{path: "consent.name", read: text(&c.Name)},
		{path: "consent.contact", read: text(&c.Contact)},
		{path: "consent.silence", def: "2160h", read: durationOrNone(&c.Silence, 24*time.Hour, maxKeep)},
	}
}

func quietFields(q *QuietHours) []field {
	return []field{
		{path: "destination", read: destination(&q.Destination)},
		{path: "from", read: timeOfDay(&q.From)},
		{path: "until", read: timeOfDay(&q.Until)},
		{path: "time_zone", read: timeZone(&q.TimeZone)},
	}
}

func textFields(t *ConsentTexts) []field {
	return []field{
		{path: "language", read: language(&t.Language)},
		{path: "stopped", read: text(&t.Stopped)},
		{path: "started", read: text(&t.Started)},
		{path: "help", read: text(&t.Help)},
		{path: "silence", read: text(&t.Silence)},
	}
}

// wordLists are the lists of one entry of consent.words.
func wordLists(w *ConsentWords) map[string]*[]string {
	return map[string]*[]string{"stop": &w.Stop, "start": &w.Start, "yes": &w.Yes, "help": &w.Help, "who": &w.Who, "spam": &w.Spam, "threat": &w.Threat}
}

// wordKinds are their names, in the order in which they are shown.
var wordKinds = []string{"stop", "start", "yes", "help", "who", "spam", "threat"}

// consentShape adds what is no scalar.
func consentShape(s *shape) {
	s.at("consent.quiet_hours").item = section(quietFields(&QuietHours{}))
	words := &shape{}
	words.at("language")
	for _, kind := range wordKinds {
		words.at(kind).item = &shape{}
	}
	s.at("consent.words").item = words
	s.at("consent.texts").item = section(textFields(&ConsentTexts{}))
}

func (l *loader) consent(v *viper.Viper) {
	c := &l.c.Consent
	for i, entry := range entries(v, "consent.quiet_hours") {
		q := QuietHours{}
		at := fmt.Sprintf("consent.quiet_hours[%d]", i)
		for _, f := range quietFields(&q) {
			l.read(f, join(at, f.path), lookup(entry, f.path))
		}
		for _, key := range []string{"from", "until"} {
			if lookup(entry, key) == "" {
				l.fail(at+"."+key, "", `a time of day is needed, such as "21:00"; the same for from and until is no quiet hours at all`)
			}
		}
		c.QuietHours = append(c.QuietHours, q)
	}
	for i, entry := range entries(v, "consent.words") {
		w := ConsentWords{}
		at := fmt.Sprintf("consent.words[%d]", i)
		l.languageOf(at, &w.Language, entry)
		for _, kind := range wordKinds {
			list, _ := entry[kind].([]any)
			for j := range list {
				word, _ := list[j].(string)
				if !strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) || len(word) > longestWord || strings.ContainsFunc(word, unicode.IsControl) {
					l.fail(fmt.Sprintf("%s.%s[%d]", at, kind, j), word, fmt.Sprintf("a word, or a few, of at most %d bytes", longestWord))
					continue
				}
				into := wordLists(&w)[kind]
				*into = append(*into, word)
			}
		}
		c.Words = append(c.Words, w)
	}
	seen := map[string]bool{}
	for i, entry := range entries(v, "consent.texts") {
		t := ConsentTexts{}
		at := fmt.Sprintf("consent.texts[%d]", i)
		l.languageOf(at, &t.Language, entry)
		for _, f := range textFields(&t) {
			if f.path != "language" {
				l.read(f, join(at, f.path), lookup(entry, f.path))
			}
		}
		if seen[t.Language] && t.Language != "" {
			l.fail(at+".language", t.Language, "this language has texts already; join the two entries")
		}
		seen[t.Language] = true
		c.Texts = append(c.Texts, t)
	}
}

// longestWord is more than any word is long.
const longestWord = 60

// languageOf reads the language of an entry, which it must have.
func (l *loader) languageOf(at string, to *string, entry map[string]any) {
	raw := lookup(entry, "language")
	if err := language(to)(raw); err != nil {
		l.fail(at+".language", raw, err.Error())
	}
}

var languageForm = regexp.MustCompile(`^[a-zA-Z]{2}$`)

func language(p *string) func(string) error {
	return func(raw string) error {
		if !languageForm.MatchString(raw) {
			return errors.New("the two letters of a language, such as de")
		}
		*p = strings.ToLower(raw)
		return nil
	}
}

func timeOfDay(p *time.Duration) func(string) error {
	return func(raw string) error {
		t, err := time.Parse("15:04", raw)
		if err != nil {
			return errors.New(`a time of day such as "21:00"`)
		}
		*p = time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
		return nil
	}
}

func timeZone(p **time.Location) func(string) error {
	return func(raw string) error {
		zone, err := time.LoadLocation(raw)
		if err != nil || raw == "Local" {
			return errors.New("a time zone such as Europe/Berlin")
		}
		*p = zone
		return nil
	}
}

func destination(p *numbers.Destination) func(string) error {
	return func(raw string) error {
		d, err := numbers.ParseDestination(raw)
		if err == nil {
			*p = d
		}
		return err
	}
}
