package pdu

import "github.com/warthog618/sms/encoding/gsm7/charset"

const esc = 0x1B

// Every alphabet table is built before anything reads one: the library builds
// them on first use without a lock, and others in the process, such as the
// simulator, use it directly. What TS 23.038 annex A has otherwise is
// corrected: three Hindi signs that are Bengali ones in the library and the
// missing Ê of the Portuguese single shift table. The escape is taken out of
// the encoders, where it would turn the character behind it into another.
func init() {
	encoders := []charset.Encoder{charset.DefaultEncoder(), charset.DefaultExtEncoder()}
	charset.DefaultDecoder()
	for nli := charset.Start; nli < charset.End; nli++ {
		encoders = append(encoders, charset.NewEncoder(nli), charset.NewExtEncoder(nli))
		charset.NewDecoder(nli)
		charset.NewExtDecoder(nli)
	}
	for _, e := range encoders {
		delete(e, esc)
	}
	hindi := charset.NewDecoder(charset.Hindi)
	hindi[0x00], hindi[0x01], hindi[0x02] = 0x0901, 0x0902, 0x0903
	charset.NewExtDecoder(charset.Portuguese)[0x1F] = 'Ê'
}

// table limits a national language identifier to those that TS 23.038
// 6.2.1.2.4 knows; others mean the default alphabet.
func table(nli byte) int {
	if int(nli) >= charset.End {
		return 0
	}
	return int(nli)
}
