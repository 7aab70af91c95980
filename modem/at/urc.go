package at

import "strings"

// URC is a line that came without being asked for, with its PDU if its kind
// has one.
type URC struct {
	Line string
	PDU  string // of +CMT, +CDS, +CBM and +CLASS0; "" when it never came
}

// withPDU are the unsolicited lines that a PDU follows on a line of its own.
var withPDU = [...]string{"+CMT", "+CDS", "+CBM", "+CLASS0"}

func hasPDU(line string) bool {
	for _, prefix := range withPDU {
		if _, ok := after(line, prefix); ok {
			return true
		}
	}
	return false
}

// announcements are unsolicited whatever command is running, unless it is the
// command's own answer.
var announcements = [...]string{
	"+CMTI", "+CDSI", "+CMT", "+CDS", "+CBM", "+CBMI", "+CLASS0",
	"+CREG", "+CGREG", "+CEREG", "+CRING", "+CLIP", "+CCWA", "+CUSD", "+CIEV", "+CTZV", "+CTZE", "+CGEV", "+NITZ",
	"+CMGS", // late: its own command takes it before this table is asked
}

func announced(line string) bool {
	if line[0] != '+' {
		return line == "RING"
	}
	for _, prefix := range announcements {
		if _, ok := after(line, prefix); ok {
			return true
		}
	}
	return false
}

// words that modems say of themselves, without a prefix
var words = map[string]bool{
	"RING": true, "RDY": true, "Call Ready": true, "SMS Ready": true, "PB DONE": true, "SMS DONE": true,
	"START": true, "READY": true, "VOICE CALL": true, "NO CARRIER": true, "BUSY": true, "NO ANSWER": true,
	"NORMAL POWER DOWN": true, "POWERED DOWN": true, "UNDER-VOLTAGE WARNNING": true, ">": true, "AT": true,
}

// unsolicited tells noise from bare text, for commands whose answer has no
// prefix: makers' prefixes with a sign in front, and anything "+NAME:".
func unsolicited(line string) bool {
	switch line[0] {
	case '^', '*', '_', '#', '$', '%':
		return true
	case '+':
		return true
	}
	return words[line] || strings.HasPrefix(line, "DST:") || strings.HasPrefix(line, "MISSED_CALL") ||
		strings.HasPrefix(line, "VOICE CALL") || strings.HasPrefix(line, "AT+") || strings.HasPrefix(line, "AT^")
}
