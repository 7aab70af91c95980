package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A body full of mistakes takes time by its length, not by its square: no key may
// keep a processor busy for long with one request.
func TestManyMistakesCostLittle(t *testing.T) {
	b := newBox(t, settings{})
	list := func(n int, format string) string {
		var s strings.Builder
		for i := range n {
			s.WriteByte(',')
			s.WriteString(strings.ReplaceAll(format, "#", fmt.Sprintf("%x", i)))
		}
		return s.String()
	}
	const good = `"to":"+491701234567","text":"x"`
	for name, body := range map[string]string{
		"unknown fields":         `{"messages":[{` + good + `}]` + list(20_000, `"#":0`) + `}`,
		"of a message":           `{"messages":[{` + good + list(20_000, `"#":0`) + `}]}`,
		"of each message":        `{"messages":[{` + good + `}` + list(999, `{`+good+list(20, `"_#":0`)+`}`) + `]}`,
		"wrong fields":           `{"messages":[{` + good + `}` + list(999, `{"to":1,"text":2,"from":3,"priority":"x","metadata":{"a":1,"b":2},"send_at":"never","data":"!"}`) + `]}`,
		"the same field":         `{"messages":[{` + good + list(20_000, `"to":0`) + `}]}`,
		"metadata":               `{"messages":[{` + good + `,"metadata":{"":0` + list(20_000, `"#":0`) + `}}]}`,
		"unknown fields' fields": `{"messages":[{` + good + `,"a":{"":0` + list(20_000, `"#":[]`) + `}}]}`,
	} {
		start := time.Now()
		b.ask("POST", "/v1/messages/batch", bearer(b.send), body).want(http.StatusUnprocessableEntity)
		t.Log(name, time.Since(start))
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
	}
	b.nothingQueued()
}
