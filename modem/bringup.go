package modem

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warthog618/modem/info"

	"gatewayd/failpoint"
	"gatewayd/modem/at"
	"gatewayd/sms"
)

// step is one line of the bring-up table. It either sends a command or does
// what takes several.
type step struct {
	command at.Command
	tries   int           // with pause between them; 0: once
	pause   time.Duration //
	// read takes the answer. Nil: the answer does not matter.
	read func(m *Modem, lines []string)
	// else is sent when the command is refused; the first that is taken ends it.
	or []string
	// must: without it the port is of no use. Why, in words.
	must string
	do   func(m *Modem, ctx context.Context) (*trouble, error)
}

const short = 3 * time.Second

// steps bring a modem up in PDU mode. The order is what works everywhere: no
// SIM command before the PIN, no SMS command before the storage is chosen, and
// the sweep last.
var steps = []step{
	{command: at.Command{Line: "ATZ", Timeout: 6 * time.Second, Digits: true}},
	{command: at.Command{Line: "ATE0", Timeout: short, Digits: true}},
	{command: at.Command{Line: "ATV1", Timeout: short, Digits: true}},
	{command: at.Command{Line: "AT+CMEE=1", Timeout: 10 * time.Second}, or: []string{"AT+CMEE=2"}},
	{command: at.Command{Line: "AT+CGMI", Timeout: short}, or: []string{"AT+GMI"}, read: readText(func(m *Modem) *string { return &m.now.Manufacturer })},
	{command: at.Command{Line: "AT+CGMM", Timeout: short}, or: []string{"AT+GMM"}, read: readText(func(m *Modem) *string { return &m.now.Model })},
	{command: at.Command{Line: "AT+CGMR", Timeout: short}, or: []string{"AT+GMR"}, read: readText(func(m *Modem) *string { return &m.now.Firmware })},
	{command: at.Command{Line: "AT+CGSN", Timeout: short, Mine: hasDigits(14, 17)}, or: []string{"AT+GSN"}, read: (*Modem).readIMEI},
	{command: at.Command{Line: "AT^CURC=0", Timeout: short}}, // Huawei's chatter
	{do: (*Modem).readICCID},
	{do: (*Modem).unlock, must: "it does not say whether a SIM is ready (AT+CPIN?)"},
	{do: (*Modem).radioOn},
	{do: (*Modem).readICCIDAgain},
	{command: at.Command{Line: "AT+CIMI", Timeout: 10 * time.Second, Mine: hasDigits(6, 15)}, read: (*Modem).readIMSI},
	{command: at.Command{Line: "AT+CREG=2", Timeout: short}, or: []string{"AT+CREG=1", "AT+CREG=0"}},
	{command: at.Command{Line: "AT+CGREG=2", Timeout: short}, or: []string{"AT+CGREG=1", "AT+CGREG=0"}},
	{command: at.Command{Line: "AT+CEREG=2", Timeout: short}, or: []string{"AT+CEREG=1", "AT+CEREG=0"}},
	{command: at.Command{Line: `AT+CSCS="GSM"`, Timeout: 20 * time.Second}, or: []string{"AT+CSCS=GSM"}},
	{command: at.Command{Line: "AT+COPS=3,0", Timeout: 10 * time.Second}},
	{command: at.Command{Line: "AT+CMGF=0", Timeout: short}, tries: 10, pause: time.Second, must: "it refuses PDU mode (AT+CMGF=0)"},
	{do: (*Modem).chooseService},
	{do: (*Modem).chooseStorage, must: "it does not let a storage be chosen (AT+CPMS)"},
	{command: at.Command{Line: "AT+CSCA?", Prefix: "+CSCA", Timeout: 10 * time.Second}, read: (*Modem).readSMSC},
	{do: (*Modem).setSMSC},
	{command: at.Command{Line: "AT+CNUM", Prefix: "+CNUM", Timeout: 10 * time.Second}, read: (*Modem).readNumber},
	{do: (*Modem).announcing, must: "it does not let received messages be announced (AT+CNMI)"},
	{command: at.Command{Line: "AT+CLIP=1", Timeout: short}},
	{command: at.Command{Line: "AT+CUSD=1", Timeout: short}}, // what networks tell unasked
	{do: (*Modem).chooseMeasure},
	{do: (*Modem).look},
	{do: (*Modem).firstSweep},
}

// bringUp takes a port from the unknown to a modem that sends and receives.
func (m *Modem) bringUp(ctx context.Context) *trouble {
	failpoint.Hit("modem.bring-up")
	if err := m.port.Resync(ctx, 10); err != nil {
		return m.notAModem(err)
	}
	timeouts := 0
	for i := range steps {
		s := &steps[i]
		t, err := m.step(ctx, s)
		switch {
		case ctx.Err() != nil:
			return nil
		case t != nil:
			return t
		case m.sick != nil:
			return m.sick
		case err == nil:
			timeouts = 0
			continue
		case errors.Is(err, at.ErrTimeout):
			timeouts++
		}
		if t := m.lossTrouble(err); t != nil {
			return t
		}
		m.log.Debug("bring-up", "error", err)
		if s.must != "" || timeouts >= 3 {
			why := s.must
			if why == "" {
				why = "it left three commands in a row unanswered"
			}
			return m.unfit("The modem can't be used: "+why+".", err)
		}
	}
	m.sendableAgain()
	failpoint.Hit("modem.up")
	return nil
}

// sendableAgain sets the clocks of a modem that has just come up.
func (m *Modem) sendableAgain() {
	now := time.Now()
	m.pollAt, m.pollStep = now.Add(m.o.PollEvery), 0
	if !m.reg.registered() {
		m.pollAt = now.Add(searchEvery)
	}
	m.checkAt = now.Add(checkEvery) // the first sweep has said when the next is due
	if m.csms == 1 {
		m.checkAt = now.Add(ackOver)
	}
	m.parked, m.parkEnd = nil, time.Time{}
	m.wasModem = true
	if m.reg.registered() {
		m.lost = time.Time{}
		m.healed(provenByNetwork)
	} else if m.lost.IsZero() || m.ladder.ill == nil { // what was before the port went away does not count
		m.lost = now
	}
	m.publish()
}

// unfit explains a port that answers and can't be used. One that was a modem
// before is sick; another is perhaps the wrong one.
func (m *Modem) unfit(reason string, err error) *trouble {
	t := &trouble{state: sms.ModemFailed, reason: reason, retry: retryAlien, err: err,
		advice: "Try another port of the same modem: many show several, and only one takes SMS commands."}
	if m.wasModem {
		t.ill, t.advice = hung, powerAdvice
	}
	return t
}

// notAModem explains a port on which bring-up could not even begin.
func (m *Modem) notAModem(err error) *trouble {
	switch {
	case (m.wasModem || m.now.IMEI != "") && (errors.Is(err, at.ErrSilent) || errors.Is(err, at.ErrParrot)):
		return m.lossTrouble(err)
	case errors.Is(err, at.ErrSilent):
		return &trouble{state: sms.ModemFailed, reason: "Nothing on " + m.now.Port + " answers AT commands.", retry: retryAlien, err: err,
			advice: "Check that this is the modem's AT port and that the modem has power; many modems show several ports."}
	case errors.Is(err, at.ErrParrot):
		return &trouble{state: sms.ModemFailed, reason: m.now.Port + " answers AT, but is not the port that takes SMS commands.", retry: retryAlien, err: err,
			advice: "Try the modem's other ports, such as the one whose name ends in if02 or if03."}
	case errors.Is(err, context.Canceled):
		return nil
	}
	if t := m.lossTrouble(err); t != nil {
		return t
	}
	return &trouble{state: sms.ModemFailed, reason: fmt.Sprintf("The modem could not be started: %v.", err), advice: "Unplug it and plug it in again.", err: err}
}

func (m *Modem) step(ctx context.Context, s *step) (*trouble, error) {
	if s.do != nil {
		return s.do(m, ctx)
	}
	var err error
	for try := range max(s.tries, 1) {
		if try > 0 {
			if err := m.sleep(ctx, s.pause); err != nil {
				return nil, err
			}
		}
		for i := -1; i < len(s.or); i++ {
			c := s.command
			if i >= 0 {
				c.Line = s.or[i]
			}
			var lines []string
			if lines, err = m.port.Do(ctx, c); err == nil {
				if s.read != nil {
					s.read(m, lines)
				}
				return nil, nil
			}
			if answer(err) == nil {
				break // no use in asking otherwise
			}
		}
		if m.lossTrouble(err) != nil {
			return nil, err
		}
	}
	if answer(err) != nil && s.must == "" {
		return nil, nil // a refusal of what is good to have
	}
	return nil, err
}

// sleep waits, and goes on hearing what comes.
func (m *Modem) sleep(ctx context.Context, d time.Duration) error {
	m.timer.Reset(d)
	for {
		select {
		case t := <-m.port.Tokens():
			if m.port.Take(t) == at.Gone {
				return m.port.Cause()
			}
		case <-m.timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hasDigits makes a Mine that wants a number of so many digits, with or
// without a prefix and quotes.
func hasDigits(low, high int) func(string) bool {
	return func(line string) bool {
		n := len(digitsOf(line))
		return n >= low && n <= high
	}
}

// digitsOf is the number that a line consists of, "" if it is anything else.
func digitsOf(line string) string {
	if line[0] == '+' || line[0] == '^' {
		_, rest, ok := strings.Cut(line, ":")
		if !ok {
			return ""
		}
		line = rest
	}
	line = strings.Trim(strings.TrimSpace(line), `"`)
	for i := 0; i < len(line); i++ {
		if line[i] < '0' || line[i] > '9' {
			return ""
		}
	}
	return line
}

func readText(field func(*Modem) *string) func(*Modem, []string) {
	return func(m *Modem, lines []string) {
		if len(lines) == 0 {
			return
		}
		text := lines[0]
		if text[0] == '+' {
			_, text, _ = strings.Cut(text, ":")
		}
		*field(m) = strings.Trim(strings.TrimSpace(text), `"`)
		m.publish()
	}
}

func (m *Modem) readIMEI(lines []string) {
	if len(lines) == 0 {
		return
	}
	imei := digitsOf(lines[0])
	if imei != m.now.IMEI { // another modem on this port
		m.now.ICCID, m.now.IMSI, m.now.SMSC, m.now.Operator, m.now.Cell, m.now.Signal, m.now.Storage = "", "", "", "", "", nil, nil
		m.now.Number = m.o.Number
		m.deaf = false
	}
	m.now.IMEI = imei
	m.publish()
}

func (m *Modem) readIMSI(lines []string) {
	if len(lines) > 0 {
		m.now.IMSI = digitsOf(lines[0])
		m.publish()
	}
}

func (m *Modem) readSMSC(lines []string) {
	if len(lines) > 0 {
		m.now.SMSC = fromUCS2(quotedFields(info.TrimPrefix(lines[0], "+CSCA"))[0])
		m.publish()
	}
}

// setSMSC puts in the service centre that the configuration wants; a SIM that
// was in another modem, or a bare eSIM, may know none.
func (m *Modem) setSMSC(ctx context.Context) (*trouble, error) {
	if m.o.SMSC == "" || m.o.SMSC == m.now.SMSC {
		return nil, nil
	}
	toa := "129"
	if strings.HasPrefix(m.o.SMSC, "+") {
		toa = "145"
	}
	_, err := m.port.Do(ctx, at.Command{Line: `AT+CSCA="` + m.o.SMSC + `",` + toa, Timeout: 10 * time.Second})
	switch {
	case err == nil:
		m.now.SMSC = m.o.SMSC
		m.publish()
	case answer(err) != nil:
		m.log.Warn("the modem refused the configured smsc", "error", err)
	}
	return nil, dropAnswer(err)
}

func (m *Modem) readNumber(lines []string) {
	if m.o.Number != "" || len(lines) == 0 {
		return
	}
	if f := quotedFields(info.TrimPrefix(lines[0], "+CNUM")); len(f) >= 2 {
		m.now.Number = fromUCS2(f[1])
		m.publish()
	}
}

// radioOn switches the radio on if it is off.
func (m *Modem) radioOn(ctx context.Context) (*trouble, error) {
	lines, err := m.ask(ctx, at.Command{Line: "AT+CFUN?", Prefix: "+CFUN", Timeout: 5 * time.Second})
	if err != nil || len(lines) == 0 || strings.HasPrefix(info.TrimPrefix(lines[0], "+CFUN"), "1") {
		return nil, dropAnswer(err)
	}
	_, err = m.port.Do(ctx, at.Command{Line: "AT+CFUN=1", Timeout: 40 * time.Second})
	return nil, dropAnswer(err)
}

// dropAnswer makes a modem's refusal no error: the step was good to have.
func dropAnswer(err error) error {
	if answer(err) != nil {
		return nil
	}
	return err
}

// chooseService asks for CSMS=0, where the modem itself acknowledges what it
// has stored. What it says decides whether acknowledging is ours.
func (m *Modem) chooseService(ctx context.Context) (*trouble, error) {
	m.csms = 0
	_, err := m.port.Do(ctx, at.Command{Line: "AT+CSMS=0", Prefix: "+CSMS", Timeout: short})
	if err == nil || answer(err) == nil {
		return nil, err
	}
	return nil, m.readService(ctx)
}

func (m *Modem) readService(ctx context.Context) error {
	lines, err := m.ask(ctx, at.Command{Line: "AT+CSMS?", Prefix: "+CSMS", Timeout: short})
	if err == nil && len(lines) > 0 && strings.HasPrefix(info.TrimPrefix(lines[0], "+CSMS"), "1") {
		m.csms = 1
	}
	return dropAnswer(err)
}

// chooseStorage puts received messages where they can be read: on the SIM, so
// that they survive the modem, else in the modem. Right after boot it fails
// for a while.
func (m *Modem) chooseStorage(ctx context.Context) (*trouble, error) {
	m.storage, m.reading, m.reportMem = "", "", ""
	lines, err := m.ask(ctx, at.Command{Line: "AT+CPMS=?", Prefix: "+CPMS", Timeout: short})
	if err != nil && answer(err) == nil {
		return nil, err
	}
	if len(lines) > 0 {
		offered := firstGroup(info.TrimPrefix(lines[0], "+CPMS"))
		if strings.Contains(offered, `"SR"`) {
			m.reportMem = "SR"
		}
		for _, name := range [...]string{"SM", "ME"} {
			if strings.Contains(offered, `"`+name+`"`) {
				m.rx.offered = append(m.rx.offered, name)
			}
		}
	}
	for try := range 10 {
		if try > 0 {
			if err := m.sleep(ctx, time.Second); err != nil {
				return nil, err
			}
		}
		if lines, err = m.ask(ctx, at.Command{Line: "AT+CPMS?", Prefix: "+CPMS", Lenient: true, Timeout: 5 * time.Second}); err == nil {
			m.rx.before = receivesInto(lines)
		} else if answer(err) == nil {
			return nil, err
		}
		for _, name := range [...]string{"SM", "ME"} {
			for _, form := range [...]string{`AT+CPMS="%[1]s","%[1]s","%[1]s"`, `AT+CPMS="%[1]s","%[1]s"`, `AT+CPMS="%s"`} {
				lines, err = m.port.Do(ctx, at.Command{Line: fmt.Sprintf(form, name), Prefix: "+CPMS", Lenient: true, Timeout: 5 * time.Second})
				if err == nil {
					m.storage, m.reading = name, name
					m.fill(lines)
					return nil, nil
				}
				if answer(err) == nil {
					return nil, err
				}
			}
		}
	}
	t := m.unfit("The modem offers "+errNoStorage.Error()+".", err)
	t.advice = "Check the SIM in a phone, then plug the modem in again."
	return t, nil
}

// receivesInto finds the storage for received messages, the third that +CPMS?
// names: `"ME",0,23,"ME",0,23,"ME",0,23`.
func receivesInto(lines []string) string {
	name := ""
	if len(lines) > 0 {
		for _, f := range strings.Split(info.TrimPrefix(lines[0], "+CPMS"), ",") {
			if f = strings.TrimSpace(f); strings.HasPrefix(f, `"`) {
				name = strings.Trim(f, `"`)
			}
		}
	}
	return name
}

func firstGroup(s string) string {
	group, _, _ := strings.Cut(s, ")")
	return group
}

// announcing switches +CMTI and reports on, in the first form that the modem
// both takes and keeps. Stored first: what is stored survives us.
func (m *Modem) announcing(ctx context.Context) (*trouble, error) {
	var err error
	for _, form := range [...]string{
		"2,1,0,2,0", "1,1,0,2,0", "2,1,0,1,0", "1,1,0,1,0", "2,1,2,1,0", "2,1,0,0,0", "1,1,0,0,0", "2,1,2,0,0",
	} {
		var kept bool
		if kept, err = m.tryAnnouncing(ctx, form); kept || answer(err) == nil && err != nil {
			return nil, err
		}
	}
	// It insists on handing messages over directly. Then they must be
	// acknowledged by us, after they are stored, or they die with us.
	if _, err := m.port.Do(ctx, at.Command{Line: "AT+CSMS=1", Prefix: "+CSMS", Timeout: short}); err == nil {
		m.csms = 1
	} else if answer(err) == nil {
		return nil, err
	}
	for _, form := range [...]string{"2,2,0,1,0", "1,2,0,1,0", "2,2,0,0,0", "1,2,0,0,0"} {
		var kept bool
		if kept, err = m.tryAnnouncing(ctx, form); kept || answer(err) == nil && err != nil {
			return nil, err
		}
	}
	return m.unfit("The modem refuses to announce received messages (AT+CNMI).", err), nil
}

func (m *Modem) tryAnnouncing(ctx context.Context, form string) (kept bool, err error) {
	if _, err = m.port.Do(ctx, at.Command{Line: "AT+CNMI=" + form, Timeout: short}); err != nil {
		return false, err
	}
	lines, err := m.ask(ctx, at.Command{Line: "AT+CNMI?", Prefix: "+CNMI", Timeout: short})
	if err != nil && answer(err) == nil {
		return false, err
	}
	if len(lines) > 0 && !sameAnnouncing(lines[0], form) {
		return false, nil
	}
	m.cnmi = form
	m.ds, _ = strconv.Atoi(strings.Split(form, ",")[3])
	if m.ds != 2 {
		m.reportMem = ""
	}
	return true, nil
}

// look asks everything that is polled, once.
func (m *Modem) look(ctx context.Context) (*trouble, error) {
	for i := range polls {
		if err := m.question(ctx, &polls[i]); err != nil && answer(err) == nil {
			return nil, err
		}
	}
	return nil, nil
}

// iccidCommands: there is no standard one. The last reads the file itself.
var iccidCommands = []string{"AT+CCID", "AT+ICCID", "AT+QCCID", "AT^ICCID?", "AT+CRSM=176,12258,0,0,10"}

func (m *Modem) readICCID(ctx context.Context) (*trouble, error) {
	found := "" // until then it is who it was: something may come meanwhile
	for _, line := range iccidCommands {
		lines, err := m.port.Do(ctx, at.Command{Line: line, Mine: func(s string) bool { return iccid(s) != "" }, Timeout: 10 * time.Second})
		if err != nil && answer(err) == nil {
			m.now.ICCID = ""
			return nil, err
		}
		if len(lines) > 0 {
			found = iccid(lines[0])
			break
		}
	}
	m.now.ICCID = found
	m.publish()
	return nil, nil
}

// readICCIDAgain is for SIMs that say nothing before their PIN.
func (m *Modem) readICCIDAgain(ctx context.Context) (*trouble, error) {
	if m.now.ICCID != "" {
		return nil, nil
	}
	return m.readICCID(ctx)
}

// iccid finds a SIM's number in an answer; all begin with 89. Read from the
// file, the halves of each octet are swapped.
func iccid(line string) string {
	fields := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(` ,:"`, r) })
	slices.Reverse(fields)
	for _, f := range fields {
		f = strings.ToUpper(f)
		if len(f) < 18 || len(f) > 22 || strings.Trim(f, "0123456789ABCDEF") != "" {
			continue
		}
		if strings.HasPrefix(f, "98") {
			b := []byte(f)
			for i := 0; i+1 < len(b); i += 2 {
				b[i], b[i+1] = b[i+1], b[i]
			}
			f = string(b)
		}
		if f = strings.TrimRight(f, "F"); strings.HasPrefix(f, "89") {
			return f
		}
	}
	return ""
}
