package chat

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// Filter selects conversations; zero fields select all.
type Filter struct {
	Team       *string // of this team; nil: of all, and of visitors
	Visitor    string  // of this visitor
	Widget     string  // of visitors who came by this widget
	Number     string
	State      []State
	AssignedTo *string // "": to nobody
	Unread     bool    // only those with something unread
	Query      string  // in name, number or a text
	Cursor     string
	Limit      int // 0: 50
}

const defaultLimit = 50

// Get returns a conversation.
func (c *Chat) Get(ctx context.Context, id string) (v *Conversation, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		e, err := byID(r, id)
		if err == nil && e == nil {
			err = notFound()
		}
		if err != nil {
			return err
		}
		v = &e.Conversation
		return c.complete(r, []*entry{e})
	})
	return v, err
}

// Sees tells which of conversations, by their ids, a sender may see.
func (c *Chat) Sees(ctx context.Context, s Sender, ids []string) (map[string]bool, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	return seen, c.o.DB.Read(ctx, func(r db.Querier) error {
		found, err := all(r, `WHERE c.id IN (SELECT value FROM json_each(?))`, string(list))
		for _, e := range found {
			seen[e.ID] = s.May(&e.Conversation)
		}
		return err
	})
}

// List returns conversations, the one of which something was said last first, and the
// cursor of the next page, "" at the end.
func (c *Chat) List(ctx context.Context, f Filter) (page []Conversation, next string, err error) {
	var where []string
	var args []any
	add := func(cond string, v ...any) { where, args = append(where, cond), append(args, v...) }
	add("c.deleted = 0")
	if f.Cursor != "" {
		before, err := placeOf(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		add("c.place < ?", before)
	}
	if f.Team != nil {
		add("c.team = ? AND c.visitor = ''", *f.Team)
	}
	if f.Visitor != "" {
		add("c.visitor = ?", f.Visitor)
	}
	if f.Widget != "" {
		add("c.widget = ?", f.Widget)
	}
	if f.Number != "" {
		add("c.number = ?", f.Number)
	}
	if len(f.State) > 0 {
		list, err := json.Marshal(f.State)
		if err != nil {
			return nil, "", err
		}
		add("c.state IN (SELECT value FROM json_each(?))", string(list))
	}
	if f.AssignedTo != nil {
		add("c.assigned_to = ?", *f.AssignedTo)
	}
	if f.Unread {
		add("c.unread > 0")
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	var found []*entry
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		if f.Query != "" {
			cond, more, err := c.saying(r, f.Query)
			if err != nil {
				return err
			}
			add(cond, more...)
		}
		found, err = all(r, `WHERE `+strings.Join(where, " AND ")+` ORDER BY c.place DESC LIMIT ?`, append(args, limit+1)...)
		if err != nil {
			return err
		}
		if len(found) > limit {
			found = found[:limit]
			next = cursorAt(found[limit-1].place)
		}
		return c.complete(r, found)
	})
	page = make([]Conversation, len(found))
	for i, e := range found {
		page[i] = e.Conversation
	}
	return page, next, err
}

// saying selects conversations that have s in their name, number or a text. Numbers are
// compared by their digits. Of texts the newest that a search looks at are looked at.
func (c *Chat) saying(r db.Querier, s string) (string, []any, error) {
	ids, err := queue.ConversationsSaying(r, s)
	if err != nil {
		return "", nil, err
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return "", nil, err
	}
	like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s) + "%"
	cond, args := `(c.id IN (SELECT value FROM json_each(?)) OR c.name LIKE ? ESCAPE '\' OR c.visitor_name LIKE ? ESCAPE '\' OR c.number LIKE ? ESCAPE '\'`, []any{string(list), like, like, like}
	if n, err := number.Parse(s, c.o.Region()); err == nil {
		cond, args = cond+` OR c.number = ?`, append(args, n)
	}
	if digits := strings.TrimLeft(strings.Map(digit, s), "0"); len(digits) > 2 {
		cond, args = cond+` OR c.number LIKE ?`, append(args, "%"+digits+"%")
	}
	if c.o.Named != nil {
		numbers, err := c.o.Named(r, s)
		if err != nil {
			return "", nil, err
		}
		list, err := json.Marshal(numbers)
		if err != nil {
			return "", nil, err
		}
		cond, args = cond+` OR c.visitor = '' AND EXISTS (SELECT 1 FROM json_each(?) t, json_each(t.value) n WHERE t.key = c.team AND n.value = c.number)`, append(args, string(list))
	}
	return cond + ")", args, nil
}

func digit(r rune) rune {
	if r < '0' || r > '9' {
		return -1
	}
	return r
}

// complete adds to conversations what is not in their rows.
func (c *Chat) complete(r db.Querier, found []*entry) error {
	var rows []int64
	var ids, numbers []string
	for _, e := range found {
		if e.lastRow != 0 {
			rows = append(rows, e.lastRow)
		}
		if e.Mode == ByInvitation {
			ids = append(ids, e.ID)
		}
		numbers = append(numbers, e.Number)
	}
	last, err := queue.MessagesAt(r, rows)
	if err != nil {
		return err
	}
	optIns, err := c.o.Queue.OptInsOf(r, ids)
	if err != nil {
		return err
	}
	stopped, err := queue.StoppedAmong(r, numbers)
	if err != nil {
		return err
	}
	for _, e := range found {
		if e.Last = last[e.lastRow]; e.Last != nil && e.Last.Conversation != e.ID {
			e.Last = nil // of another life of the database
		}
		if e.Mode == ByInvitation {
			e.OptIn = optIns[e.ID]
			if e.State == StateOpen && (e.OptIn == nil || e.OptIn.State != queue.OptInGiven) {
				e.State = StateIdle // it ended elsewhere: for silence, or on somebody's word
			}
		}
		e.Stopped = stopped[e.Number]
		if e.Owner.Visitor == "" { // a stranger's window does not show what we call the number
			name, err := c.o.NameOf(r, e.Owner.Team, e.Number)
			if err != nil {
				return err
			}
			e.Name = cmp.Or(name, e.Name)
		}
		o := c.origin(e.Number)
		e.Country, e.Carrier = o.country, o.carrier
	}
	return nil
}

// Messages returns a page of a conversation's messages, oldest first: those right before
// the message before, or right behind the message after; the newest with neither. only is
// as queue.ThreadOf has it.
func (c *Chat) Messages(ctx context.Context, id, before, after string, limit int, only ...sms.Via) (t queue.Thread, err error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		e, err := byID(r, id)
		if err == nil && e == nil {
			err = notFound()
		}
		if err != nil {
			return err
		}
		var from, to int64
		for _, at := range []struct {
			field, id string
			row       *int64
		}{{"before", before, &from}, {"after", after, &to}} {
			if at.id == "" {
				continue
			}
			if *at.row, err = queue.RowOf(r, id, at.id); err != nil {
				return fail(Invalid, at.field, "is no message of this conversation")
			}
		}
		t, err = queue.ThreadOf(r, id, from, to, limit, only...)
		return err
	})
	if t.Messages == nil {
		t.Messages = []sms.Message{}
	}
	return t, err
}

func cursorAt(place int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte("c" + strconv.FormatInt(place, 36)))
}

func placeOf(cursor string) (int64, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil && len(b) > 1 && b[0] == 'c' {
		if place, err := strconv.ParseInt(string(b[1:]), 36, 64); err == nil && place >= 0 {
			return place, nil
		}
	}
	return 0, queue.ErrBadCursor
}
