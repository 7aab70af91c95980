package sim

import (
	"strconv"
	"strings"
)

// command is one command of a line, as V.250 splits it.
type command struct {
	name   string // "E", "&F", "+CMGS" …; "" if the rest of the line made no sense
	op     byte   // '=' set, '?' read, 't' test, 0 execute
	args   string // of '=', or the number after a basic command
	waited bool   // a fault made it slow already
}

// parse splits what follows AT. Commands in front of one that makes no sense
// are still there, for a modem obeys them before it says ERROR.
func parse(s string) []command {
	var all []command
	for {
		s = strings.TrimLeft(s, " ;")
		if s == "" {
			return all
		}
		c, rest, good := next(s)
		if !good {
			return append(all, command{})
		}
		all = append(all, c)
		if c.name == "Z" { // V.250 6.1.1: what follows on the line is not read
			return all
		}
		s = rest
	}
}

func next(s string) (c command, rest string, good bool) {
	first := upper(s[0])
	switch {
	case strings.IndexByte("+^#*$%", first) >= 0:
		return extended(s)
	case first == 'D':
		return command{name: "D", args: s[1:]}, "", true
	case first == 'S':
		n := digits(s[1:])
		c, rest = command{name: "S", args: s[1 : 1+n]}, s[1+n:]
		if strings.HasPrefix(rest, "?") {
			c.op, rest = '?', rest[1:]
		} else if strings.HasPrefix(rest, "=") {
			c.op = '='
			rest = rest[1+digits(rest[1:]):]
		} else {
			return c, "", false
		}
		return c, rest, n > 0
	case first == '&' && len(s) > 1 && letter(s[1]):
		n := digits(s[2:])
		return command{name: strings.ToUpper(s[:2]), args: s[2 : 2+n]}, s[2+n:], true
	case letter(first):
		n := digits(s[1:])
		return command{name: string(first), args: s[1 : 1+n]}, s[1+n:], true
	}
	return c, "", false
}

// extended reads a command such as +CMGS=23 up to the semicolon.
func extended(s string) (c command, rest string, good bool) {
	n := 1
	for n < len(s) && (letter(s[n]) || s[n] >= '0' && s[n] <= '9') {
		n++
	}
	c.name = strings.ToUpper(s[:n])
	s = s[n:]
	switch {
	case n == 1:
		return c, "", false
	case strings.HasPrefix(s, "=?"):
		c.op, s = 't', s[2:]
	case strings.HasPrefix(s, "="):
		c.op = '='
		quoted := false
		n := 1
		for n < len(s) && (quoted || s[n] != ';') {
			quoted = quoted != (s[n] == '"')
			n++
		}
		if quoted {
			return c, "", false
		}
		c.args, s = s[1:n], s[n:]
	case strings.HasPrefix(s, "?"):
		c.op, s = '?', s[1:]
	}
	s = strings.TrimLeft(s, " ")
	return c, s, s == "" || s[0] == ';'
}

func letter(c byte) bool { c = upper(c); return c >= 'A' && c <= 'Z' }

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 32
	}
	return c
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// args are the values of a set command.
type args []arg

type arg struct {
	s      string
	quoted bool
}

// split cuts values at the commas outside of quotes.
func split(s string) args {
	if s == "" {
		return nil
	}
	var all args
	for {
		s = strings.TrimLeft(s, " ")
		var a arg
		if strings.HasPrefix(s, `"`) {
			end := strings.IndexByte(s[1:], '"') + 1
			if end == 0 {
				end = len(s) - 1
			}
			a = arg{s[1:max(end, 1)], true}
			s = s[min(end+1, len(s)):]
			if i := strings.IndexByte(s, ','); i > 0 {
				s = s[i:] // between quote and comma there is nothing but blanks
			}
		} else {
			i := strings.IndexByte(s, ',')
			if i < 0 {
				i = len(s)
			}
			a = arg{strings.TrimSpace(s[:i]), false}
			s = s[i:]
		}
		all = append(all, a)
		if !strings.HasPrefix(s, ",") {
			return all
		}
		s = s[1:]
	}
}

// str returns the i-th value, "" if it was left out.
func (a args) str(i int) string {
	if i < len(a) {
		return a[i].s
	}
	return ""
}

// quoted returns the i-th value if it stands in quotes.
func (a args) quoted(i int) (string, bool) {
	if i < len(a) && a[i].quoted {
		return a[i].s, true
	}
	return "", false
}

// num returns the i-th value as a number, or or if it was left out. bad
// is -1000, which no range contains.
func (a args) num(i, or int) int {
	if i >= len(a) || a[i].s == "" && !a[i].quoted {
		return or
	}
	n, err := strconv.Atoi(a[i].s)
	if err != nil || a[i].quoted {
		return bad
	}
	return n
}

const bad = -1000

// between tells whether all the numbers are in the range.
func between(low, high int, numbers ...int) bool {
	for _, n := range numbers {
		if n < low || n > high {
			return false
		}
	}
	return true
}
