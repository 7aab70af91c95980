package hooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// tolerance is how far the time stamp of a signed request may be off.
const tolerance = 5 * time.Minute

// verify checks the signature of a request, and, unless now is zero, that it
// is fresh, in whichever of the ways it is
// signed: GitHub's, Grafana's or Standard Webhooks.
func verify(secret string, h http.Header, body []byte, now time.Time) error {
	switch {
	case h.Get("webhook-signature") != "":
		return verifyStandard(secret, h, body, now)
	case h.Get("X-Hub-Signature-256") != "":
		got, ok := strings.CutPrefix(h.Get("X-Hub-Signature-256"), "sha256=")
		if !ok || !sameHex(got, mac([]byte(secret), body)) {
			return errors.New("X-Hub-Signature-256 does not match")
		}
		return nil
	case h.Get("X-Grafana-Alerting-Signature") != "":
		return verifyGrafana(secret, h, body, now)
	}
	return errors.New("the request is not signed, and the hook has a secret; X-Hub-Signature-256, X-Grafana-Alerting-Signature and webhook-signature are known")
}

func mac(key []byte, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

func sameHex(got string, want []byte) bool {
	b, err := hex.DecodeString(got)
	return err == nil && hmac.Equal(b, want)
}

// grafanaTime is what the documentation of Grafana calls the header of its time
// stamp. Without one the body alone is signed.
const grafanaTime = "X-Grafana-Alerting-Signature-Timestamp"

func verifyGrafana(secret string, h http.Header, body []byte, now time.Time) error {
	sum := mac([]byte(secret), body)
	if stamp := h.Get(grafanaTime); stamp != "" {
		if err := fresh(stamp, now); err != nil {
			return errors.New(grafanaTime + " " + err.Error())
		}
		sum = mac([]byte(secret), []byte(stamp+":"), body)
	}
	if !sameHex(h.Get("X-Grafana-Alerting-Signature"), sum) {
		return errors.New("X-Grafana-Alerting-Signature does not match")
	}
	return nil
}

func fresh(stamp string, now time.Time) error {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return errors.New("is no number of seconds")
	}
	if now.IsZero() {
		return nil
	}
	if d := now.Sub(time.Unix(seconds, 0)); d > tolerance || d < -tolerance {
		return errors.New("is more than five minutes off")
	}
	return nil
}

// standardKey is the key in a secret of Standard Webhooks: whsec_ and base64,
// which Supabase shows with v1, in front.
func standardKey(secret string) []byte {
	encoded, ok := strings.CutPrefix(strings.TrimPrefix(secret, "v1,"), "whsec_")
	if !ok {
		return []byte(secret)
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) == 0 {
		return nil
	}
	return key
}

// verifyStandard checks a signature as https://www.standardwebhooks.com
// describes it. Supabase separates several by commas.
func verifyStandard(secret string, h http.Header, body []byte, now time.Time) error {
	if err := fresh(h.Get("webhook-timestamp"), now); err != nil {
		return errors.New("webhook-timestamp " + err.Error())
	}
	key := standardKey(secret)
	if key == nil {
		return errors.New("the secret of the hook is not whsec_ and base64")
	}
	sum := mac(key, []byte(h.Get("webhook-id")+"."+h.Get("webhook-timestamp")+"."), body)
	for _, one := range strings.Fields(h.Get("webhook-signature")) {
		encoded, ok := strings.CutPrefix(strings.TrimSuffix(one, ","), "v1,")
		got, err := base64.StdEncoding.DecodeString(encoded)
		if ok && err == nil && hmac.Equal(got, sum) {
			return nil
		}
	}
	return errors.New("webhook-signature does not match")
}
