//go:build crash

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Variable names the environment variable that says where to die: a step and
// which hit of it, as in "modem.after-ctrl-z 3". Without it nothing happens.
const Variable = "GATEWAYD_FAILPOINT"

var (
	armed string
	left  atomic.Int64
)

func init() {
	name, n, _ := strings.Cut(os.Getenv(Variable), " ")
	times, err := strconv.Atoi(n)
	if name != "" && (err != nil || times < 1) {
		panic(fmt.Sprintf("%s=%q: write a step and a number", Variable, os.Getenv(Variable)))
	}
	armed = name
	left.Store(int64(times))
}

// Hit marks a step, and ends the process as kill -9 does if it is the one.
func Hit(name string) {
	if name != armed || left.Add(-1) != 0 {
		return
	}
	_, _ = syscall.Write(2, []byte("failpoint: "+name+"\n"))
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// Rather is usual, or in the laboratory inLab: what takes hours to come about
// is to be met within a life of a second.
func Rather(usual, inLab int) int { return inLab }
