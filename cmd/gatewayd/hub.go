package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/config"
	"gatewayd/db"
	"gatewayd/gateway"
	"gatewayd/hub"
	"gatewayd/sms"
)

func hubCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hub",
		Short: "Run a hub of gateways, and add gateways to it",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return usageError{errors.New("hub: say run, add-gateway, gateways, check or nats-config; gatewayd hub --help tells more")}
		},
	}
	cmd.AddCommand(append(hubAsk(), hubRun(), hubAddGateway(), hubNATSConfig())...)
	return cmd
}

func hubRun() *cobra.Command {
	return daemonCommand("Run the daemon as a hub of gateways: the same API, and no modems of its own", func(c *config.Config, o *gateway.Options, log *slog.Logger) error {
		if c.Hub.URL != "" {
			return usageError{errors.New("hub run: hub.url says where a gateway dials, so this is a gateway's configuration: use gatewayd run, or set hub.listen instead")}
		}
		if !c.Hub.Runs() {
			return usageError{errors.New("hub run: set hub.listen, where gateways dial in, such as :4222, or hub.nats_url")}
		}
		if len(c.Modems.List) > 0 {
			return usageError{errors.New("hub run: modems.list names modems, and a hub has none: its gateways have them; remove the list")}
		}
		o.Hub, o.Discovery = hubOptions(c.Hub), nil
		return nil
	})
}

// beGateway refuses the configuration of a hub.
func beGateway(c *config.Config, _ *gateway.Options, log *slog.Logger) error {
	if c.Hub.Runs() {
		return usageError{errors.New("run: hub.listen or hub.nats_url makes this the configuration of a hub: use gatewayd hub run, or take them out")}
	}
	if len(c.Modems.List) == 0 && !c.Modems.Discover {
		log.Warn("no modem is configured and none is looked for; messages are accepted and wait: set modems.discover, or name one under modems.list")
	}
	return nil
}

func hubOptions(c config.Hub) *hub.Options {
	o := &hub.Options{
		Listen: c.Listen, WebSocket: c.WebSocketListen, Certificate: c.Certificate, Key: c.Key, URL: c.NATSURL, CredentialsFile: c.NATSCredentialsFile, CAFile: c.CAFile,
		PublicURL: c.PublicURL, Window: c.Window, AwayAfter: c.AwayAfter, ExtendedAfter: c.ExtendedAfter, Lease: c.Lease, Pull: c.Pull, Default: c.Default,
	}
	for _, r := range c.Routes {
		o.Routes = append(o.Routes, hub.Route(r))
	}
	return o
}

func hubAddGateway() *cobra.Command {
	var path, title, group string
	cmd := &cobra.Command{
		Use:   "add-gateway --config FILE NAME [--group GROUP] [--title TITLE]",
		Short: "Print a new gateway's credentials, and nothing else: what its hub.credentials_file is to hold",
		Long: "Print a new gateway's credentials, and nothing else: what its hub.credentials_file is to hold. They are not shown again. " +
			"The hub may run meanwhile, or be started later.",
		Args: exactly(1, "the gateway's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withRegistry(cmd, path, func(r *hub.Registry) error {
				credentials, err := r.Add(args[0], title, group)
				if wrong := (*sms.WrongGateway)(nil); errors.As(err, &wrong) {
					return usageError{fmt.Errorf("hub add-gateway: %w", err)}
				}
				if err == nil {
					fmt.Fprint(cmd.OutOrStdout(), credentials)
				}
				return err
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&title, "title", "", "what people call it, such as the branch where it stands")
	cmd.Flags().StringVar(&group, "group", "", "the group it belongs to; messages can go to any of a group")
	return cmd
}

func hubNATSConfig() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "nats-config --config FILE",
		Short: "Print what the servers of a NATS cluster elsewhere need in their configuration to take this hub and its gateways",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withRegistry(cmd, path, func(r *hub.Registry) error {
				text, err := r.ServerConfig()
				if err == nil {
					fmt.Fprint(cmd.OutOrStdout(), text)
				}
				return err
			})
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func withRegistry(cmd *cobra.Command, path string, do func(*hub.Registry) error) error {
	c, err := config.Load(path, os.Environ())
	if err != nil {
		return err
	}
	if !c.Hub.Runs() { // what a key of this database signs would open no hub
		return usageError{fmt.Errorf("hub %s: this is not the configuration of a hub: name the hub's, on the machine where it runs, or set hub.listen, where gateways dial in, such as :4222", cmd.Name())}
	}
	dir, err := keysDir(path)
	if err != nil {
		return err
	}
	return inDatabase(cmd.Context(), dir, func(d *db.DB) error {
		// The account of a cluster that another operator runs stands in the hub's credentials there.
		r, err := hub.OpenRegistry(d, time.Now, c.Hub.NATSCredentialsFile, c.Hub.Pull)
		if err != nil {
			return err
		}
		return do(r)
	})
}
