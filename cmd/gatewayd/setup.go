package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"gatewayd/config"
	"gatewayd/db"
	"gatewayd/gateway"
)

const (
	defaultConfig = "/etc/gatewayd/config.yaml"
	// lanListen is where phones reach the pages; it takes no privilege.
	lanListen = ":8443"
)

// firstConfig is the configuration of a box that has none. The page Setup does
// the rest.
const firstConfig = `# gatewayd: what differs from the defaults. Every setting is described in
# config.example.yaml; test this file with: gatewayd check-config
# Country, SIM PINs, the box's name and whom alarms go to are set on the page
# Setup; what stands here wins over it.

http:
  # Programs on this machine: plain HTTP.
  listen: 127.0.0.1:8080
  # Phones and browsers on the local network: HTTPS. Empty: nobody.
  lan:
    listen: ""
`

type setupOptions struct {
	path               string
	lan, loopback, yes bool
}

func setupCommand() *cobra.Command {
	var o setupOptions
	cmd := &cobra.Command{
		Use:   "setup [--config FILE] [--lan|--loopback] [--yes]",
		Short: "Prepare this machine, and say how a phone does the rest",
		Long: "Writes a configuration if there is none, lets phones on the local network reach the pages if that is wanted, makes data_dir, and shows\n" +
			"the address and the code for the first person. It changes http.lan.listen alone, and can be repeated.",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.lan && o.loopback {
				return usageError{errors.New("setup: --lan and --loopback are both given; keep one")}
			}
			o.path = cmp.Or(o.path, defaultConfig)
			return setup(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), o)
		},
	}
	configFlag(cmd, &o.path)
	cmd.Flags().BoolVar(&o.lan, "lan", false, "phones on the local network reach the pages, by HTTPS on port 8443")
	cmd.Flags().BoolVar(&o.loopback, "loopback", false, "nobody but this machine does")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "ask nothing: as --lan, if nothing else is said")
	return cmd
}

func setup(ctx context.Context, in io.Reader, out io.Writer, o setupOptions) error {
	before, err := os.ReadFile(o.path)
	fresh := errors.Is(err, fs.ErrNotExist)
	if fresh {
		before, err = []byte(firstConfig), nil
	}
	if err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	now := ""
	if !fresh {
		c, err := config.Load(o.path, os.Environ())
		if err != nil {
			return err
		}
		now = c.HTTP.LAN.Listen
	}
	listen, err := wanted(in, out, o, now)
	if err != nil {
		return err
	}
	after := before
	if listen != now {
		if after, err = config.SetLAN(before, listen); err != nil {
			return fmt.Errorf("%s: %w", o.path, err)
		}
	}
	if fresh || string(after) != string(before) {
		if err := writeConfig(o.path, after); err != nil {
			return fmt.Errorf("setup: %w", err)
		}
	}
	c, err := config.Load(o.path, os.Environ())
	if err != nil {
		return err
	}
	text, err := welcomeText(ctx, c)
	if err != nil {
		return err
	}
	if fresh {
		if err := ownAs(o.path, c.DataDir); err != nil {
			return fmt.Errorf("setup: %w", err)
		}
	}
	running := false
	if unlock, err := db.Lock(c.DataDir); errors.Is(err, db.ErrLocked) {
		running = true
	} else if err == nil {
		unlock()
	}
	switch {
	case fresh:
		fmt.Fprintf(out, "%s was written.\n", o.path)
	case string(after) != string(before):
		fmt.Fprintf(out, "%s: http.lan.listen is %q now.\n", o.path, listen)
	default:
		fmt.Fprintf(out, "%s stays as it is.\n", o.path)
	}
	if c.HTTP.LAN.Listen != listen {
		fmt.Fprintf(out, "GATEWAYD_HTTP_LAN_LISTEN wins over it: %q.\n", c.HTTP.LAN.Listen)
	}
	switch {
	case running && listen != now:
		fmt.Fprintln(out, "The gateway runs: it listens there after sudo systemctl restart gatewayd")
	case !running:
		fmt.Fprintf(out, "The gateway does not run yet: sudo systemctl enable --now gatewayd, or gatewayd run --config %s\n", o.path)
	}
	if text == "" {
		fmt.Fprintln(out, "Sign in on its page; what is left to do is under Setup.")
		return nil
	}
	fmt.Fprintf(out, "\n%s", text)
	return nil
}

// wanted is http.lan.listen as it shall be. What somebody has set there stays.
func wanted(in io.Reader, out io.Writer, o setupOptions, now string) (string, error) {
	switch {
	case o.loopback:
		return "", nil
	case o.lan, o.yes:
		return cmp.Or(now, lanListen), nil
	case now != "":
		return now, nil
	}
	if f, ok := in.(*os.File); !ok || !isTerminal(f) || !isTerminal(out) {
		return now, nil
	}
	fmt.Fprint(out, "Shall phones and computers on the local network reach this box, by HTTPS on port 8443? [Y/n] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("setup: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "", "y", "yes":
		return lanListen, nil
	case "n", "no":
		return "", nil
	}
	return "", usageError{fmt.Errorf("setup: %q is neither yes nor no; nothing was changed", strings.TrimSpace(answer))}
}

// welcomeText makes data_dir and what the console shows.
func welcomeText(ctx context.Context, c *config.Config) (text string, err error) {
	w := gateway.Way{DataDir: c.DataDir, Listen: c.HTTP.Listen, LAN: c.HTTP.LAN.Listen, Name: c.HTTP.LAN.Name}
	if c.HTTP.TLSCertificate != "" {
		pair, err := tls.LoadX509KeyPair(c.HTTP.TLSCertificate, c.HTTP.TLSKey)
		if err != nil {
			return "", usageError{fmt.Errorf("http.tls: %w", err)}
		}
		w.Certificate = &pair
	}
	err = inDatabase(ctx, c.DataDir, func(d *db.DB) error {
		text, err = gateway.Welcome(ctx, d, w)
		return err
	})
	return text, err
}

// writeConfig replaces a configuration as a whole; mode and owner stay as they were.
func writeConfig(path string, content []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".gatewayd-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // not there any more when all is well
	mode := fs.FileMode(0o640)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
				return err
			}
		}
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// ownAs lets the user that owns data_dir read a configuration that root has made,
// and not change it.
func ownAs(path, dataDir string) error {
	info, err := os.Stat(dataDir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return os.Chown(path, -1, int(owner.Gid))
}
