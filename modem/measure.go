package modem

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/warthog618/modem/info"

	"gatewayd/modem/at"
	"gatewayd/sms"
)

// measure is a command that tells of a signal what +CSQ does not.
type measure struct {
	line, prefix string
	read         func(fields []string) level
}

// level is what one answer says of the signal; nil is what it does not say.
type level struct{ rssi, rsrp, rsrq, sinr *float64 }

var (
	plainMeasure   = measure{"AT+CESQ", "+CESQ", readCESQ} // TS 27.007 8.69
	huaweiMeasure  = measure{"AT^HCSQ?", "^HCSQ", readHCSQ}
	quectelMeasure = measure{"AT+QCSQ", "+QCSQ", readQCSQ}
	simcomMeasure  = measure{"AT+CPSI?", "+CPSI", readCPSI}
)

// chooseMeasure asks which of the commands the modem knows, once in a session.
// None of them is needed, so one that it leaves unanswered is not asked again.
func (m *Modem) chooseMeasure(ctx context.Context) (*trouble, error) {
	m.details = nil
	if m.now.IMEI != "" && m.unmeasured == m.now.IMEI {
		return nil, nil
	}
	for _, c := range append(m.family().measures, plainMeasure) {
		_, err := m.port.Do(ctx, at.Command{Line: c.line, Prefix: c.prefix, Timeout: short})
		switch {
		case err == nil:
			m.details = &c
			return nil, nil
		case errors.Is(err, at.ErrTimeout):
			m.unmeasured = m.now.IMEI
			return nil, m.port.Resync(ctx, 3)
		case answer(err) == nil:
			return nil, err
		}
	}
	return nil, nil
}

// understand reads the answer; what is none says nothing.
func (c *measure) understand(lines []string) level {
	if len(lines) == 0 {
		return level{}
	}
	return c.read(quotedFields(info.TrimPrefix(lines[0], c.prefix)))
}

// measureSignal asks how well the modem hears its network.
func (m *Modem) measureSignal(ctx context.Context) error {
	lines, err := m.ask(ctx, at.Command{Line: "AT+CSQ", Prefix: "+CSQ", Timeout: pollTimeout})
	if err != nil && answer(err) == nil {
		return err
	}
	rssi, known := 0, false
	if err == nil && len(lines) > 0 {
		first, _, _ := strings.Cut(info.TrimPrefix(lines[0], "+CSQ"), ",")
		n, fault := strconv.Atoi(strings.TrimSpace(first))
		rssi, known = n, fault == nil
	}
	var l level
	if m.details != nil {
		lines, err := m.ask(ctx, at.Command{Line: m.details.line, Prefix: m.details.prefix, Timeout: pollTimeout})
		switch {
		case err == nil && len(lines) > 0:
			l = m.details.understand(lines)
			known = true
		case err != nil && answer(err) == nil:
			return err
		}
	}
	if !known {
		return nil
	}
	m.now.Signal = l.signal(rssi)
	m.meters.hears(m.now.Signal)
	m.publish()
	if m.o.OnSignal != nil && m.now.Signal != nil {
		m.o.OnSignal(m.now)
	}
	return nil
}

// signal puts together what +CSQ and the other command say; nil if neither knows.
func (l level) signal(csq int) *sms.Signal {
	s := signal(csq)
	if s == nil {
		dbm := l.rssi
		if dbm == nil && l.rsrp != nil && l.rsrq != nil {
			// By the definition of RSRQ (TS 36.214 5.1.3), of a carrier of 50 resource blocks.
			dbm = in(-140, 0, *l.rsrp-*l.rsrq+10*math.Log10(50))
		}
		if dbm == nil {
			return nil
		}
		s = signal(min(max(int(math.Round((*dbm+113)/2)), 0), 31))
		s.DBm = int(math.Round(*dbm))
	}
	s.RSRP, s.RSRQ, s.SINR = l.rsrp, l.rsrq, l.sinr
	if l.rsrp != nil { // which says more than the RSSI, half of which may be noise
		switch p := *l.rsrp; {
		case p >= -105:
			s.Quality = "good"
		case p >= -115:
			s.Quality = "fair"
		case p >= -125:
			s.Quality = "poor"
		default:
			s.Quality = "none"
		}
	}
	return s
}

// in is v if it can be true.
func in(low, high, v float64) *float64 {
	if v < low || v > high {
		return nil
	}
	v = math.Round(v*10) / 10
	return &v
}

func rsrp(v float64) *float64 { return in(-157, -30, v) }
func rsrq(v float64) *float64 { return in(-44, 20, v) }
func sinr(v float64) *float64 { return in(-30, 50, v) }

// fieldNumber reads one field.
func fieldNumber(fields []string, i int) (float64, bool) {
	if i >= len(fields) {
		return 0, false
	}
	v, err := strconv.ParseFloat(fields[i], 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// scaled reads a field that counts steps from a value on, up to a last one; what
// lies above says that it is not known.
func scaled(fields []string, i int, from, step, last float64, as func(float64) *float64) *float64 {
	n, ok := fieldNumber(fields, i)
	if !ok || n < 0 || n > last {
		return nil
	}
	return as(from + n*step)
}

// plain reads a field that is in dBm or dB.
func plain(fields []string, i int, as func(float64) *float64) *float64 {
	v, ok := fieldNumber(fields, i)
	if !ok {
		return nil
	}
	return as(v)
}

func rssi(v float64) *float64 { return in(-121, -10, v) }

// readCESQ reads `rxlev,ber,rscp,ecno,rsrq,rsrp`, and of NR `,ss_rsrq,ss_rsrp,ss_sinr`.
func readCESQ(f []string) level {
	l := level{rsrq: scaled(f, 4, -20, .5, 34, rsrq), rsrp: scaled(f, 5, -141, 1, 97, rsrp)}
	if l.rsrp == nil {
		l = level{rsrq: scaled(f, 6, -43.5, .5, 126, rsrq), rsrp: scaled(f, 7, -157, 1, 126, rsrp), sinr: scaled(f, 8, -23.5, .5, 127, sinr)}
	}
	return l
}

// readHCSQ reads `"LTE",rssi,rsrp,sinr,rsrq`, `"WCDMA",rssi,rscp,ecio`, `"GSM",rssi`.
func readHCSQ(f []string) level {
	l := level{rssi: scaled(f, 1, -121, 1, 96, rssi)}
	if f[0] == "LTE" {
		l.rsrp, l.sinr, l.rsrq = scaled(f, 2, -141, 1, 97, rsrp), scaled(f, 3, -20.2, .2, 251, sinr), scaled(f, 4, -20, .5, 34, rsrq)
	}
	return l
}

// readQCSQ reads `"LTE",rssi,rsrp,sinr,rsrq`, also of LTE-M and NB-IoT; only the
// SINR is scaled, from -20 dB on in fifths.
func readQCSQ(f []string) level {
	l := level{}
	switch f[0] {
	case "GSM", "WCDMA", "TDSCDMA":
		l.rssi = plain(f, 1, rssi)
	case "LTE", "CAT-M1", "CAT-NB1", "eMTC", "NBIoT":
		l = level{rssi: plain(f, 1, rssi), rsrp: plain(f, 2, rsrp), sinr: scaled(f, 3, -20, .2, 250, sinr), rsrq: plain(f, 4, rsrq)}
	}
	return l
}

// readCPSI reads `LTE,Online,mcc-mnc,tac,cell,pci,band,earfcn,dlbw,ulbw,rsrq,rsrp,rssi,rssnr`.
// RSRQ, RSRP and RSSI are in tenths, but on some modules.
func readCPSI(f []string) level {
	if !strings.HasPrefix(f[0], "LTE") {
		return level{}
	}
	tenth := 1.
	if v, ok := fieldNumber(f, 11); ok && v < -157 {
		tenth = .1
	}
	return level{rsrq: plain(f, 10, of(tenth, rsrq)), rsrp: plain(f, 11, of(tenth, rsrp)), rssi: plain(f, 12, of(tenth, rssi)), sinr: plain(f, 13, sinr)}
}

func of(unit float64, as func(float64) *float64) func(float64) *float64 {
	return func(v float64) *float64 { return as(v * unit) }
}

// Aiming: somebody turns an antenna and looks at the signal.
const (
	aimEvery = time.Second
	aimFor   = 15 * time.Second // after the last time that it was asked for
	// aimShare: a modem that takes long to answer is asked less often, so that most
	// of its time is left to messages.
	aimShare = 5
)

// aim is asked for by anybody, and done by Run's goroutine.
type aim struct {
	until atomic.Pointer[time.Time]
	wake  chan struct{}
	next  time.Time // Run's goroutine's
}

// Aim has the signal measured about once a second, for fifteen seconds from now
// on, while the modem is up. It sends meanwhile: it is asked between two parts.
func (m *Modem) Aim() {
	until := time.Now().Add(aimFor)
	m.aim.until.Store(&until)
	select {
	case m.aim.wake <- struct{}{}:
	default:
	}
}

// due is when the next measure is, zero if nobody wants one. Time goes on while
// duties are looked at, so at first it is when somebody asked, not now.
func (a *aim) due() time.Time {
	until := a.until.Load()
	if until == nil || !time.Now().Before(*until) {
		return time.Time{}
	}
	if a.next.IsZero() {
		return until.Add(-aimFor)
	}
	return a.next
}

func (m *Modem) takeAim(ctx context.Context) error {
	start := time.Now()
	err := m.measureSignal(ctx)
	now := time.Now()
	m.aim.next = start.Add(max(aimEvery, aimShare*now.Sub(start)))
	if err == nil {
		m.unanswers = 0
	}
	return err
}
