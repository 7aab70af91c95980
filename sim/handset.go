package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Handset is a simulated phone that a person, or a test, reads and writes.
type Handset struct {
	net    *Network
	number string

	// All below under net.mu.
	on       bool
	ref      int // concatenation reference of the last long text, 0 to 255 as phones count
	parts    assembler
	messages []*Message
	lastID   int
}

// Message is a text on a handset.
type Message struct {
	ID        int
	Incoming  bool   // received by this handset
	Peer      string // the other side
	Text      string
	Data      []byte // binary messages
	Class     int    // -1: none; 0 was shown at once
	Parts     int
	At        time.Time
	Delivered bool // of outgoing ones: every part has been taken by the other side
}

// Number returns the handset's number.
func (h *Handset) Number() string { return h.number }

// Messages returns what the handset received and sent, oldest first.
func (h *Handset) Messages() []Message {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	copies := make([]Message, len(h.messages))
	for i, m := range h.messages {
		copies[i] = *m
	}
	return copies
}

// Received returns the received texts, oldest first.
func (h *Handset) Received() []string {
	var texts []string
	for _, m := range h.Messages() {
		if m.Incoming {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// Wait returns as soon as the handset's messages satisfy enough, or with an
// error when ctx ends first.
func (h *Handset) Wait(ctx context.Context, enough func([]Message) bool) error {
	for {
		changed := h.net.Changed()
		m := h.Messages()
		if enough(m) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for handset %s, which has %d messages: %w", h.number, len(m), ctx.Err())
		}
	}
}

// SetOn switches the handset on or off. While it is off the SMSC keeps its
// messages and sends no status report.
func (h *Handset) SetOn(on bool) {
	h.net.mu.Lock()
	h.on = on
	h.net.tell()
	h.net.mu.Unlock()
	if on {
		h.net.alert(h.number)
	}
}

// On tells whether the handset is switched on.
func (h *Handset) On() bool {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.on
}

// offer is the network delivering one part.
func (h *Handset) offer(p *parcel) verdict {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if !h.on {
		return refused
	}
	if p.part == nil { // a raw PDU is meant for a modem; a phone drops what it can't read
		return taken
	}
	whole := h.parts.add(p.part)
	if whole == nil {
		return taken
	}
	t, data := text(whole)
	h.show(Message{Incoming: true, Peer: p.part.from, Text: t, Data: data,
		Class: whole[0].class, Parts: len(whole), At: time.Now()})
	return taken
}

// show adds a message. Called with net.mu held.
func (h *Handset) show(m Message) int {
	h.lastID++
	m.ID = h.lastID
	h.messages = append(h.messages, &m)
	if keep := h.net.opt.Keep; len(h.messages) > keep+keep/4 {
		h.messages = append([]*Message(nil), h.messages[len(h.messages)-keep:]...)
	}
	h.net.tell()
	return m.ID
}

// Send writes a text to a number, most usefully a modem's.
func (h *Handset) Send(to, text string) error {
	return h.SendText(to, Text{Text: text, Ref: -1})
}

// SendText writes a message in full control of what goes out. Its From, SMSC
// and At are filled in; a Ref of -1 takes the handset's next reference.
func (h *Handset) SendText(to string, x Text) error {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errors.New("the simulated network is switched off")
	}
	number := n.normal(to)
	if number == "" {
		return fmt.Errorf("%q is not a phone number; write it like +491701234567", to)
	}
	if !h.on {
		return errors.New("this handset is switched off")
	}
	if x.Text == "" && len(x.Data) == 0 {
		return errors.New("the text is empty")
	}
	if x.Ref < 0 {
		h.ref = (h.ref + 1) % 256
		x.Ref = h.ref
	}
	now := n.now()
	x.From, x.SMSC, x.At = h.number, n.opt.SMSC, now
	pdus, err := delivers(x)
	if err != nil {
		return err
	}
	class := -1
	if x.HasClass {
		class = x.Class
	}
	id := h.show(Message{Peer: number, Text: x.Text, Data: x.Data, Class: class, Parts: len(pdus), At: time.Now()})
	left := len(pdus)
	done := func() {
		left--
		if left == 0 {
			h.delivered(id)
		}
	}
	b := n.box(number)
	if x.Shuffled {
		slices.Reverse(pdus)
	}
	for i := range pdus {
		raw, err := withSMSC(x.SMSC, &pdus[i])
		if err != nil {
			return err
		}
		n.post(b, &parcel{
			raw: raw, part: partOf(&pdus[i], h.number, number, now),
			ready: now.Add(n.opt.Delivery * time.Duration(i+1)), taken: done,
		})
	}
	return nil
}

// delivered marks an outgoing message. Called with net.mu held.
func (h *Handset) delivered(id int) {
	for i := len(h.messages) - 1; i >= 0; i-- {
		if h.messages[i].ID == id {
			h.messages[i].Delivered = true
			h.net.tell()
			return
		}
	}
}
