package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/logs"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
	"gatewayd/webhook"
)

// Whatever happens, above debug nobody's number and nobody's text is logged; and a
// line about a message names it.
func TestNobodyIsLogged(t *testing.T) {
	const (
		number = "+491733335577"
		refuse = "+491733335588"
		marked = "quokka"
	)
	out := &lockedBuffer{}
	inWorld(t, 2, air(), func(w *world) {
		w.restart(func(o *Options) {
			o.Transport = echoing{}
			o.Log, _ = logs.New(out, true, logs.Levels{Least: slog.LevelInfo})
			o.Region = "DE"
			o.Webhooks = []webhook.Endpoint{{Name: "chat", URL: "https://chat.example.org/quokka?token=quokka", Secret: reloadSecret, Events: []string{"*"}}}
		})
		w.pass(20 * time.Second)
		ctx := context.Background()
		token, _, err := w.g.Keys().Create(ctx, "admin", []auth.Scope{auth.Admin}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(method, path, body string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Content-Type", "application/json")
			a := httptest.NewRecorder()
			w.g.server.Handler.ServeHTTP(a, r)
			return a
		}
		for _, m := range w.modems {
			m.Fault(func(f *sim.Faults) { f.RejectFor = map[string]string{refuse: "+CMS ERROR: 28"} })
		}
		sent := w.submit(number, marked+" hello")
		w.submit(refuse, marked+" refused")
		w.submit(number, marked+" callback", func(d *queue.Draft) { d.CallbackURL = "https://app.example.org/" + number[1:] })
		ask("POST", "/v1/messages", fmt.Sprintf(`{"to":%q,"text":"quokka","metadata":{"a":"quokka"}}`, number))
		ask("POST", "/v1/messages", fmt.Sprintf(`{"to":"%sx","text":"quokka"`, number))
		ask("GET", "/v1/numbers/"+number, "")
		hook := ask("POST", "/v1/hooks", fmt.Sprintf(`{"name":"h","to":[%q],"template":"quokka {{.text}}"}`, number))
		_, path, _ := strings.Cut(hook.Body.String(), `"path":"`)
		path, _, _ = strings.Cut(path, `"`)
		if a := ask("POST", path, `{"text":"quokka"}`); a.Code != 202 {
			t.Fatalf("the hook answered %d %s", a.Code, a.Body)
		}
		ask("POST", path, `{"text":`)
		w.until(sent.ID, sms.Delivered, time.Minute)
		for _, text := range []string{marked, strings.Repeat(marked+" ", 40), "STOP", "START"} {
			if err := w.net.Handset(number).Send(w.modems[0].Number(), text); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Minute)
		}
		w.modems[0].Ring(number)
		w.pass(time.Minute)
		if _, err := w.g.modems.USSD(ctx, "m1", sms.USSD{Code: "*100#"}); err != nil {
			t.Error(err)
		}
		w.modems[0].NoticeUSSD(marked + " " + number)
		for _, set := range []func(*sim.Faults){
			func(f *sim.Faults) { f.Silent = 1 }, func(f *sim.Faults) { f.NetworkTimeout = 1 },
		} {
			w.modems[0].Fault(set)
			w.submit(number, marked+" in trouble", func(d *queue.Draft) { d.Pin = "m1" })
			w.pass(10 * time.Minute)
		}
		w.modems[1].Unplug()
		w.pass(time.Minute)
		var o = *w.g.set.Load()
		o.Modems = o.Modems[:1]
		if _, err := w.g.Reload(o); err != nil {
			t.Error(err)
		}
		ask("DELETE", "/v1/numbers/"+number, "")
		w.pass(time.Hour)

		log := string(out.Bytes())
		if strings.Count(log, "\n") < 10 || !strings.Contains(log, "package=modem") || !strings.Contains(log, "package=webhook") || !strings.Contains(log, "msg_id=msg_") {
			t.Errorf("too little was logged for this to mean anything:\n%s", log)
		}
		for line := range strings.Lines(log) {
			if strings.HasPrefix(line, "<7>") {
				t.Errorf("at debug: %s", line)
			}
			for _, bad := range []string{marked, "1733335577", "1733335588", w.modems[0].Number()[1:], "10.00 EUR", token[3:], path} {
				if strings.Contains(line, bad) {
					t.Errorf("%q is logged: %s", bad, line)
				}
			}
		}
	})
}
