package webhook

import (
	"crypto/hmac"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// tolerance is how far a webhook's time stamp may be off: Standard Webhooks
// asks for five minutes.
const tolerance = 5 * time.Minute

// Verify is the receiver's side of the signature: it reports whether a request
// was signed with secret and is fresh. body must be the bytes as received.
func Verify(secret string, h http.Header, body []byte, now time.Time) error {
	keys, err := parseSecrets(secret)
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return errors.New("webhook-timestamp is missing or no number")
	}
	at := time.Unix(seconds, 0)
	if d := now.Sub(at); d > tolerance || d < -tolerance {
		return errors.New("webhook-timestamp is more than five minutes off")
	}
	want := strings.Fields(sign(keys, h.Get("webhook-id"), at, body))
	for _, got := range strings.Fields(h.Get("webhook-signature")) {
		for _, w := range want {
			if hmac.Equal([]byte(got), []byte(w)) {
				return nil
			}
		}
	}
	return errors.New("webhook-signature does not match")
}
