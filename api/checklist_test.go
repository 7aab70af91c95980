package api

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// The acceptance sheet and hardware.md have one checklist.
func TestChecklistIsThatOfHardware(t *testing.T) {
	b, err := os.ReadFile("../hardware.md")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?s)<!-- checklist -->(.*)<!-- end of checklist -->`).FindSubmatch(b)
	if list == nil {
		t.Fatal("hardware.md has no checklist")
	}
	var there []string
	for _, item := range regexp.MustCompile(`(?m)^\d+\. (.*)\.$`).FindAllSubmatch(list[1], -1) {
		there = append(there, string(item[1]))
	}
	if !slices.Equal(there, checks) {
		t.Errorf("hardware.md has\n%q\nand the sheet\n%q", there, checks)
	}
}
