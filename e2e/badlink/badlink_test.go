package badlink

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo returns what it is sent.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// both runs a test on packets, where there may be any, and on their model.
func both(t *testing.T, test func(t *testing.T, l *Link)) {
	for _, name := range []string{"packets", "model"} {
		t.Run(name, func(t *testing.T) {
			make := New
			if name == "model" {
				make = func(to string) (*Link, error) { return newLink(to, nil) }
			}
			l, err := make(echo(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(l.Close)
			t.Log("packets are real:", l.Real())
			test(t, l)
		})
	}
}

func dial(t *testing.T, l *Link) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// trip sends and waits for what comes back.
func trip(t *testing.T, c net.Conn, n int) time.Duration {
	t.Helper()
	begun := time.Now()
	sent, got := bytes.Repeat([]byte("abcdefgh"), n/8), make([]byte, n)
	go func() { _, _ = c.Write(sent) }()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sent, got) {
		t.Fatal("something else came back")
	}
	return time.Since(begun)
}

func TestWeather(t *testing.T) {
	both(t, func(t *testing.T, l *Link) {
		c := dial(t, l)
		good := trip(t, c, 1<<20)
		l.Set(Weather{Delay: 100 * time.Millisecond})
		if took := trip(t, c, 8); took < 200*time.Millisecond {
			t.Errorf("there and back took %v with 100 ms each way", took)
		}
		// Throttled to a packet in each round trip, it would take a minute.
		far := trip(t, c, 256<<10)
		if far > 5*time.Second {
			t.Errorf("256 kB took %v", far)
		}
		l.Set(Weather{Loss: 0.2})
		lossy := trip(t, c, 64<<10)
		if lossy < 100*time.Millisecond {
			t.Errorf("64 kB took %v while every fifth packet was lost", lossy)
		}
		t.Logf("1 MB there and back in good weather %v; 256 kB with 100 ms each way %v; 64 kB with 20 %% loss %v", good, far, lossy)
	})
}

func TestCutsAndSilence(t *testing.T) {
	both(t, func(t *testing.T, l *Link) {
		c := dial(t, l)
		trip(t, c, 8)
		l.Cut()
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a connection goes on over a link that is cut")
		}
		if c, err := net.Dial("tcp", l.Address()); err == nil {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("a link that is cut takes connections")
			}
			c.Close()
		}
		l.Heal()
		c = dial(t, l)
		trip(t, c, 8)
		l.Swallow()
		quiet := func(c net.Conn) {
			t.Helper()
			if _, err := c.Write([]byte("into the void")); err != nil {
				t.Error("it says so:", err)
			}
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("a half-open link answers:", err)
			}
		}
		quiet(c)
		quiet(dial(t, l))
		l.Heal()
		trip(t, dial(t, l), 8)
	})
}
