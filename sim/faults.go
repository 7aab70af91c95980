package sim

import (
	"cmp"
	"time"
)

// Times says how often a fault strikes: so many times more, or Always.
type Times int

// Always is until it is set to another value.
const Always Times = -1

// strike uses one of the times up; false if there is none left.
func (t *Times) strike() bool {
	if *t > 0 {
		*t--
		return true
	}
	return *t < 0
}

// Faults are the ways in which a modem can be made to misbehave. All are off
// in the zero value; set them, at any time, through Modem.Fault, or by the
// names of faultTable, which says what each one is.
type Faults struct {
	// The modem is stuck, until what Cure names is done.
	Hang Hang
	Cure Cure

	// The prompt of +CMGS.
	Prompt      string        // it reads so, "": as the family's does
	PromptDelay time.Duration // it comes this much later
	SplitPrompt bool          // it comes byte by byte, each as a write of its own
	NoPrompt    Times         // it does not come, yet what is written then is taken as the PDU
	PromptDeaf  bool          // nothing written before the prompt is heard, ESC neither

	// The answer to a PDU. The network has the message unless Lost says otherwise.
	Silent         Times         // no answer at all
	OKOnly         Times         // OK without +CMGS
	Late           Times         // the answer comes LateBy after its time
	LateBy         time.Duration // 0: 70 s, which is more than anybody waits
	LateDetached   bool          // meanwhile commands are obeyed, and the answer comes in between
	NetworkTimeout Times         // the network never answers: the modem gives up in its family's time and words
	Lost           bool          // what Silent, OKOnly, Late and NetworkTimeout strike never reached the network
	Reject         Times         // SendError is the answer
	SendError      string        // "+CMS ERROR: 38", "+CME ERROR: 14", "ERROR"; "": +CMS ERROR: 500
	RejectFor      map[string]string
	RejectCommand  Times // SendError comes instead of the prompt
	ReportFirst    bool  // the status report comes before the +CMGS line
	NoCredit       bool  // the SIM's: every message is refused with +CMS ERROR: 38
	DailyWall      int   // the SIM's: after so many a day every message is refused with +CMS ERROR: 21

	// Lines.
	CRCRLF   bool                     // every CR LF has another CR in front
	CROnly   bool                     // lines end with CR alone
	KeepEcho bool                     // ATE0 is answered OK, and echo stays
	Noise    []string                 // these unsolicited lines come in every gap of a dialogue
	Flood    time.Duration            // and this often when idle, 0: not; without Noise it is ^BOOT
	Garbage  Times                    // binary noise without the end of a line comes before a final result
	Mute     bool                     // the port is open, writes succeed, nothing is heard or said
	Block    bool                     // the modem reads no more: writes block
	Slow     map[string]time.Duration // commands by name ("+CMGD") that take this long
	NoFinal  []string                 // commands by name whose OK never comes

	// What the modem says of itself, and forgets.
	CPINForm    string // +CPIN? is answered "tight", "quoted" or "bare"
	LTEOnly     bool   // +CREG says 2 while +CEREG says 1
	CSQ100      bool   // +CSQ counts from 100
	SilentReset Times  // after a final result all settings are those of power-on, and nothing tells so
	CFUNForgets bool   // so they are after +CFUN=1
	USSDSilent  Times  // the network does not answer a code

	// The plug.
	UnplugAfter int           // it is pulled after so many bytes more, in or out
	ReplugAfter time.Duration // and plugged in again after this time, 0: not
	Renumber    bool          // its links get other numbers when it comes back

	// Storage.
	Slots     int           // a memory holds no more than so many, 0: as many as it has
	CPMSOne   bool          // +CPMS takes one value and no more
	CPMSThree bool          // or three and no fewer
	CPMSBare  bool          // +CPMS= is answered OK alone
	CountLag  time.Duration // +CPMS counts nothing for so long after a message came
	ListsHang int           // at so many +CMGL it hangs, as HangMute

	// Receiving.
	RefuseCNMI     bool  // +CNMI=… is answered with an error
	ForgetCNMI     bool  // +CNMI=… is answered OK, and has no effect
	RefuseCNMA     bool  // +CNMA is answered with +CMS ERROR: 340 and does acknowledge
	CMTITwice      Times // a message is announced a second time
	CMTIUnknown    Times // it is announced with the index -1
	CMTIMissing    Times // it is stored and not announced
	Duplicate      Times // the network does not hear the acknowledgement: the PDU comes again after Retry
	ClassZero      Times // a message comes as class 0
	TypeZero       Times // a message of type 0, which nobody may see, comes in front of one
	ReuseReference bool  // every long message has the reference 1
	BadPadding     Times // the unused bits of packed septets are set
	OddUCS2        Times // a UCS2 text has an octet too many
	BadTime        Times // the service centre's time stamp is all F
	BadAddress     Times // the length of the sender's number counts its filler
}

// promptText is what asks for a PDU.
func (m *Modem) promptText() string { return cmp.Or(m.faults.Prompt, m.profile.Prompt) }

// Fault changes the modem's faults; f runs with the modem held still.
func (m *Modem) Fault(f func(*Faults)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.faults)
	m.cond.Broadcast()
	for _, t := range m.ttys {
		if t.pts != nil {
			t.pts.block(m.faults.Block)
		}
	}
	m.startFlood()
	m.registrationChanged()
	m.flush()
	m.tell()
}

// gap writes the noise between two lines of a dialogue.
func (m *Modem) gap() {
	for _, line := range m.faults.Noise {
		m.unsolicited(line)
	}
}

// startFlood begins the noise of an idle line, if it is wanted and not going on.
func (m *Modem) startFlood() {
	if m.flooding || m.faults.Flood <= 0 {
		return
	}
	m.flooding = true
	m.after(m.faults.Flood, func() {
		m.flooding = false
		if m.gap(); len(m.faults.Noise) == 0 && m.faults.Flood > 0 {
			m.unsolicited(huaweiBoot.Line)
		}
		m.startFlood()
	})
}
