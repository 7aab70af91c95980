package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

func openHub(t *testing.T, o queue.Options) *box {
	o.Hub = true
	return open(t, o)
}

func (b *box) give(m sms.Message, gateway string, epoch int64) *queue.Relayed {
	b.t.Helper()
	var r *queue.Relayed
	b.do(func(tx *db.Tx) (err error) {
		r, err = b.q.GiveTx(tx, m.Row, gateway, epoch)
		return err
	})
	return r
}

func (b *box) apply(gateway string, seq int64, s queue.State) {
	b.t.Helper()
	b.do(func(tx *db.Tx) error { return b.q.ApplyTx(tx, gateway, seq, s) })
}

func (b *box) unrouted() (ids []string) {
	b.t.Helper()
	all, err := b.q.Unrouted(context.Background(), 0, 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, u := range all {
		ids = append(ids, u.ID)
	}
	return ids
}

// What a hub has given away is lined up no more after a restart, and what was taken back
// is, at its old place; both are counted.
func TestHubKeepsTheOrder(t *testing.T) {
	b := openHub(t, queue.Options{})
	var all []sms.Message
	for i := range 4 {
		all = append(all, b.submit(fmt.Sprintf("+4917012345%02d", i), "x"))
	}
	b.give(all[0], "north", 1)
	b.give(all[1], "north", 1)
	if got := b.unrouted(); !slices.Equal(got, []string{all[2].ID, all[3].ID}) {
		t.Fatal(got)
	}
	b.restart()
	if got := b.unrouted(); !slices.Equal(got, []string{all[2].ID, all[3].ID}) || b.q.CountByStatus()[sms.Queued] != 4 {
		t.Fatal(got, b.q.CountByStatus())
	}
	b.do(func(tx *db.Tx) error { return b.q.TakeBackTx(tx, all[1].Row) })
	want := []string{all[1].ID, all[2].ID, all[3].ID}
	if got := b.unrouted(); !slices.Equal(got, want) {
		t.Fatal(got)
	}
	b.restart()
	if got := b.unrouted(); !slices.Equal(got, want) {
		t.Fatal(got)
	}
	if len(b.q.Backlogs()) > 0 {
		t.Fatal("a hub lines messages up for modems")
	}
}

// The flags of a hub's slot say how far it is on its way, and its pointers whose it is.
func TestHubSlotFlags(t *testing.T) {
	b := openHub(t, queue.Options{OutboundCapacity: 2, ReportWait: time.Hour})
	m, other := b.submit("+491701234567", "x"), b.submit("+491701234568", "x")
	r := b.give(m, "north", 1)
	b.give(other, "south", 1)
	at := func(p *int) any {
		if p == nil {
			return nil
		}
		return *p
	}
	pointers := func(want ...any) {
		t.Helper()
		p, err := b.q.RelayPointers(context.Background(), "north")
		got := []any{at(p.Outbound.LastRetrieved), at(p.Outbound.LastSent), at(p.Outbound.LastConfirmed), at(p.Outbound.LastProcessed), p.Outbound.Depth}
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, want %v (%v)", got, want, err)
		}
	}
	pointers(r.Address, nil, nil, nil, 1)
	b.do(func(tx *db.Tx) error { return b.q.PublishedTx(tx, m.Row, 7) })
	pointers(r.Address, r.Address, nil, nil, 1)
	b.apply("north", 5, queue.State{ID: m.ID, Epoch: 1, Mirror: 3, Status: sms.Queued})
	pointers(r.Address, r.Address, r.Address, nil, 1)
	b.wantTold(m.ID, "queued")
	// A slot whose message a gateway has not finished is nobody else's.
	if _, _, err := b.q.Submit(context.Background(), []queue.Draft{{Message: sms.Message{To: "+491701234569", Text: "x"}}}, nil); !errors.Is(err, queue.ErrFull) {
		t.Fatal(err)
	}
	if got, err := b.q.RelayOf(context.Background(), m.ID); err != nil || got.Mirror != 3 || got.StreamSeq != 7 || got.StoredAt.IsZero() {
		t.Fatalf("%+v (%v)", got, err)
	}
	// Delivered is told behind what was missed; and what is older changes nothing.
	b.apply("north", 9, queue.State{ID: m.ID, Epoch: 1, Mirror: -1, Status: sms.Delivered, Modem: "office", Local: "office", SIM: "8949", SentAt: b.now, DeliveredAt: b.now, Attempts: 1})
	b.apply("north", 8, queue.State{ID: m.ID, Epoch: 1, Status: sms.Sent})
	b.wantTold(m.ID, "queued", "sent", "delivered")
	pointers(r.Address, r.Address, r.Address, r.Address, 0)
	if got := b.want(m.ID, sms.Delivered); got.Modem != "office@north" || got.From != "office@north" || got.Gateway != "north" {
		t.Fatalf("%+v", got)
	}
	if sims, err := b.q.SIMsOf(context.Background(), []string{m.To}); err != nil || sims[m.To] != "8949" {
		t.Fatal(sims, err)
	}
	// One that waits for its report gives its slot back in time.
	b.apply("south", 1, queue.State{ID: other.ID, Epoch: 1, Status: sms.Sent, SentAt: b.now})
	b.now = b.now.Add(59 * time.Minute)
	if next, err := b.q.FreeReported(b.now); err != nil || !next.Equal(b.now.Add(time.Minute)) || b.rings().Outbound.Depth != 1 {
		t.Fatal(next, err, b.rings())
	}
	b.now = b.now.Add(time.Minute)
	if _, err := b.q.FreeReported(b.now); err != nil || b.rings().Outbound.Depth != 0 {
		t.Fatal(err, b.rings())
	}
}

// What a gateway says of a message that was given to another counts only as far as it had
// sent it.
func TestHubMoves(t *testing.T) {
	b := openHub(t, queue.Options{})
	m := b.submit("+491701234567", "x")
	once := b.submit("+491701234567", "x", func(d *queue.Draft) { d.OnUnconfirmed = sms.Fail })
	for _, m := range []sms.Message{m, once} {
		b.give(m, "north", 1)
		b.apply("north", m.Row, queue.State{ID: m.ID, Epoch: 1, Status: sms.Queued})
	}
	b.do(func(tx *db.Tx) error { return b.q.MoveTx(tx, m.Row, false) }) // a lease had run out
	b.give(m, "south", 4)
	b.apply("north", 20, queue.State{ID: m.ID, Epoch: 1, Status: sms.Canceled, Error: &sms.Error{Code: "moved"}})
	if got := b.want(m.ID, sms.Queued); got.PossibleDuplicate || got.Gateway != "south" {
		t.Fatalf("%+v", got)
	}
	b.apply("north", 21, queue.State{ID: m.ID, Epoch: 1, Status: sms.Sent, SentAt: b.now})
	if got := b.want(m.ID, sms.Queued); !got.PossibleDuplicate {
		t.Fatalf("%+v", got)
	}
	b.do(func(tx *db.Tx) error { return b.q.MoveTx(tx, once.Row, true) })
	if got := b.want(once.ID, sms.Failed); got.Error.Code != "unconfirmed" {
		t.Fatalf("%+v", got)
	}
	b.apply("south", 1, queue.State{ID: m.ID, Epoch: 4, Status: sms.Sent, SentAt: b.now})
	if err := b.q.Do(func(tx *db.Tx) error { return b.q.MoveTx(tx, m.Row, true) }); !errors.Is(err, queue.ErrConflict) {
		t.Fatal(err)
	}
}

// Whoever cancels, or is not to be written to, is asked before a message goes into the link.
func TestHubAsksBeforeItGives(t *testing.T) {
	b := openHub(t, queue.Options{})
	ctx := context.Background()
	stopped := b.submit("+491701234567", "x")
	b.do(func(tx *db.Tx) error {
		return b.q.OptTx(tx, stopped.To, true, b.now, queue.Source{Reason: queue.ReasonWord, Wording: "STOP", By: "north"})
	})
	if r := b.give(stopped, "north", 1); r != nil {
		t.Fatalf("%+v", r)
	}
	b.want(stopped.ID, sms.Failed)
	late := b.submit("+491701234568", "x", func(d *queue.Draft) { d.ExpiresAt = b.now.Add(time.Minute) })
	m := b.submit("+491701234568", "x", func(d *queue.Draft) { d.ExpiresAt = b.now.Add(time.Hour) })
	b.give(m, "north", 1)
	b.give(late, "north", 1)
	b.now = b.now.Add(2 * time.Minute)
	if next, err := b.q.ExpireDue(b.now); err != nil || !next.IsZero() {
		t.Fatal(next, err)
	}
	b.want(late.ID, sms.Queued)
	due, err := b.q.ExpireRelayed(ctx, b.now, 10)
	if err != nil || len(due) != 1 || due[0].ID != late.ID {
		t.Fatalf("%+v (%v)", due, err)
	}
	b.do(func(tx *db.Tx) error { return b.q.EndRelayedTx(tx, late.Row, sms.Expired, nil) })
	b.want(late.ID, sms.Expired)
	if _, err := b.q.Cancel(ctx, m.ID); !errors.Is(err, queue.ErrConflict) {
		t.Fatal(err)
	}
	if _, err := b.q.EraseNumber(ctx, m.To); !errors.Is(err, queue.ErrConflict) {
		t.Fatal(err)
	}
	b.do(func(tx *db.Tx) error {
		_, err := b.q.CancelRelayedTx(tx, m.ID)
		return err
	})
	b.want(m.ID, sms.Canceled)
	if b.rings().Outbound.Depth != 0 {
		t.Fatal(b.rings())
	}
}

// A gateway does not begin what another has by now, nor anything of the hub's without its
// lease; what it can't send at all it says so.
func TestMirroredIsFenced(t *testing.T) {
	sims := map[string]string{"8949": "office"}
	b := open(t, queue.Options{ModemOf: func(sim string) string { return sims[sim] }})
	ctx := context.Background()
	leased := true
	b.q.SetLease(func() bool { return leased })
	store := func(id string, epoch int64, sim, text string) sms.Message {
		t.Helper()
		id = "msg_01M81J3330RPC7KZXTTDHCE" + id
		errs, err := b.q.StoreMirrored(ctx, []queue.Mirrored{{ID: id, Address: 4, Epoch: epoch, SIM: sim, Draft: queue.Draft{Consent: queue.ConsentInvite, Message: sms.Message{To: "+491701234567", Text: text}}}})
		if err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		return b.message(id)
	}
	m := store("93A", 1, "", "x")
	leased = false
	if ok, err := b.q.Advance(nil, b.startOf(m, 1)); ok || err != nil {
		t.Fatal(ok, err)
	}
	b.want(m.ID, sms.Queued)
	leased = true
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, MR: 1}, nil)
	b.want(m.ID, sms.Sent)
	waits, elsewhere, pinned := store("93B", 1, "", "x"), store("93C", 1, "8900", "x"), store("93D", 2, "8949", "x")
	if b.want(elsewhere.ID, sms.Failed).Error.Code != "unfit" || b.q.Epoch() != 2 {
		t.Fatal(b.q.Epoch())
	}
	b.restart()
	if err := b.q.Fence(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if got := b.want(waits.ID, sms.Canceled); got.Error.Code != "moved" {
		t.Fatalf("%+v", got)
	}
	if got := store("93B", 1, "", "x"); got.Status != sms.Canceled { // told again by an old stream
		t.Fatalf("%+v", got)
	}
	if got := store("93B", 3, "", "x"); got.Status != sms.Queued { // and given again
		t.Fatalf("%+v", got)
	}
	s := b.startOf(pinned, 1)
	s.SIM = "8950"
	if ok, err := b.q.Advance(nil, s); ok || err != nil {
		t.Fatal(ok, err)
	}
	if got, err := b.q.MirrorSlots(ctx, "", 10); err != nil || len(got) != 4 || got[0].Address != 4 || got[0].Status != sms.Sent || got[0].Mirror != -1 {
		t.Fatalf("%+v (%v)", got, err)
	}
	b.now = b.now.Add(401 * 24 * time.Hour)
	if err := b.q.PruneMirrored(ctx, b.now); err != nil {
		t.Fatal(err)
	}
	if got, err := b.q.MirrorSlots(ctx, "", 10); err != nil || len(got) != 1 { // what waits is kept
		t.Fatalf("%+v (%v)", got, err)
	}
}

// One that the hub gives again finds no room: what is known of it stays, and it comes as it
// is once there is room, not as one that may have gone.
func TestGivenAgainToAFullRing(t *testing.T) {
	b := open(t, queue.Options{OutboundCapacity: 1})
	ctx := context.Background()
	store := func(id string, epoch int64) error {
		t.Helper()
		errs, err := b.q.StoreMirrored(ctx, []queue.Mirrored{{ID: id, Epoch: epoch, Draft: queue.Draft{Message: sms.Message{To: "+491701234567", Text: "x"}}}})
		if err != nil {
			t.Fatal(err)
		}
		return errs[0]
	}
	const first, second = "msg_01M81J3330RPC7KZXTTDHCE93A", "msg_01M81J3330RPC7KZXTTDHCE93B"
	if err := store(first, 1); err != nil {
		t.Fatal(err)
	}
	if err := b.q.Fence(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if err := store(second, 2); err != nil {
		t.Fatal(err)
	}
	if err := store(first, 3); !errors.Is(err, queue.ErrFull) {
		t.Fatalf("no room: %v", err)
	}
	if got := b.want(first, sms.Canceled); got.Error.Code != "moved" {
		t.Fatalf("%+v", got)
	}
	if _, err := b.q.Cancel(ctx, second); err != nil {
		t.Fatal(err)
	}
	if err := store(first, 3); err != nil {
		t.Fatal(err)
	}
	if got := b.want(first, sms.Queued); got.PossibleDuplicate {
		t.Fatal("it was never begun")
	}
}

// A SIM that its modem does not tell goes by the modem's name, which other gateways have too.
func TestHubTellsNamelessSIMsApart(t *testing.T) {
	b := openHub(t, queue.Options{})
	sims := map[string]string{}
	b.q.OnReceive(func(_ *db.Tx, m *sms.Message, sim string) error { sims[m.ID] = sim; return nil })
	arrive := func(id, gateway, sim string) {
		b.do(func(tx *db.Tx) error {
			_, err := b.q.ArriveTx(tx, gateway, queue.Arrived{SIM: sim, Dialled: true, Message: sms.Message{ID: id, From: "+491701234567", To: "office", Modem: "office", Text: "hi", CreatedAt: time.Now()}})
			return err
		})
	}
	arrive("msg_01J00000000000000000000001", "north", "office")
	arrive("msg_01J00000000000000000000002", "south", "8949000000000000001")
	if sims["msg_01J00000000000000000000001"] != "office@north" || sims["msg_01J00000000000000000000002"] != "8949000000000000001" {
		t.Error(sims)
	}
	keeps := func() string {
		all, err := b.q.Unrouted(t.Context(), 0, 10)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0].SIM
	}
	m := b.submit("+491701234567", "x")
	arrive("msg_01J00000000000000000000003", "south", "office")
	if sim := keeps(); sim != "office@south" {
		t.Errorf("the number keeps %q", sim)
	}
	b.give(m, "north", 1)
	b.apply("north", 5, queue.State{ID: m.ID, Epoch: 1, Status: sms.Sent, Modem: "office", SIM: "office", Local: "office", SentAt: time.Now(), UpdatedAt: time.Now()})
	b.submit("+491701234567", "y")
	if sim := keeps(); sim != "office@north" {
		t.Errorf("the number keeps %q", sim)
	}
}

// What is secret goes by the routes alone: that its recipient wrote to a SIM, a gateway says.
func TestSecretsKeepNoSIM(t *testing.T) {
	b := openHub(t, queue.Options{})
	b.say(phone, "hello")
	_, _, err := b.q.Submit(t.Context(), []queue.Draft{{Message: sms.Message{To: phone, Text: "hello"}}, {Message: sms.Message{To: phone, Text: "your code", Redacted: true}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := b.q.Unrouted(t.Context(), 0, 10)
	if err != nil || len(all) != 2 || all[0].SIM == "" || all[1].SIM != "" {
		t.Errorf("%+v, %v", all, err)
	}
}
