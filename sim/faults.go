package sim

import "time"

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
// in the zero value; set them, at any time, through Modem.Fault.
type Faults struct {
	// The modem is stuck, until what Cure says is done.
	Hang Hang
	Cure Cure

	// The prompt of +CMGS.
	Prompt      string        // it reads so
	PromptDelay time.Duration // it comes this much later
	SplitPrompt bool          // it comes byte by byte, each as a write of its own
	NoPrompt    Times         // it does not come, yet what is written then is taken as the PDU
	PromptDeaf  bool          // nothing written before the prompt is heard, ESC neither

	// The answer to a PDU. The network has the message unless Lost says otherwise.
	Silent         Times         // no answer at all
	OKOnly         Times         // OK without +CMGS
	Late           Times         // the answer comes LateBy after its time
	LateBy         time.Duration //
	LateDetached   bool          // meanwhile commands are obeyed, and the answer comes in between
	Lost           bool          // what Silent, OKOnly and Late strike never reached the network
	Reject         Times         // SendError is the answer
	SendError      string        // "+CMS ERROR: 38", "+CME ERROR: 14", "ERROR"; also for RejectFor
	RejectFor      map[string]string
	NetworkTimeout Times // the network never answers: the modem gives up after its own time
	NoCredit       bool  // the SIM's: every message is refused with +CMS ERROR: 38
	DailyWall      int   // the SIM's: after so many a day every message is refused with +CMS ERROR: 21
	RejectCommand  Times // SendError comes instead of the prompt
	ReportFirst    bool  // the status report comes before the +CMGS line

	// Lines.
	CROnly      bool                     // lines end with CR alone
	Garbage     Times                    // binary noise without the end of a line comes before a final result
	NoFinal     []string                 // commands by name whose OK never comes
	CPINForm    string                   // +CPIN? is answered "tight", "quoted" or "bare"
	SilentReset Times                    // after a final result all settings are those of power-on
	CRCRLF      bool                     // every CR LF has another CR in front
	KeepEcho    bool                     // ATE0 is answered OK, and echo stays
	Noise       []string                 // these unsolicited lines come in every gap of a dialogue
	Flood       time.Duration            // and this often when idle, 0: not
	Mute        bool                     // the port is open, writes succeed, nothing is heard or said
	Block       bool                     // the modem reads no more: writes block
	Slow        map[string]time.Duration // commands by name ("+CMGD") that take this long

	// Receiving.
	Slots       int           // a memory holds no more than so many, 0: as many as it has
	CPMSOne     bool          // +CPMS takes one value
	CPMSThree   bool          // or three, and no other number
	CPMSBare    bool          // its answer is OK alone
	CountLag    time.Duration // +CPMS counts nothing for so long after a message came
	ListsHang   int           // after so many +CMGL it is stuck, as HangMute
	USSDSilent  Times         // the network does not answer a code
	RefuseCNMI  bool          // +CNMI=… is answered with an error
	ForgetCNMI  bool          // +CNMI=… is answered OK, and has no effect
	RefuseCNMA  bool          // +CNMA is answered with +CMS ERROR: 340 and does acknowledge
	CMTITwice   Times         // a message is announced a second time
	CMTIUnknown Times         // it is announced with the index -1
	CMTIMissing Times         // it is stored and not announced
	LTEOnly     bool
	CSQ100      bool
	CFUNForgets bool
	UnplugAfter int
	ReplugAfter time.Duration
	Renumber    bool
	Duplicate   Times // the network does not hear the acknowledgement: the PDU comes again after Retry
}

// promptText is what asks for a PDU.
func (m *Modem) promptText() string {
	if m.faults.Prompt != "" {
		return m.faults.Prompt
	}
	return m.profile.Prompt
}

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
		m.gap()
		m.startFlood()
	})
}
