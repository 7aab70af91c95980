package api

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/sms"
)

// airModems are modems whose signal changes, and that count who looks.
type airModems struct {
	*fakeModems
	mu   sync.Mutex
	dBm  int
	rows atomic.Int64 // readings of the history
}

func (m *airModems) List() []sms.Modem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []sms.Modem{{Name: "office", State: sms.Ready, Number: "+491700000001", Signal: &sms.Signal{DBm: m.dBm, At: time.Now()}}}
}

func (m *airModems) SignalHistory(context.Context, string, time.Time) ([]sms.SignalSample, error) {
	m.rows.Add(1)
	return nil, nil
}

func (m *airModems) hear(dBm int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dBm = dBm
}

// onAir runs a test in virtual time with such modems.
func onAir(t *testing.T, fn func(*testing.T, *box, *airModems)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := &airModems{fakeModems: &fakeModems{}, dBm: -71}
		fn(t, newBox(t, settings{single: true, dir: dir, change: func(o *Options) { o.Modems = m }}), m)
	})
}

// changed wants to be told of these changes, and of no more.
func (l *listener) changed(kinds ...string) {
	l.t.Helper()
	for _, kind := range kinds {
		l.wantBlock(fmt.Sprintf("event: changed\ndata: {\"what\":%q}\n", kind))
	}
	l.quiet()
}

func TestLiveTellsWhatChangedAndNoMore(t *testing.T) {
	onAir(t, func(t *testing.T, b *box, air *airModems) {
		l := b.listen(t, "/live?after=0", bearer(b.keyFor(auth.Watch)))
		l.quiet()
		if err := b.queue.AppendModemState(sms.Modem{Name: "office"}); err != nil {
			t.Fatal(err)
		}
		l.changed("modem")
		for i := range 5 { // together, a second after what was told before
			submit(b, fmt.Sprint("secret ", i))
		}
		l.quiet()
		time.Sleep(tellEvery)
		l.changed("message", "ring")
		time.Sleep(lookEvery)
		l.changed("ring") // its pointers, which go on without an event too
		if err := b.queue.Append(sms.EventAlarmBegin, sms.Alarm{Code: "x", Title: "secret"}, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(tellEvery)
		l.changed("alarm")
		// What no event tells of is looked for.
		air.hear(-90)
		time.Sleep(lookEvery + tellEvery)
		l.changed("modem")
		if _, err := b.queue.Cursor("webhook:chat"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		for block := range l.blocks { // maybe a heartbeat before
			if !strings.HasPrefix(block, ": heartbeat") {
				if block != "event: changed\ndata: {\"what\":\"webhook\"}\n" {
					t.Errorf("told %q", block)
				}
				break
			}
		}
		// A page that is older than the log is told that anything may have changed.
		b.listen(t, "/live?after=2", bearer(b.read)).changed("modem", "message", "ring", "alarm", "webhook", "gateway")
		b.ask("GET", "/live?after=x", bearer(b.read), "").problem(invalidFields, "after")
	})
}

func TestLiveEndsWithItsKey(t *testing.T) {
	onAir(t, func(t *testing.T, b *box, _ *airModems) {
		l := b.listen(t, "/live?after=0", bearer(b.keyFor(auth.Watch)))
		other := b.listen(t, "/live?after=0", bearer(b.read))
		if _, err := b.o.Keys.Revoke(ctx, "watch"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(heartbeatEvery + time.Second)
		if block, ok := <-l.blocks; ok {
			t.Errorf("a revoked key is told %q", block)
		}
		if block := <-other.blocks; !strings.Contains(block, "event: heartbeat\n") {
			t.Errorf("the other is told %q", block)
		}
		b.Stop()
		<-other.ended
		synctest.Wait()
		if b.live.viewers != 0 {
			t.Errorf("%d viewers are counted when all are gone", b.live.viewers)
		}
	})
}

// A page that is open all day costs no memory, no goroutine and no row.
func TestAPageThatIsOpenForADay(t *testing.T) {
	onAir(t, func(t *testing.T, b *box, air *airModems) {
		watch := bearer(b.keyFor(auth.Watch))
		l := b.listen(t, "/live?after=0", watch)
		var fetched, beats atomic.Int64
		read := make(chan struct{})
		go func() { // as page.js does
			defer close(read)
			for block := range l.blocks {
				if strings.Contains(block, "heartbeat") {
					beats.Add(1)
					continue
				}
				b.ask("GET", "/", watch, "").want(200)
				fetched.Add(1)
			}
		}()
		events := 0
		hours := func(n int) {
			for range n * 6 {
				time.Sleep(10 * time.Minute)
				air.hear(-60 - events%20)
				if err := b.queue.AppendModemState(sms.Modem{Name: "office", State: sms.Ready}); err != nil {
					t.Error(err)
				}
				events++
			}
			time.Sleep(2 * lookEvery)
			synctest.Wait()
		}
		hours(1)
		goroutines, heap, rows := runtime.NumGoroutine(), heapNow(), allRows(t, b.db)
		before := events
		hours(23)
		if n := runtime.NumGoroutine(); n > goroutines {
			t.Errorf("%d goroutines grew to %d", goroutines, n)
		}
		if n := heapNow(); n > heap+1<<20 {
			t.Errorf("%d KB of heap grew to %d KB", heap>>10, n>>10)
		}
		if n := allRows(t, b.db); n != rows+events-before {
			t.Errorf("%d rows grew to %d with %d events", rows, n, events-before)
		}
		if n := len(b.pages.reads); n > 1 {
			t.Errorf("%d pages are kept", n)
		}
		if n := beats.Load(); n < 24*240-2 {
			t.Errorf("%d heartbeats in a day", n)
		}
		if n := fetched.Load(); n < int64(events) || n > int64(4*events) {
			t.Errorf("the page was fetched %d times for %d events", n, events)
		}
		b.Stop()
		<-read
	})
}

func heapNow() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// allRows counts the rows of all tables.
func allRows(t *testing.T, d *db.DB) (n int) {
	t.Helper()
	err := d.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT name FROM sqlite_master WHERE type = 'table'`)
		if err != nil {
			return err
		}
		var names []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		rows.Close()
		for _, name := range names {
			var of int
			if err := r.QueryRow(`SELECT count(*) FROM "` + name + `"`).Scan(&of); err != nil {
				return err
			}
			n += of
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// However many pages are open: one follows the log for all, and one makes the page
// for all; when nothing happens nobody does anything but heartbeats.
func TestAHundredPagesShare(t *testing.T) {
	onAir(t, func(t *testing.T, b *box, air *airModems) {
		var reads, looks atomic.Int64
		read, look := b.live.read, b.live.look
		b.live.read = func(ctx context.Context, cursor int64) (changes, int64, error) {
			reads.Add(1)
			return read(ctx, cursor)
		}
		b.live.look = func(ctx context.Context) [kindsOfChange]uint64 {
			looks.Add(1)
			return look(ctx)
		}
		const pages = 100
		watch := bearer(b.keyFor(auth.Watch))
		var open []*listener
		for range pages {
			open = append(open, b.listen(t, "/live?after=0", watch))
		}
		synctest.Wait()
		reads.Store(0)
		looks.Store(0)
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if got := looks.Load(); got > int64(time.Minute/lookEvery)+1 {
			t.Errorf("in a minute in which nothing happened was looked %d times", got)
		}
		if got := reads.Load(); got > int64(time.Minute/lookEvery)+1 {
			t.Errorf("in a minute in which nothing happened the log was read %d times", got)
		}
		if got := air.rows.Load(); got != 0 {
			t.Errorf("the page was made %d times while nothing happened", got)
		}
		for _, l := range open {
			for range 4 {
				if block := <-l.blocks; !strings.Contains(block, "event: heartbeat\n") {
					t.Errorf("told %q while nothing happened", block)
				}
			}
			l.quiet()
		}
		reads.Store(0)
		if err := b.queue.AppendModemState(sms.Modem{Name: "office"}); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for _, l := range open {
			l.changed("modem")
			all.Go(func() { b.ask("GET", "/", watch, "").want(200) })
		}
		all.Wait()
		if got := reads.Load(); got > 2 {
			t.Errorf("one event was read %d times for %d pages", got, pages)
		}
		if got := air.rows.Load(); got != 1 {
			t.Errorf("one page was made %d times for %d viewers", got, pages)
		}
	})
}
