package queue_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// MMS notifications as they came from networks: China Mobile's in one PDU, a
// British one in two (python-messaging's tests).
const (
	mmsChina = "0891683108200545F6640C980156184501300004410122212084237B0605040B8423F04006246170706C69636174696F6E2F766E642E7761702E6D6D732D6D65737361676500B487AF848C8298564F78614251464B4F344643008D9083687474703A2F2F3232312E3133312E3132382E3132392F564F78614251464B4F344643008805810302CA0D8907803132333731008A808E02CD7E"
	mmsUK1   = "0791447758100650400E80885810000000810004016082415464408C0C08049F8E020105040B8423F00106226170706C69636174696F6E2F766E642E7761702E6D6D732D6D65737361676500AF848C82984E4F4B3543694B636F544D595347344D4253774141734B7631344655484141414141414141008D908919802B3434373738353334323734392F545950453D504C4D4E008A808E0274008805810301194083687474703A2F"
	mmsUK2   = "0791447758100650440E8088581000000081000401608241547440440C08049F8E020205040B8423F02F70726F6D6D732F736572766C6574732F4E4F4B3543694B636F544D595347344D4253774141734B763134465548414141414141414100"
)

func TestMMSNotification(t *testing.T) {
	b := open(t, queue.Options{})
	b.receive("SM", 1, unhex(t, mmsChina))
	b.receive("SM", 2, unhex(t, mmsUK2)) // the parts in the wrong order
	b.receive("SM", 3, unhex(t, mmsUK1))
	got := b.inbound()
	if len(got) != 2 {
		t.Fatalf("%d messages", len(got))
	}
	scts := time.Date(2014, 10, 22, 4, 2, 48, 0, time.UTC)
	for i, want := range []sms.MMS{
		{Location: "http://221.131.128.129/VOxaBQFKO4FC", TransactionID: "VOxaBQFKO4FC", From: "12371", Class: "personal", Size: 52606,
			ExpiresAt: scts.Add(182797 * time.Second)},
		{Location: "http://promms/servlets/NOK5CiKcoTMYSG4MBSwAAsKv14FUHAAAAAAAA", TransactionID: "NOK5CiKcoTMYSG4MBSwAAsKv14FUHAAAAAAAA",
			From: "+447785342749", Class: "personal", Size: 29696, ExpiresAt: time.Date(2010, 6, 28, 14, 45, 4, 0, time.UTC).Add(72000 * time.Second)},
	} {
		m := got[i]
		if m.Kind != sms.KindMMS || m.Data == nil || m.Port != 2948 || m.Text != "" || m.Push != nil || m.MMS == nil {
			t.Fatalf("%+v", m)
		}
		if i == 1 { // its time zone is not written here
			want.ExpiresAt = m.SentAt.Add(72000 * time.Second)
		}
		if *m.MMS != want {
			t.Errorf("%+v\nwant %+v", *m.MMS, want)
		}
	}
	// What is told to webhooks is the message.
	events, err := b.q.EventsAfter(context.Background(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	var told sms.Message
	if err := json.Unmarshal(events[0].Data, &told); err != nil || told.Kind != sms.KindMMS || told.MMS == nil || told.MMS.From != "12371" {
		t.Errorf("told %s (%v)", events[0].Data, err)
	}
	// Erased with its text, in the files too.
	if m, err := b.q.Redact(context.Background(), got[0].ID); err != nil || m.MMS != nil || m.Kind != sms.KindMMS {
		t.Errorf("%+v, %v", m, err)
	}
	if m := b.message(got[0].ID); m.MMS != nil || m.Data != nil {
		t.Errorf("%+v", m)
	}
	if pdus, err := b.q.PDUs(context.Background(), got[0].Row); err != nil || len(pdus) != 0 {
		t.Errorf("%v, %v", pdus, err)
	}
}

// Without its second part a notification says what its first part says whole.
func TestMMSNotificationIncomplete(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		want *sms.MMS
	}{
		"first":  {mmsUK1, &sms.MMS{TransactionID: "NOK5CiKcoTMYSG4MBSwAAsKv14FUHAAAAAAAA", From: "+447785342749", Class: "personal", Size: 29696}},
		"second": {mmsUK2, nil},
	} {
		b := open(t, queue.Options{AssemblyWait: time.Hour})
		b.receive("SM", 1, unhex(t, c.raw))
		if err := b.q.AssembleOverdue(b.now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		m := b.inbound()[0]
		if m.MMS != nil {
			m.MMS.ExpiresAt = time.Time{}
		}
		if !m.Incomplete || !reflect.DeepEqual(m.MMS, c.want) || (m.Kind == sms.KindMMS) != (c.want != nil) || len(m.Data) == 0 {
			t.Errorf("%s: %+v, %+v", name, m, m.MMS)
		}
	}
}

// Nor is anything read behind a gap: here the second of three parts is missing,
// and the third does not go on where the first ends.
func TestMMSNotificationWithAGap(t *testing.T) {
	b := open(t, queue.Options{AssemblyWait: time.Hour})
	b.receive("SM", 1, unhex(t, strings.Replace(mmsUK1, "049F8E0201", "049F8E0301", 1)))
	b.receive("SM", 2, unhex(t, strings.Replace(mmsUK2, "049F8E0202", "049F8E0303", 1)))
	if err := b.q.AssembleOverdue(b.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if m := b.inbound()[0]; !m.Incomplete || m.MMS == nil || m.MMS.From == "" || m.MMS.Location != "" {
		t.Errorf("%+v, %+v", m, m.MMS)
	}
}

// Everything is kept as what it is. The PDUs are assembled by hand from TS
// 23.040 and TS 23.038.
func TestKinds(t *testing.T) {
	const from, scts = "0B911234567890F1", "62101121436500"
	const si = "DC0601AE02056a0045c60d0362756c6b736d732e636f6d00010356697369742042756c6b534d532e636f6d20686f6d6570616765000101"
	for name, c := range map[string]struct {
		raw   string
		kind  sms.Kind
		text  string
		flash bool
		check func(m sms.Message) bool
	}{
		"text":             {"0004" + from + "0000" + scts + "02E834", sms.KindText, "hi", false, nil},
		"class 0":          {"0004" + from + "0010" + scts + "02E834", sms.KindText, "hi", true, nil},
		"class 0, form F0": {"0004" + from + "00F0" + scts + "02E834", sms.KindText, "hi", true, nil},
		"class 0 in UCS2":  {"0004" + from + "0018" + scts + "0400680069", sms.KindText, "hi", true, nil},
		"class 2":          {"0004" + from + "00F2" + scts + "02E834", sms.KindText, "hi", false, nil},
		"replace, PID 41":  {"0004" + from + "4100" + scts + "02E834", sms.KindText, "hi", false, nil},
		"service indication": {"0044" + from + "0004" + scts + "3E 0605040B8423F0" + si, sms.KindPush, "", false, func(m sms.Message) bool {
			return m.Push != nil && m.Push.URL == "http://www.bulksms.com" && m.Push.Text == "Visit BulkSMS.com homepage" && m.Port == 2948
		}},
		"push, class 1": {"0044" + from + "00F5" + scts + "3E 0605040B8423F0" + si, sms.KindPush, "", false, nil},
		"push unreadable": {"0044" + from + "0004" + scts + "09 0605040B8423F0 0104", sms.KindPush, "", false, func(m sms.Message) bool {
			return m.Push == nil && bytes.Equal(m.Data, []byte{1, 4})
		}},
		"a vCard":           {"0044" + from + "0004" + scts + "0A 06050423F40000 414243", sms.KindData, "", false, func(m sms.Message) bool { return m.Port == 9204 && string(m.Data) == "ABC" }},
		"8-bit for nobody":  {"0004" + from + "0004" + scts + "03414243", sms.KindData, "", false, nil},
		"text at push port": {"0044" + from + "0000" + scts + "0A 0605040B8423F0 E834", sms.KindText, "hi", false, nil},
		"voicemail, discard": {"0004" + from + "00C8" + scts + "02E834", sms.KindWaiting, "hi", false, func(m sms.Message) bool {
			return len(m.Waiting) == 1 && m.Waiting[0].Type == "voicemail" && m.Waiting[0].Active && m.Waiting[0].Count == nil
		}},
		"voicemail, count": {"0044" + from + "0000" + scts + "06 04 0102 8005", sms.KindWaiting, "", false, func(m sms.Message) bool {
			return len(m.Waiting) == 1 && *m.Waiting[0].Count == 5
		}},
		"garbage": {"FF0013", sms.KindUnknown, "", false, func(m sms.Message) bool { return m.Error != nil && m.Error.Code == "undecodable" }},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, queue.Options{})
			raw := unhex(t, c.raw)
			b.receive("SM", 1, raw)
			got := b.inbound()
			if len(got) != 1 {
				t.Fatalf("%d messages", len(got))
			}
			m := got[0]
			if m.Kind != c.kind || m.Text != c.text || m.Flash != c.flash || c.check != nil && !c.check(m) {
				t.Errorf("%+v, push %+v, error %v", m, m.Push, m.Error)
			}
			b.wantTold(m.ID, "received")
			pdus, err := b.q.PDUs(context.Background(), m.Row)
			if err != nil || len(pdus) != 1 || pdus[0].PDU != strings.ToUpper(hex.EncodeToString(raw)) || *pdus[0].Storage != "SM" || *pdus[0].Index != 1 {
				t.Errorf("kept as %+v (%v)", pdus, err)
			}
		})
	}
}

// Type 0 is acknowledged and shown to nobody (TS 23.040 9.2.3.9).
func TestTypeZeroIsSilent(t *testing.T) {
	b := open(t, queue.Options{})
	b.receive("SM", 1, unhex(t, "00040B911234567890F140006210112143650002E834"))
	events, err := b.q.EventsAfter(context.Background(), 0, 10)
	if err != nil || len(events) != 0 || len(b.inbound()) != 0 {
		t.Errorf("%v, %v", events, err)
	}
}

func TestKindOfOutbound(t *testing.T) {
	b := open(t, queue.Options{})
	if m := b.submit(phone, "x"); m.Kind != sms.KindText {
		t.Error(m.Kind)
	}
	m := b.submit(phone, "", func(d *queue.Draft) { d.Data, d.Port = []byte{1}, 2948 })
	if m.Kind != sms.KindData || b.message(m.ID).Kind != sms.KindData {
		t.Error(m.Kind)
	}
}

// A PDU in the modem's own memory is still there after its SIM was changed.
func TestOwnMemoryUnderAnotherSIM(t *testing.T) {
	b := open(t, queue.Options{})
	raw := b.texts(phone, "hi", 0)[0]
	for i, in := range []sms.Incoming{
		{Modem: "office", ICCID: "1", Storage: "ME", Index: 3}, {Modem: "office", ICCID: "2", Storage: "ME", Index: 3}, {Modem: "other", ICCID: "3", Storage: "ME", Index: 3},
		{Modem: "office", ICCID: "4", Storage: "SM", Index: 3},
	} {
		in.PDU, in.At = raw, b.now
		if err := b.q.Receive(in); err != nil {
			t.Fatal(err)
		}
		if got := b.inbound(); len(got) != i+1 || got[i].PossibleDuplicate != (i == 1) {
			t.Errorf("%d: %+v", i, got)
		}
	}
}

// Whoever sent an MMS is erased from its notification, which itself comes from
// the network.
func TestMMSSenderIsErased(t *testing.T) {
	b := open(t, queue.Options{})
	b.receive("SM", 1, unhex(t, mmsUK1))
	b.receive("SM", 2, unhex(t, mmsUK2))
	b.receive("SM", 3, unhex(t, mmsChina))
	if got := b.inbound(); got[0].MMS.From != "+447785342749" {
		t.Fatalf("%+v", got[0].MMS)
	}
	if _, err := b.q.EraseNumber(context.Background(), "+447785342749"); err != nil {
		t.Fatal(err)
	}
	got := b.inbound()
	if len(got) != 2 || got[0].MMS != nil || got[0].Data != nil || !got[0].Redacted || got[1].MMS == nil {
		t.Errorf("%+v", got)
	}
	err := b.db.Read(context.Background(), func(r db.Querier) error {
		var kept int
		err := r.QueryRow(`SELECT count(*) FROM received_pdus WHERE length(pdu) > 0`).Scan(&kept)
		if kept != 1 {
			t.Errorf("%d PDUs are kept, want that of the other sender", kept)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
