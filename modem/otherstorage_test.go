package modem_test

import (
	"testing"

	"gatewayd/sms"
)

// What lies in the other storage is found at the start, though nothing but its
// count tells: a run that chose ours and was killed before it swept the one of
// before has left it there.
func TestOtherStorageIsFoundAtTheStart(t *testing.T) {
	with(t, map[string]string{
		"AT+CPMS=?": `+CPMS: ("SM","ME"),("SM","ME"),("SM","ME")|OK`, `AT+CPMS="ME"`: "+CPMS: 1,23,0,30,0,30|OK",
		`AT+CPMS="SM"`: "+CPMS: 0,30,0,30,0,30|OK", "AT+CMGL=4": "-",
	}, nil, func(r *rig) {
		r.hear("AT+CMGL=4")
		r.say("+CMGL: 7,0,,18", deliver, "OK")
		r.hear("AT+CMGL=4")
		r.say("OK")
		r.hear("AT+CMGD=7")
		r.say("OK")
		r.state(sms.Ready)
		if got := r.inbox.all(); len(got) != 1 || got[0].Storage != "ME" || got[0].Index != 7 {
			t.Errorf("%+v", got)
		}
	})
}

// A message that was put into the other storage while nobody listened, and that
// the modem does not count yet, is found by the first slow sweep.
func TestOtherStorageIsSearchedOnce(t *testing.T) {
	with(t, map[string]string{
		"AT+CPMS=?": `+CPMS: ("SM","ME"),("SM","ME"),("SM","ME")|OK`, `AT+CPMS="ME"`: "+CPMS: 0,23,0,30,0,30|OK", `AT+CPMS="SM"`: "+CPMS: 0,30,0,30,0,30|OK",
	}, nil, func(r *rig) {
		r.state(sms.Ready)
		r.knows(`AT+CPMS="ME"`, "-")
		r.knows(`AT+CPMS="SM"`, "-")
		r.hear(`AT+CPMS="ME"`)
		r.knows("AT+CMGL=4", "+CMGL: 7,0,,18|"+deliver+"|OK")
		r.knows("AT+CMGD=7", "OK")
		r.say("+CPMS: 1,23,0,30,0,30", "OK")
		r.hear(`AT+CPMS="SM"`)
		r.knows("AT+CMGL=4", "OK")
		r.say("+CPMS: 0,30,0,30,0,30", "OK")
		r.hear(`AT+CPMS="ME"`) // to delete
		r.say("+CPMS: 1,23,0,30,0,30", "OK")
		r.hear(`AT+CPMS="SM"`)
		r.say("+CPMS: 0,30,0,30,0,30", "OK")
		if got := r.inbox.all(); len(got) != 1 || got[0].Storage != "ME" || got[0].Index != 7 {
			t.Errorf("%+v", got)
		}
	})
}
