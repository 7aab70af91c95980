package client_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/client"
	"gatewayd/webhook"
)

const (
	oldSecret = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
	newSecret = "whsec_bmV3c2VjcmV0bmV3c2VjcmV0bmV3c2VjcmV0bmV3"
)

func signed(t *testing.T, secrets ...string) (http.Header, []byte) {
	t.Helper()
	h, body := http.Header{}, []byte(`{"type":"message.received"}`)
	if err := client.SignWebhook(h, "evt_1", time.Now(), body, secrets...); err != nil {
		t.Fatal(err)
	}
	return h, body
}

func TestVerifyWebhook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, body := signed(t, oldSecret)
		if err := client.VerifyWebhook(h, body, oldSecret); err != nil {
			t.Error(err)
		}
		// The gateway's own check takes it too: one standard, two programs.
		if err := webhook.Verify(oldSecret, h, body, time.Now()); err != nil {
			t.Error(err)
		}
		if err := client.VerifyWebhook(h, body, newSecret, oldSecret); err != nil {
			t.Errorf("the second of two secrets: %v", err)
		}
		both, _ := signed(t, oldSecret, newSecret)
		for _, s := range []string{oldSecret, newSecret} {
			if err := client.VerifyWebhook(both, body, s); err != nil {
				t.Errorf("one of two signatures: %v", err)
			}
		}
		for what, change := range map[string]func(h http.Header, body *[]byte, secrets *[]string){
			"another body":   func(_ http.Header, body *[]byte, _ *[]string) { *body = []byte("{}") },
			"another secret": func(_ http.Header, _ *[]byte, secrets *[]string) { *secrets = []string{newSecret} },
			"no secret":      func(_ http.Header, _ *[]byte, secrets *[]string) { *secrets = nil },
			"no whsec_": func(_ http.Header, _ *[]byte, secrets *[]string) {
				*secrets = []string{"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}
			},
			"a short secret": func(_ http.Header, _ *[]byte, secrets *[]string) { *secrets = []string{"whsec_AAAA"} },
			"another id":     func(h http.Header, _ *[]byte, _ *[]string) { h.Set("webhook-id", "evt_2") },
			"no id":          func(h http.Header, _ *[]byte, _ *[]string) { h.Del("webhook-id") },
			"no time":        func(h http.Header, _ *[]byte, _ *[]string) { h.Del("webhook-timestamp") },
			"no signature":   func(h http.Header, _ *[]byte, _ *[]string) { h.Del("webhook-signature") },
			"another version": func(h http.Header, _ *[]byte, _ *[]string) {
				h.Set("webhook-signature", strings.Replace(h.Get("webhook-signature"), "v1,", "v2,", 1))
			},
			"six minutes later": func(http.Header, *[]byte, *[]string) { time.Sleep(6 * time.Minute) },
			"a future timestamp": func(h http.Header, body *[]byte, _ *[]string) {
				_ = client.SignWebhook(h, "evt_1", time.Now().Add(6*time.Minute), *body, oldSecret)
			},
		} {
			h, body := signed(t, oldSecret)
			secrets := []string{oldSecret}
			change(h, &body, &secrets)
			if client.VerifyWebhook(h, body, secrets...) == nil {
				t.Errorf("%s: it was taken", what)
			}
		}
		h, body = signed(t, client.NewWebhookSecret(), oldSecret)
		if err := client.VerifyWebhook(h, body, oldSecret); err != nil {
			t.Errorf("with a secret that was made: %v", err)
		}
	})
}

// Whatever somebody sends, it is an error and no more.
func FuzzVerifyWebhook(f *testing.F) {
	f.Add("evt_1", "1700000000", "v1,AAAA v1,BBBB", []byte("{}"))
	f.Add("", "-1", "v1", []byte(nil))
	f.Add("x", "9223372036854775807", ",,,", []byte("x"))
	f.Fuzz(func(t *testing.T, id, at, signature string, body []byte) {
		h := http.Header{}
		h.Set("webhook-id", id)
		h.Set("webhook-timestamp", at)
		h.Set("webhook-signature", signature)
		if client.VerifyWebhook(h, body, oldSecret) == nil {
			t.Error("somebody guessed a signature")
		}
	})
}
