package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/config"
	"gatewayd/db"
	"gatewayd/gateway"
	"gatewayd/queue"
)

func backupCommand() *cobra.Command {
	var path, into string
	var force bool
	var keep db.Keep
	cmd := &cobra.Command{
		Use:   "backup --config FILE (COPY | --dir FOLDER)",
		Short: "Write a consistent copy of the database, also while the daemon runs; - writes it to stdout",
		Long: `Writes a consistent copy of the database, also while the daemon runs; - writes it
to stdout. With --dir the copy gets a name by the time, and old ones of that
folder are removed once it is whole: the last of so many days, weeks and months
are kept. gatewayd-backup.timer does that every day.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (into == "") != (len(args) == 1) || len(args) > 1 {
				return usageError{errors.New("backup: give the file to write, or -, or a folder with --dir")}
			}
			if into != "" && keep.Daily+keep.Weekly+keep.Monthly < 1 || min(keep.Daily, keep.Weekly, keep.Monthly) < 0 {
				return usageError{errors.New("backup: --keep-daily, --keep-weekly and --keep-monthly are 0 or more, and one of them more than 0")}
			}
			c, err := config.Load(path, os.Environ())
			if err != nil {
				return err
			}
			var size int64
			switch {
			case into != "":
				made, removed, failed := db.Backups(cmd.Context(), c.DataDir, into, keep, time.Now())
				if made != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "%s (old ones removed: %d)\n", made, len(removed))
					size = sizeOf(made)
				}
				err = failed
			case args[0] == "-":
				size, err = backupTo(cmd.Context(), cmd.OutOrStdout(), c.DataDir)
			default:
				err = db.Backup(cmd.Context(), c.DataDir, args[0], force)
				size = sizeOf(args[0])
			}
			noteBackup(cmd, c.DataDir, size, err)
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&force, "force", false, "overwrite a file that is there")
	cmd.Flags().StringVar(&into, "dir", "", "folder of backups that are named by their time")
	cmd.Flags().IntVar(&keep.Daily, "keep-daily", 7, "with --dir: of how many days the last one is kept")
	cmd.Flags().IntVar(&keep.Weekly, "keep-weekly", 4, "and of how many weeks")
	cmd.Flags().IntVar(&keep.Monthly, "keep-monthly", 6, "and of how many months")
	return cmd
}

func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// noteBackup has the daemon know what became of a backup, for its page and its
// alarms. A backup that can't be noted is one all the same.
func noteBackup(cmd *cobra.Command, dataDir string, size int64, failed error) {
	var mistake usageError
	if cmd.Context().Err() != nil || errors.As(failed, &mistake) {
		return
	}
	if err := gateway.BackedUp(cmd.Context(), dataDir, size, failed, time.Now()); err != nil && failed == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: the daemon does not know of this backup: %v\n", err)
	}
}

// backupTo makes the copy where temporary files go, and sends it on when it is
// whole.
func backupTo(ctx context.Context, out io.Writer, dataDir string) (size int64, err error) {
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Mode()&os.ModeDevice != 0 && f.Name() != os.DevNull {
			return 0, usageError{errors.New("backup -: the copy is no text for a terminal; send it to a file or a program")}
		}
	}
	dir, err := os.MkdirTemp("", "gatewayd-backup-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, db.FileName)
	if err := db.Backup(ctx, dataDir, path, false); err != nil {
		return 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.Copy(out, f)
}

func restoreCommand() *cobra.Command {
	var path string
	var release, cancel, back bool
	cmd := &cobra.Command{
		Use:   "restore --config FILE [COPY] [--release | --cancel]",
		Short: "Put a backup in the place of the database; what it left unfinished is held until --release or --cancel",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var verdict queue.HeldVerdict
			switch {
			case len(args) > 1:
				return usageError{errors.New("restore: give one backup")}
			case release && cancel:
				return usageError{errors.New("restore: --release and --cancel exclude each other")}
			case release:
				verdict = queue.Release
			case cancel:
				verdict = queue.Cancel
			case len(args) == 0:
				return usageError{errors.New("restore: give the backup, or --release or --cancel for what an earlier restore holds")}
			}
			c, err := config.Load(path, os.Environ())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return decide(cmd.Context(), cmd.ErrOrStderr(), c.DataDir, verdict)
			}
			return restore(cmd.Context(), cmd.ErrOrStderr(), c.DataDir, args[0], verdict, back)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&release, "release", false, "send what is held, marked as a possible duplicate if it may have gone out")
	cmd.Flags().BoolVar(&back, "back", false, "also over the database of a newer gatewayd: to go back to this one after an upgrade")
	cmd.Flags().BoolVar(&cancel, "cancel", false, "don't send what is held")
	return cmd
}

func restore(ctx context.Context, out io.Writer, dir, from string, verdict queue.HeldVerdict, back bool) error {
	f, err := os.Open(from) // before root's rights are given up
	if err != nil {
		return err
	}
	defer f.Close()
	if err := ownDataDir(dir); err != nil {
		return err
	}
	unlock, err := db.Lock(dir)
	if err != nil {
		return fmt.Errorf("%w; stop it first", err)
	}
	defer unlock()
	put := gateway.Restore
	if back {
		put = gateway.GoBack
	}
	r, err := put(ctx, dir, f, verdict, time.Now())
	if err != nil {
		return err
	}
	if r.Unread != nil {
		fmt.Fprintf(out, "warning: the database that was there can't be read (%v): STOPs, revoked keys and refused PINs that came after the backup are not known\n", r.Unread)
	}
	if r.Kept != "" {
		fmt.Fprintf(out, "the database that was there is now %s\n", r.Kept)
	}
	if r.Settled > 0 {
		fmt.Fprintf(out, "messages of the backup whose end was found in it: %d\n", r.Settled)
	}
	if r.Missing > 0 {
		fmt.Fprintf(out, "warning: unfinished messages that are in it and not in the backup, and are not sent any more: %d\n", r.Missing)
	}
	if r.Held+r.Deliveries == 0 {
		return nil
	}
	fmt.Fprintf(out, "unfinished messages: %d, webhook deliveries: %d; %s\n", r.Held, r.Deliveries, map[queue.HeldVerdict]string{
		"":            "held until gatewayd restore --release, or --cancel",
		queue.Release: "released when gatewayd starts",
		queue.Cancel:  "canceled when gatewayd starts",
	}[verdict])
	return nil
}

// ownDataDir makes the directory if it is missing and continues as its owner.
func ownDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	return becomeOwner(dir)
}

// carriedOut is how long a running daemon is waited for.
const carriedOut = 30 * time.Second

// decide leaves word for the daemon, which does the rest, and waits for it if it
// runs.
func decide(ctx context.Context, out io.Writer, dir string, verdict queue.HeldVerdict) (err error) {
	if err := becomeOwner(dir); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, db.FileName)); err != nil {
		return err
	}
	unlock, err := db.Lock(dir)
	running := errors.Is(err, db.ErrLocked)
	if err != nil && !running {
		return err
	}
	if !running {
		defer unlock()
	}
	d, err := db.Open(ctx, db.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	messages, deliveries, _, err := gateway.Held(ctx, d)
	if err == nil && messages+deliveries == 0 {
		err = queue.ErrNothingHeld
	}
	if err != nil {
		return err
	}
	if err := queue.Decide(d, verdict); err != nil {
		return err
	}
	if !running {
		fmt.Fprintf(out, "messages: %d, webhook deliveries: %d; done when gatewayd starts (%s)\n", messages, deliveries, verdict)
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, carriedOut)
	defer stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for left := messages + deliveries; left > 0; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d messages and deliveries are still held; the daemon has word and goes on", left)
		}
		m, n, _, err := gateway.Held(ctx, d)
		if err != nil {
			return err
		}
		left = m + n
	}
	fmt.Fprintf(out, "messages: %d, webhook deliveries: %d; done (%s)\n", messages, deliveries, verdict)
	return nil
}
