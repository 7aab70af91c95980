package sim

import "bytes"

// What networks and other people's gateways do to SMS-DELIVER PDUs. Each
// function changes a PDU, SMSC address in front, in place or by growing it,
// and returns nil if it can't be spoiled in this way.

// deliver is where things are in an SMS-DELIVER.
type deliver struct {
	raw                     []byte
	address, pid, dcs, scts int
	udl, ud, header         int // header: octets of the user data header, its length included
	udhi                    bool
}

// delivered finds its way in a PDU; nil if it is none or too short.
func delivered(raw []byte) *deliver {
	if len(raw) == 0 || len(raw) < int(raw[0])+4 {
		return nil
	}
	start := 1 + int(raw[0])
	d := &deliver{raw: raw, address: start + 1, udhi: raw[start]&0x40 != 0}
	d.pid = d.address + 2 + (int(raw[d.address])+1)/2
	d.dcs, d.scts = d.pid+1, d.pid+2
	d.udl, d.ud = d.scts+7, d.scts+8
	if raw[start]&3 != 0 || len(raw) < d.ud {
		return nil
	}
	if d.udhi && len(raw) > d.ud {
		d.header = int(raw[d.ud]) + 1
	}
	if len(raw) < d.ud+d.header {
		return nil
	}
	return d
}

// septets tells whether the text is packed septets, ucs2 whether it is UCS2.
func (d *deliver) septets() bool { return d.raw[d.dcs]&0xCC == 0 || d.raw[d.dcs]&0xF4 == 0xF0 }
func (d *deliver) ucs2() bool    { return d.raw[d.dcs]&0xCC == 0x08 }

// spoil has f change a copy of the PDU; nil if that is not possible.
func spoil(raw []byte, f func(d *deliver) []byte) []byte {
	d := delivered(bytes.Clone(raw))
	if d == nil {
		return nil
	}
	return f(d)
}

// spoiled is a received PDU after the faults that change it.
func (m *Modem) spoiled(raw []byte) []byte {
	f := &m.faults
	if f.ReuseReference {
		if b := spoil(raw, reference); b != nil {
			raw = b
		}
	}
	for _, x := range []struct {
		times *Times
		f     func(d *deliver) []byte
	}{{&f.ClassZero, classZero}, {&f.BadPadding, badPadding}, {&f.OddUCS2, oddUCS2}, {&f.BadTime, badTime}, {&f.BadAddress, badAddress}} {
		if *x.times == 0 {
			continue
		}
		if b := spoil(raw, x.f); b != nil {
			x.times.strike()
			raw = b
		}
	}
	return raw
}

func typeZero(d *deliver) []byte {
	d.raw[d.pid] = 0x40
	return d.raw
}

func classZero(d *deliver) []byte {
	if dcs := d.raw[d.dcs]; dcs&0xC0 != 0 && dcs&0xF0 != 0xF0 {
		return nil // message waiting has no class
	}
	d.raw[d.dcs] = d.raw[d.dcs]&^0x03 | 0x10
	return d.raw
}

// badPadding sets the bits that no septet uses: between header and text, and
// in the last octet.
func badPadding(d *deliver) []byte {
	if !d.septets() {
		return nil
	}
	changed := false
	set := func(from, to int) { // bits of the user data, the lowest of each octet first
		for bit := from; bit < to && d.ud+bit/8 < len(d.raw); bit++ {
			d.raw[d.ud+bit/8] |= 1 << (bit % 8)
			changed = true
		}
	}
	set(d.header*8, (d.header*8+6)/7*7)
	end := int(d.raw[d.udl]) * 7
	set(end, (end+7)/8*8)
	if !changed {
		return nil
	}
	return d.raw
}

func oddUCS2(d *deliver) []byte {
	if n := int(d.raw[d.udl]); !d.ucs2() || n%2 != d.header%2 || n >= 140 {
		return nil
	}
	d.raw[d.udl]++
	return append(d.raw, 0)
}

func badTime(d *deliver) []byte {
	for i := range 7 {
		d.raw[d.scts+i] = 0xFF
	}
	return d.raw
}

func badAddress(d *deliver) []byte {
	if d.raw[d.address]%2 == 0 || d.raw[d.address+1]&0x70 == 0x50 {
		return nil // it has no filler
	}
	d.raw[d.address]++
	return d.raw
}

// reference gives a part of a longer message the reference 1.
func reference(d *deliver) []byte {
	for i := d.ud + 1; d.udhi && i+1 < d.ud+d.header; i += 2 + int(d.raw[i+1]) {
		end := i + 2 + int(d.raw[i+1])
		switch {
		case end > d.ud+d.header:
			return nil
		case d.raw[i] == 0x00 && end-i == 5:
			d.raw[i+2] = 1
			return d.raw
		case d.raw[i] == 0x08 && end-i == 6:
			d.raw[i+2], d.raw[i+3] = 0, 1
			return d.raw
		}
	}
	return nil
}
