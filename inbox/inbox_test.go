package inbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatewayd/captcha"
	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/sms"
)

const (
	firstID  = "msg_01HZZZZZZZZZZZZZZZZZZZZZZ1"
	secondID = "msg_01HZZZZZZZZZZZZZZZZZZZZZZ2"
	thirdID  = "msg_01HZZZZZZZZZZZZZZZZZZZZZZ3"
)

// The whole of it, as a person and a gateway see it.
func TestFromTheCodeToTheAnswer(t *testing.T) {
	r := newRig(t)
	if c := r.tells("north", mirror.Inbox{ID: firstID, To: phone, Name: "Ann", Text: "too early"}); c != sms.CopyNoInbox {
		t.Errorf("without an inbox it is %q", c)
	}
	b := r.signedIn("+49 171 1111111", "  Bob  Builder ")
	var me struct{ Number, Name, At string }
	b.ask("GET", "/inbox/v1/me", nil).want(200).into(&me)
	if me.Number != phone || me.Name != "Bob Builder" || me.At != "Example Org" {
		t.Errorf("signed in as %+v", me)
	}
	if text := r.texts[phone][0]; len(text) > 160 || !strings.Contains(text, "Example Org") {
		t.Errorf("the text with the code has %d characters: %q", len(text), text)
	}

	// A picture comes in pieces, then what it goes with; a text by SMS, then its copy, twice.
	picture := "\x89PNG\r\n\x1a\n and what follows"
	f := sms.File{ID: strings.Repeat("p", 26), Name: "cat.png", Type: "image/png", Size: int64(len(picture))}
	deliver := func(id, name string, bySMS bool, files ...sms.File) {
		t.Helper()
		if c := r.tells("north", mirror.Inbox{ID: id, To: phone, Name: name, Subject: "Cat", Text: "Look, https://example.org/", Files: files, BySMS: bySMS}); c != sms.CopySent {
			t.Fatalf("it is %q", c)
		}
	}
	if err := r.Chunk("north", mirror.Chunk{File: f, Data: []byte(picture[:10])}); err != nil {
		t.Fatal(err)
	}
	deliver(secondID, "Ann", false, f)
	r.now = r.now.Add(time.Minute)
	deliver(thirdID, "Ann", true)
	deliver(thirdID, "Ann", true)
	if c := r.tells("south", mirror.Inbox{ID: thirdID, To: phone, Name: "Ann", Text: "moved", BySMS: true}); c != sms.CopySent {
		t.Errorf("told by the gateway that it was moved to it is %q", c)
	}
	if c := r.tells("north", mirror.Inbox{ID: firstID, To: phone, Name: "Ann", Text: "too early"}); c != sms.CopyNoInbox {
		t.Errorf("what found no inbox found one when it was told again: %q", c)
	}
	all := b.list("")
	if len(all) != 1 || all[0].Name != "Ann" || all[0].At != "NORTH" || all[0].Unread != 2 || all[0].Newest.ID != thirdID {
		t.Fatalf("the list is %+v", all)
	}
	path := fmt.Sprintf("threads/%d", all[0].ID)
	got := b.reads(path)
	if len(got) != 2 || got[0].ID != secondID || got[0].Kinds[0] != "waits" || got[0].BySMS || !got[1].BySMS || got[1].Subject != "Cat" {
		t.Fatalf("the messages are %+v", got)
	}
	b.ask("GET", "/f/"+f.ID, nil).want(404, "not-here")
	for range 2 {
		if err := r.Chunk("north", mirror.Chunk{File: f, Offset: 10, Data: []byte(picture[10:])}); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.reads(path); got[0].Kinds[0] != "image" {
		t.Errorf("the whole picture is shown as %q", got[0].Kinds)
	}

	// Both ends filter by the tag.
	for query, want := range map[string]string{"?tag=sms": thirdID, "?tag=internet": secondID} {
		if got := b.reads(path + query); len(got) != 1 || got[0].ID != want {
			t.Errorf("%s: %+v", query, got)
		}
		if all := b.list(query); len(all) != 1 || all[0].Newest.ID != want {
			t.Errorf("%s: %+v", query, all)
		}
	}
	b.ask("GET", "/inbox/v1/threads?tag=fax", nil).want(422)

	// What is read is told to its sender, once.
	for range 2 {
		b.ask("POST", "/inbox/v1/"+path+"/read", map[string]any{"seq": got[1].Seq}).want(200)
	}
	if items := r.items["north"]; len(items) != 1 || len(items[0].Receipts) != 2 || items[0].Receipts[0].ID != secondID || !items[0].Receipts[0].ReadAt.Equal(r.now) {
		t.Errorf("told of what is read: %+v", items)
	}
	if all := b.list(""); all[0].Unread != 0 {
		t.Errorf("unread: %d", all[0].Unread)
	}
	if all := b.list("?unread=1"); len(all) != 0 {
		t.Errorf("unread: %+v", all)
	}

	// The answer, with a file, once whatever the browser repeats.
	var up struct{ File sms.File }
	b.ask("POST", "/inbox/v1/files?name=note.txt", []byte("a note")).want(201).into(&up)
	r.now = r.now.Add(time.Minute)
	said := map[string]any{"text": "Nice", "files": []string{up.File.ID}, "client_id": "c1"}
	for range 2 {
		b.ask("POST", "/inbox/v1/"+path+"/messages", said).want(201)
	}
	items := r.items["north"]
	if len(items) != 2 || items[1].Reply == nil {
		t.Fatalf("told: %+v", items)
	}
	reply := items[1].Reply
	if reply.From != phone || reply.Name != "Bob Builder" || reply.Text != "Nice" || reply.To != thirdID || len(reply.Files) != 1 || reply.Files[0] != up.File || !strings.HasPrefix(reply.ID, "msg_") || !reply.At.Equal(r.now) {
		t.Errorf("the answer is %+v", reply)
	}
	if got := b.reads(path); len(got) != 3 || !got[2].Mine || got[2].ID != reply.ID {
		t.Errorf("the messages are %+v", got)
	}
	if got := b.reads("search?q=nice"); len(got) != 1 || got[0].ID != reply.ID {
		t.Errorf("found: %+v", got)
	}
	if got := b.reads("search?q=CAT.png"); len(got) != 1 || got[0].ID != secondID {
		t.Errorf("found: %+v", got)
	}
	if got := b.reads("search?q=100%25"); len(got) != 0 {
		t.Errorf("found: %+v", got)
	}
	if len(r.items["south"]) != 0 {
		t.Errorf("another gateway is told: %+v", r.items["south"])
	}
}

// What the filter hides was not seen.
func TestWhatIsNotShownIsNotRead(t *testing.T) {
	r := newRig(t)
	b := r.signedIn(phone, "Bea")
	r.tells("north", mirror.Inbox{ID: firstID, To: phone, Name: "Ann", Text: "by internet"})
	r.tells("north", mirror.Inbox{ID: secondID, To: phone, Name: "Ann", Text: "by SMS", BySMS: true})
	path := fmt.Sprintf("threads/%d", b.list("")[0].ID)
	newest := b.reads(path + "?tag=sms")[0].Seq
	b.ask("POST", "/inbox/v1/"+path+"/read", map[string]any{"seq": newest, "tag": "sms"}).want(200)
	if items := r.items["north"]; len(items) != 1 || len(items[0].Receipts) != 1 || items[0].Receipts[0].ID != secondID {
		t.Errorf("told of what is read: %+v", items)
	}
	if all := b.list(""); all[0].Unread != 1 {
		t.Errorf("unread: %d", all[0].Unread)
	}
	b.ask("POST", "/inbox/v1/"+path+"/read", map[string]any{"seq": newest, "tag": "fax"}).want(422)
}

func TestCodesAreForWhoAskedAndFiveTries(t *testing.T) {
	r := newRig(t)
	b := r.browser()
	var got struct{ Ask string }
	b.asks(phone, "Bob").want(202).into(&got)
	code := r.texted(phone)
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	open := func(ask, code string) *answered {
		return b.ask("POST", "/inbox/v1/open", map[string]any{"ask": ask, "code": code})
	}
	open("", code).want(403, "code")
	var another struct{ Ask string }
	b.asks(other, "Eve").want(202).into(&another)
	open(another.Ask, code).want(403, "code")
	for range codeTries - 1 {
		open(got.Ask, wrong).want(403, "code")
	}
	open(got.Ask, code[:3]+" "+code[3:]).want(200)
	open(got.Ask, code).want(403, "code") // once

	b = r.browser()
	b.asks(phone, "Bob").want(202).into(&got)
	for range codeTries {
		open(got.Ask, wrong).want(403, "code")
	}
	open(got.Ask, r.texted(phone)).want(403, "code")

	b.asks(phone, "Bob").want(202).into(&got)
	r.now = r.now.Add(codeLife)
	open(got.Ask, r.texted(phone)).want(403, "code")
}

// The answer is the same whether a number has an inbox and whether it gets one more text.
func TestNobodyLearnsWhoHasAnInbox(t *testing.T) {
	r := newRig(t)
	r.signedIn(phone, "Bob")
	ask := func(number, from string) string {
		t.Helper()
		r.from = from
		a := r.browser().asks(number, "Eve")
		var got map[string]any
		a.want(202).into(&got)
		delete(got, "ask")
		return fmt.Sprint(a.Code, got, a.Header().Get("Set-Cookie"))
	}
	first := ask(phone, "192.0.2.2")
	for i := range 5 {
		if got := ask(phone, fmt.Sprintf("192.0.2.%d", 10+i)); got != first {
			t.Errorf("the answer is %s and was %s", got, first)
		}
	}
	if got := ask(other, "192.0.2.3"); got != first {
		t.Errorf("without an inbox the answer is %s, and %s with one", got, first)
	}
	if n := len(r.texts[phone]); n != 3 {
		t.Errorf("the phone got %d texts", n)
	}
}

// A code that was not texted can't be guessed: so nobody gets more guesses at a number than
// the texts that it gets, from however many addresses.
func TestNobodyGuessesACodeThatWasNotTexted(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.from = fmt.Sprintf("192.0.2.%d", 10+i)
		var got struct{ Ask string }
		r.browser().asks(phone, "Eve").want(202).into(&got)
		if texted := i < 3; (r.codes.open[got.Ask].mac != nil) != texted {
			t.Errorf("code %d: it was texted: %v, and can be guessed: %v", i, texted, !texted)
		}
	}
}

func TestWhatACodeNeeds(t *testing.T) {
	r := newRig(t)
	r.barred = other
	b := r.browser()
	b.asks("0171 4444444", "Bob").want(202)
	r.texted("+491714444444")
	r.from = "192.0.2.2"
	b.asks("12", "Bob").want(422, "number")
	b.asks(phone, " ").want(422, "name")
	b.asks(phone, "Bo\u202eb").want(422, "name")
	b.asks(other, "Bob").want(422, "not-texted")
	b.ask("POST", "/inbox/v1/code", map[string]any{"number": phone, "name": "Bob", "solution": "none"}).want(422, "puzzle")
	r.from = "2001:db8::1" // one subscriber, many addresses
	for i := range 6 {
		r.from = fmt.Sprintf("2001:db8::%d", i+1)
		b.asks(fmt.Sprintf("+49171200000%d", i), "Bob").want(202)
	}
	if a := b.asks("+491712000009", "Bob").want(429, "limit"); a.Header().Get("Retry-After") == "" {
		t.Error("nobody says how long to wait")
	}
}

func TestASolutionIsGoodOnce(t *testing.T) {
	r := newRig(t)
	b := r.browser()
	var p struct{ Puzzle captcha.Challenge }
	b.ask("POST", "/inbox/v1/puzzle", map[string]any{}).want(200).into(&p)
	solution, err := captcha.Solve(p.Puzzle)
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]any{"number": phone, "name": "Bob", "solution": solution}
	b.ask("POST", "/inbox/v1/code", in).want(202)
	b.ask("POST", "/inbox/v1/code", in).want(422, "puzzle")
}

func TestOnlyOurOwnPageAsks(t *testing.T) {
	r := newRig(t)
	b := r.signedIn(phone, "Bob")
	for _, h := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"},
		{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site", "Origin": "https://" + host},
	} {
		b.header = h
		for _, path := range []string{"leave", "close", "name", "threads/1/messages", "code"} {
			b.ask("POST", "/inbox/v1/"+path, map[string]any{"erase": true, "name": "Eve"}).want(403, "origin")
		}
		b.ask("GET", "/inbox/v1/threads", nil).want(403, "origin")
	}
	b.header = map[string]string{"Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"}
	b.ask("POST", "/inbox/v1/close", []byte(`{"erase":true}`)).want(415)
	b.header = map[string]string{"Origin": "https://" + host}
	b.ask("GET", "/inbox/v1/me", nil).want(200)
	r.browser().ask("GET", "/inbox/v1/me", nil).want(401, "session")
	if a := r.browser().ask("GET", "/inbox/v1/me?maybe", nil).want(200); a.Body.String() != "{\"number\":\"\"}\n" {
		t.Errorf("to nobody it says %s", a.Body)
	}
}

// Every operation of an owner is closed to everybody else, and to other owners.
func TestNobodySeesAnothersInbox(t *testing.T) {
	r := newRig(t)
	b := r.signedIn(phone, "Bob")
	eve := r.signedIn(other, "Eve")
	r.tells("north", mirror.Inbox{ID: firstID, To: phone, Name: "Ann", Text: "secret"})
	var up struct{ File sms.File }
	b.ask("POST", "/inbox/v1/files?name=x", []byte("secret")).want(201).into(&up)
	path := fmt.Sprintf("/inbox/v1/threads/%d", b.list("")[0].ID)
	if all := eve.list(""); len(all) != 0 {
		t.Errorf("another sees %+v", all)
	}
	if got := eve.reads("search?q=secret"); len(got) != 0 {
		t.Errorf("another finds %+v", got)
	}
	eve.ask("GET", path, nil).want(404)
	eve.ask("POST", path+"/read", map[string]any{"seq": 99}).want(404)
	eve.ask("POST", path+"/messages", map[string]any{"text": "x"}).want(404)
	r.tells("north", mirror.Inbox{ID: secondID, To: other, Name: "Ann", Text: "hello"})
	own := fmt.Sprintf("/inbox/v1/threads/%d/messages", eve.list("")[0].ID)
	eve.ask("POST", own, map[string]any{"text": "x", "files": []string{up.File.ID}}).want(422, "file")
	eve.ask("POST", own, map[string]any{"text": " "}).want(422, "text")
	nobody := r.browser()
	for _, path := range []string{"me", "threads", "threads/1", "search", "events"} {
		nobody.ask("GET", "/inbox/v1/"+path, nil).want(401, "session")
	}
	for _, path := range []string{"name", "leave", "close", "threads/1/read", "threads/1/messages", "files"} {
		nobody.ask("POST", "/inbox/v1/"+path, map[string]any{}).want(401, "session")
	}
	nobody.ask("GET", "/inbox/v1/nothing", nil).want(404)
	nobody.cookie = &http.Cookie{Name: cookieName, Value: "guessed"}
	for range 25 {
		nobody.cookie = &http.Cookie{Name: cookieName, Value: "guessed"}
		if a := nobody.ask("GET", "/inbox/v1/me", nil); a.Code == 429 {
			return
		}
	}
	t.Error("cookies may be guessed without end")
}

func TestSessionsGoOnAndEnd(t *testing.T) {
	r := newRig(t)
	b, second := r.signedIn(phone, "Bob"), r.signedIn(phone, "Robert")
	r.now = r.now.Add(80 * 24 * time.Hour)
	b.ask("GET", "/inbox/v1/me", nil).want(200)
	r.now = r.now.Add(20 * 24 * time.Hour)
	b.ask("GET", "/inbox/v1/me", nil).want(200)
	second.ask("GET", "/inbox/v1/me", nil).want(401, "session") // not used for 100 days
	r.limits.number.Return(phone)                               // its bucket goes by another clock
	second = r.signedIn(phone, "Robert")
	b.ask("POST", "/inbox/v1/leave", map[string]any{}).want(200)
	b.ask("GET", "/inbox/v1/me", nil).want(401)
	r.limits.number.Return(phone)
	third := r.signedIn(phone, "Robert")
	third.ask("POST", "/inbox/v1/leave", map[string]any{"everywhere": true}).want(200)
	second.ask("GET", "/inbox/v1/me", nil).want(401)
}

func TestClosingErasesTheInbox(t *testing.T) {
	r := newRig(t)
	b := r.signedIn(phone, "Bob")
	r.tells("north", mirror.Inbox{ID: firstID, To: phone, Name: "Ann", Text: "secret"})
	b.ask("POST", "/inbox/v1/close", map[string]any{}).want(422)
	cookie := b.cookie
	b.ask("POST", "/inbox/v1/close", map[string]any{"erase": true}).want(200)
	b.cookie = cookie
	b.ask("GET", "/inbox/v1/me", nil).want(401)
	r.nothingOf(phone, "Bob", "secret", "Ann")
	if c := r.tells("north", mirror.Inbox{ID: secondID, To: phone, Name: "Ann", Text: "hello"}); c != sms.CopyNoInbox {
		t.Errorf("a closed inbox takes a message: %q", c)
	}
	if c := r.tells("north", mirror.Inbox{ID: firstID, To: phone, Name: "Ann", Text: "secret"}); c != sms.CopySent {
		t.Errorf("a repetition of what was in it: %q", c)
	}
	if b := r.signedIn(phone, "Bob"); len(b.list("")) != 0 {
		t.Error("it comes back")
	}
}

// nothingOf fails where any table of inboxes or files has one of the words.
func (r *rig) nothingOf(words ...string) {
	r.t.Helper()
	err := r.db.Read(ctx, func(q db.Querier) error {
		for _, query := range []string{
			`SELECT number || name FROM inbox_people`, `SELECT number || browser FROM inbox_sessions`, `SELECT number || name FROM inbox_threads`,
			`SELECT number || coalesce(text, '') || coalesce(subject, '') || coalesce(files, '') FROM inbox_messages`, `SELECT number FROM inbox_links`,
			`SELECT source || name FROM stored_files`,
		} {
			all, err := listOf(q, query)
			if err != nil {
				return err
			}
			for _, row := range all {
				for _, word := range words {
					if strings.Contains(row, word) {
						r.t.Errorf("%s: %q has %q", query, row, word)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestErasedAndExportedWithTheNumber(t *testing.T) {
	r := newRig(t)
	b := r.signedIn(phone, "Bob")
	r.signedIn(other, "Eve")
	f := sms.File{ID: strings.Repeat("a", 26), Name: "private.txt", Size: 1}
	linked := sms.File{ID: strings.Repeat("b", 26), Name: "linked.txt", Size: 1}
	for _, f := range []sms.File{f, linked} {
		if err := r.Chunk("north", mirror.Chunk{File: f, Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	var up struct{ File sms.File }
	b.ask("POST", "/inbox/v1/files?name=own.txt", []byte("own")).want(201).into(&up)
	r.tells("north", mirror.Inbox{ID: firstID, To: phone, Name: "Ann", Subject: "Topic", Text: "secret", Files: []sms.File{f}})
	third := "+491713333333"
	r.tells("north", mirror.Inbox{ID: secondID, To: third, Name: "Ann", Text: "no inbox", Files: []sms.File{linked}, BySMS: true})
	r.tells("north", mirror.Inbox{ID: thirdID, To: other, Name: "Ann", Text: "stays"})
	var out strings.Builder
	err := r.q.ExportNumber(ctx, phone, func(section string, row any) error {
		fmt.Fprintf(&out, "%s %+v\n", section, row)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Bob", "secret", "Topic", "private.txt", "inbox {"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the export lacks %q", want)
		}
	}
	if strings.Contains(out.String(), "stays") {
		t.Error("the export has another's")
	}
	for _, number := range []string{phone, third} {
		if _, err := r.q.EraseNumber(ctx, number); err != nil {
			t.Fatal(err)
		}
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- r.files.Run(run) }()
	waitFor(t, func() bool {
		return !r.files.Complete(f.ID) && !r.files.Complete(linked.ID) && !r.files.Complete(up.File.ID)
	})
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.nothingOf(phone, third, "Bob", "secret", "private", "linked", "own.txt")
	b.ask("GET", "/inbox/v1/me", nil).want(401)
}

// waitFor waits until something that goes on by itself has happened.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

func TestOldMessagesAndInboxesAreForgotten(t *testing.T) {
	r := newRig(t)
	b := r.signedIn(phone, "Bob")
	f := sms.File{ID: strings.Repeat("a", 26), Name: "f", Size: 1}
	if err := r.Chunk("north", mirror.Chunk{File: f, Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	r.tells("north", mirror.Inbox{ID: firstID, To: phone, Name: "Ann", Text: "old", Files: []sms.File{f}})
	later := func(d time.Duration) []thread {
		t.Helper()
		r.now = r.now.Add(d)
		if err := r.prune(); err != nil {
			t.Fatal(err)
		}
		return b.list("")
	}
	if all := later(29 * 24 * time.Hour); len(all) != 1 || all[0].Newest.Text != "old" {
		t.Errorf("after 29 days: %+v", all)
	}
	if all := later(2 * 24 * time.Hour); len(all) != 1 || !all[0].Newest.Erased || all[0].Newest.Text != "" || len(all[0].Newest.Files) != 0 {
		t.Errorf("after 31 days: %+v", all)
	}
	if all := later(70 * 24 * time.Hour); len(all) != 0 {
		t.Errorf("after 101 days: %+v", all)
	}
	r.nothingOf("Ann", "old")
	r.now = r.now.Add(unseenLife + 25*time.Hour)
	if err := r.prune(); err != nil {
		t.Fatal(err)
	}
	r.nothingOf("Bob", phone)
	if c := r.tells("north", mirror.Inbox{ID: firstID, To: phone, Name: "Ann", Text: "old"}); c != sms.CopySent {
		t.Errorf("a repetition after all that: %q", c)
	}
}

func TestOpenStreamsAreTheReachable(t *testing.T) {
	r := newRig(t)
	b := r.signedIn(phone, "Bob")
	door := httptest.NewServer(r)
	defer door.Close()
	who := func() string { return fmt.Sprint(r.Who(ctx, []string{other, phone})) }
	if got := who(); got != "[{false false} {true false}]" {
		t.Errorf("before: %s", got)
	}
	q, err := http.NewRequest("GET", door.URL+"/inbox/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Sec-Fetch-Site", "same-origin")
	q.AddCookie(b.cookie)
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(a.Body)
	next := func() string {
		for lines.Scan() {
			if kind, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				return kind
			}
		}
		return "end"
	}
	if got := next(); got != "changed" {
		t.Errorf("it begins with %q", got)
	}
	if got := who(); got != "[{false false} {true true}]" {
		t.Errorf("with a stream: %s", got)
	}
	r.tells("north", mirror.Inbox{ID: firstID, To: phone, Name: "Ann", Text: "live"})
	if got := next(); got != "changed" {
		t.Errorf("of a message it tells %q", got)
	}
	b.ask("POST", "/inbox/v1/leave", map[string]any{"everywhere": true}).want(200)
	if got := next(); got != "over" {
		t.Errorf("of the end it tells %q", got)
	}
	a.Body.Close()
	waitFor(t, func() bool { return who() == "[{false false} {true false}]" })
}

func TestTheClockIsSetAndABackupRestored(t *testing.T) {
	r := newRig(t)
	b := r.signedIn(phone, "Bob")
	began := r.now.Add(-time.Hour)
	r.now = r.now.Add(1000 * 24 * time.Hour)
	err := r.db.Write(func(tx *db.Tx) error {
		return errors.Join(r.ShiftTx(tx, 1000*24*time.Hour, began), r.files.ShiftTx(tx, 1000*24*time.Hour, began))
	})
	if err != nil {
		t.Fatal(err)
	}
	b.ask("GET", "/inbox/v1/me", nil).want(200)
	if err := r.prune(); err != nil {
		t.Fatal(err)
	}
	b.ask("GET", "/inbox/v1/me", nil).want(200)
	// Without what it replaces nobody knows who has signed out since.
	if err := r.db.Write(func(tx *db.Tx) error { return Restore(tx, false) }); err != nil {
		t.Fatal(err)
	}
	b.ask("GET", "/inbox/v1/me", nil).want(401)
}

func TestUploadsAreLimited(t *testing.T) {
	r := newRig(t)
	b := r.signedIn(phone, "Bob")
	b.ask("POST", "/inbox/v1/files?name=x", make([]byte, 1<<20)).want(201)
	b.ask("POST", "/inbox/v1/files?name=x", make([]byte, 1<<20+1)).want(413, "too-large")
	for range 30 {
		if b.ask("POST", "/inbox/v1/files?name=x", []byte("x")).Code == 429 {
			return
		}
	}
	t.Error("they are not")
}
