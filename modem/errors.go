package modem

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatewayd/modem/at"
	"gatewayd/sms"
)

// slowFailure is how long a modem may take to fail by itself. An unspecific
// error after that came from the network's silence, so the fate is unknown.
const slowFailure = 20 * time.Second

// bootTime is how long after its start a modem may refuse what it will allow.
const bootTime = time.Minute

// classHints are what to look at when an error has no hint of its own.
var classHints = map[sms.Class]string{
	sms.Permanent: "Check the number and the message.",
	sms.Account:   hintSIM,
	sms.Fault:     "The modem failed, not the network; check its power supply if this goes on.",
	sms.Accepted:  "The network has the message already.",
}

// classify reads the error that a CMGS ended with, waited after Ctrl-Z. What it
// says holds for this answer alone; run.read corrects it by the others. What
// will be done with the message is not its to say.
func classify(e *at.Error, maker string, waited time.Duration) (*sms.Error, *meaning) {
	m := lookUp(e, maker)
	class := m.class
	if m.silent && waited > slowFailure {
		class = sms.Unknown
	}
	code := "modem-error"
	switch {
	case m.set == "CMS" || m.set == "CME":
		code = fmt.Sprintf("%s-%d", strings.ToLower(m.set), m.code)
	case e.Set != "" && e.Code >= 0:
		code = fmt.Sprintf("%s-%d", strings.ToLower(e.Set), e.Code)
	}
	hint := m.hint
	if hint == "" || class != m.class {
		hint = classHints[class]
	}
	detail := "The modem answered " + e.Text + "."
	if hint != "" {
		detail += " " + hint
	}
	return &sms.Error{Code: code, Title: strings.ToUpper(m.title[:1]) + m.title[1:], Detail: detail, Class: class}, m
}

// lookUp finds what an answer means; unlisted if that is nowhere written.
func lookUp(e *at.Error, maker string) *meaning {
	if e.Set == "" {
		for i := range meanings {
			if m := &meanings[i]; m.code < 0 && strings.HasPrefix(e.Text, m.set) {
				return m
			}
		}
		return &unlisted
	}
	code := e.Code
	if code < 0 {
		code = leadingNumber(words(e.Text))
	}
	if code < 0 {
		return byWords(e.Set, words(e.Text))
	}
	if m := byCode(e.Set, code, maker); m != nil {
		return m
	}
	return &unlisted
}

// byCode prefers the maker's own meaning.
func byCode(set string, code int, maker string) *meaning {
	maker = strings.ToUpper(maker)
	var common *meaning
	for i := range meanings {
		m := &meanings[i]
		switch {
		case m.code != code || m.set != set:
		case m.maker == "":
			common = m
		case m.madeBy(maker):
			return m
		}
	}
	return common
}

func (m *meaning) madeBy(maker string) bool {
	for word := range strings.SplitSeq(m.maker, "|") {
		if strings.Contains(maker, word) {
			return true
		}
	}
	return false
}

// words is what stands behind the colon of an error line.
func words(line string) string {
	_, rest, _ := strings.Cut(line, ":")
	return strings.TrimSpace(rest)
}

// leadingNumber reads "38, some text" and "38 (text)"; -1 if there is no number.
func leadingNumber(s string) int {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(s[:end])
	if err != nil {
		return -1
	}
	return n
}

// byWords finds an error that the modem gave in words (+CMEE=2), in the many
// spellings that there are. The words of the other set count too: some modems
// say "+CMS ERROR: SIM busy" with the words of +CME ERROR.
func byWords(set, said string) *meaning {
	said = spelling(said)
	if said == "" {
		return &unlisted
	}
	other := "CME"
	if set == other {
		other = "CMS"
	}
	for _, s := range [...]string{set, other} {
		if m := titles()[title{s, said}]; m != nil {
			return m
		}
	}
	for _, s := range synonyms {
		if s.said == said {
			return byCode(s.set, s.code, "")
		}
	}
	return &unlisted
}

type title struct{ set, spelling string }

// titles finds the meanings that no maker has for itself by their words.
var titles = sync.OnceValue(func() map[title]*meaning {
	all := map[title]*meaning{}
	for i := range meanings {
		m := &meanings[i]
		if t := (title{m.set, spelling(m.title)}); m.maker == "" && all[t] == nil {
			all[t] = m
		}
	}
	return all
})

var simWords = strings.NewReplacer("(u)sim", "sim", "usim", "sim")

// spelling makes what is written in different ways alike: case, punctuation,
// "(U)SIM" and "SIM card", "needed" and "required", "incorrect" and "invalid".
func spelling(s string) string {
	s = simWords.Replace(strings.ToLower(s))
	var out []string
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		switch w {
		case "the", "a", "card", "error":
			continue
		case "needed", "necessary":
			w = "required"
		case "incorrect", "bad":
			w = "invalid"
		case "sc":
			w = "smsc"
		}
		out = append(out, w)
	}
	return strings.Join(out, " ")
}

// synonyms are other words for an error than its title's, as spelling leaves them.
var synonyms = []struct {
	said string
	set  string
	code int
}{
	{"sim", "CME", 13}, {"no sim", "CME", 10}, {"sim absent", "CME", 10}, {"sim not present", "CME", 10}, {"sim missing", "CME", 10},
	{"wrong sim", "CME", 15}, {"sim not ready", "CME", 14}, {"sim initializing", "CME", 14}, {"wrong pin", "CME", 16}, {"invalid pin", "CME", 16},
	{"wrong password", "CME", 16}, {"pin required", "CME", 11}, {"puk required", "CME", 12}, {"sim locked", "CME", 11},
	{"no network", "CME", 30}, {"no service", "CME", 30}, {"emergency calls only", "CME", 32}, {"emergency only", "CME", 32},
	{"timeout", "CME", 31}, {"network time out", "CME", 31}, {"storage full", "CMS", 322}, {"memory is full", "CMS", 322},
	{"unassigned number", "CMS", 1}, {"number not assigned", "CMS", 1}, {"unallocated number", "CMS", 1},
	{"congestion", "CMS", 42}, {"resources unavailable", "CMS", 47}, {"destination out of service", "CMS", 27},
	{"facility not subscribed", "CMS", 50}, {"facility not implemented", "CMS", 69}, {"protocol", "CMS", 111}, {"interworking", "CMS", 127},
	{"invalid pdu", "CMS", 304}, {"invalid pdu parameter", "CMS", 304}, {"invalid text parameter", "CMS", 305}, {"sms service reserved", "CMS", 301},
	{"smsc address not known", "CMS", 330}, {"unknown smsc address", "CMS", 330}, {"invalid parameters", "CME", 50}, {"invalid parameter", "CME", 50},
	{"unknown", "CME", 100}, {"me failure", "CMS", 300}, {"smsc busy", "CMS", 192}, {"smsc failure", "CMS", 194},
	{"barred", "CMS", 10}, {"duplicate sm", "CMS", 197},
}

// cmeCode is the +CME ERROR code of an answer, -1 if it is none. The SIM's own
// troubles have twins in +CMS ERROR.
func cmeCode(err error) int {
	e := answer(err)
	if e == nil || e.Set == "" {
		return -1
	}
	m := lookUp(e, "")
	switch {
	case m.set == "CME":
		return m.code
	case m.set != "CMS":
		if e.Set == "CME" {
			return e.Code
		}
		return -1
	}
	switch m.code {
	case 310:
		return 10
	case 311:
		return 11
	case 313:
		return 13
	case 314:
		return 14
	case 315:
		return 15
	case 316:
		return 12
	case 321:
		return 21
	}
	return -1
}
