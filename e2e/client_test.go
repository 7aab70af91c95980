//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	"gatewayd/client"
)

// The client's calls outlive the daemon: what is sent while it is down is sent
// once, and who waits and who follows goes on after its restart.
func TestClientOverRestarts(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := s.api()
	var last int64
	seen := map[int64]bool{}
	followed := make(chan error, 1)
	go func() {
		for e, err := range c.Events(ctx, client.FromStart) {
			if err != nil {
				followed <- err
				return
			}
			if e.ID <= last || e.Type == client.Reset {
				t.Errorf("event %d (%s) after %d", e.ID, e.Type, last)
			}
			last, seen[e.ID] = e.ID, true
			if m, err := e.Message(); err == nil && m.Status == client.StatusDelivered && *m.Text == "the end" {
				break
			}
		}
		followed <- nil
	}()
	for range 3 {
		s.kill()
		sent := make(chan *client.Message, 1)
		go func() {
			m, err := c.Send(ctx, client.NewMessage{To: phone, Text: new("while it is down")})
			if err != nil {
				t.Error(err)
			}
			sent <- m
		}()
		s.start()
		m := <-sent
		if m == nil {
			return
		}
		if m, err := c.Wait(ctx, m.ID, nil); err != nil || m.Status != client.StatusDelivered {
			t.Fatalf("%+v, %v", m, err)
		}
	}
	if _, err := c.Send(ctx, client.NewMessage{To: phone, Text: new("the end")}); err != nil {
		t.Fatal(err)
	}
	if err := <-followed; err != nil {
		t.Fatal(err)
	}
	if n := int64(len(seen)); n != last {
		t.Errorf("%d events of %d were seen", n, last)
	}
	if got := s.net.Handset(phone).Received(); len(got) != 4 {
		t.Errorf("the handset shows %q", got)
	}
}
