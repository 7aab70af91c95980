package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/auth"
	"gatewayd/config"
	"gatewayd/db"
	"gatewayd/sms/number"
	"gatewayd/twilio"
)

func keysCommand() *cobra.Command {
	keys := &cobra.Command{
		Use:   "keys",
		Short: "Create, list, limit, rotate and revoke API keys",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return usageError{errors.New("keys: say create, list, limit, rotate, revoke or twilio; gatewayd keys --help tells more")}
		},
	}
	keys.AddCommand(keysCreate(), keysList(), keysLimit(), keysRotate(), keysRevoke(), keysTwilio())
	return keys
}

func keysCreate() *cobra.Command {
	var path, name, scopes, allow string
	var expires time.Duration
	var limits auth.Limits
	var account twilioFlags
	cmd := &cobra.Command{
		Use:   "create --config FILE --name NAME --scope send,read,admin",
		Short: "Print a new API key, and nothing else; it is not shown again",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(name) == "" {
				return usageError{errors.New("keys create: --name is missing: say who will use the key")}
			}
			if strings.TrimSpace(scopes) == "" {
				return usageError{errors.New("keys create: --scope is missing: watch, service, send, read or admin, or several with commas")}
			}
			list, err := auth.ParseScopes(scopes)
			if err != nil {
				return usageError{fmt.Errorf("keys create: --scope: %w", err)}
			}
			if limits.Allow, err = number.ParseDestinations(allow); err != nil {
				return usageError{fmt.Errorf("keys create: --allow: %w", err)}
			}
			if cmd.Flags().Changed("allow") && len(limits.Allow) == 0 {
				return usageError{errors.New("keys create: --allow is empty; leave it out for everywhere")}
			}
			if expires < 0 {
				return usageError{errors.New("keys create: --expires must not be negative")}
			}
			var until time.Time
			if expires > 0 {
				until = time.Now().Add(expires)
			}
			if err := account.check(cmd); err != nil {
				return err
			}
			if account.wanted {
				err = account.create(cmd, path, auth.Key{Name: name, Scopes: list, ExpiresAt: until, Limits: limits})
			} else {
				err = withKeys(cmd.Context(), path, func(k *auth.Keys) error {
					token, _, err := k.CreateLimited(cmd.Context(), name, list, until, limits)
					if err == nil {
						fmt.Fprintln(cmd.OutOrStdout(), token)
					}
					return err
				})
			}
			if wrong := (*auth.WrongError)(nil); errors.As(err, &wrong) {
				return usageError{fmt.Errorf("keys create: --%w", err)}
			}
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&name, "name", "", "who uses it: shown in lists and logs")
	cmd.Flags().StringVar(&scopes, "scope", "", "watch, service, send, read or admin, or several with commas; read includes watch, admin all")
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long it is valid, for example 8760h; 0: until revoked")
	limitFlags(cmd, &limits, &allow)
	account.add(cmd)
	return cmd
}

// limitFlags are what a key is held to.
func limitFlags(cmd *cobra.Command, limits *auth.Limits, allow *string) {
	cmd.Flags().IntVar(&limits.Rate, "rate", 0, "messages a minute; 0: no limit")
	cmd.Flags().IntVar(&limits.Burst, "burst", 0, "how many of them may go at once; 0: a minute's")
	cmd.Flags().IntVar(&limits.Quota, "quota", 0, "messages a day; 0: no limit")
	cmd.Flags().StringVar(allow, "allow", "", "where it may send, for example DE,+43,12345 or short-codes; left out: wherever the gateway does")
	cmd.Flags().BoolVar(&limits.Premium, "premium", false, "it may send to numbers that cost extra, if destinations.premium allows that")
}

func keysLimit() *cobra.Command {
	var path, allow string
	var limits auth.Limits
	cmd := &cobra.Command{
		Use:   "limit --config FILE ID-OR-NAME [--rate N] [--burst N] [--quota N] [--allow LIST] [--premium]",
		Short: "Change what an API key is held to; what is left out stays",
		Args:  exactly(1, "the key's id or name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := number.ParseDestinations(allow)
			if err != nil {
				return usageError{fmt.Errorf("keys limit: --allow: %w", err)}
			}
			given := func(name string) bool { return cmd.Flags().Changed(name) }
			if !given("rate") && !given("burst") && !given("quota") && !given("allow") && !given("premium") {
				return usageError{errors.New("keys limit: say what to change: --rate, --burst, --quota, --allow or --premium")}
			}
			return withKeys(cmd.Context(), path, func(k *auth.Keys) error {
				key, err := k.Limit(cmd.Context(), args[0], func(l *auth.Limits) {
					if given("rate") {
						l.Rate = limits.Rate
					}
					if given("burst") {
						l.Burst = limits.Burst
					}
					if given("quota") {
						l.Quota = limits.Quota
					}
					if given("allow") {
						l.Allow = list
					}
					if given("premium") {
						l.Premium = limits.Premium
					}
				})
				if wrong := (*auth.WrongError)(nil); errors.As(err, &wrong) {
					return usageError{fmt.Errorf("keys limit: --%w", err)}
				}
				if err == nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "key %s (%s): %s, %s, to %s\n", key.ID, key.Name,
						perTime(key.Rate, "min"), perTime(key.Quota, "day"), where(key.Limits))
				}
				return err
			})
		},
	}
	configFlag(cmd, &path)
	limitFlags(cmd, &limits, &allow)
	return cmd
}

func keysList() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List the API keys (never the keys themselves)",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAccounts(cmd.Context(), path, func(k *auth.Keys, a *twilio.Accounts) error {
				all, err := k.List(cmd.Context())
				if err != nil {
					return err
				}
				sids, err := a.SIDs(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printKeys(cmd.OutOrStdout(), all, sids)
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
				fmt.Fprintln(w, "ID\tNAME\tSCOPES\tRATE\tQUOTA\tALLOW\tCREATED\tLAST USED\tEXPIRES\tREVOKED\tTWILIO")
				for _, key := range all {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", key.ID, key.Name, auth.Scopes(key.Scopes),
						perTime(key.Rate, "min"), perTime(key.Quota, "day"), where(key.Limits),
						day(key.CreatedAt), day(key.LastUsedAt), day(key.ExpiresAt), day(key.RevokedAt), dash(sids[key.ID]))
				}
				return w.Flush()
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as GET /v1/keys lists them")
	return cmd
}

// printKeys writes the keys as GET /v1/keys does, and the Twilio SIDs of those that have one.
func printKeys(w io.Writer, all []auth.Key, sids map[string]string) error {
	type key struct {
		auth.View
		Twilio string `json:"twilio,omitempty"`
	}
	views := make([]key, len(all))
	for i := range all {
		views[i] = key{all[i].View(time.Now()), sids[all[i].ID]}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"keys": views})
}

func perTime(n int, unit string) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%s", n, unit)
}

func where(l auth.Limits) string {
	list := number.Listed(l.Allow)
	if list == "" {
		list = "all"
	}
	if l.Premium {
		list += ", premium"
	}
	return list
}

func keysRotate() *cobra.Command {
	var path string
	var overlap time.Duration
	cmd := &cobra.Command{
		Use:   "rotate --config FILE ID-OR-NAME",
		Short: "Print a new API key in place of one, which goes on for the overlap",
		Long: "Print a new API key, and nothing else on stdout, with the name, scopes and limits of an old one.\n" +
			"It is the same caller: what was sent under an Idempotency-Key is not sent again, and today's quota goes on.\n" +
			"The old key ends after the overlap: change over to the new one before that.",
		Args: exactly(1, "the key's id or name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withKeys(cmd.Context(), path, func(k *auth.Keys) error {
				token, _, old, err := k.Rotate(cmd.Context(), args[0], overlap)
				if wrong := (*auth.WrongError)(nil); errors.As(err, &wrong) {
					return usageError{fmt.Errorf("keys rotate: --%w", err)}
				}
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), token)
				if old.RevokedAt.IsZero() {
					fmt.Fprintf(cmd.ErrOrStderr(), "the old key %s (%s) ends at %s UTC\n", old.Prefix(), old.Name, day(old.ExpiresAt))
				} else {
					fmt.Fprintf(cmd.ErrOrStderr(), "the old key %s (%s) has ended\n", old.Prefix(), old.Name)
				}
				return nil
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().DurationVar(&overlap, "overlap", auth.DefaultOverlap, "how long the old key goes on; 0: it ends at once")
	return cmd
}

func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

func keysRevoke() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "revoke --config FILE ID, NAME OR TWILIO SID",
		Short: "Make an API key invalid at once",
		Args:  exactly(1, "the key's id or name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAccounts(cmd.Context(), path, func(k *auth.Keys, a *twilio.Accounts) error {
				id, err := keyOf(cmd.Context(), a, args[0])
				if err != nil {
					return err
				}
				key, err := k.Revoke(cmd.Context(), id)
				if err == nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "revoked key %s (%s)\n", key.ID, key.Name)
				}
				return err
			})
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// withKeys opens the keys of a configuration's data_dir, whether or not the
// daemon runs.
func withKeys(ctx context.Context, path string, fn func(*auth.Keys) error) error {
	dir, err := keysDir(path)
	if err != nil {
		return err
	}
	return inDataDir(ctx, dir, fn)
}

// keysDir is the data directory whose keys are meant. Somebody who has a running
// gateway's address in his environment, and names no configuration, means that
// gateway: a key made elsewhere would open nothing there.
func keysDir(path string) (string, error) {
	if url := os.Getenv("GATEWAYD_URL"); url != "" && path == "" {
		return "", usageError{fmt.Errorf("GATEWAYD_URL says %s, and these commands work on the data_dir of a configuration on this machine: name its --config, "+
			"or ask that gateway by its API: POST /v1/keys makes a key, GET /v1/keys lists them", url)}
	}
	c, err := config.Load(path, os.Environ())
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(c.DataDir, db.FileName)); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(os.Stderr, "there was no gateway in %s yet: a database is made there\n", c.DataDir)
	}
	return c.DataDir, nil
}

func inDataDir(ctx context.Context, dir string, fn func(*auth.Keys) error) error {
	return inDatabase(ctx, dir, func(d *db.DB) error { return fn(auth.New(d)) })
}

// inDatabase opens the database of a data directory, and makes both if they are
// not there.
func inDatabase(ctx context.Context, dir string, fn func(*db.DB) error) (err error) {
	if err := db.MakeDir(dir); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	if err := becomeOwner(dir); err != nil {
		return err
	}
	d, err := db.Open(ctx, db.Options{Dir: dir})
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run this as the owner of %s, or as root", err, filepath.Clean(dir))
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return fn(d)
}

// becomeOwner gives up root's rights for those of the data directory's owner,
// so that the daemon can use every file that is written from here on.
func becomeOwner(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	if err := syscall.Setgroups([]int{int(owner.Gid)}); err != nil {
		return fmt.Errorf("becoming the owner of %s: %w", dir, err)
	}
	if err := syscall.Setgid(int(owner.Gid)); err != nil {
		return fmt.Errorf("becoming the owner of %s: %w", dir, err)
	}
	if err := syscall.Setuid(int(owner.Uid)); err != nil {
		return fmt.Errorf("becoming the owner of %s: %w", dir, err)
	}
	return nil
}
