package modem

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warthog618/modem/info"

	"gatewayd/failpoint"
	"gatewayd/modem/at"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// nearlyFull is how many of a hundred places are taken when people should know.
const nearlyFull = 60

// slot is one stored message.
type slot struct {
	index int
	own   bool // written or sent by somebody on this SIM: stat 2 and 3
	text  bool // given as text: the modem is not in PDU mode
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
			s.own = stat == "2" || stat == "3"
			s.text = strings.HasPrefix(stat, "STO") || strings.HasPrefix(stat, "REC")
		}
		slots = append(slots, s)
	}
	return slots
}

// sweep reads whole storages: what came while nobody listened, what was
// announced wrongly, what could not be deleted. The slow timer's first reads all
// that the modem has: something may have been put elsewhere while nobody listened.
func (m *Modem) sweep(ctx context.Context, slow bool) error {
	m.sweepDue, m.sweepAt = false, time.Now().Add(sweepEvery)
	storages := slices.Clone(m.rx.others)
	if b := m.rx.before; slices.Contains(m.rx.offered, b) && !slices.Contains(storages, b) {
		storages = append(storages, b) // what came since the modem started is there
	}
	m.rx.before = ""
	if m.reportMem != "" && !slices.Contains(storages, m.reportMem) {
		storages = append(storages, m.reportMem)
	}
	if slow && !m.rx.searched {
		m.rx.searched = true
		for _, name := range m.rx.offered {
			if !slices.Contains(storages, name) {
				storages = append(storages, name)
			}
		}
	}
	storages = slices.DeleteFunc(storages, func(name string) bool { return name == m.storage })
	for _, storage := range append(storages, m.storage) { // ends where CMTI reads
		err := m.sweepStorage(ctx, storage)
		switch {
		case err == nil:
			continue
		case answer(err) == nil:
			m.rx.failures++
			return err
		}
		m.log.Debug("sweep", "storage", storage, "error", err)
		if storage == m.storage {
			if m.rx.failures++; m.rx.failures <= 3 { // the SIM may be busy
				m.sweepAt = time.Now().Add(retryInbox)
			}
			return nil
		}
	}
	m.rx.failures = 0
	return nil
}

func (m *Modem) firstSweep(ctx context.Context) (*trouble, error) {
	before := m.port.Echoes()
	err := m.findOthers(ctx)
	if err == nil {
		err = m.sweep(ctx, false)
	}
	m.rx.echoing, m.rx.echoes = m.port.Echoes() > before, m.port.Echoes()
	return nil, err
}

// findOthers finds the storages besides ours that hold something. Where messages
// went before is known only until ours is chosen: a run that was killed between
// that and its sweep leaves them to the next one.
func (m *Modem) findOthers(ctx context.Context) error {
	for _, name := range m.rx.offered {
		if name == m.storage || name == m.rx.before || slices.Contains(m.rx.others, name) {
			continue
		}
		lines, err := m.selectStorage(ctx, name)
		switch {
		case err == nil && used(lines) > 0:
			m.rx.others = append(m.rx.others, name)
		case err != nil && answer(err) == nil:
			return err
		}
	}
	return nil
}

// used is how many messages a storage holds, from an answer of +CPMS.
func used(lines []string) int {
	for _, line := range lines {
		for _, f := range strings.Split(info.TrimPrefix(line, "+CPMS"), ",") {
			if n, err := strconv.Atoi(strings.TrimSpace(f)); err == nil {
				return n
			}
		}
	}
	return 0
}

// sweepStorage stores everything that was received into a storage, in the order
// in which the service centre got it.
func (m *Modem) sweepStorage(ctx context.Context, storage string) error {
	failpoint.Hit("modem.before-sweep")
	if err := m.read(ctx, storage); err != nil {
		return err
	}
	lines, err := m.ask(ctx, at.Command{Line: "AT+CMGL=4", Prefix: "+CMGL", PDU: true, Timeout: 2 * time.Minute})
	if err != nil {
		return err
	}
	found := stored(lines, "+CMGL")
	if slices.ContainsFunc(found, func(s slot) bool { return s.text }) {
		m.forgot()
		return nil
	}
	all := len(found)
	found = slices.DeleteFunc(found, func(s slot) bool { return s.own })
	if m.rx.own == nil {
		m.rx.own = map[string]int{}
	}
	m.rx.own[storage] = all - len(found)
	found = slices.DeleteFunc(found, func(s slot) bool { return s.pdu == "" })
	slices.SortStableFunc(found, func(a, b slot) int { return got(a.pdu).Compare(got(b.pdu)) })
	for _, s := range found {
		p := place{storage, s.index}
		if slices.Contains(m.rx.deletions, p) {
			continue
		}
		if !m.store(s.pdu, storage, s.index) {
			return nil // again at retryAt
		}
		m.rx.deletions = append(m.rx.deletions, p)
		m.announced = slices.DeleteFunc(m.announced, func(a announcement) bool { return a.place == p })
	}
	failpoint.Hit("modem.swept")
	if storage != m.storage {
		if len(found) > 0 && !slices.Contains(m.rx.others, storage) {
			m.rx.others = append(m.rx.others, storage)
		}
		return nil
	}
	if len(m.direct) == 0 {
		m.blocked = nil // nothing waits any longer
	}
	m.rx.count = len(m.rx.deletions) > 0
	return m.measure(ctx)
}

// got is when the service centre got what a PDU tells of; zero if it can't be
// told.
func got(hexPDU string) time.Time {
	raw, err := hex.DecodeString(hexPDU)
	if err != nil {
		return time.Time{}
	}
	deliver, report, err := pdu.Decode(raw)
	switch {
	case err != nil:
		return time.Time{}
	case deliver != nil:
		return deliver.SCTS
	}
	return report.SCTS
}

// tidyDue is when tidy has something to do, zero if nothing waits.
func (m *Modem) tidyDue() time.Time {
	if len(m.rx.deletions) > 0 || m.rx.count || m.rx.indicators != 0 {
		return time.Unix(0, 0)
	}
	return m.rx.againAt
}

// tidy does one thing that can wait: a part to be sent may go before the next.
func (m *Modem) tidy(ctx context.Context) error {
	switch {
	case !m.rx.againAt.IsZero() && !time.Now().Before(m.rx.againAt):
		m.announced = append(m.announced, m.rx.again...)
		m.rx.again, m.rx.againAt = nil, time.Time{}
		return nil
	case len(m.rx.deletions) > 0:
		p := m.rx.deletions[0]
		m.rx.deletions = m.rx.deletions[1:]
		if err := m.read(ctx, p.storage); err != nil {
			return err // a sweep finds it again
		}
		return m.remove(ctx, p.storage, p.index)
	case m.rx.indicators != 0:
		return m.askIndicators(ctx)
	case m.rx.count:
		m.rx.count = false
		return m.measure(ctx)
	}
	return nil
}

// measure asks how full the storage is.
func (m *Modem) measure(ctx context.Context) error {
	if err := m.read(ctx, m.storage); err != nil {
		return err
	}
	lines, err := m.ask(ctx, at.Command{Line: "AT+CPMS?", Prefix: "+CPMS", Lenient: true, Timeout: 5 * time.Second})
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
				m.warn()
				return
			}
		}
	}
}

// warn tells people of a storage that is nearly full, before it is.
func (m *Modem) warn() {
	before := m.now.Warning
	m.now.Warning = ""
	if s := m.now.Storage; s.Total > 0 && s.Used*100 > s.Total*nearlyFull {
		why := "It is being emptied."
		switch own := m.rx.own[s.Name]; {
		case m.blocked != nil:
			why = "It can't be emptied: " + m.blocked.Error() + "."
		case own*100 > s.Total*nearlyFull:
			why = fmt.Sprintf("%d of them were written there, not received, and are left alone: delete them with a phone.", own)
		}
		m.now.Warning = fmt.Sprintf("The storage %s holds %d of %d messages. %s", s.Name, s.Used, s.Total, why)
	}
	m.publish()
	if (before == "") != (m.now.Warning == "") {
		m.log.Info("modem storage", "storage", m.now.Storage.Name, "used", m.now.Storage.Used, "total", m.now.Storage.Total)
		if m.o.OnState != nil {
			m.o.OnState(m.Snapshot())
		}
	}
}

// indicated reads `8,1` and `"SMSFULL",1`: which number says that the storage is
// full differs from modem to modem (TS 27.007 8.9).
func (m *Modem) indicated(rest string) {
	name, value, _ := strings.Cut(rest, ",")
	if value = strings.TrimSpace(value); value == "" || value == "0" {
		return
	}
	name = strings.Trim(strings.TrimSpace(name), `"`)
	n, err := strconv.Atoi(name)
	switch {
	case err != nil:
		m.sweepDue = m.sweepDue || strings.EqualFold(name, "smsfull")
	case n < 1 || n > 63:
	case m.rx.smsFull == 0:
		m.rx.indicators |= 1 << n
	case m.rx.smsFull == n:
		m.sweepDue = true
	}
}

// askIndicators learns what the numbers in +CIEV mean.
func (m *Modem) askIndicators(ctx context.Context) error {
	seen := m.rx.indicators
	m.rx.indicators, m.rx.smsFull = 0, -1
	lines, err := m.ask(ctx, at.Command{Line: "AT+CIND=?", Prefix: "+CIND", Timeout: pollTimeout})
	if err != nil || len(lines) == 0 {
		return dropAnswer(err)
	}
	// ("battchg",(0-5)),("signal",(0-5)),…
	for i, group := range strings.Split(info.TrimPrefix(lines[0], "+CIND"), "),(") {
		name, _, _ := strings.Cut(strings.Trim(group, " ("), ",")
		if strings.EqualFold(strings.Trim(name, `"`), "smsfull") && i+1 < bits.UintSize {
			m.rx.smsFull = i + 1
			m.sweepDue = m.sweepDue || seen&(1<<(i+1)) != 0
		}
	}
	return nil
}

// echoesAnew tells whether a modem that was told not to echo does so again.
func (m *Modem) echoesAnew() bool {
	return m.up.Load() && !m.rx.echoing && m.port.Echoes() > m.rx.echoes
}

// forgot ends the session of a modem that has lost its settings without a word.
// In text mode a PDU would go out as text.
func (m *Modem) forgot() {
	if m.sick != nil {
		return
	}
	m.sick = &trouble{state: sms.Healing, reason: "The modem has forgotten its settings.",
		advice: "It is set up again. If this goes on, check its power supply: a modem draws 2 A in bursts."}
	if m.up.Load() { // else it never kept them, and is given more and more time
		m.sick.retry = time.Second
	}
}
