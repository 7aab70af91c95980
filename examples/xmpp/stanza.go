package main

import "encoding/xml"

// The stanzas, as far as they matter here. Without a namespace they get the
// stream's.

type chatMessage struct {
	XMLName  xml.Name  `xml:"message"`
	From     string    `xml:"from,attr"`
	To       string    `xml:"to,attr"`
	ID       string    `xml:"id,attr,omitempty"`
	Type     string    `xml:"type,attr,omitempty"`
	Body     string    `xml:"body,omitempty"`
	Request  *struct{} `xml:"urn:xmpp:receipts request"`
	Received *receipt  `xml:"urn:xmpp:receipts received"`
	Origin   *origin   `xml:"urn:xmpp:sid:0 origin-id"`
	Error    *problem  `xml:"error"`
}

// receipt says that a message arrived (XEP-0184).
type receipt struct {
	ID string `xml:"id,attr"`
}

// origin is an id that no server on the way changes (XEP-0359).
type origin struct {
	ID string `xml:"id,attr"`
}

// problem is a stanza's error: its condition for programs, words for people.
type problem struct {
	Type      string `xml:"type,attr"`
	Condition any    `xml:",omitempty"`
	Text      words  `xml:"urn:ietf:params:xml:ns:xmpp-stanzas text"`
}

type words struct {
	Words string `xml:",chardata"`
}

type condition struct{ XMLName xml.Name }

func conditionOf(name string) condition {
	return condition{xml.Name{Space: "urn:ietf:params:xml:ns:xmpp-stanzas", Local: name}}
}

type presence struct {
	XMLName xml.Name `xml:"presence"`
	From    string   `xml:"from,attr"`
	To      string   `xml:"to,attr"`
	Type    string   `xml:"type,attr,omitempty"`
}

// infoQuery is a question of what is here (XEP-0030), or another's.
type infoQuery struct {
	XMLName xml.Name  `xml:"iq"`
	From    string    `xml:"from,attr"`
	To      string    `xml:"to,attr"`
	ID      string    `xml:"id,attr"`
	Type    string    `xml:"type,attr"`
	Info    *discover `xml:"http://jabber.org/protocol/disco#info query"`
}

type discover struct {
	Identity []identity `xml:"identity"`
	Features []feature  `xml:"feature"`
}

type identity struct {
	Category string `xml:"category,attr"`
	Type     string `xml:"type,attr"`
	Name     string `xml:"name,attr"`
}

type feature struct {
	Var string `xml:"var,attr"`
}
