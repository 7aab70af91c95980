//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatewayd/sim"
)

// TestIdleMemory looks at what a gateway without a hub keeps resident once its start is
// over. The floor is the same process at its start, when most of the file is mapped, the
// hub's server too, which this gateway never uses. It is the most that the process has had by
// then: who looks late sees less.
func TestIdleMemory(t *testing.T) {
	s := newSite(t, 0, sim.NetworkOptions{}, "")
	s.binary, s.level = quickBinary(t), "info"
	s.start()
	_, _, atStart := resident(t, s.cmd.Process.Pid)
	t.Logf("at the start: %d kB resident", atStart)
	s.eventually("a gateway keeps less than 0.85 of what it has at its start", 20*time.Second, func() bool {
		all, file, _ := resident(t, s.cmd.Process.Pid)
		if all*100 > atStart*85 {
			return false
		}
		t.Logf("then: %d kB, %d kB of the file: %.2f of it", all, file, float64(all)/float64(atStart))
		return true
	})
	if status, body := s.call("GET", "/v1/messages", ""); status != 200 {
		t.Errorf("then it answers %d %s", status, body)
	}
}

// resident is how much memory a process has, how much of it is mapped from files, and the
// most that it has had, in kB.
func resident(t *testing.T, pid int) (all, file, most int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	number := func(name string) int {
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, name); ok {
				if n, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil {
					return n
				}
			}
		}
		t.Fatalf("no %s in /proc/PID/status", name)
		return 0
	}
	return number("VmRSS:"), number("RssFile:") + number("RssShmem:"), number("VmHWM:") // a program in memory counts as shared
}
