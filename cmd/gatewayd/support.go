package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/client"
	"gatewayd/config"
	"gatewayd/db"
	"gatewayd/support"
)

// surroundings are the parts of a support bundle that need no daemon.
func surroundings(path, dir string) []support.Part {
	parts := []support.Part{{Name: "config.yaml", What: "the configuration, without secrets, numbers, texts and comments", Make: func(_ context.Context, w io.Writer) error {
		if path == "" {
			return errors.New("there is no configuration file; settings come from the environment alone")
		}
		b, err := config.Redacted(path)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	}}, {Name: "config-check.txt", What: "what gatewayd check-config says", Make: func(_ context.Context, w io.Writer) error {
		c, err := config.Load(path, os.Environ())
		var mistakes config.Errors
		if errors.As(err, &mistakes) {
			for _, m := range mistakes {
				m.Value = "" // perhaps a secret at the wrong place
				fmt.Fprintln(w, m)
			}
			return nil
		}
		for _, warning := range c.Warnings {
			fmt.Fprintln(w, "warning:", warning)
		}
		fmt.Fprintln(w, "ok")
		return nil
	}}}
	return append(parts, support.Machine(version, dir)...)
}

func supportCommand() *cobra.Command {
	var t target
	var out string
	cmd := &cobra.Command{
		Use:   "support-bundle [--config FILE] [FILE.tar.gz]",
		Short: "Gather what helps somebody to help: no secrets, no texts, numbers masked",
		Long: `Gather what helps somebody to help: the configuration without its secrets, versions, states, the last log lines,
masked AT traces. With an API key (GATEWAYD_KEY or --key-file, scope admin) the running daemon adds what it knows.
Without one, or when the daemon is dead, the rest is gathered all the same; the README in the bundle says what is missing.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			now := time.Now()
			if out = "gatewayd-support-" + now.UTC().Format("20060102T150405Z") + ".tar.gz"; len(args) == 1 {
				out = args[0]
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return usageError{fmt.Errorf("%w; give another name for the bundle", err)}
			}
			why := t.bundle(cmd.Context(), f)
			if why != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "without what the daemon knows: %v\n", why)
				if err = again(f); err == nil {
					err = support.Write(cmd.Context(), f, version, now, t.dead(why))
				}
			}
			if err = errors.Join(err, f.Close()); err != nil {
				os.Remove(out)
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\nLook into it before you hand it on; its README.txt says what is inside.\n", out)
			return nil
		},
	}
	t.flags(cmd)
	return cmd
}

// again empties a file that something was begun in.
func again(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return errors.Join(err, f.Truncate(0))
}

// bundle has the running daemon make the bundle.
func (t *target) bundle(ctx context.Context, w io.Writer) error {
	d, err := t.connect(client.WithPatience(0))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/v1/support-bundle", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+d.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return d.explain(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the daemon answered %s", res.Status)
	}
	_, err = io.Copy(w, res.Body)
	return err
}

// dead are the parts that can be had without the daemon.
func (t *target) dead(why error) []support.Part {
	dir := "/var/lib/gatewayd"
	if c, err := config.Load(t.config, os.Environ()); err == nil {
		dir = c.DataDir
	}
	return append(surroundings(t.config, dir),
		support.Part{Name: "database.json", What: "SQLite's version, the schema's, and whether the file is whole", Plain: true, Make: func(ctx context.Context, w io.Writer) error {
			facts, err := db.Look(ctx, dir)
			if err != nil {
				return fmt.Errorf("%s: %w", filepath.Join(dir, db.FileName), err)
			}
			return json.NewEncoder(w).Encode(facts)
		}},
		support.Part{Name: "modems.json", Make: func(context.Context, io.Writer) error {
			return fmt.Errorf("states of modems, queue, webhooks and alarms, metrics and AT traces are known to the running daemon alone, which was not asked: %w", why)
		}})
}
