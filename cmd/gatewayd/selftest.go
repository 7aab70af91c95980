package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/auth"
	"gatewayd/client"
	"gatewayd/db"
	"gatewayd/gateway"
	"gatewayd/sim"
)

func selftestCommand() *cobra.Command {
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "selftest",
		Short: "Check that this gatewayd works on this machine, without a modem: it takes some seconds",
		Long: `Opens a new database in a folder for temporary files, starts a gateway with a
simulated modem on a pseudo-terminal, sends a message over it, receives one, makes
a backup, and says what it checked. Nothing goes on the air, and the gateway that
runs on this machine is not touched. It says that the program, the machine and its
disk work together; gatewayd modems tells about the modems.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := context.WithTimeoutCause(cmd.Context(), within, fmt.Errorf("not done within %s", within))
			defer stop()
			err := selftest(ctx, cmd.OutOrStdout())
			if err != nil && context.Cause(ctx) != nil {
				err = errors.Join(context.Cause(ctx), err)
			}
			if err != nil {
				return fmt.Errorf("selftest: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&within, "within", 2*time.Minute, "fail if it takes longer")
	return cmd
}

func selftest(ctx context.Context, out io.Writer) (err error) {
	began := time.Now()
	step := func(format string, args ...any) {
		fmt.Fprintf(out, "ok  %5.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	step("gatewayd %s, %s/%s", version, runtime.GOOS, runtime.GOARCH)
	dir, err := os.MkdirTemp("", "gatewayd-selftest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	network := sim.NewNetwork(sim.NetworkOptions{Latency: 50 * time.Millisecond, Delivery: 50 * time.Millisecond, Report: 50 * time.Millisecond})
	defer network.Close()
	modems, err := plugIn(network, dir, 1, []sim.Profile{sim.Generic})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	g, err := gateway.New(ctx, gateway.Options{DataDir: dir, Modems: modems, Listener: listener, Version: version,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		listener.Close()
		return fmt.Errorf("starting: %w", err)
	}
	token, _, err := g.Keys().Create(ctx, "selftest", []auth.Scope{auth.Admin}, time.Time{})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	step("a new database is open, and the gateway has started")

	c, err := client.New("http://"+listener.Addr().String(), token)
	if err != nil {
		return err
	}
	// More than one part, and letters that the GSM alphabet lacks.
	text := "Selftest: " + strings.Repeat("ż ", 70)
	m, err := c.Send(ctx, client.NewMessage{To: demoHandset, Text: &text})
	if err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	step("the API has taken a message of %d parts", m.Parts)
	if m, err = c.Wait(ctx, m.ID, client.Final); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	if m.Status != "delivered" {
		return fmt.Errorf("the message is %s, not delivered", m.Status)
	}
	if got := network.Handset(demoHandset).Received(); len(got) != 1 || got[0] != text {
		return fmt.Errorf("the simulated phone has %d messages, and not the one that was sent", len(got))
	}
	step("it went over a simulated modem on a pseudo-terminal, and its delivery was reported")

	const answer = "Selftest: an answer"
	if err := network.Handset(demoHandset).Send(modems[0].Number, answer); err != nil {
		return err
	}
	if err := arrives(ctx, c, answer); err != nil {
		return fmt.Errorf("receiving: %w", err)
	}
	step("an answer has come back")
	if err := db.Backup(ctx, dir, dir+"/copy.db", false); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	step("a backup was made and checked")
	return nil
}

// arrives waits until a text was received.
func arrives(ctx context.Context, c *client.Client, text string) error {
	for e, err := range c.Events(ctx, 0) {
		if err != nil {
			return err
		}
		if e.Type != "message.received" {
			continue
		}
		if m, err := e.Message(); err != nil || m.Text != nil && *m.Text == text {
			return err
		}
	}
	return context.Cause(ctx)
}
