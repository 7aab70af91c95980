//go:build e2e

package e2e

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gatewayd/sim"
)

// A branch's chat and an inbox on its hub, in a real browser, while the link between
// them is cut and comes back: what goes as SMS is on the phone at once and in the inbox
// after, once; what is to go by internet waits.
func TestBrowserOverACutLink(t *testing.T) {
	h := newHub(t, "")
	b := h.branch("north", "", 1, sim.NetworkOptions{Latency: 100 * time.Millisecond, Delivery: 50 * time.Millisecond, Report: 50 * time.Millisecond})
	h.start()
	b.start()
	// What the scenario does to the world: as a phone, and to the link.
	world := http.NewServeMux()
	world.Handle("/handsets/", b.net.Handler())
	world.HandleFunc("POST /link/cut", func(http.ResponseWriter, *http.Request) { b.link.Cut() })
	world.HandleFunc("POST /link/heal", func(http.ResponseWriter, *http.Request) { b.link.Heal() })
	server := httptest.NewServer(world)
	defer server.Close()
	b.browse("hub", "HUB="+h.base, "HUBKEY="+h.key, "WORLD="+server.URL, "OTHER=+491555654321")
}
