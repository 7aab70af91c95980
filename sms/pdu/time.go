package pdu

import "time"

// relativeValidity is TP-VP in the relative format (TS 23.040 9.2.3.12.1),
// rounded down to what it can express, so that no message is delivered later
// than asked; but 5 minutes is the shortest.
func relativeValidity(d time.Duration) byte {
	const day = 24 * time.Hour
	switch {
	case d < 10*time.Minute:
		return 0
	case d <= 12*time.Hour:
		return byte(d/(5*time.Minute) - 1)
	case d <= day:
		return byte(143 + (d-12*time.Hour)/(30*time.Minute))
	case d < 5*7*day:
		return byte(166 + min(d/day, 30))
	default:
		return byte(192 + min(d/(7*day), 63))
	}
}

// libraryValidity is the duration for which the library writes the octet vp.
// For vp 0 that is not 5 minutes, which it writes as 1.
func libraryValidity(vp byte) time.Duration {
	n := time.Duration(vp)
	switch {
	case vp == 0:
		return 0
	case vp <= 143:
		return (n + 1) * 5 * time.Minute
	case vp <= 167:
		return 12*time.Hour + (n-143)*30*time.Minute
	case vp <= 196:
		return (n - 166) * 24 * time.Hour
	default:
		return (n - 192) * 7 * 24 * time.Hour
	}
}

// readTime reads a service centre time stamp (TS 23.040 9.2.3.11); zero if it
// is not a point in time: service centres do send F digits, zeros and month 13.
func readTime(b []byte) time.Time {
	var v [7]int
	for i := range v {
		tens, ones := int(b[i]&0x0F), int(b[i]>>4)
		if i == 6 {
			tens &= 0x07 // its top bit is the sign
		}
		if tens > 9 || ones > 9 {
			return time.Time{}
		}
		v[i] = 10*tens + ones
	}
	year := 2000 + v[0]
	if v[0] >= 70 {
		year = 1900 + v[0]
	}
	month, day, quarters := time.Month(v[1]), v[2], v[6]
	if b[6]&0x08 != 0 {
		quarters = -quarters
	}
	if month < 1 || month > 12 || day < 1 || v[3] > 23 || v[4] > 59 || v[5] > 59 || quarters < -56 || quarters > 56 {
		return time.Time{}
	}
	zone := time.FixedZone("", quarters*15*60)
	t := time.Date(year, month, day, v[3], v[4], v[5], 0, zone)
	if t.Day() != day { // 31 June
		return time.Time{}
	}
	return t.UTC()
}
