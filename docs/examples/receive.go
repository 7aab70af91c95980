//go:build ignore

// Receives webhooks: takes what the gateway signed, and each event once. The
// check is client.VerifyWebhook, written out with the standard library.
//
//	export WEBHOOK_SECRET=whsec_…     # while it is being changed both, with a space between
//	go run receive.go 3000
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance = 5 * time.Minute // an older request may be somebody who repeats what they have overheard
	largest   = 1 << 20
)

func genuine(h http.Header, body []byte, secrets []string, now time.Time) bool {
	id, at := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || id == "" || now.Sub(time.Unix(seconds, 0)).Abs() > tolerance {
		return false
	}
	fits := false
	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			return false
		}
		mac := hmac.New(sha256.New, key)
		io.WriteString(mac, id+"."+at+".")
		mac.Write(body)
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		// The gateway signs with both secrets while one is being changed.
		for _, got := range strings.Fields(h.Get("webhook-signature")) {
			fits = hmac.Equal([]byte(got), []byte(want)) || fits // takes as long whatever differs
		}
	}
	return fits
}

// receiver deals with each event once. Events may come again, after an answer
// that got lost: keep their ids where you keep what you make of them, in one
// transaction; here they are in memory.
type receiver struct {
	secrets []string
	mu      sync.Mutex
	seen    map[string]bool
	order   []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, largest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if !genuine(req.Header, body, r.secrets, time.Now()) {
		http.Error(w, "not signed by the gateway", http.StatusUnauthorized)
		return
	}
	var event struct{ Type string }
	if err := json.Unmarshal(body, &event); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.dealWith(req.Header.Get("webhook-id"), event.Type)
	w.WriteHeader(http.StatusNoContent) // only now: before, the gateway would think that it is dealt with
}

func (r *receiver) dealWith(id, kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[id] {
		return
	}
	fmt.Println(kind, id)
	r.seen[id], r.order = true, append(r.order, id)
	if len(r.order) > 10_000 {
		delete(r.seen, r.order[0])
		r.order = r.order[1:]
	}
}

func main() {
	r := &receiver{secrets: strings.Fields(os.Getenv("WEBHOOK_SECRET")), seen: map[string]bool{}}
	s := &http.Server{Addr: "127.0.0.1:" + os.Args[1], Handler: r, ReadTimeout: 15 * time.Second}
	fmt.Fprintln(os.Stderr, s.ListenAndServe())
	os.Exit(1)
}
