package queue_test

import (
	"testing"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// An invitation that still waits when its conversation is over does not go out any more.
func TestInvitationToWhatIsOver(t *testing.T) {
	b := open(t, queue.Options{})
	goes, over := b.ask("conv_2", "+491722222222"), b.ask(chatWith, phone)
	b.do(func(tx *db.Tx) error { return b.q.EndOptInTx(tx, chatWith, queue.ReasonClosed) })
	b.begin(goes, 1)
	if ok, err := b.q.Advance(nil, b.startOf(over, 1)); ok || err != nil {
		t.Fatalf("it goes out: %v %v", ok, err)
	}
	if m := b.want(over.ID, sms.Failed); m.Error == nil || m.Error.Code != "not-opted-in" {
		t.Errorf("%+v", m.Error)
	}
}
