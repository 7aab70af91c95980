package queue_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/db/powercut"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
	"gatewayd/webhook"
)

// gateway is what of the daemon writes to the disk, on a disk whose power goes
// again and again. It keeps its own record of what it was told is done.
type gateway struct {
	dir  string
	disk *powercut.Disk
	rnd  *rand.Rand
	step string // under way

	db      *db.DB
	q       *queue.Queue
	keys    *auth.Keys
	endHook func()

	known    map[string]*promised // by id
	unsure   map[string]bool      // what the step that the cut ended may have changed
	drafts   []string             // texts of the submission that it ended
	incoming string               // text of the message that it ended
	onAir    [][]byte             // its parts that were not acknowledged
	erased   []string             // texts that must be nowhere
	tokens   []string
	answers  map[string][]string // Idempotency-Key → ids
	ref      byte
	count    int

	mu   sync.Mutex
	told map[string]bool // id and event that the webhook's receiver has got

	broken []string // promises
}

// promised is what callers know of a message.
type promised struct {
	sms.Message
	started int  // part that a modem was given
	told    bool // a report came that may be about it: that settles a doubtful part
}

func (g *gateway) breach(format string, args ...any) {
	g.broken = append(g.broken, fmt.Sprintf(format, args...))
}

// RoundTrip is the webhook's receiver.
func (g *gateway) RoundTrip(req *http.Request) (*http.Response, error) {
	var e struct {
		Type string
		Data sms.Message
	}
	if err := json.NewDecoder(req.Body).Decode(&e); err != nil {
		return nil, err
	}
	g.mu.Lock()
	g.told[e.Data.ID+" "+e.Type] = true
	g.mu.Unlock()
	return &http.Response{StatusCode: http.StatusNoContent, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
}

// start opens everything. It fails only where the power goes.
func (g *gateway) start(ctx context.Context) (err error) {
	if g.db, err = db.Open(ctx, db.Options{Dir: g.dir, SingleConn: true, VFS: powercut.Name}); err != nil {
		return err
	}
	// Copy the log often, so that the power goes in the middle of that too.
	if err := g.db.Write(func(tx *db.Tx) error { _, err := tx.Exec(`PRAGMA wal_autocheckpoint = 40`); return err }); err != nil {
		return err
	}
	if g.q, err = resumed(ctx, g.db, queue.Options{OutboundCapacity: 60, BatchSlice: 3}); err != nil {
		return err
	}
	g.keys = auth.New(g.db)
	secret := "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	w, err := webhook.New(webhook.Options{Queue: g.q, DB: g.db, Transport: g,
		Endpoints: []webhook.Endpoint{{Name: "shop", URL: "https://shop.example/hook", Secret: secret, Events: []string{"*"}}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = w.Run(ctx) }()
	g.endHook = func() { cancel(); <-ended }
	return nil
}

// stop is the end of the process: what is not on the disk is gone.
func (g *gateway) stop() error {
	if g.endHook != nil {
		g.endHook()
		g.endHook = nil
	}
	if g.db != nil {
		_ = g.db.Close()
		g.db = nil
	}
	return g.disk.Restore()
}

// note books what a message is now, as callers may see it.
func (g *gateway) note(ids ...string) error {
	for _, id := range ids {
		m, err := g.q.Message(context.Background(), id)
		if err != nil {
			return err
		}
		p := g.known[id]
		if p == nil {
			p = &promised{}
			g.known[id] = p
		}
		p.Message = *m
	}
	return nil
}

func (g *gateway) any(of func(*promised) bool) *promised {
	var all []*promised
	for _, p := range g.known {
		if p.Direction == sms.Outbound && of(p) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *promised) int { return int(a.Row - b.Row) })
	return all[g.rnd.IntN(len(all))]
}

// mr is the TP-MR of a part, never given twice.
func mr(m sms.Message, part int) byte { return byte(3*m.Row) + byte(part) }

func (g *gateway) numbered(what string) string {
	g.count++
	return fmt.Sprintf("%s %d of the day.", what, g.count)
}

// something does one thing that the daemon does. Its error is that of the disk.
func (g *gateway) something() error {
	ctx := context.Background()
	number := fmt.Sprintf("+4917000000%02d", g.rnd.IntN(12))
	switch n := g.rnd.IntN(24); {
	case n < 7:
		g.step = "submit"
		return g.submit(ctx, number)
	case n < 15:
		g.step = "advance"
		return g.advance(ctx)
	case n < 18:
		g.step = "receive"
		return g.receive(number)
	case n == 18:
		g.step = "key"
		token, _, err := g.keys.Create(ctx, g.numbered("key"), []auth.Scope{auth.Send}, time.Time{})
		if err == nil {
			g.tokens = append(g.tokens, token)
		}
		return err
	case n == 19:
		g.step = "erase"
		return g.erase(ctx, number)
	case n == 20:
		g.step = "report"
		p := g.any(func(p *promised) bool { return p.Status == sms.Sent && p.DeliveryReport })
		if p == nil {
			return nil
		}
		g.unsure[p.ID] = true
		for _, other := range g.known {
			other.told = other.told || other.To == p.To
		}
		report := pdu.EncodeReport("+491710760000", pdu.Report{MR: mr(p.Message, 1+g.rnd.IntN(p.Parts)), To: p.To, SCTS: time.Now(), Discharge: time.Now()})
		if err := g.q.Receive(sms.Incoming{Modem: "office", ICCID: "8949", PDU: report, Index: -1, At: time.Now()}); err != nil {
			return err
		}
		return g.note(p.ID)
	case n == 21:
		g.step = "settle"
		for id, p := range g.known {
			g.unsure[id] = p.Status == sms.Unconfirmed || p.Status == sms.Sent
		}
		time.Sleep(3 * time.Minute)
		if _, err := g.q.SettleUnconfirmed(time.Now()); err != nil {
			return err
		}
		for id := range g.known {
			if err := g.note(id); err != nil {
				return err
			}
		}
		return nil
	}
	g.step = "webhooks"
	time.Sleep(time.Second)
	synctest.Wait()
	return nil
}

func (g *gateway) submit(ctx context.Context, number string) error {
	drafts := make([]queue.Draft, 1+g.rnd.IntN(3))
	if g.rnd.IntN(3) == 0 { // written in several commits
		drafts = make([]queue.Draft, 4+g.rnd.IntN(9))
	}
	for i := range drafts {
		text := g.numbered("out")
		if g.rnd.IntN(3) == 0 {
			text += strings.Repeat(" and more", 30)
		}
		drafts[i].Message = sms.Message{To: number, Text: text, DeliveryReport: g.rnd.IntN(2) > 0, OnUnconfirmed: sms.Fail}
		g.drafts = append(g.drafts, text)
	}
	once := &queue.Idempotency{KeyID: "k", Key: g.numbered("request"), Body: []byte("body")}
	accepted, _, err := g.q.Submit(ctx, drafts, once)
	if errors.Is(err, queue.ErrFull) {
		g.drafts = nil
		return nil
	}
	if err != nil {
		return err
	}
	g.drafts = nil
	for _, m := range accepted {
		g.answers[once.Key] = append(g.answers[once.Key], m.ID)
		g.known[m.ID] = &promised{Message: m}
	}
	return nil
}

// advance books the fate of a part that is on the air and the start of another.
func (g *gateway) advance(ctx context.Context) error {
	var v *queue.Verdict
	var s *queue.Start
	var ids []string
	if p := g.any(func(p *promised) bool { return p.Status == sms.Sending }); p != nil && g.rnd.IntN(4) > 0 {
		v = &queue.Verdict{Row: p.Row, Part: p.started, Fate: queue.PartConfirmed, MR: int(mr(p.Message, p.started))}
		if g.rnd.IntN(4) == 0 {
			v.Fate, v.Err = []queue.Fate{queue.PartRetry, queue.PartFailed, queue.PartUnconfirmed}[g.rnd.IntN(3)], &sms.Error{Code: "x"}
		}
		ids = append(ids, p.ID)
	}
	p := g.any(func(p *promised) bool { return p.Status == sms.Queued })
	if p != nil && (v == nil || g.rnd.IntN(3) > 0) {
		j, err := g.q.Job(ctx, p.Row, "8949")
		if err != nil {
			return err
		}
		s = &queue.Start{Row: p.Row, Part: j.Next, Modem: "office", SIM: "8949", Local: "+491700000000", Ref: j.Ref, ExpectedMR: -1}
		ids = append(ids, p.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		g.unsure[id] = true
	}
	ok, err := g.q.Advance(v, s)
	if err != nil {
		return err
	}
	if s != nil && ok {
		p.started = s.Part
	}
	if v != nil && v.Fate == queue.PartConfirmed {
		// The next part of the same message goes at once, as the modem does it.
		if b := g.known[ids[0]]; b.Parts > v.Part && b.Status == sms.Sending {
			next := &queue.Start{Row: b.Row, Part: v.Part + 1, Modem: "office", SIM: "8949", Local: "+491700000000", ExpectedMR: -1}
			if err := g.note(ids...); err != nil {
				return err
			}
			if b.Status == sms.Sending {
				if _, err := g.q.Advance(nil, next); err != nil {
					return err
				}
				b.started = next.Part
			}
		}
	}
	return g.note(ids...)
}

func (g *gateway) receive(number string) error {
	text := g.numbered("in")
	if g.rnd.IntN(2) == 0 {
		text += strings.Repeat(" and so on", 30)
	}
	g.ref++
	raw, err := pdu.EncodeText("+491710760000", number, text, time.Now(), g.ref)
	if err != nil {
		return err
	}
	g.incoming, g.onAir = text, raw
	return g.receiveRest()
}

// receiveRest receives what the network has not been told that it arrived.
func (g *gateway) receiveRest() error {
	for len(g.onAir) > 0 {
		if err := g.q.Receive(sms.Incoming{Modem: "office", ICCID: "8949", PDU: g.onAir[0], Index: -1, At: time.Now()}); err != nil {
			return err
		}
		g.onAir = g.onAir[1:]
	}
	page, _, err := g.q.List(context.Background(), queue.Filter{Direction: sms.Inbound, Limit: 500})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(page, func(m sms.Message) bool { return m.Text == g.incoming })
	if i < 0 {
		g.breach("%q was received and is not there", g.incoming)
		return nil
	}
	if err := g.note(page[i].ID); err != nil {
		return err
	}
	g.incoming = ""
	return nil
}

func (g *gateway) erase(ctx context.Context, number string) error {
	var ids, texts []string
	for id, p := range g.known {
		if p.To == number || p.From == number && p.Direction == sms.Inbound {
			g.unsure[id] = true
			ids, texts = append(ids, id), append(texts, p.Text)
		}
	}
	_, err := g.q.EraseNumber(ctx, number)
	if errors.Is(err, queue.ErrConflict) {
		return nil
	}
	if err != nil || g.disk.IsCut() { // it says nothing of a log that could not be cut short
		return err
	}
	for _, id := range ids {
		delete(g.known, id)
	}
	g.erased = append(g.erased, texts...)
	return nil
}

// run works until the power goes, at the latest after many steps.
func (g *gateway) run() {
	clear(g.unsure)
	g.drafts, g.incoming, g.onAir = nil, "", nil
	g.step = "start"
	if err := g.start(context.Background()); err != nil {
		if !g.disk.IsCut() {
			g.breach("it does not start: %v", err)
		}
		return
	}
	for range 150 {
		g.unsure = map[string]bool{}
		if err := g.something(); err != nil || g.disk.IsCut() {
			if !g.disk.IsCut() {
				g.breach("%s failed without a cut: %v", g.step, err)
			}
			return
		}
	}
}

// check compares what is on the disk with what was promised.
func (g *gateway) check() {
	for _, text := range g.erased {
		for _, name := range []string{db.FileName, db.FileName + "-wal"} {
			if b, err := os.ReadFile(filepath.Join(g.dir, name)); err == nil && bytes.Contains(b, []byte(text)) {
				g.breach("%q was erased and is in %s", text, name)
			}
		}
	}
	if err := g.start(context.Background()); err != nil {
		g.breach("it does not start again: %v", err)
		return
	}
	ctx := context.Background()
	err := g.db.Read(ctx, func(r db.Querier) error {
		var verdict string
		if err := r.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
			return fmt.Errorf("integrity: %s %w", verdict, err)
		}
		for name, query := range invariants {
			var n int
			if err := r.QueryRow(query).Scan(&n); err != nil || n != 0 {
				g.breach("%q is broken by %d (%v)", name, n, err)
			}
		}
		return nil
	})
	if err != nil {
		g.breach("%v", err)
		return
	}
	for _, token := range g.tokens {
		if _, err := g.keys.Check(ctx, token); err != nil {
			g.breach("a key that was given out: %v", err)
		}
	}
	page, _, err := g.q.List(ctx, queue.Filter{Limit: 500})
	if err != nil {
		g.breach("%v", err)
	}
	there := map[string]sms.Message{}
	var news []string
	for _, m := range page {
		there[m.ID] = m
		if g.known[m.ID] == nil {
			news = append(news, m.Text)
		}
	}
	g.checkNews(news)
	for id, p := range g.known {
		m, found := there[id]
		want := p.Status
		if want == sms.Sending { // nobody knows whether it went out
			want = sms.Unconfirmed
		}
		switch {
		case !found && g.step == "erase" && g.unsure[id]:
			delete(g.known, id)
		case !found:
			g.breach("message %d (%s) is gone", p.Row, p.Status)
		case m.Text != p.Text:
			g.breach("message %d says %q and not %q", p.Row, m.Text, p.Text)
		case want == sms.Unconfirmed && p.told && (m.Status == sms.Sent || m.Status == sms.Delivered || m.Status == sms.Queued && p.Parts > 1):
		case m.Status != want && !g.unsure[id]:
			g.breach("message %d was %s and is %s", p.Row, p.Status, m.Status)
		}
	}
	for key, ids := range g.answers {
		again, replayed, err := g.q.Submit(ctx, []queue.Draft{{Message: sms.Message{To: "+491700000099", Text: "again"}}},
			&queue.Idempotency{KeyID: "k", Key: key, Body: []byte("body")})
		if errors.Is(err, queue.ErrNotFound) { // erased since
			continue
		}
		if err != nil || !replayed || len(again) != len(ids) || again[0].ID != ids[0] {
			g.breach("a repeated request: %v, %v", replayed, err)
		}
	}
	if g.incoming != "" {
		if err := g.receiveRest(); err != nil {
			g.breach("%v", err)
		}
	}
	if page, _, err = g.q.List(ctx, queue.Filter{Limit: 500}); err != nil {
		g.breach("%v", err)
	}
	for _, m := range page {
		if err := g.note(m.ID); err != nil {
			g.breach("%v", err)
		}
	}
	g.checkWebhooks()
}

// checkNews sees what the step that the cut ended has left: all or nothing.
func (g *gateway) checkNews(news []string) {
	slices.Sort(news)
	want := slices.Clone(g.drafts)
	if g.incoming != "" {
		want = []string{g.incoming}
	}
	slices.Sort(want)
	if len(news) > 0 && !slices.Equal(news, want) {
		g.breach("there are messages %q, and %q was under way", news, want)
	}
}

// checkWebhooks lets the webhooks work and compares what was told with the log.
func (g *gateway) checkWebhooks() {
	time.Sleep(time.Minute)
	synctest.Wait()
	all, err := g.q.EventsAfter(context.Background(), 0, 100_000)
	if err != nil {
		g.breach("%v", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range all {
		if e.Message != "" && !g.told[e.Message+" "+e.Type] {
			g.breach("nobody was told of %s %s, event %d", e.Message, e.Type, e.Seq)
		}
	}
}
