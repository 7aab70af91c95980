package pdu

import (
	"strings"
	"time"

	"gatewayd/sms"
)

// indicationTokens are the code page of a document type: what its attribute
// tokens stand for, and whose text is the message.
type indicationTokens struct {
	starts map[byte][2]string // attribute, and how its value begins
	spoken byte               // the tag whose content is the text; 0: none
}

// siTokens: Service Indication (WAP-167 9.3).
var siTokens = &indicationTokens{spoken: 0x06, starts: map[byte][2]string{
	0x05: {"action", "signal-none"}, 0x06: {"action", "signal-low"}, 0x07: {"action", "signal-medium"}, 0x08: {"action", "signal-high"},
	0x09: {"action", "delete"}, 0x0A: {"created"}, 0x0B: {"href"}, 0x0C: {"href", "http://"}, 0x0D: {"href", "http://www."},
	0x0E: {"href", "https://"}, 0x0F: {"href", "https://www."}, 0x10: {"si-expires"}, 0x11: {"si-id"}, 0x12: {"class"},
}}

// slTokens: Service Loading (WAP-168 9.3).
var slTokens = &indicationTokens{starts: map[byte][2]string{
	0x05: {"action", "execute-low"}, 0x06: {"action", "execute-high"}, 0x07: {"action", "cache"}, 0x08: {"href"},
	0x09: {"href", "http://"}, 0x0A: {"href", "http://www."}, 0x0B: {"href", "https://"}, 0x0C: {"href", "https://www."},
}}

var indicationValues = map[byte]string{0x85: ".com/", 0x86: ".edu/", 0x87: ".net/", 0x88: ".org/"}

// Global tokens of WBXML (WAP-192 7.1).
const (
	wbSwitch   = 0x00
	wbEnd      = 0x01
	wbEntity   = 0x02
	wbString   = 0x03
	wbLiteral  = 0x04
	wbPI       = 0x43
	wbTableStr = 0x83
	wbOpaque   = 0xC3
)

// readIndication reads a binary Service Indication or Service Loading. It takes
// what is whole and stops at what it does not know.
func readIndication(o *octets, p *sms.Push, t *indicationTokens) {
	o.next() // version
	if o.uintvar() == 0 {
		o.uintvar() // the document type is spelled out in the table
	}
	o.uintvar() // character set: nothing but UTF-8 has been seen
	d := &document{octets: o, tokens: t, push: p}
	d.table = o.take(o.uintvar())
	var open []byte // tags
	for o.more() {
		switch b := o.next(); {
		case b == wbEnd:
			if len(open) == 0 {
				return
			}
			open = open[:len(open)-1]
		case b == wbSwitch:
			o.next()
		case b == wbPI:
			d.attributes()
		case b&0x3F >= wbLiteral:
			// A tag: bit 7 says that attributes follow, bit 6 that content does.
			if b&0x3F == wbLiteral {
				o.uintvar()
			}
			if b&0x80 != 0 {
				d.attributes()
			}
			if b&0x40 != 0 {
				open = append(open, b&0x3F)
			}
		default:
			text := new(strings.Builder)
			if !d.value(b, text) {
				return
			}
			if len(open) > 0 && open[len(open)-1] == t.spoken && !o.bad {
				p.Text += text.String()
			}
		}
	}
}

// document is a WBXML document that is being read.
type document struct {
	*octets
	table  []byte // of strings
	tokens *indicationTokens
	push   *sms.Push
}

// value reads a piece of text that begins with the global token b into text;
// false: b is no such token. SI and SL have no extensions, so those say nothing.
func (d *document) value(b byte, text *strings.Builder) bool {
	switch b {
	case wbString:
		text.WriteString(d.text())
	case 0x40, 0x41, 0x42:
		d.text()
	case 0xC0, 0xC1, 0xC2:
	case wbTableStr:
		if at := d.uintvar(); at < len(d.table) {
			s := &octets{b: d.table[at:]}
			text.WriteString(s.text())
		}
	case wbEntity:
		if r := d.uintvar(); r >= ' ' && !d.bad {
			text.WriteRune(rune(r))
		}
	case wbOpaque: // a time, a digit in each half octet
		for _, b := range d.take(d.uintvar()) {
			text.WriteString(string([]byte{'0' + b>>4, '0' + b&0x0F}))
		}
	case 0x80, 0x81, 0x82:
		d.uintvar()
	default:
		return false
	}
	return true
}

// attributes reads those of one tag, up to their end.
func (d *document) attributes() {
	name, text := "", new(strings.Builder)
	for d.more() {
		b := d.next()
		start, known := d.tokens.starts[b]
		switch {
		case b == wbEnd:
			d.attribute(name, text.String())
			return
		case b == wbSwitch:
			d.next()
		case !known && b != wbLiteral && d.value(b, text):
		case b < 0x80:
			d.attribute(name, text.String())
			if b == wbLiteral {
				d.uintvar()
			}
			name = start[0]
			text.Reset()
			text.WriteString(start[1])
		default:
			text.WriteString(indicationValues[b])
		}
	}
}

func (d *document) attribute(name, v string) {
	if d.bad {
		return // it is cut
	}
	switch name {
	case "href":
		d.push.URL = v
	case "si-id":
		d.push.ID = v
	case "action":
		d.push.Action = v
	case "created":
		d.push.CreatedAt = indicationTime(v)
	case "si-expires":
		d.push.ExpiresAt = indicationTime(v)
	}
}

// indicationTime reads YYYYMMDDhhmmss, whose zeros at the end may be left out.
func indicationTime(v string) time.Time {
	const digits = "00000000000000"
	if len(v) < 8 || len(v) > len(digits) {
		return time.Time{}
	}
	t, err := time.Parse("20060102150405", v+digits[len(v):])
	if err != nil {
		return time.Time{}
	}
	return t
}
