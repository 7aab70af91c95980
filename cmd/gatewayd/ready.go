package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/config"
)

func readyCommand() *cobra.Command {
	var path string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "ready --config FILE [--wait 30s]",
		Short: "Ask the running daemon whether it accepts messages; exit 0 if it does",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(path, os.Environ())
			if err != nil {
				return err
			}
			url := addressOf(c.HTTP.Listen, c.HTTP.TLSCertificate != "") + "/readyz"
			for until := time.Now().Add(wait); ; {
				if err = askWhetherReady(cmd.Context(), url); err == nil || time.Now().After(until) {
					return err
				}
				select {
				case <-cmd.Context().Done():
					return err
				case <-time.After(askReady):
				}
			}
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to go on asking")
	return cmd
}

// askWhetherReady asks the daemon of this machine, whose certificate may be made
// out to another name: what it says is no secret, and nothing is sent to it.
func askWhetherReady(ctx context.Context, url string) error {
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("gatewayd does not answer: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(res.Body, 2000))
		return fmt.Errorf("gatewayd is not ready: %s %s", res.Status, said)
	}
	return nil
}
