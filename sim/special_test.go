package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What a handset can send besides a text, as a modem stores it.
func TestSpecialMessages(t *testing.T) {
	long := strings.Repeat("long ", 40) // two parts
	for kind, want := range map[string][]string{
		"text":           {"0000 plain"},
		"flash":          {"0010 plain"},
		"for_sim":        {"0012 plain"},
		"shuffled":       {"0000 050003010202", "0000 050003010201"},
		"same_reference": {"0000 050003000201", "0000 050003000202"},
		"silent":         nil, // acknowledged and not kept
		"binary":         {"0004 0605043E800000"},
		"wap_push":       {"0004 0605040B840000"},
	} {
		inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
			m := n.AddModem(ModemOptions{})
			words := "x"
			if strings.Contains("shuffled same_reference", kind) {
				words = long
			}
			h := n.Handset(trialPeer)
			if err := h.SendSpecial(m.Number(), kind, words); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			var got []string
			for _, raw := range m.Stored("SM") {
				d := delivered(raw)
				header := upperHex(raw[d.ud : d.ud+d.header])
				if header == "" {
					header = "plain"
				}
				got = append(got, fmt.Sprintf("%02X%02X %s", raw[d.pid], raw[d.dcs], header))
			}
			if strings.Join(got, ", ") != strings.Join(want, ", ") {
				t.Errorf("%s: stored are %q, not %q", kind, got, want)
			}
			if all := h.Messages(); len(all) != 1 || !all[0].Delivered {
				t.Errorf("%s: the handset shows %+v", kind, all)
			}
		})
	}
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		h := n.Handset(trialPeer)
		if err := h.SendSpecial(m.Number(), "pdu", "ff 00\n12"); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"", "xyz", "123", strings.Repeat("00", 256)} {
			if err := h.SendSpecial(m.Number(), "pdu", bad); err == nil {
				t.Errorf("%.10q was sent", bad)
			}
		}
		if err := h.SendSpecial("nobody", "pdu", "00"); err == nil {
			t.Error("sent to nobody")
		}
		if err := h.SendSpecial(m.Number(), "poem", "x"); err == nil {
			t.Error("a poem was sent")
		}
		time.Sleep(time.Second)
		if all := m.Stored("SM"); len(all) != 1 || upperHex(all[0]) != "FF0012" {
			t.Errorf("stored are %X", all)
		}
	})
	if got := upperHex(wapPush("Hi")); got != "010601AE02056A0045C60C03"+"6578616D706C652E636F6D2F00"+"0103"+"4869"+"000101" {
		t.Errorf("a WAP push is %s", got)
	}
}
