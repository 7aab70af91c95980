package link

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gatewayd/sms"
)

// lines are of a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A hub whose stream refuses what comes too fast is told all of it, more slowly: not again
// and again at the pace that it could not take.
func TestABusyHubIsToldMoreSlowly(t *testing.T) {
	r := newRig(t)
	r.buffered = 4
	r.restartServer()
	var said lines
	r.options = func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&said, nil)) }
	r.proxy.set(true, false)
	r.start()
	const n = 700
	for i := range n {
		fatal(t, r.queue.Append(sms.EventAlarmBegin, sms.Alarm{Code: "test", Title: fmt.Sprint(i)}, nil))
	}
	r.proxy.set(false, false)
	r.until("all is told", func() bool { return r.link.Status().Untold == 0 })
	there := func() map[string]bool {
		titles := map[string]bool{}
		for _, e := range r.events {
			var a sms.Alarm
			if json.Unmarshal(e.Alarm, &a) == nil {
				titles[a.Title] = true
			}
		}
		return titles
	}
	r.until("the hub has all", r.locked(func() bool { return len(there()) == n }))
	refusals := strings.Count(said.String(), "the hub takes no more for now")
	t.Logf("%d times refused", refusals)
	if refusals == 0 {
		t.Error("nothing was refused: this shows nothing")
	}
	if refusals > 20 {
		t.Errorf("the hub had to refuse %d times", refusals)
	}
	if strings.Contains(said.String(), "can't be told") {
		t.Errorf("being busy was taken for a fault:\n%s", said.String())
	}
}
