package gateway

import (
	"cmp"
	"context"
	"time"

	"gatewayd/api"
	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/contacts"
	"gatewayd/db"
	"gatewayd/files"
	"gatewayd/inbox"
	"gatewayd/modem"
	"gatewayd/reports"
	"gatewayd/widget"
)

// talk is everything around conversations.
type talk struct {
	chat     *chat.Chat
	contacts *contacts.Contacts
	widgets  *widget.Widgets
	reports  *reports.Reports
	files    *files.Store
	inbox    *inbox.Inbox // of a hub; nil: this is none
	way      way          // to the hub; nil: there is none. It is set before openChat
	count    func(route, method string, status int, took time.Duration)
}

// openChat builds what is around conversations.
func (g *Gateway) openChat(ctx context.Context, counters *api.Metrics) (err error) {
	now := g.clock.Now
	g.talk.count = counters.Count
	g.talk.contacts = contacts.New(contacts.Options{DB: g.database, Queue: g.queue, Region: g.region, Now: now})
	g.talk.chat, err = chat.New(ctx, chat.Options{
		DB: g.database, Queue: g.queue, Desk: g.desk, Modems: g.fleetModems().List, Region: g.region, NameOf: g.talk.contacts.NameOf,
		Named: g.talk.contacts.Named, Consented: g.talk.contacts.Consented, People: g.members, Person: auth.IsPerson, SIMOf: modem.SIMOf,
		Rules:    func() chat.Rules { return g.set.Load().Chat },
		Internet: g.internet(), Files: g.talk.files, Clock: g.clock, Now: now, Log: g.logOf("chat"),
	})
	if err != nil {
		return err
	}
	g.talk.files.Holds(g.talk.chat.FilesOf)
	g.talk.widgets, err = widget.New(ctx, widget.Options{
		DB: g.database, Queue: g.queue, Chat: g.talk.chat, Region: g.region, Keep: func() time.Duration { return g.set.Load().Retention.Messages },
		Trusted: g.clock.Trusted, Now: now, Log: g.logOf("widget"), Count: counters.Count,
	})
	if err != nil {
		return err
	}
	g.talk.reports = reports.New(reports.Options{
		DB: g.database, Queue: g.queue, Now: now, Trusted: g.clock.Trusted, Log: g.logOf("reports"),
		Word: func(text string) string { return string(g.queue.WordOf(text).Kind) },
		Keep: func() time.Duration { return g.set.Load().KeepReports },
	})
	return nil
}

// members are the people that conversations may be given to.
func (g *Gateway) members(r db.Querier) ([]chat.Person, error) {
	all, err := g.keys.Members(r)
	people := make([]chat.Person, len(all))
	for i, m := range all {
		people[i] = chat.Person{ID: m.ID, Name: cmp.Or(m.DisplayName, m.Name), Team: m.Team, Online: m.Online}
	}
	return people, err
}
