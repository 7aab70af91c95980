package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/sim"
	"gatewayd/sms"
)

// asks is somebody with a key.
func (w *world) asks(scope auth.Scope) func(method, path string) (int, string) {
	w.t.Helper()
	token, _, err := w.g.Keys().Create(context.Background(), "a test", []auth.Scope{scope}, time.Time{})
	if err != nil {
		w.t.Fatal(err)
	}
	return func(method, path string) (int, string) {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		a := httptest.NewRecorder()
		w.g.server.Handler.ServeHTTP(a, r)
		return a.Code, a.Body.String()
	}
}

// life is the timeline of a message as the API tells it: titles with their codes.
func life(t *testing.T, ask func(method, path string) (int, string), id string) string {
	t.Helper()
	status, body := ask("GET", "/v1/messages/"+id+"/timeline")
	var got struct {
		Complete bool
		Steps    []struct {
			Title string
			Code  *string
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || !got.Complete {
		t.Fatalf("timeline: %d %s %v", status, body, err)
	}
	var all []string
	for _, s := range got.Steps {
		if s.Code != nil {
			s.Title += " [" + *s.Code + "]"
		}
		all = append(all, s.Title)
	}
	return strings.Join(all, "\n")
}

const (
	tracedNumber = "+491733335577"
	tracedText   = "quokka zanzibar marmalade"
	// "quite secret", in Russian
	tracedForeign = "\u0441\u043e\u0432\u0435\u0440\u0448\u0435\u043d\u043d\u043e \u0441\u0435\u043a\u0440\u0435\u0442\u043d\u043e"
)

// leaks finds pieces of the number and of the text in a trace, in whatever form.
func leaks(trace string) (found []string) {
	for form, b := range forms("zanzibar marmalade") {
		if strings.Contains(trace, string(b)) {
			found = append(found, "the text as "+form)
		}
	}
	for form, b := range forms(tracedForeign) {
		if strings.Contains(trace, string(b)) {
			found = append(found, "the text in Unicode as "+form)
		}
	}
	for _, word := range strings.Fields(tracedText) {
		if strings.Contains(trace, word) {
			found = append(found, word)
		}
	}
	digits := tracedNumber[1:]
	for i := 0; i+6 <= len(digits); i++ {
		run := digits[i : i+6]
		swapped := string([]byte{run[1], run[0], run[3], run[2], run[5], run[4]})
		for _, form := range []string{run, swapped} {
			if strings.Contains(trace, form) {
				found = append(found, "the digits "+run+" as "+form)
			}
		}
	}
	return found
}

// A message's whole life is told, and its trace shows the dialogue without number
// and text, whatever its fate and whoever made the modem. What went wrong is there
// after a restart too, and nothing is once it is erased.
func TestLivesAndTraces(t *testing.T) {
	for _, p := range sim.Profiles() {
		t.Run(p.Slug, func(t *testing.T) {
			inWorld(t, 0, air(), func(w *world) {
				w.modems = append(w.modems, w.net.AddModem(sim.ModemOptions{Name: "m1", Profile: p}))
				w.restart(nil)
				w.pass(time.Minute)
				ask := w.asks(auth.Admin)
				want := map[string][]string{}
				trace := func(id string) string {
					t.Helper()
					status, text := ask("GET", "/v1/messages/"+id+"/trace")
					if status != 200 {
						t.Fatalf("trace: %d %s", status, text)
					}
					if found := leaks(text); found != nil {
						t.Errorf("the masked trace has %v:\n%s", found, text)
					}
					return text
				}
				tells := func(what, id string, steps ...string) {
					t.Helper()
					got, at := life(t, ask, id), 0
					for _, s := range steps {
						i := strings.Index(got[at:], s)
						if i < 0 {
							t.Fatalf("the life of what was %s lacks %q in its place:\n%s", what, s, got)
						}
						at += i
					}
					want[id] = steps
				}

				m := w.submit(tracedNumber, tracedText)
				w.until(m.ID, sms.Delivered, 5*time.Minute)
				tells("delivered", m.ID, "Accepted: it waits for a modem", "Handed to the modem m1", "It is accepted by the network under TP-MR", "Sent: the network has it", "Status report: ", "Delivered: the phone has it")
				text := trace(m.ID)
				for _, part := range []string{"== attempt 1, part 1 of 1, modem m1", `> "AT+CMGS=`, `+CMGS: `, "== status report of part 1", `+CDS`, "modem m1: ", "firmware"} {
					if !strings.Contains(text, part) {
						t.Errorf("the trace lacks %q:\n%s", part, text)
					}
				}
				if n := strings.Count(text, "AT+CMGS="); n != 1 {
					t.Errorf("the trace has %d commands to send, want its own:\n%s", n, text)
				}
				delivered := m.ID
				if _, text := ask("GET", "/v1/messages/"+m.ID+"/trace?masked=false"); len(leaks(text)) == 0 {
					t.Errorf("the whole trace hides the number:\n%s", text)
				}

				long := w.submit(tracedNumber, strings.Repeat(tracedText+" ", 14))
				w.until(long.ID, sms.Delivered, 5*time.Minute)
				tells("in parts", long.ID, "Part 1 of 3 is accepted by the network", "Part 2 of 3 goes to the modem", "Part 3 of 3 is accepted by the network", "Sent", "Status report of part ", "Delivered")
				if text := trace(long.ID); strings.Count(text, "AT+CMGS=") != 3 || !strings.Contains(text, "part 3 of 3") {
					t.Errorf("three parts, and the trace is\n%s", text)
				}

				if err := w.net.Handset(tracedNumber).Send(w.modems[0].Number(), strings.Repeat(tracedText+" ", 10)); err != nil {
					t.Fatal(err)
				}
				w.pass(3 * time.Minute)
				in := w.inbound()
				if len(in) != 1 {
					t.Fatalf("%d messages were received", len(in))
				}
				tells("received", in[0].ID, "The service centre took it", "Part 1 of 2 came in on the modem m1", "Put together from 2 parts and stored")
				if text := trace(in[0].ID); !strings.Contains(text, "== received, PDU 1, modem m1") {
					t.Errorf("the trace of what was received is\n%s", text)
				}

				w.net.SetFate(tracedNumber, sim.Fate{CMS: 1})
				refused := w.submit(tracedNumber, tracedText)
				w.until(refused.ID, sms.Failed, 24*time.Hour)
				tells("refused", refused.ID, "Handed to the modem m1", "Failed [")

				w.net.SetFate(tracedNumber, sim.Fate{Reports: []byte{0x46}})
				lost := w.submit(tracedNumber, tracedForeign)
				w.until(lost.ID, sms.Undelivered, 2*time.Hour)
				tells("not delivered", lost.ID, "Sent", "[tp-st-70]", "Not delivered [tp-st-70]")

				w.net.SetFate(tracedNumber, sim.Fate{Silent: true}) // no report settles it
				w.modems[0].Fault(func(f *sim.Faults) { f.Silent, f.Lost = 1, true })
				doubt := w.submit(tracedNumber, tracedText)
				w.until(doubt.ID, sms.Sent, time.Hour)
				tells("in doubt", doubt.ID, "Handed to the modem m1", "In doubt: it may or may not have gone out [unconfirmed]", "No answer came in time: it is sent again", "Handed to the modem m1, attempt 2", "Sent")
				w.pass(time.Minute)

				durable := map[string]string{}
				for _, id := range []string{refused.ID, lost.ID, doubt.ID} {
					durable[id] = trace(id)
				}
				if !strings.Contains(durable[refused.ID], "ERROR") {
					t.Errorf("the refusal is not in the trace:\n%s", durable[refused.ID])
				}
				for _, attempt := range []string{"== attempt 1", "== attempt 2, part 1 of 1"} {
					if !strings.Contains(durable[doubt.ID], attempt) {
						t.Errorf("the trace of a doubt lacks %q:\n%s", attempt, durable[doubt.ID])
					}
				}

				w.restart(nil)
				ask = w.asks(auth.Admin)
				if text := trace(delivered); !strings.Contains(text, "The dialogue of attempt 1, part 1 of 1; status report of part 1 is no longer there.") {
					t.Errorf("after a restart the trace of what was delivered is\n%s", text)
				}
				for id, before := range durable {
					_, dialogue, _ := strings.Cut(before, "\nDIALOGUE")
					if _, after, _ := strings.Cut(trace(id), "\nDIALOGUE"); after != dialogue || !strings.Contains(after, "AT+CMGS=") {
						t.Errorf("a trace changed over a restart: it was\n%s\nand is\n%s", dialogue, after)
					}
					tells("told over a restart", id, want[id]...)
				}

				if status, body := ask("POST", "/v1/messages/"+refused.ID+"/redact"); status != 200 {
					t.Fatalf("redacting: %d %s", status, body)
				}
				if n := w.tracesKept(); n != 2 {
					t.Errorf("%d traces are kept after one text was erased, want 2", n)
				}
				if status, body := ask("DELETE", "/v1/numbers/"+tracedNumber); status != 200 {
					t.Fatalf("erasing: %d %s", status, body)
				}
				if n := w.tracesKept(); n != 0 {
					t.Errorf("%d traces are left of what was erased", n)
				}
			})
		})
	}
}

func (w *world) tracesKept() (n int) {
	w.t.Helper()
	err := w.g.database.Read(context.Background(), func(r db.Querier) error {
		return r.QueryRow(`SELECT count(*) FROM traces`).Scan(&n)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// Of many that fail the newest are kept, and what was erased meanwhile is not
// stored again.
func TestTracesAreBounded(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(time.Minute)
		m := w.submit(phone, "x")
		w.until(m.ID, sms.Delivered, time.Minute)
		piece := sms.TracePiece{What: "attempt 1", Modem: "m1", At: time.Now(), Text: strings.Repeat("x", traceMost/2)}
		if kept := bounded([]sms.TracePiece{piece, piece, piece}); len(kept) != 1 {
			t.Errorf("%d pieces of half a trace are kept", len(kept))
		}
		err := w.g.database.Write(func(tx *db.Tx) error {
			if err := w.g.traces.store(tx, "msg_erased", []sms.TracePiece{piece}); err != nil {
				return err
			}
			for i := range tracesKept {
				if _, err := tx.Exec(`INSERT INTO traces (message, pieces) VALUES (?, '[]')`, fmt.Sprint("msg_", i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := w.tracesKept(); n != tracesKept {
			t.Errorf("%d traces, want %d: one is of a message that is not there", n, tracesKept)
		}
		w.net.SetFate(phone, sim.Fate{CMS: 1})
		failed := w.submit(phone, "y")
		w.until(failed.ID, sms.Failed, 24*time.Hour)
		w.pass(5 * time.Second)
		if n := w.tracesKept(); n != tracesKept {
			t.Errorf("%d traces are kept, want %d", n, tracesKept)
		}
		if pieces, err := w.g.traces.stored(context.Background(), failed.ID); err != nil || len(pieces) == 0 {
			t.Errorf("of the newest failure %v is kept, %v", pieces, err)
		}
		if pieces, err := w.g.traces.stored(context.Background(), "msg_0"); err != nil || pieces != nil {
			t.Errorf("the oldest is still there: %v, %v", pieces, err)
		}
	})
}
