package auth

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/db"
)

const (
	horse = "correct horse battery"
	other = "another long sentence"
)

// cheap makes passwords quick to hash, for tests of something else.
func cheap(t *testing.T) {
	t.Helper()
	before := costs
	CheapPasswords()
	t.Cleanup(func() { costs = before })
}

func person(t *testing.T, k *Keys, name string, role Role) Person {
	t.Helper()
	p, _, err := k.AddPerson(ctx, Person{Name: name, Role: role}, horse)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func signIn(t *testing.T, k *Keys, name, password string) string {
	t.Helper()
	cookie, _, err := k.SignIn(ctx, name, password, "a browser", true)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return cookie
}

func wantWrong(t *testing.T, err error, field string) {
	t.Helper()
	var w *WrongError
	if !errors.As(err, &w) || w.Field != field {
		t.Errorf("got %v, want an error of the field %s", err, field)
	}
}

// The stored form names its cost, so that passwords outlive a change of it.
func TestPasswordsAreHashedWithArgon2id(t *testing.T) {
	k := open(t, t.TempDir(), false)
	p := person(t, k, "anna", Administrator)
	stored, err := k.storedPassword(ctx, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	c, salt, hash, err := decode(stored)
	if err != nil || !strings.HasPrefix(stored, "$argon2id$v=19$m=12288,t=3,p=1$") || c != (cost{12288, 3}) || len(salt) != 16 || len(hash) != 32 {
		t.Errorf("%s: %+v, a salt of %d and a hash of %d bytes, %v", stored, c, len(salt), len(hash), err)
	}
	again, err := k.hashPassword(ctx, horse)
	if err != nil || again == stored {
		t.Errorf("two hashes of one password are alike, %v", err)
	}
	old := cost{memory: 64, passes: 2}
	for password, want := range map[string]bool{horse: true, horse + " ": false, "": false, "Correct horse battery": false} {
		if ok, err := k.matches(ctx, stored, password, false); ok != want || err != nil {
			t.Errorf("%q: %v, %v", password, ok, err)
		}
		if ok, err := k.matches(ctx, old.encode(salt, old.hash(horse, salt)), password, false); ok != want || err != nil {
			t.Errorf("%q by an older cost: %v, %v", password, ok, err)
		}
	}
	// The same letter, typed on another keyboard.
	composed, err := k.hashPassword(ctx, "gr\u00fcne Wiesen")
	if ok, err2 := k.matches(ctx, composed, "gru\u0308ne Wiesen", false); !ok || err != nil || err2 != nil {
		t.Error("the form of a letter counts")
	}
	for _, bad := range []string{"$argon2id$v=19$m=4194304,t=3,p=1$AAAAAAAAAAAAAAAA$AAAA", "$2y$10$abc", "$argon2id$v=19$m=12288,t=3,p=1$!$AAAA", "x"} {
		if ok, err := k.matches(ctx, bad, "", false); ok || err == nil {
			t.Errorf("%q: %v, %v", bad, ok, err)
		}
	}
}

func TestPasswordsThatAreRefused(t *testing.T) {
	for _, password := range []string{"", "short", "123456789", "1234567890", "aaaaaaaaaaaa", "abcdefghijkl", "Password123", "gatewayd123456", "anna12345678!", "Anna Anna 1", "tab\tin between", strings.Repeat("long ", 60)} {
		wantWrong(t, checkPassword(password, "anna", "gatewayd"), "password")
	}
	for _, password := range []string{horse, "anna's green door", "ПарольПароль", "ten words!"} {
		if err := checkPassword(password, "anna", "gatewayd"); err != nil {
			t.Errorf("%q: %v", password, err)
		}
	}
}

// However many sign in at once, one password is hashed at a time, and the line of
// strangers is short. Who is known is never sent away.
func TestHashingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var running, most, done, busy atomic.Int32
		work := func() {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(time.Second)
			running.Add(-1)
			done.Add(1)
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := g.pass(context.Background(), true, work); errors.Is(err, ErrBusy) {
					busy.Add(1)
				}
			})
		}
		synctest.Wait()
		for range 3 {
			wg.Go(func() {
				if err := g.pass(context.Background(), false, work); err != nil {
					t.Error(err)
				}
			})
		}
		left, leave := context.WithCancel(context.Background())
		leave()
		if err := g.pass(left, false, work); !errors.Is(err, context.Canceled) {
			t.Errorf("who has left: %v", err)
		}
		wg.Wait()
		if most.Load() != 1 || done.Load() != maxWaiting+3 || busy.Load() != 100-maxWaiting {
			t.Errorf("%d at once, %d done, %d sent away", most.Load(), done.Load(), busy.Load())
		}
	})
}

func TestRolesBecomeScopes(t *testing.T) {
	all := []Scope{Watch, Service, Send, Read, Admin}
	for _, c := range []struct {
		role  Role
		texts bool
		may   string
	}{
		{Technician, false, "watch service"},
		{Technician, true, "watch service read"},
		{Operator, false, "watch send read"},
		{Administrator, false, "watch service send read admin"},
		{"king", true, ""},
	} {
		key := (&Person{ID: "usr_1", Name: "anna", Role: c.role, SeesTexts: c.texts}).Key()
		var may []string
		for _, s := range all {
			if key.Can(s) {
				may = append(may, string(s))
			}
		}
		if strings.Join(may, " ") != c.may || key.Principal != "usr_1" {
			t.Errorf("%s, texts %v: %v for %s", c.role, c.texts, may, key.Principal)
		}
	}
}

func TestPeopleSignIn(t *testing.T) {
	cheap(t)
	dir := t.TempDir()
	k := open(t, dir, false)
	anna := person(t, k, "Anna Ängström", Operator)
	person(t, k, "bert", Administrator)
	for _, name := range []string{"Anna Ängström", "ANNA ÄNGSTRÖM", " anna ängström ", "anna a\u0308ngstro\u0308m"} {
		cookie := signIn(t, k, name, horse)
		key, err := k.Session(ctx, cookie)
		if err != nil || key.Person == nil || key.ID != anna.ID || key.Name != "Anna Ängström" || !key.Can(Send) || key.Can(Admin) || key.Prefix() != anna.ID {
			t.Fatalf("%q: %+v, %v", name, key, err)
		}
	}
	for _, try := range [][2]string{{"anna ängström", other}, {"nobody", horse}, {"", ""}, {"anna ängström", ""}, {anna.ID, horse}, {"anna ängström", strings.Repeat("x", 1<<20)}} {
		if cookie, _, err := k.SignIn(ctx, try[0], try[1], "", true); !errors.Is(err, ErrWrongPassword) || cookie != "" {
			t.Errorf("%.30q: %v", try, err)
		}
	}
	if _, _, err := k.AddPerson(ctx, Person{Name: "ANNA ängström", Role: Operator}, horse); err == nil {
		t.Error("a name is there twice")
	} else {
		wantWrong(t, err, "name")
	}
	_, _, err := k.AddPerson(ctx, Person{Name: "x", Role: "king"}, horse)
	wantWrong(t, err, "role")
	_, _, err = k.AddPerson(ctx, Person{Name: "usr_anna", Role: Operator}, horse)
	wantWrong(t, err, "name")
	if p, err := k.Person(ctx, "anna ängström"); err != nil || p.SignedInAt.IsZero() || p.ID != anna.ID {
		t.Errorf("%+v, %v", p, err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if b, err := os.ReadFile(f); err != nil || bytes.Contains(b, []byte(horse)) {
			t.Errorf("%s holds the password, %v", filepath.Base(f), err)
		}
	}
}

// An unknown name costs what a wrong password costs: the work is counted, because a
// measured time is no proof on a busy machine.
func TestUnknownNamesCostAsMuch(t *testing.T) {
	cheap(t)
	k := open(t, t.TempDir(), false)
	person(t, k, "anna", Operator)
	_, _, err := k.AddPerson(ctx, Person{Name: "invited", Role: Operator}, "")
	if err != nil {
		t.Fatal(err)
	}
	// With the only slot taken, whoever gets on without hashing would be told at once.
	k.gate.slot <- struct{}{}
	var wg sync.WaitGroup
	for _, name := range []string{"anna", "nobody", "invited", ""} {
		wg.Go(func() {
			hurry, stop := context.WithTimeout(ctx, 20*time.Millisecond)
			defer stop()
			if _, _, err := k.SignIn(hurry, name, "wrong password", "", false); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%q got its answer without the work: %v", name, err)
			}
		})
	}
	wg.Wait()
	<-k.gate.slot
}

// Whatever is changed of a person ends the person's sessions, and no other's.
func TestSessionsOfPeopleEnd(t *testing.T) {
	cheap(t)
	k := open(t, t.TempDir(), false)
	person(t, k, "root", Administrator)
	root := signIn(t, k, "root", horse)
	anna := person(t, k, "anna", Technician)
	no, yes, operator := false, true, Operator
	change := func(c PersonChange) func() error {
		return func() error { _, err := k.ChangePerson(ctx, "anna", c); return err }
	}
	password := horse
	for _, c := range []struct {
		what string
		do   func() error
		then string // the password afterwards
	}{
		{"password changed by herself", func() error { _, err := k.ChangePassword(ctx, anna.ID, horse, other); return err }, other},
		{"password set", func() error { _, err := k.SetPassword(ctx, "anna", horse); return err }, horse},
		{"role", change(PersonChange{Role: &operator}), horse},
		{"sees texts", change(PersonChange{SeesTexts: &yes}), horse},
		{"signed out everywhere", func() error { _, err := k.SignOutPerson(ctx, "anna"); return err }, horse},
		{"disabled", change(PersonChange{Disabled: &yes}), ""},
		{"enabled", change(PersonChange{Disabled: &no}), horse},
		{"invited anew", func() error { _, _, err := k.Invite(ctx, "anna"); return err }, ""},
	} {
		one, two := "", ""
		if password != "" {
			one, two = signIn(t, k, "anna", password), signIn(t, k, "anna", password)
			if err := k.Logout(ctx, one); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		for _, cookie := range []string{one, two} {
			_, err := k.Session(ctx, cookie)
			wantInvalid(t, err, c.what)
		}
		if password = c.then; password == "" {
			if _, _, err := k.SignIn(ctx, "anna", horse, "", true); !errors.Is(err, ErrWrongPassword) {
				t.Errorf("%s: signing in gives %v", c.what, err)
			}
		}
	}
	if _, err := k.RemovePerson(ctx, "anna"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Person(ctx, anna.ID); !errors.Is(err, ErrNoPerson) {
		t.Errorf("removed: %v", err)
	}
	if _, err := k.Session(ctx, root); err != nil {
		t.Errorf("somebody else's session ended: %v", err)
	}
	person(t, k, "anna", Operator) // the name is free again
}

func TestPeoplesSessionsAreListedAndEnded(t *testing.T) {
	cheap(t)
	k := open(t, t.TempDir(), false)
	anna, bert := person(t, k, "anna", Operator), person(t, k, "bert", Operator)
	one, two, his := signIn(t, k, "anna", horse), signIn(t, k, "anna", horse), signIn(t, k, "bert", horse)
	all, err := k.Sessions(ctx, anna.ID)
	if err != nil || len(all) != 2 || all[0].Browser != "a browser" {
		t.Fatalf("%+v, %v", all, err)
	}
	if err := k.EndSession(ctx, anna.ID, SessionID(his)); err != nil { // not hers
		t.Fatal(err)
	}
	if err := k.EndSession(ctx, anna.ID, SessionID(one)); err != nil {
		t.Fatal(err)
	}
	_, err = k.Session(ctx, one)
	wantInvalid(t, err, "an ended session")
	for _, cookie := range []string{two, his} {
		if _, err := k.Session(ctx, cookie); err != nil {
			t.Errorf("another session: %v", err)
		}
	}
	if all, err := k.Sessions(ctx, bert.ID); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestIdleAndAbsoluteLife(t *testing.T) {
	cheap(t)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := open(t, dir, true)
		anna := person(t, k, "anna", Operator)
		idle, busy := signIn(t, k, "anna", horse), signIn(t, k, "anna", horse)
		alive := func(cookie string) bool { _, err := k.Session(ctx, cookie); return err == nil }
		began := time.Now()
		for time.Since(began) < SessionLife-23*time.Hour {
			time.Sleep(23 * time.Hour)
			if !alive(busy) {
				t.Fatalf("a session in use ended after %v", time.Since(began))
			}
			if time.Since(began) > idleLife && alive(idle) {
				t.Fatalf("an idle session lives after %v", time.Since(began))
			}
		}
		time.Sleep(SessionLife - time.Since(began))
		if alive(busy) {
			t.Error("a session in use never ends")
		}
		if all, err := k.Sessions(ctx, anna.ID); err != nil || len(all) != 0 {
			t.Errorf("listed: %+v, %v", all, err)
		}
	})
}

func TestTheLastAdminStays(t *testing.T) {
	cheap(t)
	k := open(t, t.TempDir(), false)
	person(t, k, "root", Administrator)
	if _, _, err := k.AddPerson(ctx, Person{Name: "invited", Role: Administrator}, ""); err != nil {
		t.Fatal(err)
	}
	operator, yes := Operator, true
	try := map[string]func() error{
		"removed":  func() error { _, err := k.RemovePerson(ctx, "root"); return err },
		"demoted":  func() error { _, err := k.ChangePerson(ctx, "root", PersonChange{Role: &operator}); return err },
		"disabled": func() error { _, err := k.ChangePerson(ctx, "root", PersonChange{Disabled: &yes}); return err },
		"invited":  func() error { _, _, err := k.Invite(ctx, "root"); return err },
	}
	for what, do := range try {
		if err := do(); !errors.Is(err, ErrLastAdmin) {
			t.Errorf("the last admin is %s: %v", what, err)
		}
	}
	signIn(t, k, "root", horse)
	person(t, k, "second", Administrator)
	if err := try["demoted"](); err != nil {
		t.Error(err)
	}
}

// A stranger's tries are not those of a browser that the person signed in with.
func TestDevicesAreKnown(t *testing.T) {
	cheap(t)
	k := open(t, t.TempDir(), false)
	anna := person(t, k, "anna", Operator)
	person(t, k, "bert", Operator)
	mark, err := k.Device(ctx, anna.ID)
	if err != nil {
		t.Fatal(err)
	}
	device, ok := k.Knows(ctx, mark, "ANNA")
	if !ok || strings.Contains(device, ".") {
		t.Errorf("%q, %v", device, ok)
	}
	nonce, sum, _ := strings.Cut(mark, ".")
	for what, wrong := range map[string][2]string{
		"another's name":  {mark, "bert"},
		"nobody's name":   {mark, "nobody"},
		"another nonce":   {strings.Repeat("0", 22) + "." + sum, "anna"},
		"another sum":     {nonce + "." + strings.Repeat("A", len(sum)), "anna"},
		"no sum":          {nonce + ".", "anna"},
		"nothing":         {"", "anna"},
		"an unkeyed sum":  {nonce + "." + markOf("", nonce), "anna"},
		"no person's sum": {nonce + "." + markOf("", nonce), "nobody"},
	} {
		if _, ok := k.Knows(ctx, wrong[0], wrong[1]); ok {
			t.Errorf("%s is known", what)
		}
	}
	if _, err := k.SetPassword(ctx, "anna", other); err != nil {
		t.Fatal(err)
	}
	if _, ok := k.Knows(ctx, mark, "anna"); ok {
		t.Error("a mark outlives the password")
	}
}

func TestFirstRunCode(t *testing.T) {
	cheap(t)
	k := open(t, t.TempDir(), false)
	old, err := k.FirstRun(ctx)
	if err != nil {
		t.Fatal(err)
	}
	code, err := k.FirstRun(ctx)
	if err != nil || len(code) != 11 || code[5] != '-' || strings.ContainsAny(code, "0O1IlL") {
		t.Fatalf("%q, %v", code, err)
	}
	claim := func(code, name, password string) error { _, err := k.Claim(ctx, code, name, password); return err }
	for _, wrong := range []string{"", "-", old, "AAAAA-AAAAA", code + "A"} {
		if err := claim(wrong, "anna", horse); !errors.Is(err, ErrWrongCode) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	wantWrong(t, claim(code, "anna", "short"), "password")
	wantWrong(t, claim(code, "anna", ""), "password")
	wantWrong(t, claim(code, "", horse), "name")
	for of, want := range map[string]bool{code: true, old: false, "": false} {
		if good, err := k.LetsIn(ctx, of); good != want || err != nil {
			t.Errorf("%q lets in: %v, %v", of, good, err)
		}
	}
	// As somebody types it.
	if err := claim(" "+strings.ToLower(strings.ReplaceAll(code, "-", " "))+" ", "anna", horse); err != nil {
		t.Fatal(err)
	}
	if err := claim(code, "bert", horse); !errors.Is(err, ErrWrongCode) {
		t.Errorf("once more: %v", err)
	}
	if good, err := k.LetsIn(ctx, code); good || err != nil {
		t.Errorf("a code that was used lets in: %v, %v", good, err)
	}
	if again, err := k.FirstRun(ctx); again != "" || err != nil {
		t.Errorf("with an admin there: %q, %v", again, err)
	}
	all, err := k.People(ctx)
	if err != nil || len(all) != 1 || all[0].Role != Administrator || all[0].Name != "anna" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestOfManyClaimsOneWins(t *testing.T) {
	cheap(t)
	k := open(t, t.TempDir(), false)
	code, err := k.FirstRun(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var won atomic.Int32
	var wg sync.WaitGroup
	for _, name := range []string{"anna", "bert", "carl", "dora", "emil", "fred"} {
		wg.Go(func() {
			switch _, err := k.Claim(ctx, code, name, horse); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, ErrWrongCode):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if all, err := k.People(ctx); err != nil || won.Load() != 1 || len(all) != 1 {
		t.Errorf("%d won, there are %d people, %v", won.Load(), len(all), err)
	}
}

func TestInvitations(t *testing.T) {
	cheap(t)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := open(t, dir, true)
		person(t, k, "root", Administrator)
		invite := func(name string) string {
			_, code, err := k.AddPerson(ctx, Person{Name: name, Role: Operator}, "")
			if err != nil || code == "" {
				t.Fatal(code, err)
			}
			return code
		}
		accept := func(code, name string) error { _, err := k.Accept(ctx, code, name, horse); return err }
		anna, bert := invite("anna"), invite("bert")
		for _, wrong := range [][2]string{{anna, "bert"}, {anna, "nobody"}, {bert, "anna"}, {"", "anna"}, {anna, ""}, {"", "root"}} {
			if err := accept(wrong[0], wrong[1]); !errors.Is(err, ErrWrongCode) {
				t.Errorf("%q: %v", wrong, err)
			}
		}
		if err := accept(strings.ToLower(anna), "Anna"); err != nil {
			t.Error(err)
		}
		signIn(t, k, "anna", horse)
		if err := accept(anna, "anna"); !errors.Is(err, ErrWrongCode) {
			t.Errorf("twice: %v", err)
		}
		// A new one ends the one before, a clock that is set keeps it, its time ends it.
		p, code, err := k.Invite(ctx, "bert")
		if err != nil || p.HasPassword {
			t.Fatal(p, err)
		}
		if err := accept(bert, "bert"); !errors.Is(err, ErrWrongCode) {
			t.Errorf("the one before: %v", err)
		}
		time.Sleep(codeLife)
		if err := accept(code, "bert"); !errors.Is(err, ErrWrongCode) {
			t.Errorf("too late: %v", err)
		}
		began := time.Now()
		_, code, err = k.Invite(ctx, "bert")
		if err != nil {
			t.Fatal(err)
		}
		const step = 50 * 365 * 24 * time.Hour
		if err := k.db.Write(func(tx *db.Tx) error { return k.ShiftTx(tx, step, began) }); err != nil {
			t.Fatal(err)
		}
		k.UseClock(func() time.Time { return time.Now().Add(step) })
		if err := accept(code, "bert"); err != nil {
			t.Errorf("after the clock was set: %v", err)
		}
	})
}

// Scopes of keys: what people have in their roles, keys may have too.
func TestKeysMayWatchAndServe(t *testing.T) {
	k := open(t, t.TempDir(), false)
	scopes, err := ParseScopes("watch, service")
	if err != nil || !slices.Equal(scopes, []Scope{Watch, Service}) {
		t.Fatal(scopes, err)
	}
	token, _ := create(t, k, "monitoring", scopes...)
	key, err := k.Check(ctx, token)
	if err != nil || !key.Can(Watch) || !key.Can(Service) || key.Can(Read) || key.Can(Send) || key.Can(Admin) || key.Person != nil {
		t.Errorf("%+v, %v", key, err)
	}
	if _, err := ParseScopes("king"); err == nil {
		t.Error("king is a scope")
	}
}
