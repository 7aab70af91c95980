package webhook

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/queue"
)

func TestOldSecretSignsUntilTheOverlapIsOver(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		h := r.make("app", nil)
		fresh, err := r.w.RotateSecret(ctx, h.ID, time.Hour)
		if err != nil || fresh.Secret == nil || *fresh.Secret == testSecret || fresh.OldSecretUntil == nil || !fresh.OldSecretUntil.Equal(time.Now().Add(time.Hour)) {
			t.Fatalf("%+v, %v", fresh, err)
		}
		sent := 0
		next := func(what, secrets string) {
			t.Helper()
			r.secrets["app.example"] = secrets // the world holds the signatures against it
			r.submitMany(alice, sent, sent+1)
			synctest.Wait()
			if sent++; len(r.got(nil)) != sent {
				t.Errorf("%s: %d arrived, want %d", what, len(r.got(nil)), sent)
			}
		}
		next("both sign", *fresh.Secret+" "+testSecret)
		r.restart()
		next("after a restart too", *fresh.Secret+" "+testSecret)
		settleDown(time.Hour)
		next("then the new one alone", *fresh.Secret)
		r.restart()
		next("after a restart too", *fresh.Secret)
		// Without an overlap the old one is gone at once.
		last, err := r.w.RotateSecret(ctx, h.ID, 0)
		if err != nil || last.OldSecretUntil != nil {
			t.Fatalf("%+v, %v", last, err)
		}
		next("no overlap", *last.Secret)
		settleDown(2 * tidyEvery)
		if n := r.count(`SELECT count(*) FROM webhook_secrets WHERE endpoint <> 0`); n != 1 {
			t.Errorf("%d secrets are kept", n)
		}
	})
}

// A rotation whose answer got lost is repeated: the receiver still has the first
// secret, which goes on signing until its own end.
func TestRepeatedRotationCutsOffNoReceiver(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		h := r.make("app", nil)
		all := []string{testSecret}
		rotated := func(overlap time.Duration) {
			t.Helper()
			fresh, err := r.w.RotateSecret(ctx, h.ID, overlap)
			if err != nil {
				t.Fatal(err)
			}
			all = append([]string{*fresh.Secret}, all...)
		}
		sent := 0
		next := func(what string, secrets ...string) {
			t.Helper()
			r.secrets["app.example"] = strings.Join(secrets, " ")
			r.submitMany(alice, sent, sent+1)
			synctest.Wait()
			if sent++; len(r.got(nil)) != sent {
				t.Errorf("%s: %d arrived, want %d", what, len(r.got(nil)), sent)
			}
		}
		rotated(time.Hour)
		rotated(2 * time.Hour)
		next("all three sign", all...)
		r.restart()
		next("after a restart too", all...)
		settleDown(time.Hour)
		next("each has its own end", all[:2]...)
		for range maxSecrets - 2 {
			rotated(24 * time.Hour)
		}
		if _, err := r.w.RotateSecret(ctx, h.ID, time.Hour); !errors.Is(err, queue.ErrConflict) {
			t.Errorf("one too many: %v", err)
		}
		next("what is refused changes nothing", all[:maxSecrets]...)
		rotated(0)
		next("no overlap ends all", all[0])
	})
}
