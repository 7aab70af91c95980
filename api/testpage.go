package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

const (
	// mostTests in testsWithin are what one person may send.
	mostTests   = 10
	testsWithin = time.Hour
	// testLife is how long a test waits for its modem: it must not go out next week.
	testLife = 15 * time.Minute
	// testPriority is above all but alarms: somebody stands there and waits.
	testPriority = 8
	// testMark is the metadata of a test: the modem that it tries out.
	testMark = "gatewayd.test"
)

// tests counts the test messages of each person.
type tests struct {
	now  func() time.Time
	mu   sync.Mutex
	sent map[string][]time.Time // within the last hour, by principal
	last map[string]string      // the id of the newest test, by modem
}

// remember keeps which test of a modem is the newest.
func (t *tests) remember(modem, id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[string]string{}
	}
	t.last[modem] = id
}

// newest is the id of a modem's newest test, "" if there was none since the start.
func (t *tests) newest(modem string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last[modem]
}

// take counts one more, or says how long to wait until one may go.
func (t *tests) take(who string) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for someone, all := range t.sent {
		all = slices.DeleteFunc(all, func(at time.Time) bool { return now.Sub(at) >= testsWithin })
		if t.sent[someone] = all; len(all) == 0 {
			delete(t.sent, someone)
		}
	}
	if all := t.sent[who]; len(all) >= mostTests {
		return testsWithin - now.Sub(all[0])
	}
	if t.sent == nil {
		t.sent = map[string][]time.Time{}
	}
	t.sent[who] = append(t.sent[who], now)
	return 0
}

// giveBack uncounts the last one: nothing was sent.
func (t *tests) giveBack(who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if all := t.sent[who]; len(all) > 0 {
		t.sent[who] = all[:len(all)-1]
	}
}

// testView is the page for sending a test to oneself.
type testView struct {
	Modems              []testModem
	To, Modem           string
	ToFault, ModemFault string
	Fault               string
	Text                string // what is sent
	Sent                *testedView
}

type testModem struct {
	Name, State string
	Chosen      bool
}

// testedView is how far a test is.
type testedView struct {
	ID, Modem string
	Now       pill
	Advice    string
	Steps     []testStep
}

// testStep is a step on its way. One that was not reached yet has no time.
type testStep struct {
	What string
	At   time.Time
	Kind string // good: done; idle: to come; bad: here it ended
}

// testPage is GET /test: the form, and how far the test is that id names.
func (a *API) testPage(c echo.Context) error {
	v := &testView{Modem: c.QueryParam("modem")}
	if id := c.QueryParam("id"); id != "" {
		m, err := a.o.Queue.Message(c.Request().Context(), id)
		if err != nil {
			return err
		}
		if m.Metadata[testMark] == "" { // other messages are not for everybody
			return queue.ErrNotFound
		}
		if v.Sent, err = a.viewTest(c.Request().Context(), m); err != nil {
			return err
		}
		v.Modem = v.Sent.Modem
	}
	return a.showTest(c, http.StatusOK, v)
}

func (a *API) showTest(c echo.Context, status int, v *testView) error {
	for _, m := range a.modems(keyOf(c)) {
		if !m.Unidentified {
			v.Modems = append(v.Modems, testModem{m.Name, modemWords[m.State].Word, m.Name == v.Modem})
		}
	}
	v.Text = a.testText(cmp.Or(v.Modem, "NAME"))
	f := a.frame(c, "Send a test")
	_, newest, err := a.o.Queue.Span(c.Request().Context())
	if err != nil {
		return err
	}
	f.Live, f.Seq = v.Sent != nil, newest
	return a.page(c, status, "test.html", f, v)
}

// testText names the box, the modem and the time.
func (a *API) testText(modem string) string {
	when := "the clock is not set"
	if a.o.Clock.Trusted() {
		when = a.now().UTC().Format("2006-01-02 15:04 UTC")
	}
	return fmt.Sprintf("Test of %s: sent by modem %s, %s.", a.box(), modem, when)
}

// box is the box's name: as it was set, else the machine's.
func (a *API) box() string {
	if a.o.Settings != nil {
		if s := a.o.Settings.All()[sms.SettingName]; s.Source != sms.FromDefault && s.Value != "none" {
			return s.Value
		}
	}
	return cmp.Or(a.o.Name, "gatewayd")
}

// sendTest is POST /test. It goes the way of every message, with the stop list,
// destinations and limits of all; only the text is not the sender's to choose.
func (a *API) sendTest(c echo.Context) error {
	form, err := readForm(c)
	if err != nil {
		return err
	}
	v := &testView{To: strings.TrimSpace(form.Get("to")), Modem: form.Get("modem")}
	if _, err := a.modem(v.Modem); err != nil {
		v.ModemFault = "Choose a modem."
	}
	key := keyOf(c)
	if wait := a.tests.take(key.Principal); wait > 0 {
		c.Response().Header().Set("Retry-After", fmt.Sprint(seconds(wait)))
		v.Fault = fmt.Sprintf("You sent %d tests within an hour. The next may go in %s.", mostTests, lasts(wait))
		return a.showTest(c, http.StatusTooManyRequests, v)
	}
	id, err := a.submitTest(c, v)
	if err == nil && id != "" {
		a.tests.remember(v.Modem, id)
		a.log.Info("a test was sent from its page", "modem", v.Modem, "message", id, "by", key.Name)
		return c.Redirect(http.StatusSeeOther, "/test?id="+id+"#sent")
	}
	a.tests.giveBack(key.Principal)
	if err == nil {
		return a.showTest(c, http.StatusUnprocessableEntity, v)
	}
	p := problemOf(err)
	if p.Status >= 500 && p.kind != queueFull && p.kind != diskFull {
		return err
	}
	v.Fault = p.Title + ". " + p.detail
	return a.showTest(c, p.Status, v)
}

// submitTest queues a test. It returns no id, and says in v what is wrong, if
// that is for the form to say.
func (a *API) submitTest(c echo.Context, v *testView) (id string, err error) {
	text, priority := a.testText(v.Modem), testPriority
	m := intake.Message{To: v.To, From: v.Modem, Text: &text, Priority: &priority, OnUnconfirmed: sms.Fail, Unicode: intake.Transliterate,
		Metadata: map[string]string{testMark: v.Modem}}
	if a.o.Clock.Trusted() {
		m.ExpiresAt = a.now().Add(testLife)
	}
	caller := a.callerOf(c)
	draft, errs := a.o.Desk.Draft(caller, m)
	if v.ModemFault == "" && len(errs) == 0 {
		accepted, _, err := a.o.Desk.Submit(c.Request().Context(), caller, []queue.Draft{draft}, nil)
		var refused intake.Refused
		if err == nil {
			return accepted[0].ID, nil
		}
		if !errors.As(err, &refused) {
			return "", err
		}
		errs = refused
	}
	for _, e := range errs {
		switch e.Field {
		case "to":
			v.ToFault = "The number " + e.Detail + "."
		case "from":
			v.ModemFault = "Choose a modem."
		default:
			v.Fault = capital(e.Field) + " " + e.Detail + "."
		}
	}
	return "", nil
}

// viewTest says how far a test is.
func (a *API) viewTest(ctx context.Context, m *sms.Message) (*testedView, error) {
	parts, err := a.o.Queue.Parts(ctx, m.Row)
	if err != nil {
		return nil, err
	}
	v := &testedView{ID: m.ID, Modem: m.Metadata[testMark]}
	var began time.Time
	for _, p := range parts {
		if began.IsZero() || p.StartedAt.Before(began) {
			began = p.StartedAt
		}
	}
	v.Steps = []testStep{
		{"Queued", m.CreatedAt, good}, {"On the air", began, idle}, {"Accepted by the network", m.SentAt, idle}, {"Delivered to the phone", m.DeliveredAt, idle},
	}
	for i := range v.Steps {
		if !v.Steps[i].At.IsZero() {
			v.Steps[i].Kind = good
		}
	}
	end := func(words, advice string) {
		v.Now, v.Advice = pill{words, bad}, advice
		v.Steps = slices.DeleteFunc(v.Steps, func(s testStep) bool { return s.Kind == idle })
		v.Steps = append(v.Steps, testStep{words, m.UpdatedAt, bad})
	}
	switch m.Status {
	case sms.Queued, sms.Scheduled:
		v.Now, v.Advice = pill{"waits for the modem", idle}, a.waitsFor(v.Modem)
	case sms.Sending:
		v.Now = pill{"on the air", idle}
	case sms.Sent:
		v.Now, v.Advice = pill{"the network has it", good}, "It waits for the phone's answer. A phone that is off answers when it is on again; some networks never tell."
	case sms.Delivered:
		v.Now = pill{"delivered", good}
	case sms.Unconfirmed:
		v.Now, v.Advice = pill{"no answer from the network", warn}, "Nobody can know yet whether it went out. Look at the phone."
	case sms.Expired:
		end("not sent in time", cmp.Or(a.waitsFor(v.Modem), "The modem had no time for it within 15 minutes."))
	case sms.Canceled:
		end("canceled", "Somebody canceled it.")
	case sms.Undelivered:
		end("not delivered", "The network took it and could not deliver it.")
	default:
		end("failed", "")
	}
	if e := m.Error; e != nil {
		v.Advice = strings.TrimSpace(strings.TrimSuffix(e.Title, ".") + ". " + e.Detail)
	}
	return v, nil
}

// waitsFor says why a test waits, if its modem is the reason.
func (a *API) waitsFor(modem string) string {
	m, err := a.modem(modem)
	if err != nil || m.State == sms.Ready {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("The modem is not ready: %s. %s", modemWords[m.State].Word, m.Advice))
}
