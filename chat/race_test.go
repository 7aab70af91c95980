package chat_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gatewayd/chat"
	"gatewayd/db"
)

// Of many who want the last SIM for a number at the same time one gets it; colleagues who
// begin at the same time get one conversation.
func TestManyBeginAtOnce(t *testing.T) {
	w := newWorld(t, 2)
	var wait sync.WaitGroup
	var mu sync.Mutex
	won, none, teams := map[string]string{}, 0, map[string]bool{}
	for i := range 8 {
		wait.Go(func() {
			v, _, err := w.Begin(ctx, visitor(fmt.Sprint("v", i)), chat.Wanted{To: phone, Text: "me"})
			mu.Lock()
			defer mu.Unlock()
			var e *chat.Error
			switch {
			case err == nil:
				won[v.SIM] = v.ID
			case errors.As(err, &e) && e.Code == chat.NoNumberFree:
				none++
			default:
				t.Error(err)
			}
		})
		wait.Go(func() {
			v, _, err := w.Begin(ctx, person(fmt.Sprint("p", i), "sales"), chat.Wanted{To: other, Mode: chat.Transaction, Text: "us"})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			teams[v.ID] = true
		})
	}
	wait.Wait()
	if len(won) != 2 || none != 6 || len(teams) != 1 {
		t.Errorf("%d won, %d were told that none is free, the team has %d conversations", len(won), none, len(teams))
	}
	for id := range teams {
		if got := w.texts(id); len(got) != 8 {
			t.Errorf("%q", got)
		}
	}
}

// A clock that is set moves what conversations wait by; what a run left in the future
// does not wait longer than it can.
func TestShift(t *testing.T) {
	w := newWorld(t, 1)
	began := w.now
	m := w.says(phone, "a", "hello")
	v := w.send(person("anna", ""), m.Conversation, "hi").Conversation
	w.now = w.now.Add(30 * time.Minute)
	const step = 10 * 365 * 24 * time.Hour
	err := w.db.Write(func(tx *db.Tx) error { return w.ShiftTx(tx, step, began, w.now.Add(step)) })
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(step)
	w.due()
	w.state(v, chat.StateOpen)
	w.now = w.now.Add(30 * time.Minute)
	w.due()
	w.state(v, chat.StateIdle)
}

// After a backup was restored, whose a SIM is has not gone back in time.
func TestRestore(t *testing.T) {
	w := newWorld(t, 1)
	one := w.begin(visitor("v1"), chat.Wanted{To: phone})
	deleted := w.says(other, "a", "secret").Conversation
	dir := t.TempDir()
	if err := db.Backup(ctx, w.dir, dir+"/gatewayd.db", false); err != nil {
		t.Fatal(err)
	}
	w.Close(ctx, visitor("v1"), one.ID)
	w.now = w.now.Add(80 * time.Hour)
	two := w.begin(visitor("v2"), chat.Wanted{To: phone})
	w.q.EraseNumber(ctx, other)
	w.db.Close()
	d, err := db.Open(ctx, db.Options{Dir: dir, Attach: w.dir + "/" + db.FileName, Copied: true})
	if err != nil {
		t.Fatal(err)
	}
	err = d.Write(func(tx *db.Tx) error { return chat.Restore(tx, true) })
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	w.dir = dir
	w.start()
	w.state(one.ID, chat.StateClosed)
	v := w.state(two.ID, chat.StateInvited)
	if v.Last != nil {
		t.Errorf("%+v", v.Last)
	}
	_, err = w.Get(ctx, deleted)
	w.refused(err, chat.NotFound)
	if m := w.says(phone, "a", "YES"); m.Conversation != two.ID {
		t.Errorf("%+v", m)
	}
}
