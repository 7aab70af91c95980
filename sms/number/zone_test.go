package number

import (
	"slices"
	"testing"
	"time"
)

func TestZones(t *testing.T) {
	for number, want := range map[string][]string{
		"+491701234567": {"Europe/Berlin"},
		"+12125550100":  {"America/New_York"},
		"+18085550100":  {"Pacific/Honolulu"},
		"12345":         nil,
		"BANK":          nil,
		"+999123456789": nil,
	} {
		var got []string
		for _, z := range Zones(number) {
			got = append(got, z.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", number, got, want)
		}
	}
	if len(Zones("+18005550100")) < 2 {
		t.Error("a toll-free North American number tells one zone")
	}
	if _, err := time.LoadLocation("Europe/Berlin"); err != nil {
		t.Error(err)
	}
}
