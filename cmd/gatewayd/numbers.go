package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"gatewayd/client"
)

func numbersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "numbers",
		Short: "Show, export and erase what the running daemon keeps about a number",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("numbers: unknown command %q; there are export and erase", args[0])}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(numbersExport(), numbersErase())
	return cmd
}

func pathOf(number string) string { return "/v1/numbers/" + url.PathEscape(number) }

func numbersExport() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "export NUMBER",
		Short: "Print all that is kept about a number, texts included, as one JSON document",
		Args:  exactly(1, "the number"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := t.connect(client.WithPatience(0))
			if err != nil {
				return err
			}
			d.sayKey(cmd)
			var document []byte
			if err := d.ask(cmd.Context(), http.MethodGet, pathOf(args[0])+"/export", nil, &document); err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(document)
			return err
		},
	}
	t.flags(cmd)
	return cmd
}

func numbersErase() *cobra.Command {
	var t target
	var yes bool
	cmd := &cobra.Command{
		Use:   "erase NUMBER",
		Short: "Erase all that is kept about a number but that it said STOP",
		Long: "Erase all that is kept about a number but that it said STOP: messages, also those that are still to be\n" +
			"sent, their events, PDUs and calls. It can't be undone. The owner is asked first, unless --yes is given.",
		Args: exactly(1, "the number"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := t.connect(client.WithPatience(0))
			if err != nil {
				return err
			}
			d.sayKey(cmd)
			var kept struct {
				Number                               string
				Outbound, Inbound, Unfinished, Loose int
			}
			if err := d.ask(cmd.Context(), http.MethodGet, pathOf(args[0]), nil, &kept); err != nil {
				return err
			}
			if !yes {
				question := fmt.Sprintf("Erase %d messages to %s (%d of them not sent yet), %d from it and %d other records? It can't be undone. Type yes: ",
					kept.Outbound, kept.Number, kept.Unfinished, kept.Inbound, kept.Loose)
				if err := confirm(cmd, question); err != nil {
					return err
				}
			}
			var done struct {
				Number string
				Erased int
				Hooks  []string
			}
			if err := d.ask(cmd.Context(), http.MethodDelete, pathOf(args[0]), nil, &done); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "erased %d messages of %s\n", done.Erased, done.Number)
			if len(done.Hooks) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "note: these hooks still text it, until you change their \"to\": %s\n", strings.Join(done.Hooks, ", "))
			}
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	return cmd
}

// errNotConfirmed means that somebody did not say yes.
var errNotConfirmed = errors.New("nothing was done: it takes a yes, or --yes")

// confirm asks whoever typed the command.
func confirm(cmd *cobra.Command, question string) error {
	fmt.Fprint(cmd.ErrOrStderr(), question)
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return errNotConfirmed
	}
	return nil
}
