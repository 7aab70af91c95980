package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
)

func TestUSSD(t *testing.T) {
	b := newBox(t, settings{})
	b.modems.says = sms.USSDAnswer{State: sms.USSDNeedsReply, Text: "1 Balance"}
	var got struct{ State, Text, Reason *string }
	b.post("/v1/modems/office/ussd", b.admin, `{"code":"*100#"}`).want(200).into(&got)
	if *got.State != "needs-reply" || *got.Text != "1 Balance" || got.Reason != nil {
		t.Errorf("%+v", got)
	}
	b.post("/v1/modems/office/ussd", b.admin, `{"reply":"1"}`).want(200)
	b.modems.says = sms.USSDAnswer{State: sms.USSDFailed, Reason: "The network ended the session."}
	b.post("/v1/modems/office/ussd", b.admin, `{"code":null,"cancel":true}`).want(200)
	want := []sms.USSD{{Code: "*100#"}, {Reply: "1"}, {Cancel: true}}
	if fmt.Sprint(b.modems.asked) != fmt.Sprint(want) {
		t.Errorf("asked %+v", b.modems.asked)
	}
	b.modems.err = errors.New("another USSD request is under way")
	if p := b.post("/v1/modems/office/ussd", b.admin, `{"code":"*100#"}`).problem(conflict); !strings.Contains(p.Detail, "under way") {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestUSSDIsRefused(t *testing.T) {
	b := newBox(t, settings{})
	for body, fields := range map[string][]string{
		`{}`:                              {"code"},
		`{"cancel":false}`:                {"code"},
		`{"code":"*100#","reply":"1"}`:    {"code"},
		`{"code":"*100#","cancel":true}`:  {"code"},
		`{"code":"abc"}`:                  {"code"},
		`{"code":"*100#\r"}`:              {"code"},
		`{"code":"*1\"#"}`:                {"code"},
		`{"code":""}`:                     {"code"},
		`{"code":1}`:                      {"code"},
		`{"reply":"a\"b"}`:                {"reply"},
		`{"reply":"ä"}`:                   {"reply"},
		`{"cancel":"yes"}`:                {"cancel"},
		`{"code":"*100#","dcs":15}`:       {"dcs"},
		`{"code":"*100#","code":"*101#"}`: {"code"},
		`["*100#"]`:                       {"body"},
		`{"code":"` + strings.Repeat("1", 183) + `"}`: {"code"},
	} {
		b.post("/v1/modems/office/ussd", b.admin, body).problem(invalidFields, fields...)
	}
	b.post("/v1/modems/office/ussd", b.admin, `{`).problem(notJSON)
	b.post("/v1/modems/nobody/ussd", b.admin, `{"code":"*100#"}`).problem(notFound)
	b.post("/v1/modems/office/ussd", b.send, `{"code":"*100#"}`).problem(wrongScope)
	b.post("/v1/modems/office/ussd", b.read, `{"code":"*100#"}`).problem(wrongScope)
	if len(b.modems.asked) != 0 {
		t.Errorf("asked %+v", b.modems.asked)
	}
}

// slowModems take longer than other requests may.
type slowModems struct {
	*fakeModems
	entered chan struct{}
	answer  chan struct{}
	ended   chan error
}

func (s slowModems) USSD(ctx context.Context, _ string, _ sms.USSD) (sms.USSDAnswer, error) {
	s.entered <- struct{}{}
	select {
	case <-s.answer:
		return sms.USSDAnswer{State: sms.USSDDone, Text: "late"}, nil
	case <-ctx.Done():
		s.ended <- ctx.Err()
		return sms.USSDAnswer{}, ctx.Err()
	}
}

// The network may take longer than other requests; a client that leaves ends
// the wait.
func TestUSSDMayTakeLong(t *testing.T) {
	slow := slowModems{entered: make(chan struct{}), answer: make(chan struct{}), ended: make(chan error, 1)}
	b := newBox(t, settings{change: func(o *Options) { slow.fakeModems = o.Modems.(*fakeModems); o.Modems = slow }})
	s := b.Server()
	s.ReadTimeout, s.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	defer s.Close()
	ask := func(ctx context.Context) (string, error) {
		r, err := http.NewRequestWithContext(ctx, "POST", "http://"+l.Addr().String()+"/v1/modems/office/ussd", strings.NewReader(`{"code":"*100#"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+b.admin)
		r.Header.Set("Content-Type", "application/json")
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			return "", err
		}
		defer a.Body.Close()
		body, err := io.ReadAll(a.Body)
		return string(body), err
	}
	go func() {
		<-slow.entered
		time.Sleep(500 * time.Millisecond) // which is longer than other requests may take
		slow.answer <- struct{}{}
	}()
	if got, err := ask(t.Context()); err != nil || !strings.Contains(got, "late") {
		t.Errorf("%s, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { <-slow.entered; cancel() }()
	if _, err := ask(ctx); err == nil {
		t.Error("it was answered")
	}
	if err := <-slow.ended; err == nil {
		t.Error("the modem goes on for nobody")
	}
}

// What is the card's own reason and advice is not said twice.
func TestAlarmThatTheCardSays(t *testing.T) {
	b := newBox(t, settings{})
	m := &b.modems.all[1]
	m.State, m.Reason, m.Advice = sms.Parked, "No credit.", "Top it up."
	m.Alarms = []sms.Alarm{
		{Code: "modem-parked", Modem: m.Name, Title: "The modem is set aside", Detail: "No credit. Top it up."},
		{Code: "balance-low", Modem: m.Name, Title: "The SIM's balance is low", Detail: "Top the SIM up."},
	}
	page := b.get("/").want(200).Body.String()
	if strings.Count(page, "No credit.") != 1 || strings.Contains(page, "The modem is set aside") || !strings.Contains(page, "balance is low") {
		t.Errorf("the page shows %s", page)
	}
}

// What the network wrote is for admins, when no amount was found in it.
func TestBalanceOfAModem(t *testing.T) {
	b := newBox(t, settings{})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b.modems.all[1].Balance = &sms.Balance{Amount: "1.50", Currency: "EUR", At: at, Low: "2.00", IsLow: true, Fault: "The pattern finds no amount.", Answer: "SECRET"}
	b.modems.all[1].Alarms = []sms.Alarm{{Code: "balance-low", Modem: "office", Title: "The SIM's balance is low", Detail: "Top it up.", BegunAt: at}}
	if strings.Contains(b.get("/").Body.String(), `id="ask"`) || !strings.Contains(b.ask("GET", "/", bearer(b.admin), "").Body.String(), `id="ask"`) {
		t.Error("the form to ask the network is not for admins alone")
	}
	for _, path := range []string{"/v1/modems", "/v1/modems/office", "/"} {
		if got := b.get(path).want(200).Body.String(); strings.Contains(got, "SECRET") || !strings.Contains(got, "1.50") {
			t.Errorf("%s with the scope read: %s", path, got)
		}
		if got := b.ask("GET", path, bearer(b.admin), "").want(200).Body.String(); !strings.Contains(got, "SECRET") || !strings.Contains(got, "balance is low") {
			t.Errorf("%s with the scope admin: %s", path, got)
		}
	}
}
