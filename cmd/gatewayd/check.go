package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"gatewayd/config"
)

func checkCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check-config --config FILE",
		Short: "Check a configuration; exit 2 with one line per mistake",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(path, os.Environ())
			if err != nil {
				return err
			}
			if _, err := consentRules(c.Consent); err != nil {
				return err
			}
			for _, w := range c.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}
