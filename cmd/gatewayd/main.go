// Command gatewayd turns USB modems into an SMS gateway that you own.
//
// Exit status: 0 done, 1 failed, 2 the command line or the configuration is
// wrong, 3 a newer gatewayd wrote the database. After 2 and 3 it would fail again.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"gatewayd/config"
)

// Set by the linker.
var (
	version = "dev"
	commit  = ""
)

// usageError is a mistake on the command line.
type usageError struct{ error }

// stayDown ends a daemon that the service manager is not to start again by itself.
type stayDown struct{ error }

func (e stayDown) Unwrap() error { return e.error }

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the handlers are gone, so a second one ends at once.
	context.AfterFunc(ctx, stop)

	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var mistakes config.Errors
	if errors.As(err, &mistakes) {
		for _, e := range mistakes {
			fmt.Fprintln(os.Stderr, "gatewayd:", e)
		}
		return 2
	}
	fmt.Fprintln(os.Stderr, "gatewayd:", err)
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	var down stayDown
	if errors.As(err, &down) {
		return 3
	}
	return 1
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "gatewayd",
		Short:         "An SMS gateway on USB modems that you own",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; gatewayd --help lists them", args[0])}
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; %s --help tells more", err, cmd.CommandPath())}
	})
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(runCommand(), hubCommand(), setupCommand(), demoCommand(), keysCommand(), peopleCommand(), sendCommand(), statusCommand(), listenCommand(), modemsCommand(), numbersCommand(), usbResetCommand(), supportCommand(), backupCommand(), restoreCommand(), checkCommand(), readyCommand(), selftestCommand(), versionCommand())
	return root
}

// exactly is cobra.ExactArgs with an error that says what is missing.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%s: give %s; %s --help tells more", cmd.CommandPath(), what, cmd.CommandPath())}
		}
		return nil
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and Go version",
		Args:  exactly(0, "no arguments"),
		Run: func(cmd *cobra.Command, args []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "gatewayd %s (commit %s, %s, %s/%s)\n", version, commitOf(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

// commitOf is the commit that was built: told by the linker, or by Go itself.
func commitOf() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
