package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"gatewayd/client"
)

// sender is the command line of gatewayd send.
type sender struct {
	target
	to       string
	data     string
	clientID string
	wait     bool
	common   common
	csv      csvFlags
}

// common are the fields that one message and all rows of a file may have.
type common struct {
	from, gateway, at, expires, onUnconfirmed, callback string
	priority, port                                      int
	unicode                                             string
	flash, noReport, rejectIfLate                       bool
	metadata                                            []string
}

const sendLong = `Send a text through the running daemon, or a file of them.

  gatewayd send --to +491701234567 "Your parcel is here."
  date | gatewayd send --to +491701234567 --wait -
  gatewayd send --csv people.csv --text "Hello {{.name}}, see you on {{.day}}."

The file's first line names its columns: to, and text unless --text makes it of
the others; priority, send_at, expires_at, from and client_id are understood
too. All rows are checked before any is sent. What was accepted is noted in
FILE.sent, so that the same command again, after Ctrl-C or a crash, goes on
where it was and sends nothing twice.

The exit status is 0 once the daemon has the messages on disk; with --wait once
the phone has the text (or the network, if no report was asked for).`

func sendCommand() *cobra.Command {
	var s sender
	cmd := &cobra.Command{
		Use:   "send --to NUMBER TEXT | send --csv FILE",
		Short: "Send a text, or a file of them, through the running daemon",
		Long:  sendLong,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.csv.file != "" {
				return s.sendFile(cmd, args)
			}
			return s.sendOne(cmd, args)
		},
	}
	s.target.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&s.to, "to", "", "the recipient's number")
	f.StringVar(&s.data, "data", "", "binary data instead of a text, as base64")
	f.StringVar(&s.clientID, "client-id", "", "your own id of the message: the same message with it again is not sent twice")
	f.BoolVar(&s.wait, "wait", false, "show what becomes of it until it is delivered")
	s.common.flags(cmd)
	s.csv.flags(cmd)
	return cmd
}

func (c *common) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.from, "from", "", "name or number of the modem that must send it")
	f.StringVar(&c.gateway, "gateway", "", "through a hub: the gateway that is to send it, or group:NAME")
	f.IntVar(&c.priority, "priority", 4, "0, the lowest, to 9, which goes first")
	f.StringVar(&c.at, "at", "", "send it not before: a time as 2026-12-01T07:00:00Z or \"2026-12-01 07:00\" here, or from now on as 90m")
	f.StringVar(&c.expires, "expires", "", "send it not after; written as --at")
	f.StringVar(&c.unicode, "unicode", "", "what the GSM 7-bit alphabet lacks: allow (send Unicode), transliterate (write it plainly if it can be), or reject")
	f.BoolVar(&c.rejectIfLate, "reject-if-late", false, "refuse it if it is expected after --expires, or no modem can send it now")
	f.BoolVar(&c.flash, "flash", false, "show it at once on the phone, and don't keep it there")
	f.IntVar(&c.port, "port", 0, "application port that --data goes to")
	f.BoolVar(&c.noReport, "no-report", false, "ask for no status report: sent is the end")
	f.StringVar(&c.onUnconfirmed, "on-unconfirmed", "", "when nobody can know whether it went out: resend, or fail (for one-time codes)")
	f.StringVar(&c.callback, "callback-url", "", "URL that is told what becomes of it")
	f.StringArrayVar(&c.metadata, "metadata", nil, "KEY=VALUE that comes back with its events; several times for more")
}

// message makes a message with these fields, whose times are counted from now.
func (c *common) message(cmd *cobra.Command, now time.Time) (m client.NewMessage, err error) {
	if m.SendAt, err = instant("--at", c.at, now); err != nil {
		return m, err
	}
	if m.ExpiresAt, err = instant("--expires", c.expires, now); err != nil {
		return m, err
	}
	if cmd.Flags().Changed("priority") {
		m.Priority = &c.priority
	}
	if c.port != 0 {
		m.Port = &c.port
	}
	if c.flash {
		m.Flash = new(true)
	}
	if c.noReport {
		m.DeliveryReport = new(false)
	}
	if c.rejectIfLate {
		m.RejectIfLate = new(true)
	}
	if c.unicode != "" {
		m.Unicode = new(client.Unicode(c.unicode))
	}
	if c.onUnconfirmed != "" {
		m.OnUnconfirmed = new(client.OnUnconfirmed(c.onUnconfirmed))
	}
	m.From, m.Gateway, m.CallbackURL = given(c.from), given(c.gateway), given(c.callback)
	for _, s := range c.metadata {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return m, usageError{fmt.Errorf("--metadata %q: must be KEY=VALUE", s)}
		}
		if m.Metadata == nil {
			m.Metadata = &map[string]string{}
		}
		(*m.Metadata)[key] = value
	}
	return m, nil
}

func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// instant reads a time, or a duration from now on. nil: none is given.
func instant(what, s string, now time.Time) (*time.Time, error) {
	if s == "" {
		return nil, nil
	}
	if d, err := time.ParseDuration(strings.TrimPrefix(s, "+")); err == nil {
		return new(now.Add(d).UTC().Truncate(time.Second)), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return new(t.UTC()), nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return new(t.UTC()), nil
		}
	}
	return nil, usageError{fmt.Errorf("%s %q: must be a time such as 2026-12-01T07:00:00Z or \"2026-12-01 07:00\", or from now on, such as 90m", what, s)}
}

func (s *sender) sendOne(cmd *cobra.Command, args []string) error {
	m, err := s.message(cmd, args)
	if err != nil {
		return err
	}
	d, err := s.connect(client.WithNotice(sayWait(cmd.ErrOrStderr())))
	if err != nil {
		return err
	}
	d.sayKey(cmd)
	accepted, err := d.Send(cmd.Context(), m)
	if err != nil {
		return d.explain(err)
	}
	for _, s := range foreseen(accepted, time.Now()) {
		fmt.Fprintln(cmd.ErrOrStderr(), s)
	}
	encoding := "8bit"
	if accepted.Encoding != nil {
		encoding = string(*accepted.Encoding)
	}
	line := fmt.Sprintf("%s %s (%s, %s)", accepted.ID, accepted.Status, partsOf(accepted), encoding)
	if !s.wait {
		fmt.Fprintln(cmd.OutOrStdout(), line)
		return nil
	}
	return d.explain(d.watch(cmd.Context(), cmd.OutOrStdout(), accepted, line))
}

func (s *sender) message(cmd *cobra.Command, args []string) (client.NewMessage, error) {
	fail := func(format string, args ...any) (client.NewMessage, error) {
		return client.NewMessage{}, usageError{fmt.Errorf("send: "+format, args...)}
	}
	for _, name := range []string{"text", "dry-run", "again"} {
		if cmd.Flags().Changed(name) {
			return fail("--%s belongs to --csv", name)
		}
	}
	if s.to == "" {
		return fail("--to is missing: the recipient's number")
	}
	m, err := s.common.message(cmd, time.Now())
	if err != nil {
		return m, err
	}
	m.To, m.ClientID = s.to, given(s.clientID)
	switch {
	case s.data != "" && len(args) > 0:
		return fail("a text can't go together with --data")
	case s.data != "":
		b, err := base64.StdEncoding.DecodeString(s.data)
		if err != nil {
			return fail("--data is no base64: %v", err)
		}
		m.Data = &b
	case len(args) != 1:
		return fail("give the text as one argument (in quotes), or - to read it from standard input")
	case args[0] == "-":
		// One longer than any message may be is the daemon's to refuse.
		b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 64<<10))
		if err != nil {
			return m, err
		}
		m.Text = new(strings.TrimRight(string(b), "\r\n"))
	default:
		m.Text = &args[0]
	}
	return m, nil
}

// soon is when nobody needs to be told that a message will be sent.
const soon = 10 * time.Second

// foreseen is what there is to say of a message that was accepted.
func foreseen(m *client.Message, now time.Time) (lines []string) {
	for _, w := range m.Warnings {
		lines = append(lines, "warning: "+w.Detail)
	}
	if m.ExpectedAt == nil || m.ExpectedAt.Sub(now) < soon {
		return lines
	}
	s := "it is expected to be sent at " + m.ExpectedAt.Local().Format("2006-01-02 15:04:05")
	if m.ExpectedModem != nil {
		s += " through " + *m.ExpectedModem
	}
	return append(lines, s)
}

func partsOf(m *client.Message) string {
	if m.Parts == 1 {
		return "1 part"
	}
	return fmt.Sprintf("%d parts", m.Parts)
}

// errNotDelivered is gatewayd send --wait's exit status 1; what happened is
// said by then.
var errNotDelivered = errors.New("it was not delivered")

// watch shows what becomes of a message: on one line of a terminal, else a line
// each. first is what is known of it already.
func (d *daemon) watch(ctx context.Context, out io.Writer, m *client.Message, first string) error {
	terminal := isTerminal(out)
	say := func(s string) { fmt.Fprintln(out, s) }
	if terminal {
		defer fmt.Fprintln(out)
		fmt.Fprint(out, first)
		say = func(s string) { fmt.Fprint(out, " → "+s) }
	} else {
		say(first)
	}
	said := m.Status
	for m, err := range d.Watch(ctx, m.ID) {
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("no longer watched, when it was %s; the message itself goes on", said)
		case err != nil:
			return fmt.Errorf("the daemon has the message, but it can't be watched: %w", err)
		case m.Status != said:
			// It may have gone on while nobody looked: that it was sent is said all the same.
			if m.Status == client.StatusDelivered && said != client.StatusSent && m.SentAt != nil {
				say(string(client.StatusSent))
			}
			said = m.Status
			say(progressOf(m))
		}
		if !client.Final(m) {
			continue
		}
		if m.Status != client.StatusDelivered && m.Status != client.StatusSent {
			return errNotDelivered
		}
		return nil
	}
	return nil
}

// progressOf says a status as people want to know it.
func progressOf(m *client.Message) string {
	s := string(m.Status)
	switch {
	case m.Error != nil:
		s += ": " + m.Error.Title + " (" + m.Error.Code + ")"
	case m.Status == client.StatusSending && m.Modem != nil:
		s += " through " + *m.Modem + ", " + partsOf(m)
	case m.Status == client.StatusDelivered && m.DeliveredAt != nil:
		s += fmt.Sprintf(" after %.1f s", m.DeliveredAt.Sub(m.CreatedAt).Seconds())
	}
	if m.PossibleDuplicate {
		s += ", possibly twice"
	}
	return s
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
