//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Light gateways, a hundred in one process, add themselves to a hub, dial in, take ten
// messages each and tell of each that it was stored, sent and delivered; the hub ends in time
// while all are connected. A thousand with a hundred messages each is make fleet.
func TestAHundredLightGateways(t *testing.T) {
	light := filepath.Join(t.TempDir(), "lightgw")
	if b, err := exec.Command("go", "build", "-o", light, "gatewayd/e2e/lightgw").CombinedOutput(); err != nil {
		t.Fatalf("building lightgw: %v\n%s", err, b)
	}
	begun := time.Now()
	b, err := exec.CommandContext(t.Context(), light, "-binary", binary, "-gateways", "100", "-messages", "10").CombinedOutput()
	t.Logf("%s", b)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	for _, want := range []string{"1000 messages posted", "their 3000 events told", "the hub has booked all as delivered"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(string(b), "level=ERROR") {
		t.Error("the hub told of errors")
	}
}
