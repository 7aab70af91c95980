package pdu_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// received is one PDU from the air and what it says. All come from public test
// suites and bug reports: ModemManager, python-messaging, warthog618/sms,
// asterisk-chan-dongle, PDUlib.
var received = []struct {
	name, raw string
	smsc      string
	from      string
	name11    bool // From is alphanumeric
	scts      string
	text      string // of this part alone
	enc       sms.Encoding
	class     int
	concat    *pdu.Concat
	clean     bool // nothing was repaired
}{
	{name: "hellohello", raw: "07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37",
		smsc: "+27381000015", from: "27838890001", scts: "1999-03-29T13:16:59Z", text: "hellohello", enc: sms.GSM7, class: -1, clean: true},
	{name: "extension characters", raw: "07912104442961f4040b91617195729 1f80000112082110505 0a6ac8b2bc7c9a83c220f6db7d2ecb41edf27c1e3e97411bde06754fd3d1a0f9bb5d0695f1f4b29b5c2683c6e8b03c3ca697e5f34d6ae303d1d1f2f7dd0d4abb59a0797d8c0685e7a00028ec26832a960b28ec2683be6050780eba97d96c17",
		smsc: "+12404492164", from: "+16175927198", scts: "2011-02-28T16:50:50Z", enc: sms.GSM7, class: -1, clean: true,
		text: "Here's a longer message [{with some extended characters}] thrown in, such as £ and ΩΠΨ and §¿ as well."},
	{name: "name of eleven letters", raw: "07919730071111f10414d0493 7bd2c7797e9d3e6140008113092910240610804420435044104 42",
		smsc: "+79037011111", from: "InternetSMS", name11: true, scts: "2011-03-29T15:20:04Z", text: "тест", enc: sms.UCS2, class: -1, clean: true},
	{name: "unknown number, PID FF", raw: "07912143658709f1040b818100551512f2ff00111010214365000ae8329bfd4697d9ec37",
		smsc: "+12345678901", from: "18005551212", scts: "2011-01-01T12:34:56Z", text: "hellohello", enc: sms.GSM7, class: -1, clean: true},
	{name: "class 1 from a network specific number", raw: "07913306091093F0040485810000F1116042318051 80 A049B7F90D9A1AA5A01668F8769BD3E4B29B9E2EB359A03FC85D06A9C3ED707A0EA2CBC3EE79BB4CA7CBCBA05643617DA7C76990FD4D979741EE77DD5E0ED741ED371D442E83E0E1F9BC0CD281E677D9B84C06C1DF7539E85C9097E520FB9B2E2F83C6EF369C5E064D8D52D0BC2E07DDEF77D7DC2C7799E5A0771D040FCB41F402BB0047BFDD6550B80ECAD966",
		smsc: "+33609001390", from: "1800", scts: "2011-06-24T11:08:15Z", enc: sms.GSM7, class: 1, clean: true,
		text: "Info SFR - Confidentiel, à ne jamais transmettre -\r\nVoici votre nouveau mot de passe : sw2ced pour gérer votre compte SFR sur www.sfr.fr ou par téléphone au 963"},
	{name: "16-bit reference, part 1 of 2", raw: "07911356131313F64004850120390011609232239180A006080400100201D7327BFD6EB340E2321BF46E83EA7790F59D1E97DBE1341B442F83C465763D3DA797E56537C81D0ECB41AB59CC1693C16031D96C064241E5656838AF03A96230982A269BCD462917C8FA4E8FCBED709A0D7ABBE9F6B0FB5C7683D27350984D4FABC9A0B33C4C4FCF5D20EBFB2D079DCB62793DBD06D9C36E50FB2D4E97D9A0B49B5E96BBCB",
		smsc: "+31653131316", from: "1002", scts: "2011-06-29T21:32:19Z", enc: sms.GSM7, class: -1, concat: &pdu.Concat{Ref: 16, Bits: 16, Total: 2, Seq: 1}, clean: true,
		text: "Welkom, bel om uw Voicemail te beluisteren naar +31612001233 (PrePay: *100*1233#). Voicemail ontvangen is altijd gratis. Voor gebruik van mobiel interne"},
	{name: "8-bit reference, part 2 of 2", raw: "07912160130320F6440B916171056429F5000021405291651569320500034C0202E9E8301D44479741F0B09C3E0785E56590BCCC0ED3CB6410FD0D7ABBCBA0B0FB4D4797E52E10",
		smsc: "+12063130026", from: "+16175046925", scts: "2012-04-25T23:56:51Z", enc: sms.GSM7, class: -1, concat: &pdu.Concat{Ref: 76, Bits: 8, Total: 2, Seq: 2}, clean: true,
		text: "that the parts are related to one another. "},
	{name: "How are you", raw: "07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07",
		smsc: "+31624000000", from: "+31641600986", scts: "2002-08-26T19:37:41Z", text: "How are you?", enc: sms.GSM7, class: -1, clean: true},
	{name: "Chinese", raw: "07914306073011F0040B914316709807F2000880604290224080084E2D5174901A8BAF",
		smsc: "+34607003110", from: "+34610789702", scts: "2008-06-24T07:22:04Z", text: "中兴通讯", enc: sms.UCS2, class: -1, clean: true},
	{name: "British summer time", raw: "0791447758100650040C914497716247010000909010711423400A2050EC468B81C4733A",
		smsc: "+447785016005", from: "+447917267410", scts: "2009-09-01T16:41:32Z", text: "  1741 bst", enc: sms.GSM7, class: -1, clean: true},
	{name: "name of nine semi-octets", raw: "07919471060040340409D0C6A733390400009060920173018093CC74595C96838C4F6772085AD6DDE4320B444E9741D4B03C6D7EC3E9E9B71B9474D3CB727799DEA286CFE5B9991DA6CBC3F432E85E9793CBA0F09A9EB6A7CB72BA0B9474D3CB727799DE72D6E9FABAFB0CBAA7E56490BA4CD7D34170F91BE4ACD3F575F7794E0F9F4161F1B92C2F8FD1EE32DD054AA2E520E3D3991C82A8E5701B",
		smsc: "+491760000443", from: "FONIC", name11: true, scts: "2009-06-29T08:37:10Z", enc: sms.GSM7, class: -1, clean: true,
		text: "Lieber FONIC Kunde, die Tarifoption Internet-Tagesflatrate wurde aktiviert. Internet-Nutzung wird jetzt pro Nutzungstag abgerechnet. Ihr FONIC Team"},
	{name: "name of eighteen semi-octets", raw: "07919333852804000412D0F7FBDD454FB75D693A0000903002801153402BCD301E9F0605D9E971191483C140412A35690D52832063D2F9040599A058EE05A3BD6430580E",
		smsc: "+393358824000", from: "www.tim.it", name11: true, scts: "2009-03-20T07:11:35Z", text: "Maxxi Alice 100 ATTIVATA FINO AL 19/04/2009", enc: sms.GSM7, class: -1, clean: true},
	{name: "euro sign in a part", raw: "07919471227210244405852122F039F101506271217180A005000319020198E9B2B82C0759DFE4B0F9ED2EB7967537B9CC02B5D37450122D2FCB41EE303DFD7687D96537881A96A7CD6F383DFD7683F46134BBEC064DD36550DA0D22A7CBF3721BE42CD3F5A0198B56036DCA20B8FC0D6A0A4170767D0EAAE540433A082E7F83A6E5F93CFD76BB40D7B2DB0D9AA6CB2072BA3C2F83926EF31BE44E8FD17450BB8C9683CA",
		smsc: "+491722270142", from: "12220", scts: "2010-05-26T15:12:17Z", enc: sms.GSM7, class: 1, concat: &pdu.Concat{Ref: 25, Bits: 8, Total: 2, Seq: 1}, clean: true,
		text: "Lieber Vodafone-Kunde, mit Ihrer nationalen Tarifoption zahlen Sie in diesem Netz 3,45 € pro MB plus 59 Ct pro Session. Wenn Sie diese Info nicht mehr e"},
	{name: "no service centre, national number of twenty digits", raw: "01002414a0018666167000009318280008528041713134234830106df157335e025b894fe153ef79d1628067099650516c53f830119a8c8bc17801003600300033003100340038ff0c82e5975e672c4eba64cd4f5cff0c8bf752ff6cc497323002",
		from: "10686661070000398182", scts: "2025-08-14T09:13:43Z", enc: sms.UCS2, class: -1, clean: true,
		text: "【深圳市安信可科技有限公司】验证码603148，若非本人操作，请勿泄露。"},
	{name: "China Unicom, part 4 of 4", raw: "006405a00110f00008123052517341234605000305040451fb0020006800740074007000 3a002f002f0075002e00310030003000310030002e0063006e002f006b006800640064 00780020ff0c9a6c4e0a62e567093011",
		from: "10010", scts: "2021-03-25T07:37:14Z", text: "击 http://u.10010.cn/khddx ，马上拥有】", enc: sms.UCS2, class: -1, concat: &pdu.Concat{Ref: 5, Bits: 8, Total: 4, Seq: 4}, clean: true},
	{name: "China Mobile, 16-bit reference 43", raw: "006405a10180f600081230528102402373060804002b020251c630025982970067e5770b66f4591a8be660c560a853ef767b5f5500200068007400740070003a002f002f00640078002e00310030003000380036002e0063006e002f0071004500650048004200410020ff0c65b94fbf66f45feb6377300230104e2d56fd79fb52a83011",
		from: "10086", scts: "2021-03-25T10:20:04Z", enc: sms.UCS2, class: -1, concat: &pdu.Concat{Ref: 43, Bits: 16, Total: 2, Seq: 2}, clean: true,
		text: "准。如需查看更多详情您可登录 http://dx.10086.cn/qEeHBA ，方便更快捷。【中国移动】"},
	{name: "AT&T fills the last octet with a space", raw: "07912180958739F144038102F100001211304113338A2F0608041E9602026177F85C06E5DF7539283C1EBFEB6E3A284C0785E974D7F8DD7EB5F37079191E4E9341",
		smsc: "+12085978931", from: "201", scts: "2021-11-03T21:31:33Z", enc: sms.GSM7, class: -1, concat: &pdu.Concat{Ref: 0x1E96, Bits: 16, Total: 2, Seq: 2},
		text: "anage your account at att.com/myprepaid"},
}

func TestDecodeReceived(t *testing.T) {
	for _, c := range received {
		t.Run(c.name, func(t *testing.T) {
			d, r, err := pdu.Decode(unhex(t, c.raw))
			if err != nil || r != nil {
				t.Fatalf("report %v, error %v", r, err)
			}
			single := *d
			single.Concat = nil
			text, data, enc := pdu.Join([]*pdu.Deliver{&single})
			if text != c.text || data != nil || enc != c.enc || d.Encoding != c.enc {
				t.Errorf("text %q in %s, want %q in %s", text, enc, c.text, c.enc)
			}
			if d.SMSC != c.smsc || d.From != c.from || d.Alphanumeric != c.name11 || d.Class != c.class {
				t.Errorf("SMSC %q, from %q (name: %v), class %d", d.SMSC, d.From, d.Alphanumeric, d.Class)
			}
			if got := d.SCTS.Format(time.RFC3339); got != c.scts {
				t.Errorf("SCTS %s, want %s", got, c.scts)
			}
			if (d.Concat == nil) != (c.concat == nil) || d.Concat != nil && *d.Concat != *c.concat {
				t.Errorf("concatenation %+v, want %+v", d.Concat, c.concat)
			}
			if (d.Repaired == "") != c.clean {
				t.Errorf("repaired: %q", d.Repaired)
			}
		})
	}
}

func TestDecodeReports(t *testing.T) {
	for _, c := range []struct {
		name, raw, smsc, to string
		mr, status          byte
		scts, discharge     string
	}{
		{"python-messaging", "0791538375000075061805810531F1019082416500400190824165004000", "", "50131", 24, 0,
			"2010-09-28T13:56:00Z", "2010-09-28T13:56:00Z"},
		{"no service centre", "00060505810531F1010150610000400101506100004000", "", "50131", 5, 0,
			"2010-10-05T15:00:00Z", "2010-10-05T15:00:00Z"},
		{"ModemManager, still trying", "07914356060013F1065A098136397339F7219011700463802190117004638030", "", "639337937", 90, 0x30,
			"2012-09-11T05:40:36Z", "2012-09-11T05:40:36Z"},
		{"international", "07914306073011F006270B913426565711F7012081111345400120811174054043", "", "+43626575117", 39, 0x43,
			"2010-02-18T10:31:54Z", "2010-02-18T10:47:50Z"},
		{"padded with FF", "00060505810531F1010150610000400101506100004000FFFFFFFFFFFF", "", "50131", 5, 0,
			"2010-10-05T15:00:00Z", "2010-10-05T15:00:00Z"},
		{"user data announced and missing", "00060505810531F101015061000040010150610000400004", "", "50131", 5, 0,
			"2010-10-05T15:00:00Z", "2010-10-05T15:00:00Z"},
		{"discharge time of FF", "00060505810531F101015061000040FFFFFFFFFFFFFF46", "", "50131", 5, 0x46,
			"2010-10-05T15:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, r, err := pdu.Decode(unhex(t, c.raw))
			if err != nil || d != nil {
				t.Fatalf("message %+v, error %v", d, err)
			}
			if r.To != c.to || r.MR != c.mr || r.Status != c.status {
				t.Errorf("got %+v", *r)
			}
			if got := r.SCTS.Format(time.RFC3339); got != c.scts {
				t.Errorf("SCTS %s, want %s", got, c.scts)
			}
			if got := r.Discharge.Format(time.RFC3339); got != c.discharge {
				t.Errorf("discharge time %s, want %s", got, c.discharge)
			}
		})
	}
}

// deliver is an SMS-DELIVER from +34616585119 on 2011-01-01 at 12:34:56 with
// this first octet, TP-DCS and user data (TP-UDL in front), put together by hand.
func deliver(first, dcs, ud string) string {
	return "00" + first + "0B914316565811F9" + "00" + dcs + "11101021436500" + ud
}

func decodeHex(t *testing.T, raw string) *pdu.Deliver {
	t.Helper()
	d, _, err := pdu.Decode(unhex(t, raw))
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	if d == nil {
		t.Fatalf("%s: not a message", raw)
	}
	return d
}

// TestNationalTables reads user data with national language tables: from a
// modem maker's test plan, which names the septets, but for the last ones.
func TestNationalTables(t *testing.T) {
	for _, c := range []struct{ name, ud, want string }{
		{"Turkish locking", "06 03250101 5800", "Ğ"},
		{"Portuguese locking", "06 03250103 5800", "Ô"},
		{"Turkish locking, mixed", "0E 03250101 0042C1700285445B01", "İPçp€Λ¤4+"},
		{"Turkish locking, its own letters", "0D 03250101 008209870583D301", "İç€ıĞğŞş"},
		{"Turkish single shift", "15 03240101 D84C37E3CD7C73DC9C37C94D7A5306", "ŞçşĞğİı€"},
		{"Turkish locking, Spanish single shift", "20 06250101240102 C04D10BC091336D5C3A6BED824199B346743E96C12", "İÁçá€ÚıúĞÍğíŞ^şç"},
		{"escape at the end", "0A 03240101 D84C37E30D", "Şç "},
		{"nothing but a header", "05 03250101 00", ""},
		{"default letter in a shifted text", "06 03240101 0802", "A"},
		{"table that does not exist", "06 03250120 0802", "A"},
		{"object distribution (18 hex) is no language", "06 03180101 5800", "Ø"},
		// 1F escaped is Ê in the Portuguese table; 00, 01, 02 are the Hindi signs U+0901 to U+0903.
		{"Portuguese Ê", "07 03240103 D87C00", "Ê"},
		{"Hindi signs", "08 03250106 000404", "ँंः"},
	} {
		d := decodeHex(t, deliver("44", "00", c.ud))
		if text, _, _ := pdu.Join([]*pdu.Deliver{d}); text != c.want {
			t.Errorf("%s: %q, want %q (locking %d, shift %d)", c.name, text, c.want, d.Locking, d.Shift)
		}
		if d.Locking > 13 || d.Shift > 13 {
			t.Errorf("%s: locking %d, shift %d", c.name, d.Locking, d.Shift)
		}
	}
	// With UCS2 the language says nothing.
	d := decodeHex(t, deliver("44", "08", "06 03250101 0041"))
	if text, _, enc := pdu.Join([]*pdu.Deliver{d}); text != "A" || enc != sms.UCS2 {
		t.Errorf("UCS2 with a language: %q in %s", text, enc)
	}
}

func TestHeaders(t *testing.T) {
	const hi = "6869"
	for _, c := range []struct {
		name, header string
		concat       *pdu.Concat
		dst, src     int
	}{
		{"16-bit ports (WAP push)", "0605040B8423F0", nil, 2948, 9200},
		{"8-bit ports", "040402F5F0", nil, 0xF5, 0xF0},
		{"ports and parts", "0B" + "0504158215820003070201", &pdu.Concat{Ref: 7, Bits: 8, Total: 2, Seq: 1}, 0x1582, 0x1582},
		{"part 0", "050003070200", nil, 0, 0},
		{"part beyond the total", "050003070203", nil, 0, 0},
		{"total 0", "050003070000", nil, 0, 0},
		{"part 1 of 1", "050003070101", &pdu.Concat{Ref: 7, Bits: 8, Total: 1, Seq: 1}, 0, 0},
		{"both references, the last counts", "0B" + "0003070201" + "080401000302", &pdu.Concat{Ref: 256, Bits: 16, Total: 3, Seq: 2}, 0, 0},
		{"a broken reference does not undo a good one", "0A" + "0003070201" + "0003090203", &pdu.Concat{Ref: 7, Bits: 8, Total: 2, Seq: 1}, 0, 0},
		{"element of a wrong length", "04" + "00020702", nil, 0, 0},
		{"element longer than the header: all is ignored", "07" + "0003070201" + "0505", nil, 0, 0},
		{"element without a length", "06" + "0003070201" + "05", nil, 0, 0},
		{"unknown element", "08" + "7001FF" + "0003070201", &pdu.Concat{Ref: 7, Bits: 8, Total: 2, Seq: 1}, 0, 0},
		{"empty header", "00", nil, 0, 0},
	} {
		udl := len(c.header+hi) / 2
		d := decodeHex(t, deliver("44", "04", string("0123456789ABCDEF"[udl>>4])+string("0123456789ABCDEF"[udl&15])+c.header+hi))
		if string(d.UD) != "hi" {
			t.Errorf("%s: user data % X", c.name, d.UD)
		}
		if (d.Concat == nil) != (c.concat == nil) || d.Concat != nil && *d.Concat != *c.concat {
			t.Errorf("%s: concatenation %+v, want %+v", c.name, d.Concat, c.concat)
		}
		if d.DstPort != c.dst || d.SrcPort != c.src {
			t.Errorf("%s: ports %d and %d, want %d and %d", c.name, d.DstPort, d.SrcPort, c.dst, c.src)
		}
	}
}

// TestCodingSchemes goes through the groups of TS 23.038 4.
func TestCodingSchemes(t *testing.T) {
	for dcs, want := range map[string]struct {
		enc   sms.Encoding
		class int
	}{
		"00": {sms.GSM7, -1}, "10": {sms.GSM7, 0}, "11": {sms.GSM7, 1}, "F0": {sms.GSM7, 0}, "F3": {sms.GSM7, 3}, "F9": {sms.GSM7, 1},
		"04": {sms.Octet, -1}, "14": {sms.Octet, 0}, "F4": {sms.Octet, 0}, "F5": {sms.Octet, 1},
		"08": {sms.UCS2, -1}, "18": {sms.UCS2, 0}, "19": {sms.UCS2, 1}, "48": {sms.UCS2, -1},
		"0C": {sms.GSM7, -1}, "50": {sms.GSM7, 0}, // reserved alphabet; marked for deletion
		"C0": {sms.GSM7, -1}, "C8": {sms.GSM7, -1}, "D8": {sms.GSM7, -1}, "E0": {sms.UCS2, -1},
		"80": {sms.GSM7, -1}, "A5": {sms.GSM7, -1}, "BF": {sms.GSM7, -1}, // reserved groups
		"20": {sms.Octet, -1}, "28": {sms.Octet, -1}, // compressed: nothing we could read
	} {
		ud := "02" + "E834"
		switch {
		case want.enc == sms.UCS2:
			ud = "02" + "0068"
		case want.enc == sms.Octet:
			ud = "02" + "6869"
		}
		d := decodeHex(t, deliver("04", dcs, ud))
		if d.Encoding != want.enc || d.Class != want.class {
			t.Errorf("DCS %s: %s, class %d; want %s, class %d", dcs, d.Encoding, d.Class, want.enc, want.class)
		}
		text, data, enc := pdu.Join([]*pdu.Deliver{d})
		switch {
		case want.enc == sms.Octet && string(data) != "hi",
			want.enc == sms.GSM7 && text != "hi",
			want.enc == sms.UCS2 && text != "h",
			enc != want.enc:
			t.Errorf("DCS %s: text %q, data %q in %s", dcs, text, data, enc)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	whole := "07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37"
	for name, raw := range map[string]string{
		"nothing":                   "",
		"service centre's address":  "07917283010010",
		"service centre alone":      whole[:16],
		"sender's address cut":      whole[:26],
		"no time stamp":             whole[:44],
		"time stamp cut":            whole[:50],
		"an SMS-SUBMIT":             "0001000B914316565811F9000004E8373B0C",
		"a submission of our own":   "002100098136397339F70008224F60597D4F60597D4F60597D4F60597D4F60597D4F60597D4F60597D4F60597D4F60",
		"status report cut":         "00060505810531F10101506100004001015061000040",
		"status report, no address": "000605",
		"length beyond everything":  "FF00",
	} {
		d, r, err := pdu.Decode(unhex(t, raw))
		var e *pdu.Error
		if !errors.As(err, &e) || d != nil || r != nil {
			t.Errorf("%s: %+v, %+v, %v; want an *Error", name, d, r, err)
			continue
		}
		if e.Field != "" || len(e.Detail) < 10 || strings.Contains(e.Detail, "runtime error") {
			t.Errorf("%s: error %+v", name, e)
		}
	}
}

// TestDecodeLeavesItsInputAlone: the caller keeps the raw PDU on disk.
func TestDecodeLeavesItsInputAlone(t *testing.T) {
	for _, c := range append(received, brokenAsReceived()...) {
		raw := unhex(t, c.raw)
		before := bytes.Clone(raw)
		d, _, err := pdu.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		ud := bytes.Clone(d.UD)
		if !bytes.Equal(raw, before) {
			t.Errorf("%s: the PDU was changed", c.name)
		}
		clear(raw)
		if !bytes.Equal(d.UD, ud) {
			t.Errorf("%s: the user data is a window on the caller's buffer", c.name)
		}
	}
}

func TestTPStatus(t *testing.T) {
	for st := range 256 {
		outcome, words := pdu.TPStatus(byte(st))
		want := pdu.StillTrying
		switch {
		case st <= 0x1F:
			want = pdu.Delivered
		case st >= 0x40 && st <= 0x7F:
			want = pdu.Failed
		}
		if outcome != want || words == "" {
			t.Errorf("TP-ST 0x%02X: %v (%s), want %v", st, outcome, words, want)
		}
	}
	for st, want := range map[byte]string{0x00: "received", 0x46: "validity period expired", 0x62: "given up", 0x22: "still tries", 0x5A: "permanent", 0x91: "reserved"} {
		if _, words := pdu.TPStatus(st); !strings.Contains(words, want) {
			t.Errorf("TP-ST 0x%02X: %q does not say %q", st, words, want)
		}
	}
}
