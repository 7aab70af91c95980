package contacts

import (
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

// property is one line of a vCard, unfolded.
type property struct {
	name   string // without its group, in capitals
	params map[string]string
	value  string // as it stands there, but without a transfer encoding
}

// ReadVCards reads a file of vCards: 2.1 as old phones write them, with
// quoted-printable and other character sets, 3.0 (RFC 2426) and 4.0 (RFC 6350).
func ReadVCards(file []byte, region string) (*File, error) {
	text := decode(file)
	f := &File{}
	var card *card
	lines := cardLines{text: text}
	for {
		line, at, ok := lines.next()
		if !ok {
			break
		}
		p, ok := parseProperty(line)
		switch {
		case !ok:
		case p.name == "BEGIN" && strings.EqualFold(p.value, "VCARD"):
			if len(f.Rows) == MaxRows {
				return nil, notReadable("the file has more than %d vCards: import it in pieces", MaxRows)
			}
			card = newCard(at, region)
		case card == nil:
		case p.name == "END" && strings.EqualFold(p.value, "VCARD"):
			f.Rows = append(f.Rows, card.done())
			card = nil
		default:
			card.take(p)
		}
	}
	switch {
	case card != nil:
		return nil, notReadable("the file ends within the vCard that begins in line %d", card.Line)
	case len(f.Rows) == 0:
		return nil, notReadable("the file has no vCard, which would begin with BEGIN:VCARD")
	}
	return f, nil
}

// cardLines takes a file apart into lines that go on where they were folded.
type cardLines struct {
	text string
	at   int // lines so far
}

// maxLine is more than any text that is kept; of pictures what comes after is left out.
const maxLine = 16 << 10

func (l *cardLines) physical() (string, bool) {
	if l.text == "" {
		return "", false
	}
	line, rest, _ := strings.Cut(l.text, "\n")
	l.text, l.at = rest, l.at+1
	return strings.TrimSuffix(line, "\r"), true
}

func (l *cardLines) next() (line string, at int, ok bool) {
	line, ok = l.physical()
	at = l.at
	if !ok {
		return "", at, false
	}
	// Version 2.1 folds quoted-printable by a = at the end; the next line may then
	// begin with anything.
	head, _, _ := strings.Cut(strings.ToUpper(line[:min(len(line), 200)]), ":")
	soft := strings.Contains(head, "QUOTED-PRINTABLE")
	var b strings.Builder
	b.WriteString(line)
	for {
		more := soft && strings.HasSuffix(line, "=")
		if !more && (l.text == "" || l.text[0] != ' ' && l.text[0] != '\t') {
			return b.String(), at, true
		}
		if line, ok = l.physical(); !ok {
			return b.String(), at, true
		}
		if b.Len() > maxLine {
			continue
		}
		if more {
			b.WriteByte('\n')
			b.WriteString(line)
		} else {
			b.WriteString(line[1:])
		}
	}
}

// parseProperty reads a line; ok is false for what is none.
func parseProperty(line string) (p property, ok bool) {
	// The colon that ends the parameters is the first one outside of quotes.
	quoted, colon := false, -1
	for i := range len(line) {
		if line[i] == '"' {
			quoted = !quoted
		}
		if line[i] == ':' && !quoted {
			colon = i
			break
		}
	}
	if colon < 0 {
		return p, false
	}
	head := strings.Split(line[:colon], ";")
	p.name, p.value = strings.ToUpper(strings.TrimSpace(head[0])), line[colon+1:]
	if _, name, ok := strings.Cut(p.name, "."); ok { // item1.TEL
		p.name = name
	}
	p.params = map[string]string{}
	for _, s := range head[1:] {
		name, value, ok := strings.Cut(s, "=")
		if !ok { // version 2.1 writes the value alone
			name, value = "TYPE", s
			switch strings.ToUpper(s) {
			case "QUOTED-PRINTABLE", "BASE64", "B", "8BIT", "7BIT":
				name = "ENCODING"
			}
		}
		name = strings.ToUpper(strings.TrimSpace(name))
		p.params[name] = strings.TrimPrefix(p.params[name]+","+strings.ToUpper(strings.ReplaceAll(value, `"`, "")), ",")
	}
	p.transfer()
	return p, true
}

// transfer takes off the transfer encoding and the character set of version 2.1. What
// can't be decoded to its end is kept as far as it goes.
func (p *property) transfer() {
	var b []byte
	switch p.params["ENCODING"] {
	case "QUOTED-PRINTABLE":
		b, _ = io.ReadAll(quotedprintable.NewReader(strings.NewReader(p.value)))
	case "B", "BASE64":
		b, _ = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(p.value), ""))
	default:
		return // the whole file was decoded already
	}
	p.value = string(b)
	if set := p.params["CHARSET"]; set != "" && set != "UTF-8" {
		if e, err := htmlindex.Get(set); err == nil {
			if plain, err := e.NewDecoder().String(p.value); err == nil {
				p.value = plain
			}
		}
	}
	if !utf8.ValidString(p.value) {
		p.value = decode([]byte(p.value))
	}
}

// fields takes a value apart at a separator that no backslash stands before, and the
// backslashes off.
func (p *property) fields(separator byte) (all []string) {
	var b strings.Builder
	for i := 0; i < len(p.value); i++ {
		c := p.value[i]
		switch {
		case c == '\\' && i+1 < len(p.value):
			if i++; p.value[i] == 'n' || p.value[i] == 'N' {
				b.WriteByte('\n')
			} else {
				b.WriteByte(p.value[i])
			}
		case separator != 0 && c == separator:
			all = append(all, strings.TrimSpace(b.String()))
			b.Reset()
		default:
			b.WriteByte(c)
		}
	}
	return append(all, strings.TrimSpace(b.String()))
}

func (p *property) text() string { return p.fields(0)[0] }

// card is a vCard that is being read.
type card struct {
	builder
	parts   string // the name of N
	numbers []property
}

func newCard(line int, region string) *card {
	return &card{builder: builder{Row: Row{Line: line}, region: region}}
}

func (c *card) take(p property) {
	switch p.name {
	case "FN":
		c.first(&c.Contact.Name, p.text())
	case "N":
		n := append(p.fields(';'), "", "", "", "")
		c.first(&c.parts, strings.Join(strings.Fields(strings.Join([]string{n[3], n[1], n[2], n[0]}, " ")), " "))
	case "NICKNAME":
		c.first(&c.parts, p.text())
	case "TEL":
		c.numbers = append(c.numbers, p)
	case "EMAIL":
		c.first(&c.Contact.Email, p.text())
	case "ORG":
		c.first(&c.Contact.Organisation, p.fields(';')[0])
	case "NOTE":
		c.first(&c.Contact.Note, p.text())
	case "LANG":
		c.first(&c.Contact.Language, p.text())
	case "CATEGORIES":
		for _, name := range p.fields(',') {
			c.group(name)
		}
	}
}

// done takes the numbers, the preferred and the mobile ones first: texts go there.
func (c *card) done() Row {
	rank := func(p property) int {
		types := strings.Split(p.params["TYPE"], ",")
		has := func(t string) bool { return slices.Contains(types, t) }
		switch {
		case has("FAX"), has("PAGER"), has("MODEM"), has("ISDN"):
			return -1
		case has("PREF"), p.params["PREF"] == "1":
			return 0
		case has("CELL"), has("MOBILE"), has("IPHONE"):
			return 1
		}
		return 2
	}
	slices.SortStableFunc(c.numbers, func(a, b property) int { return rank(a) - rank(b) })
	for _, p := range c.numbers {
		if rank(p) >= 0 {
			c.number(p.text())
		}
	}
	c.first(&c.Contact.Name, c.parts)
	return c.builder.done()
}

// WriteVCard writes a contact as version 3.0: what Android, iPhones, Outlook and
// Google Contacts all take, while Outlook and older phones don't know 4.0. A consent
// is not in it: what is handed on as a card can be changed by anybody.
func WriteVCard(w io.Writer, c *Contact) error {
	var b strings.Builder
	line := func(name, value string) { b.WriteString(folded(name + ":" + value)) }
	line("BEGIN", "VCARD")
	line("VERSION", "3.0")
	line("UID", "urn:gatewayd:"+c.ID)
	line("FN", escaped(c.Name))
	line("N", nameParts(c.Name))
	for i, n := range c.Numbers {
		if i == 0 {
			line("TEL;TYPE=CELL,PREF", n)
		} else {
			line("TEL;TYPE=CELL", n)
		}
	}
	if c.Email != "" {
		line("EMAIL;TYPE=INTERNET", escaped(c.Email))
	}
	if c.Organisation != "" {
		line("ORG", escaped(c.Organisation))
	}
	if c.Note != "" {
		line("NOTE", escaped(c.Note))
	}
	if c.Language != "" {
		line("LANG", c.Language) // of RFC 6350; who does not know it passes it over
	}
	if len(c.Groups) > 0 {
		names := make([]string, len(c.Groups))
		for i, g := range c.Groups {
			names[i] = escaped(g.Name)
		}
		line("CATEGORIES", strings.Join(names, ","))
	}
	line("REV", c.UpdatedAt.UTC().Format(time.RFC3339))
	line("END", "VCARD")
	_, err := io.WriteString(w, b.String())
	return err
}

var escaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, ",", `\,`, ";", `\;`)

func escaped(s string) string { return escaper.Replace(s) }

// nameParts is N, which is mandatory: the last word for the family name. FN is what
// is shown.
func nameParts(name string) string {
	words := strings.Fields(name)
	if len(words) < 2 {
		return escaped(name) + ";;;;"
	}
	last := len(words) - 1
	return fmt.Sprintf("%s;%s;;;", escaped(words[last]), escaped(strings.Join(words[:last], " ")))
}

// folded breaks a line after 75 bytes at most, and not within a character.
func folded(s string) string {
	const most = 75
	var b strings.Builder
	room := most
	for _, c := range s {
		if n := utf8.RuneLen(c); n > room {
			b.WriteString("\r\n ")
			room = most - 1
		}
		b.WriteRune(c)
		room -= max(utf8.RuneLen(c), 1)
	}
	return b.String() + "\r\n"
}
