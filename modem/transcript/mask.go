package transcript

import (
	"encoding/hex"
	"regexp"
	"strings"
)

// Mask returns entries in which nobody's number, name or text is left, nor any
// PIN. Every byte stays in its place, so lengths, splits and times are those of
// the recording, and PDUs still decode: texts become x's, digits zeros.
func Mask(entries []Entry) []Entry {
	masked := make([]Entry, len(entries))
	for _, out := range []bool{false, true} {
		var all []byte
		for _, e := range entries {
			if e.Out == out {
				all = append(all, e.Bytes...)
			}
		}
		maskStream(all)
		for i, e := range entries {
			if e.Out == out {
				masked[i] = Entry{e.At, e.Out, all[:len(e.Bytes):len(e.Bytes)]}
				all = all[len(e.Bytes):]
			}
		}
	}
	return masked
}

// HidePIN takes PINs out, which belong in no recording, masked or not.
func HidePIN(entries []Entry) []Entry {
	hidden := make([]Entry, len(entries))
	for i, e := range entries {
		b := append([]byte(nil), e.Bytes...)
		for _, at := range pinCommand.FindAllSubmatchIndex(b, -1) {
			fill(b[at[2]:at[3]], '0')
		}
		hidden[i] = Entry{e.At, e.Out, b}
	}
	return hidden
}

var (
	pinCommand = regexp.MustCompile(`(?i)AT\+(?:CPIN|CLCK|CPWD)=([^\r]*)`)
	hexLine    = regexp.MustCompile(`^[0-9A-Fa-f]{24,}$`)
	longNumber = regexp.MustCompile(`[0-9]{7,}`)
	serial     = regexp.MustCompile(`^(?:\+CGSN: *)?"?([0-9]{14,17})"?$`)
	ucs2Text   = regexp.MustCompile(`"(00(?:[0-9A-Fa-f]{2})(?:[0-9A-Fa-f]{4})+)"`)
	cell       = regexp.MustCompile(`^\+C(?:E|G)?REG:`)
	quoted     = regexp.MustCompile(`"([^"]*)"`)
	packedText = regexp.MustCompile(`^[0-9A-F]{8,}$`)
	ussdText   = regexp.MustCompile(`(?s)\+CUSD[:=][^"]*"([^"]*)`)
	atCommand  = regexp.MustCompile(`(?i)^AT`)
)

// maskStream masks all that went one way. What an unsolicited text has in
// quotes may go over several lines, so it comes first.
func maskStream(b []byte) {
	for _, at := range pinCommand.FindAllSubmatchIndex(b, -1) {
		fill(b[at[2]:at[3]], '0')
	}
	for _, at := range ussdText.FindAllSubmatchIndex(b, -1) {
		maskText(b[at[2]:at[3]])
	}
	for from := 0; from < len(b); {
		to := from
		for to < len(b) && !strings.ContainsRune("\r\n\x1a\x1b", rune(b[to])) {
			to++
		}
		line := b[from:to]
		if trimmed := strings.TrimPrefix(string(line), "> "); len(trimmed) < len(line) {
			line = line[2:] // an echo behind the prompt
		}
		maskLine(line)
		from = to + 1
	}
}

func maskLine(line []byte) {
	switch {
	case hexLine.Match(line):
		maskPDU(line)
		return
	case atCommand.Match(line) && !strings.Contains(string(line), `"`) && len(line) < 24:
		return // a command without anybody's number in it
	}
	if at := serial.FindSubmatchIndex(line); at != nil {
		fill(line[at[2]+8:at[3]], '0') // the first eight digits of an IMEI are the model's
		return
	}
	if cell.Match(line) { // it tells where the modem stands
		for _, at := range quoted.FindAllSubmatchIndex(line, -1) {
			fill(line[at[2]:at[3]], '0')
		}
		return
	}
	for _, at := range ucs2Text.FindAllSubmatchIndex(line, -1) {
		for i := at[2]; i < at[3]; i += 4 {
			copy(line[i:], "006B") // a k each
		}
	}
	for _, at := range longNumber.FindAllIndex(line, -1) {
		fill(line[at[0]+2:at[1]], '0')
	}
}

func fill(b []byte, c byte) {
	for i := range b {
		if b[i] != '"' && b[i] != ',' {
			b[i] = c
		}
	}
}

// maskText keeps the form of a text: where words and lines end.
func maskText(b []byte) {
	hex := len(b)%2 == 0 && packedText.Match(b)
	for i, c := range b {
		switch {
		case hex:
			b[i] = "F8"[i%2] // packed, it is some text or other
		case c >= '0' && c <= '9':
			b[i] = '0'
		case c > ' ':
			b[i] = 'x'
		}
	}
}

// maskPDU masks a PDU with the SMSC in front, as modems give and take it.
func maskPDU(line []byte) {
	b := make([]byte, len(line)/2)
	if _, err := hex.Decode(b, line[:len(b)*2]); err != nil {
		return
	}
	p := pduMask{b: b}
	if !p.mask() {
		// Not understood: nothing of it may be left but its length.
		for i := min(p.at, len(b)); i < len(b); i++ {
			b[i] = 0
		}
	}
	copy(line, strings.ToUpper(hex.EncodeToString(b)))
}

// pduMask walks through a PDU (TS 23.040 9.2.2).
type pduMask struct {
	b  []byte
	at int
}

func (p *pduMask) mask() bool {
	if len(p.b) == 0 {
		return false
	}
	smsc := int(p.b[0])
	if smsc > 12 || 1+smsc >= len(p.b) {
		return false
	}
	if smsc > 1 {
		digits(p.b[2 : 1+smsc])
	}
	p.at = 1 + smsc
	fo := p.b[p.at]
	p.at++
	switch fo & 3 {
	case 0: // SMS-DELIVER
		return p.address() && p.user(fo, 7)
	case 1: // SMS-SUBMIT
		p.at++ // TP-MR
		return p.address() && p.user(fo, [4]int{0, 7, 1, 7}[fo>>3&3])
	case 2: // SMS-STATUS-REPORT
		p.at++
		if !p.address() || p.at+15 > len(p.b) {
			return false
		}
		p.at += 15 // TP-SCTS, TP-DT, TP-ST
		return p.at == len(p.b)
	}
	return false
}

// digits makes every digit of a number a zero, and leaves the filler.
func digits(b []byte) {
	for i, c := range b {
		high, low := c&0xF0, c&0x0F
		if high < 0xF0 {
			high = 0
		}
		if low < 0x0F {
			low = 0
		}
		b[i] = high | low
	}
}

func (p *pduMask) address() bool {
	if p.at+2 > len(p.b) {
		return false
	}
	n := (int(p.b[p.at]) + 1) / 2
	kind := p.b[p.at+1] & 0x70
	from := p.at + 2
	if n > 10 || from+n > len(p.b) {
		return false
	}
	if kind == 0x50 { // letters
		septets(p.b[from:from+n], 0, n*8/7)
	} else {
		digits(p.b[from : from+n])
	}
	p.at = from + n
	return true
}

// user masks TP-PID, TP-DCS, so many octets of time, TP-UDL and TP-UD.
func (p *pduMask) user(fo byte, time int) bool {
	if p.at+2+time+1 > len(p.b) {
		return false
	}
	dcs := p.b[p.at+1]
	p.at += 2 + time
	length := int(p.b[p.at])
	ud := p.b[p.at+1:]
	header := 0
	if fo&0x40 != 0 {
		if len(ud) == 0 || int(ud[0])+1 > len(ud) {
			return false
		}
		header = int(ud[0]) + 1
	}
	switch alphabet(dcs) {
	case 0:
		septets(ud, (header*8+6)/7, length)
	case 2:
		for i := header; i+1 < len(ud); i += 2 {
			ud[i], ud[i+1] = 0, 'x'
		}
	default:
		clear(ud[header:])
	}
	p.at = len(p.b)
	return true
}

// alphabet is 0 for 7-bit, 1 for 8-bit, 2 for UCS-2 (TS 23.038 4).
func alphabet(dcs byte) byte {
	switch {
	case dcs&0x80 == 0:
		if a := dcs >> 2 & 3; a < 3 {
			return a
		}
		return 0
	case dcs&0xF0 == 0xE0:
		return 2
	case dcs&0xF4 == 0xF4:
		return 1
	}
	return 0
}

// septets makes those from the from-th on an x each.
func septets(b []byte, from, to int) {
	for i := from; i < to; i++ {
		for bit := range 7 {
			at := i*7 + bit
			if at/8 >= len(b) {
				return
			}
			b[at/8] &^= 1 << (at % 8)
			b[at/8] |= 'x' >> bit & 1 << (at % 8)
		}
	}
}
