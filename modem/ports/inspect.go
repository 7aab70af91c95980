package ports

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"gatewayd/modem/at"
	"gatewayd/sms"
)

// Condition is how a modem is at this moment, as far as asking tells.
type Condition struct {
	SIM          string      `json:"sim"`          // as in Identity
	Radio        string      `json:"radio"`        // on, off, or "" if it does not tell
	SMSC         string      `json:"smsc"`         // the number of the service centre, "" if none is set
	Registration string      `json:"registration"` // home, roaming, searching, denied, emergency, none
	Operator     string      `json:"operator"`
	Signal       *sms.Signal `json:"signal"`  // null while unknown
	Storage      *Usage      `json:"storage"` // null while unknown
}

// Usage is how full the storage for received messages is.
type Usage struct {
	Used  int `json:"used"`
	Total int `json:"total"`
}

// CanSend tells whether nothing stands against sending a text, and says what
// does in words.
func (c Condition) CanSend() (ok bool, reason, advice string) {
	switch {
	case c.SIM == "none":
		reason, advice = "There is no SIM in it.", "Put a SIM in; check that it sits the right way round."
	case c.SIM == "SIM PIN":
		reason, advice = "The SIM asks for its PIN.", "Set pin or pin_file of this modem in the configuration, or switch the PIN off with a phone."
	case c.SIM == "SIM PUK":
		reason, advice = "The SIM asks for its PUK after too many wrong PINs.", "Put the SIM into a phone and enter the PUK there; gatewayd never does."
	case strings.HasPrefix(c.SIM, "PH-"):
		reason, advice = "It is locked to another network or SIM ("+c.SIM+").", "Use a SIM of the operator that sold it, or have it unlocked."
	case c.SIM != "READY":
		reason, advice = "The SIM is not ready.", "Wait half a minute and ask again; else take the SIM out and put it in again."
	case c.Radio == "off":
		reason, advice = "Its radio is off.", "gatewayd run switches it on."
	case c.Registration == "denied":
		reason, advice = "The network refuses this SIM.", "Check that the SIM is active and may be used in this network and in this modem."
	case c.Registration == "emergency":
		reason, advice = "The network allows emergency calls only.", "Check that the SIM is active and has a contract for this network."
	case c.Registration != "home" && c.Registration != "roaming":
		reason, advice = "It is not registered with a network.", "Wait a minute and ask again; then check the antenna and where it stands."
	case c.SMSC == "":
		reason, advice = "No service centre is set on the SIM.", "Put the SIM into a phone and set the message centre's number that its operator names."
	default:
		return true, "", ""
	}
	return false, reason, advice
}

// Inspect asks a port that Probe has found how its modem is. It changes no
// more than Probe does, and the form in which the operator is named.
func Inspect(ctx context.Context, open Opener, path string) (Condition, error) {
	var c Condition
	rwc, err := open(path)
	if err != nil {
		return c, err
	}
	l := talk(ctx, rwc)
	defer l.Close()
	if err := l.wake(); err != nil {
		return c, err
	}
	if _, err := l.ask(at.Command{Line: "AT+CMEE=1"}); err != nil {
		return c, err
	}
	var id Identity
	if _, err := l.sim(&id); err != nil {
		return c, err
	}
	c.SIM = id.SIM
	var reg registration
	for _, q := range []struct {
		command string
		prefix  string
		read    func(rest string)
	}{
		{"AT+CFUN?", "+CFUN", func(s string) { c.Radio = radio(s) }},
		{"AT+CSCA?", "+CSCA", func(s string) { c.SMSC = fromUCS2(fields(s)[0]) }},
		{"AT+CREG?", "+CREG", reg.read},
		{"AT+CGREG?", "+CGREG", reg.read},
		{"AT+CEREG?", "+CEREG", reg.read},
		{"AT+COPS=3,0", "+COPS", nil},
		{"AT+COPS?", "+COPS", func(s string) {
			if f := fields(s); len(f) >= 3 {
				c.Operator = fromUCS2(f[2])
			}
		}},
		{"AT+CSQ", "+CSQ", func(s string) { c.Signal = signal(s) }},
		{"AT+CPMS?", "+CPMS", func(s string) { c.Storage = usage(s) }},
	} {
		lines, err := l.ask(at.Command{Line: q.command, Prefix: q.prefix, Timeout: 5 * time.Second})
		if err != nil {
			return c, err
		}
		for _, s := range lines {
			if _, rest, ok := strings.Cut(s, ":"); ok && q.read != nil {
				q.read(strings.TrimSpace(rest))
			}
		}
	}
	c.Registration = reg.String()
	return c, nil
}

// registration collects the states of the three domains: any will do.
type registration struct{ states []int }

// read takes `n,stat[,…]`.
func (r *registration) read(s string) {
	if f := fields(s); len(f) >= 2 {
		if n, err := strconv.Atoi(f[1]); err == nil {
			r.states = append(r.states, n)
		}
	}
}

func (r *registration) String() string {
	for _, group := range []struct {
		word   string
		states []int
	}{{"home", []int{1, 6, 9}}, {"roaming", []int{5, 7, 10}}, {"searching", []int{2}}, {"denied", []int{3}}, {"emergency", []int{8}}} {
		for _, s := range group.states {
			for _, have := range r.states {
				if s == have {
					return group.word
				}
			}
		}
	}
	return "none"
}

func radio(s string) string {
	switch fields(s)[0] {
	case "1":
		return "on"
	case "0", "4":
		return "off"
	}
	return ""
}

// signal reads `rssi,ber` of +CSQ; nil if it is not known.
func signal(s string) *sms.Signal {
	r, err := strconv.Atoi(fields(s)[0])
	if err != nil {
		return nil
	}
	var g sms.Signal
	switch {
	case r >= 0 && r <= 31:
		g.DBm = -113 + 2*r
	case r >= 100 && r <= 191: // the other scale, of some 3G and LTE modules
		g.DBm = -116 + r - 100
		r = max(0, min(31, (g.DBm+113)/2))
	default:
		return nil
	}
	g.Percent = (r*100 + 15) / 31
	switch {
	case r >= 10:
		g.Quality = "good"
	case r >= 5:
		g.Quality = "fair"
	case r >= 1:
		g.Quality = "poor"
	default:
		g.Quality = "none"
	}
	return &g
}

// usage reads the first storage of `"SM",3,30,"SM",3,30,…`.
func usage(s string) *Usage {
	f := fields(s)
	if len(f) < 3 {
		return nil
	}
	used, err := strconv.Atoi(f[1])
	total, err2 := strconv.Atoi(f[2])
	if err != nil || err2 != nil {
		return nil
	}
	return &Usage{used, total}
}

// fields cuts at the commas outside of quotes; there is always one.
func fields(s string) []string {
	var all []string
	quoted, from := false, 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == ',' && !quoted:
			all = append(all, strings.Trim(strings.TrimSpace(s[from:i]), `"`))
			from = i + 1
		case s[i] == '"':
			quoted = !quoted
		}
	}
	return all
}

// fromUCS2 reads text that an earlier program has had the modem write as hex.
func fromUCS2(s string) string {
	if len(s) < 8 || len(s)%4 != 0 {
		return s
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return s
	}
	number := digits(s) == len(s) // 08112233 is a number, and hex as well
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
		if units[i] < ' ' || units[i] >= 0x3000 || number && units[i] >= 0x80 {
			return s
		}
	}
	return string(utf16.Decode(units))
}
