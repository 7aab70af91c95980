package widget

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// ticketLife is how long a ticket may be used: until the visitor has typed what it
// takes to begin.
const ticketLife = 2 * time.Hour

// ticket says that a page of an origin that is listed has asked for a widget. The
// browser wrote that origin into the request, and no script can; the frame itself
// could not know it, for its own requests come from this gateway's origin.
type ticket struct {
	Widget string `json:"w"`
	Site   string `json:"s"` // the origin
	Until  int64  `json:"u"` // Unix seconds
}

// sign makes a ticket that nobody else can make.
func (w *Widgets) sign(t ticket) string {
	body := base64.RawURLEncoding.EncodeToString([]byte(jsonOf(t)))
	return body + "." + base64.RawURLEncoding.EncodeToString(w.mac(body))
}

func (w *Widgets) mac(body string) []byte {
	h := hmac.New(sha256.New, w.secret)
	h.Write([]byte("ticket\x00" + body))
	return h.Sum(nil)
}

// ticketOf reads a ticket; ok is false when it is not ours or too old.
func (w *Widgets) ticketOf(s string) (t ticket, ok bool) {
	body, sum, _ := strings.Cut(s, ".")
	got, err := base64.RawURLEncoding.DecodeString(sum)
	if err != nil || !hmac.Equal(got, w.mac(body)) {
		return t, false
	}
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(b, &t) != nil {
		return t, false
	}
	return t, w.o.Now().Unix() < t.Until
}
