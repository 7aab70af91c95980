package api

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"gatewayd/sms"
)

// hardware.md explains the page's words for a modem's states, with the API's.
func TestHardwareNamesTheStates(t *testing.T) {
	b, err := os.ReadFile("../hardware.md")
	if err != nil {
		t.Fatal(err)
	}
	for state, p := range modemWords {
		if row := fmt.Sprintf("| %s | `%s` |", p.Word, state); state != sms.Ready && !strings.Contains(string(b), "\n"+row) {
			t.Errorf("hardware.md has no row %s", row)
		}
	}
}
