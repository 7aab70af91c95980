package sim

import (
	"fmt"
	"strings"
	"time"
)

func storeCommands() map[string]handler {
	return map[string]handler{
		"+CPMS": {read: storesInUse, set: setStores, test: `("SM","ME","MT"),("SM","ME"),("SM","ME","MT")`, sim: simCMS},
		"+CMGL": {exec: func(m *Modem) reply { return list(m, nil) }, set: list, tests: listable, sim: simCMS},
		"+CMGR": {set: readMessage, test: "-", sim: simCMS},
		"+CMGD": {set: deleteMessage, tests: deletable, sim: simCMS},
	}
}

func storesInUse(m *Modem) reply {
	var all []string
	for _, name := range m.tty.stores {
		used, total := m.counted(name)
		all = append(all, fmt.Sprintf(`"%s",%d,%d`, name, used, total))
	}
	m.info("+CPMS: %s", strings.Join(all, ","))
	return ok
}

// counted is fill as +CPMS tells it: some count a message only a while after
// they announced it.
func (m *Modem) counted(name string) (used, total int) {
	used, total = m.fill(name)
	if time.Since(m.stowed) < m.faults.CountLag {
		used = 0
	}
	return used, total
}

// setStores is +CPMS: the memory to read and delete in, to write to and send
// from, and to keep received messages in.
func setStores(m *Modem, a args) reply {
	stores := m.tty.stores
	if len(a) < 1 || len(a) > 3 || m.faults.CPMSOne && len(a) != 1 || m.faults.CPMSThree && len(a) != 3 {
		return cms(302)
	}
	for i := range a {
		name, quoted := a.quoted(i)
		if !quoted || name != "SM" && name != "ME" && (name != "MT" || i == 1) {
			return cms(302)
		}
		stores[i] = name
	}
	m.tty.stores = stores
	for _, t := range m.ttys { // where it puts what it receives is the modem's, whichever port says so
		t.stores[2] = stores[2]
	}
	if m.faults.CPMSBare {
		return ok
	}
	var all []string
	for _, name := range stores {
		used, total := m.counted(name)
		all = append(all, fmt.Sprintf("%d,%d", used, total))
	}
	m.info("+CPMS: %s", strings.Join(all, ","))
	return ok
}

var textStats = []string{"REC UNREAD", "REC READ", "STO UNSENT", "STO SENT", "ALL"}

const everyStat = 4

func listable(m *Modem) reply {
	if m.tty.settings.cmgf == 1 {
		m.info(`+CMGL: ("%s")`, strings.Join(textStats, `","`))
	} else {
		m.info("+CMGL: (0-4)")
	}
	return ok
}

// wantedStat reads the one value of +CMGL, bad if it makes no sense.
func wantedStat(m *Modem, a args) int {
	if m.tty.settings.cmgf == 0 {
		return a.num(0, unread)
	}
	if len(a) == 0 {
		return unread
	}
	name, quoted := a.quoted(0)
	for i, s := range textStats {
		if quoted && s == name {
			return i
		}
	}
	return bad
}

// list is +CMGL; unread messages are read from then on.
func list(m *Modem, a args) reply {
	want := wantedStat(m, a)
	if len(a) > 1 || !between(unread, everyStat, want) {
		return cms(304 + m.tty.settings.cmgf)
	}
	if m.lists++; m.faults.ListsHang > 0 && m.lists >= m.faults.ListsHang {
		m.lists = 0
		m.faults.Hang = HangMute // old Huaweis do so; gammu's issue 4
		return mum
	}
	for i, slot := range m.slots(m.tty.stores[0]) {
		x := *slot
		if x == nil || want != everyStat && x.stat != want {
			continue
		}
		if m.tty.settings.cmgf == 1 {
			head, body := m.textOf(x)
			m.info(`+CMGL: %d,"%s",%s`+"\r\n%s", i+1, textStats[x.stat], head, body)
		} else {
			m.info("+CMGL: %d,%d,,%d\r\n%s", i+1, x.stat, tpduLength(x.pdu), upperHex(x.pdu))
		}
		if x.stat == unread {
			x.stat = read
		}
	}
	return ok
}

func readMessage(m *Modem, a args) reply {
	slots := m.slots(m.tty.stores[0])
	i := a.num(0, bad)
	if len(a) != 1 || !between(1, len(slots), i) {
		return cms(321)
	}
	x := *slots[i-1]
	if x == nil {
		return m.emptySlot()
	}
	if m.tty.settings.cmgf == 1 {
		head, body := m.textOf(x)
		m.info(`+CMGR: "%s",%s`+"\r\n%s", textStats[x.stat], head, body)
	} else {
		m.info("+CMGR: %d,,%d\r\n%s", x.stat, tpduLength(x.pdu), upperHex(x.pdu))
	}
	if x.stat == unread {
		x.stat = read
	}
	return ok
}

// emptySlot is the answer to +CMGR for a slot with nothing in it: an error, a
// plain OK, or a line of zeros and OK.
func (m *Modem) emptySlot() reply {
	switch e := m.profile.EmptySlot; e {
	case "", "+CMS ERROR: 321":
		return cms(321)
	case "OK":
		return ok
	default:
		m.info("%s", e)
		return ok
	}
}

func deletable(m *Modem) reply {
	var indices []string
	for i, slot := range m.slots(m.tty.stores[0]) {
		if *slot != nil {
			indices = append(indices, fmt.Sprint(i+1))
		}
	}
	m.info("+CMGD: (%s),(0-4)", strings.Join(indices, ","))
	return ok
}

// deleteMessage is +CMGD=<index>[,<flag>]. Room that it makes in a full memory
// is told to the SMSC.
func deleteMessage(m *Modem, a args) reply {
	slots := m.slots(m.tty.stores[0])
	i, which := a.num(0, bad), a.num(1, 0)
	if len(a) < 1 || len(a) > 2 || !between(0, 4, which) || which == 0 && !between(1, len(slots), i) {
		return cms(321)
	}
	if which == 0 {
		*slots[i-1] = nil
	} else {
		for _, slot := range slots {
			// 1: read; 2: and sent; 3: and unsent; 4: everything.
			if x := *slot; x != nil && (x.stat == read || x.stat == sent && which >= 2 || x.stat == unsent && which >= 3 || which == 4) {
				*slot = nil
			}
		}
	}
	m.tell()
	if m.reachable() {
		m.net.alert(m.card.number)
	}
	return ok
}
