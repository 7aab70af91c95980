package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"net"
	"strings"
	"time"

	"mellium.im/xmlstream"
	"mellium.im/xmpp"
	"mellium.im/xmpp/component"
	"mellium.im/xmpp/jid"
)

// What a message that was written here carries through the gateway, so that the
// bridge need not remember it.
const (
	metaFrom    = "xmpp_from"    // who wrote it, with the resource
	metaID      = "xmpp_id"      // of the stanza
	metaReceipt = "xmpp_receipt" // a receipt was asked for
)

const (
	// patience is how long a text waits for a gateway that does not answer.
	patience = time.Minute
	// waiting is how many texts may wait so.
	waiting = 1000
)

// bridge stands between one component and one gateway.
type bridge struct {
	config
	api *api
}

// link is one connection of the bridge to the XMPP server.
type link struct {
	*bridge
	session *xmpp.Session
	texts   chan chatMessage // to be handed to the gateway, in order
	echoes  chan string      // ids of messages that we sent to ourselves
}

// run connects and works until the connection ends.
func (b *bridge) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conn, err := (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext(ctx, "tcp", b.server)
	if err != nil {
		return err
	}
	defer conn.Close()
	shaking, shook := context.WithTimeout(ctx, 20*time.Second)
	session, err := component.NewSession(shaking, b.domain, []byte(b.secret), conn)
	shook()
	if err != nil {
		return fmt.Errorf("the XMPP server does not take the component %s: %w", b.domain, err)
	}
	l := &link{bridge: b, session: session, texts: make(chan chatMessage, waiting), echoes: make(chan string, 16)}
	log.Printf("connected to %s as %s", b.server, b.domain)
	defer context.AfterFunc(ctx, func() { conn.Close() })() // ends Serve
	go l.submitAll(ctx)
	go func() { cancel(l.followEvents(ctx)) }()
	err = session.Serve(xmpp.HandlerFunc(l.handle))
	cancel(errors.Join(err, errors.New("the XMPP server ended the connection")))
	return context.Cause(ctx)
}

// handle takes one stanza. It must not wait: the next ones are behind it.
func (l *link) handle(t xmlstream.TokenReadEncoder, start *xml.StartElement) error {
	d := xml.NewTokenDecoder(xmlstream.MultiReader(xmlstream.Token(*start), t))
	switch start.Name.Local {
	case "message":
		var m chatMessage
		if err := d.Decode(&m); err != nil {
			return err
		}
		l.message(m)
	case "presence":
		var p presence
		if err := d.Decode(&p); err != nil {
			return err
		}
		switch p.Type {
		case "subscribe": // into a contact list: every number is there, always
			return errors.Join(t.Encode(presence{From: p.To, To: p.From, Type: "subscribed"}), t.Encode(presence{From: p.To, To: p.From}))
		case "probe":
			return t.Encode(presence{From: p.To, To: p.From})
		}
	case "iq":
		var q infoQuery
		if err := d.Decode(&q); err != nil {
			return err
		}
		if q.Type == "get" && q.Info != nil {
			return t.Encode(infoQuery{From: q.To, To: q.From, ID: q.ID, Type: "result", Info: &discover{
				Identity: []identity{{"gateway", "sms", "gatewayd"}},
				Features: []feature{{"http://jabber.org/protocol/disco#info"}, {"urn:xmpp:receipts"}}}})
		}
	}
	return nil // what else is asked, the library refuses
}

// message takes a message that somebody wrote.
func (l *link) message(m chatMessage) {
	if m.From == "" || m.From == l.domain.String() { // the library leaves out what is our own address
		select {
		case l.echoes <- m.ID:
		default: // nobody waits for it any more
		}
		return
	}
	from, err := jid.Parse(m.From)
	switch {
	case err != nil:
	case m.Type == "error":
		log.Printf("a message did not arrive at its reader's client") // and goes to nobody else
	case m.Body == "" || m.Type == "groupchat" || m.Type == "headline": // "is typing", a receipt
	case !l.allows(from):
		l.refuse(m, "auth", "forbidden", "You may not send texts here: the gateway's owner has to allow your address.")
	default:
		select {
		case l.texts <- m:
		default:
			l.refuse(m, "wait", "resource-constraint", "Too many texts wait for the gateway. Send this one again later.")
		}
	}
}

// submitAll hands texts to the gateway, one after the other: they stay in order.
func (l *link) submitAll(ctx context.Context) {
	for {
		select {
		case m := <-l.texts:
			l.submit(ctx, m)
		case <-ctx.Done():
			return
		}
	}
}

// submit hands one text to the gateway, or tells its writer why not.
func (l *link) submit(ctx context.Context, m chatMessage) {
	to, from := jid.MustParse(m.To), jid.MustParse(m.From) // the server has checked them
	metadata := map[string]string{metaFrom: m.From, metaID: m.ID}
	if m.Request != nil && m.ID != "" {
		metadata[metaReceipt] = "yes"
	}
	key := keyOf(from, m)
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := l.api.submit(within, key, to.Localpart(), m.Body, metadata)
		var no refusal
		switch {
		case err == nil, ctx.Err() != nil: // unanswered, its writer gets no receipt and sends it again: the key knows it
			return
		case errors.As(err, &no):
			l.refuse(m, "modify", "not-acceptable", "The text was not sent. "+no.words)
			return
		case within.Err() != nil:
			l.refuse(m, "wait", "recipient-unavailable", "The text was not sent: the gateway does not answer. Send it again later.")
			return
		}
		log.Printf("the gateway does not take a text: %v", err)
		pause(within, time.Second)
	}
}

// keyOf is the Idempotency-Key of a stanza: what a client sends once more, for
// it got no receipt, is the same text.
func keyOf(from jid.JID, m chatMessage) string {
	if m.ID == "" {
		return "xmpp-" + rand.Text()
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{from.Bare().String(), m.To, m.ID}, "\n")))
	return "xmpp-" + hex.EncodeToString(sum[:16])
}

// refuse answers a message with an error.
func (l *link) refuse(m chatMessage, kind, name, text string) {
	l.send(chatMessage{From: m.To, To: m.From, ID: m.ID, Type: "error", Error: &problem{Type: kind, Condition: conditionOf(name), Text: words{text}}})
}

func (l *link) send(m chatMessage) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return l.session.Encode(ctx, m)
}

// followEvents tells people what the gateway tells.
func (l *link) followEvents(ctx context.Context) error {
	state, ok, err := loadState(l.state)
	if err != nil {
		return err
	}
	for !ok { // the first start: what was before is not ours
		if state.After, err = l.api.newest(ctx); err == nil {
			ok, err = true, state.save(l.state)
		}
		if err != nil {
			log.Printf("the gateway does not tell its newest event: %v", err)
			pause(ctx, reconnect)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	var unsent error // of the XMPP side: a new connection is needed
	for ctx.Err() == nil {
		err := l.api.follow(ctx, state.After, func(e event) error {
			told, err := l.tell(ctx, e)
			if err != nil {
				return err
			}
			if told {
				if unsent = l.sync(ctx, e.ID); unsent != nil {
					return unsent
				}
			}
			state.After = e.ID
			if !told && e.Type != "reset" {
				return nil // read again after a restart, and passed over again
			}
			return state.save(l.state)
		})
		if unsent != nil {
			return unsent
		}
		if ctx.Err() == nil {
			log.Printf("%v; next try in %v", err, reconnect)
			pause(ctx, reconnect)
		}
	}
	return ctx.Err()
}

// tell makes a stanza of an event, if it is one for somebody here.
func (l *link) tell(ctx context.Context, e event) (told bool, err error) {
	if e.Type == "reset" {
		log.Printf("events are missing: the gateway keeps them for a limited time. Texts that came meanwhile are in the gateway")
		return false, nil
	}
	kind, of := strings.CutPrefix(e.Type, "message.")
	if !of {
		return false, nil
	}
	var m message
	if err := json.Unmarshal(e.Data, &m); err != nil {
		return false, fmt.Errorf("event %d: %w", e.ID, err)
	}
	if kind == "received" {
		return l.received(ctx, m)
	}
	to, id := m.Metadata[metaFrom], m.Metadata[metaID]
	if to == "" || m.Direction != "outbound" {
		return false, nil // another program's
	}
	answer := chatMessage{From: l.address(m.To), To: to}
	switch kind {
	case "delivered":
		if m.Metadata[metaReceipt] == "" {
			return false, nil
		}
		answer.ID, answer.Received = m.ID+"-receipt", &receipt{id}
	case "failed", "undelivered", "expired", "canceled":
		text := "The text was not delivered: it is " + kind + "."
		if m.Error != nil {
			text = strings.TrimSpace("The text was not delivered. " + m.Error.Title + ": " + m.Error.Detail)
		}
		answer.ID, answer.Type, answer.Error = id, "error", &problem{Type: "cancel", Condition: conditionOf("recipient-unavailable"), Text: words{text}}
	default:
		return false, nil
	}
	return true, l.send(answer)
}

// received passes on a text from a phone.
func (l *link) received(ctx context.Context, m message) (told bool, err error) {
	if m.Text == nil {
		return false, nil // data, or erased meanwhile
	}
	to := l.owner
	who, err := l.api.lastWriter(ctx, m.From)
	if err != nil {
		return false, err
	}
	if j, err := jid.Parse(who); who != "" && err == nil && l.allows(j) {
		to = j.Bare() // whichever client its reader has at hand
	}
	// The id is the text's: a stanza that comes twice is known by it.
	return true, l.send(chatMessage{From: l.address(m.From), To: to.String(), ID: m.ID, Type: "chat", Body: *m.Text, Origin: &origin{m.ID}})
}

// address is a number's in XMPP; a name's, such as a shop's, with its spaces escaped.
func (l *link) address(number string) string {
	j, err := jid.New(jid.Escape.String(number), l.domain.String(), "")
	if err != nil {
		return l.domain.String()
	}
	return j.String()
}

// sync waits until the server has taken all that was sent before: it hands a
// message to ourselves back to us after what stood in front of it. Only then
// the place in the log is saved, so that a kill loses nothing.
func (l *link) sync(ctx context.Context, event int64) error {
	id := fmt.Sprintf("sync-%d-%s", event, rand.Text()[:8])
	if err := l.send(chatMessage{From: l.domain.String(), To: l.domain.String(), ID: id, Type: "headline"}); err != nil {
		return err
	}
	over := time.NewTimer(30 * time.Second)
	defer over.Stop()
	for {
		select {
		case echo := <-l.echoes:
			if echo == id {
				return nil
			}
		case <-over.C:
			return errors.New("the XMPP server takes nothing any more")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
