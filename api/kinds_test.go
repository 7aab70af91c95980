package api

import (
	"encoding/hex"
	"html"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
)

func (b *box) receives(index int, raw string) sms.Message {
	b.t.Helper()
	octets, err := hex.DecodeString(raw)
	if err != nil {
		b.t.Fatal(err)
	}
	err = b.queue.Receive(sms.Incoming{Modem: "office", ICCID: "8949", PDU: octets, Storage: "SM", Index: index, At: time.Now()})
	if err != nil {
		b.t.Fatal(err)
	}
	page, _, err := b.queue.List(ctx, queue.Filter{Limit: 1})
	if err != nil {
		b.t.Fatal(err)
	}
	return page[0]
}

// What is received and is no text shows as what it is; every answer is held
// against the document. The PDUs are by hand, the MMS is China Mobile's.
func TestKindsOfReceivedMessages(t *testing.T) {
	b := newBox(t, settings{})
	const head, scts = "0B911234567890F1", "62101121436500"
	for i, c := range []struct {
		raw   string
		kind  string
		shows []string // on both pages, then more on the message's own
		more  []string
	}{
		{"0891683108200545F6640C980156184501300004410122212084237B0605040B8423F04006246170706C69636174696F6E2F766E642E7761702E6D6D732D6D65737361676500B487AF848C8298564F78614251464B4F344643008D9083687474703A2F2F3232312E3133312E3132382E3132392F564F78614251464B4F344643008805810302CA0D8907803132333731008A808E02CD7E",
			"mms-notification", []string{"Multimedia message"}, []string{"http://221.131.128.129/VOxaBQFKO4FC", "12371", "52,606 bytes"}},
		{"0044" + head + "0004" + scts + "3F0605040B8423F0DC0601AE02056a0045c60d0362756c6b736d732e636f6d00010356697369742042756c6b534d532e636f6d20686f6d6570616765000101",
			"wap-push", []string{"Visit BulkSMS.com homepage http://www.bulksms.com"}, []string{"application/vnd.wap.sic"}},
		{"0044" + head + "0000" + scts + "060401028005", "message-waiting", []string{"Voicemail: 5 wait"}, nil},
		{"0004" + head + "00C0" + scts + "02E834", "message-waiting", []string{"hi"}, []string{"voicemail: none waits"}},
		{"FFFF", "undecodable", []string{"(can't be decoded)"}, []string{"The received PDU can't be decoded", "FFFF"}},
		{"0044" + head + "0004" + scts + "0A06050423F40000414243", "data", []string{}, []string{"414243", "9204"}},
		{"0004" + head + "0000" + scts + "02E834", "text", []string{"hi"}, nil},
	} {
		m := b.receives(i+1, c.raw)
		var got struct {
			Kind string
			MMS  *sms.MMS
			Push *sms.Push
		}
		b.get("/v1/messages/" + m.ID).want(200).into(&got)
		if got.Kind != c.kind || (got.MMS != nil) != (c.kind == "mms-notification") || (got.Push != nil) != (c.kind == "wap-push") {
			t.Errorf("%s: %+v", c.kind, got)
		}
		status := html.UnescapeString(b.get("/").want(200).Body.String())
		page := html.UnescapeString(b.get("/messages/" + m.ID).want(200).Body.String())
		for _, s := range c.shows {
			if !strings.Contains(status, s) || !strings.Contains(page, s) {
				t.Errorf("%s: a page lacks %q", c.kind, s)
			}
		}
		for _, s := range append(c.more, strings.ToUpper(c.raw)) {
			if !strings.Contains(page, s) {
				t.Errorf("%s: its page lacks %q", c.kind, s)
			}
		}
		var raw struct {
			PDUs []struct {
				PDU     string
				Storage *string
				Index   *int
			}
		}
		b.get("/v1/messages/" + m.ID + "/pdus").want(200).into(&raw)
		if len(raw.PDUs) != 1 || raw.PDUs[0].PDU != strings.ToUpper(c.raw) || *raw.PDUs[0].Storage != "SM" || *raw.PDUs[0].Index != i+1 {
			t.Errorf("%s: %+v", c.kind, raw)
		}
		b.ask("POST", "/v1/messages/"+m.ID+"/redact", bearer(b.admin), "").want(200)
		b.get("/v1/messages/" + m.ID + "/pdus").want(200).into(&raw)
		erased := b.get("/messages/" + m.ID).want(200).Body.String()
		if len(raw.PDUs) != 0 || strings.Contains(erased, strings.ToUpper(c.raw)) || c.kind == "mms-notification" && strings.Contains(erased, "12371") {
			t.Errorf("%s: what was erased is still there", c.kind)
		}
	}
	sent := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x"}`).accepted()
	if a := b.get("/v1/messages/" + sent.ID + "/pdus").want(200); !strings.Contains(a.Body.String(), `"pdus":[]`) {
		t.Error(a.Body)
	}
	b.get("/v1/messages/msg_1/pdus").problem(notFound)
	b.ask("GET", "/v1/messages/"+sent.ID+"/pdus", bearer(b.send), "").want(http.StatusForbidden)
}

// A modem that works and has a warning shows it.
func TestModemWarning(t *testing.T) {
	b := newBox(t, settings{})
	const warning = "The storage SM holds 14 of 20 messages."
	b.modems.all[1].Warning = warning
	if page := b.get("/").want(200).Body.String(); !strings.Contains(page, warning) {
		t.Error("the page does not warn")
	}
	var m struct{ Warning *string }
	if b.get("/v1/modems/office").want(200).into(&m); m.Warning == nil || *m.Warning != warning {
		t.Errorf("%+v", m)
	}
	if b.get("/v1/modems/backup").want(200).into(&m); m.Warning != nil {
		t.Errorf("%q", *m.Warning)
	}
}
