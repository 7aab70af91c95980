package lan

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// Console is what a box says to who stands before it, while nobody has claimed it.
type Console struct {
	Addresses   []string // on the local network, the one to try first in front; none: nobody reaches it there
	Local       string   // on this machine; "" nowhere
	Code        string   // the first-run code
	Fingerprint string   // of the certificate that the box shows; "": none
	Own         bool     // it was made by the box itself, so browsers warn of it
}

// Welcome is the page at an address where somebody becomes the first admin. The
// code stands behind the #, so that no browser sends it and no log has it.
func Welcome(address, code string) string { return address + "/welcome#" + code }

// Text is what the console shows.
func (c Console) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("gatewayd waits for its first person.")
	line("")
	if len(c.Addresses) == 0 {
		if c.Local != "" {
			line("It is reached from this machine only:")
			line("")
			line("  %s", Welcome(c.Local, c.Code))
			line("")
		}
		line("For a phone on the same network: gatewayd setup --lan")
		line("First-run code: %s", c.Code)
		return b.String()
	}
	if code, err := qr.Encode(Welcome(c.Addresses[0], c.Code), qr.L); err == nil {
		line("Scan this with a phone that is on the same network:")
		line("")
		b.WriteString(halfBlocks(code))
		line("")
	}
	line("  %s", Welcome(c.Addresses[0], c.Code))
	if len(c.Addresses) > 1 {
		line("")
		line("or, where that name is not found:")
		line("")
		for _, a := range c.Addresses[1:] {
			line("  %s", Welcome(a, c.Code))
		}
	}
	line("")
	line("First-run code: %s   (who has it becomes the admin)", c.Code)
	if c.Own {
		line("")
		line("The browser will warn that it does not know the certificate: this box made it")
		line("itself. Go on, or look first: the authority that the browser shows must have")
		line("this fingerprint (SHA-256):")
		line("")
		half := len(c.Fingerprint) / 2
		line("  %s", c.Fingerprint[:half+1])
		line("  %s", c.Fingerprint[half+1:])
	}
	return b.String()
}

// quiet is the white frame that a QR code needs, in modules.
const quiet = 2

// halfBlocks draws a code for a terminal, two modules in the height of one
// character, light on dark as consoles are.
func halfBlocks(c *qr.Code) string {
	var b strings.Builder
	light := func(x, y int) bool { return !c.Black(x, y) } // outside of it too
	for y := -quiet; y < c.Size+quiet; y += 2 {
		b.WriteString("  ")
		for x := -quiet; x < c.Size+quiet; x++ {
			upper, lower := light(x, y), light(x, y+1) && y+1 < c.Size+quiet
			switch {
			case upper && lower:
				b.WriteString("█")
			case upper:
				b.WriteString("▀")
			case lower:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
