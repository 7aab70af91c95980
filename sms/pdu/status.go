package pdu

import "fmt"

// Outcome is what a status report means for the part that it is about.
type Outcome int

// The outcomes of TP-ST.
const (
	StillTrying Outcome = iota // not final: another report may follow
	Delivered
	Failed // the service centre has given up
)

func (o Outcome) String() string {
	switch o {
	case Delivered:
		return "delivered"
	case Failed:
		return "failed"
	}
	return "still trying"
}

var statusWords = map[byte]string{
	0x00: "received by the phone",
	0x01: "forwarded to the phone, receipt not confirmed",
	0x02: "replaced by a later message at the service centre",

	0x20: "congestion",
	0x21: "phone busy",
	0x22: "no response from the phone",
	0x23: "service rejected",
	0x24: "quality of service not available",
	0x25: "error in the phone",

	0x40: "remote procedure error",
	0x41: "incompatible destination",
	0x42: "connection rejected by the phone",
	0x43: "not obtainable",
	0x44: "quality of service not available",
	0x45: "no interworking available",
	0x46: "validity period expired",
	0x47: "deleted by the sender",
	0x48: "deleted by the service centre",
	0x49: "unknown to the service centre",

	0x60: "congestion",
	0x61: "phone busy",
	0x62: "no response from the phone",
	0x63: "service rejected",
	0x64: "quality of service not available",
	0x65: "error in the phone",
}

// TPStatus reads TP-ST (TS 23.040 9.2.3.15). A value that the standard leaves
// open means what its group means; one beyond the groups, 0x80 and up, means
// nothing that could be relied on, so the message stays as it is.
func TPStatus(st byte) (Outcome, string) {
	outcome, group := Failed, "permanent error"
	switch {
	case st < 0x20:
		outcome, group = Delivered, "transaction completed"
	case st < 0x40:
		outcome, group = StillTrying, "temporary error, the service centre still tries"
	case st < 0x60:
	case st < 0x80:
		group = "temporary error, the service centre has given up"
	default:
		return StillTrying, fmt.Sprintf("reserved status 0x%02X", st)
	}
	if words, ok := statusWords[st]; ok {
		return outcome, fmt.Sprintf("%s (%s, 0x%02X)", words, group, st)
	}
	return outcome, fmt.Sprintf("%s (0x%02X)", group, st)
}
