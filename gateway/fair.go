package gateway

// Within one priority, API keys take turns: each is given as many parts as the
// others, however much it has waiting, and a key that has it all to itself gets
// all. Its own messages go in the order of acceptance. It is done by a virtual
// time, in parts: the key that was given least goes next.

// flow is what one API key has waiting of one priority.
type flow struct {
	key      string
	priority int
	served   int64          // the virtual time up to which it was given its share
	taken    int64          // up to where it was taken in, but for modems that are behind
	lines    int            // in which it has messages
	parts    map[string]int // of those that wait in memory, by the modem that must send them
}

type flowOf struct {
	priority int
	key      string
}

// mostCredit is how far, in parts, a flow may lie behind the others. One whose modem
// was away, or whose numbers fail, has been given little; it is not to have the
// modems to itself for that afterwards. Among those that can be served, none lies
// behind by more than its turn.
const mostCredit = 10

// flow finds the one of a priority and key; keys are few, so it stays.
func (d *dispatcher) flow(priority int, key string) *flow {
	at := flowOf{priority, key}
	f := d.flows[at]
	if f == nil {
		f = &flow{key: key, priority: priority, parts: map[string]int{}}
		d.flows[at] = f
	}
	return f
}

// virtual is the time up to which a flow was given its share, as far as that counts.
func (d *dispatcher) virtual(f *flow) int64 {
	return max(f.served, d.clock[f.priority]-mostCredit)
}

// serve books that it was a flow's turn.
func (d *dispatcher) serve(f *flow, parts int) {
	v := d.virtual(f)
	d.clock[f.priority] = max(d.clock[f.priority], v)
	f.served = v + int64(parts)
}

// choice finds what goes next among lines that may: the highest priority, of that
// the key whose turn it is, of that the message that was accepted first. Only a
// recipient that did not get its last message is behind whatever was accepted
// before that, of every key.
type choice struct {
	d     *dispatcher
	fair  *stand
	rank  int64 // of fair
	first int64 // the lowest rank of those of fair's priority
	aside *stand
	last  int64 // the rank of aside
}

func (c *choice) consider(s *stand, e *entry) {
	rank, priority := s.line.rank(e), s.line.priority
	switch {
	case s.line.to.aside > 0:
		if c.aside == nil || priority > c.aside.line.priority || priority == c.aside.line.priority && rank < c.last {
			c.aside, c.last = s, rank
		}
	case c.fair == nil || priority > c.fair.line.priority:
		c.fair, c.rank, c.first = s, rank, rank
	case priority == c.fair.line.priority:
		c.first = min(c.first, rank)
		a, b := c.d.virtual(s.flow), c.d.virtual(c.fair.flow)
		if a < b || a == b && rank < c.rank {
			c.fair, c.rank = s, rank
		}
	}
}

// best is nil if there was none.
func (c *choice) best() *stand {
	switch {
	case c.aside == nil:
		return c.fair
	case c.fair == nil:
		return c.aside
	case c.aside.line.priority != c.fair.line.priority:
		if c.aside.line.priority > c.fair.line.priority {
			return c.aside
		}
		return c.fair
	case c.last < c.first:
		return c.aside
	}
	return c.fair
}
