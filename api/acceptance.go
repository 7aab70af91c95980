package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/queue"
	"gatewayd/sms"
)

// notKnown stands where nothing is known: a sheet that is signed has no blanks that
// look like an answer.
const notKnown = "not known"

// acceptanceView is the sheet that a technician leaves at a site.
type acceptanceView struct {
	Box, Version string
	At           time.Time
	Uncertain    bool // nobody vouches for the clock
	Summary      summaryView
	Modems       []acceptedModem
	Machine      []machineFact
	Webhooks     string
	Checks       []string
}

// acceptedModem is a modem with all that is accepted of it.
type acceptedModem struct {
	Name  string
	Pill  pill
	Facts []machineFact
}

// checks are what no program can see; hardware.md has the same list.
var checks = []string{
	"Power supply as on the bill of materials, modems on a powered hub; no under-voltage after an hour",
	"Antennas outside of any metal box and half a metre apart, cables screwed on and not kinked; placed with the view /aim",
	"Box closed, dry and ventilated; cables relieved of strain",
	"Label with the box's name and address, and on every modem its name, socket and SIM (ICCID, number)",
	"SIM's PIN known to the gateway, or switched off; PUK kept where it is found",
	"SIM plan looked up: SMS included, fair-use limits, machine use allowed, when it ends or must be topped up",
	"The SIM's limits set in the gateway, below those of the plan",
	"Service centre's number (SMSC) set; a test text sent and delivered through each modem, and one to each SIM's number received",
	"Each modem unplugged and plugged in again: the page showed both, and it was found again within a minute",
	"Power cut and back: the box sends again by itself, and its clock is set",
	"Alarms reach a person: a test alarm arrived",
	"Backup set up, and restored once on another machine",
	"Consent of those who are texted, quiet hours and other law looked up for this country",
	"Emergency contact and whom to call named below and on the box",
}

// acceptancePage is GET /acceptance: everything of a site on a sheet to print and sign.
func (a *API) acceptancePage(c echo.Context) error {
	ctx, key := c.Request().Context(), keyOf(c)
	all := a.modems(key)
	v := &acceptanceView{Box: a.box(), Version: a.o.Version, At: a.now(), Uncertain: !a.o.Clock.Trusted(), Checks: checks,
		Summary: summarise(all, a.o.Queue.Stats(), a.now()), Machine: a.machine().Facts, Webhooks: "none"}
	a.alarms(all, &v.Summary)
	recent, _, err := a.o.Queue.List(ctx, queue.Filter{Limit: lookedAt})
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.Unidentified {
			continue
		}
		facts, err := a.accepted(ctx, m, mayOf(key), recent)
		if err != nil {
			return err
		}
		v.Modems = append(v.Modems, facts)
	}
	if a.o.Webhooks != nil {
		hooks, err := a.o.Webhooks.Webhooks(ctx)
		if err != nil {
			return err
		}
		var words []string
		for _, h := range hooks {
			words = append(words, h.Name+": "+viewHook(h, a.now()).Pill.Word)
		}
		if len(words) > 0 {
			v.Webhooks = strings.Join(words, ", ")
		}
	}
	f := a.frame(c, "Acceptance of "+v.Box)
	f.Style = "acceptance.css"
	return a.page(c, http.StatusOK, "acceptance.html", f, v)
}

// lookedAt is how many of the newest messages are looked at for tests.
const lookedAt = 500

func (a *API) accepted(ctx context.Context, m sms.Modem, may may, recent []sms.Message) (v acceptedModem, err error) {
	card, err := a.card(ctx, m, may)
	if err != nil {
		return v, err
	}
	v.Name, v.Pill = m.Name, card.Pill
	fact := func(name string, words ...string) {
		value := strings.TrimSpace(strings.Join(words, " "))
		if value == "" {
			value = notKnown
		}
		v.Facts = append(v.Facts, machineFact{Name: name, Value: value})
	}
	fact("Model", m.Manufacturer, m.Model)
	fact("Firmware", m.Firmware)
	fact("IMEI", m.IMEI)
	fact("SIM (ICCID)", m.ICCID)
	if may.Read {
		fact("Number", m.Number)
	}
	fact("SMSC", hideUnless(may.Read, m.SMSC))
	fact("Operator", m.Operator, parenthesis(m.Registration))
	fact("Technology", m.Technology, parenthesis(cellWords(m.Cell)))
	fact("Signal now", signalWords(m.Signal, card.Readings))
	day := ""
	if c := card.Chart; c != nil {
		day = fmt.Sprintf("%s: weakest %s, mean %s", c.Of, c.Least, c.Mean)
	}
	fact("Signal, 24 h", day)
	test, err := a.lastTest(ctx, m.Name, recent)
	if err != nil {
		return v, err
	}
	fact("Test sent", testWords(test))
	fact("Test received", receivedWords(m, recent))
	var limits []string
	for _, l := range card.Limits {
		limits = append(limits, fmt.Sprintf("%s %s of %s", strings.ToLower(l.Name), count(l.Used), count(l.Limit)))
	}
	if m.Limits != nil && len(limits) == 0 {
		limits = []string{"none set"}
	}
	fact("Limits", strings.Join(limits, "; "))
	healing := "never needed since the start"
	if card.Healing != nil {
		last := card.Healing.Steps[0]
		healing = fmt.Sprintf("%s; the last one %s: %s, %s", card.Healing.Line, stamp(last.At), last.Step, last.Outcome)
	}
	fact("Healing", healing)
	return v, nil
}

func hideUnless(shown bool, number string) string {
	if !shown && number != "" {
		return "set (hidden from this sign-in)"
	}
	return number
}

func parenthesis(words string) string {
	if words == "" {
		return ""
	}
	return "(" + words + ")"
}

func cellWords(cell string) string {
	if cell == "" {
		return ""
	}
	return "cell " + cell
}

func signalWords(s *sms.Signal, readings []readingView) string {
	if s == nil {
		return ""
	}
	words := []string{fmt.Sprintf("RSSI %s, %s", dBm(float64(s.DBm)), s.Quality)}
	for _, r := range readings {
		words = append(words, fmt.Sprintf("%s %s, %s", r.Name, r.Value, r.Word))
	}
	return strings.Join(words, "; ")
}

func testWords(t *testedView) string {
	if t == nil {
		return "none known: send one before signing"
	}
	var words []string
	for _, s := range t.Steps {
		if !s.At.IsZero() {
			words = append(words, strings.ToLower(s.What[:1])+s.What[1:]+" "+stamp(s.At))
		}
	}
	if t.Now.Kind == bad {
		words = append(words, t.Advice)
	}
	return capital(strings.Join(words, "; "))
}

// receivedWords say when a text last came to a modem.
func receivedWords(m sms.Modem, recent []sms.Message) string {
	if c := m.Canary; c != nil && c.Seconds != nil {
		return fmt.Sprintf("test message of %s arrived after %.1f s", stamp(c.At), *c.Seconds)
	}
	for _, in := range recent {
		if in.Direction == sms.Inbound && in.Modem == m.Name {
			return "a text came " + stamp(in.CreatedAt)
		}
	}
	return "none known: text this SIM before signing"
}

// lastTest is the newest test of a modem, nil if none is known any more.
func (a *API) lastTest(ctx context.Context, modem string, recent []sms.Message) (*testedView, error) {
	if id := a.tests.newest(modem); id != "" {
		m, err := a.o.Queue.Message(ctx, id)
		if err == nil {
			return a.viewTest(ctx, m)
		}
		if !errors.Is(err, queue.ErrNotFound) {
			return nil, err
		}
	}
	for _, m := range recent {
		if m.Metadata[testMark] == modem {
			return a.viewTest(ctx, &m)
		}
	}
	return nil, nil
}
