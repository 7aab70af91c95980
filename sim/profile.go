package sim

// Profile is what one family of modems has of its own: its name, its forms
// and habits.
type Profile struct {
	Manufacturer string
	Model        string
	Revision     string
	Prompt       string // of +CMGS
	Aborted      string // the final line after ESC at the prompt
	EmptySlot    string // the final line of +CMGR on an empty slot
	DefaultStore string // +CPMS after power-on
	CNMI         [5][]int
	// AckPDU adds the network's acknowledgement to +CMGS when +CSMS is 1.
	AckPDU bool
}

// Generic is a plain LTE modem that keeps to 3GPP TS 27.005 and 27.007.
var Generic = Profile{
	Manufacturer: "gatewayd",
	Model:        "Simulated Modem",
	Revision:     "SIM-1.0",
	Prompt:       "\r\n> ",
	Aborted:      "OK",
	EmptySlot:    "+CMS ERROR: 321",
	DefaultStore: "SM",
	CNMI:         [5][]int{{0, 1, 2}, {0, 1, 2, 3}, {0, 2}, {0, 1, 2}, {0, 1}},
}
