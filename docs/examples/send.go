//go:build ignore

// Sends a text, so that it is sent once whatever happens on the way. This is
// what package client does by itself, written out with the standard library.
//
//	export GATEWAYD_URL=http://127.0.0.1:8080 GATEWAYD_KEY=gw_…
//	go run send.go +491701234567 "Your parcel is here."
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

type message struct {
	ID     string `json:"id,omitempty"`
	To     string `json:"to"`
	Text   string `json:"text"`
	Status string `json:"status,omitempty"`
}

var caller = &http.Client{Timeout: 30 * time.Second}

func send(url, key string, m message) (accepted message, err error) {
	body, err := json.Marshal(m)
	if err != nil {
		return m, err
	}
	once := rand.Text() // one key for all attempts: the gateway takes the message once
	wait := time.Second
	for attempt := 1; attempt <= 8; attempt++ {
		status, header, answer, err := post(url+"/v1/messages", key, once, body)
		pause := wait
		switch {
		case err != nil: // no answer, or half of one
		case status == http.StatusAccepted: // it is on the gateway's disk
			return accepted, json.Unmarshal(answer, &accepted)
		case status == 429 || status == 502 || status == 503 || status == 504:
			if n, err := strconv.Atoi(header.Get("Retry-After")); err == nil {
				pause = time.Duration(n) * time.Second
			}
		default: // the answer says what is wrong; the same again would be refused again
			return m, errors.New(string(answer))
		}
		fmt.Fprintf(os.Stderr, "attempt %d: %d %v; again in %v\n", attempt, status, err, pause)
		time.Sleep(pause)
		wait *= 2
	}
	return m, errors.New("no success in 8 attempts")
}

func post(url, key, once string, body []byte) (int, http.Header, []byte, error) {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", once)
	res, err := caller.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, answer, err
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go run send.go NUMBER TEXT")
		os.Exit(2)
	}
	m, err := send(os.Getenv("GATEWAYD_URL"), os.Getenv("GATEWAYD_KEY"), message{To: os.Args[1], Text: os.Args[2]})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(m.ID, m.Status)
}
