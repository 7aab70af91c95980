package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mellium.im/xmpp/jid"
)

// The place in the log is the old one or the new one, whenever it ends.
func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if _, ok, err := loadState(path); ok || err != nil {
		t.Fatalf("there is a state before the first start: %v, %v", ok, err)
	}
	for _, after := range []int64{7, 8} {
		if err := (saved{after}).save(path); err != nil {
			t.Fatal(err)
		}
		// What a kill leaves in the middle of the next save.
		if err := os.WriteFile(path+".new", []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, ok, err := loadState(path); !ok || err != nil || s.After != after {
			t.Errorf("the state is %+v, %v, %v, want %d", s, ok, err, after)
		}
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := loadState(path); err == nil {
		t.Error("a broken state is taken for none")
	}
}

func TestReadEvents(t *testing.T) {
	const stream = "retry: 2000\n\n: heartbeat\n\nid: 4\nevent: message.sent\ndata: {\"type\":\"message.sent\",\"data\":{\"id\":\"msg_1\"}}\n\n" +
		"id: 9\nevent: reset\ndata: {\"type\":\"reset\",\"data\":null}\n\nid: 10\nevent: cut off"
	var got []event
	if err := readEvents(strings.NewReader(stream), func() {}, func(e event) error { got = append(got, e); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].ID != 4 || got[0].Type != "message.sent" || string(got[0].Data) != `{"id":"msg_1"}` || got[1].ID != 9 || got[1].Type != "reset" {
		t.Errorf("read %+v", got)
	}
	stop := errors.New("enough")
	if err := readEvents(strings.NewReader(stream), func() {}, func(event) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("what take says is lost: %v", err)
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add([]byte("id: 1\nevent: message.received\ndata: {\"data\":{}}\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = readEvents(strings.NewReader(string(b)), func() {}, func(e event) error {
			if e.Type == "" {
				t.Error("an event without a type")
			}
			return nil
		})
	})
}

// The same stanza is the same text; another's, or to another, is not.
func TestKeyOf(t *testing.T) {
	alice, bob := jid.MustParse("alice@localhost/phone"), jid.MustParse("bob@localhost/phone")
	m := chatMessage{To: "+491701111111@sms.localhost", ID: "1"}
	key := keyOf(alice, m)
	if keyOf(jid.MustParse("alice@localhost/tablet"), m) != key {
		t.Error("a text that comes again after its client reconnected is another one")
	}
	other := m
	other.To = "+491702222222@sms.localhost"
	if keyOf(bob, m) == key || keyOf(alice, other) == key {
		t.Error("two texts have one key")
	}
	m.ID = ""
	if first := keyOf(alice, m); first == keyOf(alice, m) {
		t.Error("stanzas without an id are taken for one")
	}
}

func TestAddress(t *testing.T) {
	l := &link{bridge: &bridge{config: config{domain: jid.MustParse("sms.localhost")}}}
	for number, want := range map[string]string{
		"+491701234567": "+491701234567@sms.localhost",
		"12345":         "12345@sms.localhost",
		"My Bank":       "my\\20bank@sms.localhost",
		"":              "sms.localhost",
	} {
		if got := l.address(number); got != want {
			t.Errorf("%q became %q, want %q", number, got, want)
		}
	}
}
