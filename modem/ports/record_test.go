package ports

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/sim"
	"gatewayd/sms"
)

// A recording shows the whole bring-up and takes no message away.
func TestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := sim.NewNetwork(sim.NetworkOptions{})
		defer net.Close()
		m := net.AddModem(sim.ModemOptions{})
		if err := net.Handset("+491701234567").Send(m.Number(), "a secret"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), RecordFor)
		defer cancel()
		got, now, err := Record(ctx, func(string) (io.ReadWriteCloser, error) { return m.OpenPipe() }, "/dev/ttyUSB9", true)
		if err != nil || now.State != sms.Ready {
			t.Fatalf("%v, %s: %s", err, now.State, now.Reason)
		}
		var b strings.Builder
		if err := got.Write(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"# state: ready", "AT+CNMI", "+CMGL: "} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("no %q in it", want)
			}
		}
		if len(m.Stored("SM")) != 1 || strings.Contains(b.String(), "AT+CMGD") {
			t.Error("a message was taken from the modem")
		}
		if strings.Contains(b.String(), "947110325476") {
			t.Error("the sender's number is in it")
		}
	})
	_, _, err := Record(expired(t), func(string) (io.ReadWriteCloser, error) { return nil, io.ErrUnexpectedEOF }, "/dev/ttyUSB9", true)
	if err != io.ErrUnexpectedEOF {
		t.Errorf("a port that can't be opened: %v", err)
	}
}

func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
