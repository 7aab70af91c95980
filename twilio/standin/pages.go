package standin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"strings"
)

// Base is where the pages live.
const Base = "/twilio/"

//go:embed pages/index.html
var page string

var index = template.Must(template.New("").Parse(page))

// Pages say how programs are led here and serve the certificate that they must
// trust.
func (s *StandIn) Pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Base+"{$}", func(w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		err := index.Execute(&b, struct{ Host, Fingerprint, Proxy, TLS string }{Host, s.fingerprint(), port(s.o.Proxy), port(s.o.TLS)})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = b.WriteTo(w)
	})
	mux.HandleFunc("GET "+Base+"ca.pem", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(s.Authority())
	})
	return mux
}

func (s *StandIn) fingerprint() string {
	sum := sha256.Sum256(s.authority.certificate.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
}

func port(l net.Listener) string {
	if l == nil {
		return ""
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
