package twilio

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

const (
	maxDocument = 64 << 10
	maxReplies  = 10 // of one received text
	maxDepth    = 16
)

// reply is a text that a document asks for.
type reply struct {
	to, from string // "": whom the text came from, and where to
	body     string
	callback string // for its status; "": the account's
}

// document is an answer to a received text.
type document struct {
	replies []reply
	// redirect is the address of the document that goes on; "": none.
	redirect, method string
}

// read reads the answer of a receiver: TwiML, a plain text, or nothing.
func read(header http.Header, body []byte) (document, error) {
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	text := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	switch {
	case len(text) == 0:
		return document{}, nil
	case len(body) > maxDocument:
		return document{}, fmt.Errorf("it is larger than %d bytes", maxDocument)
	case media == "text/plain":
		if !utf8.Valid(text) {
			return document{}, errors.New("it is not UTF-8")
		}
		return document{replies: []reply{{body: string(text)}}}, nil
	case text[0] != '<':
		// Frameworks answer “OK” as HTML when a handler says nothing else.
		return document{}, fmt.Errorf("it is neither TwiML nor text/plain but %q", media)
	}
	return parse(text)
}

// parse reads TwiML: the verbs Message and Redirect. Others are for calls.
func parse(text []byte) (doc document, err error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = charset
	depth := 0
	var m *reply             // the Message that is being read
	var said strings.Builder // its text, or its Body's
	var hasBody, inBody, redirect, ended bool
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && ended {
			return doc, nil
		}
		if err != nil {
			return document{}, fmt.Errorf("it is no XML: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth++
			name := t.Name.Local
			switch {
			case depth > maxDepth:
				return document{}, fmt.Errorf("it is nested deeper than %d elements", maxDepth)
			case depth == 1 && (name != "Response" || ended):
				return document{}, fmt.Errorf("its root is %q and not Response", name)
			case depth == 2 && doc.redirect != "": // nothing behind a Redirect is reached
			case depth == 2 && (name == "Message" || name == "Sms"):
				m = &reply{to: attribute(t, "to"), from: attribute(t, "from"), callback: attribute(t, "statusCallback")}
				if m.callback == "" {
					m.callback = attribute(t, "action")
				}
				hasBody = false
				said.Reset()
			case depth == 2 && name == "Redirect":
				redirect, doc.method = true, strings.ToUpper(attribute(t, "method"))
				said.Reset()
			case depth == 3 && m != nil && name == "Body":
				if !hasBody { // what stands around it is layout
					said.Reset()
				}
				hasBody, inBody = true, true
			}
		case xml.CharData:
			if redirect && depth == 2 || m != nil && (inBody && depth == 3 || !hasBody && depth == 2) {
				said.Write(t)
			}
		case xml.EndElement:
			text := strings.TrimSpace(said.String())
			switch {
			case depth == 3:
				inBody = false
			case depth == 2 && redirect:
				redirect, doc.redirect = false, text
				if text == "" {
					return document{}, errors.New("a Redirect says no address")
				}
			case depth == 2 && m != nil:
				if m.body = text; text != "" {
					doc.replies = append(doc.replies, *m)
				}
				if m = nil; len(doc.replies) > maxReplies {
					return document{}, fmt.Errorf("it has more than %d Messages", maxReplies)
				}
			case depth == 1:
				ended = true
			}
			depth--
		}
	}
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

// charset reads what documents say that they are written in, beside UTF-8.
func charset(label string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "us-ascii", "ascii", "utf8":
		return in, nil
	case "iso-8859-1", "latin1":
		b, err := io.ReadAll(in)
		runes := make([]rune, len(b))
		for i, c := range b {
			runes[i] = rune(c)
		}
		return strings.NewReader(string(runes)), err
	}
	return nil, fmt.Errorf("the charset %q is not known", label)
}
