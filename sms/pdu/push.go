package pdu

import (
	"encoding/xml"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"gatewayd/sms"
)

// PushPort reports whether an application port is that of WAP push (WAP-235 5,
// 2949 with WTLS): what comes to it is read by ReadPush.
func PushPort(port int) bool { return port == 2948 || port == 2949 }

// WSP PDU types (WAP-230 8.2.4.4).
const (
	wspPush          = 0x06
	wspConfirmedPush = 0x07
)

// ReadPush reads the data of a WAP push. at is what times are relative to. What
// can't be read is left out: data may be cut where a part never came. push and
// mms are never both there. It never panics.
func ReadPush(data []byte, at time.Time) (kind sms.Kind, push *sms.Push, mms *sms.MMS) {
	o := &octets{b: data}
	o.next() // transaction
	if t := o.next(); t != wspPush && t != wspConfirmedPush {
		return sms.KindPush, nil, nil
	}
	headers := &octets{b: o.take(o.uintvar())}
	contentType := headers.contentType()
	if o.bad || headers.bad {
		return sms.KindPush, nil, nil
	}
	push = &sms.Push{ContentType: contentType}
	switch contentType {
	case "application/vnd.wap.mms-message":
		if mms := readNotification(o, at); mms != nil {
			return sms.KindMMS, nil, mms
		}
	case "application/vnd.wap.sic":
		readIndication(o, push, siTokens)
	case "application/vnd.wap.slc":
		readIndication(o, push, slTokens)
	case "text/vnd.wap.si", "text/vnd.wap.sl":
		readXMLIndication(o.b, push)
	}
	return sms.KindPush, push, nil
}

// octets reads the basic forms of WSP (WAP-230 8.4.2). After something that is
// not whole bad is set, and all that follows is empty.
type octets struct {
	b   []byte
	bad bool
}

func (o *octets) more() bool { return !o.bad && len(o.b) > 0 }

func (o *octets) peek() byte {
	if len(o.b) == 0 {
		return 0
	}
	return o.b[0]
}

func (o *octets) next() byte {
	if b := o.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (o *octets) take(n int) []byte {
	if o.bad || n < 0 || n > len(o.b) {
		o.bad, o.b = true, nil
		return nil
	}
	b := o.b[:n]
	o.b = o.b[n:]
	return b
}

// uintvar is at most five octets of seven bits each.
func (o *octets) uintvar() int {
	n := 0
	for range 5 {
		b := o.next()
		n = n<<7 | int(b&0x7F)
		if b&0x80 == 0 {
			if n > 1<<31-1 || n < 0 {
				break
			}
			return n
		}
	}
	o.bad, o.b = true, nil
	return 0
}

// text goes up to a zero octet.
func (o *octets) text() string {
	for i, b := range o.b {
		if b == 0 {
			s := o.take(i + 1)[:i]
			if len(s) > 0 && (s[0] == 0x7F || s[0] == '"') { // quotes a first character
				s = s[1:]
			}
			return readable(s)
		}
	}
	o.bad, o.b = true, nil
	return ""
}

// part is a value with its length in front.
func (o *octets) part() *octets {
	n := int(o.next())
	if n == 31 {
		n = o.uintvar()
	}
	return &octets{b: o.take(n), bad: o.bad}
}

// integer is short, seven bits, or long, with its length in front.
func (o *octets) integer() int {
	n := int(o.next())
	if n&0x80 != 0 {
		return n & 0x7F
	}
	v := 0
	for _, b := range o.take(n) {
		if v > 1<<23-1 {
			o.bad, o.b = true, nil // more than 31 bits: no size and no time is so large
			return 0
		}
		v = v<<8 | int(b)
	}
	return v
}

// skip passes over a value of any form.
func (o *octets) skip() {
	switch b := o.peek(); {
	case b <= 31:
		o.part()
	case b < 0x80:
		o.text()
	default:
		o.next()
	}
}

func (o *octets) contentType() string {
	if o.peek() <= 31 { // with parameters
		p := o.part()
		t := p.contentTypeOnly()
		o.bad = o.bad || p.bad
		return t
	}
	return o.contentTypeOnly()
}

func (o *octets) contentTypeOnly() string {
	if b := o.peek(); b > 31 && b < 0x80 {
		t, _, _ := strings.Cut(o.text(), ";")
		return strings.ToLower(strings.TrimSpace(t))
	}
	return contentTypes[o.integer()]
}

// contentTypes are those assigned numbers of OMNA that are pushed to phones.
var contentTypes = map[int]string{
	0x03: "text/plain", 0x06: "text/x-vcalendar", 0x07: "text/x-vcard", 0x08: "text/vnd.wap.wml", 0x14: "application/vnd.wap.wmlc",
	0x23: "application/vnd.wap.multipart.mixed", 0x27: "application/xml", 0x28: "text/xml", 0x29: "application/vnd.wap.wbxml",
	0x2D: "text/vnd.wap.si", 0x2E: "application/vnd.wap.sic", 0x2F: "text/vnd.wap.sl", 0x30: "application/vnd.wap.slc",
	0x31: "text/vnd.wap.co", 0x32: "application/vnd.wap.coc", 0x33: "application/vnd.wap.multipart.related", 0x34: "application/vnd.wap.sia",
	0x35: "text/vnd.wap.connectivity-xml", 0x36: "application/vnd.wap.connectivity-wbxml", 0x3E: "application/vnd.wap.mms-message",
	0x42: "application/vnd.syncml.dm+wbxml", 0x43: "application/vnd.syncml.dm+xml", 0x44: "application/vnd.syncml.notification",
	0x46: "application/vnd.wv.csp.cir", 0x48: "application/vnd.oma.drm.message", 0x4A: "application/vnd.oma.drm.rights+xml",
	0x4B: "application/vnd.oma.drm.rights+wbxml",
}

// The header fields of an m-notification.ind (OMA-TS-MMS_ENC 7.4), their token
// with the top bit set.
const (
	mmsLocation    = 0x83
	mmsExpiry      = 0x88
	mmsFrom        = 0x89
	mmsClass       = 0x8A
	mmsType        = 0x8C
	mmsSize        = 0x8E
	mmsSubject     = 0x96
	mmsTransaction = 0x98
)

// readNotification reads an m-notification.ind; nil: it is another PDU of MMS.
func readNotification(o *octets, at time.Time) *sms.MMS {
	if o.next() != mmsType || o.next() != 0x82 {
		return nil
	}
	m := &sms.MMS{}
	for o.more() {
		if o.peek() < 0x80 { // a field with its name spelled out
			o.text()
			o.text()
			continue
		}
		switch o.next() {
		case mmsLocation:
			m.Location = o.text()
		case mmsTransaction:
			m.TransactionID = o.text()
		case mmsFrom:
			if p := o.part(); p.next() == 0x80 { // else the address is withheld
				m.From, _, _ = strings.Cut(p.encoded(), "/TYPE=")
			}
		case mmsSubject:
			m.Subject = o.encoded()
		case mmsClass:
			if b := o.peek(); b < 0x80 {
				m.Class = o.text()
			} else if b = o.next(); b <= 0x83 {
				m.Class = [...]string{"personal", "advertisement", "informational", "auto"}[b-0x80]
			}
		case mmsSize:
			m.Size = o.integer()
		case mmsExpiry:
			p := o.part()
			absolute := p.next() == 0x80
			seconds := p.integer()
			switch {
			case p.bad:
			case absolute:
				m.ExpiresAt = time.Unix(int64(seconds), 0).UTC()
			default:
				m.ExpiresAt = at.Add(time.Duration(seconds) * time.Second)
			}
		default:
			o.skip()
		}
	}
	return m
}

// encoded is a text that may tell its character set.
func (o *octets) encoded() string {
	if o.peek() > 31 {
		return o.text()
	}
	p := o.part()
	switch p.integer() {
	case 1000, 1013, 1015: // UCS-2, UTF-16BE, UTF-16
		var units []uint16
		for b := p.b; len(b) >= 2 && (b[0] != 0 || b[1] != 0); b = b[2:] {
			units = append(units, uint16(b[0])<<8|uint16(b[1]))
		}
		if len(units) > 0 && units[0] == 0xFEFF {
			units = units[1:]
		}
		return string(utf16.Decode(units))
	}
	return p.text()
}

// readable makes a text of octets: UTF-8, or else Latin 1, without what is
// neither letter nor space.
func readable(b []byte) string {
	s := string(b)
	if !utf8.ValidString(s) {
		runes := make([]rune, len(b))
		for i, c := range b {
			runes[i] = rune(c)
		}
		s = string(runes)
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7F {
			return -1
		}
		return r
	}, s)
}

// readXMLIndication reads an indication that was not made binary.
func readXMLIndication(b []byte, p *sms.Push) {
	var doc struct {
		Href       string `xml:"href,attr"` // of <sl>
		Action     string `xml:"action,attr"`
		Indication struct {
			Href    string `xml:"href,attr"`
			ID      string `xml:"si-id,attr"`
			Action  string `xml:"action,attr"`
			Created string `xml:"created,attr"`
			Expires string `xml:"si-expires,attr"`
			Text    string `xml:",chardata"`
		} `xml:"indication"`
	}
	if xml.Unmarshal(b, &doc) != nil {
		return
	}
	i := doc.Indication
	p.URL, p.Action, p.ID, p.Text = doc.Href+i.Href, doc.Action+i.Action, i.ID, strings.TrimSpace(i.Text)
	p.CreatedAt, _ = time.Parse(time.RFC3339, i.Created)
	p.ExpiresAt, _ = time.Parse(time.RFC3339, i.Expires)
}
