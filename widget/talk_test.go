package widget

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatewayd/chat"
	"gatewayd/db"
	"gatewayd/queue"
)

// A stranger's chat from the first word to the last: asked, YES, messages, STOP.
func TestChatOfAStranger(t *testing.T) {
	r := newRig(t, 1)
	one := r.make()
	ann := r.begin(one, nil)
	v := r.view(ann)
	if v.State != chat.StateInvited || !v.Waiting || len(v.Messages) != 1 || !v.Messages[0].Auto || v.Messages[0].Text != "Ann: chat by text? Reply YES to go on, STOP to stop. Standard rates apply." {
		t.Fatalf("after the start: %+v", v)
	}
	r.ask("POST", "messages", ann, order{"text": "Are you there?"}).want(409, "not-opted-in")
	r.says(phone, "a", "YES")
	v = r.view(ann)
	if v.State != chat.StateOpen || v.NeedYes || v.Waiting {
		t.Fatalf("after YES: %+v", v)
	}
	if last := v.Messages[len(v.Messages)-1]; !last.Mine || last.Text != "Hello" {
		t.Fatalf("the first text did not go out on YES: %+v", v.Messages)
	}
	r.ask("POST", "messages", ann, order{"text": "Second", "client_id": "a1"}).want(200)
	r.ask("POST", "messages", ann, order{"text": "Second", "client_id": "a1"}).want(200) // the answer got lost
	r.says(phone, "a", "Fine, thanks")
	texts := []string{}
	for _, m := range r.view(ann).Messages {
		texts = append(texts, fmt.Sprint(m.Mine, m.Auto)+" "+m.Text)
	}
	if got := strings.Join(texts[1:], "|"); got != "false false YES|true false Hello|true false Second|false false Fine, thanks" {
		t.Errorf("the visitor sees %s", got)
	}
	r.says(phone, "a", "STOP")
	if v = r.view(ann); !v.Stopped || v.MayInvite {
		t.Errorf("after STOP: %+v", v)
	}
	r.ask("POST", "messages", ann, order{"text": "Third"}).want(409, "opted-out")
	r.ask("POST", "end", ann, order{}).want(200)
	if v = r.view(ann); v.State != chat.StateClosed {
		t.Errorf("after the end: %+v", v)
	}
	all, _, err := r.q.List(ctx, queue.Filter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if strings.HasPrefix(m.Text, "Ann: Hello") && (m.Author == nil || m.Author.Name != "Ann" || m.Author.Address != "192.0.2.1") {
			t.Errorf("who wrote it is kept as %+v", m.Author)
		}
	}
}

// Two strangers, one phone, two SIMs: nobody sees the other's, and a third is told.
func TestNobodySeesAnothersChat(t *testing.T) {
	r := newRig(t, 2)
	shop, club := r.make(), r.make()
	ann, bob := r.begin(shop, nil), r.begin(club, order{"name": "Bob", "text": "Bob here"})
	r.says(phone, "a", "YES")
	r.says(phone, "b", "YES")
	r.says(phone, "a", "For Ann")
	r.says(phone, "b", "For Bob")
	a, b := jsonOf(r.view(ann)), jsonOf(r.view(bob))
	if !strings.Contains(a, "For Ann") || strings.Contains(a, "Bob") || !strings.Contains(b, "For Bob") || strings.Contains(b, "Ann") {
		t.Errorf("Ann sees %s\nBob sees %s", a, b)
	}
	r.start(club, framed, order{"name": "Cid"}).want(409, "no-number-free")
	// There is nothing to name another's chat by: what a request says beside its token is
	// not looked at.
	var conversation string
	if err := r.db.Read(ctx, func(q db.Querier) error {
		return q.QueryRow(`SELECT conversation FROM widget_visitors WHERE name = 'Bob'`).Scan(&conversation)
	}); err != nil || conversation == "" {
		t.Fatal(err)
	}
	said := r.ask("GET", "chat?conversation="+conversation+"&id="+conversation, ann, nil).want(200).Body.String()
	if strings.Contains(said, "Bob") {
		t.Errorf("Ann asks for %s and gets %s", conversation, said)
	}
	r.ask("POST", "messages", ann, order{"text": "Mine", "conversation": conversation, "id": conversation}).want(200)
	if strings.Contains(jsonOf(r.view(bob)), "Mine") {
		t.Error("Ann wrote in Bob's chat")
	}
	// And if a visitor's row named another's, it would still not be shown.
	if err := r.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE widget_visitors SET conversation = ? WHERE name = 'Ann'`, conversation)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if v := r.view(ann); v != nil {
		t.Errorf("Ann sees %+v", v)
	}
}

// Tokens are kept as hashes, end by themselves and with their widget.
func TestTokens(t *testing.T) {
	r := newRig(t, 1)
	one := r.make()
	ann := r.begin(one, nil)
	token := strings.TrimPrefix(ann["Authorization"], "Bearer ")
	if err := r.db.Read(ctx, func(q db.Querier) error {
		var n int
		err := q.QueryRow(`SELECT count(*) FROM widget_visitors WHERE instr(CAST(hash AS TEXT), ?) > 0 OR hash = ?`, token, token).Scan(&n)
		if n != 0 {
			t.Error("the token itself is kept")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(visitorLife - time.Hour)
	r.ask("GET", "chat", ann, nil).want(200) // used: it is good for another day
	r.now = r.now.Add(visitorLife - time.Hour)
	r.ask("GET", "chat", ann, nil).want(200)
	r.now = r.now.Add(visitorLife)
	r.ask("GET", "chat", ann, nil).want(401, "token")
	bob := r.begin(one, order{"name": "Bob", "number": "+491722222222"})
	if err := r.Delete(ctx, one.ID); err != nil {
		t.Fatal(err)
	}
	r.ask("GET", "chat", bob, nil).want(401, "token")
	for range 40 {
		r.ask("GET", "chat", framed.and("Authorization", "Bearer wvt_guess"), nil)
	}
	r.ask("GET", "chat", framed.and("Authorization", "Bearer wvt_guess"), nil).want(429, "limit")
}

// Terms that are accepted once are accepted as they are: others are shown again, and what
// else changes of a widget, or of when they are, shows nobody anything again.
func TestTermsOnce(t *testing.T) {
	r := newRig(t, 2)
	one := r.make(func(s *Settings) { s.Terms = Terms{Text: "Be kind."} })
	change := func(f func(*Settings)) {
		t.Helper()
		if _, err := r.Change(ctx, one.ID, admin, func(s *Settings) error { f(s); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	another := 0
	begins := func(h header, more order) *answered {
		another++
		o := order{"number": fmt.Sprintf("+4917155500%02d", another)}
		for k, v := range more {
			o[k] = v
		}
		return r.start(one, h, o)
	}
	begins(framed, nil).want(422, "terms")
	ann := r.begin(one, order{"terms": true, "version": "1.0"})
	accepted := func(want bool) {
		t.Helper()
		if v := r.view(ann); v.Accepted != want {
			t.Errorf("accepted: %v, want %v", v.Accepted, want)
		}
	}
	accepted(true)
	begins(ann, nil).want(201)
	change(func(s *Settings) { s.Title = "Write to us" })
	accepted(true)
	begins(ann, nil).want(201)
	begins(framed, nil).want(422, "terms") // of somebody else
	change(func(s *Settings) { s.Terms.Each = true })
	accepted(false)
	begins(ann, nil).want(422, "terms")
	begins(ann, order{"terms": true, "version": "1.0"}).want(201) // which said the same
	change(func(s *Settings) { s.Terms.Each = false })
	accepted(true)
	begins(ann, nil).want(201)
	change(func(s *Settings) { s.Terms.Link = "https://example.org/terms" })
	accepted(false)
	begins(ann, nil).want(422, "terms")
	begins(ann, order{"terms": true, "version": "5.0"}).want(201)
	accepted(true)
}

// A view says which conversation it is of, so that a frame can tell one that it was
// shown before from the next.
func TestViewsHaveNames(t *testing.T) {
	r := newRig(t, 2)
	one := r.make()
	ann := r.begin(one, nil)
	first := r.view(ann)
	r.start(one, ann, order{"number": "+491722222222"}).want(201)
	if second := r.view(ann); first.ID == "" || second.ID == "" || first.ID == second.ID {
		t.Errorf("%q and %q", first.ID, second.ID)
	}
}

func TestWhatAStartNeeds(t *testing.T) {
	r := newRig(t, 3)
	one := r.make(func(s *Settings) { s.Terms = Terms{Text: "Be kind.", Each: true} })
	for name, c := range map[string]struct {
		more order
		code string
	}{
		"no terms":                {order{}, "terms"},
		"terms of another time":   {order{"terms": true, "version": "7.0"}, "terms"},
		"no name":                 {order{"name": " "}, "name"},
		"a name with an address":  {order{"name": "win.example.com"}, "name"},
		"a name with a number":    {order{"name": "Call 0900 123456"}, "name"},
		"a name with a line":      {order{"name": "Ann\nBank"}, ""},
		"a name that is too long": {order{"name": strings.Repeat("A", 31)}, "name"},
		"a name with a colon":     {order{"name": "Bank: urgent"}, "name"},
		"no number":               {order{"number": "x"}, "number"},
		"a short code":            {order{"number": "12345"}, "number"},
		"no text":                 {order{"text": " "}, "text"},
		"a text that is too long": {order{"text": strings.Repeat("x", 141)}, "too-long"}, // and "Ann: "
		"an unsolved puzzle":      {order{"terms": true, "version": "1.0", "solution": "x"}, "captcha"},
		"another page's ticket":   {order{"ticket": "x.y"}, "expired"},
	} {
		a := r.start(one, framed, c.more)
		if c.code != "" {
			a.want(a.Code, c.code)
		}
		if a.Code < 400 {
			t.Errorf("%s: %d", name, a.Code)
		}
	}
	ann := r.begin(one, order{"terms": true, "version": "1.0", "number": "0171 1111111", "text": strings.Repeat("x", 140)})
	if v := r.view(ann); v.Number != phone {
		t.Errorf("the number is read as %s", v.Number)
	}
	r.start(one, ann, order{"number": "+491722222222"}).want(422, "terms") // each time
	r.start(one, ann, order{"number": "+491722222222", "terms": true, "version": "1.0"}).want(201)
	if _, err := r.Change(ctx, one.ID, admin, func(s *Settings) error { s.Title = "Write to us"; return nil }); err != nil {
		t.Fatal(err)
	}
	r.start(one, ann, order{"number": "+491733333333", "terms": true, "version": "1.0"}).want(201) // the terms are the same
	if _, err := r.Change(ctx, one.ID, admin, func(s *Settings) error { s.Terms.Text = "Be kinder."; return nil }); err != nil {
		t.Fatal(err)
	}
	r.start(one, ann, order{"number": "+491744444444", "terms": true, "version": "2.0"}).want(422, "terms") // which were not shown
	var terms []string
	if err := r.db.Read(ctx, func(q db.Querier) error {
		rows, err := q.Query(`SELECT terms, at FROM widget_starts WHERE conversation <> '' ORDER BY seq`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var version, at int64
			if err := rows.Scan(&version, &at); err != nil {
				return err
			}
			terms = append(terms, fmt.Sprint(version, at == r.now.UnixMilli()))
		}
		return rows.Err()
	}); err != nil || strings.Join(terms, ", ") != "1 true, 1 true, 2 true" {
		t.Errorf("%v; accepted: %v", err, terms)
	}
}

// The first message of a stranger takes a puzzle, which is good once; so does what
// looks like a program's.
func TestPuzzles(t *testing.T) {
	r := newRig(t, 2)
	r.puzzles(true)
	one := r.make()
	r.start(one, framed, order{"solution": ""}).want(403, "captcha")
	solved := r.solution(r.ticket(one), framed)
	ann := r.begin(one, order{"solution": solved})
	r.start(one, framed, order{"name": "Bob", "number": "+491722222222", "solution": solved}).want(403, "captcha")
	r.says(phone, "a", "YES")
	var a *answered
	for n := range 8 {
		if a = r.ask("POST", "messages", ann, order{"text": fmt.Sprint("text ", n)}); a.Code != 200 {
			break
		}
	}
	a.want(403, "captcha")
	r.ask("POST", "prove", ann, order{"solution": solved}).want(403, "captcha")
}

// A visitor who goes on to another phone leaves the first one's SIM to others.
func TestNextChatClosesTheOneBefore(t *testing.T) {
	r := newRig(t, 1)
	one := r.make()
	ann := r.begin(one, nil)
	var got struct {
		Token string
		Chat  chatView
	}
	r.start(one, ann, order{"number": "+491722222222", "text": "You then"}).want(201).into(&got)
	if got.Token != "" || got.Chat.Number != "+491722222222" {
		t.Errorf("the second start gives %+v", got)
	}
	all, _, err := r.chat.List(ctx, chat.Filter{Limit: 10})
	if err != nil || len(all) != 2 {
		t.Fatal(len(all), err)
	}
	for _, c := range all {
		if c.Number == phone && c.State != chat.StateClosed {
			t.Errorf("the first is %s", c.State)
		}
	}
}

// What is kept of visitors is told and erased with the number that they wrote to, and
// forgotten with the history.
func TestVisitorsAreErasedExportedAndForgotten(t *testing.T) {
	r := newRig(t, 2)
	one := r.make()
	ann, bob := r.begin(one, nil), r.begin(one, order{"name": "Bob", "number": "+491722222222"})
	var told []ExportedVisitor
	if err := r.q.ExportNumber(ctx, phone, func(section string, row any) error {
		if e, ok := row.(ExportedVisitor); ok && section == "widget_visitors" {
			told = append(told, e)
		}
		return nil
	}); err != nil || len(told) != 1 || told[0].Name != "Ann" || told[0].Address != "192.0.2.1" || told[0].Site != site || told[0].Widget != one.ID {
		t.Errorf("%v: %+v", err, told)
	}
	if _, err := r.q.EraseNumber(ctx, phone); err != nil {
		t.Fatal(err)
	}
	r.ask("GET", "chat", ann, nil).want(401, "token")
	r.ask("GET", "chat", bob, nil).want(200)
	count := func(query string) (n int) {
		if err := r.db.Read(ctx, func(q db.Querier) error { return q.QueryRow(query).Scan(&n) }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(`SELECT count(*) FROM widget_visitors v JOIN widget_starts s ON s.visitor = v.id WHERE v.name = 'Ann' OR v.number LIKE '%1711111111' OR s.number LIKE '%1711111111'`); n != 0 {
		t.Errorf("%d rows of the erased number", n)
	}
	r.now = r.now.Add(360 * 24 * time.Hour)
	if err := r.prune(); err != nil || count(`SELECT count(*) FROM widget_visitors`) != 2 {
		t.Errorf("%v: forgotten too soon", err)
	}
	r.now = r.now.Add(10 * 24 * time.Hour)
	if err := r.prune(); err != nil || count(`SELECT count(*) FROM widget_visitors`) != 0 || count(`SELECT count(*) FROM widget_starts`) != 0 {
		t.Errorf("%v: not forgotten", err)
	}
}
