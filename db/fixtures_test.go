package db_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
	"gatewayd/webhook"
)

var update = flag.Bool("update", false, "make the fixtures that are missing in testdata/schemas")

func fixture(version int64) string {
	return filepath.Join("testdata", "schemas", fmt.Sprintf("%04d.sql.gz", version))
}

// The fixture of a schema version is what a killed gatewayd of that version
// left. Each is made once, by the code of its time, and never again; 1 to 6 are
// the rows of 7 without what these versions did not have.
func TestEverySchemaEverReleasedOpens(t *testing.T) {
	versions := db.Schemas(t)
	for i, version := range versions {
		if _, err := os.Stat(fixture(version)); err == nil {
			continue
		}
		if !*update {
			t.Errorf("schema %d has no fixture: make it with go test ./db -run TestEverySchemaEverReleasedOpens -args -update", version)
			continue
		}
		dir := t.TempDir()
		if i == len(versions)-1 {
			synctest.Test(t, func(t *testing.T) { story(t, dir) })
		} else { // its code is gone: it was never released alone
			load(t, dir, versions[i-1])
			db.SchemaAt(t, dir, version)
		}
		if err := os.WriteFile(fixture(version), dump(t, dir), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range versions {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			dir := t.TempDir()
			load(t, dir, version)
			synctest.Test(t, func(t *testing.T) { goesOn(t, dir, version) })
		})
	}
}

// load makes the database of a fixture.
func load(t *testing.T, dir string, version int64) {
	t.Helper()
	f, err := os.Open(fixture(version))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(unzip)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := sql.Open("sqlite3", db.DSN(dir)+"&_foreign_keys=off")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	if _, err := pool.Exec(string(b)); err != nil {
		t.Fatalf("fixture %d: %v", version, err)
	}
}

// dump writes a database as SQL, compressed.
func dump(t *testing.T, dir string) []byte {
	t.Helper()
	pool, err := sql.Open("sqlite3", db.DSN(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	strs := func(query string, args ...any) (all []string) {
		t.Helper()
		rows, err := pool.Query(query, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		return all
	}
	var zipped bytes.Buffer
	b := gzip.NewWriter(&zipped)
	for _, name := range []string{"application_id", "user_version"} {
		fmt.Fprintf(b, "PRAGMA %s = %s;\n", name, strs("PRAGMA " + name)[0])
	}
	io.WriteString(b, "BEGIN;\n")
	tables := strs(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid`)
	for _, table := range tables {
		fmt.Fprintln(b, strs(`SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?`, table)[0]+";")
	}
	io.WriteString(b, "DELETE FROM sqlite_sequence;\n")
	for _, table := range append(tables, "sqlite_sequence") {
		columns := strs(`SELECT name FROM pragma_table_info(?)`, table)
		quoted := `quote("` + strings.Join(columns, `") || ',' || quote("`) + `")`
		for _, row := range strs(`SELECT ` + quoted + ` FROM ` + table) {
			fmt.Fprintf(b, "INSERT INTO %s VALUES (%s);\n", table, row)
		}
	}
	for _, index := range strs(`SELECT sql FROM sqlite_master WHERE type <> 'table' AND sql IS NOT NULL ORDER BY rowid`) {
		fmt.Fprintln(b, index+";")
	}
	io.WriteString(b, "COMMIT;\n")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return zipped.Bytes()
}

const (
	sim    = "89490000000000000015"
	shop   = "+491700000001"
	friend = "+491700000002"
)

// day is when the story's texts were sent; virtual time begins then.
var day = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

type gateway struct {
	t    *testing.T
	db   *db.DB
	q    *queue.Queue
	mu   sync.Mutex
	told []string
	stop func()
}

func start(t *testing.T, dir string) *gateway {
	t.Helper()
	ctx := context.Background()
	g := &gateway{t: t}
	var err error
	if g.db, err = db.Open(ctx, db.Options{Dir: dir, SingleConn: true}); err != nil {
		t.Fatal(err)
	}
	if g.q, err = queue.Open(ctx, g.db, queue.Options{}); err != nil {
		t.Fatal(err)
	}
	secret := "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	w, err := webhook.New(webhook.Options{Queue: g.q, DB: g.db, Transport: g,
		Endpoints: []webhook.Endpoint{{Name: "shop", URL: "https://shop.example/hook", Secret: secret, Events: []string{"*"}}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = w.Run(ctx) }()
	g.stop = func() {
		cancel()
		<-ended
		if err := g.db.Close(); err != nil {
			t.Error(err)
		}
	}
	return g
}

// RoundTrip is the webhook's receiver. It is down while the story is told.
func (g *gateway) RoundTrip(req *http.Request) (*http.Response, error) {
	var e struct {
		Type string
		Data sms.Message
	}
	if err := json.NewDecoder(req.Body).Decode(&e); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	status := http.StatusServiceUnavailable
	if g.told != nil {
		status = http.StatusNoContent
		g.told = append(g.told, e.Type+" "+e.Data.Text)
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
}

func (g *gateway) submit(to, text string, more ...func(*sms.Message)) sms.Message {
	g.t.Helper()
	d := queue.Draft{Message: sms.Message{To: to, Text: text, Priority: sms.DefaultPriority, DeliveryReport: true}, KeyID: "k"}
	for _, f := range more {
		f(&d.Message)
	}
	m, _, err := g.q.Submit(context.Background(), []queue.Draft{d}, &queue.Idempotency{KeyID: "k", Key: text, Body: []byte(text)})
	if err != nil {
		g.t.Fatal(err)
	}
	return m[0]
}

func (g *gateway) start(m sms.Message, part int) {
	g.t.Helper()
	ok, err := g.q.Advance(nil, &queue.Start{Row: m.Row, Part: part, Modem: "office", SIM: sim, Local: "+491700000000", Ref: 7, ExpectedMR: -1})
	if err != nil || !ok {
		g.t.Fatal(m.Text, ok, err)
	}
}

func (g *gateway) book(m sms.Message, part int, fate queue.Fate) {
	g.t.Helper()
	v := &queue.Verdict{Row: m.Row, Part: part, Fate: fate, MR: int(m.Row)*3 + part}
	if fate != queue.PartConfirmed {
		v.Err = &sms.Error{Code: "unassigned-number", Title: "There is no such number", Class: sms.Permanent}
	}
	if _, err := g.q.Advance(v, nil); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) receive(raw ...[]byte) {
	g.t.Helper()
	for i, p := range raw {
		in := sms.Incoming{Modem: "office", ICCID: sim, Number: "+491700000000", PDU: p, Storage: "ME", Index: i + 1, At: time.Now()}
		if err := g.q.Receive(in); err != nil {
			g.t.Fatal(err)
		}
		if err := g.q.Deleted(sim, "ME", i+1); err != nil {
			g.t.Fatal(err)
		}
	}
}

func (g *gateway) texts(from, text string) [][]byte {
	g.t.Helper()
	raw, err := pdu.EncodeText("+491710760000", from, text, day, 9)
	if err != nil {
		g.t.Fatal(err)
	}
	return raw
}

func long(text string) string { return text + strings.Repeat(" and more", 20) }

// story is a day of a gateway, up to its kill. What older fixtures know must
// stay in it; what a new version adds goes to the end, and goesOn looks for it
// from that version on.
func story(t *testing.T, dir string) {
	g := start(t, dir)
	token, _, err := auth.New(g.db).Create(context.Background(), "shop", []auth.Scope{auth.Send}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	g.submit(shop, "key "+token, func(m *sms.Message) { m.SendAt = time.Now().Add(24 * time.Hour) })
	g.submit(shop, "queued")
	g.submit(friend, long("queued, long"))
	g.submit(friend, "scheduled", func(m *sms.Message) { m.SendAt = time.Now().Add(2 * time.Hour) })
	g.submit(shop, "expires", func(m *sms.Message) { m.ExpiresAt = time.Now().Add(30 * time.Minute) })
	if _, err := g.q.Cancel(context.Background(), g.submit(shop, "canceled").ID); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"on the air", "on the air, fails", "doubtful", "failed", "sent", "delivered", long("half sent")} {
		m := g.submit(shop, text, func(m *sms.Message) {
			if strings.HasSuffix(text, "fails") {
				m.OnUnconfirmed = sms.Fail
			}
		})
		time.Sleep(10 * time.Second)
		g.start(m, 1)
		switch {
		case text == "doubtful":
			g.book(m, 1, queue.PartUnconfirmed)
		case text == "failed":
			g.book(m, 1, queue.PartFailed)
		case text == "sent", text == "delivered", m.Parts > 1:
			g.book(m, 1, queue.PartConfirmed)
		}
		if text == "delivered" {
			g.receive(pdu.EncodeReport("+491710760000", pdu.Report{MR: byte(m.Row*3 + 1), To: shop, SCTS: time.Now(), Discharge: time.Now()}))
		}
		if m.Parts > 1 {
			g.start(m, 2)
		}
	}
	g.receive(g.texts(friend, "received")...)
	g.receive(g.texts(friend, long("received, long"))...)
	g.receive(g.texts(friend, long("half received"))[0])
	g.receive(g.texts("+491700000003", "STOP")...)
	g.stop() // what is on the air stays so in the file
}

// goesOn opens what the story left with the code of today: everything is there,
// and goes on where it was.
func goesOn(t *testing.T, dir string, version int64) {
	time.Sleep(30 * time.Minute) // the story is over
	g := start(t, dir)
	defer g.stop()
	ctx := context.Background()
	want := func(when string, count int, wants map[string]sms.Status) {
		t.Helper()
		page, _, err := g.q.List(ctx, queue.Filter{Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		is := map[string]sms.Status{}
		for _, m := range page {
			text, more := strings.CutSuffix(m.Text, strings.Repeat(" and more", 20))
			if strings.Contains(text, "long") != more && !strings.HasPrefix(text, "half") {
				t.Errorf("a text of %d parts is %q", m.Parts, m.Text)
			}
			if strings.HasPrefix(text, "key ") {
				text = "key"
			}
			is[text] = m.Status
		}
		for text, status := range wants {
			if is[text] != status {
				t.Errorf("%s: %q is %q and not %s", when, text, is[text], status)
			}
		}
		if len(is) != count {
			t.Errorf("%s: there are %d messages: %v", when, len(is), is)
		}
	}
	want("opened", 16, map[string]sms.Status{
		"key": sms.Scheduled, "queued": sms.Queued, "queued, long": sms.Queued, "scheduled": sms.Scheduled, "expires": sms.Queued,
		"canceled": sms.Canceled, "on the air": sms.Unconfirmed, "on the air, fails": sms.Unconfirmed, "doubtful": sms.Unconfirmed,
		"failed": sms.Failed, "sent": sms.Sent, "delivered": sms.Delivered, "half sent": sms.Unconfirmed,
		"received": sms.Received, "received, long": sms.Received, "STOP": sms.Received,
	})

	// The rest of the text that was half there comes.
	g.receive(g.texts(friend, long("half received"))[1])
	time.Sleep(3 * time.Hour)
	for _, due := range []func(time.Time) (time.Time, error){g.q.ReleaseDue, g.q.ExpireDue, g.q.SettleUnconfirmed} {
		if _, err := due(time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	var waiting []queue.Waiting
	for _, b := range g.q.Backlogs() {
		found, err := g.q.TakeIn(ctx, sms.DefaultPriority, b.Key, []string{""}, math.MaxInt64, 100)
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, found...)
	}
	for _, w := range waiting {
		j, err := g.q.Job(ctx, w.Row, sim)
		if err != nil {
			t.Fatal(err)
		}
		for part := j.Next; part <= j.Parts; part++ {
			g.start(j.Message, part)
			g.book(j.Message, part, queue.PartConfirmed)
		}
	}
	want("sent", 17, map[string]sms.Status{
		"queued": sms.Sent, "queued, long": sms.Sent, "scheduled": sms.Sent, "expires": sms.Expired, "on the air": sms.Sent,
		"on the air, fails": sms.Failed, "doubtful": sms.Sent, "half sent": sms.Sent, "half received": sms.Received,
	})

	g.mu.Lock()
	g.told = []string{}
	g.mu.Unlock()
	time.Sleep(24 * time.Hour)
	synctest.Wait()
	told := []string{"message.sent on the air"}
	if version >= 3 { // before there were no webhooks: a new one is told what is new
		told = append(told, "message.queued queued", "message.failed failed", "message.delivered delivered", "message.received received", "message.received STOP")
	}
	g.mu.Lock()
	for _, event := range told {
		if !slices.Contains(g.told, event) {
			t.Errorf("the webhook was not told %s", event)
		}
	}
	g.mu.Unlock()

	if stopped := g.submit("+491700000003", "after STOP"); stopped.Status == sms.Queued {
		if m, err := g.q.Message(ctx, stopped.ID); err != nil || m.Status != sms.Failed {
			t.Errorf("a number that said STOP gets %+v, %v", m, err)
		}
	}
	again, replayed, err := g.q.Submit(ctx, []queue.Draft{{Message: sms.Message{To: shop, Text: "queued"}, KeyID: "k"}},
		&queue.Idempotency{KeyID: "k", Key: "queued", Body: []byte("queued")})
	if err != nil || !replayed || len(again) != 1 {
		t.Errorf("the same request again: %v, %v", replayed, err)
	}
	if version >= 2 {
		page, _, err := g.q.List(ctx, queue.Filter{Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			if token, ok := strings.CutPrefix(m.Text, "key "); ok {
				if _, err := auth.New(g.db).Check(ctx, token); err != nil {
					t.Errorf("the key: %v", err)
				}
			}
		}
	}
}
