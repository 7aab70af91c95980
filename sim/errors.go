package sim

import (
	"fmt"
	"strconv"
	"strings"
)

// reply is how a command ends.
type reply struct {
	final  string // "OK", "ERROR", "NO CARRIER", "+CMS ERROR", "+CME ERROR", or a whole line
	code   int    // of the last two
	later  bool   // the command takes time and will call complete
	silent bool   // nothing is said at all
}

var (
	ok     = reply{final: "OK"}
	failed = reply{final: "ERROR"}
	later  = reply{later: true}
	mum    = reply{silent: true}
)

// replyOf reads a final line.
func replyOf(line string) reply {
	for _, family := range []string{"+CMS ERROR", "+CME ERROR"} {
		if s, is := strings.CutPrefix(line, family+": "); is {
			if code, err := strconv.Atoi(s); err == nil {
				return reply{final: family, code: code}
			}
		}
	}
	return reply{final: line}
}

func cms(code int) reply { return reply{final: "+CMS ERROR", code: code} }
func cme(code int) reply { return reply{final: "+CME ERROR", code: code} }

// words is the final line in the form that +CMEE chose.
func (r reply) words(cmee int) string {
	if r.code == 0 && r.final != "+CME ERROR" {
		return r.final
	}
	switch cmee {
	case 0:
		return "ERROR"
	case 2:
		table := cmeWords
		if r.final == "+CMS ERROR" {
			table = cmsWords
		}
		if words, known := table[r.code]; known {
			return r.final + ": " + words
		}
	}
	return fmt.Sprintf("%s: %d", r.final, r.code)
}

// numeric are the result codes of ATV0.
var numeric = map[string]string{
	"OK": "0", "CONNECT": "1", "RING": "2", "NO CARRIER": "3", "ERROR": "4", "NO DIALTONE": "6", "BUSY": "7", "NO ANSWER": "8",
}

// Words of +CMEE=2, as in 3GPP TS 27.007 9.2 and TS 27.005 3.2.5.
var cmeWords = map[int]string{
	0: "phone failure", 3: "operation not allowed", 4: "operation not supported",
	10: "SIM not inserted", 11: "SIM PIN required", 12: "SIM PUK required", 13: "SIM failure", 14: "SIM busy",
	16: "incorrect password", 21: "invalid index", 30: "no network service", 31: "network timeout",
	50: "incorrect parameters", 100: "unknown",
}

var cmsWords = map[int]string{
	1: "unassigned number", 8: "operator determined barring", 10: "call barred", 21: "short message transfer rejected",
	27: "destination out of service", 28: "unidentified subscriber", 30: "unknown subscriber",
	38: "network out of order", 41: "temporary failure", 42: "congestion", 47: "resources unavailable",
	50: "requested facility not subscribed", 69: "requested facility not implemented",
	302: "operation not allowed", 303: "operation not supported", 304: "invalid PDU mode parameter",
	305: "invalid text mode parameter", 310: "SIM not inserted", 311: "SIM PIN required", 313: "SIM failure",
	314: "SIM busy", 316: "SIM PUK required", 321: "invalid memory index", 322: "memory full",
	330: "SMSC address unknown", 331: "no network service", 332: "network timeout", 340: "no +CNMA acknowledgement expected",
	500: "unknown error",
}
