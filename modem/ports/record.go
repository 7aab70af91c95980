package ports

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"gatewayd/modem"
	"gatewayd/modem/transcript"
	"gatewayd/sms"
)

// recordMost is how many bytes of a dialogue a recording holds.
const recordMost = 4 << 20

// Record brings up the modem at path as the daemon does, without sending
// anything and without taking a message from its storage, and returns what was
// said until ctx ends, and how the modem was then.
func Record(ctx context.Context, open Opener, path string, masked bool) (transcript.Transcript, sms.Modem, error) {
	ring := transcript.NewRing(recordMost)
	var failed error
	m := modem.New(modem.Options{
		Name: path, Port: path, Outbox: idle{}, Inbox: idle{}, Record: ring.Add,
		Open: func(context.Context) (io.ReadWriteCloser, error) {
			rwc, err := open(path)
			failed = err
			return rwc, err
		},
	})
	if err := m.Run(ctx); err != nil {
		return transcript.Transcript{}, sms.Modem{}, err
	}
	entries, begin := ring.Entries()
	if len(entries) == 0 && failed != nil {
		return transcript.Transcript{}, m.Snapshot(), failed
	}
	now := m.Snapshot()
	if now.State == sms.StorageFull && strings.Contains(now.Reason, errRecording.Error()) {
		now.State, now.Reason = sms.Ready, ""
	}
	return transcript.Of(now, entries, begin, masked), now, nil
}

// idle has nothing to send and takes nothing in.
type idle struct{}

var errRecording = errors.New("this is a recording, nothing is taken from the modem")

func (idle) Next() *modem.Part                                           { return nil }
func (idle) Return(*modem.Part)                                          {}
func (idle) Ready() <-chan struct{}                                      { return nil }
func (idle) Begin(*modem.Outcome, *modem.Part, int) (ok bool, err error) { return false, nil }
func (idle) Finish(modem.Outcome) error                                  { return nil }
func (idle) Receive(sms.Incoming) error                                  { return errRecording }
func (idle) Deleted(string, string, int) error                           { return nil }

// RecordFor is how long a recording takes if nobody says otherwise: a bring-up
// and a poll of everything.
const RecordFor = 90 * time.Second
