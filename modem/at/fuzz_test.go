package at

import (
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// frame cuts b into tokens, in pieces of at most size bytes.
func frame(b []byte, size int, prompts bool) []Token {
	var await atomic.Bool
	await.Store(prompts)
	var tokens []Token
	f := framer{await: &await, out: keep(&tokens)}
	for len(b) > 0 {
		n := min(size, len(b))
		f.feed(b[:n])
		b = b[n:]
	}
	f.flush()
	return tokens
}

// keep takes tokens down without what depends on how the bytes were cut.
func keep(tokens *[]Token) func(Token) {
	return func(t Token) {
		t.Last = false
		*tokens = append(*tokens, t)
	}
}

func same(a, b []Token) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

var seeds = []string{
	"\r\nOK\r\n", "\r\n> ", ">\r\n", "AT+CMGS=18\r\r\n> ", "\r\n+CMT: ,18\r\n07919471010000000404A1321000001010200010800003C2E231\r\n",
	"\r\n+CMGS: 41\r\n\r\nOK\r\n", "^RSSI:18\r\r\n", "\x00\xff\x80\r", "+CMS ERROR: 38\r\n", "0\r", ":", "+CMT:\r", "+CDS: \r\r",
	"+CREG: ,\r\n", "+CMGS: \r\n", "> > >", "\r\n+CMGL: 1,1,,18\r\n07919471010000000404A1321000001010200010800003C2E231\r\n",
}

// FuzzReader: however the bytes are cut up, the tokens are the same; none is
// blank, too long, or holds a control character.
func FuzzReader(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), true)
	}
	f.Add([]byte(strings.Repeat("noise ", maxLine)+"\r\nOK\r\n"), false)
	f.Fuzz(func(t *testing.T, b []byte, prompts bool) {
		whole := frame(b, len(b)+1, prompts)
		for size := 1; size <= min(len(b), 64); size++ {
			if got := frame(b, size, prompts); !same(got, whole) {
				t.Fatalf("in pieces of %d: %+v, whole %+v", size, got, whole)
			}
		}
		for split := range min(len(b), 256) {
			var await atomic.Bool
			await.Store(prompts)
			var got []Token
			fr := framer{await: &await, out: keep(&got)}
			fr.feed(b[:split])
			fr.feed(b[split:])
			fr.flush()
			if !same(got, whole) {
				t.Fatalf("cut at %d: %+v, whole %+v", split, got, whole)
			}
		}
		for _, k := range whole {
			if k.Prompt {
				continue
			}
			if k.Line == "" || len(k.Line) > maxLine {
				t.Fatalf("line of %d characters", len(k.Line))
			}
			if strings.HasPrefix(k.Line, `+CUSD:`) && strings.Contains(k.Line, `"`) {
				continue // a text in an alphabet of its own
			}
			for _, c := range []byte(k.Line) {
				if c < ' ' || c == 0x7f {
					t.Fatalf("control character in %q", k.Line)
				}
			}
		}
	})
}

// noisy is a modem that says noise, and then answers whatever it is asked.
type noisy struct {
	say    chan []byte
	rest   []byte
	closed chan struct{}
}

func (n *noisy) Read(p []byte) (int, error) {
	for len(n.rest) == 0 {
		select {
		case n.rest = <-n.say:
		case <-n.closed:
			return 0, io.EOF
		}
	}
	c := copy(p, n.rest)
	n.rest = n.rest[c:]
	return c, nil
}

func (n *noisy) Write(p []byte) (int, error) {
	switch string(p) {
	case "AT\r", "ATQ0V1E0\r":
		n.say <- []byte("\r\nOK\r\n")
	case "AT+CMEE?\r":
		n.say <- []byte("\r\n+CMEE: 1\r\n\r\nOK\r\n")
	case "AT+CSQ\r":
		n.say <- []byte("\r\n+CSQ: 7,99\r\n\r\nOK\r\n")
	}
	return len(p), nil
}

func (n *noisy) Close() error { close(n.closed); return nil }

// FuzzPort: whatever came before, in whatever state of a command, the next
// command works after Resync, and nothing panics or stalls.
func FuzzPort(f *testing.F) {
	for _, s := range seeds {
		for stage := range byte(4) {
			f.Add([]byte(s), stage)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, stage byte) {
		synctest.Test(t, func(t *testing.T) {
			n := &noisy{say: make(chan []byte, 1000), closed: make(chan struct{})}
			p := Attach(n, slog.New(slog.DiscardHandler), func(u URC) {
				if u.Line == "" {
					t.Error("a blank line was told")
				}
			})
			defer p.Close()
			switch stage % 4 {
			case 1:
				_ = p.Begin(Command{Line: "AT+CIMI"})
			case 2:
				_ = p.Begin(Command{Line: "AT+CMGL=4", Prefix: "+CMGL", PDU: true})
			case 3:
				_ = p.Begin(Command{Line: "AT+CMGS=18", Prefix: "+CMGS", Prompt: true})
			}
			n.say <- b
			synctest.Wait()
			p.Drain()
			p.Abandon()
			n.say <- []byte("\r\n")
			lines, err := p.Do(t.Context(), Command{Line: "AT+CSQ", Prefix: "+CSQ", Timeout: time.Second})
			if err != nil || len(lines) == 0 || lines[len(lines)-1] != "+CSQ: 7,99" {
				t.Fatalf("the next command: %q, %v", lines, err)
			}
		})
	})
}
