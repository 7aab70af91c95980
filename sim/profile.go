package sim

import (
	"slices"
	"time"
)

// Profile is what one family of modems has of its own: its name, its forms
// and habits. It is data; what a habit does is written where it is asked for.
type Profile struct {
	Slug         string // stable: huawei-e3372
	Name         string // for people
	Manufacturer string
	Model        string
	Revision     string
	USB          USB

	Prompt       string // of +CMGS
	Aborted      string // the final line after ESC at the prompt
	Unknown      string // the final line of a command that is not known; "": ERROR
	EmptySlot    string // the final line of +CMGR on an empty slot
	ReportLine   string // what stands between "+CDS: " and the length
	ClassZero    string // what a class 0 message is announced with; "": +CMT
	FullLine     string // told when a memory fills up, %s is its name; "": nothing
	DefaultStore string // +CPMS after power-on
	MESlots      int    // messages that the modem stores; 0: 50
	CNMI         [5][]int
	// CNMIRefused are the values that +CNMI=? lists and +CNMI= refuses.
	CNMIRefused [5][]int
	// AckPDU adds the network's acknowledgement to +CMGS when +CSMS is 1.
	AckPDU bool

	Boot     []Noise       // lines after power-on
	Chatter  []Noise       // lines that come again and again
	SMSAfter time.Duration // SMS commands are refused for so long after power-on and PIN
	NotReady int           // with this +CMS ERROR
	PINBusy  time.Duration // +CPIN? is answered with +CME ERROR: 14 for so long after the PIN

	// Commands are those of the makers' that it knows; Lacks are standard ones
	// that it does not know.
	Commands []string
	Lacks    []string
	Resets   []string      // of Commands: those that restart it, as +CFUN=1,1 does
	Away     time.Duration // the ports vanish for so long at a restart; 0: they stay
	Farewell string        // said before they do

	AcT     int       // access technology, as in +COPS?
	LTEOnly bool      // +CREG says 2 while +CEREG says 1
	CSQ100  bool      // +CSQ in 3G networks counts from 100
	USSD    USSDForms // how +CUSD writes its strings

	NoCalls      bool          // calls are refused while it sends
	SendLimit    time.Duration // it waits so long for the network's answer to a message; 0: 40 s
	SendTimedOut string        // and then says this; "": +CMS ERROR: 332
	SendErrors   []string      // final results of +CMGS that only this family has
}

// USSDForms says how a modem writes the strings of +CUSD.
type USSDForms byte

const (
	USSDCharset USSDForms = iota // in the character set of +CSCS
	USSDPacked                   // packed septets in hex both ways, until ^USSDMODE=0
	USSDUCS2                     // answers as UCS2 in hex
)

// Noise is a line that a modem says by itself. If it ends in CR it has two of
// them in front of its LF.
type Noise struct {
	After time.Duration // from power-on to the first time
	Every time.Duration // and from then on; 0: once
	Line  string
	SIM   bool // not without a SIM that is ready
}

// USB is what a modem's descriptors say, in the words of sysfs: "12d1".
type USB struct {
	Vendor, Product     string
	Maker, Name, Serial string
	Interfaces          []Interface
}

// ID is vendor and product as lsusb shows them: "12d1:1506".
func (u USB) ID() string { return u.Vendor + ":" + u.Product }

// Interface is one interface of a USB device.
type Interface struct {
	Number                    int
	Class, Subclass, Protocol string // two hex digits each
	Driver                    string // of Linux
	Role                      Role
}

// Role is what an interface is for.
type Role string

const (
	RoleAT     Role = "at"     // takes commands; what comes unasked comes here
	RoleSecond Role = "second" // takes commands, with settings of its own
	RoleDiag   Role = "diag"   // hears all and says nothing
	RoleNMEA   Role = "nmea"   // streams positions
	RoleApp    Role = "app"    // says OK to everything
	RoleNone   Role = ""       // no serial port: storage, network
)

// AT is the number of the interface that takes commands.
func (p Profile) AT() int {
	i := slices.IndexFunc(p.USB.Interfaces, func(i Interface) bool { return i.Role == RoleAT })
	return p.USB.Interfaces[i].Number
}

// Profiles lists the families that can be simulated, the plain one first.
func Profiles() []Profile {
	return []Profile{Generic, HuaweiE3372, HuaweiE173, SIMComSIM800, SIMComSIM7600, QuectelEC25, ZTEMF190}
}

// ProfileNamed returns the family with that slug.
func ProfileNamed(slug string) (Profile, bool) {
	for _, p := range Profiles() {
		if p.Slug == slug {
			return p, true
		}
	}
	return Profile{}, false
}
