package widget

import (
	"testing"

	"gatewayd/chat"
)

// The visitor of one widget is nobody in another: there it is a stranger with a token of
// its own, and the chat in the first goes on.
func TestVisitorOfAnotherWidget(t *testing.T) {
	r := newRig(t, 2)
	shop, club := r.make(), r.make()
	ann := r.begin(shop, nil)
	var got struct{ Token string }
	r.start(club, ann, order{"name": "Bob", "number": "+491722222222"}).want(201).into(&got)
	if got.Token == "" {
		t.Error("it went on as the visitor of the other widget")
	}
	if v := r.view(ann); v == nil || v.Number != phone || v.State != chat.StateInvited || v.OurName != "Ann" {
		t.Errorf("its own chat became %+v", v)
	}
}

// A widget that is switched off takes nothing from visitors who are in it already; they
// may still read.
func TestSwitchedOffUnderAVisitor(t *testing.T) {
	r := newRig(t, 1)
	one := r.make()
	ann := r.begin(one, nil)
	r.says(phone, "a", "YES")
	r.ask("POST", "messages", ann, order{"text": "One"}).want(200)
	if _, err := r.Change(ctx, one.ID, admin, func(s *Settings) error { s.Enabled = false; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"messages", "invite", "end"} {
		r.ask("POST", path, ann, order{"text": "Two"}).want(403, "disabled")
	}
	if v := r.view(ann); v == nil || len(v.Messages) != 4 || v.State != chat.StateOpen {
		t.Errorf("%+v", v)
	}
}
