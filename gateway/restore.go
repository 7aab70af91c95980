package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/contacts"
	"gatewayd/db"
	"gatewayd/files"
	"gatewayd/hooks"
	hubs "gatewayd/hub"
	"gatewayd/inbox"
	"gatewayd/link"
	"gatewayd/queue"
	"gatewayd/reports"
	"gatewayd/twilio"
	"gatewayd/webhook"
	"gatewayd/widget"
)

// Restored says what Restore has done.
type Restored struct {
	queue.Takeover
	Deliveries int    // of webhooks, that are held
	Kept       string // where the database is that was replaced; "": there was none
	Unread     error  // why nothing could be taken from it
}

// Restore puts a backup in the place of the database in dir, after it has checked
// it. No daemon may run there, which the caller sees to. What was unfinished in
// the backup is held until somebody decides, or has decided with verdict.
func Restore(ctx context.Context, dir string, backup io.ReadSeeker, verdict queue.HeldVerdict, now time.Time) (Restored, error) {
	return restore(ctx, dir, backup, verdict, now, false)
}

// GoBack is Restore over the database of a newer gatewayd. What must not go back
// in time is taken from that too, as far as its tables are still the same.
func GoBack(ctx context.Context, dir string, backup io.ReadSeeker, verdict queue.HeldVerdict, now time.Time) (Restored, error) {
	return restore(ctx, dir, backup, verdict, now, true)
}

func restore(ctx context.Context, dir string, backup io.ReadSeeker, verdict queue.HeldVerdict, now time.Time, back bool) (r Restored, err error) {
	stage, err := db.Stage(ctx, dir, backup)
	if err != nil {
		return r, fmt.Errorf("the backup can't be used, and nothing was changed: %w", err)
	}
	defer func() { os.RemoveAll(stage) }()
	if err := remove(filepath.Join(dir, firstRunFile)); err != nil { // it is of the database that goes
		return r, err
	}
	there := filepath.Join(dir, db.FileName)
	if info, err := os.Stat(there); err != nil || info.Size() == 0 {
		there = ""
	} else if err := db.Newer(ctx, dir); err != nil && back {
		// It is read as it is: a migration adds to tables, most of the time.
	} else if err != nil {
		return r, fmt.Errorf("the database that is there was not replaced: %w", err)
	} else if r.Unread = openable(ctx, dir); errors.Is(r.Unread, db.ErrDiskFull) {
		return r, r.Unread
	}
	if there != "" && r.Unread == nil {
		err := r.merge(ctx, stage, there, verdict, now)
		if err == nil {
			r.Kept, err = db.Replace(dir, stage, now)
			return r, err
		}
		if errors.Is(err, db.ErrDiskFull) || ctx.Err() != nil {
			return r, err
		}
		// It is damaged somewhere. The backup is begun with anew.
		r = Restored{Unread: err}
		os.RemoveAll(stage)
		if _, err := backup.Seek(0, io.SeekStart); err != nil {
			return r, err
		}
		if stage, err = db.Stage(ctx, dir, backup); err != nil {
			return r, err
		}
	}
	if err := r.merge(ctx, stage, "", verdict, now); err != nil {
		return r, err
	}
	r.Kept, err = db.Replace(dir, stage, now)
	return r, err
}

// openable brings a database up to date, as the next start would, so that it can
// be read; or says why it can't.
func openable(ctx context.Context, dir string) error {
	d, err := db.Open(ctx, db.Options{Dir: dir})
	if err != nil {
		return err
	}
	return d.Close()
}

// merge makes the staged database fit to go on with.
func (r *Restored) merge(ctx context.Context, stage, replaced string, verdict queue.HeldVerdict, now time.Time) (err error) {
	d, err := db.Open(ctx, db.Options{Dir: stage, Attach: replaced, Copied: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	attached := replaced != ""
	err = d.Write(func(tx *db.Tx) error {
		err := db.ContinueSequences(tx, attached)
		if err == nil {
			err = auth.Restore(tx, attached)
		}
		if err == nil {
			err = twilio.Restore(tx, attached)
		}
		if err == nil {
			err = webhook.Restore(tx, attached, now)
		}
		if err == nil && attached {
			err = restoreKnown(tx)
		}
		if err == nil && attached {
			err = restoreSettings(tx)
		}
		if err == nil {
			err = link.Restored(tx)
		}
		if err == nil && attached {
			err = hooks.Restore(tx)
		}
		if err == nil && attached {
			err = widget.Restore(tx)
		}
		if err == nil && attached {
			err = hubs.Restore(tx)
		}
		if err == nil && attached {
			err = contacts.Restore(tx)
		}
		if err == nil && attached {
			err = reports.Restore(tx)
		}
		if err == nil && attached {
			err = files.Restore(tx)
		}
		if err == nil {
			err = inbox.Restore(tx, attached)
		}
		if err == nil {
			err = restoreAlarms(tx, attached)
		}
		if err == nil {
			err = chat.Restore(tx, attached)
		}
		return err
	})
	if err == nil {
		r.Takeover, err = queue.Restore(ctx, d, attached, verdict, now)
	}
	if err == nil {
		r.Deliveries, err = webhook.Held(ctx, d)
	}
	return err
}

// restoreKnown keeps what the replaced database knows of modems and SIMs. Above
// all: a PIN that was refused is not entered again.
func restoreKnown(tx *db.Tx) error {
	for _, query := range []string{
		`INSERT OR IGNORE INTO tried_pins (sim, pin, tried_at) SELECT sim, pin, tried_at FROM replaced.tried_pins`,
		`INSERT OR IGNORE INTO known_modems (imei, name, iccid, seen_at) SELECT imei, name, iccid, seen_at FROM replaced.known_modems`,
		`INSERT INTO accounts (sim, amount, currency, known_at, asked_at, fault, answer, alive_at)
			SELECT sim, amount, currency, known_at, asked_at, fault, answer, alive_at FROM replaced.accounts WHERE true
			ON CONFLICT DO UPDATE SET amount = excluded.amount, currency = excluded.currency, known_at = excluded.known_at,
			asked_at = excluded.asked_at, fault = excluded.fault, answer = excluded.answer, alive_at = max(alive_at, excluded.alive_at)
			WHERE excluded.asked_at >= asked_at`,
		restoreSignals,
		restoreBackups,
		// What was erased since stays erased.
		`DELETE FROM traces WHERE message NOT IN (SELECT message FROM replaced.traces)`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}

// Held counts what is held in d: messages and deliveries.
func Held(ctx context.Context, d *db.DB) (messages, deliveries int, v queue.HeldVerdict, err error) {
	if messages, v, err = queue.Held(ctx, d); err == nil {
		deliveries, err = webhook.Held(ctx, d)
	}
	return messages, deliveries, v, err
}

// settleHeld carries out the verdict on what is held since a backup was restored,
// or tells that there is none. It returns when to look again.
func (g *Gateway) settleHeld(now time.Time) (time.Time, error) {
	ctx := context.Background()
	if g.allSettled {
		return time.Time{}, nil // a restore needs a start
	}
	messages, deliveries, verdict, err := Held(ctx, g.database)
	if err != nil {
		return time.Time{}, err
	}
	if verdict != "" && messages+deliveries > 0 {
		g.log.Info("what a backup left unfinished is settled", "verdict", verdict, "messages", messages, "deliveries", deliveries)
		if err := g.queue.Settle(ctx, verdict); err != nil {
			return time.Time{}, err
		}
		if err := g.webhooks.SettleHeld(ctx, verdict == queue.Release); err != nil {
			return time.Time{}, err
		}
		messages, deliveries = 0, 0
	}
	g.allSettled = messages+deliveries == 0
	g.raise(!g.allSettled, messagesHeld, "What a backup left unfinished is held",
		fmt.Sprintf("Messages: %d, webhook deliveries: %d. They may have gone out after the backup was made. Send them with gatewayd restore --release, or drop them with gatewayd restore --cancel.", messages, deliveries))
	if g.allSettled {
		return time.Time{}, nil
	}
	return now.Add(lookWhileFull), nil
}
