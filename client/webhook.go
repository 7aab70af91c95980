package client

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// tolerance is how far a webhook's time stamp may be off, lest somebody repeat
// an old one.
const tolerance = 5 * time.Minute

// NewWebhookSecret makes a secret for webhooks.
func NewWebhookSecret() string {
	var key [32]byte
	rand.Read(key[:]) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key[:])
}

const secretPrefix = "whsec_"

// VerifyWebhook reports whether a request is a webhook of the gateway's: signed
// with one of the secrets (Standard Webhooks), and not older than five minutes.
// body must be the bytes as they were received. While a secret is being changed,
// give the new and the old one.
//
// The same event may come more than once: remember the header webhook-id of
// those you have dealt with, and answer 2xx to a repetition.
func VerifyWebhook(h http.Header, body []byte, secrets ...string) error {
	id := h.Get("webhook-id")
	if id == "" {
		return errors.New("webhook-id is missing")
	}
	seconds, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return errors.New("webhook-timestamp is missing or no number")
	}
	at := time.Unix(seconds, 0)
	if d := time.Since(at); d > tolerance || d < -tolerance {
		return errors.New("webhook-timestamp is more than five minutes off")
	}
	wanted, err := signatures(id, at, body, secrets)
	if err != nil {
		return err
	}
	// All are compared, whichever fits.
	fits := false
	for _, got := range strings.Fields(h.Get("webhook-signature")) {
		for _, want := range wanted {
			fits = hmac.Equal([]byte(got), []byte(want)) || fits
		}
	}
	if !fits {
		return errors.New("webhook-signature is not made with this secret")
	}
	return nil
}

// SignWebhook sets the headers of a webhook, as the gateway does: for tests of
// receivers, and for programs that pass events on.
func SignWebhook(h http.Header, id string, at time.Time, body []byte, secrets ...string) error {
	all, err := signatures(id, at, body, secrets)
	if err != nil {
		return err
	}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	h.Set("webhook-signature", strings.Join(all, " "))
	return nil
}

func signatures(id string, at time.Time, body []byte, secrets []string) ([]string, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no webhook secret was given")
	}
	all := make([]string, 0, len(secrets))
	for _, s := range secrets {
		encoded, ok := strings.CutPrefix(s, secretPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) < 24 || len(key) > 64 {
			return nil, fmt.Errorf("a webhook's secret is %s and the base64 of 24 to 64 bytes", secretPrefix)
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return all, nil
}
