package at

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Command is one AT command and what its answer looks like.
type Command struct {
	Line string // without the CR, such as "AT+CSQ"
	// Prefix is what the command's own answer lines begin with, without the
	// colon: "+CSQ". Anything else that comes is not part of the answer. Empty:
	// the answer is bare text (+CGMI, +CIMI), any line that is no known
	// unsolicited one.
	Prefix string
	// Mine narrows down which lines are the answer; nil: those with Prefix.
	Mine func(line string) bool
	// PDU: each answer line may be followed by a PDU, a line of hex digits.
	PDU bool
	// Prompt: the modem asks for data with "> ", see Port.Data and Port.Submit.
	Prompt bool
	// Call: NO CARRIER, BUSY and their like end the command too.
	Call bool
	// Digits: V0 may be on, "0" is OK and "4" is ERROR.
	Digits bool
	// Lenient: there are modems that give the answer and forget the OK.
	Lenient bool
	Timeout time.Duration
	// Name stands for Line in errors when Line holds a secret.
	Name string
}

func (c *Command) name() string {
	if c.Name != "" {
		return c.Name
	}
	return c.Line
}

// own tells whether line is part of this command's answer.
func (c *Command) own(line string) bool {
	if c.Mine != nil {
		return c.Mine(line)
	}
	if c.Prefix == "" {
		// Bare text, or with the command's name after all.
		return !unsolicited(line) || strings.HasPrefix(line, strings.TrimPrefix(c.Line, "AT")+":")
	}
	rest, ok := after(line, c.Prefix)
	if !ok {
		return false
	}
	switch c.Prefix {
	case "+CREG", "+CGREG", "+CEREG":
		return isRegistrationAnswer(rest)
	}
	return true
}

// after returns what follows prefix and its colon.
func after(line, prefix string) (string, bool) {
	if len(line) > len(prefix) && line[len(prefix)] == ':' && line[:len(prefix)] == prefix {
		return strings.TrimLeft(line[len(prefix)+1:], " "), true
	}
	return "", false
}

// isRegistrationAnswer tells the answer `n,stat…` of +CREG? from the
// unsolicited `stat…`: with location on, both have several fields, and only
// the answer's second one is a bare small number.
func isRegistrationAnswer(rest string) bool {
	_, rest, ok := strings.Cut(rest, ",")
	if !ok {
		return false
	}
	second, _, _ := strings.Cut(rest, ",")
	n, err := strconv.Atoi(strings.TrimSpace(second))
	return err == nil && len(strings.TrimSpace(second)) <= 2 && n >= 0
}

// Error is a final result other than OK.
type Error struct {
	Command string
	Set     string // "CMS", "CME", or "" for a plain ERROR
	Code    int    // -1 when the modem gave words or nothing
	Text    string // the line as it came
}

func (e *Error) Error() string { return e.Command + " was answered " + e.Text }

// Errors that are not answers.
var (
	// ErrTimeout: no final result in time. The port is out of step then.
	ErrTimeout = errors.New("no answer in time")
	// ErrSilent: nothing answers at all, not even AT.
	ErrSilent = errors.New("nothing answers on this port")
	// ErrParrot: AT is answered, but no question is.
	ErrParrot = errors.New("the port answers AT but no question, so it is not a modem's command port")
	// ErrGone: the port failed or was closed.
	ErrGone = errors.New("the port is gone")
	// ErrHung: the modem takes nothing that is written; the port was closed for it.
	ErrHung = errors.New("the modem stopped reading")

	errHangUp = errors.New("hang-up")
)

func timeoutError(c *Command) error {
	return fmt.Errorf("%s: %w (%s)", c.name(), ErrTimeout, c.Timeout)
}

// final reads a final result code: done tells whether line is one, err is nil
// for success.
func final(line string, c *Command) (done bool, err *Error) {
	fail := func(set string, code int) (bool, *Error) {
		return true, &Error{Command: c.name(), Set: set, Code: code, Text: line}
	}
	switch line[0] { // most lines are decided here
	case 'O':
		if line == "OK" {
			return true, nil
		}
	case '+':
		for _, set := range [...]string{"CMS", "CME"} {
			if rest, ok := after(line, "+"+set+" ERROR"); ok {
				code, err := strconv.Atoi(rest)
				if err != nil || code < 0 {
					code = -1
				}
				return fail(set, code)
			}
		}
	case 'E':
		if line == "ERROR" || strings.HasPrefix(line, "ERROR:") {
			return fail("", -1)
		}
	case 'C':
		if line == "COMMAND NOT SUPPORT" || line == "COMMAND NOT SUPPORTED" {
			return fail("", -1)
		}
		if c.Call && strings.HasPrefix(line, "CONNECT") {
			return true, nil
		}
	case 'T':
		if line == "TOO MANY PARAMETERS" {
			return fail("", -1)
		}
	case 'M':
		if strings.HasPrefix(line, "MODEM ERROR:") {
			return fail("", -1)
		}
	case 'N', 'B':
		switch line {
		case "NA":
			return fail("", -1)
		case "NO CARRIER", "NO ANSWER", "NO DIALTONE", "NO DIAL TONE", "BUSY":
			if c.Call {
				return fail("", -1)
			}
		}
	case '0':
		if c.Digits && line == "0" {
			return true, nil
		}
	case '4':
		if c.Digits && line == "4" {
			return fail("", -1)
		}
	}
	return false, nil
}

// hexPDU tells whether line can be a PDU: an even number of hex digits, and
// more than any number that a modem answers with.
func hexPDU(line string) bool {
	if len(line) < 24 || len(line)%2 != 0 {
		return false
	}
	for i := 0; i < len(line); i++ {
		if unhex(line[i]) < 0 {
			return false
		}
	}
	return true
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// fits tells whether pdu has the length that its header announced: octets
// without those of the service centre's address. Without a number anything fits.
func fits(header, pdu string) bool {
	n, ok := lastNumber(header)
	if !ok {
		return true
	}
	sca := unhex(pdu[0])<<4 | unhex(pdu[1])
	return len(pdu) == 2*(1+sca+n)
}

func lastNumber(header string) (int, bool) {
	_, rest, _ := strings.Cut(header, ":")
	if i := strings.LastIndexByte(rest, ','); i >= 0 {
		rest = rest[i+1:]
	}
	n, err := strconv.Atoi(strings.TrimSpace(rest))
	return n, err == nil
}
