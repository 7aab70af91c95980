package sim

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Special is how a handset may send a message other than plainly.
type Special struct {
	Name, Words string
}

// Specials lists them, the plain one first.
var Specials = []Special{
	{"text", "a text"},
	{"flash", "a flash text (class 0)"},
	{"for_sim", "a text for the SIM (class 2)"},
	{"shuffled", "a long text whose parts come last first"},
	{"same_reference", "a long text with the reference of the last one"},
	{"silent", "a silent text (type 0)"},
	{"binary", "binary data: the text's octets on port 16000"},
	{"wap_push", "a WAP push: the text, and a link"},
	{"pdu", "a raw PDU in hex, service centre first"},
}

// SendSpecial writes to a number in one of the ways of Specials.
func (h *Handset) SendSpecial(to, kind, text string) error {
	x := Text{Text: text, Ref: -1}
	switch kind {
	case "", "text":
	case "flash":
		x.HasClass = true
	case "for_sim":
		x.HasClass, x.Class = true, 2
	case "shuffled":
		x.Shuffled = true
	case "same_reference":
		h.net.mu.Lock()
		x.Ref = h.ref
		h.net.mu.Unlock()
	case "silent":
		x.PID = 0x40
	case "binary":
		x.Text, x.Data, x.Port = "", []byte(text), 16000
	case "wap_push":
		x.Text, x.Data, x.Port = "", wapPush(text), 2948
	case "pdu":
		return h.sendPDU(to, text)
	default:
		return fmt.Errorf("%q is no way to send a message", kind)
	}
	return h.SendText(to, x)
}

// wapPush is a service indication, as WAP-167 and its binary XML have it.
func wapPush(text string) []byte {
	b := []byte{0x01, 0x06, 0x01, 0xAE} // WSP: a push whose content type is vnd.wap.sic
	b = append(b, 0x02, 0x05, 0x6A, 0x00, 0x45, 0xC6, 0x0C, 0x03)
	b = append(b, "example.com/\x00"...)
	b = append(b, 0x01, 0x03)
	b = append(b, strings.ReplaceAll(text, "\x00", "")...)
	return append(b, 0x00, 0x01, 0x01)
}

// longestPDU is more than any network carries.
const longestPDU = 255

// sendPDU has the network bring a PDU as it is.
func (h *Handset) sendPDU(to, text string) error {
	raw, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil || len(raw) == 0 || len(raw) > longestPDU {
		return fmt.Errorf("a PDU is written in hex, with %d octets at most", longestPDU)
	}
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	number := n.normal(to)
	switch {
	case n.closed:
		return errors.New("the simulated network is switched off")
	case number == "":
		return fmt.Errorf("%q is not a phone number; write it like +491701234567", to)
	}
	id := h.show(Message{Peer: number, Data: raw, Class: -1, Parts: 1, At: time.Now()})
	n.post(n.box(number), &parcel{raw: raw, ready: n.now().Add(n.opt.Delivery), taken: func() { h.delivered(id) }})
	return nil
}
