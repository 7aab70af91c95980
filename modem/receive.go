package modem

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatewayd/failpoint"
	"gatewayd/modem/at"
	"gatewayd/sms"
)

const (
	retryInbox = 10 * time.Second // while Inbox refuses
	sweepEvery = 5 * time.Minute  // oftener hangs old modems
)

// place is where the modem keeps a message or report.
type place struct {
	storage string
	index   int
}

// announcement is a place that waits to be read.
type announcement struct {
	place
	tries  int
	looked bool // there was nothing
}

// receiving is what a session knows of the storages.
type receiving struct {
	again     []announcement // to be read once more at againAt
	againAt   time.Time
	deletions []place        // stored durably, to be deleted when nothing is more urgent
	count     bool           // deletions change how full the storage is: ask behind them
	offered   []string       // storages that can be read
	searched  bool           // all that are offered were swept
	before    string         // where messages went until ours was chosen, not swept yet
	others    []string       // besides ours, where something was found or announced
	own       map[string]int // messages in a storage that were not received: left alone
	failures  int            // of sweeps, in a row

	indicators uint64 // of +CIEV that have become 1 and are not known, a bit each
	smsFull    int    // the indicator that says that the storage is full; -1: none does

	cmee, echoing bool // errors have codes, as asked; it echoes, though asked not to
	echoes        int
}

// direct is a PDU that came by itself and is nowhere but here until stored.
type direct struct {
	pdu     string
	session int // of the port: only there an acknowledgement is waited for
}

// unsolicited handles what comes without being asked for, in the order of the
// wire. It runs within other commands and must not run one itself.
func (m *Modem) unsolicited(u at.URC) {
	name, rest, ok := strings.Cut(u.Line, ":")
	if !ok {
		m.selfReport(u.Line)
		return
	}
	rest = strings.TrimSpace(rest)
	switch name {
	case "+CMTI", "+CDSI":
		m.announce(rest)
	case "+CMT", "+CDS", "+CLASS0":
		m.arrived(u.PDU)
	case "+CIEV":
		m.indicated(rest)
	case "+CMGS":
		m.late(u.Line)
	case "+CREG", "+CGREG", "+CEREG":
		m.registrationChanged(name, rest)
	case "+CPIN":
		if m.up.Load() && strings.Trim(rest, `"`) != "READY" {
			m.sick = &trouble{state: sms.Healing, reason: "The SIM is no longer ready.", advice: "Check that it sits firmly in the modem."}
		}
	case "+CUSD":
		m.saidUSSD(rest)
	case "+CRING":
		m.rings()
	case "+CLIP":
		m.callFrom(rest)
	case "MISSED_CALL":
		m.callMissed(rest)
	case "^CEND":
		m.callEnded()
	case "^SMMEMFULL":
		m.sweepDue = true
	case "^SYSSTART", "^SHUTDOWN":
		m.selfReport(name)
	default:
		m.log.Debug("unsolicited", "line", u.Line)
	}
}

// selfReport reads what modems say of themselves without a prefix.
func (m *Modem) selfReport(line string) {
	switch line {
	case "RDY", "^SYSSTART", "^SHUTDOWN", "NORMAL POWER DOWN", "POWERED DOWN":
		if m.up.Load() { // every setting is lost
			m.sick = &trouble{state: sms.Healing, reason: "The modem restarted by itself.",
				advice: "If this goes on, check its power supply: a modem draws 2 A in bursts.", retry: time.Second}
		}
	case "RING":
		m.rings()
	case "NO CARRIER":
		m.callEnded()
	case "SMS DONE", "SMS Ready":
		m.sweepDue = m.up.Load()
	default:
		m.log.Debug("unsolicited", "line", line)
	}
}

// announce notes `"SM",3`. The same one may be announced twice, and some
// modems give an index of -1: then the storage is read whole.
func (m *Modem) announce(rest string) {
	storage, number, ok := strings.Cut(rest, ",")
	index, err := strconv.Atoi(strings.TrimSpace(number))
	if !ok || err != nil || index < 0 {
		m.sweepDue = true
		return
	}
	a := announcement{place: place{strings.Trim(strings.TrimSpace(storage), `"`), index}}
	if a.storage != m.storage && !slices.Contains(m.rx.others, a.storage) {
		m.rx.others = append(m.rx.others, a.storage)
	}
	// Something else may lie there by now (TP-PID 41 to 47 replace): it is read
	// before it is deleted.
	m.rx.deletions = slices.DeleteFunc(m.rx.deletions, func(p place) bool { return p == a.place })
	if !slices.ContainsFunc(m.announced, func(b announcement) bool { return a.place == b.place }) {
		m.announced = append(m.announced, a)
	}
}

// arrived stores a PDU that came by itself, at once: there is no second copy.
func (m *Modem) arrived(pdu string) {
	if pdu == "" {
		m.log.Warn("a message was announced and did not come")
		m.sweepDue, m.checkAt = true, time.Now() // it may have forgotten PDU mode
		return
	}
	if len(m.direct) > 0 { // in order
		m.direct = append(m.direct, direct{pdu, m.sessions})
		return
	}
	if !m.store(pdu, "", 0) {
		m.direct = append(m.direct, direct{pdu, m.sessions})
		return
	}
	m.owe()
}

// owe notes that the network waits for an acknowledgement, if it is ours to give.
func (m *Modem) owe() {
	if m.csms == 1 {
		m.acks++
	}
}

func (m *Modem) retryDirect() {
	for len(m.direct) > 0 && m.store(m.direct[0].pdu, "", 0) {
		if m.direct[0].session == m.sessions {
			m.owe()
		}
		m.direct = m.direct[1:]
	}
}

// store makes a PDU durable. Only after true may it be deleted or acknowledged.
func (m *Modem) store(pdu, storage string, index int) bool {
	raw, err := hex.DecodeString(pdu)
	if err != nil { // the AT layer lets nothing else through
		m.log.Error("a received PDU is not hex", "error", err)
		return true
	}
	failpoint.Hit("modem.before-store")
	err = m.o.Inbox.Receive(sms.Incoming{
		Modem: m.o.Name, ICCID: m.sim(), Number: m.now.Number, PDU: raw, Storage: storage, Index: index,
	})
	if err != nil {
		if m.blocked == nil {
			m.log.Error("a received message can't be stored; SIM and network hold it", "error", err)
		}
		m.blocked, m.sweepDue = err, true
		m.retryAt = time.Now().Add(retryInbox)
		return false
	}
	failpoint.Hit("modem.stored")
	m.blocked = nil
	if isReport(raw) {
		m.count.reports.Add(1)
		m.meters.reports.Inc()
	} else {
		m.count.received.Add(1)
		m.meters.messages.Inc()
		m.deaf = false
		m.healed(provenByMessage)
	}
	return true
}

// sim names the SIM towards the Inbox. What a modem hands over before it has said
// who it is, because the last run had asked it to, was for the SIM of then.
func (m *Modem) sim() string {
	if m.now.ICCID == "" && m.now.IMSI == "" && m.now.IMEI == "" && m.o.LastSIM != "" {
		return m.o.LastSIM
	}
	return SIMOf(m.now)
}

// SIMOf names the SIM in a modem: by its ICCID, or what stands for it where the
// modem tells none.
func SIMOf(m sms.Modem) string {
	switch {
	case m.ICCID != "":
		return m.ICCID
	case m.IMSI != "":
		return "imsi:" + m.IMSI
	}
	return "imei:" + m.IMEI
}

// isReport looks at TP-MTI behind the service centre's address.
func isReport(raw []byte) bool {
	if len(raw) == 0 || int(raw[0])+1 >= len(raw) {
		return false
	}
	return raw[int(raw[0])+1]&3 == 2
}

// acknowledge sends one CNMA, in the form that this modem takes. A modem that
// got none in time switches its announcements off, so those are checked.
func (m *Modem) acknowledge(ctx context.Context) error {
	m.acks--
	forms := []string{"AT+CNMA", "AT+CNMA=0", "AT+CNMA=1"}
	if m.ackForm != "" {
		forms = []string{m.ackForm}
	}
	for _, form := range forms {
		failpoint.Hit("modem.before-cnma")
		_, err := m.port.Do(ctx, at.Command{Line: form, Timeout: 5 * time.Second})
		failpoint.Hit("modem.after-cnma")
		e := answer(err)
		switch {
		case err == nil:
			m.ackForm = form
			return nil
		case e == nil:
			m.checkAt = time.Now()
			return err
		case e.Set == "CMS" && e.Code == 340: // it wanted none, or it came too late
			m.checkAt = time.Now()
			return nil
		}
	}
	m.checkAt = time.Now()
	return nil
}

// fetch reads and stores the message that was announced first. It is deleted
// later: what waits to be read or sent goes first.
func (m *Modem) fetch(ctx context.Context) error {
	a := m.announced[0]
	failpoint.Hit("modem.announced")
	m.announced = m.announced[1:] // announced again from now on, it is read again
	if err := m.read(ctx, a.storage); err != nil {
		return m.unreadable(a, err)
	}
	lines, err := m.ask(ctx, at.Command{Line: fmt.Sprintf("AT+CMGR=%d", a.index), Prefix: "+CMGR", PDU: true, Timeout: 10 * time.Second})
	if code := cmeCode(err); err != nil && code != 21 && code != 22 {
		return m.unreadable(a, err)
	}
	var s slot
	if found := stored(lines, "+CMGR"); len(found) > 0 {
		s = found[0]
	}
	switch {
	case s.text:
		m.forgot()
	case s.own:
	case s.pdu == "":
		m.lookAgain(a)
	case m.store(s.pdu, a.storage, a.index):
		m.rx.deletions = append(m.rx.deletions, a.place)
	default:
		m.announced = append([]announcement{a}, m.announced...)
	}
	return nil
}

// lookAgain reads a place once more that was announced and is empty: it was read
// before, most likely, but some modems announce what they have yet to store.
func (m *Modem) lookAgain(a announcement) {
	if a.looked {
		return
	}
	a.looked = true
	m.rx.again, m.rx.againAt = append(m.rx.again, a), time.Now().Add(time.Second)
}

// unreadable tries an announced message once more, then leaves it to the sweep.
func (m *Modem) unreadable(a announcement, err error) error {
	if a.tries++; a.tries < 2 && answer(err) != nil {
		m.announced = append([]announcement{a}, m.announced...)
		return err
	}
	m.sweepDue = true
	m.retryAt = time.Now().Add(retryInbox)
	return err
}

// read selects the storage that CMGR, CMGL and CMGD work on.
func (m *Modem) read(ctx context.Context, storage string) error {
	if storage == "" || storage == m.reading {
		return nil
	}
	_, err := m.selectStorage(ctx, storage)
	return err
}

func (m *Modem) selectStorage(ctx context.Context, storage string) ([]string, error) {
	lines, err := m.port.Do(ctx, at.Command{Line: `AT+CPMS="` + storage + `"`, Prefix: "+CPMS", Lenient: true, Timeout: 5 * time.Second})
	if answer(err) != nil { // some want all three
		line := fmt.Sprintf(`AT+CPMS="%s","%s","%[2]s"`, storage, m.storage)
		lines, err = m.port.Do(ctx, at.Command{Line: line, Prefix: "+CPMS", Lenient: true, Timeout: 5 * time.Second})
	}
	if err != nil {
		return nil, err
	}
	m.reading = storage
	if storage == m.storage {
		m.fill(lines)
	}
	return lines, nil
}

// remove deletes a message that is stored durably. If the answer is lost the
// message is found again, and the Inbox knows it.
func (m *Modem) remove(ctx context.Context, storage string, index int) error {
	failpoint.Hit("modem.before-cmgd")
	_, err := m.port.Do(ctx, at.Command{Line: fmt.Sprintf("AT+CMGD=%d", index), Timeout: 10 * time.Second})
	failpoint.Hit("modem.after-cmgd")
	if err != nil && cmeCode(err) != 21 && cmeCode(err) != 22 {
		m.log.Debug("delete", "storage", storage, "index", index, "error", err)
		if answer(err) != nil {
			return nil
		}
		return err
	}
	if err := m.o.Inbox.Deleted(m.sim(), storage, index); err != nil {
		m.log.Error("a deletion could not be booked", "storage", storage, "index", index, "error", err)
	}
	failpoint.Hit("modem.deleted")
	return nil
}

// errNoStorage says that no storage for received messages could be chosen.
var errNoStorage = errors.New("no storage for received messages")
