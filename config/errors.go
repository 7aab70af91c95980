package config

import (
	"fmt"
	"sort"
	"strings"
)

// Error is one mistake.
type Error struct {
	Key     string // with its place in a list: modems.list[0].port
	Value   string // as written; "" when absent or secret
	Allowed string // what is allowed, or what is wrong in words
	Line    int    // of the file, 0 if it has none
	Env     string // the variable that the value came from, "" for the file
}

func (e Error) Error() string {
	var b strings.Builder
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	if e.Value != "" {
		b.WriteString(quoted(e.Value) + " is not allowed: ")
	}
	b.WriteString(oneLine(e.Allowed))
	switch {
	case e.Env != "":
		b.WriteString(" (from " + e.Env + ")")
	case e.Line > 0:
		fmt.Fprintf(&b, " (line %d)", e.Line)
	}
	return b.String()
}

// Errors are all mistakes of a configuration, in the order of its lines.
type Errors []Error

func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

func (es Errors) sorted() Errors {
	sort.SliceStable(es, func(i, j int) bool { return es[i].Line < es[j].Line })
	return es
}

func quoted(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// oneLine keeps the promise of one line per mistake against file names and
// messages of libraries.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == '\u0085' {
			return ' '
		}
		return r
	}, s)
}

// suggest tells the known key that an unknown one was probably meant to be, or
// which keys there are.
func suggest(parent, unknown string, siblings, all []string) string {
	best, at := "", len(unknown)/3+2
	for _, s := range siblings {
		if d := distance(strings.ToLower(unknown), s); d < at {
			best, at = join(parent, s), d
		}
	}
	if best == "" { // the right word in the wrong place
		for _, k := range all {
			if last := k[strings.LastIndexByte(k, '.')+1:]; last == strings.ToLower(unknown) {
				best = k
				break
			}
		}
	}
	if best != "" {
		return "unknown key, did you mean " + best + "?"
	}
	return "unknown key; known here: " + strings.Join(siblings, ", ")
}

// distance is the number of letters to insert, drop or change.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func join(parent, key string) string {
	if parent == "" {
		return key
	}
	return parent + "." + key
}
