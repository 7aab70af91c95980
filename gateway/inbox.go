package gateway

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/inbox"
	"gatewayd/intake"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// openInbox builds the inboxes of people, which a hub has. The hub itself is opened after
// them.
func (g *Gateway) openInbox(publicURL string) {
	name := func() string {
		if rules := g.set.Load().Consent; rules.Name != "" {
			return rules.Name
		}
		u, err := url.Parse(publicURL)
		if err != nil {
			return ""
		}
		return u.Hostname()
	}
	g.talk.inbox = inbox.New(inbox.Options{
		DB: g.database, Queue: g.queue, Files: g.talk.files, Text: g.textCode, Name: name, Region: g.region,
		PutTx: func(tx *db.Tx, gateway string, i mirror.Item) error { return g.hub.PutTx(tx, gateway, i) },
		Title: func(gateway string) string {
			there, err := g.hub.Gateway(context.Background(), gateway)
			if err != nil {
				return "" // it is gone
			}
			return there.Title
		},
		Keep:      func() time.Duration { return g.set.Load().Retention.Messages },
		KeepTexts: func() time.Duration { return g.set.Load().Retention.Texts },
		Trusted:   g.clock.Trusted, Now: g.clock.Now, Log: g.logOf("inbox"),
		Count: func(route, method string, status int, took time.Duration) { g.talk.count(route, method, status, took) },
	})
	g.talk.way = ownInboxes{g.talk.inbox, publicURL, g.started}
}

// textCode texts a code that opens an inbox. Where messages may go holds for it too. One of
// which nobody knows whether it went out is not repeated: the person asks again.
func (g *Gateway) textCode(ctx context.Context, number, text string, until time.Time) error {
	who := intake.Caller{KeyID: "inbox"}
	if g.desk.Refuses(who, number) != "" {
		return inbox.ErrNotTexted
	}
	no := false
	draft, wrong := g.desk.Draft(who, intake.Message{To: number, Text: &text, ExpiresAt: until, OnUnconfirmed: sms.Fail, DeliveryReport: &no, Unicode: intake.Allow})
	if len(wrong) > 0 {
		return errors.New(wrong[0].Field + ": " + wrong[0].Detail)
	}
	draft.Redacted = true // whoever reads messages, here or at a gateway, must not open the inbox with it
	_, _, err := g.desk.Submit(ctx, who, []queue.Draft{draft}, nil)
	return err
}

// ownInboxes is the way to people's inboxes on the hub itself, which is always there.
type ownInboxes struct {
	*inbox.Inbox
	url   string
	since time.Time
}

func (ownInboxes) Up() bool            { return true }
func (o ownInboxes) Since() time.Time  { return o.since }
func (o ownInboxes) PublicURL() string { return strings.TrimSuffix(o.url, "/") }

func (o ownInboxes) Who(ctx context.Context, numbers []string) ([]mirror.Presence, error) {
	return o.Inbox.Who(ctx, numbers), nil
}
