package modem

import (
	"time"

	"gatewayd/sms"
)

//go:generate go test -run TestErrorPage -update .

// meaning is what an error says and what follows from it.
type meaning struct {
	// set is CMS or CME; other final lines stand there as they come, with code -1.
	set   string
	code  int
	maker string // a word of the answer to +CGMI, in capitals; "": any
	class sms.Class
	title string // the standard's words
	from  string // which standard, or whose manual
	rule
}

// rule is in what an error differs from others of its class.
type rule struct {
	// Who is to blame, see run.
	sim     bool // many recipients in a row blame the SIM
	perhaps bool // the SIM's only if another recipient gets it too
	first   bool // the first of a row may pass
	stays   bool // the SIM's if it lasts
	network bool // the network is short of something: others would only add to it

	// The message.
	times  int           // it fails at this refusal; 0: see the class
	lasts  time.Duration // or when it was refused for so long
	silent bool          // says nothing: when it comes late, the network's silence made it

	// The modem.
	hold time.Duration // hands over nothing for so long
	cure cure
	hint string // what a technician should look at
}

// cure is what is done about an error before the next attempt.
type cure string

const (
	makeRoom      cure = "received messages are taken out of the storage"
	closeLink     cure = "AT+CMMS=0 is sent"
	findNetwork   cure = "the modem sends nothing for 10 s, and then only if it says that it is registered"
	resetOnce     cure = "the modem is started afresh; the next one in a row parks it"
	dropValidity  cure = "the message goes again without a validity period"
	waitForBoot   cure = "within a minute after its start the modem is given 5 s"
	setCentre     cure = "once an hour the modem is started afresh, which sets the configured smsc"
	clauseRP           = "TS 24.011 annex E"
	clauseFCS          = "TS 23.040 9.2.3.22"
	clauseCMS          = "TS 27.005 3.2.5"
	clauseCME          = "TS 27.007 9.2"
	hintPDU            = "If other messages get it too, please report it with the modem's transcript: the PDU is suspect."
	hintCredit         = "Many networks say this when the credit is gone."
	hintSIM            = "Check the SIM: its credit, its contract, its SMSC number, and that it may send text messages."
	hintConfigure      = "Check with gatewayd modems that this is the modem's port for SMS, and that its firmware can send."
	hintPIN            = "Set the SIM's PIN in the configuration, or switch the PIN off in a phone."
	hintPUK            = "Unlock the SIM with its PUK in a phone; gatewayd never enters one."
	hintInsert         = "Check that the SIM sits well in the modem."
	hintLock           = "The modem is locked to another network or SIM; ask its seller to unlock it."
)

// meanings is the one table of errors: docs/errors.md is made of it. A maker's
// own meaning of a code stands before any other.
var meanings = []meaning{
	{"CMS", 1, "", sms.Permanent, "unassigned (unallocated) number", clauseRP, rule{hint: "Check the number."}},
	{"CMS", 8, "", sms.Account, "operator determined barring", clauseRP, rule{perhaps: true, hint: "The contract bars this, perhaps only for some numbers, such as premium ones."}},
	{"CMS", 10, "", sms.Account, "call barred", clauseRP, rule{perhaps: true, hint: "The SIM's call barring, perhaps only for this number."}},
	{"CMS", 17, "", sms.Later, "network failure", clauseRP, rule{network: true}},
	{"CMS", 21, "", sms.Later, "short message transfer rejected", clauseRP, rule{sim: true, times: 3, hint: "A spam filter, or no credit."}},
	{"CMS", 22, "", sms.Later, "congestion (memory capacity exceeded)", clauseRP, rule{network: true}},
	{"CMS", 27, "", sms.Later, "destination out of order", clauseRP, rule{lasts: 6 * time.Hour, hint: "The phone may be off or out of reach for long."}},
	{"CMS", 28, "", sms.Account, "unidentified subscriber", clauseRP, rule{perhaps: true, hint: "The network does not know this SIM, or its credit is gone."}},
	{"CMS", 29, "", sms.Account, "facility rejected", clauseRP, rule{perhaps: true, hint: hintSIM}},
	{"CMS", 30, "", sms.Permanent, "unknown subscriber", clauseRP, rule{hint: "Check the number."}},
	{"CMS", 38, "", sms.Later, "network out of order", clauseRP, rule{sim: true, network: true, hint: hintCredit}},
	{"CMS", 41, "", sms.Now, "temporary failure", clauseRP, rule{network: true}},
	{"CMS", 42, "", sms.Later, "congestion", clauseRP, rule{network: true}},
	{"CMS", 47, "", sms.Later, "resources unavailable, unspecified", clauseRP, rule{network: true}},
	{"CMS", 50, "", sms.Account, "requested facility not subscribed", clauseRP, rule{hint: "The SIM's contract has no text messages."}},
	{"CMS", 69, "", sms.Account, "requested facility not implemented", clauseRP, rule{first: true, hint: "Met while roaming, and on LTE without SMS for this SIM."}},
	{"CMS", 81, "", sms.Now, "invalid short message transfer reference value", clauseRP, rule{}},
	{"CMS", 95, "", sms.Now, "semantically incorrect message", clauseRP, rule{times: 2, hint: hintPDU}},
	{"CMS", 96, "", sms.Now, "invalid mandatory information", clauseRP, rule{times: 2, hint: hintPDU}},
	{"CMS", 97, "", sms.Now, "message type non-existent or not implemented", clauseRP, rule{times: 2, hint: hintPDU}},
	{"CMS", 98, "", sms.Now, "message not compatible with short message protocol state", clauseRP, rule{times: 2, hint: hintPDU}},
	{"CMS", 99, "", sms.Now, "information element non-existent or not implemented", clauseRP, rule{times: 2, hint: hintPDU}},
	{"CMS", 111, "", sms.Now, "protocol error, unspecified", clauseRP, rule{times: 2, hint: hintPDU}},
	{"CMS", 127, "", sms.Later, "interworking, unspecified", clauseRP, rule{times: 4}},

	{"CMS", 128, "", sms.Permanent, "telematic interworking not supported", clauseFCS, rule{}},
	{"CMS", 129, "", sms.Permanent, "short message type 0 not supported", clauseFCS, rule{}},
	{"CMS", 130, "", sms.Permanent, "cannot replace short message", clauseFCS, rule{}},
	{"CMS", 143, "", sms.Permanent, "unspecified TP-PID error", clauseFCS, rule{}},
	{"CMS", 144, "", sms.Permanent, "data coding scheme (alphabet) not supported", clauseFCS, rule{}},
	{"CMS", 145, "", sms.Permanent, "message class not supported", clauseFCS, rule{hint: "Send it without flash."}},
	{"CMS", 159, "", sms.Permanent, "unspecified TP-DCS error", clauseFCS, rule{}},
	{"CMS", 160, "", sms.Permanent, "command cannot be actioned", clauseFCS, rule{}},
	{"CMS", 161, "", sms.Permanent, "command unsupported", clauseFCS, rule{}},
	{"CMS", 175, "", sms.Permanent, "unspecified TP-Command error", clauseFCS, rule{}},
	{"CMS", 176, "", sms.Permanent, "TPDU not supported", clauseFCS, rule{}},
	{"CMS", 192, "", sms.Later, "SC busy", clauseFCS, rule{network: true}},
	{"CMS", 193, "", sms.Account, "no SC subscription", clauseFCS, rule{hint: "Check the SMSC number that the SIM uses, and its contract."}},
	{"CMS", 194, "", sms.Later, "SC system failure", clauseFCS, rule{network: true}},
	{"CMS", 195, "", sms.Permanent, "invalid SME address", clauseFCS, rule{hint: "Check the number."}},
	{"CMS", 196, "", sms.Permanent, "destination SME barred", clauseFCS, rule{hint: "The service centre sends nothing to this number."}},
	{"CMS", 197, "", sms.Accepted, "SM rejected: duplicate SM", clauseFCS, rule{}},
	{"CMS", 198, "", sms.Permanent, "TP-VPF not supported", clauseFCS, rule{cure: dropValidity}},
	{"CMS", 199, "", sms.Permanent, "TP-VP not supported", clauseFCS, rule{cure: dropValidity}},
	{"CMS", 208, "", sms.Now, "(U)SIM SMS storage full", clauseFCS, rule{cure: makeRoom}},
	{"CMS", 209, "", sms.Now, "no SMS storage capability in (U)SIM", clauseFCS, rule{cure: makeRoom}},
	{"CMS", 210, "", sms.Fault, "error in MS", clauseFCS, rule{}},
	{"CMS", 211, "", sms.Now, "memory capacity exceeded", clauseFCS, rule{cure: makeRoom}},
	{"CMS", 212, "", sms.Now, "(U)SIM application toolkit busy", clauseFCS, rule{cure: makeRoom, hold: 2 * time.Second}},
	{"CMS", 213, "", sms.Now, "(U)SIM data download error", clauseFCS, rule{cure: makeRoom}},
	{"CMS", 255, "", sms.Fault, "unspecified error cause", clauseFCS, rule{}},

	{"CMS", 300, "", sms.Fault, "ME failure", clauseCMS, rule{}},
	{"CMS", 301, "", sms.Fault, "SMS service of ME reserved", clauseCMS, rule{hint: hintConfigure}},
	{"CMS", 302, "", sms.Fault, "operation not allowed", clauseCMS, rule{cure: waitForBoot, hint: hintConfigure}},
	{"CMS", 303, "", sms.Fault, "operation not supported", clauseCMS, rule{hint: hintConfigure}},
	{"CMS", 304, "", sms.Permanent, "invalid PDU mode parameter", clauseCMS, rule{hint: hintPDU}},
	{"CMS", 305, "", sms.Permanent, "invalid text mode parameter", clauseCMS, rule{hint: hintPDU}},
	{"CMS", 310, "", sms.Account, "(U)SIM not inserted", clauseCMS, rule{hint: hintInsert}},
	{"CMS", 311, "", sms.Account, "(U)SIM PIN required", clauseCMS, rule{hint: hintPIN}},
	{"CMS", 312, "", sms.Account, "PH-(U)SIM PIN required", clauseCMS, rule{hint: hintLock}},
	{"CMS", 313, "", sms.Fault, "(U)SIM failure", clauseCMS, rule{cure: resetOnce, hint: hintInsert}},
	{"CMS", 314, "", sms.Now, "(U)SIM busy", clauseCMS, rule{hold: 2 * time.Second}},
	{"CMS", 315, "", sms.Account, "(U)SIM wrong", clauseCMS, rule{hint: hintLock}},
	{"CMS", 316, "", sms.Account, "(U)SIM PUK required", clauseCMS, rule{hint: hintPUK}},
	{"CMS", 317, "", sms.Account, "(U)SIM PIN2 required", clauseCMS, rule{hint: hintPIN}},
	{"CMS", 318, "", sms.Account, "(U)SIM PUK2 required", clauseCMS, rule{hint: hintPUK}},
	{"CMS", 320, "", sms.Fault, "memory failure", clauseCMS, rule{}},
	{"CMS", 321, "", sms.Now, "invalid memory index", clauseCMS, rule{hint: "No answer to sending."}},
	{"CMS", 322, "", sms.Now, "memory full", clauseCMS, rule{cure: makeRoom}},
	{"CMS", 330, "", sms.Account, "SMSC address unknown", clauseCMS, rule{cure: setCentre, hint: "Set smsc of this modem in the configuration, or store the network's SMSC number on the SIM."}},
	{"CMS", 331, "", sms.Later, "no network service", clauseCMS, rule{cure: findNetwork, hint: "Check the antenna and where the modem stands."}},
	{"CMS", 332, "", sms.Unknown, "network timeout", clauseCMS, rule{}},
	{"CMS", 340, "", sms.Now, "no +CNMA acknowledgement expected", clauseCMS, rule{hint: "No answer to sending."}},
	{"CMS", 500, "", sms.Fault, "unknown error", clauseCMS, rule{silent: true}},

	{"CMS", 350, "QUECTEL", sms.Fault, "unknown error", "Quectel forum 15555", rule{silent: true}},
	{"CMS", 512, "QUECTEL", sms.Now, "SIM not ready", "Quectel EC2x manual", rule{hold: 5 * time.Second}},
	{"CMS", 513, "QUECTEL", sms.Permanent, "message length exceeds", "Quectel EC2x manual", rule{hint: hintPDU}},
	{"CMS", 514, "QUECTEL", sms.Permanent, "invalid request parameters", "Quectel EC2x manual", rule{hint: hintPDU}},
	{"CMS", 515, "QUECTEL", sms.Fault, "ME storage failure", "Quectel EC2x manual", rule{}},
	{"CMS", 517, "QUECTEL", sms.Fault, "invalid service mode", "Quectel EC2x manual", rule{hint: hintConfigure}},
	{"CMS", 528, "QUECTEL", sms.Now, "more message to send state error", "Quectel EC2x manual", rule{cure: closeLink}},
	{"CMS", 529, "QUECTEL", sms.Account, "MO SMS is not allowed", "Quectel EC2x manual", rule{hint: hintSIM}},
	{"CMS", 530, "QUECTEL", sms.Later, "GPRS is suspended", "Quectel EC2x manual", rule{network: true}},
	{"CMS", 531, "QUECTEL", sms.Now, "ME storage full", "Quectel EC2x manual", rule{cure: makeRoom}},

	{"CMS", 224, "SIMCOM", sms.Unknown, "CP retry exceed", "SIMCom manual", rule{}},
	{"CMS", 225, "SIMCOM", sms.Unknown, "RP trim timeout", "SIMCom manual", rule{}},
	{"CMS", 226, "SIMCOM", sms.Unknown, "SMS connection broken", "SIMCom manual", rule{}},
	{"CMS", 512, "SIMCOM", sms.Fault, "no error", "SIM800 manual", rule{silent: true}},
	{"CMS", 513, "SIMCOM", sms.Permanent, "message length exceeds", "SIM800 manual", rule{hint: hintPDU}},
	{"CMS", 514, "SIMCOM", sms.Permanent, "invalid request parameters", "SIM800 manual", rule{hint: hintPDU}},
	{"CMS", 515, "SIMCOM", sms.Fault, "ME storage failure", "SIM800 manual", rule{}},
	{"CMS", 517, "SIMCOM", sms.Now, "request error 517", "SIM800 manual", rule{times: 2, hint: hintPDU}},
	{"CMS", 518, "SIMCOM", sms.Now, "request error 518", "SIM800 manual", rule{times: 2, hint: hintPDU}},
	{"CMS", 519, "SIMCOM", sms.Now, "request error 519", "SIM800 manual", rule{times: 2, hint: hintPDU}},
	{"CMS", 520, "SIMCOM", sms.Now, "request error 520", "SIM800 manual", rule{times: 2, hint: hintPDU}},
	{"CMS", 521, "SIMCOM", sms.Now, "not ready", "SIM800 manual", rule{hold: 5 * time.Second}},
	{"CMS", 522, "SIMCOM", sms.Now, "request error 522", "SIM800 manual", rule{times: 2, hint: hintPDU}},
	{"CMS", 523, "SIMCOM", sms.Now, "request error 523", "SIM800 manual", rule{times: 2, hint: hintPDU}},
	{"CMS", 524, "SIMCOM", sms.Now, "request error 524", "SIM800 manual", rule{times: 2, hint: hintPDU}},
	{"CMS", 528, "SIMCOM", sms.Now, "more message to send state error", "SIM800 manual", rule{cure: closeLink}},
	{"CMS", 529, "SIMCOM", sms.Account, "MO SMS is not allowed", "SIM800 manual", rule{hint: hintSIM}},
	{"CMS", 530, "SIMCOM", sms.Later, "GPRS is suspended", "SIM800 manual", rule{network: true}},
	{"CMS", 531, "SIMCOM", sms.Now, "ME storage full", "SIM800 manual", rule{cure: makeRoom}},
	{"CMS", 532, "SIMCOM", sms.Now, "SIM refresh", "SIM800 manual", rule{hold: 5 * time.Second}},

	{"CMS", 512, "TELIT", sms.Later, "no SM resources", "Telit manual", rule{network: true}},
	{"CMS", 513, "TELIT", sms.Unknown, "TR1M timeout", "Telit manual", rule{}},
	{"CMS", 514, "TELIT", sms.Unknown, "LL error", "Telit manual", rule{}},
	{"CMS", 515, "TELIT", sms.Unknown, "no response from network", "Telit manual", rule{}},

	{"CMS", 512, "WAVECOM|SIERRA", sms.Now, "MM establishment failure", "Wavecom manual", rule{network: true, hint: "A weak signal, or a message that came in just then."}},
	{"CMS", 513, "WAVECOM|SIERRA", sms.Unknown, "lower layer failure", "Wavecom manual", rule{}},
	{"CMS", 514, "WAVECOM|SIERRA", sms.Later, "CP error, congestion", "Wavecom manual", rule{network: true}},
	{"CMS", 515, "WAVECOM|SIERRA", sms.Now, "service not available, init in progress", "Wavecom manual", rule{hold: 5 * time.Second}},
	{"CMS", 517, "WAVECOM|SIERRA", sms.Now, "SIM application toolkit error 517", "Wavecom manual", rule{}},
	{"CMS", 518, "WAVECOM|SIERRA", sms.Now, "SIM application toolkit error 518", "Wavecom manual", rule{}},
	{"CMS", 519, "WAVECOM|SIERRA", sms.Now, "SIM application toolkit error 519", "Wavecom manual", rule{}},
	{"CMS", 520, "WAVECOM|SIERRA", sms.Now, "SIM application toolkit error 520", "Wavecom manual", rule{}},
	{"CMS", 521, "WAVECOM|SIERRA", sms.Now, "SIM application toolkit error 521", "Wavecom manual", rule{}},
	{"CMS", 522, "WAVECOM|SIERRA", sms.Now, "SIM application toolkit error 522", "Wavecom manual", rule{}},
	{"CMS", 523, "WAVECOM|SIERRA", sms.Now, "SIM application toolkit error 523", "Wavecom manual", rule{}},
	{"CMS", 524, "WAVECOM|SIERRA", sms.Now, "SIM application toolkit error 524", "Wavecom manual", rule{}},
	{"CMS", 531, "WAVECOM|SIERRA", sms.Permanent, "FDN lock", "Wavecom manual", rule{hint: "The SIM's fixed dialling numbers forbid this recipient."}},

	{"CME", 0, "", sms.Fault, "phone failure", clauseCME, rule{}},
	{"CME", 3, "", sms.Account, "operation not allowed", clauseCME, rule{perhaps: true, times: 2, hint: hintConfigure}},
	{"CME", 4, "", sms.Account, "operation not supported", clauseCME, rule{perhaps: true, times: 2, hint: hintConfigure}},
	{"CME", 5, "", sms.Account, "PH-(U)SIM PIN required", clauseCME, rule{hint: hintLock}},
	{"CME", 6, "", sms.Account, "PH-F(U)SIM PIN required", clauseCME, rule{hint: hintLock}},
	{"CME", 7, "", sms.Account, "PH-F(U)SIM PUK required", clauseCME, rule{hint: hintLock}},
	{"CME", 10, "", sms.Account, "(U)SIM not inserted", clauseCME, rule{hint: hintInsert}},
	{"CME", 11, "", sms.Account, "(U)SIM PIN required", clauseCME, rule{hint: hintPIN}},
	{"CME", 12, "", sms.Account, "(U)SIM PUK required", clauseCME, rule{hint: hintPUK}},
	{"CME", 13, "", sms.Fault, "(U)SIM failure", clauseCME, rule{cure: resetOnce, hint: hintInsert}},
	{"CME", 14, "", sms.Now, "(U)SIM busy", clauseCME, rule{hold: 2 * time.Second}},
	{"CME", 15, "", sms.Account, "(U)SIM wrong", clauseCME, rule{hint: hintLock}},
	{"CME", 16, "", sms.Account, "incorrect password", clauseCME, rule{hint: hintPIN}},
	{"CME", 17, "", sms.Account, "(U)SIM PIN2 required", clauseCME, rule{hint: hintPIN}},
	{"CME", 18, "", sms.Account, "(U)SIM PUK2 required", clauseCME, rule{hint: hintPUK}},
	{"CME", 20, "", sms.Now, "memory full", clauseCME, rule{cure: makeRoom}},
	{"CME", 21, "", sms.Now, "invalid index", clauseCME, rule{hint: "No answer to sending."}},
	{"CME", 22, "", sms.Now, "not found", clauseCME, rule{hint: "No answer to sending."}},
	{"CME", 23, "", sms.Fault, "memory failure", clauseCME, rule{}},
	{"CME", 30, "", sms.Later, "no network service", clauseCME, rule{cure: findNetwork, hint: "Check the antenna and where the modem stands."}},
	// As +CMS ERROR 332: a network that did not answer may have the message.
	{"CME", 31, "", sms.Unknown, "network timeout", clauseCME, rule{}},
	{"CME", 32, "", sms.Later, "network not allowed - emergency calls only", clauseCME, rule{stays: true, hint: hintSIM}},
	{"CME", 40, "", sms.Account, "network personalization PIN required", clauseCME, rule{hint: hintLock}},
	{"CME", 41, "", sms.Account, "network personalization PUK required", clauseCME, rule{hint: hintLock}},
	{"CME", 42, "", sms.Account, "network subset personalization PIN required", clauseCME, rule{hint: hintLock}},
	{"CME", 43, "", sms.Account, "network subset personalization PUK required", clauseCME, rule{hint: hintLock}},
	{"CME", 44, "", sms.Account, "service provider personalization PIN required", clauseCME, rule{hint: hintLock}},
	{"CME", 45, "", sms.Account, "service provider personalization PUK required", clauseCME, rule{hint: hintLock}},
	{"CME", 46, "", sms.Account, "corporate personalization PIN required", clauseCME, rule{hint: hintLock}},
	{"CME", 47, "", sms.Account, "corporate personalization PUK required", clauseCME, rule{hint: hintLock}},
	{"CME", 48, "", sms.Account, "hidden key required", clauseCME, rule{hint: hintLock}},
	{"CME", 50, "", sms.Account, "incorrect parameters", clauseCME, rule{perhaps: true, times: 2, hint: hintConfigure}},
	{"CME", 100, "", sms.Fault, "unknown", clauseCME, rule{silent: true}},
	{"CME", 103, "", sms.Later, "illegal MS", clauseCME, rule{stays: true, hint: "The network does not accept this SIM."}},
	{"CME", 106, "", sms.Later, "illegal ME", clauseCME, rule{stays: true, hint: "The network does not accept this modem's IMEI."}},
	{"CME", 111, "", sms.Later, "PLMN not allowed", clauseCME, rule{network: true}},
	{"CME", 112, "", sms.Later, "location area not allowed", clauseCME, rule{network: true}},
	{"CME", 113, "", sms.Later, "roaming not allowed in this location area", clauseCME, rule{network: true}},
	{"CME", 126, "", sms.Now, "operation temporarily not allowed", clauseCME, rule{hold: 2 * time.Second}},
	{"CME", 256, "", sms.Now, "operation temporarily not allowed", "makers' manuals", rule{hold: 2 * time.Second}},
	{"CME", 262, "", sms.Account, "SIM blocked", "makers' manuals", rule{hint: "The SIM is dead; it needs replacing."}},
	{"CME", 515, "", sms.Now, "please wait, init or command processing in progress", "makers' manuals", rule{hold: 2 * time.Second}},
	{"CME", 772, "", sms.Account, "SIM powered down", "makers' manuals", rule{hint: hintInsert}},

	{"COMMAND NOT SUPPORT", -1, "", sms.Account, "command not supported", "Huawei", rule{perhaps: true, times: 2, hint: hintConfigure}},
	{"TOO MANY PARAMETERS", -1, "", sms.Account, "too many parameters", "makers' manuals", rule{perhaps: true, times: 2, hint: hintConfigure}},
	{"MODEM ERROR", -1, "", sms.Fault, "modem error", "ModemManager", rule{silent: true}},
	{"NA", -1, "", sms.Fault, "not available", "gammu", rule{silent: true}},
	{"ERROR", -1, "", sms.Fault, "unspecified error", "TS 27.007 9.1", rule{silent: true}},
}

// unlisted stands for every code that is in no table.
var unlisted = meaning{"", -1, "", sms.Fault, "unspecified error", "", rule{silent: true}}
