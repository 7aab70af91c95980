package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatewayd/auth"
	"gatewayd/config"
	"gatewayd/db"
	"gatewayd/twilio"
	"gatewayd/webhook"
)

// twilioFlags are what keys create takes for the Twilio-compatible API.
type twilioFlags struct {
	wanted   bool
	account  string
	settings twilio.Settings
	chosen   func(*twilio.Settings) bool
}

func (f *twilioFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.wanted, "twilio", false, "print an account SID and an auth token for the Twilio-compatible API instead, a line each")
	cmd.Flags().StringVar(&f.account, "account", "", "with --twilio: a further key of this account: prints its SID (SK…) and its secret")
	f.chosen = settingsFlags(cmd)
}

// settingsFlags are an account's settings; the function that it returns writes
// those that were given, and tells whether any was.
func settingsFlags(cmd *cobra.Command) func(*twilio.Settings) bool {
	var s twilio.Settings
	flags := cmd.Flags()
	flags.StringVar(&s.SMSURL, "sms-url", "", "Twilio: where received texts are posted to; empty: nowhere")
	flags.StringVar(&s.StatusCallback, "status-callback", "", "Twilio: where the status of messages goes that name no StatusCallback")
	flags.StringSliceVar(&s.Modems, "receives", nil, "Twilio: names or numbers of the modems whose texts the account gets; left out, or empty: all")
	flags.BoolVar(&s.AnyFrom, "any-from", false, "Twilio: a From that is no modem's means any modem, instead of an error")
	flags.DurationVar(&s.Dedup, "dedup", 0, "Twilio: the same text again within this time answers with the first, for example 30s; 0: never")
	return func(into *twilio.Settings) (any bool) {
		for name, set := range map[string]func(){
			"sms-url":         func() { into.SMSURL = s.SMSURL },
			"status-callback": func() { into.StatusCallback = s.StatusCallback },
			"receives": func() {
				into.Modems = slices.DeleteFunc(s.Modems, func(m string) bool { return strings.TrimSpace(m) == "" })
				if len(into.Modems) == 0 {
					into.Modems = nil
				}
			},
			"any-from": func() { into.AnyFrom = s.AnyFrom },
			"dedup":    func() { into.Dedup = s.Dedup },
		} {
			if flags.Changed(name) {
				any = true
				set()
			}
		}
		return any
	}
}

// check says what does not go together.
func (f *twilioFlags) check(cmd *cobra.Command) error {
	set := f.chosen(&f.settings)
	switch {
	case !f.wanted && (set || f.account != ""):
		return usageError{errors.New("keys create: --account, --sms-url, --status-callback, --receives, --any-from and --dedup belong to --twilio")}
	case f.account != "" && slices.ContainsFunc([]string{"rate", "burst", "quota", "allow", "premium"}, cmd.Flags().Changed):
		return usageError{errors.New("keys create: a further key has the limits of its account: gatewayd keys limit changes those")}
	case f.account != "" && set:
		return usageError{fmt.Errorf("keys create: a further key has the settings of its account: gatewayd keys twilio %s changes them", f.account)}
	}
	return nil
}

// create makes an account, or a further key of one, and prints both its lines.
func (f *twilioFlags) create(cmd *cobra.Command, path string, key auth.Key) error {
	return withAccounts(cmd.Context(), path, func(_ *auth.Keys, a *twilio.Accounts) (err error) {
		var sid, secret string
		if f.account != "" {
			sid, secret, err = a.CreateKey(cmd.Context(), f.account, key)
		} else {
			sid, secret, err = a.Create(cmd.Context(), key, f.settings)
			warn(cmd, path, f.settings)
		}
		if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n", sid, secret)
		}
		return err
	})
}

func keysTwilio() *cobra.Command {
	var path string
	var rotate bool
	var chosen func(*twilio.Settings) bool
	cmd := &cobra.Command{
		Use:   "twilio --config FILE ACCOUNT-SID [--sms-url URL] [--status-callback URL] [--receives MODEM] [--any-from] [--dedup 30s] [--new-token]",
		Short: "Show the settings of an account of the Twilio-compatible API, or change those that are given",
		Args:  exactly(1, "the account's SID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAccounts(cmd.Context(), path, func(_ *auth.Keys, a *twilio.Accounts) error {
				account, err := a.Get(cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("%w: %q", err, args[0])
				}
				s := account.Settings
				if chosen(&s) {
					if s, err = a.Change(cmd.Context(), account.SID, func(s *twilio.Settings) { chosen(s) }); err != nil {
						return err
					}
					warn(cmd, path, s)
				}
				if rotate {
					token, err := a.Rotate(cmd.Context(), account.SID)
					if err == nil {
						fmt.Fprintln(cmd.OutOrStdout(), token)
					}
					return err
				}
				receives := strings.Join(s.Modems, ",")
				if receives == "" {
					receives = "all"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "sms-url          %s\nstatus-callback  %s\nreceives         %s\nany-from         %t\ndedup            %s\n",
					dash(s.SMSURL), dash(s.StatusCallback), receives, s.AnyFrom, s.Dedup)
				return nil
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&rotate, "new-token", false, "print a new auth token, and nothing else; the one before ends at once")
	chosen = settingsFlags(cmd)
	return cmd
}

// warn says it now when callbacks would be refused later.
func warn(cmd *cobra.Command, path string, s twilio.Settings) {
	c, err := config.Load(path, os.Environ())
	if err != nil || c.HTTP.AllowPrivateWebhooks {
		return
	}
	for _, address := range []string{s.SMSURL, s.StatusCallback} {
		if strings.HasPrefix(address, "http:") {
			fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s is plain http://, which shows texts and numbers to the network: nothing is told there unless %s: true is set\n",
				address, webhook.PrivateSwitch)
		}
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// keyOf is the id of the API key behind a Twilio SID; anything else is its own.
func keyOf(ctx context.Context, a *twilio.Accounts, idOrName string) (string, error) {
	sids, err := a.SIDs(ctx)
	for id, sid := range sids {
		if sid == idOrName {
			return id, nil
		}
	}
	return idOrName, err
}

// withAccounts opens the keys and the accounts of a configuration's data_dir,
// whether or not the daemon runs.
func withAccounts(ctx context.Context, path string, fn func(*auth.Keys, *twilio.Accounts) error) error {
	dir, err := keysDir(path)
	if err != nil {
		return err
	}
	return inDatabase(ctx, dir, func(d *db.DB) error {
		keys := auth.New(d)
		return fn(keys, twilio.NewAccounts(d, keys))
	})
}
