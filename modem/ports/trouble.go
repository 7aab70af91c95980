package ports

import "fmt"

// Trouble says in words why d can't be used as it is, and what to do about it;
// both are empty if nothing is known against it.
func (d Device) Trouble() (reason, advice string) {
	switch d.Mode {
	case NotSwitched:
		reason = "It shows itself as a CD-ROM, not as a modem."
		advice = "Install usb-modeswitch and usb-modeswitch-data, then unplug it and plug it in again."
		if u := unswitchedOf(d.ID()); u != nil && u.hilink {
			advice = "This model usually becomes a network card without a serial port (HiLink); it needs the maker's stick firmware to send texts."
		}
	case NetworkOnly:
		reason = "It is in HiLink or router mode: a network card without a serial port."
		advice = "It needs firmware for stick mode, or another modem."
	case QMIOnly:
		reason = "It offers QMI or MBIM only, and no AT port."
		advice = "Switch it to a USB mode with AT ports (its maker's manual names the command), then plug it in again."
	case NoDriver:
		reason = "No driver has taken its serial ports."
		advice = fmt.Sprintf("Run: modprobe option; echo %s %s > /sys/bus/usb-serial/drivers/option1/new_id", d.Vendor, d.Product)
	case Serial:
		if d.Policy == Never && !d.Named {
			reason = "It says that it is something else than a modem, and is left alone."
			advice = "If it is a modem all the same, name its port under modems.list."
		} else if len(d.Candidates()) == 0 {
			reason = "The port that takes its AT commands is not there."
			advice = "Unplug it and plug it in again; if it stays so, its USB mode lacks the AT port."
		}
	}
	return reason, advice
}
