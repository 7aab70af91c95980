package modem

import (
	"fmt"
	"testing"
	"time"

	"gatewayd/sms"
)

// said is a signal in one line.
func said(s *sms.Signal) string {
	if s == nil {
		return "nothing"
	}
	of := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprint(*v)
	}
	return fmt.Sprintf("%d %s %s %s %s", s.DBm, of(s.RSRP), of(s.RSRQ), of(s.SINR), s.Quality)
}

// plausible tells whether there can be such a signal.
func plausible(s *sms.Signal) bool {
	within := func(v *float64, low, high float64) bool { return v == nil || *v >= low && *v <= high }
	return s.DBm >= -140 && s.DBm <= 0 && s.Percent >= 0 && s.Percent <= 100 &&
		within(s.RSRP, -157, -30) && within(s.RSRQ, -44, 20) && within(s.SINR, -30, 50)
}

// What each command says, by the manuals: TS 27.007 8.69, Huawei's ^HCSQ, Quectel's
// +QCSQ, SIMCom's +CPSI.
func TestMeasures(t *testing.T) {
	for _, c := range []struct {
		by   measure
		line string
		csq  int
		want string
	}{
		{plainMeasure, "+CESQ: 99,99,255,255,20,50", 21, "-71 -91 -10 - good"},
		{plainMeasure, "+CESQ: 99,99,255,255,0,0", 1, "-111 -141 -20 - none"},
		{plainMeasure, "+CESQ: 30,3,255,255,255,255", 15, "-83 - - - good"},                  // GSM
		{plainMeasure, "+CESQ: 99,99,255,255,255,255,67,80,70", 15, "-83 -77 -10 11.5 good"}, // NR
		{plainMeasure, "+CESQ: 99,99,255,255,20,40", 99, "-74 -101 -10 - good"},              // RSSI reckoned
		{plainMeasure, "+CESQ: 99,99,255,255,255,255", 99, "nothing"},
		{plainMeasure, "+CESQ: 99,99", 20, "-73 - - - good"},
		{plainMeasure, "+CESQ:", 20, "-73 - - - good"},
		{huaweiMeasure, `^HCSQ:"LTE",59,50,161,24`, 26, "-61 -91 -8 12 good"},
		{huaweiMeasure, `^HCSQ: "LTE",35,20,81,10`, 3, "-107 -121 -15 -4 poor"},
		{huaweiMeasure, `^HCSQ: "LTE",35,20,255,255`, 99, "-86 -121 - - poor"},
		{huaweiMeasure, `^HCSQ: "WCDMA",40,38,50`, 16, "-81 - - - good"},
		{huaweiMeasure, `^HCSQ: "GSM",36`, 99, "-85 - - - good"},
		{huaweiMeasure, `^HCSQ: "NOSERVICE"`, 99, "nothing"},
		{quectelMeasure, `+QCSQ: "LTE",-71,-91,160,-10`, 21, "-71 -91 -10 12 good"},
		{quectelMeasure, `+QCSQ: "CAT-M1",-80,-108,30,-14`, 99, "-80 -108 -14 -14 fair"},
		{quectelMeasure, `+QCSQ: "GSM",-75`, 19, "-75 - - - good"},
		{quectelMeasure, `+QCSQ: "NOSERVICE"`, 99, "nothing"},
		{simcomMeasure, "+CPSI: LTE,Online,460-11,0x333C,158375683,366,EUTRAN-BAND1,100,5,5,-94,-850,-545,15", 28, "-57 -85 -9.4 15 good"},
		{simcomMeasure, "+CPSI: LTE CAT-M1,Online,460-00,0x182D,41489414,460,EUTRAN-BAND39,38400,4,4,-10,-92,-68,17", 21, "-71 -92 -10 17 good"},
		{simcomMeasure, "+CPSI: GSM,Online,460-00,0x182d,12401,27 EGSM 900,-64,2110,42-42", 24, "-65 - - - good"},
		{simcomMeasure, "+CPSI: NO SERVICE,Online", 99, "nothing"},
	} {
		if got := said(c.by.understand([]string{c.line}).signal(c.csq)); got != c.want {
			t.Errorf("%s beside +CSQ: %d is read as %s, want %s", c.line, c.csq, got, c.want)
		}
	}
}

// What is due is due at once, also where time goes on between two looks at it.
func TestAimIsDueWhenItIsAskedFor(t *testing.T) {
	m := New(Options{Name: "one", Outbox: noBoxes{}, Inbox: noBoxes{}})
	if !m.aim.due().IsZero() {
		t.Error("it is due before anybody asked")
	}
	m.Aim()
	if now := time.Now(); m.aim.due().IsZero() || now.Before(m.aim.due()) {
		t.Errorf("due %s, now %s", m.aim.due(), now)
	}
}
