package ports

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// UnderVoltage tells whether a Raspberry Pi's supply is too weak at this
// moment; known is false on machines that don't say.
func UnderVoltage(sys fs.FS) (weak, known bool) {
	chips, _ := fs.ReadDir(sys, "class/hwmon")
	for _, c := range chips {
		dir := path.Join("class/hwmon", c.Name())
		if text(sys, dir, "name") != "rpi_volt" {
			continue
		}
		files, _ := fs.ReadDir(sys, dir)
		for _, f := range files {
			if ok, _ := path.Match("in*_lcrit_alarm", f.Name()); ok {
				known = true
				weak = weak || text(sys, dir, f.Name()) == "1"
			}
		}
	}
	// The firmware's own word, in kernels that pass it on: bit 0 is now.
	s := text(sys, "devices/platform/soc/soc:firmware", "get_throttled")
	if n, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 32); err == nil {
		known = true
		weak = weak || n&1 != 0
	}
	return weak, known
}
