package main

import (
	"context"
	"errors"
	"fmt"
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
	"gatewayd/twilio"
)

func keysCommand() *cobra.Command {
	keys := &cobra.Command{
		Use:   "keys",
		Short: "Create, list and revoke API keys",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return usageError{errors.New("keys: say create, list, revoke or twilio; gatewayd keys --help tells more")}
		},
	}
	keys.AddCommand(keysCreate(), keysList(), keysRevoke(), keysTwilio())
	return keys
}

func keysCreate() *cobra.Command {
	var path, name, scopes string
	var expires time.Duration
	var account twilioFlags
	cmd := &cobra.Command{
		Use:   "create --config FILE --name NAME --scope send,read,admin",
		Short: "Print a new API key, and nothing else; it is not shown again",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(name) == "" {
				return usageError{errors.New("keys create: --name is missing: say who will use the key")}
			}
			list, err := auth.ParseScopes(scopes)
			if err != nil {
				return usageError{fmt.Errorf("keys create: --scope: %w", err)}
			}
			var until time.Time
			if expires > 0 {
				until = time.Now().Add(expires)
			}
			if err := account.check(); err != nil {
				return err
			}
			if account.wanted {
				return account.create(cmd, path, name, list, until)
			}
			return withKeys(cmd.Context(), path, func(k *auth.Keys) error {
				token, _, err := k.Create(cmd.Context(), name, list, until)
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), token)
				}
				return err
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&name, "name", "", "who uses it: shown in lists and logs")
	cmd.Flags().StringVar(&scopes, "scope", "", "send, read or admin, or several with commas; admin may do all")
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long it is valid, for example 8760h; 0: until revoked")
	account.add(cmd)
	return cmd
}

func keysList() *cobra.Command {
	var path string
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
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
				fmt.Fprintln(w, "ID\tNAME\tSCOPES\tCREATED\tLAST USED\tEXPIRES\tREVOKED\tTWILIO")
				for _, key := range all {
					var scopes []string
					for _, s := range key.Scopes {
						scopes = append(scopes, string(s))
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", key.ID, key.Name, strings.Join(scopes, ","),
						day(key.CreatedAt), day(key.LastUsedAt), day(key.ExpiresAt), day(key.RevokedAt), dash(sids[key.ID]))
				}
				return w.Flush()
			})
		},
	}
	configFlag(cmd, &path)
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
	c, err := config.Load(path, os.Environ())
	if err != nil {
		return err
	}
	return inDataDir(ctx, c.DataDir, fn)
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
