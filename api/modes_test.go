package api

import (
	"bytes"
	"context"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/sms"
)

// reachable is a link to a hub by which some numbers can be reached.
type reachable struct {
	down    bool
	inboxes map[string]bool
}

func (r *reachable) Belongs() bool     { return true }
func (r *reachable) Up() bool          { return !r.down }
func (r *reachable) Since() time.Time  { return time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC) }
func (r *reachable) PublicURL() string { return "https://hub.example" }

func (r *reachable) Who(_ context.Context, numbers []string) ([]chat.Presence, error) {
	people := make([]chat.Presence, len(numbers))
	for i, n := range numbers {
		people[i].Online = r.inboxes[n]
		_, people[i].Inbox = r.inboxes[n]
	}
	return people, nil
}

type sentMessage struct {
	ID, Text, Via string
	Status        sms.Status
	Mode          *string
	Copy          *string `json:"internet_copy"`
	Subject       *string
	Files         []sms.File
}

// putFile posts a file as a browser does.
func (b *box) putFile(media string, body []byte) *answer {
	b.t.Helper()
	r := httptest.NewRequest("POST", "/v1/files?name=key.png", bytes.NewReader(body))
	r.Header.Set("Content-Type", media)
	r.Header.Set("Authorization", "Bearer "+b.send)
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return &answer{t: b.t, what: "POST /v1/files", ResponseRecorder: w}
}

const picture = "\x89PNG\r\n\x1a\n and nothing more"

// A message goes by the way that its mode says, and the answer tells which.
func TestModesThroughTheAPI(t *testing.T) {
	net := &reachable{inboxes: map[string]bool{"+491711111111": true}}
	b := newBox(t, settings{net: net})
	by := bearer(b.send)
	var hub struct {
		Hub struct {
			Belongs, Up bool
			Since       *time.Time
			PublicURL   *string `json:"public_url"`
		}
		Limits struct {
			FileBytes int `json:"file_bytes"`
		}
	}
	b.ask("GET", "/v1/chat", bearer(b.read), "").want(200).into(&hub)
	if !hub.Hub.Belongs || !hub.Hub.Up || hub.Hub.Since == nil || *hub.Hub.PublicURL != "https://hub.example" || hub.Limits.FileBytes != 25<<20 {
		t.Errorf("%+v", hub)
	}
	var v struct {
		ID        string
		Reachable []string
		Online    bool
	}
	b.ask("POST", "/v1/conversations", by, `{"to":"+491711111111","our_name":"The shop"}`).want(201).into(&v)
	if strings.Join(v.Reachable, " ") != "internet sms" || !v.Online {
		t.Errorf("%+v", v)
	}
	to := "/v1/conversations/" + v.ID + "/messages"
	var file sms.File
	b.putFile("image/png", []byte(picture)).want(201).into(&file)
	var m sentMessage
	b.ask("POST", to, by, `{"text":"This one","mode":"sms","subject":"Keys","files":["`+file.ID+`"]}`).want(202).into(&m)
	if m.Via != "sms" || m.Copy == nil || *m.Copy != "not-sent" || m.Text != "The shop: [Keys] This one\nhttps://hub.example/f/"+file.ID || len(m.Files) != 1 || *m.Subject != "Keys" {
		t.Errorf("%+v", m)
	}
	b.ask("POST", to, by, `{"text":"","mode":"auto","files":["`+file.ID+`"]}`).want(202).into(&m)
	if m.Via != "internet" || m.Text != "" {
		t.Errorf("%+v", m)
	}
	net.down = true
	b.ask("POST", to, by, `{"text":"now","mode":"internet"}`).problem(linkDown, "mode")
	b.ask("POST", to, by, `{"text":"later","mode":"offline"}`).want(202).into(&m)
	if m.Via != "internet" || m.Status != sms.Queued || *m.Mode != "offline" {
		t.Errorf("%+v", m)
	}
	b.ask("DELETE", "/v1/messages/"+m.ID, by, "").want(200).into(&m)
	if m.Status != sms.Canceled {
		t.Errorf("%+v", m)
	}
	for tag, want := range map[string]int{"sms": 1, "internet": 2} {
		var page struct{ Messages []sentMessage }
		b.ask("GET", to+"?tag="+tag, bearer(b.read), "").want(200).into(&page)
		if len(page.Messages) != want || page.Messages[0].Via != tag {
			t.Errorf("%s: %+v", tag, page)
		}
	}
	b.ask("GET", to+"?tag=pigeon", bearer(b.read), "").problem(invalidFields, "tag")
	b.ask("POST", to, by, `{"text":"x","mode":"pigeon"}`).problem(invalidFields, "mode")
	b.ask("POST", to, by, `{"text":""}`).problem(invalidFields, "text")
}

// A file is shown as what it looks like, and runs nothing whatever it is.
func TestFiles(t *testing.T) {
	b := newBox(t, settings{})
	get := func(id string, h header) *answer { return b.ask("GET", "/v1/files/"+id, h, "") }
	var f sms.File
	b.putFile("text/html", []byte(picture)).want(201).into(&f)
	if f.Name != "key.png" || f.Type != "image/png" || f.Size != int64(len(picture)) {
		t.Errorf("%+v", f)
	}
	got := get(f.ID, bearer(b.read)).want(200)
	if got.Body.String() != picture || !strings.HasPrefix(got.Header().Get("Content-Disposition"), "inline") || got.Header().Get("Content-Type") != "image/png" {
		t.Errorf("%q %v", got.Body, got.Header())
	}
	if part := get(f.ID, bearer(b.read).with("Range", "bytes=1-3")); part.Code != 206 || part.Body.String() != "PNG" {
		t.Errorf("%d %q", part.Code, part.Body)
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", `../"evil".html`)
	if err != nil {
		t.Fatal(err)
	}
	part.Write([]byte("<script>alert(1)</script>"))
	w.Close()
	r := httptest.NewRequest("POST", "/v1/files", &form)
	r.Header.Set("Content-Type", w.FormDataContentType())
	r.Header.Set("Authorization", "Bearer "+b.send)
	rec := httptest.NewRecorder()
	b.handler.ServeHTTP(rec, r)
	(&answer{t: t, what: "POST /v1/files", ResponseRecorder: rec}).want(201).into(&f)
	got = get(f.ID, bearer(b.read)).want(200)
	h := got.Header()
	if !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || strings.ContainsAny(h.Get("Content-Disposition"), `"<`) || h.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%v", h)
	}
	get("nothing", bearer(b.read)).problem(notFound)
	b.putFile("image/png", nil).problem(invalidFields, "file")
	b.putFile("nonsense/", []byte("x")).problem(wrongMediaType)
	b.putFile("video/mp4", make([]byte, 25<<20+1)).problem(tooLarge)
	if code := get(f.ID, bearer(b.keyFor("watch"))).Code; code != http.StatusForbidden {
		t.Errorf("a watcher gets %d", code)
	}
}

// A group is written to whole or in part, each member by the way that reaches it; one
// with two numbers at the one that somebody looks at.
func TestGroupModes(t *testing.T) {
	net := &reachable{inboxes: map[string]bool{"+491711111111": false, "+491722222229": true}}
	b := newBox(t, settings{net: net})
	by := bearer(b.send)
	var g struct{ ID string }
	b.ask("POST", "/v1/groups", by, `{"name":"Team"}`).want(201).into(&g)
	var ids []string
	for name, numbers := range map[string]string{"Inbox": `"+491711111111"`, "Two": `"+491722222222","+491722222229"`, "Phone": `"+491733333333"`} {
		var c struct{ ID string }
		b.ask("POST", "/v1/contacts", by, `{"name":"`+name+`","numbers":[`+numbers+`],"groups":["`+g.ID+`"]}`).want(201).into(&c)
		if name != "Phone" {
			ids = append(ids, c.ID)
		}
	}
	type result struct {
		Name, Number, State string
		Via, Message        *string
		Error               *struct{ Type string }
	}
	var got struct {
		Accepted, Refused int
		Results           []result
	}
	to := "/v1/groups/" + g.ID + "/messages"
	b.ask("POST", to, by, `{"text":"hello","mode":"auto","subject":"Tonight","client_id":"g1"}`).want(202).into(&got)
	ways := map[string]string{}
	for _, r := range got.Results {
		if r.Via != nil {
			ways[r.Name] = r.Number + " " + *r.Via
		}
	}
	if got.Accepted != 3 || ways["Inbox"] != "+491711111111 internet" || ways["Two"] != "+491722222229 internet" || ways["Phone"] != "+491733333333 sms" {
		t.Errorf("%v %+v", ways, got)
	}
	first := got
	net.down = true // and the same again sends nothing twice
	b.ask("POST", to, by, `{"text":"hello","mode":"auto","subject":"Tonight","client_id":"g1"}`).want(202).into(&got)
	for i, r := range got.Results {
		if r.Message == nil || *r.Message != *first.Results[i].Message {
			t.Errorf("again: %+v, before %+v", r, first.Results[i])
		}
	}
	net.down = false
	b.ask("POST", to, by, `{"text":"only you","mode":"internet","members":["`+strings.Join(ids, `","`)+`"]}`).want(202).into(&got)
	if got.Accepted != 2 || len(got.Results) != 2 {
		t.Errorf("%+v", got)
	}
	b.ask("POST", to, by, `{"text":"x","mode":"internet"}`).want(202).into(&got)
	if got.Refused != 1 || got.Accepted != 2 {
		t.Errorf("%+v", got)
	}
	b.ask("POST", to, by, `{"text":"x","members":["con_nobody"]}`).problem(invalidFields, "members/0")
	b.ask("POST", to, by, `{"text":"x","members":[]}`).problem(invalidFields, "members")
}

// The page of a group offers the ways and its members, and tells who was reached how.
func TestGroupPageModes(t *testing.T) {
	net := &reachable{inboxes: map[string]bool{"+491711111111": true}}
	b := newBox(t, settings{net: net})
	by := bearer(b.send)
	var g, c struct{ ID string }
	b.ask("POST", "/v1/groups", by, `{"name":"Team"}`).want(201).into(&g)
	for name, number := range map[string]string{"Anna": "+491711111111", "Bert": "+491722222222"} {
		b.ask("POST", "/v1/contacts", by, `{"name":"`+name+`","numbers":["`+number+`"],"groups":["`+g.ID+`"]}`).want(201)
	}
	b.ask("POST", "/v1/contacts", by, `{"name":"Carl","numbers":["+491733333333"],"groups":["`+g.ID+`"]}`).want(201).into(&c)
	anna := b.signInAs(auth.Person{Name: "anna", Role: auth.Operator}).with("Sec-Fetch-Site", "same-origin")
	body := func(a *answer) string { return a.want(200).Body.String() }
	if got := body(b.ask("GET", "/contacts?group="+g.ID, anna, "")); !strings.Contains(got, `name="mode"`) || !strings.Contains(got, `name="member" value="`+c.ID) || !strings.Contains(got, "online") {
		t.Errorf("%s", got)
	}
	if got := body(b.form("/contacts", anna, "do", "write", "text", "hello", "mode", "internet", "group", g.ID, "client_id", "c1")); !strings.Contains(got, "1 by internet, 0 by SMS.") || !strings.Contains(got, "has no inbox") {
		t.Errorf("%s", got)
	}
	got := b.form("/contacts", anna, "do", "write", "text", "", "mode", "offline", "subject", "Tonight", "group", g.ID, "member", c.ID).want(422).Body.String()
	if !strings.Contains(got, `value="Tonight"`) || !strings.Contains(got, `value="`+c.ID+`" checked`) || !strings.Contains(got, `value="offline" selected`) {
		t.Errorf("%s", got)
	}
	if got := body(b.form("/contacts", anna, "do", "write", "text", "you", "mode", "offline", "group", g.ID, "member", c.ID, "client_id", "c2")); !strings.Contains(got, "1 message is on its way") {
		t.Errorf("%s", got)
	}
	plain := newBox(t, settings{})
	plain.ask("POST", "/v1/groups", bearer(plain.send), `{"name":"Team"}`).want(201).into(&g)
	bert := plain.signInAs(auth.Person{Name: "bert", Role: auth.Operator})
	if got := body(plain.ask("GET", "/contacts?group="+g.ID, bert, "")); strings.Contains(got, `name="mode"`) {
		t.Error("ways are offered without a hub")
	}
}

// A form of a group takes files along; what was stored at a try that failed goes with the next.
func TestGroupPageFiles(t *testing.T) {
	b := newBox(t, settings{net: &reachable{inboxes: map[string]bool{"+491711111111": true}}})
	by := bearer(b.send)
	var g, c struct{ ID string }
	b.ask("POST", "/v1/groups", by, `{"name":"Team"}`).want(201).into(&g)
	b.ask("POST", "/v1/contacts", by, `{"name":"Anna","numbers":["+491711111111"],"groups":["`+g.ID+`"]}`).want(201).into(&c)
	anna := b.signInAs(auth.Person{Name: "anna", Role: auth.Operator}).with("Sec-Fetch-Site", "same-origin")
	send := func(files int, values ...string) *answer {
		t.Helper()
		var form strings.Builder
		w := multipart.NewWriter(&form)
		for i := 0; i < len(values); i += 2 {
			if err := w.WriteField(values[i], values[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		for i := range files {
			part, err := w.CreateFormFile("file", fmt.Sprintf("picture %d.txt", i))
			if err == nil {
				_, err = part.Write([]byte("its content"))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		return b.ask("POST", "/contacts", anna.with("Content-Type", w.FormDataContentType()), form.String())
	}
	sent := func(text string) (m struct{ Files []sms.File }) {
		t.Helper()
		var list struct {
			Messages []struct {
				Text  string
				Files []sms.File
			}
		}
		b.ask("GET", "/v1/messages?q="+text, bearer(b.read), "").want(200).into(&list)
		if len(list.Messages) != 1 {
			t.Fatalf("%d messages %q", len(list.Messages), text)
		}
		m.Files = list.Messages[0].Files
		return m
	}
	send(2, "do", "write", "group", g.ID, "client_id", "f1", "mode", "internet", "text", "look").want(200)
	if m := sent("look"); len(m.Files) != 2 || m.Files[0].Name != "picture 0.txt" || m.Files[1].Size != 11 {
		t.Errorf("it has %+v", m.Files)
	}
	page := send(30, "do", "write", "group", g.ID, "mode", "internet", "text", "many").want(422).Body.String()
	kept := regexp.MustCompile(`name="file" value="([^"]+)" checked> <span>picture \d+\.txt`).FindAllStringSubmatch(page, -1)
	if len(kept) != 11 { // the first that is too much tells; those after it are not stored
		t.Fatalf("%d files of 30 are kept for the next try, of which 10 may go", len(kept))
	}
	send(0, "do", "write", "group", g.ID, "mode", "internet", "text", "many", "file", kept[0][1], "file", kept[9][1], "client_id", "f2").want(200)
	if m := sent("many"); len(m.Files) != 2 || m.Files[1].Name != "picture 9.txt" {
		t.Errorf("it has %+v", m.Files)
	}
	// As many members as a group may have can be ticked.
	members := []string{"do", "write", "group", g.ID, "mode", "internet", "text", "x"}
	for range 1000 {
		members = append(members, "member", c.ID)
	}
	send(0, members...).want(200)
	members = append(members, "text", strings.Repeat("x", maxGroupForm))
	send(0, members...).want(400)
}
