package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"gatewayd/modem/ports"
)

// usbRequests is where the daemon, which is not root, asks for the power of a
// socket to be switched; gatewayd-usb.path watches it.
const usbRequests = "/run/gatewayd/usb"

func usbResetCommand() *cobra.Command {
	var requests string
	cmd := &cobra.Command{
		Use:   "usb-reset SOCKET",
		Short: "Switch a modem off and on by its USB power (as root)",
		Long: `Switches the device in a USB socket, such as 1-1.2, off and on: by the hub's port
if uhubctl is installed and the hub can do it for one port alone, else by having
the kernel let go of the device. The sockets stand in "gatewayd modems".

With --requests it does what the daemon has asked for in that folder; the unit
gatewayd-usb.service runs it so.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (requests == "") == (len(args) == 0) {
				return usageError{errors.New("usb-reset: give a socket, such as 1-1.2; gatewayd modems names them")}
			}
			p := ports.Power{Sys: "/sys", Switch: ports.Uhubctl()}
			if requests == "" {
				return p.Cycle(cmd.Context(), args[0])
			}
			devices, err := ports.Scan(os.DirFS("/sys"), "/dev")
			if err != nil {
				return err
			}
			return p.ServeRequests(cmd.Context(), requests, devices)
		},
	}
	cmd.Flags().StringVar(&requests, "requests", "", "do what is asked for in this folder")
	return cmd
}

// powerCycle is how this process can switch a modem's power, nil if it can't:
// itself as root, else by asking the unit that may.
func powerCycle() func(context.Context, ports.Device) error {
	if os.Geteuid() == 0 {
		p := ports.Power{Sys: "/sys", Switch: ports.Uhubctl()}
		return func(ctx context.Context, d ports.Device) error { return p.Cycle(ctx, d.Socket()) }
	}
	if info, err := os.Stat(usbRequests); err != nil || !info.IsDir() {
		return nil
	}
	return func(ctx context.Context, d ports.Device) error {
		return ports.RequestCycle(ctx, usbRequests, d.Socket())
	}
}
