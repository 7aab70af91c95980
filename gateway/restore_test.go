package gateway

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
	"gatewayd/twilio"
)

// archive is a data directory, its backup, and what is done with them.
type archive struct {
	t      *testing.T
	dir    string
	backup []byte
}

// in does something with the open database.
func (a *archive) in(do func(*db.DB)) {
	a.t.Helper()
	d, err := db.Open(context.Background(), db.Options{Dir: a.dir})
	if err != nil {
		a.t.Fatal(err)
	}
	do(d)
	if err := d.Close(); err != nil {
		a.t.Fatal(err)
	}
}

func (a *archive) back() {
	a.t.Helper()
	path := filepath.Join(a.t.TempDir(), "copy.db")
	err := db.Backup(context.Background(), a.dir, path, false)
	if err == nil {
		a.backup, err = os.ReadFile(path)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *archive) restore() (Restored, error) {
	return Restore(context.Background(), a.dir, bytes.NewReader(a.backup), "", time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))
}

// Keys and PINs don't go back in time, and browsers sign in anew.
func TestRestoreKeepsWhatWasRevoked(t *testing.T) {
	ctx := context.Background()
	a := &archive{t: t, dir: t.TempDir()}
	tokens := map[string]string{}
	var cookie string
	// send charges messages to a key and returns how many are left to it today.
	send := func(d *db.DB, k *auth.Keys, token string, messages int) int {
		key, err := k.Check(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Write(func(tx *db.Tx) error { return k.Charge(key)(tx, messages) }); err != nil {
			t.Fatal(err)
		}
		use, err := k.Use(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		return use.Day.Left
	}
	create := func(k *auth.Keys, name string) {
		token, _, err := k.Create(ctx, name, []auth.Scope{auth.Read}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		tokens[name] = token
	}
	a.in(func(d *db.DB) {
		k := auth.New(d)
		create(k, "kept")
		create(k, "leaked")
		var err error
		if tokens["limited"], _, err = k.CreateLimited(ctx, "limited", []auth.Scope{auth.Send}, time.Time{}, auth.Limits{Quota: 10}); err != nil {
			t.Fatal(err)
		}
		send(d, k, tokens["limited"], 2)
		if cookie, err = k.Login(ctx, tokens["kept"]); err != nil {
			t.Fatal(err)
		}
	})
	a.back()
	a.in(func(d *db.DB) {
		k := auth.New(d)
		send(d, k, tokens["limited"], 5)
		create(k, "new")
		if _, err := k.Revoke(ctx, "leaked"); err != nil {
			t.Fatal(err)
		}
		if err := (known{d, time.Now, func() bool { return true }}).Try("8949", "1234"); err != nil {
			t.Fatal(err)
		}
	})
	r, err := a.restore()
	if err != nil || r.Unread != nil || r.Kept != filepath.Join(a.dir, "gatewayd-20261126-120000.db") {
		t.Fatalf("%+v %v", r, err)
	}
	a.in(func(d *db.DB) {
		k := auth.New(d)
		for name, good := range map[string]bool{"kept": true, "new": true, "leaked": false} {
			if _, err := k.Check(ctx, tokens[name]); (err == nil) != good {
				t.Errorf("key %s: %v", name, err)
			}
		}
		if left := send(d, k, tokens["limited"], 0); left != 3 {
			t.Errorf("%d messages of the day are left, want 3: a backup grants none anew", left)
		}
		if _, err := k.Session(ctx, cookie); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("a browser is still signed in: %v", err)
		}
		if tried, err := (known{d, time.Now, func() bool { return true }}).Tried("8949", "1234"); !tried || err != nil {
			t.Errorf("a PIN that was refused would be entered again (%v)", err)
		}
	})
}

// Neither do the accounts of the Twilio-compatible API: what was made or set since
// the backup stays, and who was revoked stays so.
func TestRestoreKeepsTwilioAccounts(t *testing.T) {
	ctx := context.Background()
	a := &archive{t: t, dir: t.TempDir()}
	var old, leaked, made, further string
	create := func(d *db.DB, name, url string) (*twilio.Accounts, string) {
		accounts := twilio.NewAccounts(d, auth.New(d))
		sid, _, err := accounts.Create(ctx, auth.Key{Name: name, Scopes: []auth.Scope{auth.Send}}, twilio.Settings{SMSURL: url})
		if err != nil {
			t.Fatal(err)
		}
		return accounts, sid
	}
	a.in(func(d *db.DB) {
		_, old = create(d, "old", "https://example.org/old")
		_, leaked = create(d, "leaked", "")
	})
	a.back()
	a.in(func(d *db.DB) {
		accounts, sid := create(d, "made", "https://example.org/made")
		made = sid
		var err error
		if further, _, err = accounts.CreateKey(ctx, old, auth.Key{Name: "further", Scopes: []auth.Scope{auth.Send}}); err != nil {
			t.Fatal(err)
		}
		if _, err := accounts.Change(ctx, old, func(s *twilio.Settings) { s.SMSURL = "https://example.org/changed" }); err != nil {
			t.Fatal(err)
		}
		if _, err := auth.New(d).Revoke(ctx, "leaked"); err != nil {
			t.Fatal(err)
		}
	})
	if r, err := a.restore(); err != nil || r.Unread != nil {
		t.Fatalf("%+v %v", r, err)
	}
	a.in(func(d *db.DB) {
		keys := auth.New(d)
		accounts := twilio.NewAccounts(d, keys)
		for sid, url := range map[string]string{old: "https://example.org/changed", made: "https://example.org/made", leaked: ""} {
			account, err := accounts.Get(ctx, sid)
			if err != nil || account.SMSURL != url {
				t.Errorf("%s tells %+v (%v)", sid, account, err)
				continue
			}
			if _, err := keys.Foreign(ctx, account.KeyID); (err == nil) != (sid != leaked) {
				t.Errorf("%s: %v", sid, err)
			}
		}
		sids, err := accounts.SIDs(ctx)
		if err != nil || len(sids) != 4 || !slices.Contains(slices.Collect(maps.Values(sids)), further) {
			t.Errorf("the SIDs are %v (%v)", sids, err)
		}
	})
}

// What can't be read is replaced all the same, and told; a newer gatewayd's
// database is not.
func TestRestoreOverADamagedDatabase(t *testing.T) {
	ctx := context.Background()
	a := &archive{t: t, dir: t.TempDir()}
	a.in(func(d *db.DB) {
		q, err := queue.Open(ctx, d, queue.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := q.Submit(ctx, []queue.Draft{{Message: sms.Message{To: "+491701234567", Text: "x"}}}, nil); err != nil {
			t.Fatal(err)
		}
	})
	a.back()
	path := filepath.Join(a.dir, db.FileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func([]byte){
		"everywhere": func(b []byte) { clear(b) },
		"inside": func(b []byte) { // it opens, and its tables can't be read
			for i := 4 * 2048; i < len(b); i++ {
				b[i] ^= 0xff
			}
		},
	} {
		b := bytes.Clone(whole)
		damage(b)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := a.restore()
		if err != nil || r.Unread == nil || r.Held != 1 {
			t.Errorf("%s: %+v %v", name, r, err)
		}
		if b, err := os.ReadFile(r.Kept); err != nil || bytes.Equal(b, whole) {
			t.Errorf("%s: the damaged database was not kept (%v)", name, err)
		}
		if err := os.Remove(r.Kept); err != nil {
			t.Error(err)
		}
	}
	a.in(func(d *db.DB) {
		if err := d.Write(func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := a.restore(); !errors.Is(err, db.ErrNewer) {
		t.Errorf("over the database of a newer gatewayd: %v", err)
	}
	// Who goes back says so; what must not go back in time is read from it.
	r, err := GoBack(context.Background(), a.dir, bytes.NewReader(a.backup), "", time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))
	if err != nil || r.Unread != nil || r.Kept == "" {
		t.Errorf("going back: %+v %v", r, err)
	}
	a.in(func(*db.DB) {})
	if left, _ := filepath.Glob(filepath.Join(a.dir, "restore-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Into an empty directory, as on a new SD card.
func TestRestoreIntoNothing(t *testing.T) {
	a := &archive{t: t, dir: t.TempDir()}
	a.in(func(*db.DB) {})
	a.back()
	a.dir = t.TempDir()
	if r, err := a.restore(); err != nil || r.Kept != "" || r.Unread != nil {
		t.Errorf("%+v %v", r, err)
	}
	a.in(func(*db.DB) {})
}

// Held messages stay where they are, an alarm says so, and a verdict that was left
// for the daemon is carried out.
func TestHeldMessagesGoOnAVerdict(t *testing.T) {
	inWorld(t, 1, sim.NetworkOptions{}, func(w *world) {
		w.pass(time.Minute)
		later := func(d *queue.Draft) { d.SendAt = time.Now().Add(time.Hour) }
		m := w.submit("+491701234567", "hello", later)
		w.end()
		a := &archive{t: t, dir: w.dir}
		a.back()
		if _, err := a.restore(); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.pass(3 * time.Hour)
		if m := w.message(m.ID); !m.Held || m.Status != sms.Scheduled {
			t.Errorf("it is %s, held %v", m.Status, m.Held)
		}
		if on := w.g.alarms.of(""); len(on) != 1 || on[0].Code != messagesHeld {
			t.Errorf("alarms: %+v", on)
		}
		if err := queue.Decide(w.g.database, queue.Release); err != nil {
			t.Fatal(err)
		}
		if m := w.until(m.ID, sms.Delivered, time.Minute); m.Held || m.PossibleDuplicate {
			t.Errorf("%+v", m)
		}
		w.pass(time.Minute)
		if on := w.g.alarms.of(""); len(on) != 0 {
			t.Errorf("alarms: %+v", on)
		}
	})
}

// A key may not do again what its owner has forbidden it since the backup, and all
// keys of one principal have the same limits.
// The trace of a message that was erased after the backup does not come back.
func TestRestoreBringsBackNoErasedTrace(t *testing.T) {
	a := &archive{t: t, dir: t.TempDir()}
	do := func(query string) {
		a.in(func(d *db.DB) {
			if err := d.Write(func(tx *db.Tx) error { _, err := tx.Exec(query); return err }); err != nil {
				t.Fatal(err)
			}
		})
	}
	do(`INSERT INTO traces (message, pieces) VALUES ('msg_erased', '[]'), ('msg_kept', '[]')`)
	a.back()
	do(`DELETE FROM traces WHERE message = 'msg_erased'`)
	if _, err := a.restore(); err != nil {
		t.Fatal(err)
	}
	a.in(func(d *db.DB) {
		var left string
		if err := d.Read(context.Background(), func(r db.Querier) error {
			return r.QueryRow(`SELECT group_concat(message) FROM traces`).Scan(&left)
		}); err != nil || left != "msg_kept" {
			t.Errorf("traces of %q are there, %v", left, err)
		}
	})
}

func TestRestoreKeepsLimits(t *testing.T) {
	ctx := context.Background()
	a := &archive{t: t, dir: t.TempDir()}
	var first, second string
	a.in(func(d *db.DB) {
		var err error
		if first, _, err = auth.New(d).CreateLimited(ctx, "app", []auth.Scope{auth.Send}, time.Time{}, auth.Limits{Quota: 100, Premium: true}); err != nil {
			t.Fatal(err)
		}
	})
	a.back()
	a.in(func(d *db.DB) {
		k := auth.New(d)
		if _, err := k.Limit(ctx, "app", func(l *auth.Limits) { *l = auth.Limits{Quota: 10, Rate: 5, Burst: 2} }); err != nil {
			t.Fatal(err)
		}
		var err error
		if second, _, _, err = k.Rotate(ctx, "app", time.Hour); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := a.restore(); err != nil {
		t.Fatal(err)
	}
	a.in(func(d *db.DB) {
		for _, token := range []string{first, second} {
			key, err := auth.New(d).Check(ctx, token)
			if err != nil {
				t.Fatal(err)
			}
			if key.Quota != 10 || key.Rate != 5 || key.Burst != 2 || key.Premium {
				t.Errorf("%s has the limits %+v", key.Prefix(), key.Limits)
			}
		}
	})
}

// A restore tells nobody what the backup had to tell; what was to be told when it
// was made is told.
func TestRestoreTellsNoOldAlarms(t *testing.T) {
	a := &archive{t: t, dir: t.TempDir()}
	exec := func(queries ...string) {
		a.in(func(d *db.DB) {
			if err := d.Write(func(tx *db.Tx) error {
				for _, q := range queries {
					if _, err := tx.Exec(q); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		})
	}
	exec(`INSERT INTO alarm_notices (kind, code, modem, title, detail, severity, at) VALUES ('begin', 'old', '', '', '', 'warning', 1)`,
		`INSERT INTO alarm_letters (channel, receiver, subject, body, made_at, tries, due_at) VALUES ('sms', '+1', '', 'old', 1, 0, 1)`,
		`INSERT INTO alarm_history (begun_at, code, modem, title, detail, severity, ended_at) VALUES (1, 'both', '', '', '', 'warning', 2)`)
	a.back()
	exec(`DELETE FROM alarm_notices`, `DELETE FROM alarm_letters`,
		`INSERT INTO alarm_letters (channel, receiver, subject, body, made_at, tries, due_at) VALUES ('sms', '+1', '', 'new', 1, 0, 1)`,
		`INSERT INTO alarm_history (begun_at, code, modem, title, detail, severity, ended_at) VALUES (3, 'later', '', '', '', 'warning', 4)`)
	if _, err := a.restore(); err != nil {
		t.Fatal(err)
	}
	a.in(func(d *db.DB) {
		if err := d.Read(context.Background(), func(r db.Querier) error {
			var notices, letters, history int
			var body string
			err := r.QueryRow(`SELECT (SELECT count(*) FROM alarm_notices), (SELECT count(*) FROM alarm_letters), (SELECT max(body) FROM alarm_letters),
				(SELECT count(*) FROM alarm_history)`).Scan(&notices, &letters, &body, &history)
			if notices != 0 || letters != 1 || body != "new" || history != 2 {
				t.Errorf("%d notices, %d letters (%s), %d that are over", notices, letters, body, history)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}
