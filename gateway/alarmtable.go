package gateway

import (
	"time"

	"gatewayd/sms"
)

//go:generate go test -run TestAlarmPage -update .

// alarmKind is what is said of one code.
type alarmKind struct {
	code     string
	severity sms.Severity
	title    string        // as a rule
	grace    time.Duration // so long it must be so before it is told
	hold     time.Duration // so long it must be well before it is over
	means    string
	advice   string
}

// The codes of alarms.
const (
	modemDown       = "modem-down"
	modemParked     = "modem-parked"
	modemDeaf       = "modem-deaf"
	balanceLow      = "balance-low"
	balanceUnknown  = "balance-unknown"
	topUpDue        = "top-up-due"
	simLimit        = "sim-limit"
	queueFull       = "queue-full"
	inboundFull     = "inbound-full"
	queueOld        = "queue-old"
	failureRate     = "failure-rate"
	webhookFailing  = "webhook-failing"
	webhookDisabled = "webhook-disabled"
	heartbeatFails  = "heartbeat-failing"
	diskLow         = "disk-low"
	diskFull        = "disk-full"
	underVoltage    = "under-voltage"
	clockNotSet     = "clock-not-set"
	messagesHeld    = "messages-held"
	backupOld       = "backup-old"
	senderBlocked   = "chat-sender-blocked"
	hubLinkDown     = "hub-link-down"
	gatewayIsAway   = "gateway-away"
)

// alarmTable says of each code what it is; docs/alarms.md is made of it.
var alarmTable = []alarmKind{
	{modemDown, sms.SeverityCritical, "The modem is down", graceAbsent, 30 * time.Second,
		"Nothing can be sent through the modem: it is unplugged or silent (told within 3 s), another program holds it (1 min), its SIM is missing or locked (10 s), the network refuses it (1 min), or it finds no network (5 min).",
		"The detail says which. If the modem is gone for good, have it forgotten or take it out of the configuration."},
	{modemParked, sms.SeverityCritical, "The modem is set aside", 0, 0,
		"The network or the account refuses what the SIM sends, or nothing that can be done from here heals the modem.",
		"The detail says why and what to look at: credit, contract, power supply."},
	{modemDeaf, sms.SeverityCritical, "Nothing arrives at the modem", 0, 0,
		"The modem is registered, and what the network has for it does not arrive.",
		"It is healed by itself if that can be done; else unplug it for ten seconds."},
	{balanceLow, sms.SeverityWarning, "The SIM's balance is low", 0, 0,
		"The balance that the network told is below `balance.low`.", "Top the SIM up."},
	{balanceUnknown, sms.SeverityWarning, "The SIM's balance can't be read", 0, 0,
		"The network does not tell the balance, or `balance.pattern` finds no amount in its answer.", "Check `balance.code` and `balance.pattern`."},
	{topUpDue, sms.SeverityWarning, "The SIM must be topped up", 0, 0,
		"The day of `top_up.by` comes near, or is past.", "Top it up and set the next date."},
	{simLimit, sms.SeverityCritical, "The SIM's limit is reached", 10 * time.Second, time.Minute,
		"A limit of the SIM (day, month or different numbers) is used up; from nine tenths on it is a warning.",
		"Raise the limit if the contract has room, add a SIM, or wait until it begins anew."},
	{queueFull, sms.SeverityCritical, "The outbound queue is full", 0, 0,
		"New messages are refused with 503.", "Look at the modems; what waits is sent by itself."},
	{inboundFull, sms.SeverityCritical, "The queue of received messages is full", 0, 0,
		"Nothing more is read from the modems: SIM and network hold the rest.", "Look at the webhooks: they have not taken what is here."},
	{queueOld, sms.SeverityCritical, "Messages wait too long", time.Minute, time.Minute,
		"The oldest message that could go waits longer than `alarms.queue_age`.", "Look at the modems: one is down or slow, or there are too few for what is to be sent."},
	{failureRate, sms.SeverityWarning, "Many messages are refused", 2 * time.Minute, 10 * time.Minute,
		"Of the parts sent within an hour, 20 at least, a share of `alarms.failure_rate` per cent failed; it is over below half of that. Of one modem, or, without one, of all together.",
		"Look at the errors of the last messages: a SIM without credit, an antenna, a list of dead numbers."},
	{webhookFailing, sms.SeverityWarning, "A webhook fails", 0, time.Minute,
		"An endpoint has taken nothing for `alarms.webhook_failing`. What it is to get waits, for three days.", "Mend the receiver."},
	{webhookDisabled, sms.SeverityCritical, "A webhook is disabled", 0, 0,
		"An endpoint took nothing for three days, or answered 410. It gets nothing more.", "Mend the receiver, enable the webhook, and replay what it missed."},
	{heartbeatFails, sms.SeverityWarning, "The dead-man signal does not get through", 0, time.Minute,
		"`alarms.heartbeat_url` did not answer three times in a row.", "Check the address, and this machine's way to the internet."},
	{diskLow, sms.SeverityWarning, "The disk is nearly full", 0, 0,
		"Soon new messages must be refused.", "Make room on the disk of data_dir."},
	{diskFull, sms.SeverityCritical, "The disk is full", 0, 0,
		"New messages are refused. What was accepted is still sent.", "Make room on the disk of data_dir."},
	{underVoltage, sms.SeverityWarning, "The power supply is too weak", 0, 10 * time.Minute,
		"The board has told of too low a voltage.", "Use the board's own power supply, and power the modems by a hub of their own."},
	{clockNotSet, sms.SeverityWarning, "The clock is not set", 0, 0,
		"Nobody vouches for the time: nothing is scheduled and nothing expires.", "Connect it to a time server (NTP), or wait for the phone network's time."},
	{messagesHeld, sms.SeverityWarning, "What a backup left unfinished is held", 0, 0,
		"After a restore, unfinished messages wait for a verdict.", "Send them with `gatewayd restore --release`, or drop them with `--cancel`."},
	{backupOld, sms.SeverityWarning, "The last backup is old", 0, 0,
		"Backups were made, or tried, and the last that was made is older than `alarms.backup_age`.",
		"Look at `systemctl status gatewayd-backup.timer gatewayd-backup.service`, and at the room where they go."},
	{senderBlocked, sms.SeverityWarning, "A sender of the chat was blocked", 0, 0,
		"What somebody wrote by chat was answered with SPAM, THREAT or STOP as often as the rules allow. Nothing more goes out from there. It goes on until an admin has looked at all of them.",
		"On the page Abuse: open the account again, or keep it blocked."},
	{hubLinkDown, sms.SeverityWarning, "The hub can't be reached", time.Minute, 30 * time.Second,
		"The hub that this gateway belongs to does not answer. Everything here goes on; what it has for this gateway waits there, and what it is to hear waits here, for days if need be.",
		"The detail says why: the way to the internet, the hub itself, its certificate, or this gateway's credentials."},
	{gatewayIsAway, sms.SeverityCritical, "A gateway is away", 0, 0,
		"At the hub: a gateway, which `modem` names, was not heard for `hub.away_after`. What it has it goes on with; what it never got goes to others of its group, if it has one.",
		"Look at its power and its network. If it is gone for good, move its messages to another and delete it."},
}

// kindOf is what is said of a code.
func kindOf(code string) alarmKind {
	for _, k := range alarmTable {
		if k.code == code {
			return k
		}
	}
	return alarmKind{code: code, severity: sms.SeverityWarning}
}
