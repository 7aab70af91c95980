//go:build crash

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Variable names the environment variable that says where to die: a step, which
// hit of it, and how long the step's own goroutine waits there first, as in
// "modem.after-ctrl-z 3 20ms". What should have waited for the step and did not
// has that time to show. Without it nothing happens.
const Variable = "GATEWAYD_FAILPOINT"

var (
	armed  string
	left   atomic.Int64
	linger time.Duration
)

func init() {
	said := strings.Fields(os.Getenv(Variable))
	if len(said) == 0 {
		return
	}
	times, wait, ok := 0, time.Duration(0), len(said) == 3
	if ok {
		var err, err2 error
		times, err = strconv.Atoi(said[1])
		wait, err2 = time.ParseDuration(said[2])
		ok = err == nil && err2 == nil && times > 0
	}
	if !ok {
		panic(fmt.Sprintf("%s=%q: write a step, a number and a duration", Variable, os.Getenv(Variable)))
	}
	armed, linger = said[0], wait
	left.Store(int64(times))
}

// Hit marks a step, and ends the process as kill -9 does if it is the one.
func Hit(name string) {
	if name != armed || left.Add(-1) != 0 {
		return
	}
	time.Sleep(linger)
	_, _ = syscall.Write(2, []byte("failpoint: "+name+"\n"))
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// Rather is usual, or in the laboratory inLab: what takes hours to come about
// is to be met within a life of a second.
func Rather(usual, inLab int) int { return inLab }
