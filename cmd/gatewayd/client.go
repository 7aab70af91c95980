package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/auth"
	"gatewayd/config"
	"gatewayd/sms"
)

// client talks to a running daemon as any other program would.
type client struct {
	url, key, keyFrom string
}

// target is where the client commands find the daemon and its key.
type target struct{ config, url, keyFile string }

func (t *target) flags(cmd *cobra.Command) {
	configFlag(cmd, &t.config)
	cmd.Flags().StringVar(&t.url, "url", os.Getenv("GATEWAYD_URL"), "the daemon's address; also GATEWAYD_URL; else from the configuration")
	cmd.Flags().StringVar(&t.keyFile, "key-file", "", "file with an API key; else GATEWAYD_KEY")
}

func (t *target) client() (*client, error) {
	c := &client{url: t.url}
	switch {
	case t.keyFile != "":
		b, err := os.ReadFile(t.keyFile)
		if err != nil {
			return nil, usageError{fmt.Errorf("--key-file: %w", err)}
		}
		c.key, c.keyFrom = strings.TrimSpace(string(b)), t.keyFile
	case os.Getenv("GATEWAYD_KEY") != "":
		c.key, c.keyFrom = os.Getenv("GATEWAYD_KEY"), "GATEWAYD_KEY"
	default:
		return nil, usageError{errors.New("no API key: set GATEWAYD_KEY or give --key-file; `gatewayd keys create` makes one")}
	}
	if c.url == "" {
		cfg, err := config.Load(t.config, os.Environ())
		if err != nil {
			return nil, err
		}
		c.url = addressOf(cfg.HTTP.Listen, cfg.HTTP.TLSCertificate != "")
	}
	c.url = strings.TrimSuffix(c.url, "/")
	return c, nil
}

// addressOf is the URL under which this host reaches a listen address.
func addressOf(listen string, secure bool) string {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return scheme + "://" + listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return usageError{fmt.Errorf("--url: %w", err)}
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w; is the daemon running there?", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return problem(res.StatusCode, answer, c)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = answer
		return nil
	}
	return json.Unmarshal(answer, out)
}

// problem makes one line of a problem+json answer.
func problem(status int, answer []byte, c *client) error {
	var p struct {
		Title, Detail string
		Errors        []struct{ Field, Detail string }
	}
	if json.Unmarshal(answer, &p) != nil || p.Title == "" {
		return fmt.Errorf("%s answered %d", c.url, status)
	}
	line := p.Title
	if p.Detail != "" {
		line += ": " + p.Detail
	}
	for _, e := range p.Errors {
		line += "; " + e.Field + ": " + e.Detail
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		line += fmt.Sprintf(" (key %s from %s)", auth.Shown(c.key), c.keyFrom)
	}
	return errors.New(line)
}

func (c *client) sayKey(cmd *cobra.Command) {
	fmt.Fprintf(cmd.ErrOrStderr(), "using key %s from %s at %s\n", auth.Shown(c.key), c.keyFrom, c.url)
}

func sendCommand() *cobra.Command {
	var t target
	var to, from string
	cmd := &cobra.Command{
		Use:   "send --to NUMBER TEXT",
		Short: "Send a text through the running daemon",
		Args:  exactly(1, "the text as one argument (in quotes)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return usageError{errors.New("send: --to is missing: the recipient's number")}
			}
			c, err := t.client()
			if err != nil {
				return err
			}
			c.sayKey(cmd)
			in := map[string]any{"to": to, "text": args[0]}
			if from != "" {
				in["from"] = from
			}
			var m sms.Message
			if err := c.call(cmd.Context(), http.MethodPost, "/v1/messages", in, &m); err != nil {
				return err
			}
			parts := "parts"
			if m.Parts == 1 {
				parts = "part"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s (%d %s, %s)\n", m.ID, m.Status, m.Parts, parts, m.Encoding)
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&to, "to", "", "the recipient's number")
	cmd.Flags().StringVar(&from, "from", "", "name or number of the modem that must send it")
	return cmd
}

func statusCommand() *cobra.Command {
	var t target
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show modems and queue of the running daemon",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.client()
			if err != nil {
				return err
			}
			var modems struct {
				Modems []sms.Modem `json:"modems"`
			}
			if err := c.call(cmd.Context(), http.MethodGet, "/v1/modems", nil, &modems); err != nil {
				return err
			}
			var rings sms.Rings
			if err := c.call(cmd.Context(), http.MethodGet, "/v1/queue", nil, &rings); err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(map[string]any{"modems": modems.Modems, "queue": rings})
			}
			c.sayKey(cmd)
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "MODEM\tSTATE\tOPERATOR\tSIGNAL\tSENT\tWHAT TO DO")
			for _, m := range modems.Modems {
				signal := "-"
				if m.Signal != nil {
					signal = fmt.Sprintf("%d dBm", m.Signal.DBm)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", m.Name, m.State, orDash(m.Operator), signal, m.Counters.PartsSent,
					orDash(strings.TrimSpace(m.Reason+" "+m.Advice)))
			}
			if err := w.Flush(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "outbound: %d of %d slots in use\ninbound: %d of %d slots in use\n",
				rings.Outbound.Depth, rings.Outbound.Capacity, rings.Inbound.Depth, rings.Inbound.Capacity)
			return err
		},
	}
	t.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
