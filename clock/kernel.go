package clock

import "golang.org/x/sys/unix"

// askKernel asks the kernel whether something, such as an NTP client, keeps its
// clock right. Setting the clock by hand ends that. It takes no root, but a
// sandbox may forbid it.
var askKernel = func() (synced bool, err error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, err
}

func synced() bool {
	ok, err := askKernel()
	return ok && err == nil
}
