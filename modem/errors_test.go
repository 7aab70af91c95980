package modem

import (
	"strings"
	"testing"
	"time"

	"gatewayd/modem/at"
	"gatewayd/sms"
)

func line(set, rest string) *at.Error {
	e := &at.Error{Command: "AT+CMGS", Set: set, Code: leadingNumber(rest), Text: "+" + set + " ERROR: " + rest}
	if set == "" {
		e.Code, e.Text = -1, rest
	}
	return e
}

// The classes that the facts ask for, row by row.
func TestErrorTable(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range meanings {
		key := m.set + " " + m.maker + " " + string(rune(m.code+10))
		if seen[key] {
			t.Errorf("%s %d of %q stands twice", m.set, m.code, m.maker)
		}
		seen[key] = true
		if m.title == "" || m.from == "" || m.class == "" {
			t.Errorf("%+v", m)
		}
	}
	for _, c := range []struct {
		maker, set string
		codes      []string
		class      sms.Class
	}{
		{"", "CMS", []string{"1", "30", "128", "129", "130", "143", "144", "145", "159", "160", "161", "175", "176", "195", "196", "198", "199", "304", "305"}, sms.Permanent},
		{"", "CMS", []string{"8", "10", "28", "29", "50", "69", "193", "310", "311", "312", "315", "316", "317", "318", "330"}, sms.Account},
		{"", "CMS", []string{"17", "21", "22", "27", "38", "42", "47", "127", "192", "194", "331"}, sms.Later},
		{"", "CMS", []string{"41", "81", "95", "96", "97", "98", "99", "111", "208", "209", "211", "212", "213", "314", "321", "322", "340"}, sms.Now},
		{"", "CMS", []string{"210", "255", "300", "301", "302", "303", "313", "320", "350", "500", "512", "4711"}, sms.Fault},
		{"huawei", "CMS", []string{"224", "513"}, sms.Fault},
		{"", "CMS", []string{"332"}, sms.Unknown},
		{"SIMCOM_Ltd", "CMS", []string{"197"}, sms.Accepted},
		{"SIMCOM_Ltd", "CMS", []string{"224", "225", "226", "332"}, sms.Unknown},
		{"SIMCOM INCORPORATED", "CMS", []string{"513", "514"}, sms.Permanent},
		{"SIMCOM INCORPORATED", "CMS", []string{"512", "515"}, sms.Fault},
		{"SIMCOM INCORPORATED", "CMS", []string{"517", "521", "524", "528", "531", "532"}, sms.Now},
		{"Quectel", "CMS", []string{"512", "528", "531"}, sms.Now},
		{"QUECTEL INCORPORATED", "CMS", []string{"513", "514"}, sms.Permanent},
		{"Quectel", "CMS", []string{"350", "515", "517"}, sms.Fault},
		{"Quectel", "CMS", []string{"529"}, sms.Account},
		{"Quectel", "CMS", []string{"530"}, sms.Later},
		{"Telit", "CMS", []string{"513", "514", "515"}, sms.Unknown},
		{"Telit", "CMS", []string{"512"}, sms.Later},
		{"WAVECOM MODEM", "CMS", []string{"512", "515", "520"}, sms.Now},
		{"Sierra Wireless", "CMS", []string{"513"}, sms.Unknown},
		{"Sierra Wireless", "CMS", []string{"514"}, sms.Later},
		{"Sierra Wireless", "CMS", []string{"531"}, sms.Permanent},
		{"", "CME", []string{"0", "13", "23", "100"}, sms.Fault},
		{"", "CME", []string{"3", "4", "5", "6", "7", "10", "11", "12", "15", "16", "17", "18", "40", "48", "50", "262", "772"}, sms.Account},
		{"", "CME", []string{"14", "20", "21", "22", "126", "256", "515"}, sms.Now},
		{"", "CME", []string{"30", "32", "103", "106", "111", "112", "113"}, sms.Later},
		{"", "CME", []string{"31"}, sms.Unknown},
		{"", "", []string{"COMMAND NOT SUPPORT", "COMMAND NOT SUPPORTED", "TOO MANY PARAMETERS"}, sms.Account},
		{"", "", []string{"ERROR", "MODEM ERROR: 13", "NA"}, sms.Fault},
	} {
		for _, code := range c.codes {
			got, _ := classify(line(c.set, code), c.maker, time.Second)
			if got.Class != c.class {
				t.Errorf("%s %s of %q is %s, want %s", c.set, code, c.maker, got.Class, c.class)
			}
		}
	}
}

// An error that says nothing is the network's silence when it comes late.
func TestSlowFailures(t *testing.T) {
	for _, e := range []*at.Error{line("CMS", "500"), line("CMS", "350"), line("CMS", "9999"), line("CMS", "what"), line("", "ERROR"), line("", "MODEM ERROR: 1")} {
		if fast, _ := classify(e, "Quectel", time.Second); fast.Class != sms.Fault {
			t.Errorf("%s at once: %s", e.Text, fast.Class)
		}
		if slow, _ := classify(e, "Quectel", 25*time.Second); slow.Class != sms.Unknown || strings.Contains(slow.Detail, "power") {
			t.Errorf("%s late: %s %q", e.Text, slow.Class, slow.Detail)
		}
	}
	if e, _ := classify(line("CMS", "38"), "", 25*time.Second); e.Class != sms.Later {
		t.Errorf("an error that says why is %s when it is late", e.Class)
	}
}

// Errors in words (+CMEE=2), in spellings that modems have.
func TestErrorWords(t *testing.T) {
	for _, c := range []struct{ set, words, code string }{
		{"CME", "SIM not inserted", "cme-10"}, {"CME", "(U)SIM not inserted", "cme-10"}, {"CME", "no sim", "cme-10"}, {"CME", "SIM card not inserted", "cme-10"},
		{"CME", "SIM PIN required", "cme-11"}, {"CME", "sim pin needed", "cme-11"}, {"CME", "SIM PUK required", "cme-12"}, {"CME", "SIM failure", "cme-13"},
		{"CME", "SIM busy", "cme-14"}, {"CME", "SIM wrong", "cme-15"}, {"CME", "incorrect password", "cme-16"}, {"CME", "Operation not allowed", "cme-3"},
		{"CME", "operation not supported", "cme-4"}, {"CME", "memory full", "cme-20"}, {"CME", "invalid index", "cme-21"}, {"CME", "no network service", "cme-30"},
		{"CME", "Network timeout", "cme-31"}, {"CME", "network not allowed - emergency calls only", "cme-32"}, {"CME", "Illegal MS", "cme-103"},
		{"CME", "PLMN not allowed", "cme-111"}, {"CME", "unknown", "cme-100"}, {"CME", "unknown error", "cme-100"}, {"CME", "PH-SIM PIN required", "cme-5"},
		{"CMS", "no network service", "cms-331"}, {"CMS", "network timeout", "cms-332"}, {"CMS", "SIM busy", "cms-314"}, {"CMS", "SIM not inserted", "cms-310"},
		{"CMS", "unknown error", "cms-500"}, {"CMS", "Unassigned (unallocated) number", "cms-1"}, {"CMS", "unassigned number", "cms-1"},
		{"CMS", "Short message transfer rejected", "cms-21"}, {"CMS", "Network out of order", "cms-38"}, {"CMS", "congestion", "cms-42"},
		{"CMS", "SMSC address unknown", "cms-330"}, {"CMS", "Invalid PDU mode parameter", "cms-304"}, {"CMS", "bad PDU", "cms-304"}, {"CMS", "memory full", "cms-322"},
		{"CMS", "SM Rejected-Duplicate SM", "cms-197"}, {"CMS", "incorrect password", "cme-16"}, {"CMS", "38 (no credit)", "cms-38"}, {"CMS", "38,1", "cms-38"},
		{"CMS", "gibberish", "modem-error"}, {"CMS", "", "modem-error"}, {"CME", "38", "cme-38"},
	} {
		e := line(c.set, c.words)
		if e.Code >= 0 {
			e.Code = leadingNumber(c.words)
		}
		if got, _ := classify(e, "", 0); got.Code != c.code {
			t.Errorf("%s in words %q is %s, want %s", c.set, c.words, got.Code, c.code)
		}
	}
	for _, s := range synonyms {
		if spelling(s.said) != s.said || byCode(s.set, s.code, "") == nil {
			t.Errorf("%+v can never be found", s)
		}
	}
	// Every title is found again under its own set.
	for _, m := range meanings {
		if m.code < 0 || m.maker != "" {
			continue
		}
		if got := byWords(m.set, m.title); got.set != m.set || spelling(got.title) != spelling(m.title) {
			t.Errorf("%s %d: %q is taken for %s %d", m.set, m.code, m.title, got.set, got.code)
		}
	}
}

// FuzzErrorLines: every final line is classified, in words that end and
// without a promise that only the gateway can make.
func FuzzErrorLines(f *testing.F) {
	for _, s := range []string{"38", "SIM busy", "(U)SIM not inserted", "unknown error", "38, x", "-1", "99999999999999999999", "", "ERROR", "COMMAND NOT SUPPORT", "NA", "\xff\x00", "ſim buſy"} {
		f.Add(s, "Quectel", int64(0))
	}
	f.Fuzz(func(t *testing.T, s, maker string, waited int64) {
		for _, set := range []string{"CMS", "CME", ""} {
			e := line(set, s)
			got, m := classify(e, maker, time.Duration(waited))
			if got.Class == "" || got.Title == "" || got.Code == "" || got.Detail == "" || m == nil {
				t.Errorf("%q: %+v", s, got)
			}
			if strings.Contains(strings.TrimPrefix(got.Detail, "The modem answered "+e.Text), "again") {
				t.Errorf("%q promises: %s", s, got.Detail)
			}
			if once := spelling(s); spelling(once) != once {
				t.Errorf("%q is spelled %q and then %q", s, once, spelling(once))
			}
			if c := cmeCode(e); c < -1 {
				t.Errorf("%q has code %d", s, c)
			}
			r := run{}
			o := &Outcome{Part: &Part{To: maker}, Err: got}
			for range 3 {
				r.read(o, m, time.Unix(waited%1e9, 0))
			}
			if len(r.to) > many || len(r.alone) > aloneMax {
				t.Errorf("%+v", r)
			}
		}
	})
}

// A run stays small whatever comes.
func TestRunStaysSmall(t *testing.T) {
	r := run{}
	for i := range 1000 {
		o := &Outcome{Part: &Part{To: strings.Repeat("1", i%300+1)}}
		var m *meaning
		o.Err, m = classify(line("CMS", "38"), "", 0)
		r.read(o, m, time.Unix(int64(i), 0))
		r.fault(o.Part.To, i%3)
	}
	if len(r.to) > many || len(r.alone) > aloneMax || len(r.ailed) > 2 || r.pace > paceMax {
		t.Errorf("%d, %d, %d, %s", len(r.to), len(r.alone), len(r.ailed), r.pace)
	}
}
