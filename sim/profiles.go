package sim

import "time"

// The families. What their makers and those who drive them say is in the
// comments of hardware.md; where nobody says anything, the milder habit was
// taken: the one with which less can go wrong. Revisions have their maker's form and
// are made up.

func usbIf(number int, codes string, driver string, role Role) Interface {
	return Interface{number, codes[:2], codes[3:5], codes[6:], driver, role}
}

// Generic is a plain LTE modem that keeps to 3GPP TS 27.005 and 27.007. Its
// USB device shows every kind of port; the id is Linux's own gadget.
var Generic = Profile{
	Slug: "generic", Name: "Plain LTE modem",
	Manufacturer: "gatewayd",
	Model:        "Simulated Modem",
	Revision:     "SIM-1.0",
	USB: USB{Vendor: "1d6b", Product: "0104", Maker: "gatewayd", Name: "Simulated Modem", Interfaces: []Interface{
		usbIf(0, "ff/ff/ff", "option", RoleDiag), usbIf(1, "ff/ff/ff", "option", RoleNMEA), usbIf(2, "ff/ff/ff", "option", RoleAT),
		usbIf(3, "ff/ff/ff", "option", RoleSecond), usbIf(4, "ff/ff/ff", "option", RoleApp), usbIf(5, "08/06/50", "usb-storage", RoleNone)}},
	Prompt:       "\r\n> ",
	Aborted:      "OK",
	EmptySlot:    "+CMS ERROR: 321",
	DefaultStore: "SM",
	CNMI:         plainCNMI,
	AcT:          7,
}

var plainCNMI = [5][]int{{0, 1, 2}, {0, 1, 2, 3}, {0, 2}, {0, 1, 2}, {0, 1}}

// What Huawei sticks say all the time, until ^CURC=0. The times between are a
// choice: nobody tells them.
var (
	huaweiBoot = Noise{After: 2 * time.Second, Every: 4 * time.Second, Line: "^BOOT:27710117,0,0,0,75"}
	huaweiRSSI = Noise{After: 3 * time.Second, Every: 20 * time.Second, Line: "^RSSI:18", SIM: true}
)

// HuaweiE3372 is an LTE stick with the firmware that shows serial ports.
var HuaweiE3372 = Profile{
	Slug: "huawei-e3372", Name: "Huawei E3372 (stick mode)",
	Manufacturer: "huawei", Model: "E3372", Revision: "21.180.00.00.00",
	USB: USB{Vendor: "12d1", Product: "1506", Maker: "HUAWEI_MOBILE", Name: "HUAWEI_MOBILE", Serial: "0123456789ABCDEF", Interfaces: []Interface{
		usbIf(0, "ff/02/12", "option", RoleAT), usbIf(1, "ff/02/01", "option", RoleSecond),
		usbIf(2, "ff/02/16", "huawei_cdc_ncm", RoleNone), usbIf(3, "08/06/50", "usb-storage", RoleNone)}},
	Prompt: "\r\n> ", Aborted: "OK", EmptySlot: "+CMS ERROR: 321", DefaultStore: "SM",
	FullLine: `^SMMEMFULL: "%s"`,
	CNMI:     plainCNMI,
	Boot: []Noise{{After: 500 * time.Millisecond, Line: "^SIMST:1", SIM: true}, {After: time.Second, Line: "^SRVST:2", SIM: true},
		{After: time.Second, Line: "^MODE:5,4\r", SIM: true}},
	Chatter:  []Noise{huaweiBoot, {After: 3 * time.Second, Every: 10 * time.Second, Line: `^HCSQ:"LTE",59,50,161,24` + "\r", SIM: true}, huaweiRSSI},
	SMSAfter: 3 * time.Second, NotReady: 302,
	Commands: []string{"^CURC", "^PORTSEL", "^ICCID", "^CPIN", "^HCSQ", "^SYSINFOEX", "^USSDMODE", "^RESET"},
	Lacks:    []string{"+CCID", "+ICCID", "+CPINR", "+CSIM", "+CESQ"},
	Resets:   []string{"^RESET"}, Away: 10 * time.Second,
	AcT: 7, USSD: USSDPacked,
}

// HuaweiE173 is a 3G stick of the older kind, built around Qualcomm's chip.
var HuaweiE173 = Profile{
	Slug: "huawei-e173", Name: "Huawei E173",
	Manufacturer: "huawei", Model: "E173", Revision: "11.126.00.00.00",
	USB: USB{Vendor: "12d1", Product: "1001", Maker: "HUAWEI Technology", Name: "HUAWEI Mobile", Interfaces: []Interface{
		usbIf(0, "ff/ff/ff", "option", RoleSecond), usbIf(1, "ff/ff/ff", "option", RoleDiag), usbIf(2, "ff/ff/ff", "option", RoleAT),
		usbIf(3, "08/06/50", "usb-storage", RoleNone)}},
	Prompt: "\r\n> ", Aborted: "OK", Unknown: "COMMAND NOT SUPPORT", EmptySlot: "+CMGR: 0,,0", DefaultStore: "SM", MESlots: 23,
	FullLine: `^SMMEMFULL: "%s"`,
	CNMI:     plainCNMI, // asterisk-chan-dongle: 2,1,0,2,0 is taken
	Boot: []Noise{{After: 500 * time.Millisecond, Line: "^SIMST:1", SIM: true}, {After: time.Second, Line: "^SRVST:1", SIM: true},
		{After: 2 * time.Second, Line: "^SRVST:2", SIM: true}, {After: 2 * time.Second, Line: "^MODE:5,4\r", SIM: true}},
	Chatter: []Noise{huaweiBoot, {After: 3 * time.Second, Every: 20 * time.Second, Line: "^RSSI:18\r", SIM: true},
		{After: 6 * time.Second, Every: 30 * time.Second, Line: "^CSNR:-81,-7", SIM: true}},
	SMSAfter: 3 * time.Second, NotReady: 500, // as the E1752 did that gammu's issue 126 shows
	Commands: []string{"^CURC", "^PORTSEL", "^ICCID", "^CPIN", "^USSDMODE", "^RESET"},
	Lacks:    []string{"+CCID", "+ICCID", "+CPINR", "+CSIM", "+CESQ", "+CEREG", "+CGSMS"},
	Resets:   []string{"^RESET"}, Away: 10 * time.Second,
	AcT: 2, USSD: USSDPacked,
}

// simcomErrors end +CMGS on SIMCom's modems alone: CP and RP gave up, then the
// maker's own numbers.
var simcomErrors = []string{"+CMS ERROR: 224", "+CMS ERROR: 225", "+CMS ERROR: 226", "+CMS ERROR: 512", "+CMS ERROR: 513", "+CMS ERROR: 514",
	"+CMS ERROR: 515", "+CMS ERROR: 517", "+CMS ERROR: 521", "+CMS ERROR: 524", "+CMS ERROR: 528", "+CMS ERROR: 529", "+CMS ERROR: 530",
	"+CMS ERROR: 531", "+CMS ERROR: 532"}

// SIMComSIM800 is a GSM module on a UART, here behind a USB bridge that stays
// when the module restarts.
var SIMComSIM800 = Profile{
	Slug: "simcom-sim800", Name: "SIMCom SIM800",
	Manufacturer: "SIMCOM_Ltd", Model: "SIMCOM_SIM800", Revision: "Revision:1418B00SIM800",
	USB:    USB{Vendor: "1a86", Product: "7523", Name: "USB Serial", Interfaces: []Interface{usbIf(0, "ff/01/02", "ch341", RoleAT)}},
	Prompt: "\r\n> ", Aborted: "OK", EmptySlot: "OK", DefaultStore: "SM",
	ClassZero:   "+CLASS0",
	CNMI:        plainCNMI,
	CNMIRefused: [5][]int{{2}, nil, nil, nil, nil}, // ofono
	Boot: []Noise{{Line: "RDY"}, {After: 500 * time.Millisecond, Line: "+CFUN: 1"}, {After: time.Second, Line: "+CPIN: READY", SIM: true},
		{After: 4 * time.Second, Line: "Call Ready", SIM: true}, {After: 5 * time.Second, Line: "SMS Ready", SIM: true}},
	SMSAfter: 5 * time.Second, NotReady: 302, PINBusy: 4 * time.Second,
	Commands: []string{"+SPIC"},
	Lacks:    []string{"+ICCID", "+CPINR", "+CSIM", "+CESQ", "+CEREG"},
	AcT:      0,
	NoCalls:  true,
	// V1.09: at most 60 s; then the radio's timer, 225, has run out.
	SendLimit: 60 * time.Second, SendTimedOut: "+CMS ERROR: 225", SendErrors: simcomErrors,
}

// SIMComSIM7600 is an LTE module with Qualcomm's chip, set to LTE alone.
var SIMComSIM7600 = Profile{
	Slug: "simcom-sim7600", Name: "SIMCom SIM7600",
	Manufacturer: "SIMCOM INCORPORATED", Model: "SIMCOM_SIM7600E-H", Revision: "LE20B00SIM7600M22",
	USB: USB{Vendor: "1e0e", Product: "9001", Maker: "SimTech, Incorporated", Name: "SimTech, Incorporated", Serial: "0123456789ABCDEF", Interfaces: []Interface{
		usbIf(0, "ff/ff/ff", "option", RoleDiag), usbIf(1, "ff/00/00", "option", RoleNMEA), usbIf(2, "ff/00/00", "option", RoleAT),
		usbIf(3, "ff/00/00", "option", RoleSecond), usbIf(4, "ff/00/00", "option", RoleDiag), usbIf(5, "ff/ff/ff", "qmi_wwan", RoleNone)}},
	Prompt: "\r\n> ", Aborted: "OK", EmptySlot: "+CMS ERROR: 321", DefaultStore: "ME", MESlots: 23,
	ClassZero:   "+CLASS0",
	CNMI:        plainCNMI,
	CNMIRefused: [5][]int{{2}, nil, nil, {1}, nil}, // ofono on mode, ModemManager on ds of Qualcomm's chips
	Boot: []Noise{{After: 500 * time.Millisecond, Line: "RDY"}, {After: time.Second, Line: "+CPIN: READY", SIM: true},
		{After: 5 * time.Second, Line: "SMS DONE", SIM: true}, {After: 6 * time.Second, Line: "PB DONE", SIM: true}},
	SMSAfter: 5 * time.Second, NotReady: 302, PINBusy: 4 * time.Second,
	Commands: []string{"+SPIC", "+CPSI", "+CRESET"},
	Lacks:    []string{"+CCID", "+CPINR", "+CESQ"},
	Resets:   []string{"+CRESET"}, Away: 15 * time.Second,
	AcT: 7, LTEOnly: true, CSQ100: true, USSD: USSDUCS2,
	SendLimit: 60 * time.Second, SendTimedOut: "+CMS ERROR: 225", SendErrors: simcomErrors,
}

// QuectelEC25 is an LTE module with Qualcomm's chip.
var QuectelEC25 = Profile{
	Slug: "quectel-ec25", Name: "Quectel EC25",
	Manufacturer: "Quectel", Model: "EC25", Revision: "EC25EFAR06A00M4G",
	USB: USB{Vendor: "2c7c", Product: "0125", Maker: "Quectel", Name: "EC25-E", Interfaces: []Interface{
		usbIf(0, "ff/ff/ff", "option", RoleDiag), usbIf(1, "ff/00/00", "option", RoleNMEA), usbIf(2, "ff/00/00", "option", RoleAT),
		usbIf(3, "ff/00/00", "option", RoleSecond), usbIf(4, "ff/ff/ff", "qmi_wwan", RoleNone)}},
	// The forum tells of 350 after ESC.
	Prompt: "\r\n> ", Aborted: "+CMS ERROR: 350", EmptySlot: "+CMS ERROR: 321", DefaultStore: "ME", MESlots: 23,
	CNMI:        plainCNMI,
	CNMIRefused: [5][]int{nil, nil, nil, {1}, nil}, // Qualcomm's chips; asterisk-chan-quectel: 2,1,0,2,0 is taken
	Boot: []Noise{{After: 500 * time.Millisecond, Line: "RDY"}, {After: time.Second, Line: "+CPIN: READY", SIM: true}, {After: time.Second, Line: "+QUSIM: 1", SIM: true},
		{After: 4 * time.Second, Line: "+QIND: SMS DONE", SIM: true}, {After: 5 * time.Second, Line: "+QIND: PB DONE", SIM: true}},
	SMSAfter: 4 * time.Second, NotReady: 512,
	Commands: []string{"+QCCID", "+QPINC", "+QCSQ", "+QNWINFO", "+QPOWD"},
	Lacks:    []string{"+CCID", "+ICCID", "+CPINR", "+CESQ"},
	Resets:   []string{"+QPOWD"}, Away: 12 * time.Second, Farewell: "POWERED DOWN",
	AcT: 7, CSQ100: true,
	SendLimit: 120 * time.Second,
	SendErrors: []string{"+CMS ERROR: 350", "+CMS ERROR: 512", "+CMS ERROR: 513", "+CMS ERROR: 514", "+CMS ERROR: 515",
		"+CMS ERROR: 517", "+CMS ERROR: 528", "+CMS ERROR: 529", "+CMS ERROR: 530", "+CMS ERROR: 531"},
}

// ZTEMF190 is a 3G stick with Qualcomm's chip.
var ZTEMF190 = Profile{
	Slug: "zte-mf190", Name: "ZTE MF190",
	Manufacturer: "ZTE CORPORATION", Model: "MF190", Revision: "BD_MF190V1.0.0B00",
	USB: USB{Vendor: "19d2", Product: "0117", Maker: "ZTE", Name: "ZTE WCDMA Technologies MSM", Interfaces: []Interface{
		usbIf(0, "ff/ff/ff", "option", RoleDiag), usbIf(1, "ff/ff/ff", "option", RoleSecond), usbIf(2, "ff/ff/ff", "option", RoleAT),
		usbIf(3, "08/06/50", "usb-storage", RoleNone)}},
	Prompt: "\r\n> ", Aborted: "OK", EmptySlot: "+CMS ERROR: 321", DefaultStore: "SM", MESlots: 23,
	ReportLine:  ",",
	CNMI:        plainCNMI,
	CNMIRefused: [5][]int{{2}, nil, nil, nil, nil}, // ofono
	Boot: []Noise{{After: 500 * time.Millisecond, Line: "+ZUSIMR:2"}, {After: time.Second, Line: `+ZDONR: "Simulated Net",262,01,"CS_PS","ROAM_OFF"`, SIM: true},
		{After: 2 * time.Second, Line: `+ZPASR: "UMTS"`, SIM: true}},
	Chatter:  []Noise{{After: 15 * time.Second, Every: 30 * time.Second, Line: `+ZPASR: "UMTS"`, SIM: true}},
	SMSAfter: 3 * time.Second, NotReady: 314, PINBusy: 4 * time.Second,
	Commands: []string{"+ZPINPUK", "+ZPAS", "+ZCDRUN", "+ZOPRT"},
	// Its SIM's number is in the SIM's file alone.
	Lacks: []string{"+CCID", "+ICCID", "+CPINR", "+CSIM", "+CESQ", "+CEREG", "+CGSMS"},
	Away:  10 * time.Second,
	AcT:   2, USSD: USSDUCS2,
}
