package queue

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// WordKind says what a word asks for.
type WordKind string

// The kinds of words.
const (
	WordNone   WordKind = ""
	WordStop   WordKind = "stop"   // nothing more may be sent to the number
	WordStart  WordKind = "start"  // it may again; with Word.Yes also the answer to an invitation
	WordHelp   WordKind = "help"   // who this is, and how to end it
	WordWho    WordKind = "who"    // who is there
	WordSpam   WordKind = "spam"   // a complaint about whoever writes
	WordThreat WordKind = "threat" // the same, of a threat
)

// Word is what a whole text says.
type Word struct {
	Kind WordKind
	Yes  bool   // of WordStart: YES, which means something as an answer only
	Lang string // the language of the word (ISO 639, two letters); "": it is one of several, or none
}

// Words are the words of one language, by what they ask for.
type Words struct {
	Lang                                      string
	Stop, Start, Yes, Help, Who, Spam, Threat []string
}

// everywhere are words that phones send whatever language their owners speak.
const everywhere = ""

// builtIn are the words that count without any setting. Each is in use for this
// purpose and hardly says anything else when it is a whole text: so there is no
// KIM (Turkish for who, and a name), no WIE (Dutch for who, German for how), no DUR
// (Turkish for stop, French for hard) and no FIN.
var builtIn = []Words{
	{
		Stop:  []string{"STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "OPT OUT", "OPT-OUT"},
		Start: []string{"START", "UNSTOP"}, Help: []string{"HELP", "INFO"}, Who: []string{"WHO"}, Spam: []string{"SPAM"}, Threat: []string{"THREAT"},
	},
	{Lang: "en", Yes: []string{"YES", "Y"}},
	{Lang: "de", Stop: []string{"STOPP", "ABMELDEN", "ABBESTELLEN", "AUSTRAGEN"}, Yes: []string{"JA"}, Help: []string{"HILFE"}, Who: []string{"WER"}, Threat: []string{"DROHUNG", "BEDROHUNG"}},
	{Lang: "fr", Stop: []string{"ARRET", "ARRÊT", "ARRETER", "ARRÊTER", "DESABONNER", "DÉSABONNER", "DESINSCRIRE", "DÉSINSCRIRE"}, Yes: []string{"OUI"}, Help: []string{"AIDE"}, Who: []string{"QUI"}, Threat: []string{"MENACE"}},
	{Lang: "es", Stop: []string{"BAJA", "PARAR", "CANCELAR"}, Yes: []string{"SI", "SÍ"}, Help: []string{"AYUDA"}, Who: []string{"QUIEN", "QUIÉN"}, Threat: []string{"AMENAZA"}},
	{Lang: "it", Stop: []string{"ANNULLA", "FERMA", "DISISCRIVI", "DISATTIVA"}, Yes: []string{"SI", "SÌ"}, Help: []string{"AIUTO"}, Who: []string{"CHI"}, Threat: []string{"MINACCIA"}},
	{Lang: "nl", Stop: []string{"AFMELDEN", "UITSCHRIJVEN", "STOPPEN"}, Yes: []string{"JA"}, Help: []string{"HULP"}, Threat: []string{"BEDREIGING"}},
	{Lang: "pt", Stop: []string{"SAIR", "PARAR", "CANCELAR"}, Yes: []string{"SIM"}, Help: []string{"AJUDA"}, Who: []string{"QUEM"}, Threat: []string{"AMEAÇA", "AMEACA"}},
	{Lang: "pl", Stop: []string{"REZYGNUJĘ", "REZYGNUJE", "WYPISZ", "WYPISZ MNIE"}, Yes: []string{"TAK"}, Help: []string{"POMOC"}, Who: []string{"KTO"}, Threat: []string{"GROŹBA", "GROZBA"}},
	{Lang: "tr", Stop: []string{"IPTAL", "İPTAL", "DURDUR"}, Yes: []string{"EVET"}, Help: []string{"YARDIM"}, Threat: []string{"TEHDIT", "TEHDİT"}},
}

// Vocabulary is every word that counts.
type Vocabulary map[string]Word

// NewVocabulary is the words that count without any setting, and more. A word has one
// meaning: its error names one that has two.
func NewVocabulary(more ...Words) (Vocabulary, error) {
	v := Vocabulary{}
	for _, w := range slices.Concat(builtIn, more) {
		for _, of := range []struct {
			words []string
			means Word
		}{
			{w.Stop, Word{Kind: WordStop}}, {w.Start, Word{Kind: WordStart}}, {w.Yes, Word{Kind: WordStart, Yes: true}}, {w.Help, Word{Kind: WordHelp}},
			{w.Who, Word{Kind: WordWho}}, {w.Spam, Word{Kind: WordSpam}}, {w.Threat, Word{Kind: WordThreat}},
		} {
			for _, word := range of.words {
				of.means.Lang = w.Lang
				if err := v.add(word, of.means); err != nil {
					return nil, err
				}
			}
		}
	}
	return v, nil
}

func (v Vocabulary) add(word string, means Word) error {
	bare := bareWord(word)
	if bare == "" {
		return fmt.Errorf("%.20q has no letter or digit", word)
	}
	had, ok := v[bare]
	switch {
	case !ok:
	case had.Kind != means.Kind || had.Yes != means.Yes:
		return fmt.Errorf("%.20q means %s already and can't mean %s too", word, had.name(), means.name())
	case had.Lang != means.Lang:
		means.Lang = everywhere // nobody knows which of them it is
	}
	v[bare] = means
	return nil
}

func (w Word) name() string {
	if w.Yes {
		return "yes"
	}
	return string(w.Kind)
}

// Of tells what a text says, if it is nothing but a word.
func (v Vocabulary) Of(text string) Word {
	const longest = 100 // bytes; no word is nearly as long
	if len(text) > longest {
		return Word{}
	}
	return v[bareWord(text)]
}

// bareWord is a text as words are matched: in capitals, without what surrounds it, and
// with one space between words.
func bareWord(text string) string {
	text = strings.TrimFunc(text, func(c rune) bool {
		return unicode.IsSpace(c) || unicode.IsPunct(c) || unicode.IsSymbol(c) || unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || c == '\ufe0f'
	})
	return strings.ToUpper(strings.Join(strings.Fields(text), " "))
}

// common is the vocabulary without any setting.
var common = func() Vocabulary {
	v, err := NewVocabulary()
	if err != nil {
		panic("queue: " + err.Error())
	}
	return v
}()

// WordOf tells what a text says, if it is nothing but one of the words that count here.
func (q *Queue) WordOf(text string) Word { return q.rules().Words.Of(text) }
