package modem

import (
	"context"
	"strings"
	"time"

	"gatewayd/modem/at"
)

// family is where the modems of one maker differ from the rest. What they all
// tell when they are asked is not in here: it is asked.
type family struct {
	maker    string        // a word of the answer to +CGMI
	result   time.Duration // how long the answer to a PDU may take
	afterPIN time.Duration // so long the SIM is of no use behind it
	restart  []string      // the commands that restart it, the first that it takes
	noLink   bool          // +CMMS is better left alone
	measures []measure     // of its own, of the signal; all others are asked for the standard's
}

// quectelLimit is what their manual says of +CMGS: determined by the network.
const quectelLimit = 120 * time.Second

var anyRestart = []string{"AT+CFUN=1,1"}

var families = []family{
	{maker: "HUAWEI", afterPIN: 3 * time.Second, restart: []string{"AT^RESET", "AT+CFUN=1,1"}, measures: []measure{huaweiMeasure}},
	{maker: "QUECTEL", result: quectelLimit, restart: anyRestart, measures: []measure{quectelMeasure}},
	{maker: "SIMCOM", restart: []string{"AT+CRESET", "AT+CFUN=1,1"}, measures: []measure{simcomMeasure}},
	{maker: "TELIT", restart: []string{"AT#REBOOT", "AT+CFUN=1,1"}},
	{maker: "CINTERION", noLink: true, restart: anyRestart},
	{maker: "GEMALTO", noLink: true, restart: anyRestart},
	{maker: "SIEMENS", noLink: true, restart: anyRestart},
	{maker: "", restart: anyRestart}, // everybody else
}

// family is the one of the modem on the port, as it said who made it.
func (m *Modem) family() *family {
	maker := strings.ToUpper(m.now.Manufacturer)
	for i := range families {
		if strings.Contains(maker, families[i].maker) {
			return &families[i]
		}
	}
	return &families[len(families)-1]
}

func (m *Modem) resultLimit() time.Duration {
	return max(resultLimit, m.family().result)
}

// keepLink asks the modem to hold its link to the network for the parts that
// follow p at once (TS 27.005 3.5.6): 1 falls back by itself when none comes.
func (m *Modem) keepLink(ctx context.Context, p *Part) {
	if p.Total == p.Number || p.Row == m.linked || m.noLink || m.family().noLink || m.port.Stale() {
		return
	}
	m.linked = p.Row
	_, err := m.port.Do(ctx, at.Command{Line: "AT+CMMS=1", Timeout: short})
	m.noLink = err != nil // then it goes without
	m.lose(err)
}
