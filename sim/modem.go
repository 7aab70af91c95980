package sim

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// ModemOptions describe a modem and the SIM in it. What is left empty is made
// up, different for each modem.
type ModemOptions struct {
	Name    string
	IMEI    string
	Profile Profile // zero: Generic
	// Warm is a modem that has been on for long: nothing of its start is seen.
	Warm bool
	// Away is how long its ports vanish at a restart; 0: as its family's do,
	// negative: they stay.
	Away time.Duration

	NoSIM  bool
	ICCID  string
	IMSI   string
	Number string // of the SIM
	PIN    string // asked for at power-on; "": none
	PUK    string // "": 12345678
	NoSMSC bool   // the SIM knows no service centre

	SIMSlots int           // messages that the SIM stores; 0: 30
	MESlots  int           // messages that the modem stores; 0: as its family does
	Attach   time.Duration // from power-on or radio-on to registration
	FirstMR  byte          // TP-MR before the first message

	Trace io.Writer // gets the dialogue, → and ←; nil: nobody
}

func (o ModemOptions) withDefaults(index int, net NetworkOptions) ModemOptions {
	or := func(s *string, format string, args ...any) {
		if *s == "" {
			*s = fmt.Sprintf(format, args...)
		}
	}
	or(&o.Name, "sim%d", index+1)
	or(&o.IMEI, "%s", luhn(fmt.Sprintf("35%012d", 209_900_000_000+int64(index))))
	or(&o.ICCID, "%s", luhn(fmt.Sprintf("89%s01%012d", net.Country, index+1)))
	or(&o.IMSI, "26201%010d", index+1)
	or(&o.Number, "+%s1555%07d", net.Country, index+1)
	or(&o.PUK, "12345678")
	if o.SIMSlots == 0 {
		o.SIMSlots = 30
	}
	if o.Profile.Manufacturer == "" {
		o.Profile = Generic
	}
	for _, size := range []int{o.Profile.MESlots, 50} {
		if o.MESlots == 0 {
			o.MESlots = size
		}
	}
	if o.Away == 0 {
		o.Away = o.Profile.Away
	}
	return o
}

// luhn appends the check digit that ends IMEI and ICCID.
func luhn(digits string) string {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return digits + string(rune('0'+(10-sum%10)%10))
}

// Modem is one simulated modem: the device, the SIM in it, and the ttys that
// it shows.
type Modem struct {
	net     *Network
	name    string
	imei    string
	profile Profile
	attach  time.Duration
	far     time.Duration // how long the ports vanish at a restart
	trace   io.Writer

	mu   sync.Mutex
	cond *sync.Cond // of mu: the port, the faults or the output changed

	life     int // grows at each reset and unplug: what an earlier life planned does not happen
	plugged  bool
	cfun     int
	attached bool
	flooding bool
	card     *card // nil: none
	pulled   *card // the SIM that was taken out
	me       store
	mr       byte
	radio    Radio
	shown    [3]int // registration as the last URC told it, CS, PS, EPS
	ack      int    // which PDU given out waits for +CNMA, 0: none
	acks     int    // how many there were
	session  *USSD  // an open session that waits for a reply
	ringing  int    // grows with every call that begins or ends; odd: it rings
	clockOff time.Duration
	faults   Faults
	stats    Stats

	cold    bool      // the next start is seen
	born    time.Time // when the firmware started
	ready   time.Time // from when on SMS commands are obeyed
	pinBusy time.Time // until when +CPIN? is put off
	silent  bool      // ^CURC=0
	rawUSSD bool      // ^USSDMODE=0
	chatter int       // grows when the chatter stops: what was planned is not said
	stowed  time.Time // when a message was stored last
	lists   int       // +CMGL since the firmware started

	ttys []*tty
	main *tty // where what comes unasked is said; ^PORTSEL may move it
	tty  *tty // the one that is being served just now
}

// Stats count what happened on a modem's tty.
type Stats struct {
	Lines    int // command lines obeyed
	Sends    int // PDUs handed in for sending with Ctrl-Z
	Overlaps int // times that something was written while a command was under way
	Dropped  int // bytes that came before a prompt and were lost
	PINTries int // PINs and PUKs entered
	Cures    int // hangs that ended because something was done
}

// Radio is what the modem's radio finds.
type Radio struct {
	CS, PS, EPS int    // registration as in +CREG, +CGREG, +CEREG: 1 home, 5 roaming, 2 searching, 3 denied …
	RSSI        int    // +CSQ: 0 to 31, 99 unknown
	BER         int    //
	RSRQ, RSRP  int    // +CESQ
	SINR        int    // dB
	Operator    string // +COPS, long form
	Short       string
	Numeric     string
	AcT         int // 0 GSM, 2 UTRAN, 7 LTE
	LAC, Cell   string
}

// hears sets the strength of the signal, and the rest of it as it mostly goes along.
func (r *Radio) hears(rssi int) {
	r.RSSI = rssi
	if rssi == 99 {
		r.RSRP, r.RSRQ = 255, 255
		return
	}
	r.RSRP, r.SINR, r.RSRQ = 2*rssi+8, rssi-9, min(max(rssi-1, 6), 30)
}

func newModem(n *Network, o ModemOptions) *Modem {
	m := &Modem{
		net: n, name: o.Name, imei: o.IMEI, profile: o.Profile, attach: o.Attach, far: o.Away, trace: o.Trace,
		plugged: true, cold: !o.Warm, cfun: 1, mr: o.FirstMR,
		me: make(store, o.MESlots),
		radio: Radio{CS: 1, PS: 1, EPS: 1, RSSI: 21, BER: 99, RSRQ: 20, RSRP: 50, SINR: 12,
			Operator: "Simulated Net", Short: "SimNet", Numeric: "26201", AcT: o.Profile.AcT, LAC: "1A2B", Cell: "01C3D4E5"},
	}
	if o.Profile.AcT < 7 {
		m.radio.EPS = 0
	}
	for _, i := range o.Profile.USB.Interfaces {
		if i.Role != RoleNone {
			m.ttys = append(m.ttys, &tty{Interface: i})
		}
	}
	m.tty = m.at()
	m.cond = sync.NewCond(&m.mu)
	if !o.NoSIM {
		m.card = &card{iccid: o.ICCID, imsi: o.IMSI, number: n.normal(o.Number), pin: o.PIN, puk: o.PUK,
			pinTries: 3, pukTries: 10, slots: make(store, o.SIMSlots)}
		if !o.NoSMSC {
			m.card.smsc = n.opt.SMSC
		}
	}
	return m
}

// Name returns the modem's name.
func (m *Modem) Name() string { return m.name }

// IMEI returns the modem's serial number.
func (m *Modem) IMEI() string { return m.imei }

// Number returns the number of the SIM, "" without a SIM.
func (m *Modem) Number() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.card == nil {
		return ""
	}
	return m.card.number
}

// Stats returns what was counted so far.
func (m *Modem) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// at is the tty that takes commands.
func (m *Modem) at() *tty { return m.ttyOf(m.profile.AT()) }

// ttyOf returns the tty of a USB interface, nil if that has none.
func (m *Modem) ttyOf(number int) *tty {
	for _, t := range m.ttys {
		if t.Number == number {
			return t
		}
	}
	return nil
}

// serve makes t the tty that is served until the function that it returns is
// called. Called with m.mu held.
func (m *Modem) serve(t *tty) (done func()) {
	before := m.tty
	m.tty = t
	return func() { m.tty = before }
}

// after has do called with m.mu held, d from now, unless the modem is reset
// or unplugged before. The same tty is served then. Called with m.mu held.
func (m *Modem) after(d time.Duration, do func()) {
	life, t := m.life, m.tty
	m.net.clock.after(d, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.life == life {
			defer m.serve(t)()
			do()
			m.flush()
		}
	})
}

// powerOn starts the modem, as plugging it in does.
func (m *Modem) powerOn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boot()
}

// boot puts everything volatile to its state after power-on. Called with m.mu held.
func (m *Modem) boot() {
	m.life++
	m.cfun = 1
	m.attached = false
	m.flooding = false
	m.silent, m.rawUSSD = false, false
	m.lists = 0
	m.session = nil
	m.ringing += m.ringing % 2
	m.unacknowledged()
	if m.card != nil {
		m.card.locked = m.card.pin != ""
	}
	for _, t := range m.ttys {
		t.interpreter = interpreter{settings: m.defaults()}
		t.setStores(m.profile.DefaultStore)
	}
	m.main = m.at()
	m.tty = m.main
	m.shown = [3]int{}
	m.born, m.ready, m.pinBusy = time.Now(), time.Time{}, time.Time{}
	if m.cold {
		m.ready = m.born.Add(m.profile.SMSAfter)
		m.noises(m.profile.Boot)
	}
	m.cold = true
	m.noises(m.profile.Chatter)
	m.search()
	m.startFlood()
	m.tell()
}

// tell wakes whoever waits for a change of the network.
func (m *Modem) tell() {
	m.net.mu.Lock()
	m.net.tell()
	m.net.mu.Unlock()
}

// search begins to look for the network.
func (m *Modem) search() {
	m.attached = false
	if m.attach > 0 {
		m.after(m.attach, func() {
			m.attached = true
			m.registrationChanged()
		})
	} else {
		m.attached = true
	}
	m.registrationChanged()
}

// registration returns +CREG, +CGREG and +CEREG as they are now.
func (m *Modem) registration() [3]int {
	switch {
	case !m.plugged || m.cfun != 1 || m.card == nil || m.card.locked || m.card.dead() || m.faults.Hang == HangRadio:
		return [3]int{}
	case !m.attached:
		return [3]int{2, 2, 2}
	case (m.profile.LTEOnly || m.faults.LTEOnly) && m.radio.AcT >= 7 && (m.radio.CS == 1 || m.radio.CS == 5):
		return [3]int{2, m.radio.PS, m.radio.EPS}
	}
	return [3]int{m.radio.CS, m.radio.PS, m.radio.EPS}
}

// reachable tells whether the network can carry messages to and from the modem.
func (m *Modem) reachable() bool {
	for _, stat := range m.registration() {
		if stat == 1 || stat == 5 || stat == 6 || stat == 7 {
			return true
		}
	}
	return false
}

// registrationChanged tells whoever asked for it, and the SMSC.
func (m *Modem) registrationChanged() {
	now := m.registration()
	s := &m.main.settings
	for i, u := range []struct {
		name string
		mode int
	}{{"+CREG", s.creg}, {"+CGREG", s.cgreg}, {"+CEREG", s.cereg}} {
		if now[i] != m.shown[i] && u.mode > 0 {
			m.unsolicited(fmt.Sprintf("%s: %d%s", u.name, now[i], m.cell(u.mode, now[i])))
		}
	}
	m.shown = now
	m.tell()
	if m.reachable() {
		m.net.alert(m.card.number)
	}
}

// cell is the tail of a registration line in mode 2.
func (m *Modem) cell(mode, stat int) string {
	if mode < 2 || stat != 1 && stat != 5 && stat != 6 && stat != 7 {
		return ""
	}
	return fmt.Sprintf(`,"%s","%s",%d`, m.radio.LAC, m.radio.Cell, m.radio.AcT)
}

// SetRadio changes what the radio finds; f runs with the modem held still.
func (m *Modem) SetRadio(f func(*Radio)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.radio)
	m.registrationChanged()
	m.flush()
}

// SetRegistration sets all three domains: 1 home, 5 roaming, 2 searching,
// 3 denied, 0 none.
func (m *Modem) SetRegistration(stat int) {
	m.SetRadio(func(r *Radio) { r.CS, r.PS, r.EPS = stat, stat, stat })
}

// SetSlots changes how many messages fit into the SIM and the modem. Messages
// in slots that go are gone.
func (m *Modem) SetSlots(sim, me int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.me = m.me.resized(me)
	if m.card != nil {
		m.card.slots = m.card.slots.resized(sim)
	}
	m.tell()
}

// Stored returns the PDUs in one of the stores "SM" and "ME".
func (m *Modem) Stored(name string) [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all [][]byte
	if s := m.storeNamed(name); s != nil {
		for _, slot := range s {
			if slot != nil {
				all = append(all, append([]byte(nil), slot.pdu...))
			}
		}
	}
	return all
}

// Inject has the network deliver a raw PDU, with the SMSC address in front.
func (m *Modem) Inject(raw []byte) { m.net.Inject(m.Number(), raw) }

// say traces a piece of the dialogue.
func (m *Modem) say(arrow string, b []byte) {
	if m.trace != nil {
		fmt.Fprintf(m.trace, "%s %s %s %s\n", time.Now().Format("15:04:05.000"), m.name, arrow, visible(b))
	}
}

var controls = strings.NewReplacer("\r", "␍", "\n", "␊", "\x1a", "␚", "\x1b", "␛")

func visible(b []byte) string { return controls.Replace(string(b)) }
