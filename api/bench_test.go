package api

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"gatewayd/queue"
)

// What a POST costs, from the request to the durable answer.
func BenchmarkPost(b *testing.B) {
	single := `{"to":"+491701234567","text":"Your parcel is here.","priority":4,"metadata":{"order":"17"},"client_id":%q}`
	batch := func(n, round int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(single, fmt.Sprintf("c%d-%d", round, i))
		}
		return `{"messages":[` + strings.Join(all, ",") + `]}`
	}
	post := func(b *testing.B, path string, body func(round int) string) {
		x := newBox(b, settings{queue: queue.Options{OutboundCapacity: 1 << 24}})
		for round := 0; b.Loop(); round++ {
			r := httptest.NewRequest("POST", path, strings.NewReader(body(round)))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+x.send)
			w := httptest.NewRecorder()
			x.handler.ServeHTTP(w, r)
			if w.Code != 202 {
				b.Fatal(w.Body)
			}
		}
	}
	b.Run("one", func(b *testing.B) {
		post(b, "/v1/messages", func(round int) string { return fmt.Sprintf(single, fmt.Sprint(round)) })
	})
	b.Run("batch of 1000", func(b *testing.B) {
		post(b, "/v1/messages/batch", func(round int) string { return batch(1000, round) })
	})
	// Without the queue: what is refused at the end costs reading and checking.
	b.Run("batch of 1000, refused", func(b *testing.B) {
		x := newBox(b, settings{queue: queue.Options{OutboundCapacity: 2}})
		body := batch(1000, 0)
		for b.Loop() {
			r := httptest.NewRequest("POST", "/v1/messages/batch", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+x.send)
			w := httptest.NewRecorder()
			x.handler.ServeHTTP(w, r)
			if w.Code != 503 {
				b.Fatal(w.Body)
			}
		}
	})
}
