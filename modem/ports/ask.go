package ports

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"gatewayd/modem/at"
)

// Identity is what a modem says of itself.
type Identity struct {
	Manufacturer string `json:"manufacturer"`
	Model        string `json:"model"`
	IMEI         string `json:"imei"`  // "" if it does not tell
	ICCID        string `json:"iccid"` // "" without a SIM, or one that does not tell before its PIN
	SIM          string `json:"sim"`   // what +CPIN? says: READY, SIM PIN …; "" unknown, "none" if there is none
}

const (
	short    = 3 * time.Second
	wakes    = 3 // tries of AT
	patience = 2 // commands without an answer, before a port is given up
)

// errNoSMS says that a port takes commands, but none for messages.
var errNoSMS = errors.New("it answers AT, but no question about messages")

// line is a conversation on one port.
type line struct {
	ctx     context.Context
	port    *at.Port
	sniff   *sniffer
	stop    func() bool
	silence int // commands in a row without an answer
}

func talk(ctx context.Context, rwc io.ReadWriteCloser) *line {
	l := &line{ctx: ctx, sniff: &sniffer{ReadWriteCloser: rwc}}
	l.port = at.Attach(l.sniff, slog.New(slog.DiscardHandler), func(at.URC) {})
	l.stop = context.AfterFunc(ctx, func() { l.sniff.Close() }) // also from a write that hangs
	return l
}

func (l *line) Close() error {
	l.stop()
	return l.port.Close()
}

// wake leaves a prompt that may be open, finds out whether AT is answered, and
// whether a question is: a port that says OK to everything stops here.
func (l *line) wake() error {
	return l.why(l.port.Resync(l.ctx, wakes))
}

// why prefers what the sniffer heard to what came of it.
func (l *line) why(err error) error {
	if found := l.sniff.found(); found != nil {
		return found
	}
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	return err
}

// ask returns the answer's lines; nil if the command is refused or not
// answered. It fails only when the port is of no more use.
func (l *line) ask(c at.Command) ([]string, error) {
	if c.Timeout == 0 {
		c.Timeout = short
	}
	lines, err := l.port.Do(l.ctx, c)
	var refused *at.Error
	switch {
	case err == nil, errors.As(err, &refused):
		l.silence = 0
		return lines, nil
	case errors.Is(err, at.ErrTimeout):
		if l.silence++; l.silence < patience {
			return nil, nil
		}
	}
	return nil, l.why(err)
}

// first asks in several ways until one is answered as it should be.
func (l *line) first(read func(string) string, mine func(string) bool, commands ...string) (string, error) {
	for _, c := range commands {
		lines, err := l.ask(at.Command{Line: c, Mine: mine})
		if err != nil {
			return "", err
		}
		for _, s := range lines {
			if s = read(s); s != "" {
				return s, nil
			}
		}
	}
	return "", nil
}

// interrogate finds out whether a port takes SMS commands, and whose they are.
// It changes nothing but echo and the form of errors, which every program sets
// for itself.
func (l *line) interrogate() (Identity, error) {
	var id Identity
	if err := l.wake(); err != nil {
		return id, err
	}
	for _, c := range []string{"ATE0", "AT+CMEE=1"} {
		if _, err := l.ask(at.Command{Line: c}); err != nil {
			return id, err
		}
	}
	var err error
	if id.Manufacturer, err = l.first(words, nil, "AT+CGMI", "AT+GMI"); err != nil {
		return id, err
	}
	if id.Model, err = l.first(words, nil, "AT+CGMM", "AT+GMM"); err != nil {
		return id, err
	}
	if id.IMEI, err = l.first(imei, func(s string) bool { return imei(s) != "" }, "AT+CGSN", "AT+GSN", "AT+CGSN=1"); err != nil {
		return id, err
	}
	told, err := l.sim(&id)
	if err != nil {
		return id, err
	}
	if !told {
		if told, err = l.messages(); err != nil {
			return id, err
		}
	}
	if !told {
		return id, errNoSMS
	}
	if id.SIM != "none" {
		id.ICCID, err = l.first(iccid, func(s string) bool { return iccid(s) != "" }, "AT+CCID", "AT+ICCID", "AT+QCCID", "AT^ICCID?")
	}
	return id, err
}

// sim asks for the SIM's state; told is whether a modem's answer came.
func (l *line) sim(id *Identity) (told bool, err error) {
	lines, err := l.port.Do(l.ctx, at.Command{Line: "AT+CPIN?", Mine: isPIN, Lenient: true, Timeout: short})
	var refused *at.Error
	switch {
	case err == nil && len(lines) > 0:
		id.SIM = words(lines[len(lines)-1])
		return true, nil
	case err == nil: // OK and nothing else
		return false, nil
	case errors.As(err, &refused):
		if refused.Set == "CME" && refused.Code == 10 {
			id.SIM = "none"
		}
		// Only a modem knows the errors of a SIM.
		return refused.Set == "CME" && refused.Code >= 10 && refused.Code <= 18 && id.IMEI != "", nil
	case errors.Is(err, at.ErrTimeout):
		return false, nil
	}
	return false, l.why(err)
}

// messages asks for what only a port for messages has a real answer to.
func (l *line) messages() (told bool, err error) {
	for _, name := range []string{"+CMGF", "+CNMI"} {
		lines, err := l.ask(at.Command{Line: "AT" + name + "=?", Prefix: name})
		if err != nil || len(lines) > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// isPIN also takes the bare READY of old modems.
func isPIN(s string) bool {
	return strings.HasPrefix(s, "+CPIN:") || s == "READY" || s == "SIM PIN" || s == "SIM PUK"
}

// words is an answer without its prefix and quotes.
func words(s string) string {
	if strings.HasPrefix(s, "+") {
		if _, rest, ok := strings.Cut(s, ":"); ok {
			s = rest
		}
	}
	return strings.Trim(s, `" `)
}

// imei finds the 14 to 16 digits of an IMEI (with or without check digit or
// software version), plain or behind a prefix; "" if there is none.
func imei(s string) string {
	s = words(s)
	if i := strings.IndexAny(s, ",/ "); i >= 0 {
		s = strings.Trim(s[:i], `"`)
	}
	if n := len(s); n < 14 || n > 16 || digits(s) != n {
		return ""
	}
	return s
}

// iccid finds a SIM's number; all begin with 89. Some modems give the file's
// octets as they are, with the halves swapped, and fill up with F.
func iccid(s string) string {
	fields := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(` ,:"`, r) })
	slices.Reverse(fields)
	for _, f := range fields {
		f = strings.ToUpper(f)
		if len(f) < 18 || len(f) > 22 || strings.Trim(f, "0123456789ABCDEF") != "" {
			continue
		}
		if strings.HasPrefix(f, "98") {
			b := []byte(f)
			for i := 0; i+1 < len(b); i += 2 {
				b[i], b[i+1] = b[i+1], b[i]
			}
			f = string(b)
		}
		if f = strings.TrimRight(f, "F"); strings.HasPrefix(f, "89") && digits(f) >= 18 {
			return f
		}
	}
	return ""
}
