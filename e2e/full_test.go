//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3" // reads the file while the daemon is down
	"golang.org/x/sys/unix"

	"gatewayd/db"
	"gatewayd/sms"
)

// inOwnMounts runs this test again where it may mount what it likes: in a mount
// namespace, and for an ordinary user in a user namespace around it. It reports
// whether this is the run in there.
func inOwnMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv("E2E_MOUNTS") != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "E2E_MOUNTS=1", "E2E_BINARY="+binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in a mount namespace of its own: %v\n%s", err, out)
	}
	t.Logf("in a mount namespace of its own:\n%s", out)
	return false
}

// onSmallDisk puts the site's data_dir on a disk of its own.
func (s *site) onSmallDisk(size string) (dir string) {
	s.t.Helper()
	dir = filepath.Join(s.dir, "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			s.t.Error(err)
		}
	})
	return dir
}

// fill takes up all the room there is, at one moment: what the daemon gives up
// because of it is the daemon's.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		var disk unix.Statfs_t
		info, err := f.Stat()
		if err = errors.Join(err, unix.Fstatfs(int(f.Fd()), &disk)); err != nil {
			t.Fatal(err)
		}
		free := int64(disk.Bavail) * disk.Bsize
		if free == 0 {
			return
		}
		err = unix.Fallocate(int(f.Fd()), 0, info.Size(), free)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.ENOSPC) { // the daemon has taken some meanwhile
			t.Fatal(err)
		}
	}
}

// fillLog has SQLite's log take no more on a full disk, until release: what is written into
// a log that is there needs no room. A reader keeps it from being begun anew, and beside the
// daemon is committed what changes nothing, as long as there is room for that.
func fillLog(t *testing.T, dir string) (release func()) {
	t.Helper()
	d, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "gatewayd.db")+"?_busy_timeout=10000")
	if err != nil {
		t.Fatal(err)
	}
	var version int
	conn, err := d.Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "PRAGMA wal_autocheckpoint=0")
	}
	reader, beginErr := d.Begin()
	if err := errors.Join(err, beginErr); err != nil {
		t.Fatal(err)
	}
	err = reader.QueryRow("PRAGMA user_version").Scan(&version)
	for err == nil {
		_, err = conn.ExecContext(t.Context(), fmt.Sprintf("PRAGMA user_version=%d", version))
	}
	if full := (sqlite3.Error{}); !errors.As(err, &full) || full.Code != sqlite3.ErrFull {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(reader.Rollback(), conn.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	}
}

// withoutLog copies SQLite's log into the database, where there is room for that, so
// that a start has to make it anew: what is written into a log that is there needs
// no room, or does, as it happens to stand.
func withoutLog(t *testing.T, dir string) {
	t.Helper()
	aside := t.TempDir()
	move := func(from, to, name string) {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"gatewayd.db", "gatewayd.db-wal"} {
		move(dir, aside, name)
	}
	d, err := sql.Open("sqlite3", filepath.Join(aside, "gatewayd.db"))
	if err == nil {
		_, err = d.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
		err = errors.Join(err, d.Close())
	}
	for _, name := range []string{"gatewayd.db-wal", "gatewayd.db-shm"} {
		err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
	}
	if err != nil {
		t.Fatal(err)
	}
	move(aside, dir, "gatewayd.db")
}

// problem is an error as a client sees it.
type problem struct {
	Type, Title, Detail string
	RetryAfter          string
}

// tryPost posts a message; exactly one of the answers is not nil.
func (s *site) tryPost(to, text string) (*sms.Message, *problem) {
	s.t.Helper()
	body, _ := json.Marshal(map[string]string{"to": to, "text": text})
	req, err := http.NewRequest(http.MethodPost, s.base+"/v1/messages", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "application/json")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if r.StatusCode == http.StatusAccepted {
		var m sms.Message
		if err := json.Unmarshal(b, &m); err != nil {
			s.t.Fatal(err)
		}
		return &m, nil
	}
	p := &problem{RetryAfter: r.Header.Get("Retry-After")}
	if err := json.Unmarshal(b, p); err != nil || r.StatusCode != http.StatusServiceUnavailable || p.RetryAfter == "" {
		s.t.Fatalf("POST answered %d %s %s (%v)", r.StatusCode, r.Header, b, err)
	}
	return nil, p
}

// alarmsTold lists the alarm events of a code: begin, end.
func (s *site) alarmsTold(code string) (told []string) {
	s.t.Helper()
	for _, e := range s.events() {
		var a struct{ Code string }
		if kind, ok := strings.CutPrefix(e.Type, "alarm."); ok && json.Unmarshal(e.Data, &a) == nil && a.Code == code {
			told = append(told, kind)
		}
	}
	return told
}

// event is one of the log, as a client sees it.
type event struct {
	Type string
	Data json.RawMessage
}

// events is the log from its beginning.
func (s *site) events() (all []event) {
	s.t.Helper()
	for after := int64(0); ; {
		status, b := s.getJSON(fmt.Sprintf("/v1/events?after=%d&limit=500", after))
		var page struct {
			Events    []event
			NextAfter int64 `json:"next_after"`
		}
		if err := json.Unmarshal(b, &page); err != nil || status != http.StatusOK {
			s.t.Fatalf("%d %s (%v)", status, b, err)
		}
		all = append(all, page.Events...)
		if page.NextAfter == after {
			return all
		}
		after = page.NextAfter
	}
}

func (s *site) getJSON(path string) (int, []byte) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.base+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Accept", "application/json")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.StatusCode, b
}

// ledgers compares what clients were promised with what handsets got, and what
// handsets sent with what webhooks took: each once.
func (s *site) ledgers(promised map[string]string, sent []string, r *receiver) {
	s.t.Helper()
	texts := map[string]int{}
	for _, h := range s.net.Handsets() {
		for _, text := range h.Received() {
			texts[text]++
		}
	}
	for id, text := range promised {
		if texts[text] != 1 && !s.message(id).PossibleDuplicate {
			s.t.Errorf("message %s, %q, came %d times", id, text, texts[text])
		}
		if texts[text] == 0 {
			s.t.Errorf("message %s, %q, is lost", id, text)
		}
		delete(texts, text)
	}
	for text := range texts {
		s.t.Errorf("%q came, and nobody was promised it", text)
	}
	got, types, _ := r.taken()
	told := map[string]int{}
	for i, m := range got {
		if types[i] == "message.received" {
			told[m.Text]++
		} else {
			told[types[i]+" "+m.ID]++
		}
	}
	for _, text := range sent {
		if told[text] != 1 {
			s.t.Errorf("the received text %q was told %d times", text, told[text])
		}
	}
	for id := range promised {
		if n := told["message.delivered "+id]; n != 1 {
			s.t.Errorf("that message %s was delivered was told %d times", id, n)
		}
	}
}

// TestDiskFull fills the disk while messages flow. New ones are refused in
// words, what was promised is finished, texts go on being received, and all is
// well by itself once there is room again.
func TestDiskFull(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	r := newReceiver(t)
	s := newSite(t, 2, fast(), fmt.Sprintf(`disk: {reserve: 4MB, ballast: 4MB}
webhooks:
  - {url: %q, secret: %q, events: [message.received, message.delivered], allow_private: true}
`, r.server.URL, secret))
	dir := s.onSmallDisk("24m")
	s.start()
	promised, sent := map[string]string{}, []string{}
	post := func() *problem {
		text := fmt.Sprintf("out %d", len(promised))
		m, p := s.tryPost(fmt.Sprintf("+49170000%04d", len(promised)), text)
		if m != nil {
			promised[m.ID] = text
		}
		return p
	}
	receive := func() {
		text := fmt.Sprintf("in %d", len(sent))
		if err := s.net.Handset(fmt.Sprintf("+49171000%04d", len(sent))).Send(s.modems[0].Number(), text); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, text)
	}
	received := func() int {
		n := 0
		_, types, _ := r.taken()
		for _, kind := range types {
			if kind == "message.received" {
				n++
			}
		}
		return n
	}
	for range 40 {
		if p := post(); p != nil {
			t.Fatalf("there is room: %+v", p)
		}
	}
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	var refused *problem
	s.eventually("new messages are refused", 10*time.Second, func() bool { refused = post(); return refused != nil })
	if refused.Type != "/problems/disk-full" || !strings.Contains(refused.Title, "disk is full") {
		t.Errorf("%+v", refused)
	}
	for range 10 {
		receive()
	}
	s.eventually("what was received on a full disk was told", 60*time.Second, func() bool { return received() == len(sent) })
	for id := range promised {
		s.until(id, sms.Delivered, 60*time.Second)
	}
	if post() == nil {
		t.Error("a message was accepted on a full disk")
	}
	if status, b := s.call(http.MethodGet, "/readyz", ""); status != http.StatusServiceUnavailable || !bytes.Contains(b, []byte("disk is full")) {
		t.Errorf("/readyz answers %d %s", status, b)
	}
	if _, b := s.call(http.MethodGet, "/", ""); !bytes.Contains(b, []byte("The disk is full: new texts are refused.")) {
		t.Error("the status page does not say that the disk is full")
	}
	fill(t, filler)
	s.refuses(1, "no room for the copy", "backup", filepath.Join(dir, "copy.db"))
	if left, _ := filepath.Glob(filepath.Join(dir, "*copy*")); len(left) > 0 {
		t.Errorf("half a copy is left: %v", left)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.eventually("messages are accepted again", 20*time.Second, func() bool { return post() == nil })
	ballast := filepath.Join(dir, "ballast")
	exists := func() bool { _, err := os.Stat(ballast); return err == nil }
	s.eventually("the ballast is made again", 10*time.Second, exists)

	// Once more, and others use up what the ballast has left: nothing can be
	// booked any more, while parts are on the air and texts arrive. The network is
	// so slow that they are still on the air then.
	for id := range promised {
		s.until(id, sms.Delivered, 60*time.Second)
	}
	s.net.SetLatency(10*time.Second, 0)
	for range 20 {
		if p := post(); p != nil {
			t.Fatalf("there is room again: %+v", p)
		}
	}
	s.eventually("both modems send", 20*time.Second, func() bool {
		n := 0
		for _, m := range s.messages() {
			if m.Status == sms.Sending {
				n++
			}
		}
		return n == 2
	})
	fill(t, filler)
	s.eventually("the ballast is given up", 30*time.Second, func() bool { return !exists() })
	// What the ballast leaves is room enough to tell the alarm.
	s.eventually("the alarm is told again", 20*time.Second, func() bool { return fmt.Sprint(s.alarmsTold("disk-full")) == "[begin end begin]" })
	fill(t, filler)
	release := fillLog(t, dir)
	s.eventually("both outcomes wait to be booked", 30*time.Second, func() bool {
		fill(t, filler)
		waits := map[string]bool{}
		for line := range strings.Lines(s.log.withoutPolls()) {
			if _, of, ok := strings.Cut(line, "an outcome could not be booked"); ok {
				waits[strings.Fields(of[strings.Index(of, "modem=m"):])[0]] = true
			}
		}
		return len(waits) == 2
	})
	s.net.SetLatency(fast().Latency, fast().Jitter)
	for range 5 {
		receive()
	}
	if post() == nil {
		t.Error("a message was accepted where nothing can be written")
	}
	// A start on such a disk says what is the matter and leaves all as it is.
	release() // while the daemon has the file open too: who is the last one copies the log
	s.kill()
	withoutLog(t, dir)
	fill(t, filler)
	if _, errs, status := s.gatewayd("run", "--config", s.config); status != 1 || !strings.Contains(errs, "the disk is full") {
		t.Errorf("a start on a full disk: status %d, %s", status, errs)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.eventually("messages are accepted once more", 20*time.Second, func() bool { return post() == nil })
	s.eventually("all was told", 60*time.Second, func() bool {
		_, types, _ := r.taken()
		return len(types) == len(promised)+len(sent)
	})
	s.ledgers(promised, sent, r)
	s.eventually("the alarm is over", 10*time.Second, func() bool { return fmt.Sprint(s.alarmsTold("disk-full")) == "[begin end begin end]" })
}

// TestRingsFull fills both rings: nothing is dropped, the answer says why, and
// all goes on by itself.
func TestRingsFull(t *testing.T) {
	r := newReceiver(t)
	s := newSite(t, 1, fast(), fmt.Sprintf(`queue: {outbound_capacity: 4, inbound_capacity: 3}
webhooks:
  - {url: %q, secret: %q, events: [message.received], allow_private: true}
`, r.server.URL, secret))
	s.start()
	next := time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)
	later := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`{"to": "+49170000000%d", "text": "later", "send_at": %q}`, i, next))
		}
		return `{"messages": [` + strings.Join(all, ",") + `]}`
	}
	accepted := func(n int) (ids []string) {
		status, b := s.call(http.MethodPost, "/v1/messages/batch", later(n))
		var page struct{ Messages []sms.Message }
		if err := json.Unmarshal(b, &page); err != nil || status != http.StatusAccepted {
			t.Fatalf("%d %s (%v)", status, b, err)
		}
		for _, m := range page.Messages {
			ids = append(ids, m.ID)
		}
		return ids
	}
	depth := func() int {
		_, b := s.call(http.MethodGet, "/v1/queue", "")
		var rings sms.Rings
		if err := json.Unmarshal(b, &rings); err != nil {
			t.Fatal(err)
		}
		return rings.Outbound.Depth
	}

	// A slot whose message waits for nothing but a report is the first to go.
	s.net.Handset("+491700000009").SetOn(false)
	accepted(3)
	for i := range 3 {
		s.until(s.post("+491700000009", fmt.Sprint(i)).ID, sms.Sent, 20*time.Second)
	}
	if n := depth(); n != 4 {
		t.Errorf("%d slots are used, want 4", n)
	}
	// A batch goes in whole or not at all.
	if status, b := s.call(http.MethodPost, "/v1/messages/batch", later(2)); status != http.StatusServiceUnavailable {
		t.Errorf("a batch of two for one slot: %d %s", status, b)
	}
	ids := accepted(1)
	_, p := s.tryPost("+491700000001", "one too many")
	if p == nil || p.Type != "/problems/queue-full" {
		t.Fatalf("%+v", p)
	}
	s.eventually("the alarm begins", 20*time.Second, func() bool { return len(s.alarmsTold("queue-full")) == 1 })
	if _, b := s.call(http.MethodGet, "/", ""); !bytes.Contains(b, []byte("The queue is full: new texts are refused.")) {
		t.Error("the status page does not say that the queue is full")
	}
	if status, b := s.call(http.MethodDelete, "/v1/messages/"+ids[0], ""); status != http.StatusOK {
		t.Fatalf("%d %s", status, b)
	}
	s.until(s.post("+491700000002", "there is room").ID, sms.Delivered, 20*time.Second)
	s.eventually("the alarm is over", 20*time.Second, func() bool { return fmt.Sprint(s.alarmsTold("queue-full")) == "[begin end]" })

	// A reader of the log that does not get on holds the received messages.
	s.sql(`INSERT INTO cursors (reader, seq) SELECT 'slow', max(seq) FROM events`)
	const texts = 5 // two are held: they can't fill the three slots again on their way
	for i := range texts {
		if err := s.net.Handset(phone).Send(s.modems[0].Number(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	came := func() (all []string) {
		got, _, _ := r.taken()
		for _, m := range got {
			all = append(all, m.Text)
		}
		return all
	}
	s.eventually("the ring is full and says so", 30*time.Second, func() bool { return len(s.alarmsTold("inbound-full")) == 1 })
	s.eventually("the modem says why it does not read on", 30*time.Second, func() bool {
		return strings.Contains(s.modemsNow()["m1"].Reason, "inbound ring is full")
	})
	s.eventually("what is in the ring is told", 30*time.Second, func() bool { return len(came()) >= 3 })
	if got := came(); len(got) != 3 {
		t.Errorf("%v came through a ring of three", got)
	}
	m := s.post("+491700000002", "sending goes on")
	s.eventually("sending goes on", 20*time.Second, func() bool { return len(s.net.Handset(m.To).Received()) == 2 })
	s.sql(`DELETE FROM cursors WHERE reader = 'slow'`)
	s.eventually("everything has come", 90*time.Second, func() bool { return len(came()) >= texts })
	if got := fmt.Sprint(came()); got != "[0 1 2 3 4]" {
		t.Errorf("came %s", got)
	}
	s.until(m.ID, sms.Delivered, 20*time.Second)
	s.eventually("the alarm is over", 20*time.Second, func() bool { return fmt.Sprint(s.alarmsTold("inbound-full")) == "[begin end]" })
}

// sql changes the database beside the daemon.
func (s *site) sql(query string) {
	s.t.Helper()
	d, err := db.Open(context.Background(), db.Options{Dir: filepath.Join(s.dir, "data")})
	if err != nil {
		s.t.Fatal(err)
	}
	err = d.Write(func(tx *db.Tx) error { _, err := tx.Exec(query); return err })
	if err := errors.Join(err, d.Close()); err != nil {
		s.t.Fatal(err)
	}
}
