package pdu_test

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

var pushedAt = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// x makes hex of letters.
func x(s string) string { return hex.EncodeToString([]byte(s)) }

// pushes come from public test suites and gateways' manuals (python-messaging,
// a Chinese modem library's capture, bulksms, cloudhopper), the standards' own
// examples (WAP-167 and WAP-168, last chapter), or were assembled by hand.
var pushes = []struct {
	name, data string
	kind       sms.Kind
	push       *sms.Push
	mms        *sms.MMS
}{
	{name: "MMS, China Mobile",
		data: "4006246170706C69636174696F6E2F766E642E7761702E6D6D732D6D65737361676500B487AF848C8298564F78614251464B4F344643008D9083687474703A2F2F3232312E3133312E3132382E3132392F564F78614251464B4F344643008805810302CA0D8907803132333731008A808E02CD7E",
		kind: sms.KindMMS, mms: &sms.MMS{Location: "http://221.131.128.129/VOxaBQFKO4FC", TransactionID: "VOxaBQFKO4FC", From: "12371",
			Class: "personal", Size: 52606, ExpiresAt: pushedAt.Add(182797 * time.Second)}},
	{name: "MMS with parameters in its headers, cut inside the sender",
		data: "0006 08 02 BE 80 AF 84 AF 8D 80" + "8C82 98" + x("T1") + "00 8D92 89 09 80 EA", // cut inside From
		kind: sms.KindMMS, mms: &sms.MMS{TransactionID: "T1"}},
	{name: "MMS, subject in UTF-8, absolute expiry, withheld sender, a field by name",
		data: "0006 03 BE AF84" + "8C82 98" + x("T1") + "00 8D92 890181 96 0E EA" + x("Grüße 😀") + "00" + "8B" + x("id") + "00 " + x("X-Odd") + "00" + x("1") + "00 8A81 8806 80 04 6A000000 8E 81 83" + x("http://m/1") + "00",
		kind: sms.KindMMS, mms: &sms.MMS{Location: "http://m/1", TransactionID: "T1", Subject: "Grüße 😀", Class: "advertisement", Size: 1,
			ExpiresAt: time.Unix(0x6A000000, 0).UTC()}},
	{name: "MMS, subject in UTF-16, class by name",
		data: "0106 01 BE 8C82 96 0B 0203F7 FEFF 00DC 0020 0000 8A" + x("auto") + "00 83" + x("u") + "00",
		kind: sms.KindMMS, mms: &sms.MMS{Subject: "Ü ", Class: "auto", Location: "u"}},
	{name: "MMS delivery report", data: "0006 01 BE 8C86 8D92 8B" + x("id") + "00 9581",
		kind: sms.KindPush, push: &sms.Push{ContentType: "application/vnd.wap.mms-message"}},
	{name: "indication", data: "DC0601AE02056a0045c60d0362756c6b736d732e636f6d00010356697369742042756c6b534d532e636f6d20686f6d6570616765000101",
		kind: sms.KindPush, push: &sms.Push{ContentType: "application/vnd.wap.sic", URL: "http://www.bulksms.com", Text: "Visit BulkSMS.com homepage"}},
	{name: "indication with a character set", data: "25060403AE81EA01056A0045C60C03752E736D73702E67722F643565676E6200080103436F6D6520696E746F206F75722073746F726520746F20676574206120667265652070697A7A61212121000101",
		kind: sms.KindPush, push: &sms.Push{ContentType: "application/vnd.wap.sic", URL: "http://u.smsp.gr/d5egnb", Action: "signal-high",
			Text: "Come into our store to get a free pizza!!!"}},
	{name: "the standard's indication", data: "0006 01 AE 02056A0045C60D03" + x("xyz") + "008503" + x("email/123/abc.wml") + "000AC3071999062515231510C3041999063001" + "03" + x("You have 4 new emails") + "000101",
		kind: sms.KindPush, push: &sms.Push{ContentType: "application/vnd.wap.sic", URL: "http://www.xyz.com/email/123/abc.wml", Text: "You have 4 new emails",
			CreatedAt: time.Date(1999, 6, 25, 15, 23, 15, 0, time.UTC), ExpiresAt: time.Date(1999, 6, 30, 0, 0, 0, 0, time.UTC)}},
	{name: "the standard's loading", data: "0006 01 B0 02066A00850A03" + x("xyz") + "008503" + x("ppaid/123/abc.wml") + "0001",
		kind: sms.KindPush, push: &sms.Push{ContentType: "application/vnd.wap.slc", URL: "http://www.xyz.com/ppaid/123/abc.wml"}},
	{name: "indication with a string table, an entity, an id and items",
		data: "0006 01 AE 02056A 04" + x("Hi!") + "00 45 C6 08 11 03" + x("7@x") + "00 0F8300 01 03" + x("a") + "00 02 8148 47 88 12 03" + x("c") + "00 01 01 03" + x("b") + "00 01 01",
		kind: sms.KindPush, push: &sms.Push{ContentType: "application/vnd.wap.sic", URL: "https://www.Hi!", Text: "aÈb", ID: "7@x", Action: "signal-high"}},
	{name: "indication as XML", data: "0006 01 AD " + x(`<?xml version="1.0"?><!DOCTYPE si PUBLIC "-//WAPFORUM//DTD SI 1.0//EN" "http://www.wapforum.org/DTD/si.dtd"><si><indication href="http://a/?b&amp;c" si-id="1" action="delete" created="1999-06-25T15:23:15Z">Look</indication></si>`),
		kind: sms.KindPush, push: &sms.Push{ContentType: "text/vnd.wap.si", URL: "http://a/?b&c", ID: "1", Action: "delete", Text: "Look",
			CreatedAt: time.Date(1999, 6, 25, 15, 23, 15, 0, time.UTC)}},
	{name: "settings", data: "0106 2F1F2DB69181923830" + strings.Repeat("41", 39) + "00 8DDE 030B6A",
		kind: sms.KindPush, push: &sms.Push{ContentType: "application/vnd.wap.connectivity-wbxml"}},
	{name: "no push", data: "0104", kind: sms.KindPush},
	{name: "nothing", data: "", kind: sms.KindPush},
	{name: "headers longer than the data", data: "0006 FF7F AE", kind: sms.KindPush},
}

func TestReadPush(t *testing.T) {
	for _, c := range pushes {
		t.Run(c.name, func(t *testing.T) {
			kind, push, mms := pdu.ReadPush(unhex(t, c.data), pushedAt)
			if kind != c.kind || !reflect.DeepEqual(push, c.push) || !reflect.DeepEqual(mms, c.mms) {
				t.Errorf("%s\n%+v\n%+v\nwant %s\n%+v\n%+v", kind, push, mms, c.kind, c.push, c.mms)
			}
		})
	}
}

// Data that is cut gives what is whole, and no half of an address.
func TestReadPushThatIsCut(t *testing.T) {
	for _, c := range pushes {
		whole := unhex(t, c.data)
		_, p, m := pdu.ReadPush(whole, pushedAt)
		for n := range whole {
			_, push, mms := pdu.ReadPush(whole[:n], pushedAt)
			if mms != nil && (m == nil || mms.Location != "" && mms.Location != m.Location || mms.From != "" && mms.From != m.From ||
				mms.Size != 0 && mms.Size != m.Size || mms.TransactionID != "" && mms.TransactionID != m.TransactionID) {
				t.Errorf("%s cut to %d: %+v", c.name, n, mms)
			}
			if push != nil && p != nil && push.URL != "" && push.URL != p.URL {
				t.Errorf("%s cut to %d: %+v", c.name, n, push)
			}
		}
	}
}

func FuzzReadPush(f *testing.F) {
	for _, c := range pushes {
		f.Add(unhex(f, c.data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, push, mms := pdu.ReadPush(data, pushedAt)
		if kind != sms.KindPush && kind != sms.KindMMS || (mms != nil) != (kind == sms.KindMMS) || push != nil && mms != nil {
			t.Fatalf("%s, %+v, %+v", kind, push, mms)
		}
		var texts []string
		if push != nil {
			texts = append(texts, push.ContentType, push.URL, push.Text, push.ID, push.Action)
		}
		if mms != nil {
			texts = append(texts, mms.Location, mms.TransactionID, mms.From, mms.Subject, mms.Class)
			if mms.Size < 0 {
				t.Fatal(mms.Size)
			}
		}
		for _, s := range texts {
			if !utf8.ValidString(s) {
				t.Fatalf("%q", s)
			}
		}
	})
}

func number(n int) *int { return &n }

// Indications that messages wait, in TP-DCS and in the header. The bits are those
// of TS 23.038 4 and TS 23.040 9.2.3.24.2.
func TestWaiting(t *testing.T) {
	const head, time7 = "00040B911234567890F1", "62101121436500"
	for name, c := range map[string]struct {
		raw  string
		text string
		want []sms.Waiting
	}{
		"discard, voicemail":     {head + "00C8" + time7 + "02E834", "hi", []sms.Waiting{{Type: "voicemail", Active: true}}},
		"store, fax, none left":  {head + "00D1" + time7 + "02E834", "hi", []sms.Waiting{{Type: "fax"}}},
		"UCS2, email":            {head + "00EA" + time7 + "0400680069", "hi", []sms.Waiting{{Type: "email", Active: true}}},
		"header, two kinds":      {"00440B911234567890F10000" + time7 + "0A" + "08 0102 8003 0102 0700", "", []sms.Waiting{{Type: "voicemail", Active: true, Count: number(3)}, {Type: "video", Count: number(0)}}},
		"header says more":       {"00440B911234567890F100C8" + time7 + "05" + "04 0102 0002", "", []sms.Waiting{{Type: "voicemail", Active: true, Count: number(2)}}},
		"class 1 is none":        {head + "00F1" + time7 + "02E834", "hi", nil},
		"a header of one length": {"00440B911234567890F10000" + time7 + "04" + "03 0101 00", "", nil},
	} {
		d, _, err := pdu.Decode(unhex(t, c.raw))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text, _, _ := pdu.Join([]*pdu.Deliver{d}); !reflect.DeepEqual(d.Waiting, c.want) || text != c.text {
			t.Errorf("%s: %+v with %q, repaired %q", name, d.Waiting, text, d.Repaired)
		}
	}
}
