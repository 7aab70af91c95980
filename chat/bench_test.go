package chat_test

import (
	"slices"
	"testing"

	"gatewayd/chat"
)

// What it costs to list conversations and to send in one, with 5,000 on the server.
func BenchmarkFiveThousand(b *testing.B) {
	w := newWorld(b, 1)
	if err := w.Fill(5000); err != nil {
		b.Fatal(err)
	}
	team := ""
	for _, c := range []struct {
		name string
		f    chat.Filter
	}{
		{"list-50", chat.Filter{Team: &team, Limit: 50}},
		{"list-500", chat.Filter{Team: &team, Limit: 500}},
		{"unread", chat.Filter{Team: &team, Unread: true, Limit: 50}},
		{"search-number", chat.Filter{Team: &team, Query: "17000042", Limit: 50}},
		{"search-text", chat.Filter{Team: &team, Query: "hello 4321", Limit: 50}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := w.List(ctx, c.f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	page, _, err := w.List(ctx, chat.Filter{Limit: 500})
	if err != nil {
		b.Fatal(err)
	}
	page = slices.DeleteFunc(page, func(v chat.Conversation) bool { return v.Mode == chat.ByInvitation })
	anna, n := person("anna", ""), 0
	b.Run("send", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.Send(ctx, anna, page[n%len(page)].ID, "hello", ""); err != nil {
				b.Fatal(err)
			}
			n++
		}
	})
}
