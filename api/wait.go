package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"gatewayd/sms"
)

const (
	// mostWait is how long a request may wait for what it asks for.
	mostWait = 60 * time.Second
	// lookAgainAfter keeps many who wait from asking the database at each commit.
	lookAgainAfter = 100 * time.Millisecond
)

// wait takes how long a request waits at most.
func (q *query) wait() time.Duration {
	d, mistake := waitOf(q.line("wait"))
	if mistake != "" {
		q.wrong("wait", "%s", mistake)
	}
	return d
}

// waitOf reads how long a request waits at most: seconds, or a duration such as
// 30s. The mistake says what is wrong with it.
func waitOf(s string) (d time.Duration, mistake string) {
	if s == "" {
		return 0, ""
	}
	d, err := time.ParseDuration(s)
	if n, e := strconv.Atoi(s); e == nil {
		d, err = time.Duration(min(max(n, -1), 61))*time.Second, nil
	}
	if err != nil || d < 0 || d > mostWait {
		return 0, "must be 0 to 60 seconds, such as 30s"
	}
	return d, ""
}

// waitFor calls look until it says that there is what is wanted, the wait is over,
// the client is gone or the server stops. Look is called once more after that.
func (a *API) waitFor(ctx context.Context, w http.ResponseWriter, wait time.Duration, look func(context.Context) (bool, error)) error {
	if wait > 0 {
		// The limits of ordinary requests are shorter; a connection that knows no
		// deadlines has none either.
		r := http.NewResponseController(w)
		_ = r.SetWriteDeadline(time.Now().Add(wait + writeWait))
		_ = r.SetReadDeadline(time.Now().Add(wait + writeWait))
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		changed := a.o.Queue.Changed() // before looking: nothing is missed in between
		if found, err := look(ctx); found || err != nil || wait == 0 {
			return err
		}
		select {
		case <-changed:
		case <-over.C:
			_, err := look(ctx)
			return err
		case <-a.stopping:
			return nil // what the last look found
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-time.After(lookAgainAfter):
		case <-a.stopping:
		case <-ctx.Done():
		}
	}
}

// until tells whether a message has come as far as was asked for.
func until(m *sms.Message, what string) bool {
	switch m.Status {
	case sms.Scheduled, sms.Queued, sms.Sending, sms.Unconfirmed:
		return false
	case sms.Sent:
		return what == "sent" || !m.DeliveryReport
	}
	return true
}
