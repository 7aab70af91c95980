package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"gatewayd/client"
	"gatewayd/sms"
)

func statusCommand() *cobra.Command {
	var t target
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show modems and queue of the running daemon",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := t.connect(client.WithPatience(0))
			if err != nil {
				return err
			}
			var modems struct {
				Modems []sms.Modem `json:"modems"`
			}
			if err := d.ask(cmd.Context(), http.MethodGet, "/v1/modems", nil, &modems); err != nil {
				return err
			}
			var rings sms.Rings
			if err := d.ask(cmd.Context(), http.MethodGet, "/v1/queue", nil, &rings); err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(map[string]any{"modems": modems.Modems, "queue": rings})
			}
			d.sayKey(cmd)
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "MODEM\tSTATE\tOPERATOR\tSIGNAL\tSENT\tWHAT TO DO")
			for _, m := range modems.Modems {
				signal := "-"
				if m.Signal != nil {
					signal = fmt.Sprintf("%d dBm", m.Signal.DBm)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", m.Name, m.State, orDash(m.Operator), signal, m.Counters.PartsSent,
					orDash(strings.TrimSpace(m.Reason+" "+m.Advice)))
			}
			if err := w.Flush(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "outbound: %d of %d slots in use\ninbound: %d of %d slots in use\n",
				rings.Outbound.Depth, rings.Outbound.Capacity, rings.Inbound.Depth, rings.Inbound.Capacity)
			return err
		},
	}
	t.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
