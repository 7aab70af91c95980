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

	"github.com/warthog618/modem/info"

	"gatewayd/modem/at"
	"gatewayd/sms"
)

const (
	retryInbox = 10 * time.Second // while Inbox refuses
	sweepEvery = 5 * time.Minute  // oftener hangs old modems
)

// announcement is a stored message or report that waits to be read.
type announcement struct {
	storage string
	index   int
	tries   int
}

// direct is a PDU that came by itself and is nowhere but here until stored.
type direct struct{ pdu string }

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
	case "+CMT", "+CDS":
		m.arrived(u.PDU)
	case "+CMGS":
		m.late(u.Line)
	case "+CREG", "+CGREG", "+CEREG":
		m.registrationChanged(name, rest)
	case "+CPIN":
		if m.up && strings.Trim(rest, `"`) != "READY" {
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
		if m.up { // every setting is lost
			m.sick = &trouble{state: sms.Healing, reason: "The modem restarted by itself.",
				advice: "If this goes on, check its power supply: a modem draws 2 A in bursts.", retry: time.Second}
		}
	case "RING":
		m.rings()
	case "NO CARRIER":
		m.callEnded()
	case "SMS DONE", "SMS Ready":
		m.sweepDue = m.up
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
	a := announcement{storage: strings.Trim(strings.TrimSpace(storage), `"`), index: index}
	if !slices.ContainsFunc(m.announced, func(b announcement) bool { return a.storage == b.storage && a.index == b.index }) {
		m.announced = append(m.announced, a)
	}
}

// arrived stores a PDU that came by itself, at once: there is no second copy.
func (m *Modem) arrived(pdu string) {
	if pdu == "" {
		m.log.Warn("a message was announced and did not come")
		m.sweepDue = true
		if m.csms == 1 {
			m.checkAt = time.Now()
		}
		return
	}
	if len(m.direct) > 0 { // in order
		m.direct = append(m.direct, direct{pdu})
		return
	}
	if !m.store(pdu, "", 0) {
		m.direct = append(m.direct, direct{pdu})
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
		m.direct = m.direct[1:]
		m.owe()
	}
}

// store makes a PDU durable. Only after true may it be deleted or acknowledged.
func (m *Modem) store(pdu, storage string, index int) bool {
	raw, err := hex.DecodeString(pdu)
	if err != nil { // the AT layer lets nothing else through
		m.log.Error("a received PDU is not hex", "error", err)
		return true
	}
	err = m.o.Inbox.Receive(sms.Incoming{
		Modem: m.o.Name, ICCID: m.sim(), Number: m.now.Number, PDU: raw, Storage: storage, Index: index, At: time.Now(),
	})
	if err != nil {
		if m.blocked == nil {
			m.log.Error("a received message can't be stored; SIM and network hold it", "error", err)
		}
		m.blocked, m.sweepDue = err, true
		m.retryAt = time.Now().Add(retryInbox)
		return false
	}
	m.blocked = nil
	if isReport(raw) {
		m.count.reports.Add(1)
		m.meters.reports.Inc()
	} else {
		m.count.received.Add(1)
		m.meters.messages.Inc()
	}
	return true
}

// sim names the SIM towards the Inbox.
func (m *Modem) sim() string { return SIMOf(m.now) }

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
		_, err := m.port.Do(ctx, at.Command{Line: form, Timeout: 5 * time.Second})
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

// fetch reads, stores and deletes the message that was announced first.
func (m *Modem) fetch(ctx context.Context) error {
	a := m.announced[0] // stays the first: URCs only append
	if err := m.read(ctx, a.storage); err != nil {
		return m.unreadable(err)
	}
	lines, err := m.ask(ctx, at.Command{Line: fmt.Sprintf("AT+CMGR=%d", a.index), Prefix: "+CMGR", PDU: true, Timeout: 10 * time.Second})
	if err != nil {
		switch cmeCode(err) {
		case 21, 22: // nothing there: read before, or replaced
			m.announced = m.announced[1:]
			return nil
		}
		return m.unreadable(err)
	}
	found := stored(lines, "+CMGR")
	if len(found) > 0 && found[0].pdu != "" && !found[0].own {
		if !m.store(found[0].pdu, a.storage, a.index) {
			return nil
		}
		m.announced = m.announced[1:]
		return m.remove(ctx, a.storage, a.index)
	}
	m.announced = m.announced[1:]
	return nil
}

// unreadable tries an announced message once more, then leaves it to the sweep.
func (m *Modem) unreadable(err error) error {
	if m.announced[0].tries++; m.announced[0].tries >= 2 || answer(err) == nil {
		m.announced = m.announced[1:]
		m.sweepDue = true
		m.retryAt = time.Now().Add(retryInbox)
	}
	return err
}

// read selects the storage that CMGR, CMGL and CMGD work on.
func (m *Modem) read(ctx context.Context, storage string) error {
	if storage == "" || storage == m.reading {
		return nil
	}
	lines, err := m.port.Do(ctx, at.Command{Line: `AT+CPMS="` + storage + `"`, Prefix: "+CPMS", Lenient: true, Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	m.reading = storage
	if storage == m.storage {
		m.fill(lines)
	}
	return nil
}

// remove deletes a message that is stored durably. If the answer is lost the
// message is found again, and the Inbox knows it.
func (m *Modem) remove(ctx context.Context, storage string, index int) error {
	_, err := m.port.Do(ctx, at.Command{Line: fmt.Sprintf("AT+CMGD=%d", index), Timeout: 10 * time.Second})
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
	return nil
}

// slot is one stored message.
type slot struct {
	index int
	own   bool // written or sent by somebody on this SIM: stat 2 and 3
	pdu   string
}

// stored reads the answers of +CMGL (index first) and +CMGR (no index): header
// lines, each followed by its PDU unless the slot is empty.
func stored(lines []string, command string) []slot {
	var slots []slot
	for _, line := range lines {
		if !info.HasPrefix(line, command) {
			if n := len(slots); n > 0 && slots[n-1].pdu == "" {
				slots[n-1].pdu = line
			}
			continue
		}
		fields := strings.Split(info.TrimPrefix(line, command), ",")
		s := slot{}
		if command == "+CMGL" {
			s.index, _ = strconv.Atoi(strings.TrimSpace(fields[0]))
			fields = fields[1:]
		}
		if len(fields) > 0 {
			stat := strings.Trim(strings.TrimSpace(fields[0]), `"`)
			s.own = stat == "2" || stat == "3" || strings.HasPrefix(stat, "STO")
		}
		slots = append(slots, s)
	}
	return slots
}

// sweep reads the whole storage: what came while nobody listened, what was
// announced wrongly, what could not be deleted.
func (m *Modem) sweep(ctx context.Context) error {
	m.sweepDue, m.sweepAt = false, time.Now().Add(sweepEvery)
	storages := []string{m.storage}
	if m.reportMem != "" && m.reportMem != m.storage {
		storages = []string{m.reportMem, m.storage} // ends where CMTI reads
	}
	for _, storage := range storages {
		if err := m.sweepStorage(ctx, storage); err != nil {
			if answer(err) == nil {
				return err
			}
			m.log.Debug("sweep", "storage", storage, "error", err)
		}
	}
	return nil
}

func (m *Modem) sweepStorage(ctx context.Context, storage string) error {
	if err := m.read(ctx, storage); err != nil {
		return err
	}
	lines, err := m.ask(ctx, at.Command{Line: "AT+CMGL=4", Prefix: "+CMGL", PDU: true, Timeout: 2 * time.Minute})
	if err != nil {
		return err
	}
	for _, s := range stored(lines, "+CMGL") {
		if s.own || s.pdu == "" {
			continue
		}
		if !m.store(s.pdu, storage, s.index) {
			return nil // again at retryAt
		}
		if err := m.remove(ctx, storage, s.index); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if storage != m.storage {
		return nil
	}
	if len(m.direct) == 0 {
		m.blocked = nil // nothing waits any longer
	}
	lines, err = m.ask(ctx, at.Command{Line: "AT+CPMS?", Prefix: "+CPMS", Lenient: true, Timeout: 5 * time.Second})
	if err == nil {
		m.fill(lines)
	}
	return err
}

// fill reads how full the storage is from an answer of +CPMS, with names in
// it or without: `"SM",1,50,…` or `1,50,…`.
func (m *Modem) fill(lines []string) {
	for _, line := range lines {
		var numbers []int
		for _, f := range strings.Split(info.TrimPrefix(line, "+CPMS"), ",") {
			if n, err := strconv.Atoi(strings.TrimSpace(f)); err == nil {
				numbers = append(numbers, n)
			}
			if len(numbers) == 2 {
				m.now.Storage = &sms.Storage{Name: m.storage, Used: numbers[0], Total: numbers[1]}
				m.publish()
				return
			}
		}
	}
}

// errNoStorage says that no storage for received messages could be chosen.
var errNoStorage = errors.New("no storage for received messages")
