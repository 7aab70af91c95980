package sms_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
)

var update = flag.Bool("update", false, "write the golden files anew")

var utc = time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)

var at = time.Date(2026, 3, 1, 12, 30, 0, 123456789, time.FixedZone("", 3600))

// wire is at as it comes off the wire.
var wire = at.UTC().Truncate(time.Millisecond)

// full is a message with a value in every field.
var full = sms.Message{
	Row: 7, ID: "msg_01JNB6Z7M8Q9R0S1T2V3W4X5Y6", Direction: sms.Outbound, Status: sms.Unconfirmed, Kind: sms.KindText,
	UDH: []byte{3, 0x70, 1, 0xAB}, ForcedBy: sms.Forced{Character: "😀", CodePoint: "U+1F600", Position: 14}, ExpectedModem: "office", Warnings: []sms.Warning{sms.WarnLate},
	To: "+491701234567", From: "+491707654321", Text: "Grüße <b>& 😀", Port: 2948, Encoding: sms.UCS2, Parts: 2,
	Push:    &sms.Push{ContentType: "application/vnd.wap.sic", URL: "http://x.example/", Text: "Look", ID: "7", Action: "signal-high", CreatedAt: utc, ExpiresAt: utc},
	MMS:     &sms.MMS{Location: "http://mmsc.example/1", TransactionID: "T1", From: "+491701111111", Subject: "Ü", Class: "personal", Size: 29696, ExpiresAt: utc},
	Waiting: []sms.Waiting{{Type: "voicemail", Active: true, Count: new(int)}, {Type: "fax"}},
	Modem:   "office", Priority: 9, Flash: true, DeliveryReport: true, OnUnconfirmed: sms.Fail,
	CallbackURL: "https://chat.example.org/sms", Metadata: map[string]string{"order": "4711"}, ClientID: "c-1",
	Conversation: "conv_01KB0000000000000000000000", Author: &sms.Author{Kind: sms.AuthorPerson, ID: "usr_1", Name: "Ann"},
	Gateway: "berlin", Via: sms.ViaInternet, Mode: sms.ModeAuto, Copy: sms.CopyNotSent, Subject: "Water", Files: []sms.File{{ID: "f1", Name: "map.png", Type: "image/png", Size: 2048}},
	CreatedAt: at, SendAt: at.Add(time.Minute), ExpiresAt: at.Add(2 * time.Minute), ExpectedAt: at.Add(3 * time.Minute),
	SentAt: at.Add(4 * time.Minute), DeliveredAt: at.Add(5 * time.Minute), UpdatedAt: at.Add(6 * time.Minute),
	Attempts: 2, PossibleDuplicate: true, ClockUncertain: true, Incomplete: true, Held: true,
	Error: &sms.Error{Code: "cms-38", Title: "Network out of order", Detail: "The network refused part 2.", Class: sms.Later},
}

var fifteen = 15

var modem = sms.Modem{
	Name: "office", State: sms.Ready, Reason: "r", Advice: "a", Warning: "w", Since: at, Port: "/dev/ttyUSB2", Manufacturer: "huawei",
	Model: "E173", Firmware: "11.126", IMEI: "352099001761481", IMSI: "262011234567890", ICCID: "8949020000012345678",
	Unidentified: true,
	Number:       "+491707654321", SMSC: "+491722270000", Operator: "Telekom.de", Technology: "LTE", Registration: "home",
	Cell:    "00C3503",
	Signal:  &sms.Signal{DBm: -77, Percent: 58, Quality: "good", RSRP: new(-104.0), RSRQ: new(-9.5), SINR: new(12.2), At: wire},
	Rate:    sms.SendRate{LastMinute: 12, LastHour: 340},
	Errors:  []sms.ErrorCount{{Class: sms.Later, Count: 3, At: wire, Code: "cms-38", Title: "Network out of order"}},
	Storage: &sms.Storage{Name: "SM", Used: 1, Total: 23},
	Limits: &sms.Limits{PerMinute: sms.Quota{Limit: &fifteen, Used: 2}, PerDay: sms.Quota{Limit: &fifteen, Used: 3, ResetsAt: &at},
		PerMonth: sms.Quota{Used: 4, ResetsAt: &at}, RecipientsPerMonth: sms.Quota{Limit: &fifteen, Used: 1, ResetsAt: &at}},
	Healing: sms.HealingRecord{
		Steps: []sms.HealingStep{{Step: "reopen", Tried: 2, Healed: 1}},
		Last:  []sms.HealingAttempt{{At: at.UTC().Truncate(time.Millisecond), Step: "reopen", Reason: "r", Outcome: "healed", Seconds: 2.5}},
	},
	Canary:   &sms.Canary{At: at.UTC().Truncate(time.Millisecond), From: "cellar", Outcome: "arrived", Seconds: &seconds},
	Balance:  &sms.Balance{Amount: "1.50", Currency: "EUR", At: wire, Low: "2.00", IsLow: true, Fault: "f", Answer: "a"},
	Alarms:   []sms.Alarm{{Code: "balance-low", Modem: "office", Severity: sms.SeverityCritical, Title: "t", Detail: "d", BegunAt: wire, EndedAt: wire.Add(time.Hour)}},
	Counters: sms.Counters{PartsSent: 1, PartsFailed: 2, Unconfirmed: 3, Received: 4, Reports: 5, Restarts: 6, LateAnswers: 7},
}

var seconds = 7.5

// TestGolden pins the names and forms that the contract promises. Whoever must
// change these files breaks a user's program.
func TestGolden(t *testing.T) {
	six := 6
	for name, v := range map[string]any{
		"message-full":    full,
		"message-empty":   sms.Message{Direction: sms.Outbound, Status: sms.Queued},
		"message-inbound": sms.Message{Direction: sms.Inbound, Status: sms.Received, From: "FONIC", To: "office", Encoding: sms.GSM7, Parts: 1},
		"message-data":    sms.Message{Direction: sms.Inbound, Status: sms.Received, Kind: sms.KindMMS, MMS: &sms.MMS{Location: "http://mmsc.example/1"}, Data: []byte{0, 1, 255}, Port: 2948, Encoding: sms.Octet, Parts: 1},
		"message-erased":  sms.Message{Direction: sms.Outbound, Status: sms.Sent, Redacted: true},
		"modem-full":      modem,
		"modem-empty":     sms.Modem{Name: "office", State: sms.Absent},
		"call":            call,
		"alarm":           modem.Alarms[0],
		"ussd":            sms.USSDAnswer{State: sms.USSDFailed, Reason: "r"},
		"rings":           sms.Rings{Outbound: sms.Ring{Capacity: 100000, Depth: 1, LastRetrieved: &six}},
		"event":           json.RawMessage(sms.Event{Seq: 1, Type: "modem.state", Time: at, Data: json.RawMessage(`{"a":1}`)}.Body()),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.MarshalIndent(v, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s has changed:\n%s\nwant\n%s", path, got, want)
			}
		})
	}
}

// fields are the contract's fields of a message, by the kind of their value.
var fields = map[string]string{
	"id": "string", "direction": "string", "status": "string", "to": "string", "from": "string", "text": "string",
	"encoding": "string", "parts": "number", "modem": "string", "priority": "number", "metadata": "object",
	"created_at": "time", "send_at": "time", "expires_at": "time", "expected_at": "time", "sent_at": "time",
	"delivered_at": "time", "updated_at": "time", "attempts": "number", "possible_duplicate": "bool", "error": "object",
	"data": "string", "port": "number", "flash": "bool", "delivery_report": "bool", "on_unconfirmed": "string",
	"callback_url": "string", "client_id": "string", "kind": "string", "udh": "string", "forced_by": "object", "expected_modem": "string", "warnings": "array", "push": "object", "mms": "object", "waiting": "array", "conversation": "string", "author": "object",
	"gateway": "string", "via": "string", "mode": "string", "internet_copy": "string", "subject": "string", "files": "array",
}

// TestContractFields: every field is there whatever the message, null without a
// value; booleans and counts are never null; times are UTC with milliseconds.
func TestContractFields(t *testing.T) {
	never := map[string]bool{"id": true, "direction": true, "status": true, "parts": true, "attempts": true}
	for name, m := range map[string]sms.Message{"full": full, "empty": {}} {
		got := object(t, m)
		for field, kind := range fields {
			v, ok := got[field]
			if !ok {
				t.Errorf("%s: %s is left out", name, field)
				continue
			}
			if v == nil {
				if kind == "bool" || never[field] {
					t.Errorf("%s: %s is null", name, field)
				}
				continue
			}
			switch s, isString := v.(string); kind {
			case "bool":
				if _, ok := v.(bool); !ok {
					t.Errorf("%s: %s is %v", name, field, v)
				}
			case "time":
				if at, err := time.Parse(time.RFC3339, s); err != nil || !strings.HasSuffix(s, "Z") || at.Nanosecond()%1e6 != 0 {
					t.Errorf("%s: %s is %v", name, field, v)
				}
			case "string":
				if !isString {
					t.Errorf("%s: %s is %v", name, field, v)
				}
			}
		}
	}
	empty := object(t, sms.Message{})
	for _, field := range []string{"to", "from", "data", "port", "encoding", "modem", "metadata", "created_at", "send_at", "error", "client_id", "callback_url"} {
		if empty[field] != nil {
			t.Errorf("an empty message has %s %v, not null", field, empty[field])
		}
	}
	for _, secret := range []string{"row", "class"} {
		if b, _ := json.Marshal(full); bytes.Contains(bytes.ToLower(b), []byte(`"`+secret+`"`)) {
			t.Errorf("%s leaves the process", secret)
		}
	}
}

// TestMessageText: null means there is no text any more, or data instead of it;
// an empty text is a text, since phones do send them.
func TestMessageText(t *testing.T) {
	for _, c := range []struct {
		name string
		m    sms.Message
		want any
	}{
		{"empty", sms.Message{}, ""},
		{"erased", sms.Message{Text: "secret", Redacted: true}, nil},
		{"data", sms.Message{Data: []byte{1}}, nil},
		{"text", sms.Message{Text: "a"}, "a"},
	} {
		if got := object(t, c.m)["text"]; got != c.want {
			t.Errorf("%s: text %v, want %v", c.name, got, c.want)
		}
	}
	for p := range 10 {
		if got := object(t, sms.Message{Direction: sms.Outbound, Priority: p})["priority"]; got != float64(p) {
			t.Errorf("priority %d shows as %v", p, got)
		}
	}
	if got := object(t, sms.Message{Direction: sms.Inbound})["priority"]; got != nil {
		t.Errorf("a received message has priority %v", got)
	}
}

// TestRoundTrip: what is read again is what was written, to the millisecond and
// in UTC. Row and Class stay at home. A field that is added to the struct and
// forgotten in the wire form is caught here.
func TestRoundTrip(t *testing.T) {
	everyFieldSet(t, full, "Data", "Redacted") // the two that exclude Text
	everyFieldSet(t, modem, "Unidentified")    // it excludes what only modems have
	everyFieldSet(t, *modem.Balance, "SIM")    // which stays at home
	everyFieldSet(t, modem.Alarms[0])
	everyFieldSet(t, call, "SIM")
	data := full
	data.Text, data.Data = "", []byte{0, 255}
	inbound := full
	inbound.Direction, inbound.Priority = sms.Inbound, 0
	for _, m := range []sms.Message{full, data, inbound, {}, {Redacted: true}, {Direction: sms.Outbound}} {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got := sms.Message{Row: 9, Text: "stale"}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		want := m
		want.Row = 9 // not on the wire
		for _, at := range []*time.Time{&want.CreatedAt, &want.SendAt, &want.ExpiresAt, &want.ExpectedAt, &want.SentAt, &want.DeliveredAt, &want.UpdatedAt} {
			*at = at.UTC().Truncate(time.Millisecond)
		}
		if want.Error != nil {
			e := *want.Error
			e.Class = ""
			want.Error = &e
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
	}
	for _, m := range []sms.Modem{modem, {}} {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got := sms.Modem{Reason: "stale"}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		want := m
		if want.Alarms == nil {
			want.Alarms = []sms.Alarm{}
		}
		want.Since = want.Since.UTC().Truncate(time.Millisecond)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
	}
}

var call = sms.Call{Modem: "office", To: "+491707654321", From: "+491701234567", HungUp: true, At: wire}

func TestCallRoundTrip(t *testing.T) {
	for _, c := range []sms.Call{call, {At: wire}} {
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var got sms.Call
		if err := json.Unmarshal(b, &got); err != nil || got != c {
			t.Errorf("%+v, %v; want %+v", got, err, c)
		}
	}
	if got := object(t, sms.Call{})["from"]; got != nil {
		t.Errorf("a call without a number is from %v", got)
	}
}

// TestModemFields: all fields of a modem are there; what is not known is null.
func TestModemFields(t *testing.T) {
	empty := object(t, sms.Modem{})
	for field := range object(t, modem) {
		if _, ok := empty[field]; !ok {
			t.Errorf("%s is left out", field)
		}
	}
	for _, field := range []string{"name", "state", "reason", "advice", "imei", "iccid", "number", "operator", "technology", "registration", "signal", "counters"} {
		v, ok := empty[field]
		if !ok {
			t.Errorf("%s is missing", field)
		}
		if said := field == "name" || field == "state" || field == "reason" || field == "advice" || field == "counters" || field == "alarms"; said == (v == nil) {
			t.Errorf("%s is %v", field, v)
		}
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for _, s := range []string{`{"parts":"two"}`, `{"created_at":"yesterday"}`, `[]`} {
		var m sms.Message
		var mo sms.Modem
		if json.Unmarshal([]byte(s), &m) == nil {
			t.Errorf("%s was read as a message", s)
		}
		if s == `[]` && json.Unmarshal([]byte(s), &mo) == nil {
			t.Errorf("%s was read as a modem", s)
		}
	}
}

func TestError(t *testing.T) {
	var err error = full.Error
	if got := err.Error(); got != "cms-38: Network out of order" {
		t.Error(got)
	}
}

// object is a value's JSON, read as a client would.
func object(t *testing.T, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// everyFieldSet makes sure that a sample has a value in every field.
func everyFieldSet(t *testing.T, sample any, but ...string) {
	t.Helper()
	v := reflect.ValueOf(sample)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).IsZero() && !strings.Contains(" "+strings.Join(but, " ")+" ", " "+name+" ") {
			t.Errorf("the sample of %T has no %s: give it one, so that its way over the wire is tested", sample, name)
		}
	}
}
