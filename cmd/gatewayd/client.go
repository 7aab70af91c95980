package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/auth"
	"gatewayd/client"
	"gatewayd/config"
)

// daemon is the running daemon, reached as any other program would.
type daemon struct {
	*client.Client
	url, key, keyFrom string
}

// target is where the client commands find the daemon and its key. The key is
// never an argument: those are seen by everybody on the machine.
type target struct{ config, url, keyFile string }

func (t *target) flags(cmd *cobra.Command) {
	configFlag(cmd, &t.config)
	cmd.Flags().StringVar(&t.url, "url", os.Getenv("GATEWAYD_URL"), "the daemon's address; also GATEWAYD_URL; else from the configuration")
	cmd.Flags().StringVar(&t.keyFile, "key-file", "", "file with an API key; else GATEWAYD_KEY")
}

// connect finds address and key. It makes no connection yet.
func (t *target) connect(options ...client.Option) (*daemon, error) {
	d := &daemon{url: t.url}
	switch {
	case t.keyFile != "":
		b, err := os.ReadFile(t.keyFile)
		if err != nil {
			return nil, usageError{fmt.Errorf("--key-file: %w", err)}
		}
		d.key, d.keyFrom = strings.TrimSpace(string(b)), t.keyFile
	case os.Getenv("GATEWAYD_KEY") != "":
		d.key, d.keyFrom = os.Getenv("GATEWAYD_KEY"), "GATEWAYD_KEY"
	default:
		return nil, usageError{errors.New("no API key: set GATEWAYD_KEY or give --key-file; `gatewayd keys create` makes one")}
	}
	if d.url == "" {
		cfg, err := config.Load(t.config, os.Environ())
		if err != nil {
			return nil, err
		}
		d.url = addressOf(cfg.HTTP.Listen, cfg.HTTP.TLSCertificate != "")
	}
	var err error
	if d.Client, err = client.New(d.url, d.key, options...); err != nil {
		return nil, usageError{err}
	}
	return d, nil
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

// explain adds to a call's error what helps whoever typed the command.
func (d *daemon) explain(err error) error {
	var refused *client.Error
	var unreachable *url.Error
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &refused) && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden):
		return fmt.Errorf("%w (key %s from %s)", err, auth.Shown(d.key), d.keyFrom)
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return fmt.Errorf("%w; --url must name it as its certificate does, and if an authority of your own vouches for that, SSL_CERT_FILE=FILE names its certificate", err)
	case errors.As(err, &unreachable):
		return fmt.Errorf("%w; is the daemon running there?", err)
	}
	return err
}

// ask is a call that a person waits for: it fails rather than waiting long.
func (d *daemon) ask(ctx context.Context, method, path string, in, out any) error {
	return d.explain(d.Do(ctx, method, path, in, out))
}

func (d *daemon) sayKey(cmd *cobra.Command) {
	fmt.Fprintf(cmd.ErrOrStderr(), "using key %s from %s at %s\n", auth.Shown(d.key), d.keyFrom, d.url)
}

// sayWait tells of the waits between attempts, each reason once in a row.
func sayWait(out io.Writer) func(error, time.Duration) {
	var mu sync.Mutex
	var last string
	return func(err error, wait time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if why := err.Error(); why != last {
			last = why
			fmt.Fprintf(out, "waiting: %s; trying again in %v, and until it works. Ctrl-C ends this\n", why, wait.Round(100*time.Millisecond))
		}
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
