package gateway

import (
	"context"
	"time"

	"gatewayd/chat"
	"gatewayd/files"
	"gatewayd/mirror"
)

// way is a link to a hub, or on the hub its own inboxes.
type way interface {
	Up() bool
	Since() time.Time
	PublicURL() string
	Who(ctx context.Context, numbers []string) ([]mirror.Presence, error)
}

// internet is how conversations reach people's inboxes; nil: this gateway belongs to no
// hub, and is none.
func (g *Gateway) internet() chat.Internet {
	if g.talk.way == nil {
		return nil
	}
	return byHub{g.talk.way}
}

// byHub is a way as conversations see it.
type byHub struct{ way }

func (byHub) Belongs() bool { return true }

func (b byHub) Who(ctx context.Context, numbers []string) ([]chat.Presence, error) {
	found, err := b.way.Who(ctx, numbers)
	people := make([]chat.Presence, len(found))
	for i, p := range found {
		people[i] = chat.Presence(p)
	}
	return people, err
}

// openFiles opens the store of what goes with messages. Also what waits for a phone's YES
// goes with one.
func (g *Gateway) openFiles() (err error) {
	g.talk.files, err = files.Open(files.Options{DB: g.database, Dir: g.o.DataDir, Queue: g.queue, Now: g.clock.Now, Trusted: g.clock.Trusted,
		KeepTexts: func() time.Duration { return g.set.Load().Retention.Texts }, Log: g.logOf("files")})
	return err
}
