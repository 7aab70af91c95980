package contacts

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

func TestContacts(t *testing.T) {
	r := newRig(t)
	anna := r.add(" Ängela  Berg ", "0170 1234567", "+49 170 1234567", "+4366412345678")
	if anna.Name != "Ängela  Berg" || !slices.Equal(anna.Numbers, []string{"+491701234567", "+4366412345678"}) {
		t.Errorf("%+v", anna)
	}
	r.add("Bert", "+491701234568")
	r.add("angus", "+491701234569")
	if got := r.names(Of{}, Filter{}); got != "Ängela  Berg angus Bert" {
		t.Errorf("in the order %s", got)
	}
	for q, want := range map[string]string{"angela": "Ängela  Berg", "BERG äng": "Ängela  Berg", "01701234568": "Bert", "1234569": "angus", "ert 568": "Bert", "%": "", "4567 bert": ""} {
		if got := r.names(Of{}, Filter{Q: q}); got != want {
			t.Errorf("%q finds %q, want %q", q, got, want)
		}
	}
	_, err := r.Create(ctx, "", Contact{Name: "Carl", Numbers: []string{"+4366412345678"}})
	if !errors.Is(err, queue.ErrConflict) {
		t.Errorf("a number in two contacts: %v", err)
	}
	wantErr(t, err, `"Ängela  Berg"`)
	if _, err := r.Create(ctx, "", Contact{Team: "shop", Name: "Carl", Numbers: []string{"+4366412345678"}}); err != nil {
		t.Errorf("of another team: %v", err)
	}
	if _, err := r.Get(ctx, Of{Team: "shop"}, anna.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("another team sees it: %v", err)
	}
	_, err = r.Create(ctx, "", Contact{Name: "\x00", Numbers: []string{"+49", "112"}, Email: "x", Note: strings.Repeat("a", MaxNote+1), Language: "zz-", Consent: &Consent{At: r.now.AddDate(1, 0, 0)},
		Organisation: strings.Repeat("a", MaxOrganisation+1)})
	var wrong Refused
	var fields []string
	if errors.As(err, &wrong) {
		for _, m := range wrong {
			fields = append(fields, m.Field)
		}
	}
	if got := strings.Join(fields, " "); got != "name numbers/0 numbers/1 email organisation note language consent/wording consent/at" {
		t.Errorf("%s: %v", got, err)
	}
	changed, err := r.Change(ctx, Everybody, "usr_a", anna.ID, func(c *Contact) { c.Numbers = c.Numbers[1:]; c.Language = "pt-br" })
	if err != nil || changed.Language != "pt-BR" {
		t.Fatal(changed, err)
	}
	r.add("Dora", "+491701234567") // which is free now
	if names, err := r.Names(ctx, Of{}, "+491701234567", "+4366412345678", "+1", ""); err != nil || fmt.Sprint(names) != "map[+4366412345678:Ängela  Berg +491701234567:Dora]" {
		t.Error(names, err)
	}
	if err := r.Delete(ctx, Of{}, anna.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(ctx, Of{}, anna.ID); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if got := r.names(Everybody, Filter{}); got != "angus Bert Carl Dora" {
		t.Error(got)
	}
}

func TestPages(t *testing.T) {
	r := newRig(t)
	for i := range 7 {
		r.add("same", fmt.Sprintf("+49170123456%d", i))
	}
	seen, cursor := map[string]bool{}, ""
	for range 4 {
		page, next, err := r.List(ctx, Of{}, Filter{Limit: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page {
			seen[c.ID] = true
		}
		cursor = next
	}
	if len(seen) != 7 || cursor != "" {
		t.Errorf("%d contacts, and then %q", len(seen), cursor)
	}
	if _, _, err := r.List(ctx, Of{}, Filter{Cursor: "bm9uZQ"}); !errors.Is(err, queue.ErrBadCursor) {
		t.Error(err)
	}
}

func TestGroups(t *testing.T) {
	r := newRig(t)
	club, err := r.AddGroup(ctx, "", "Club")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddGroup(ctx, "", "CLUB"); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("two of one name: %v", err)
	}
	other, err := r.AddGroup(ctx, "shop", "Club")
	if err != nil {
		t.Fatal(err)
	}
	anna, bert := r.add("Anna", "+491701234567"), r.add("Bert", "+491701234568")
	if g, err := r.AddMembers(ctx, Of{}, club.ID, []string{anna.ID, bert.ID, anna.ID}); err != nil || g.Members != 2 {
		t.Fatal(g, err)
	}
	if _, err := r.AddMembers(ctx, Everybody, other.ID, []string{anna.ID}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a contact in another team's group: %v", err)
	}
	if _, err := r.Change(ctx, Of{}, "", anna.ID, func(c *Contact) { c.Groups = []GroupName{{ID: other.ID}} }); err == nil {
		t.Error("a contact in another team's group")
	}
	if got := r.names(Of{}, Filter{Group: club.ID}); got != "Anna Bert" {
		t.Error(got)
	}
	if err := r.RemoveMember(ctx, Of{}, club.ID, bert.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.RemoveMember(ctx, Of{}, club.ID, bert.ID); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if g, err := r.RenameGroup(ctx, Of{}, club.ID, "Verein"); err != nil || g.Name != "Verein" || g.Members != 1 {
		t.Error(g, err)
	}
	if c, err := r.Get(ctx, Of{}, anna.ID); err != nil || len(c.Groups) != 1 || c.Groups[0].Name != "Verein" {
		t.Error(c, err)
	}
	if err := r.DeleteGroup(ctx, Of{}, club.ID); err != nil {
		t.Fatal(err)
	}
	if c, err := r.Get(ctx, Of{}, anna.ID); err != nil || len(c.Groups) != 0 {
		t.Error(c, err)
	}
	if all, err := r.Groups(ctx, Everybody); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
	if _, err := r.AddGroup(ctx, "", "Verein"); err != nil { // the name is free
		t.Error(err)
	}
}

// log is what the log of consent says.
func (r *rig) log() (all []string) {
	r.t.Helper()
	err := r.db.Read(ctx, func(q db.Querier) error {
		rows, err := q.Query(`SELECT number || ' ' || decision || ' ' || reason || ' ' || source || ': ' || wording FROM consent_log ORDER BY seq`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			all = append(all, s)
		}
		return rows.Err()
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// A consent from elsewhere is in the log, once per number, and takes no STOP back.
func TestConsentIsStated(t *testing.T) {
	r := newRig(t)
	const stopped = "+491701234569"
	if err := r.q.Do(func(tx *db.Tx) error {
		return r.q.OptOutTx(tx, stopped, queue.Source{Reason: queue.ReasonWord, Wording: "STOP"})
	}); err != nil {
		t.Fatal(err)
	}
	c, err := r.Create(ctx, "usr_a", Contact{Name: "Anna", Numbers: []string{"+491701234567", stopped}, Consent: &Consent{Wording: "Form", At: time.Date(2026, 5, 2, 0, 0, 0, 0, time.UTC)}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time says nothing new
		_, err = r.Change(ctx, Of{}, "usr_b", c.ID, func(c *Contact) { c.Numbers = []string{"+491701234567", stopped, "+491701234568"} })
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{stopped + " opt-out word gateway: STOP", "+491701234567 opt-in stated usr_a: Form (given 2026-05-02)", "+491701234568 opt-in stated usr_b: Form (given 2026-05-02)"}
	if got := r.log(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	err = r.db.Read(ctx, func(q db.Querier) error {
		is, err := r.q.Stopped(q, stopped)
		if !is {
			t.Error("a contact took a STOP back")
		}
		for number, want := range map[string]bool{"+491701234567": true, "+491701234500": false} {
			if yes, err := r.Consented(q, "", number); err != nil || yes != want {
				t.Error(number, yes, err)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestErasedAndExported(t *testing.T) {
	r := newRig(t)
	r.add("Anna", "+491701234567", "+491701234568")
	r.add("Bert", "+491701234569")
	var told []string
	tell := func(number string) string {
		told = nil
		if err := r.q.ExportNumber(ctx, number, func(section string, row any) error {
			told = append(told, section+" "+row.(ContactView).Name)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return strings.Join(told, ", ")
	}
	if got := tell("+491701234568"); got != "contacts Anna" {
		t.Error(got)
	}
	for _, n := range []string{"+491701234568", "+491701234569"} {
		if _, err := r.q.EraseNumber(ctx, n); err != nil {
			t.Fatal(err)
		}
		if got := tell(n); got != "" {
			t.Error(got)
		}
	}
	if got := r.names(Everybody, Filter{}); got != "Anna" {
		t.Error(got)
	}
	err := r.db.Read(ctx, func(q db.Querier) error {
		var n int
		return errors.Join(q.QueryRow(`SELECT count(*) FROM contacts WHERE name = 'Bert' OR search LIKE '%bert%'`).Scan(&n), map[bool]error{true: errors.New("Bert is still there")}[n > 0])
	})
	if err != nil {
		t.Error(err)
	}
}

func TestShift(t *testing.T) {
	r := newRig(t)
	old := r.add("Anna", "+491701234567")
	r.now = r.now.Add(time.Hour)
	began := r.now
	given := r.now.AddDate(0, 0, -3)
	c, err := r.Create(ctx, "", Contact{Name: "Bert", Numbers: []string{"+491701234568"}, Consent: &Consent{"x", given}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.db.Write(func(tx *db.Tx) error { return r.ShiftTx(tx, 24*time.Hour, began) }); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]time.Time{old.ID: old.CreatedAt, c.ID: c.CreatedAt.Add(24 * time.Hour)} {
		got, err := r.Get(ctx, Of{}, id)
		if err != nil || !got.CreatedAt.Equal(want) || !got.UpdatedAt.Equal(want) {
			t.Errorf("%+v %v, want %v", got, err, want)
		}
		if got.Consent != nil && !got.Consent.At.Equal(given) {
			t.Errorf("a consent was given at %v", got.Consent.At)
		}
	}
}
