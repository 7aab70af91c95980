package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/client"
)

const (
	// forwardTimeout is what a receiver has for one event, as of the daemon.
	forwardTimeout = 15 * time.Second
	// A receiver that is down is tried again, a little more seldom each time.
	firstRetry, longestRetry = 500 * time.Millisecond, 5 * time.Second
)

const listenLong = `Show what happens on the running daemon, and pass it on to a program that is
being written, as webhooks: signed, one after the other, and again until it
answers when it is down. Nothing needs to be set up on the daemon, and it need
not reach this machine.

  gatewayd listen --forward-to http://localhost:3000/sms --events message.received

The program checks the signature with the secret of --secret-file, or the one that is printed,
as it will check the daemon's own webhooks (Standard Webhooks). webhook-id is
the same for the same event each time.`

// listener is the command line of gatewayd listen.
type listener struct {
	target
	forward, secret, secretFile string
	events                      []string
	after                       int64
	fromStart, asJSON           bool

	out  io.Writer
	http *http.Client
}

func listenCommand() *cobra.Command {
	var l listener
	cmd := &cobra.Command{
		Use:   "listen [--forward-to URL]",
		Short: "Pass live events on to a program on this machine",
		Long:  listenLong,
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l.out = cmd.OutOrStdout()
			return l.run(cmd)
		},
	}
	l.target.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&l.forward, "forward-to", "", "URL that gets the events by POST; a port alone is one of this machine")
	f.StringSliceVar(&l.events, "events", []string{"*"}, "which events, such as message.received,alarm.*")
	f.Int64Var(&l.after, "after", -1, "begin after the event with this id instead of now")
	f.BoolVar(&l.fromStart, "from-start", false, "begin with the oldest event that the daemon keeps")
	f.StringVar(&l.secret, "secret", "", "sign with this secret, whsec_…, which others on this machine can see; else one is made")
	f.StringVar(&l.secretFile, "secret-file", "", "file with the secret to sign with")
	f.BoolVar(&l.asJSON, "json", false, "print each event whole, as webhooks carry it, instead of a line about it")
	cmd.MarkFlagsMutuallyExclusive("after", "from-start")
	cmd.MarkFlagsMutuallyExclusive("secret", "secret-file")
	return cmd
}

func (l *listener) run(cmd *cobra.Command) error {
	if err := l.prepare(); err != nil {
		return err
	}
	d, err := l.connect(client.WithNotice(sayWait(cmd.ErrOrStderr())))
	if err != nil {
		return err
	}
	d.sayKey(cmd)
	if l.forward != "" {
		with := l.secret
		if l.secretFile != "" { // whoever has it need not see it
			with = "the secret of " + l.secretFile
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "forwarding to %s\nsigning with %s\n", l.forward, with)
	}
	ctx := cmd.Context()
	last := l.after
	for e, err := range d.Events(ctx, l.after) {
		if err == nil && e.Type == client.Reset {
			fmt.Fprintln(cmd.ErrOrStderr(), "events are missing here: the daemon no longer has them")
		} else if err == nil && l.wants(e.Type) {
			err = l.tell(ctx, e)
		}
		if ctx.Err() != nil { // Ctrl-C is the way to end this
			if last >= 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "ended; --after %d goes on here\n", last)
			}
			return nil
		}
		if err != nil {
			return d.explain(err)
		}
		last = e.ID
	}
	return nil
}

// prepare checks and completes the command line.
func (l *listener) prepare() error {
	if l.after < -1 {
		return usageError{fmt.Errorf("--after %d: must be an event's id", l.after)}
	}
	if l.fromStart {
		l.after = client.FromStart
	}
	for _, p := range l.events {
		if p == "" || strings.Contains(strings.TrimSuffix(p, "*"), "*") {
			return usageError{fmt.Errorf("--events %q: must be an event's type, such as message.received, or its beginning and a *", p)}
		}
	}
	if l.forward == "" {
		return nil
	}
	var err error
	if l.forward, err = forwardURL(l.forward); err != nil {
		return err
	}
	if l.secretFile != "" {
		b, err := os.ReadFile(l.secretFile)
		if err != nil {
			return usageError{fmt.Errorf("--secret-file: %w", err)}
		}
		l.secret = strings.TrimSpace(string(b))
	}
	if l.secret == "" {
		l.secret = client.NewWebhookSecret()
	}
	if err := client.SignWebhook(http.Header{}, "", time.Now(), nil, l.secret); err != nil {
		return usageError{fmt.Errorf("--secret: %w", err)}
	}
	l.http = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return nil
}

// forwardURL completes what people write: "3000", "localhost:3000/sms".
func forwardURL(s string) (string, error) {
	if _, err := strconv.ParseUint(s, 10, 16); err == nil {
		s = "localhost:" + s
	}
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", usageError{fmt.Errorf("--forward-to %q: must be a URL such as http://localhost:3000/sms", s)}
	}
	return s, nil
}

func (l *listener) wants(kind string) bool {
	for _, p := range l.events {
		if beginning, open := strings.CutSuffix(p, "*"); p == kind || open && strings.HasPrefix(kind, beginning) {
			return true
		}
	}
	return false
}

// tell prints an event, and passes it on until it was taken or refused.
func (l *listener) tell(ctx context.Context, e *client.Event) error {
	line := string(e.Body)
	if !l.asJSON {
		line = fmt.Sprintf("%s  %-8d %s", time.Now().Format("15:04:05"), e.ID, summary(e.Body))
	}
	if l.forward == "" {
		_, err := fmt.Fprintln(l.out, line)
		return err
	}
	for wait := firstRetry; ; wait = min(2*wait, longestRetry) {
		start := time.Now()
		status, err := l.post(ctx, e)
		took := time.Since(start).Round(time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		down := err != nil || status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status == http.StatusTooEarly
		said := fmt.Sprintf("%d in %v", status, took)
		if err != nil {
			said = err.Error()
		}
		switch {
		case down:
			said += fmt.Sprintf("; again in %v", wait)
		case status >= 300:
			said += "; refused"
		}
		if _, err := fmt.Fprintf(l.out, "%s  → %s\n", line, said); err != nil || !down {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *listener) post(ctx context.Context, e *client.Event) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.forward, bytes.NewReader(e.Body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "gatewayd-listen")
	if err := client.SignWebhook(req.Header, fmt.Sprintf("evt_%d", e.ID), time.Now(), e.Body, l.secret); err != nil {
		return 0, err
	}
	res, err := l.http.Do(req)
	var failed *url.Error
	if errors.As(err, &failed) {
		return 0, failed.Err // the URL was said at the start
	}
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	return res.StatusCode, err
}
