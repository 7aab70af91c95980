package modem

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/warthog618/modem/info"

	"gatewayd/modem/at"
	"gatewayd/sms"
)

const (
	pollEvery   = 30 * time.Second
	searchEvery = 3 * time.Second
	checkEvery  = 3 * time.Minute
	// ackOver is how soon the announcements are checked of a modem that wants its
	// messages acknowledged. One that the last run was given and could not
	// acknowledge makes it announce nothing from some 15 s later on (TS 27.005 3.4.4).
	ackOver = 20 * time.Second
)

const pollTimeout = 5 * time.Second

// polls are the questions asked in turn. Registration comes first: a modem
// that searches asks for that and the signal alone.
var polls = []poll{
	{command: at.Command{Line: "AT+CREG?", Prefix: "+CREG", Timeout: pollTimeout}, read: (*Modem).readRegistration},
	{command: at.Command{Line: "AT+CGREG?", Prefix: "+CGREG", Timeout: pollTimeout}, read: (*Modem).readRegistration},
	{command: at.Command{Line: "AT+CEREG?", Prefix: "+CEREG", Timeout: pollTimeout}, read: (*Modem).readRegistration},
	{do: (*Modem).measureSignal},
	{command: at.Command{Line: "AT+COPS?", Prefix: "+COPS", Timeout: pollTimeout}, read: (*Modem).readOperator},
}

// poll is one question, or what takes several.
type poll struct {
	command at.Command
	read    func(m *Modem, lines []string)
	do      func(m *Modem, ctx context.Context) error
}

// question asks it and takes the answer.
func (m *Modem) question(ctx context.Context, p *poll) error {
	if p.do != nil {
		return p.do(m, ctx)
	}
	lines, err := m.ask(ctx, p.command)
	if err == nil {
		p.read(m, lines)
	}
	return err
}

// whileSearching is how many of the polls a modem without a network is asked.
const whileSearching = 4

// poll asks one question. With busy a part waits, and the next question waits
// its turn; else they follow at once, each giving way to a part.
func (m *Modem) poll(ctx context.Context, busy bool) error {
	if m.pollSoon {
		m.pollSoon, m.pollStep = false, 0
	}
	p := &polls[m.pollStep]
	m.pollStep++
	searching := !m.reg.registered()
	if m.pollStep == len(polls) || searching && m.pollStep == whileSearching {
		m.pollStep = 0
	}
	switch {
	case m.pollStep == 0 && searching:
		m.pollAt = time.Now().Add(searchEvery)
	case m.pollStep == 0 || busy:
		m.pollAt = time.Now().Add(m.o.PollEvery)
	default:
		m.pollAt = time.Now()
	}
	if err := m.question(ctx, p); err != nil {
		return dropAnswer(err) // not every modem knows every one of them
	}
	m.unanswers = 0
	return nil
}

// registrationChanged reads an unsolicited `stat[,…]`.
func (m *Modem) registrationChanged(name, rest string) {
	m.register(name, strings.Split(rest, ","))
}

func (m *Modem) readRegistration(lines []string) {
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, ":")
		if _, rest, ok := strings.Cut(rest, ","); ok { // behind n
			m.register(name, strings.Split(rest, ","))
		}
	}
}

// register takes stat and, as fourth field if there is one, the technology.
func (m *Modem) register(name string, fields []string) {
	stat, err := strconv.Atoi(strings.TrimSpace(fields[0]))
	if err != nil {
		return
	}
	before := m.reg
	switch name {
	case "+CREG":
		m.reg.circuit = stat
	case "+CGREG":
		m.reg.packet = stat
	case "+CEREG":
		m.reg.eps = stat
	}
	if len(fields) >= 4 {
		m.technology(fields[3])
	}
	m.cell(name, fields)
	if !m.reg.registered() {
		m.now.Operator, m.now.Technology, m.now.Cell = "", "", ""
	}
	if word := m.reg.String(); word != m.now.Registration {
		m.now.Registration = word
		m.publish()
	}
	if m.up.Load() && before.registered() && !m.reg.registered() {
		m.pollSoon = true // the other domains may still be there
	}
	switch {
	case m.reg.registered():
		m.lost = time.Time{}
		m.healed(provenByNetwork)
	case m.lost.IsZero():
		m.lost = time.Now()
	}
}

// cell reads the identity of the cell, the third field. Of a modem that is in
// several domains the one of LTE is taken.
func (m *Modem) cell(name string, fields []string) {
	if name != "+CEREG" && (registration{-1, -1, m.reg.eps}).registered() {
		return
	}
	if name == "+CGREG" && (registration{m.reg.circuit, -1, -1}).registered() {
		return
	}
	if len(fields) < 3 {
		return
	}
	id := strings.Trim(strings.TrimSpace(fields[2]), `"`)
	if id == "" || len(id) > 9 || strings.Trim(id, "0123456789ABCDEFabcdef") != "" || id == m.now.Cell {
		return
	}
	m.now.Cell = id
	m.publish()
}

// technology reads the access technology of +COPS and +CREG (TS 27.007 7.3).
func (m *Modem) technology(field string) {
	n, err := strconv.Atoi(strings.TrimSpace(field))
	if err != nil {
		return
	}
	word := m.now.Technology
	switch n {
	case 0, 1, 8:
		word = "GSM"
	case 2:
		word = "UTRAN"
	case 3:
		word = "EDGE"
	case 4, 5, 6:
		word = "HSPA"
	case 7, 9, 10:
		word = "LTE"
	case 11, 12, 13:
		word = "NR"
	}
	if word != m.now.Technology {
		m.now.Technology = word
		m.publish()
	}
}

// signal reads the first number of +CSQ; nil if it is not known.
func signal(r int) *sms.Signal {
	s := sms.Signal{At: time.Now()}
	switch {
	case r >= 0 && r <= 31:
		s.DBm = -113 + 2*r
	case r >= 100 && r <= 191: // of some 3G and LTE modules
		s.DBm = -116 + r - 100
		r = max(0, min(31, (s.DBm+113)/2))
	default:
		return nil
	}
	s.Percent = (r*100 + 15) / 31
	switch {
	case r >= 10:
		s.Quality = "good"
	case r >= 5:
		s.Quality = "fair"
	case r >= 1:
		s.Quality = "poor"
	default:
		s.Quality = "none"
	}
	return &s
}

// readOperator reads `+COPS: 0,0,"Name",7`.
func (m *Modem) readOperator(lines []string) {
	if len(lines) == 0 {
		return
	}
	fields := quotedFields(info.TrimPrefix(lines[0], "+COPS"))
	name := ""
	if len(fields) >= 3 {
		name = fromUCS2(fields[2])
	}
	if len(fields) >= 4 {
		m.technology(fields[3])
	}
	if name != m.now.Operator {
		m.now.Operator = name
		m.publish()
	}
}

// quotedFields splits at commas outside quotes and takes the quotes off.
func quotedFields(s string) []string {
	var fields []string
	quoted := false
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] == '"' {
			quoted = !quoted
		}
		if i == len(s) || s[i] == ',' && !quoted {
			fields = append(fields, strings.Trim(strings.TrimSpace(s[start:i]), `"`))
			start = i + 1
		}
	}
	return fields
}

// fromUCS2 reads text that a modem gave as hex of UCS-2, as it does when its
// character set is so; other text stays as it is.
func fromUCS2(s string) string {
	if len(s) < 8 || len(s)%4 != 0 {
		return s
	}
	units := make([]uint16, 0, len(s)/4)
	for i := 0; i < len(s); i += 4 {
		u, err := strconv.ParseUint(s[i:i+4], 16, 16)
		if err != nil || u < 0x20 {
			return s
		}
		units = append(units, uint16(u))
	}
	if units[0] >= 0x3000 { // digits of a network's number, not letters
		return s
	}
	return string(utf16.Decode(units))
}

// check asks whether messages are still announced: a reset that nobody saw or
// a missed acknowledgement switches that off in silence.
func (m *Modem) check(ctx context.Context) error {
	m.checkAt = time.Now().Add(checkEvery)
	if err := m.remembers(ctx); err != nil || m.sick != nil {
		return err
	}
	lines, err := m.ask(ctx, at.Command{Line: "AT+CNMI?", Prefix: "+CNMI", Timeout: pollTimeout})
	if err != nil {
		if answer(err) != nil {
			return nil
		}
		return err
	}
	if len(lines) == 0 || sameAnnouncing(lines[0], m.cnmi) {
		return nil
	}
	m.log.Warn("the modem had stopped announcing messages; announcing is switched on again")
	m.sweepDue = true
	_, err = m.port.Do(ctx, at.Command{Line: "AT+CNMI=" + m.cnmi, Timeout: pollTimeout})
	if answer(err) != nil {
		m.sick = &trouble{state: sms.Healing, reason: "The modem no longer announces received messages.", advice: powerAdvice, ill: hung}
		return nil
	}
	return err
}

// remembers asks for settings that only a reset can have changed: PDU mode, and
// codes in errors if they were there before.
func (m *Modem) remembers(ctx context.Context) error {
	for _, name := range [...]string{"+CMGF", "+CMEE"} {
		lines, err := m.ask(ctx, at.Command{Line: "AT" + name + "?", Prefix: name, Timeout: pollTimeout})
		if err != nil && answer(err) == nil {
			return err
		}
		if err != nil || len(lines) == 0 {
			continue
		}
		on := strings.TrimSpace(info.TrimPrefix(lines[0], name)) != "0"
		switch {
		case name == "+CMGF" && on, name == "+CMEE" && !on && m.rx.cmee:
			m.forgot()
			return nil
		case name == "+CMEE":
			m.rx.cmee = on
		}
	}
	return nil
}

// sameAnnouncing compares mt and ds, which decide what is announced and how.
func sameAnnouncing(line, want string) bool {
	have, wanted := strings.Split(info.TrimPrefix(line, "+CNMI"), ","), strings.Split(want, ",")
	if len(have) < 4 || len(wanted) < 4 {
		return true // nothing to compare
	}
	return strings.TrimSpace(have[1]) == wanted[1] && strings.TrimSpace(have[3]) == wanted[3]
}

func (m *Modem) held(now time.Time) bool { return now.Before(m.holdEnd) }
