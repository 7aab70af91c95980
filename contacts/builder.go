package contacts

import (
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// builder makes a row of what stands in a file: what can be mended is, what can't be
// used is told.
type builder struct {
	Row
	region string
	bad    []Mistake // numbers
}

// first keeps the first value of a field, for files have several of some.
func (b *builder) first(into *string, value string) {
	if *into == "" {
		*into = value
	}
}

// rounded is a number as spreadsheets show long ones.
var rounded = regexp.MustCompile(`^\+?[0-9]+[.,][0-9]+[eE]\+?[0-9]+$`)

func (b *builder) number(s string) {
	if s = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(s), "tel:")); s == "" {
		return
	}
	s, _, _ = strings.Cut(s, ";") // the parameters of RFC 3966
	s = strings.Map(func(c rune) rune {
		if unicode.Is(unicode.Cf, c) { // marks of direction, that copied numbers have around them
			return -1
		}
		return c
	}, norm.NFKC.String(s))
	n, err := readNumber(s, b.region)
	switch {
	case len(b.bad) == maxTold:
	case rounded.MatchString(s):
		b.bad = append(b.bad, Mistake{"number", shown(s) + " was rounded by a spreadsheet: format the column as text"})
	case err != nil:
		b.bad = append(b.bad, Mistake{"number", shown(s) + " " + err.Error()})
	case len(b.Contact.Numbers) == MaxNumbers:
		b.leaveOut("number", "%s is one too many: a contact has %d at most", shown(s), MaxNumbers)
	default:
		for _, had := range b.Contact.Numbers {
			if had == n {
				return
			}
		}
		b.Contact.Numbers = append(b.Contact.Numbers, n)
	}
}

// shown is a piece of a file in a sentence about it.
func shown(s string) string { return "“" + shortened(oneLine(s), 40) + "”" }

func shortened(s string, most int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if utf8.RuneCountInString(s) > most {
		return string([]rune(s)[:most-1]) + "…"
	}
	return s
}

// oneLine makes a line of a text that has control characters.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))), " ")
}

// group puts the row into a group. Google's own, such as “* myContacts”, say nothing.
func (b *builder) group(name string) {
	name = norm.NFC.String(oneLine(name))
	if name == "" || strings.HasPrefix(name, "* ") {
		return
	}
	if name = shortened(name, MaxName); len(b.Groups) == MaxGroupsOf {
		b.leaveOut("groups", "has more than %d", MaxGroupsOf)
		return
	}
	for _, had := range b.Groups {
		if fold(had) == fold(name) {
			return
		}
	}
	b.Groups = append(b.Groups, name)
}

func (b *builder) consent() *Consent {
	if b.Contact.Consent == nil {
		b.Contact.Consent = &Consent{}
	}
	return b.Contact.Consent
}

func (b *builder) consentAt(s string) {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly, "02.01.2006 15:04", "2.1.2006"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil && t.Year() > 1970 {
			b.consent().At = t.UTC()
			return
		}
	}
	b.wrong("consent at", "%s is no day such as 2026-11-27", shown(s))
}

// done makes the row fit to be stored, or tells why it is not.
func (b *builder) done() Row {
	c := &b.Contact
	for field, s := range map[string]*string{"name": &c.Name, "organisation": &c.Organisation} {
		*s = norm.NFC.String(oneLine(*s))
		if cut := shortened(*s, MaxName); cut != *s {
			b.leaveOut(field, "is cut after %d characters", MaxName)
			*s = cut
		}
	}
	if c.Name == "" {
		c.Name = c.Organisation
	}
	if c.Name == "" && len(c.Numbers) > 0 {
		c.Name = c.Numbers[0]
	}
	if c.Email = oneLine(c.Email); c.Email != "" && (len(c.Email) > MaxEmail || !isEmail(c.Email)) {
		b.leaveOut("email", "%s is no e-mail address", shown(c.Email))
		c.Email = ""
	}
	c.Note = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, norm.NFC.String(strings.ToValidUTF8(c.Note, "\uFFFD"))))
	if cut := shortened(c.Note, MaxNote); cut != c.Note {
		b.leaveOut("note", "is cut after %d characters", MaxNote)
		c.Note = cut
	}
	if c.Language != "" {
		tag, ok := languageTag(strings.TrimSpace(c.Language))
		if !ok {
			b.leaveOut("language", "%s is no language such as de", shown(c.Language))
		}
		c.Language = tag
	}
	if c.Consent != nil {
		switch c.Consent.Wording = norm.NFC.String(oneLine(c.Consent.Wording)); {
		case c.Consent.Wording == "":
			b.wrong("consent", "is empty, and has a date")
		case utf8.RuneCountInString(c.Consent.Wording) > MaxWording:
			b.wrong("consent", "has more than %d characters", MaxWording)
		case c.Consent.At.After(time.Now().Add(24 * time.Hour)):
			b.wrong("consent at", "is in the future")
		}
	}
	switch {
	case len(c.Numbers) > 0:
		b.LeftOut = append(b.bad, b.LeftOut...)
	case len(b.bad) > 0:
		b.Wrong = append(b.bad, b.Wrong...)
	default:
		b.Skipped = "has no number"
	}
	return b.Row
}

// maxTold is how much is told of one row; a file may be made to have a lot.
const maxTold = 20

func (b *builder) leaveOut(field, format string, args ...any) {
	if len(b.LeftOut) == maxTold {
		return
	}
	b.LeftOut = append(b.LeftOut, mistake(field, format, args...))
}

func (b *builder) wrong(field, format string, args ...any) {
	b.Wrong = append(b.Wrong, mistake(field, format, args...))
}
