package widget

import (
	"strings"
	"testing"

	"gatewayd/chat"
	"gatewayd/db"
)

// rows is how many rows of visitors and of their starts are kept.
func (r *rig) rows() (n int) {
	r.t.Helper()
	err := r.db.Read(ctx, func(q db.Querier) error {
		return q.QueryRow(`SELECT (SELECT count(*) FROM widget_visitors) + (SELECT count(*) FROM widget_starts)`).Scan(&n)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// Who has solved no puzzle leaves nothing behind, and who has used one has none.
func TestUnsolvedCostsNothing(t *testing.T) {
	r := newRig(t, 1)
	r.puzzles(true)
	one := r.make()
	for _, solution := range []string{"", "nonsense"} {
		r.start(one, framed, order{"solution": solution}).want(403, "captcha")
	}
	if n := r.rows(); n != 0 {
		t.Errorf("%d rows are kept", n)
	}
	solved := r.solution(r.ticket(one), framed)
	r.start(one, framed, order{"solution": solved}).want(201)
	r.start(one, framed, order{"solution": solved, "number": "+491722222222"}).want(403, "captcha")
	if n := r.rows(); n != 2 {
		t.Errorf("%d rows are kept", n)
	}
}

// The name goes out in the invitation, so what no text may have it may not have either.
func TestKeywordsInNames(t *testing.T) {
	r := newRig(t, 1)
	rules := r.chat.AbuseRules()
	rules.Keywords = []string{"casino"}
	if _, err := r.chat.SetAbuseRules(ctx, rules, "usr_1"); err != nil {
		t.Fatal(err)
	}
	r.start(r.make(), framed, order{"name": "Cäsino & Co"}).want(422, string(chat.Keyword))
}

// Nothing of a Host header but a host gets into the policy.
func TestHostsOfThePolicy(t *testing.T) {
	for host, plain := range map[string]bool{
		"sms.example.org": true, "sms.example.org:8443": true, "[2001:db8::1]:8443": true, "192.0.2.1": true,
		"x;script-src@sms.example.org": false, "sms.example.org/x": false, "sms.example.org?x": false, "a b": false, "": false, "sms.example.org:x": false, "[fe80::1%25x]": false,
	} {
		if plainHost(host) != plain {
			t.Errorf("%q: %v", host, !plain)
		}
	}
}

// A visitor of a page far away can't have the box pay for texts to anywhere.
func TestVisitorsAbroad(t *testing.T) {
	r := newRig(t, 1)
	r.start(r.make(), framed, order{"number": "+436641234567"}).want(422, string(chat.Destination))
}

// Who types somebody's number does not read what that phone writes to us for other reasons:
// not before it has said YES.
func TestNothingIsReadBeforeYES(t *testing.T) {
	r := newRig(t, 1)
	h := r.begin(r.make(), nil)
	r.says(phone, "a", "Please cancel my appointment at the clinic")
	if v := r.view(h); len(v.Messages) != 1 || !v.Messages[0].Auto {
		t.Fatalf("before YES the visitor sees %+v", v.Messages)
	}
	r.says(phone, "a", "YES")
	r.says(phone, "a", "hello Ann")
	v := r.view(h)
	if last := v.Messages[len(v.Messages)-1]; !strings.Contains(last.Text, "hello Ann") || last.Mine {
		t.Errorf("after YES: %+v", v.Messages)
	}
	r.ask("POST", "end", h, map[string]any{}).want(200)
	r.says(phone, "a", "one more thing")
	if v := r.view(h); v.Messages[len(v.Messages)-1].Text != "one more thing" {
		t.Errorf("the late answer of one who agreed: %+v", v.Messages)
	}
}
