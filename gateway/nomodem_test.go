package gateway

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Whoever starts a gateway without a modem finds it in the log, once; whoever has
// one does not.
func TestNoModemIsSaid(t *testing.T) {
	for modems, want := range map[int]int{0: 1, 1: 0} {
		inWorld(t, modems, air(), func(w *world) {
			w.end()
			var said bytes.Buffer
			w.more = func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&said, nil)) }
			w.start()
			w.pass(5 * time.Minute)
			w.end()
			if n := strings.Count(said.String(), "no modem is there"); n != want {
				t.Errorf("with %d modems it is said %d times", modems, n)
			}
			w.start()
		})
	}
}
