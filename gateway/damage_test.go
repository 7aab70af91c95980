package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"gatewayd/api/conform"
	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/sms"
)

// spoil overwrites all of the database but its first pages, and has its
// connection forget what it remembers of the rest.
func spoil(t *testing.T, w *world) {
	t.Helper()
	if err := w.g.database.Scrub(context.Background()); err != nil { // the log has copies of pages
		t.Fatal(err)
	}
	f, err := os.OpenFile(w.g.database.Path(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() }) // after the database: closing takes its locks away
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	const first = 4096
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xA5}, int(info.Size())-first), first); err != nil {
		t.Fatal(err)
	}
	if err := w.g.database.Write(func(tx *db.Tx) error { _, err := tx.Exec(`PRAGMA shrink_memory`); return err }); err != nil {
		t.Fatal(err)
	}
}

// A file that turns out to be damaged stops everything, in words: new messages
// get 503, nothing is sent, what comes stays in the modem, and the file is left
// as it is.
func TestDamagedFileStopsTheGateway(t *testing.T) {
	var logs bytes.Buffer
	inWorld(t, 1, air(), func(w *world) {
		w.restart(func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&logs, nil)) })
		token, _, err := w.g.Keys().Create(context.Background(), "x", []auth.Scope{auth.Admin}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		post := func() *httptest.ResponseRecorder {
			r := httptest.NewRequest("POST", "/v1/messages", strings.NewReader(`{"to": "`+phone+`", "text": "x"}`))
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Content-Type", "application/json")
			return asDocumented(t, w.g.server.Handler, r)
		}
		w.until(w.submit(phone, "before").ID, sms.Delivered, 2*time.Minute)
		if answer := post(); answer.Code != 202 {
			t.Fatalf("before: %d %s", answer.Code, answer.Body)
		}
		w.pass(time.Minute)
		sent := len(w.net.Accepted())
		spoil(t, w)
		post() // finds it
		before, err := os.ReadFile(w.g.database.Path())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.net.Handset(phone).Send(w.modems[0].Number(), "comes now"); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Hour)
		answer := post()
		if answer.Code != 503 || !strings.Contains(answer.Body.String(), "database-damaged") || !strings.Contains(answer.Body.String(), "gatewayd restore") || answer.Header().Get("Retry-After") == "" {
			t.Errorf("%d %v %s", answer.Code, answer.Header(), answer.Body)
		}
		ready := asDocumented(t, w.g.server.Handler, httptest.NewRequest("GET", "/readyz", nil))
		if ready.Code != 503 || !strings.Contains(ready.Body.String(), "damaged") {
			t.Errorf("/readyz: %d %s", ready.Code, ready.Body)
		}
		if got := w.net.Accepted(); len(got) != sent {
			t.Errorf("%d parts went out after the damage", len(got)-sent)
		}
		w.end()
		w.stop, w.done = func() {}, make(chan error, 1)
		close(w.done)
		if after, err := os.ReadFile(w.g.database.Path()); err != nil || !bytes.Equal(before, after) {
			t.Errorf("the file was written to: %v", err)
		}
	})
	if n := strings.Count(logs.String(), "the database file is damaged: nothing is accepted"); n != 1 || !strings.Contains(logs.String(), "gatewayd restore") {
		t.Errorf("it was said %d times:\n%s", n, logs.String())
	}
	lines := strings.Count(logs.String(), "\n")
	t.Logf("%d lines were logged", lines)
	if lines > 2000 {
		t.Errorf("an hour of standing still filled %d lines of the log", lines)
	}
}

// asDocumented asks, and holds the answer against the OpenAPI document.
func asDocumented(t *testing.T, h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	doc, err := conform.Load("../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	if err := doc.Check(r, answer.Code, answer.Header(), answer.Body.Bytes()); err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	return answer
}
