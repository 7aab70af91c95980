package chat

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// Internet is the way to people's inboxes on a hub.
type Internet interface {
	Belongs() bool // there is a hub at all
	Up() bool      // and it is reached now
	Since() time.Time
	PublicURL() string // of the hub; "": it has none, and files have no links
	Who(ctx context.Context, numbers []string) ([]Presence, error)
}

// Presence is whether a number can be reached by internet.
type Presence struct {
	Inbox  bool // it has one on the hub
	Online bool // and is looking at it
}

// Files are what is sent with messages.
type Files interface {
	Stat(ctx context.Context, id string) (f sms.File, source string, err error)
}

// Hub is what a page is told of it.
type Hub struct {
	Belongs   bool
	Up        bool
	Since     time.Time // that it is up, or down; zero: not known
	PublicURL string
}

// Hub tells how the link to the hub stands.
func (c *Chat) Hub() Hub {
	i := c.o.Internet
	if i == nil || !i.Belongs() {
		return Hub{}
	}
	return Hub{true, i.Up(), i.Since(), i.PublicURL()}
}

// Letter is what somebody writes in a conversation.
type Letter struct {
	Text     string
	ClientID string   // one that was handed in before under it is not sent again
	Mode     sms.Mode // "": by SMS, as it is
	Subject  string
	Files    []string // their ids
}

// plain tells whether a letter is a text and nothing else.
func (l Letter) plain() bool { return l.Mode == "" && l.Subject == "" && len(l.Files) == 0 }

// checked is what of a letter is looked through for words and counted.
func (l Letter) checked() string { return strings.TrimSpace(l.Subject + "\n" + l.Text) }

// parcel is a letter that knows its way.
type parcel struct {
	Letter
	via   sms.Via
	copy  sms.Copy
	files []sms.File
	links []string // of the files, where it goes by SMS
}

// longestSubject is how many characters a subject has at most.
const longestSubject = 60

// MostFiles is how many files go with a message.
const MostFiles = 10

// pack finds the way of a letter to a number. It may ask the hub, and so is not for
// transactions.
func (c *Chat) pack(ctx context.Context, to string, l Letter) (parcel, error) {
	p := parcel{Letter: l}
	switch {
	case l.Text == "" && len(l.Files) == 0:
		return p, fail(Invalid, "text", "is missing")
	case len([]rune(l.Subject)) > longestSubject || strings.ContainsAny(l.Subject, "\r\n"):
		return p, fail(Invalid, "subject", "must be one line of at most %d characters", longestSubject)
	case len(l.Files) > MostFiles:
		return p, fail(Invalid, "files", "must be at most %d", MostFiles)
	}
	for _, id := range l.Files {
		if c.o.Files == nil {
			return p, fail(Invalid, "files", "can't be sent: this gateway keeps none")
		}
		f, _, err := c.o.Files.Stat(ctx, id)
		if err != nil {
			return p, fail(Invalid, "files", "%s is no file that was uploaded here, or it is no longer kept", id)
		}
		p.files = append(p.files, f)
	}
	hub := c.Hub()
	switch l.Mode {
	case "", sms.ModeSMS:
	case sms.ModeAuto:
		if hub.Up && c.Presence(ctx, []string{to})[to].Inbox {
			p.via = sms.ViaInternet
		}
	case sms.ModeOffline, sms.ModeInternet:
		if !hub.Belongs {
			return p, fail(NoHub, "mode", "This gateway belongs to no hub, so nothing goes by internet from here. Send it as SMS.")
		}
		p.via = sms.ViaInternet
		if l.Mode == sms.ModeOffline {
			break // whoever has no inbox by then gets it not, and that is told
		}
		who, err := c.presence(ctx, []string{to}, true)
		switch {
		case !hub.Up || err != nil:
			return p, fail(LinkDown, "mode", "The link to the hub is down. Send it as SMS now, or as offline: then it goes when the link is back.")
		case !who[to].Inbox:
			return p, fail(NoInbox, "mode", "%s has no inbox on the hub. Send it as SMS.", to)
		}
	default:
		return p, fail(Invalid, "mode", "must be one of sms, internet, offline, auto")
	}
	if p.via == sms.ViaInternet {
		return p, nil
	}
	if l.Mode != "" && hub.Belongs {
		p.copy = sms.CopyNotSent
	}
	if len(p.files) > 0 {
		if hub.PublicURL == "" {
			return p, fail(NoLink, "files", "By SMS a file goes as a link, and there is no hub with a public address here that it could lead to. Send it by internet, or without files.")
		}
		for _, f := range p.files {
			p.links = append(p.links, strings.TrimSuffix(hub.PublicURL, "/")+"/f/"+f.ID)
		}
	}
	return p, nil
}

// asWritten is the way of what waited for somebody's YES: by SMS, for that is what was
// agreed to.
func (c *Chat) asWritten(ctx context.Context, l Letter) (parcel, error) {
	if l.Mode != "" {
		l.Mode = sms.ModeSMS
	}
	return c.pack(ctx, "", l)
}

// presences is who could be reached by internet a moment ago.
type presences struct {
	mu    sync.Mutex
	known map[string]seen
	down  time.Time // the hub did not answer
}

type seen struct {
	Presence
	at time.Time
}

// How long an answer of the hub is good, and how long it is waited for. The list of
// conversations must not hang on it.
const (
	presenceFor   = 30 * time.Second
	silentFor     = 5 * time.Second
	presenceWait  = 2 * time.Second
	presenceAtOne = 500 // numbers in one question
)

// Presence tells of numbers whether they can be reached by internet now, as it was at
// most half a minute ago. Nobody can while the hub is not reached.
func (c *Chat) Presence(ctx context.Context, numbers []string) map[string]Presence {
	found, err := c.presence(ctx, numbers, false)
	if err != nil {
		c.log.Debug("the hub did not say who can be reached by internet", "error", err)
	}
	return found
}

// presence is Presence; fresh asks the hub whatever is known.
func (c *Chat) presence(ctx context.Context, numbers []string, fresh bool) (map[string]Presence, error) {
	found := map[string]Presence{}
	if !c.Hub().Up {
		return found, nil
	}
	now := c.o.Now()
	var ask []string
	c.reachable.mu.Lock()
	for _, n := range numbers {
		k, ok := c.reachable.known[n]
		if !fresh && ok && now.Sub(k.at).Abs() < presenceFor {
			found[n] = k.Presence
		} else if number.KindOf(n) != number.Alphanumeric && !slices.Contains(ask, n) {
			ask = append(ask, n)
		}
	}
	silent := !fresh && now.Sub(c.reachable.down).Abs() < silentFor
	c.reachable.mu.Unlock()
	if silent {
		return found, nil
	}
	for some := range slices.Chunk(ask, presenceAtOne) {
		within, cancel := context.WithTimeout(ctx, presenceWait)
		people, err := c.o.Internet.Who(within, some)
		cancel()
		if err == nil && len(people) != len(some) {
			err = errors.New("the hub answered for other numbers than it was asked of")
		}
		c.reachable.mu.Lock()
		if err != nil {
			if ctx.Err() == nil {
				c.reachable.down = now
			}
			c.reachable.mu.Unlock()
			return found, err
		}
		if c.reachable.known == nil || len(c.reachable.known) > originsAtMost {
			c.reachable.known = map[string]seen{}
		}
		for i, n := range some {
			c.reachable.known[n] = seen{people[i], now}
			found[n] = people[i]
		}
		c.reachable.mu.Unlock()
	}
	return found, nil
}

// byInternet is the draft of what goes by internet. It needs no modem, and no opt-in:
// whoever has an inbox has opened it. STOP holds for it too.
func (c *Chat) byInternet(e *entry, s Sender, p parcel) queue.Draft {
	return queue.Draft{KeyID: s.keyID(), Message: sms.Message{To: e.Number, Text: e.said(s, p), ClientID: p.ClientID, Priority: sms.DefaultPriority,
		OnUnconfirmed: sms.Resend, Conversation: e.ID, Author: s.author(), Via: sms.ViaInternet, Mode: p.Mode, Subject: p.Subject, Files: p.files}}
}

// FilesOf tells the ids of the files that wait with a text for somebody's YES.
func (c *Chat) FilesOf(r db.Querier, see func(id string)) error {
	waiting, err := all(r, `WHERE c.pending IS NOT NULL`)
	for _, e := range waiting {
		if e.pendingBy != nil {
			for _, id := range e.pendingBy.Files {
				see(id)
			}
		}
	}
	return err
}
