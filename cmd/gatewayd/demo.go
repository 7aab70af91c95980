package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/auth"
	"gatewayd/gateway"
	"gatewayd/lan"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/twilio"
	"gatewayd/webhook"
)

// demoHandset is the simulated phone that the printed curl line writes to.
const demoHandset = "+491555123456"

type demoOptions struct {
	modems        int
	personalities []string
	listen        string
	data          string
	level         string
	webhook       string
	smsURL        string
	env           string
	latency       time.Duration
}

func demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the daemon with simulated modems and one simulated phone network",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.modems < 1 || o.modems > 64 {
				return usageError{fmt.Errorf("--modems %d: must be from 1 to 64", o.modems)}
			}
			if o.latency < 0 {
				return usageError{fmt.Errorf("--latency %s: must not be negative", o.latency)}
			}
			profiles, err := profilesOf(o.personalities)
			if err != nil {
				return usageError{err}
			}
			return demo(cmd.Context(), cmd.OutOrStdout(), o, profiles)
		},
	}
	cmd.Flags().IntVar(&o.modems, "modems", 2, "how many modems")
	cmd.Flags().StringSliceVar(&o.personalities, "personality", []string{sim.Generic.Slug}, "what the modems are: "+strings.Join(slugs(), ", ")+"; several in turn")
	cmd.Flags().StringVar(&o.listen, "listen", cmp.Or(os.Getenv("GATEWAYD_HTTP_LISTEN"), "127.0.0.1:8080"), "address of the API and the pages; also GATEWAYD_HTTP_LISTEN")
	cmd.Flags().StringVar(&o.data, "data", "", "folder of the database; a fresh one that is removed at the end if not given")
	cmd.Flags().StringVar(&o.webhook, "webhook", "", "URL that gets the events too; the demo prints them itself otherwise")
	cmd.Flags().StringVar(&o.smsURL, "sms-url", "", "where the demo's Twilio account gets received texts")
	cmd.Flags().StringVar(&o.env, "env", "", "file that gets GATEWAYD_URL and GATEWAYD_KEY, for other terminals to read in; it is removed at the end")
	cmd.Flags().DurationVar(&o.latency, "latency", 1500*time.Millisecond, "what the simulated network takes for each part, on average")
	logFlag(cmd, &o.level)
	cmd.Flags().Lookup("log").DefValue, o.level = "warn", "warn"
	return cmd
}

// slugs are the names of what can be simulated.
func slugs() (all []string) {
	for _, p := range sim.Profiles() {
		all = append(all, p.Slug)
	}
	return all
}

func profilesOf(names []string) (all []sim.Profile, err error) {
	for _, name := range names {
		p, known := sim.ProfileNamed(name)
		if !known {
			return nil, fmt.Errorf("--personality %q: must be one of %s", name, strings.Join(slugs(), ", "))
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("--personality: must be one of %s", strings.Join(slugs(), ", "))
	}
	return all, nil
}

func demo(ctx context.Context, out io.Writer, o demoOptions, profiles []sim.Profile) (err error) {
	log, err := logger(o.level)
	if err != nil {
		return err
	}
	dir := o.data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "gatewayd-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := lockDataDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	listener, err := listen(o.listen)
	if err != nil {
		return err
	}

	air := sim.OnTheAir()
	air.Latency, air.Jitter = o.latency, o.latency/3
	network := sim.NewNetwork(air)
	defer network.Close()
	modems, err := plugIn(network, dir, o.modems, profiles)
	if err != nil {
		listener.Close()
		return err
	}
	network.Handset(demoHandset)

	secret, err := webhookSecret()
	if err != nil {
		return err
	}
	url := o.webhook
	if url == "" {
		receiver, err := newReceiver(out, secret)
		if err != nil {
			return err
		}
		defer receiver.Close()
		url = receiver.url
	}

	defer endInTime(ctx, log)()
	g, err := gateway.New(ctx, gateway.Options{
		DataDir: dir, Region: "DE", Modems: modems, Listener: listener, Version: version, Log: log,
		Retention:       queue.Retention{Events: eventsKept, Idempotency: idempotencyKept},
		PrivateWebhooks: true, // it is a playground on one machine
		Webhooks:        []webhook.Endpoint{{Name: "demo", URL: url, Secret: secret, Events: []string{"*"}, AllowPrivate: true}},
		Pages:           map[string]http.Handler{"/handsets/": network.Handler()},
	})
	if err != nil {
		listener.Close()
		return err
	}
	token, _, err := g.Keys().Create(ctx, "demo", []auth.Scope{auth.Admin}, time.Time{})
	if err != nil {
		return err
	}
	account, accountToken, err := g.Twilio().Create(ctx, auth.Key{Name: "demo", Scopes: []auth.Scope{auth.Admin}}, twilio.Settings{SMSURL: o.smsURL, AnyFrom: true})
	if err != nil {
		return err
	}
	base := "http://" + reachable(listener.Addr().String())
	if o.env != "" {
		if err := writeEnv(o.env, base, token); err != nil {
			return err
		}
		defer os.Remove(o.env)
	}
	code, err := g.FirstRun(ctx)
	if err != nil {
		return err
	}
	welcome(out, base, token, code, account, accountToken, secret, o)
	return g.Run(ctx)
}

// writeEnv leaves the address and the key where only this user can read them.
func writeEnv(path, base, token string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".gatewayd-") // mode 0600
	if err != nil {
		return fmt.Errorf("--env: %w", err)
	}
	_, err = fmt.Fprintf(f, "export GATEWAYD_URL=%s\nexport GATEWAYD_KEY=%s\n", base, token)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("--env: %w", err)
	}
	return nil
}

// reachable names this machine instead of "every address", where no browser
// can go.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return address
	}
	name, err := os.Hostname()
	if err != nil {
		name = "localhost"
	}
	return net.JoinHostPort(name, port)
}

// plugIn puts simulated modems behind pseudo-terminals in dir.
func plugIn(network *sim.Network, dir string, n int, profiles []sim.Profile) ([]gateway.ModemOptions, error) {
	var all []gateway.ModemOptions
	for i := range n {
		m := network.AddModem(sim.ModemOptions{Name: fmt.Sprintf("modem%d", i+1), Profile: profiles[i%len(profiles)]})
		port := filepath.Join(dir, m.Name())
		if _, err := m.OpenPTY(port); err != nil {
			return nil, fmt.Errorf("simulated modem: %w", err)
		}
		all = append(all, gateway.ModemOptions{Name: m.Name(), Port: port, Number: m.Number()})
	}
	return all, nil
}

func webhookSecret() (string, error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return "whsec_" + base64.StdEncoding.EncodeToString(b), nil
}

func welcome(out io.Writer, base, token, code, account, accountToken, secret string, o demoOptions) {
	fmt.Fprintf(out, `
gatewayd demo: simulated modems on a simulated network. Nothing goes on the air.

  Status page    %s/
  Handsets       %s/handsets/
  Modems         %s/handsets/modems/     (unplug them, break them)
  API key        %s     (the pages ask for it once)
  Twilio client  base URL %s, account SID %s, auth token %s

Send a text to the simulated phone %s:

  curl %s/v1/messages \
    -H 'Authorization: Bearer %s' \
    -H 'Content-Type: application/json' \
    -d '{"to": "%s", "text": "Hello from my own gateway"}'

Then open the phone under Handsets, read it, and answer from there.
`, base, base, base, token, base, account, accountToken, demoHandset, base, token, demoHandset)
	if code != "" {
		fmt.Fprintf(out, "As the first person at a new box, set it up at %s\n\n", lan.Welcome(base, code))
	}
	if o.env != "" {
		fmt.Fprintf(out, "Another terminal knows address and key after this line:\n\n  . %s\n\n", sourced(o.env))
	}
	if o.webhook == "" {
		fmt.Fprintf(out, "Webhooks are printed below as they arrive. Ctrl-C ends the demo.\n\n")
		return
	}
	fmt.Fprintf(out, "Webhooks go to %s, signed with %s. Ctrl-C ends the demo.\n\n", o.webhook, secret)
}

// sourced is a path as the shell's "." finds it: without a slash it would look
// in PATH.
func sourced(path string) string {
	if strings.Contains(path, "/") {
		return path
	}
	return "./" + path
}

// receiver is the demo's own webhook receiver: it prints what arrives.
type receiver struct {
	url    string
	server *http.Server
}

func newReceiver(out io.Writer, secret string) (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{url: "http://" + l.Addr().String() + "/"}
	r.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := webhook.Verify(secret, req.Header, body, time.Now()); err != nil {
			fmt.Fprintf(out, "webhook  REFUSED  %v\n", err)
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		fmt.Fprintln(out, "webhook  "+summary(body))
		w.WriteHeader(http.StatusNoContent)
	})}
	go func() {
		if err := r.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(out, "the demo's webhook receiver ended:", err)
		}
	}()
	return r, nil
}

func (r *receiver) Close() { r.server.Close() }
