package lan

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
)

// Listener serves TLS on l. Who speaks plain HTTP there, as a phone does that was
// given the address without https, is sent on, or told in words.
func Listener(l net.Listener, config *tls.Config) net.Listener {
	config = config.Clone()
	config.MinVersion = tls.VersionTLS12
	config.NextProtos = []string{"h2", "http/1.1"}
	return &listener{l, config}
}

type listener struct {
	net.Listener
	config *tls.Config
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(&sniffed{Conn: c}, l.config), nil
}

// sniffed is a connection whose first byte tells what is spoken. Only the
// goroutine that makes the TLS handshake reads, and first of all.
type sniffed struct {
	net.Conn
	known bool
}

// errPlain ends a connection that was answered already.
var errPlain = errors.New("plain HTTP was spoken to a port for HTTPS")

// startOfTLS is the first byte of a TLS handshake.
const startOfTLS = 22

// maxRequest is as much of a plain request as is read.
const maxRequest = 16 << 10

func (s *sniffed) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if s.known || n == 0 {
		return n, err
	}
	s.known = true
	if b[0] == startOfTLS {
		return n, err
	}
	r := io.LimitReader(io.MultiReader(bytes.NewReader(bytes.Clone(b[:n])), s.Conn), maxRequest)
	if request, err := http.ReadRequest(bufio.NewReader(r)); err == nil {
		answerPlain(s.Conn, request)
	}
	return 0, errPlain
}

// answerPlain sends a browser to the same address with https. What would change
// something, or brings a key, has been said in the open: it is not repeated.
func answerPlain(w io.Writer, r *http.Request) {
	to := &url.URL{Scheme: "https", Host: r.Host, Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	reading := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !reading || r.Host == "" || r.URL.Path == "" || r.Header.Get("Authorization") != "" {
		const words = "This port speaks HTTPS: write https:// in front of the address. What came was not encrypted and was not looked at; " +
			"if it held an API key, replace that key.\n"
		fmt.Fprintf(w, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(words), words)
		return
	}
	page := fmt.Sprintf("This box speaks HTTPS: <a href=\"%s\">%[1]s</a>\n", html.EscapeString(to.String()))
	if r.Method == http.MethodHead {
		page = ""
	}
	fmt.Fprintf(w, "HTTP/1.1 307 Temporary Redirect\r\nLocation: %s\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		to, len(page), page)
}
