package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/client"
	"gatewayd/modem"
	"gatewayd/modem/ports"
)

// recorder is one run of `gatewayd modems record`.
type recorder struct {
	target
	port     string
	out      string
	unmasked bool
	reset    bool
	lasts    time.Duration
}

func recordCommand() *cobra.Command {
	var r recorder
	cmd := &cobra.Command{
		Use:   "record [NAME]",
		Short: "Write down a modem's dialogue, to send in with a report",
		Long: `Writes what goes over a modem's port, with its times, as a text. Numbers, texts and
identities are masked unless --unmasked is given; PINs are never in it.

With a NAME the running daemon is asked for what it has of that modem, the last
64 KB; with --reset the modem is started afresh first, so that all of its
bring-up is in it. With --port a modem that no daemon uses is brought up and
recorded: nothing is sent, and no message is taken from it.

Such a transcript under modem/testdata plays back as a test.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (r.port == "") == (len(args) == 0) {
				return usageError{errors.New("modems record: give the name of a modem of the running daemon, or --port")}
			}
			out := cmd.OutOrStdout()
			if r.out != "" {
				f, err := os.OpenFile(r.out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
				if err != nil {
					return fmt.Errorf("--out: %w", err)
				}
				defer f.Close()
				out = f
			}
			if r.port != "" {
				return r.local(cmd.Context(), out, cmd.ErrOrStderr())
			}
			return r.remote(cmd.Context(), out, args[0])
		},
	}
	r.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&r.port, "port", "", "serial port of a modem that no daemon uses, such as /dev/ttyUSB2")
	f.StringVarP(&r.out, "out", "o", "", "file to write, which must be new; else standard output")
	f.BoolVar(&r.unmasked, "unmasked", false, "leave numbers, texts and identities in")
	f.BoolVar(&r.reset, "reset", false, "start the daemon's modem afresh first")
	f.DurationVar(&r.lasts, "for", ports.RecordFor, "how long to record, with --port or --reset")
	return cmd
}

// local records a modem that no daemon has.
func (r *recorder) local(ctx context.Context, out, words io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, r.lasts)
	defer cancel()
	fmt.Fprintf(words, "recording %s for %v; Ctrl-C ends it earlier\n", r.port, r.lasts)
	t, m, err := ports.Record(ctx, ports.Local().Polite(os.Getpid(), modem.OpenSerial), r.port, !r.unmasked)
	if err != nil {
		return err
	}
	fmt.Fprintf(words, "%s: %s %s\n", m.State, m.Reason, m.Advice)
	return t.Write(out)
}

// remote asks the daemon.
func (r *recorder) remote(ctx context.Context, out io.Writer, name string) error {
	d, err := r.connect(client.WithPatience(0))
	if err != nil {
		return err
	}
	path := "/v1/modems/" + url.PathEscape(name)
	if r.reset {
		var answer []byte
		if err := d.ask(ctx, http.MethodPost, path+"/reset", nil, &answer); err != nil {
			return err
		}
		select {
		case <-time.After(r.lasts):
		case <-ctx.Done():
		}
	}
	var text []byte
	query := fmt.Sprintf("/transcript?masked=%t", !r.unmasked)
	if err := d.ask(context.WithoutCancel(ctx), http.MethodGet, path+query, nil, &text); err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}
