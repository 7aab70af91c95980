package link

import (
	"context"

	"gatewayd/db"
	"gatewayd/mirror"
)

// stopsAtOnce is how many numbers of the stop list go in one event.
const stopsAtOnce = 500

// tellStops tells a hub that knows nothing of this gateway its whole stop list, before
// anything else: what is decided from now on is in the event log, behind the cursor.
func (s *session) tellStops(ctx context.Context) error {
	l := s.l
	for {
		st := l.kept()
		if st.stopsTold {
			return nil
		}
		list, err := l.o.Queue.StopList(ctx, st.stopAfter, stopsAtOnce)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return l.change(func(s *state) { s.stopsTold = true })
		}
		l.mu.Lock()
		seq := wireOf(l.cursor, places/2+int(st.stopPages)) // behind what was told of that event, if it was
		l.mu.Unlock()
		e := mirror.Event{Seq: seq, At: l.o.Now()}
		if e.Log, err = l.log(ctx); err != nil {
			return err
		}
		for _, c := range list {
			e.Consent = append(e.Consent, mirror.Consent{Number: c.Number, Stopped: true, At: c.At, Reason: c.Reason, Wording: c.Wording})
		}
		m, err := s.message(e)
		if err != nil {
			return err
		}
		limited, done := context.WithTimeout(ctx, l.times.ack)
		_, err = s.js.PublishMsg(limited, m)
		done()
		if err != nil {
			return err
		}
		err = l.o.DB.Write(func(tx *db.Tx) error {
			return l.changeTx(tx, func(s *state) { s.stopPages, s.stopAfter = s.stopPages+1, list[len(list)-1].Number })
		})
		if err != nil {
			return err
		}
	}
}
