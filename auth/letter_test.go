package auth

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/db"
)

// mailbox is a mail server: it takes what its verdict lets through.
type mailbox struct {
	mu      sync.Mutex
	verdict error
	tried   int
	texts   []string
	ids     map[string]bool
}

type refusal struct{}

func (refusal) Error() string   { return "550 no such mailbox" }
func (refusal) Permanent() bool { return true }

func (m *mailbox) send(_ context.Context, to []string, _, text, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tried++
	if m.verdict == nil {
		m.texts = append(m.texts, strings.Join(to, ",")+"\n"+text)
		m.ids[id] = true
	}
	return m.verdict
}

func (m *mailbox) is(verdict error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verdict = verdict
}

// got are the e-mails that were taken, and how many were tried.
func (m *mailbox) got() (texts []string, ids, tried int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.texts), len(m.ids), m.tried
}

// posted runs the post of k until the test ends.
func posted(t *testing.T, k *Keys, m *mailbox) {
	m.ids = map[string]bool{}
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		_ = k.RunPost(ctx, Post{Box: func() string { return "shop" }, Log: slog.New(slog.DiscardHandler),
			Send: func() func(context.Context, []string, string, string, string) error { return m.send }})
	})
	t.Cleanup(func() { stop(); done.Wait() })
}

// codeOf reads the code out of an e-mail.
func codeOf(text string) string {
	_, rest, _ := strings.Cut(text, "/welcome#")
	code, _, _ := strings.Cut(rest, "/")
	return code
}

// An invitation goes by e-mail once there is a mail server that takes it, with a code
// that is good; no code is on the disk before.
func TestInvitationByMail(t *testing.T) {
	cheap(t)
	synctest.Test(t, func(t *testing.T) {
		k := open(t, t.TempDir(), true)
		m := &mailbox{verdict: errors.New("connection refused")}
		posted(t, k, m)
		p, err := k.AddByMail(ctx, Person{Name: "anna", Role: Operator, Email: "anna@example.org"}, "https://shop.local")
		if err != nil || p.Letter.State != LetterWaiting {
			t.Fatalf("%+v, %v", p, err)
		}
		time.Sleep(time.Hour)
		if p, _ = k.Person(ctx, "anna"); p.Letter.State != LetterWaiting || p.Letter.Error != "connection refused" || !p.Letter.At.After(time.Now()) {
			t.Errorf("while the mail server is away: %+v", p.Letter)
		}
		if _, _, tried := m.got(); tried < 3 || tried > 15 {
			t.Errorf("tried %d times in an hour", tried)
		}
		m.is(nil)
		time.Sleep(lastRetry + time.Minute)
		texts, _, _ := m.got()
		if p, _ = k.Person(ctx, "anna"); p.Letter.State != LetterSent || p.Letter.Error != "" || len(texts) != 1 {
			t.Fatalf("%+v after %d e-mails", p.Letter, len(texts))
		}
		if text := texts[0]; !strings.HasPrefix(text, "anna@example.org\n") || !strings.Contains(text, "https://shop.local/welcome#") || !strings.Contains(text, "shop, an SMS gateway") {
			t.Error(text)
		}
		if p, err = k.Accept(ctx, codeOf(texts[0]), "anna", horse); err != nil || p.Email != "anna@example.org" {
			t.Errorf("the code of the e-mail: %+v, %v", p, err)
		}
		if p, _ = k.Person(ctx, "anna"); p.Letter.State != NoLetter || !p.HasPassword {
			t.Errorf("afterwards: %+v", p)
		}
	})
}

// What is refused for good is not tried again, and a withdrawn invitation opens nothing.
func TestInvitationIsRefusedRepeatedAndWithdrawn(t *testing.T) {
	cheap(t)
	synctest.Test(t, func(t *testing.T) {
		k := open(t, t.TempDir(), true)
		m := &mailbox{verdict: refusal{}}
		posted(t, k, m)
		if _, err := k.AddByMail(ctx, Person{Name: "anna", Role: Operator}, "https://shop.local"); !errors.Is(err, ErrNoEmail) {
			t.Errorf("without an address: %v", err)
		}
		for _, bad := range []string{"anna", "Anna <anna@example.org>", "a@b\r\nBcc: c@d"} {
			_, err := k.AddByMail(ctx, Person{Name: "anna", Role: Operator, Email: bad}, "https://shop.local")
			wantWrong(t, err, "email")
		}
		if _, err := k.AddByMail(ctx, Person{Name: "anna", Role: Operator, Email: "anna@example.org"}, "https://shop.local"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		p, _ := k.Person(ctx, "anna")
		if _, _, tried := m.got(); tried != 1 || p.Letter.State != LetterFailed || p.Letter.Error != "550 no such mailbox" || !p.Invited.IsZero() {
			t.Errorf("tried %d times: %+v", tried, p)
		}
		m.is(nil)
		for range 2 {
			if _, err := k.InviteByMail(ctx, "anna", "https://shop.local"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		texts, ids, _ := m.got()
		if len(texts) != 2 || ids != 2 {
			t.Fatalf("%d e-mails", len(texts))
		}
		if _, err := k.Accept(ctx, codeOf(texts[0]), "anna", horse); !errors.Is(err, ErrWrongCode) {
			t.Errorf("the code of the first e-mail, after the second: %v", err)
		}
		if p, err := k.Withdraw(ctx, "anna"); err != nil || p.Letter.State != NoLetter || !p.Invited.IsZero() {
			t.Errorf("withdrawn: %+v, %v", p, err)
		}
		if _, err := k.Accept(ctx, codeOf(texts[1]), "anna", horse); !errors.Is(err, ErrWrongCode) {
			t.Errorf("the code of the second e-mail, withdrawn: %v", err)
		}
		m.is(errors.New("busy"))
		if _, err := k.InviteByMail(ctx, "anna", "https://shop.local"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := k.Withdraw(ctx, "anna"); err != nil {
			t.Fatal(err)
		}
		m.is(nil)
		time.Sleep(25 * time.Hour)
		if texts, _, _ := m.got(); len(texts) != 2 {
			t.Error("a withdrawn invitation was sent")
		}
	})
}

// A profile is the person's own and ends no session; what it says is bounded.
func TestProfile(t *testing.T) {
	cheap(t)
	synctest.Test(t, func(t *testing.T) {
		k := open(t, t.TempDir(), true)
		p := person(t, k, "anna", Operator)
		person(t, k, "bert", Operator)
		cookie := signIn(t, k, "anna", horse)
		text := func(s string) *string { return &s }
		if p.Shown() != "anna" {
			t.Errorf("shown as %q", p.Shown())
		}
		if _, err := k.ChangeProfile(ctx, p.ID, Profile{DisplayName: text(" Anna at the shop "), SignOff: text("Yours, Anna")}); err != nil {
			t.Fatal(err)
		}
		if _, err := k.ChangePerson(ctx, "anna", PersonChange{Profile: Profile{Team: text("Sales")}}); err != nil {
			t.Fatal(err)
		}
		key, err := k.Session(ctx, cookie)
		if err != nil {
			t.Fatalf("the session ended with the profile: %v", err)
		}
		if p := key.Person; p.Shown() != "Anna at the shop" || p.SignOff != "Yours, Anna" || p.Team != "Sales" {
			t.Errorf("%+v", p)
		}
		for field, c := range map[string]Profile{
			"display_name": {DisplayName: text(strings.Repeat("ä", MaxDisplayName+1))},
			"sign_off":     {SignOff: text("one\ntwo")},
			"team":         {Team: text("a\u202eb")},
			"email":        {Email: text("nobody")},
		} {
			_, err := k.ChangeProfile(ctx, p.ID, c)
			wantWrong(t, err, field)
		}
		members := func() (all []Member) {
			if err := k.db.Read(ctx, func(q db.Querier) (err error) {
				all, err = k.Members(q)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return all
		}
		if all := members(); len(all) != 2 || !all[0].Online || all[0].Team != "Sales" || all[0].DisplayName != "Anna at the shop" || all[1].Online {
			t.Errorf("%+v", all)
		}
		time.Sleep(Lately + time.Second)
		if members()[0].Online {
			t.Error("online though no browser was there for long")
		}
		if _, err := k.RemovePerson(ctx, "anna"); err != nil {
			t.Fatal(err)
		}
		var left int
		if err := k.db.Read(ctx, func(q db.Querier) error {
			return q.QueryRow(`SELECT count(*) FROM people WHERE email || display_name || sign_off || team <> ''`).Scan(&left)
		}); err != nil || left != 0 {
			t.Errorf("%d rows still tell of who was removed, %v", left, err)
		}
	})
}
