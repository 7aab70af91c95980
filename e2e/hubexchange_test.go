//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"

	"gatewayd/sms"
)

// exchange is what goes to and fro between a hub and phones at one branch.
type exchange struct {
	h            *hubSite
	b            *branch
	ids, numbers []string
	answers      int
}

// give posts messages to the hub, each to a number of its own.
func (x *exchange) give(n int) {
	x.h.t.Helper()
	for range n {
		number := fmt.Sprintf("+49171%07d", len(x.ids))
		x.numbers = append(x.numbers, number)
		x.ids = append(x.ids, x.h.give(x.b.name, number, fmt.Sprintf("message %d", len(x.ids))).ID)
	}
}

// answer has the first phone write.
func (x *exchange) answer() {
	x.h.t.Helper()
	if err := x.b.net.Handset(x.numbers[0]).Send(x.b.modems[0].Number(), fmt.Sprintf("answer %d", x.answers)); err != nil {
		x.h.t.Fatal(err)
	}
	x.answers++
}

// told tells whether the hub knows of all that they were delivered.
func (x *exchange) told() bool {
	for _, id := range x.ids {
		if x.h.message(id).Status != sms.Delivered {
			return false
		}
	}
	return true
}

// arrived is how many answers the hub has.
func (x *exchange) arrived() int {
	x.h.t.Helper()
	_, body := x.h.poll("/v1/messages?direction=inbound&limit=100")
	var list struct{ Messages []sms.Message }
	if err := json.Unmarshal(body, &list); err != nil {
		x.h.t.Fatal(err)
	}
	return len(list.Messages)
}

// allArrived tells whether it has each; more is a mistake too.
func (x *exchange) allArrived() bool { return x.arrived() >= x.answers }

// taken is how often the service centre took one to each number.
func (x *exchange) taken() map[string]int {
	all := map[string]int{}
	for _, s := range x.b.net.Accepted() {
		all[s.To]++
	}
	return all
}
