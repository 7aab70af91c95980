package chat

import (
	"sync"

	"gatewayd/sms/number"
)

// origins are what is known of numbers by their digits. To find it takes a while, and a
// list of conversations asks for hundreds each time.
type origins struct {
	mu    sync.Mutex
	known map[[2]string]origin
}

type origin struct{ country, carrier string }

// originsAtMost is how many are kept: those of all conversations of a large gateway.
const originsAtMost = 20_000

// origin tells whose a number is.
func (c *Chat) origin(of string) origin {
	region := c.o.Region()
	c.origins.mu.Lock()
	defer c.origins.mu.Unlock()
	if o, ok := c.origins.known[[2]string{region, of}]; ok {
		return o
	}
	if c.origins.known == nil || len(c.origins.known) >= originsAtMost {
		c.origins.known = map[[2]string]origin{}
	}
	o := origin{number.Look(of, region).Country(), c.carrier(of)}
	c.origins.known[[2]string{region, of}] = o
	return o
}
