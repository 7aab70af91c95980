package api

import (
	"encoding/csv"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// hears receives a text.
func (b *box) hears(index int, from, text string) {
	b.t.Helper()
	raw, err := pdu.EncodeText("+491710760000", from, text, b.now(), 0)
	if err != nil {
		b.t.Fatal(err)
	}
	b.receives(index, hex.EncodeToString(raw[0]))
}

func TestConsents(t *testing.T) {
	b := newBox(t, settings{})
	type standing struct {
		Number string
		Stop   *struct{ Word, Reason string }
		OptIns []struct {
			Conversation, State string
			Used                int
			Of                  *int
		} `json:"opt_ins"`
	}
	of := func(number string) (s standing) {
		b.ask("GET", "/v1/consents/"+number, bearer(b.read), "").want(http.StatusOK).into(&s)
		return s
	}
	record := func(key, number, decision string) *answer {
		return b.post("/v1/consents", key, `{"number":"`+number+`","decision":"`+decision+`","wording":"=told on the phone"}`)
	}
	if s := of(german); s.Number != german || s.Stop != nil || len(s.OptIns) != 0 {
		t.Errorf("of a number that is not known: %+v", s)
	}
	err := b.queue.Do(func(tx *db.Tx) error {
		return b.queue.AskOptInTx(tx, "conv_1", german, "8949", queue.Source{Wording: "Reply YES."})
	})
	if err != nil {
		t.Fatal(err)
	}
	b.hears(1, german, "yes")
	if s := of(german); len(s.OptIns) != 1 || s.OptIns[0].Conversation != "conv_1" || s.OptIns[0].State != "given" || *s.OptIns[0].Of != 10 {
		t.Errorf("after YES: %+v", s)
	}

	record(b.send, austrian, "opt-in").problem(wrongScope)
	record(b.read, austrian, "opt-out").problem(wrongScope)
	record(b.send, austrian, "opt-out").want(http.StatusOK)
	if s := of(austrian); s.Stop == nil || s.Stop.Reason != "admin" {
		t.Errorf("after it was recorded: %+v", s)
	}
	if m := b.post("/v1/messages", b.send, text(austrian)).accepted(); m.Status != sms.Queued {
		t.Errorf("accepted as %s", m.Status)
	}
	if m := b.messages()[0]; m.Status != sms.Failed || m.Error.Code != "opted-out" {
		t.Errorf("it is %s", m.Status)
	}
	admin := b.keyFor(auth.Send, auth.Admin, auth.Read)
	record(admin, austrian, "opt-in").want(http.StatusOK)
	if s := of(austrian); s.Stop != nil {
		t.Errorf("after it was taken back: %+v", s)
	}
	b.hears(2, german, "STOP")
	record(admin, german, "opt-in").problem(conflict)
	record(admin, "12", "opt-out").problem(invalidFields, "number")
	b.post("/v1/consents", admin, `{"number":"`+german+`","decision":"opt-out","wording":" "}`).problem(invalidFields, "wording")
	b.post("/v1/consents", admin, `{"number":"`+german+`","decision":"asked","wording":"x"}`).problem(invalidFields, "decision")

	var page struct {
		Consents   []sms.Consent
		NextCursor *string `json:"next_cursor"`
	}
	var decisions []sms.Decision
	for query := "?limit=2"; ; {
		page.NextCursor = nil
		b.ask("GET", "/v1/consents"+query, bearer(b.read), "").want(http.StatusOK).into(&page)
		for _, e := range page.Consents {
			decisions = append(decisions, e.Decision)
		}
		if page.NextCursor == nil {
			break
		}
		query = "?limit=2&cursor=" + *page.NextCursor
	}
	if want := []sms.Decision{"opt-out", "opt-in", "opt-out", "opt-in", "asked"}; !slices.Equal(decisions, want) {
		t.Errorf("newest first %v, want %v", decisions, want)
	}
	b.ask("GET", "/v1/consents?decision=opt-in&number="+strings.Replace(german, "+", "%2B", 1), bearer(b.read), "").want(http.StatusOK).into(&page)
	if len(page.Consents) != 1 || page.Consents[0].Wording != "yes" || page.Consents[0].Conversation != "conv_1" || page.Consents[0].SIM == "" {
		t.Errorf("found %+v", page.Consents)
	}
	b.ask("GET", "/v1/consents?cursor=x", bearer(b.read), "").problem(invalidFields, "cursor")

	a := b.ask("GET", "/v1/consents/export", bearer(b.read), "").want(http.StatusOK)
	rows, err := csv.NewReader(a.Body).ReadAll()
	if err != nil || len(rows) != 6 || rows[0][3] != "number" || rows[3][6] != "'=told on the phone" {
		t.Errorf("as CSV (%v): %q", err, rows)
	}
	var all []sms.Consent
	b.ask("GET", "/v1/consents/export?format=json", bearer(b.read), "").want(http.StatusOK).into(&all)
	if len(all) != 5 || all[0].Decision != sms.DecisionAsked || all[2].Wording != "=told on the phone" {
		t.Errorf("as JSON: %+v", all)
	}
	b.ask("GET", "/v1/consents/export?format=xml", bearer(b.read), "").problem(invalidFields, "format")
	b.ask("GET", "/v1/consents/export", bearer(b.send), "").problem(wrongScope)
}

func TestEmptyConsentsAreExported(t *testing.T) {
	b := newBox(t, settings{})
	if got := b.ask("GET", "/v1/consents/export?format=json", bearer(b.read), "").want(http.StatusOK).Body.String(); got != "[]\n" {
		t.Errorf("exported %q", got)
	}
	if got := b.ask("GET", "/v1/consents/export", bearer(b.read), "").want(http.StatusOK).Body.String(); strings.Count(got, "\n") != 1 {
		t.Errorf("exported %q", got)
	}
}
