package sms

import (
	"slices"
	"testing"
)

// Every status that a message may come to has its event, which can be asked for.
func TestEveryStatusIsAnEvent(t *testing.T) {
	for _, s := range Statuses {
		if !slices.Contains(EventTypes(), "message."+string(s)) {
			t.Errorf("message.%s is no type of event", s)
		}
	}
}
