package api

import (
	"strings"
	"time"

	"gatewayd/sms"
)

// ringView is a ring of the queue as it is drawn.
type ringView struct {
	Key, Title      string
	Capacity, Depth int
	Line            string
	Oldest          time.Time // since when the first one waits; zero: none does
	Pointers        []pointerView
}

type pointerView struct {
	Flag, Means   string
	Known         bool
	Address       int
	Radius, Angle int
	Top           int
}

// waiting says what the outbound ring is busy with.
func waiting(counts map[sms.Status]int) string {
	var parts []string
	for _, c := range []struct {
		status sms.Status
		word   string
	}{{sms.Queued, "waiting"}, {sms.Sending, "on the air"}, {sms.Scheduled, "scheduled"}, {sms.Unconfirmed, "unconfirmed"}} {
		if n := counts[c.status]; n > 0 {
			parts = append(parts, count(n)+" "+c.word)
		}
	}
	if len(parts) == 0 {
		return "Nothing waits."
	}
	return capital(strings.Join(parts, ", ")) + "."
}

// arrived says what the inbound ring is busy with.
func arrived(depth int) string {
	if depth == 0 {
		return "Nothing waits."
	}
	return countOf(depth, "text waits", "texts wait") + " for webhooks to take them."
}

// pointerWords say what each pointer of a ring stands for.
var pointerWords = map[string]map[string]string{
	"outbound": {
		"retrieved": "accepted, and safe on disk", "sent": "given to a modem",
		"confirmed": "the network has it", "processed": "finished; its slot is free again",
	},
	"inbound": {
		"retrieved": "taken off the SIM, and safe on disk", "sent": "the first webhook has it",
		"confirmed": "every webhook has it", "processed": "finished; its slot is free again",
	},
}

// viewRing places the pointers of a ring on four circles, one in the other, so
// that they don't hide each other where they are close.
func viewRing(key, title string, r sms.Ring, line string, oldest time.Time) ringView {
	v := ringView{Key: key, Title: title, Capacity: r.Capacity, Depth: r.Depth, Line: line, Oldest: oldest}
	at := pointers(r)
	for i, flag := range []string{"retrieved", "sent", "confirmed", "processed"} {
		p := pointerView{Flag: flag, Means: pointerWords[key][flag], Radius: 72 - 10*i}
		p.Top = 80 - p.Radius
		if address := at[flag]; address != nil && r.Capacity > 0 {
			p.Known, p.Address = true, *address
			p.Angle = *address * 360 / r.Capacity
		}
		v.Pointers = append(v.Pointers, p)
	}
	return v
}
