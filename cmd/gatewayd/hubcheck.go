package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/client"
	"gatewayd/sms"
)

// hubAsk are the commands that ask the running hub, as any other program would.
func hubAsk() []*cobra.Command { return []*cobra.Command{hubGateways(), hubCheck()} }

func hubGateways() *cobra.Command {
	var t target
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "gateways",
		Short: "Show the gateways of the running hub",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := t.connect(client.WithPatience(0))
			if err != nil {
				return err
			}
			all, err := d.gateways(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, map[string]any{"gateways": all})
			}
			d.sayKey(cmd)
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "GATEWAY\tGROUP\tSTATE\tSINCE\tVERSION\tMODEMS READY\tALARMS\tWAITING\tIN LINK\tSTORED")
			for _, g := range all {
				since := "-"
				if !g.Since.IsZero() {
					since = g.Since.Local().Format(time.DateTime)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d of %d\t%d\t%d\t%d\t%d\n", g.Name, orDash(g.Group), g.State(), since, orDash(g.Version),
					g.Ready(), len(g.Modems), len(g.Alarms), g.Waiting, g.InLink, g.Stored)
			}
			return w.Flush()
		},
	}
	t.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (d *daemon) gateways(cmd *cobra.Command) ([]sms.Gateway, error) {
	var list struct {
		Gateways []sms.Gateway `json:"gateways"`
	}
	err := d.ask(cmd.Context(), http.MethodGet, "/v1/gateways", nil, &list)
	return list.Gateways, err
}

// checked is what came of comparing one gateway.
type checked struct {
	Gateway string `json:"gateway"`
	sms.CheckResult
	Error string `json:"error,omitempty"` // it could not be compared
}

func hubCheck() *cobra.Command {
	var t target
	var asJSON bool
	var name string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Compare the messages of the running hub with those of its gateways",
		Long: `Asks the running hub to compare each message that it shares with a gateway: its
status, and the addresses of its slots at both ends. What is under way is
waited for, up to a minute.

The exit status is 0 if there is no difference, and 1 if there is one or a
gateway could not be compared because it is away. Gateways that have never
connected, and disabled ones, are left out unless --gateway names them.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := t.connect(client.WithPatience(0), client.WithTimeout(2*time.Minute))
			if err != nil {
				return err
			}
			names := []string{name}
			if name == "" {
				all, err := d.gateways(cmd)
				if err != nil {
					return err
				}
				names = nil
				for _, g := range all {
					if g.State() != sms.GatewayNew && g.State() != sms.GatewayDisabled {
						names = append(names, g.Name)
					}
				}
			}
			if !asJSON {
				d.sayKey(cmd)
			}
			results := []checked{}
			differences, failed := 0, 0
			for _, name := range names {
				r := checked{Gateway: name}
				if err := d.ask(cmd.Context(), http.MethodPost, "/v1/gateways/"+url.PathEscape(name)+"/check", nil, &r.CheckResult); err != nil {
					if refused := (*client.Error)(nil); !errors.As(err, &refused) || refused.Status != http.StatusConflict {
						return err
					}
					r.Error = err.Error()
					failed++
				}
				differences += len(r.Differences)
				results = append(results, r)
				if !asJSON {
					r.print(cmd)
				}
			}
			if asJSON {
				if err := printJSON(cmd, map[string]any{"gateways": results}); err != nil {
					return err
				}
			}
			switch {
			case differences > 0:
				return fmt.Errorf("hub and gateways differ in %d places", differences)
			case failed > 0:
				return fmt.Errorf("%d of %d gateways could not be compared", failed, len(names))
			}
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&name, "gateway", "", "only this one; else all that have connected")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (r checked) print(cmd *cobra.Command) {
	out := cmd.OutOrStdout()
	if r.Error != "" {
		fmt.Fprintf(out, "%s: not compared: %s\n", r.Gateway, r.Error)
		return
	}
	fmt.Fprintf(out, "%s: %d compared, %d differences\n", r.Gateway, r.Compared, len(r.Differences))
	for _, x := range r.Differences {
		fmt.Fprintf(out, "  %s %s: hub %s, gateway %s\n", x.ID, x.Field, orDash(x.Hub), orDash(x.Gateway))
	}
}

func printJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}
