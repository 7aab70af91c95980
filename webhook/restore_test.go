package webhook

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// What waited when the backup was made may have been delivered since: it is held,
// and delivered under the same webhook-id or dropped when somebody says so.
func TestRestoredDeliveriesAreHeld(t *testing.T) {
	for name, release := range map[string]bool{"release": true, "cancel": false} {
		t.Run(name, func(t *testing.T) { heldDeliveries(t, release) })
	}
}

func heldDeliveries(t *testing.T, release bool) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.always(500)
		r.submitMany(alice, 0, 3)
		r.submitMany(bob, 0, 1)
		settleDown(time.Second)
		pending := r.list(sms.DeliveryFilter{Status: sms.DeliveryPending})
		r.stop()
		d, err := db.Open(context.Background(), db.Options{Dir: r.dir, SingleConn: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Write(func(tx *db.Tx) error { return Restore(tx, false, time.Now()) }); err != nil {
			t.Fatal(err)
		}
		if n, err := Held(context.Background(), d); n != 4 || err != nil {
			t.Errorf("%d are held (%v)", n, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.always(200)
		r.forget()
		r.submitMany(carol, 0, 1)
		settleDown(24 * time.Hour)
		if got := r.got(nil); len(got) != 1 || got[0].number != carol {
			t.Errorf("delivered before somebody has said so: %+v", got)
		}
		r.forget()
		if err := r.w.SettleHeld(context.Background(), release); err != nil {
			t.Fatal(err)
		}
		settleDown(time.Minute)
		if n, err := Held(context.Background(), r.db); n != 0 || err != nil {
			t.Errorf("%d are still held (%v)", n, err)
		}
		if !release {
			if n := len(r.list(sms.DeliveryFilter{Status: sms.DeliveryDropped})); n != 4 || len(r.got(nil)) != 0 {
				t.Errorf("%d were dropped, %d delivered", n, len(r.got(nil)))
			}
			return
		}
		r.wantInOrder("app.example", alice, 3)
		var ids []string
		for _, p := range pending {
			ids = append(ids, p.ID)
		}
		for _, a := range r.got(nil) {
			if !slices.Contains(ids, a.id) {
				t.Errorf("delivered under another id: %s of %v", a.id, ids)
			}
		}
		if n := len(r.got(nil)); n != 4 {
			t.Errorf("%d were delivered", n)
		}
	})
}

// A backup brings back no endpoint that was deleted, no secret that was changed,
// and keeps what was made since.
func TestRestoreTakesTheEndpointsOfTheLater(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		r.withCallbacks()
		kept, deleted, forgotten := r.make("kept", nil), r.make("deleted", nil), r.make("forgotten", nil)
		r.always(500)
		r.submitMany(bob, 0, 1)
		settleDown(time.Second)
		path := filepath.Join(t.TempDir(), "backup")
		r.stop()
		if err := db.Backup(ctx, r.dir, path, false); err != nil {
			t.Fatal(err)
		}
		backup, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r.start()
		fresh, err := r.w.RotateSecret(ctx, kept.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		callbacks, err := r.w.RotateCallbackSecret(ctx, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		r.change(kept.ID, sms.WebhookChange{URL: p("https://later.example/")})
		for _, h := range []sms.Webhook{deleted, forgotten} {
			if err := r.w.Delete(ctx, h.ID); err != nil {
				t.Fatal(err)
			}
		}
		since := r.make("since", nil)
		err = r.db.Write(func(tx *db.Tx) error { // as after a week
			if _, err := tx.Exec(`DELETE FROM webhook_deliveries WHERE endpoint = (SELECT id FROM webhook_endpoints WHERE name = 'forgotten')`); err != nil {
				return err
			}
			_, err := tx.Exec(`DELETE FROM webhook_endpoints WHERE name = 'forgotten'`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		r.stop()

		stage, err := db.Stage(ctx, r.dir, bytes.NewReader(backup))
		if err != nil {
			t.Fatal(err)
		}
		d, err := db.Open(ctx, db.Options{Dir: stage, SingleConn: true, Attach: filepath.Join(r.dir, db.FileName)})
		if err != nil {
			t.Fatal(err)
		}
		err = d.Write(func(tx *db.Tx) error {
			if err := db.ContinueSequences(tx, true); err != nil {
				return err
			}
			return Restore(tx, true, time.Now())
		})
		if err := errors.Join(err, d.Close()); err != nil {
			t.Fatal(err)
		}
		r.dir = stage
		r.always(200)
		r.forget()
		r.secrets["later.example"] = *fresh.Secret
		r.start()
		if err := r.w.SettleHeld(ctx, true); err != nil {
			t.Fatal(err)
		}
		if n, err := Held(ctx, r.db); n != 0 || err != nil {
			t.Errorf("%d are held, %v", n, err)
		}
		got := map[string]sms.Webhook{}
		all, err := r.w.Webhooks(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range all {
			got[h.Name] = h
		}
		if len(got) != 3 || got["kept"].URL != "https://later.example/" || got["kept"].ID != kept.ID || got["since"].ID != since.ID ||
			got["since"].Status != sms.WebhookActive || got["forgotten"].Status != sms.WebhookDisabled || !strings.Contains(*got["forgotten"].Reason, "restored from a backup") || got["forgotten"].Enabled {
			t.Errorf("%+v", got)
		}
		if s, err := r.w.CallbackSecret(ctx); err != nil || s.Secret != callbacks.Secret || s.OldUntil == nil {
			t.Errorf("%+v, %v", s, err)
		}
		r.submitMany(alice, 0, 1)
		settleDown(time.Second)
		if n, m := len(r.got(of(alice))), len(r.got(at("forgotten"))); n != 2 || m != 0 {
			t.Errorf("%d were told, and %d to the one that is not known any more", n, m)
		}
	})
}

// An endpoint that is off at a start, as an older version or a restore left it, is
// told later what came since then.
func TestOffAtTheStartMissesNothing(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		ctx := context.Background()
		r.always(410)
		r.submitMany(alice, 0, 1)
		settleDown(time.Second)
		err := r.db.Write(func(tx *db.Tx) error {
			_, err := tx.Exec(`DELETE FROM webhook_gaps`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		r.restart()
		r.always(200)
		r.forget()
		r.submitMany(carol, 0, 2)
		settleDown(time.Second)
		all, err := r.w.Webhooks(ctx)
		if err != nil || all[0].Status != sms.WebhookDisabled {
			t.Fatalf("%+v, %v", all, err)
		}
		if _, err := r.w.Enable(ctx, all[0].ID); err != nil {
			t.Fatal(err)
		}
		if _, err := r.w.Replay(ctx, all[0].ID, sms.WebhookReplay{}); err != nil {
			t.Fatal(err)
		}
		settleDown(time.Second)
		r.wantInOrder("app.example", carol, 2)
	})
}

// What was erased since the backup does not come back in what is kept of deliveries.
func TestRestoreKeepsWhatWasErased(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		r.withCallbacks("shop.example")
		r.make("app", nil)
		r.always(500)
		r.callback(alice, "0", "https://shop.example/"+alice[1:])
		r.callback(bob, "0", "https://shop.example/"+bob[1:])
		settleDown(time.Minute)
		path := filepath.Join(t.TempDir(), "backup")
		r.stop()
		if err := db.Backup(ctx, r.dir, path, false); err != nil {
			t.Fatal(err)
		}
		backup, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r.start()
		if _, err := r.q.EraseNumber(ctx, alice); err != nil {
			t.Fatal(err)
		}
		r.stop()
		stage, err := db.Stage(ctx, r.dir, bytes.NewReader(backup))
		if err != nil {
			t.Fatal(err)
		}
		d, err := db.Open(ctx, db.Options{Dir: stage, SingleConn: true, Attach: filepath.Join(r.dir, db.FileName)})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Write(func(tx *db.Tx) error { return Restore(tx, true, time.Now()) }); err != nil {
			t.Fatal(err)
		}
		urls, answers := map[string]int{}, 0
		err = d.Read(ctx, func(q db.Querier) error {
			for _, of := range []string{alice, bob} {
				var n int
				if err := q.QueryRow(`SELECT count(*) FROM webhook_deliveries WHERE url LIKE ?`, "%"+of[1:]+"%").Scan(&n); err != nil {
					return err
				}
				urls[of] = n
			}
			return q.QueryRow(`SELECT count(*) FROM webhook_deliveries WHERE answer IS NOT NULL`).Scan(&answers)
		})
		if err := errors.Join(err, d.Close()); err != nil {
			t.Fatal(err)
		}
		if urls[alice] != 0 || urls[bob] == 0 || answers != 2 {
			t.Errorf("of the erased %d URLs came back, of the other are %d; %d answers, want 2: the other's", urls[alice], urls[bob], answers)
		}
		r.dir = stage
		r.start()
	})
}
