package queue

// place is where a message stands in the order of those that wait.
type place struct{ seq, row int64 }

// backlogOf names a backlog: there is one for each priority, modem that messages
// name, "" for those that name none, and API key.
type backlogOf struct {
	priority int
	pin, key string
}

// backlog is the places of messages that have begun to wait and that nobody has
// taken in yet, in order. It may be a million long, so it is in blocks: growing
// copies nothing, and what was taken in is given back.
type backlog struct {
	blocks [][]place
	low    int64 // no message in it has a lower row
	parts  int   // of all of them, about: a place does not say how many its message has
}

// blockOf is how many places each block has but the first and the last.
const blockOf = 1024

func (b *backlog) add(p place, parts int) {
	b.parts += parts
	n := len(b.blocks)
	if n == 0 || p.row < b.low {
		b.low = p.row
	}
	if n == 0 {
		b.blocks = [][]place{nil} // most are short
		n = 1
	} else if len(b.blocks[n-1]) == blockOf {
		b.blocks = append(b.blocks, make([]place, 0, blockOf))
		n++
	}
	b.blocks[n-1] = append(b.blocks[n-1], p)
}

func (b *backlog) at(i int) place { return *b.ref(i) }

func (b *backlog) ref(i int) *place {
	first := len(b.blocks[0])
	if i < first {
		return &b.blocks[0][i]
	}
	i -= first
	return &b.blocks[1+i/blockOf][i%blockOf]
}

// drop forgets the first n.
func (b *backlog) drop(n int) {
	b.parts -= b.partsOf(n)
	for n > 0 && n >= len(b.blocks[0]) {
		n -= len(b.blocks[0])
		b.blocks[0] = nil
		b.blocks = b.blocks[1:]
	}
	if n > 0 {
		b.blocks[0] = b.blocks[0][n:]
	}
}

// partsOf is how many parts n of the messages have, as they are on average.
func (b *backlog) partsOf(n int) int {
	if all := b.Len(); all > 0 {
		return int(int64(b.parts) * int64(n) / int64(all))
	}
	return 0
}

// Len, Less and Swap are for sorting what was read in another order.
func (b *backlog) Len() int {
	n := len(b.blocks)
	switch n {
	case 0, 1, 2:
		n = 0
		for _, block := range b.blocks {
			n += len(block)
		}
		return n
	}
	return len(b.blocks[0]) + (n-2)*blockOf + len(b.blocks[n-1])
}
func (b *backlog) Less(i, j int) bool { return b.at(i).seq < b.at(j).seq }
func (b *backlog) Swap(i, j int)      { x, y := b.ref(i), b.ref(j); *x, *y = *y, *x }
