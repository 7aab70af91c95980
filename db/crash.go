//go:build crash

package db

import (
	"os"
	"strconv"

	"gatewayd/db/powercut"
)

// With GATEWAYD_POWERCUT, a number, a kill of the process is a power cut. The
// variable is gone before the configuration is read, which knows it not.
func init() {
	if seed, err := strconv.ParseUint(os.Getenv("GATEWAYD_POWERCUT"), 10, 64); err == nil {
		everywhere = powercut.Name
		powercut.Everywhere(seed)
		os.Unsetenv("GATEWAYD_POWERCUT")
	}
}
