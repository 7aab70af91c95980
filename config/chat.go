package config

import (
	"errors"
	"strings"
	"time"
	"unicode"
)

// Chat is what holds for all conversations: see docs/chat.md.
type Chat struct {
	IdleAfter        time.Duration
	Reinvite         bool // an idle conversation's phone is asked again
	MessagesPerOptIn int
	Invitation       string // "": as it is built in
}

func chatFields(c *Chat) []field {
	return []field{
		{path: "chat.idle_after", def: "1h", read: duration(&c.IdleAfter, time.Minute, 720*time.Hour)},
		{path: "chat.reinvite", def: "true", read: boolean(&c.Reinvite)},
		{path: "chat.messages_per_opt_in", def: "10", read: number(&c.MessagesPerOptIn, 1, 1000)},
		{path: "chat.invitation", read: invitation(&c.Invitation)},
	}
}

// invitation reads what phones are asked with: it says who asks, and how to say no.
func invitation(p *string) func(string) error {
	return func(raw string) error {
		if raw != "" && (!strings.Contains(raw, "{name}") || !strings.Contains(strings.ToUpper(raw), "STOP") || len(raw) > 300 || strings.ContainsFunc(raw, unicode.IsControl)) {
			return errors.New("a text of one line with {name} and STOP in it, 300 bytes at most")
		}
		*p = raw
		return nil
	}
}
