package modem

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gatewayd/modem/at"
	"gatewayd/sms"
)

// meaning is what an error code says and what is to be done about it.
type meaning struct {
	class sms.Class
	title string
}

// cmsErrors are the codes of +CMS ERROR: RP causes (TS 24.011 annex E), TP-FCS
// (TS 23.040 9.2.3.22) and those of the equipment (TS 27.005 3.2.5).
var cmsErrors = map[int]meaning{
	1:   {sms.Permanent, "number not assigned"},
	8:   {sms.Account, "operator determined barring"},
	10:  {sms.Account, "call barred"},
	17:  {sms.Later, "network failure"},
	21:  {sms.Later, "short message transfer rejected"},
	22:  {sms.Later, "memory capacity exceeded"},
	27:  {sms.Later, "destination out of order"},
	28:  {sms.Account, "unidentified subscriber"},
	29:  {sms.Account, "facility rejected"},
	30:  {sms.Permanent, "unknown subscriber"},
	38:  {sms.Later, "network out of order"},
	41:  {sms.Now, "temporary failure"},
	42:  {sms.Later, "congestion"},
	47:  {sms.Later, "resources unavailable"},
	50:  {sms.Account, "requested facility not subscribed"},
	69:  {sms.Account, "requested facility not implemented"},
	81:  {sms.Now, "invalid short message transfer reference"},
	95:  {sms.Now, "semantically incorrect message"},
	96:  {sms.Now, "invalid mandatory information"},
	97:  {sms.Now, "message type not implemented"},
	98:  {sms.Now, "message not compatible with the protocol state"},
	99:  {sms.Now, "information element not implemented"},
	111: {sms.Now, "protocol error"},
	127: {sms.Later, "interworking, unspecified"},
	128: {sms.Permanent, "telematic interworking not supported"},
	129: {sms.Permanent, "short message type 0 not supported"},
	130: {sms.Permanent, "short message can't be replaced"},
	143: {sms.Permanent, "TP-PID refused"},
	144: {sms.Permanent, "data coding scheme not supported"},
	145: {sms.Permanent, "message class not supported"},
	159: {sms.Permanent, "TP-DCS refused"},
	160: {sms.Permanent, "command can't be carried out"},
	161: {sms.Permanent, "command not supported"},
	175: {sms.Permanent, "TP-Command refused"},
	176: {sms.Permanent, "TPDU not supported"},
	192: {sms.Later, "service centre busy"},
	193: {sms.Account, "no service centre subscription"},
	194: {sms.Later, "service centre system failure"},
	195: {sms.Permanent, "invalid address"},
	196: {sms.Permanent, "destination barred"},
	197: {sms.Accepted, "duplicate rejected by the service centre"},
	198: {sms.Permanent, "validity period format not supported"},
	199: {sms.Permanent, "validity period not supported"},
	208: {sms.Now, "SIM storage full"},
	209: {sms.Now, "no storage on the SIM"},
	210: {sms.Fault, "error in the modem"},
	211: {sms.Now, "memory capacity exceeded in the modem"},
	212: {sms.Now, "SIM application toolkit busy"},
	213: {sms.Now, "SIM data download error"},
	255: {sms.Fault, "unspecified error cause"},
	300: {sms.Fault, "modem failure"},
	301: {sms.Fault, "SMS service of the modem reserved"},
	302: {sms.Fault, "operation not allowed"},
	303: {sms.Fault, "operation not supported"},
	304: {sms.Permanent, "invalid PDU parameter"},
	305: {sms.Permanent, "invalid text parameter"},
	310: {sms.Account, "no SIM in the modem"},
	311: {sms.Account, "SIM PIN needed"},
	312: {sms.Account, "PH-SIM PIN needed"},
	313: {sms.Fault, "SIM failure"},
	314: {sms.Now, "SIM busy"},
	315: {sms.Account, "wrong SIM"},
	316: {sms.Account, "SIM PUK needed"},
	317: {sms.Account, "SIM PIN2 needed"},
	318: {sms.Account, "SIM PUK2 needed"},
	320: {sms.Fault, "memory failure"},
	321: {sms.Fault, "invalid memory index"},
	322: {sms.Now, "storage full"},
	330: {sms.Account, "service centre address (SMSC) unknown"},
	331: {sms.Later, "no network service"},
	332: {sms.Unknown, "network timeout"},
	340: {sms.Now, "no acknowledgement expected"},
	500: {sms.Fault, "unknown error"},
}

// cmeErrors are the codes of +CME ERROR (TS 27.007 9.2).
var cmeErrors = map[int]meaning{
	0:  {sms.Fault, "phone failure"},
	3:  {sms.Fault, "operation not allowed"},
	4:  {sms.Fault, "operation not supported"},
	5:  {sms.Account, "PH-SIM PIN needed"},
	6:  {sms.Account, "PH-FSIM PIN needed"},
	7:  {sms.Account, "PH-FSIM PUK needed"},
	10: {sms.Account, "no SIM in the modem"},
	11: {sms.Account, "SIM PIN needed"},
	12: {sms.Account, "SIM PUK needed"},
	13: {sms.Fault, "SIM failure"},
	14: {sms.Now, "SIM busy"},
	15: {sms.Account, "wrong SIM"},
	16: {sms.Account, "wrong PIN"},
	17: {sms.Account, "SIM PIN2 needed"},
	18: {sms.Account, "SIM PUK2 needed"},
	20: {sms.Now, "memory full"},
	21: {sms.Now, "invalid index"},
	22: {sms.Now, "not found"},
	23: {sms.Fault, "memory failure"},
	30: {sms.Later, "no network service"},
	// As +CMS ERROR 332: a network that did not answer may have the message.
	31:  {sms.Unknown, "network timeout"},
	32:  {sms.Later, "emergency calls only"},
	50:  {sms.Permanent, "wrong parameters"},
	100: {sms.Fault, "unknown error"},
	103: {sms.Later, "illegal mobile station"},
	106: {sms.Later, "illegal mobile equipment"},
	111: {sms.Now, "public land mobile network not allowed"},
	112: {sms.Later, "location area not allowed"},
	113: {sms.Later, "roaming not allowed in this location area"},
	126: {sms.Now, "operation temporarily not allowed"},
	256: {sms.Now, "operation temporarily not allowed"},
	262: {sms.Account, "SIM blocked"},
	515: {sms.Now, "busy, please wait"},
	772: {sms.Account, "SIM powered down"},
}

// makers' own codes, by a word of the answer to +CGMI
var makersErrors = []struct {
	maker string
	codes map[int]meaning
}{
	{"QUECTEL", map[int]meaning{
		350: {sms.Fault, "unknown error"},
		512: {sms.Now, "SIM not ready"},
		513: {sms.Permanent, "message too long"},
		514: {sms.Permanent, "bad request"},
		515: {sms.Fault, "storage failure in the modem"},
		517: {sms.Fault, "wrong service mode"},
		528: {sms.Now, "link not to be kept open now"},
		529: {sms.Account, "sending is not allowed for this SIM"},
		530: {sms.Later, "packet service suspended"},
		531: {sms.Now, "storage full"},
	}},
	{"SIMCOM", map[int]meaning{
		224: {sms.Unknown, "retries towards the network exceeded"},
		225: {sms.Unknown, "no answer of the network in time"},
		226: {sms.Unknown, "connection to the network broken"},
		512: {sms.Fault, "unknown error"},
		513: {sms.Permanent, "message too long"},
		514: {sms.Permanent, "bad request"},
		515: {sms.Fault, "storage failure in the modem"},
		521: {sms.Now, "not ready"},
		532: {sms.Now, "SIM is being read again"},
	}},
	{"TELIT", map[int]meaning{
		512: {sms.Later, "no resources for short messages"},
		513: {sms.Unknown, "no acknowledgement of the network in time"},
		514: {sms.Unknown, "error below the short message layer"},
		515: {sms.Unknown, "no answer of the network"},
	}},
	{"WAVECOM", sierraErrors},
	{"SIERRA", sierraErrors},
}

var sierraErrors = map[int]meaning{
	512: {sms.Now, "radio link could not be set up"},
	513: {sms.Unknown, "no acknowledgement of the lower layers"},
	514: {sms.Later, "congestion"},
	515: {sms.Now, "service not available yet"},
	531: {sms.Permanent, "fixed dialling numbers forbid this recipient"},
}

// detail says what each class means for the message and for the technician.
var details = map[sms.Class]string{
	sms.Now:       "It is tried again in a few seconds.",
	sms.Later:     "It is tried again, with growing pauses.",
	sms.Permanent: "This message will not get through to this recipient; check the number.",
	sms.Account:   "Check the SIM: its credit, its contract, and whether it may send text messages.",
	sms.Fault:     "The modem is started afresh if this goes on.",
	sms.Unknown:   "The network may have the message or not.",
	sms.Accepted:  "The network has the message already.",
}

// slowFailure is how long a modem may take to fail by itself. An unspecific
// error after that came from the network's silence, so the fate is unknown.
const slowFailure = 20 * time.Second

// classify reads the error that a CMGS ended with, waited after Ctrl-Z.
func classify(e *at.Error, maker string, waited time.Duration) *sms.Error {
	m, known := lookUp(e, maker)
	if !known {
		m = meaning{sms.Fault, "unspecified error"}
	}
	unspecific := !known || e.Set == "CMS" && (e.Code == 500 || e.Code == 350)
	if unspecific && waited > slowFailure {
		m.class = sms.Unknown
	}
	code := "modem-error"
	if e.Set != "" && e.Code >= 0 {
		code = fmt.Sprintf("%s-%d", strings.ToLower(e.Set), e.Code)
	}
	return &sms.Error{Code: code, Title: m.title, Detail: fmt.Sprintf("The modem answered %s. %s", e.Text, details[m.class]), Class: m.class}
}

func lookUp(e *at.Error, maker string) (meaning, bool) {
	switch e.Set {
	case "CMS":
		maker = strings.ToUpper(maker)
		for _, t := range makersErrors {
			if m, ok := t.codes[e.Code]; ok && strings.Contains(maker, t.maker) {
				return m, true
			}
		}
		if e.Code < 0 {
			return byWords(e.Text, cmsErrors)
		}
		m, ok := cmsErrors[e.Code]
		return m, ok
	case "CME":
		if e.Code < 0 {
			return byWords(e.Text, cmeErrors)
		}
		m, ok := cmeErrors[e.Code]
		return m, ok
	}
	return meaning{}, false
}

// byWords finds an error that the modem gave in words (+CMEE=2), in the many
// spellings that there are: "SIM PIN required", "sim not inserted".
func byWords(line string, table map[int]meaning) (meaning, bool) {
	code := cmeWords(line)
	if code < 0 {
		code = -1
		_, words, _ := strings.Cut(strings.ToLower(line), "error:")
		words = strings.TrimSpace(words)
		for c, m := range table {
			if words == strings.ToLower(m.title) {
				code = c
				break
			}
		}
	}
	m, ok := table[code]
	return m, ok
}

// spelled are the words that bring-up depends on, as +CME ERROR codes.
var spelled = []struct {
	words string
	code  int
}{
	{"sim not inserted", 10}, {"no sim", 10}, {"sim pin required", 11}, {"sim pin needed", 11},
	{"sim puk required", 12}, {"sim puk needed", 12}, {"sim failure", 13}, {"sim busy", 14}, {"sim wrong", 15},
	{"wrong sim", 15}, {"incorrect password", 16}, {"wrong pin", 16}, {"no network service", 30},
	{"network timeout", 31}, {"not found", 22}, {"invalid index", 21}, {"memory full", 20},
}

func cmeWords(line string) int {
	line = strings.ToLower(line)
	for _, s := range spelled {
		if strings.Contains(line, s.words) {
			return s.code
		}
	}
	return -1
}

// cmeCode is the +CME ERROR code of an answer, -1 if it is none.
func cmeCode(err error) int {
	e := answer(err)
	if e == nil || e.Set == "" {
		return -1
	}
	if e.Code < 0 {
		return cmeWords(e.Text)
	}
	if e.Set == "CMS" { // the SIM's own troubles have twins there
		switch e.Code {
		case 310:
			return 10
		case 311:
			return 11
		case 316:
			return 12
		case 313:
			return 13
		case 314:
			return 14
		case 315:
			return 15
		case 321:
			return 21
		}
		return -1
	}
	return e.Code
}

// run is the row of equal results that a SIM has had lately: the same code for
// several recipients is the SIM's or the network's trouble, for one recipient
// among successes it is the recipient's.
type run struct {
	code      string
	to        []string // different recipients, five at most
	succeeded bool     // before this row
	suspect   string   // whose PDU was called malformed last
}

// read adds a refusal to the row and corrects its class by what the row shows.
func (r *run) read(e *sms.Error, to string) {
	if e.Code != r.code {
		r.code, r.to = e.Code, r.to[:0]
	}
	if !slices.Contains(r.to, to) && len(r.to) < 5 {
		r.to = append(r.to, to)
	}
	switch e.Code {
	case "cms-8", "cms-10", "cms-28", "cms-29":
		if r.succeeded && len(r.to) == 1 {
			e.Class = sms.Permanent
			e.Detail = "Only this recipient is refused, others were accepted before. " + details[sms.Permanent]
		}
	case "cms-95", "cms-96", "cms-97", "cms-98", "cms-99", "cms-111":
		// Once it may be the network's trouble, twice it is the message.
		if r.suspect == to {
			e.Class = sms.Permanent
			e.Detail = "The message was called malformed twice. " + details[sms.Permanent]
		}
		r.suspect = to
	case "cms-21", "cms-38":
		if len(r.to) >= 5 {
			e.Class = sms.Account
			e.Detail = "Five recipients in a row were refused. " + details[sms.Account]
		}
	}
}

func (r *run) success() {
	r.succeeded, r.code, r.to = true, "", r.to[:0]
}
