package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"gatewayd/client"
)

// Send a text and wait until the phone has it.
func Example() {
	c, err := client.New("http://127.0.0.1:8080", os.Getenv("GATEWAYD_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	m, err := c.Send(ctx, client.NewMessage{To: "+491701234567", Text: new("Your parcel is here."), Metadata: &map[string]string{"order": "4711"}})
	var refused *client.Error
	switch {
	case errors.As(err, &refused): // it will be refused again: refused.Fields say why
		log.Fatal(refused)
	case err != nil: // nobody answered for two minutes
		log.Fatal(err)
	}
	if m, err = c.Wait(ctx, m.ID, client.Final); err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.ID, m.Status)
}

// A program that keeps what it wants sent in a database of its own names each
// message: whatever crashes when, the text goes out once.
func ExampleClient_SendOnce() {
	var c *client.Client
	_, err := c.SendOnce(context.Background(), "order-4711-shipped", client.NewMessage{To: "+491701234567", Text: new("Your parcel is on its way.")})
	if err != nil {
		log.Print(err) // try again later, with the same key
	}
}

// Follow what happens, and go on after a restart where it was.
func ExampleClient_Events() {
	var c *client.Client
	last := client.FromNow // or what was kept of the last run
	for e, err := range c.Events(context.Background(), last) {
		if err != nil {
			log.Fatal(err)
		}
		switch e.Type {
		case client.Reset: // events are missing: read the present state anew
		case "message.received":
			m, err := e.Message()
			if err != nil {
				log.Fatal(err)
			}
			if m.From != nil && m.Text != nil {
				fmt.Println(*m.From, *m.Text)
			}
		}
		last = e.ID // keep it together with what was made of the event
	}
}

// Receive webhooks. While the secret is being changed, give the old one too.
func ExampleVerifyWebhook() {
	http.HandleFunc("POST /sms", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := client.VerifyWebhook(r.Header, body, os.Getenv("WEBHOOK_SECRET")); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		fmt.Printf("%s: %s\n", r.Header.Get("webhook-id"), body) // each id once
	})
}
