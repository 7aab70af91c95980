package lan

import (
	"net"
	"sync"
)

// Limit bounds how many connections all of its listeners have together; more wait
// to be taken.
type Limit chan struct{}

// NewLimit allows n connections at once.
func NewLimit(n int) Limit { return make(Limit, n) }

// Listener is l under the limit.
func (m Limit) Listener(l net.Listener) net.Listener {
	return &limited{Listener: l, limit: m, closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	limit  Limit
	once   sync.Once
	closed chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.limit <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.limit
		return nil, err
	}
	return &counted{Conn: c, limit: l.limit}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type counted struct {
	net.Conn
	limit Limit
	once  sync.Once
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.limit })
	return err
}
