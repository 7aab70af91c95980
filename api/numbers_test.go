package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatewayd/db"
	"gatewayd/queue"
)

func TestNumbersAreCountedExportedAndErased(t *testing.T) {
	b, hooks := hookBox(t)
	b.queue.OnExport("notes", func(_ db.Querier, of string, messages []queue.ErasedMessage, put func(any) error) error {
		for _, m := range messages {
			if err := put(map[string]any{"note": m.ID, "events": m.Events}); err != nil {
				return err
			}
		}
		return nil
	})
	for range 2 {
		m := b.post("/v1/messages", b.send, text(german)).accepted()
		b.ask("DELETE", "/v1/messages/"+m.ID, bearer(b.send), "").want(http.StatusOK)
	}
	b.post("/v1/messages/batch", b.send, batchOf(slices.Repeat([]string{german}, 118)...)).want(http.StatusAccepted) // more than a page
	b.post("/v1/messages", b.send, text(austrian)).accepted()
	var counts map[string]any
	b.ask("GET", "/v1/numbers/"+german, bearer(b.admin), "").want(http.StatusOK).into(&counts)
	if counts["number"] != german || counts["outbound"] != 120.0 || counts["unfinished"] != 118.0 || counts["stopped"] != false {
		t.Errorf("counts %v", counts)
	}
	a := b.ask("GET", "/v1/numbers/"+german+"/export", bearer(b.admin), "").want(http.StatusOK)
	if strings.Contains(a.Body.String(), austrian) {
		t.Error("another's number is in the export")
	}
	var all struct {
		Number   string
		Messages []struct {
			Message struct{ ID, To, Text, Status string }
			Events  []map[string]any
		}
		Notes []map[string]any
		Calls []any
	}
	a.into(&all)
	if all.Number != german || len(all.Messages) != 120 || len(all.Notes) != 120 || all.Calls == nil {
		t.Fatalf("%s: %d messages, %d notes", all.Number, len(all.Messages), len(all.Notes))
	}
	if m := all.Messages[0]; m.Message.Text != "hi" || m.Message.Status != "canceled" || len(m.Events) != 2 || m.Events[0]["type"] != "message.queued" {
		t.Errorf("%+v", m)
	}
	if all.Notes[5]["note"] != all.Messages[5].Message.ID {
		t.Errorf("%+v", all.Notes[5])
	}
	var erased struct {
		Erased int
		Hooks  []string
	}
	hooks.to = []string{austrian, german} // whom hooks text is the owner's configuration: it is told, and stays
	b.ask("DELETE", "/v1/numbers/"+german, bearer(b.admin), "").want(http.StatusOK).into(&erased)
	if erased.Erased != 120 || !slices.Equal(erased.Hooks, []string{"hook"}) {
		t.Errorf("erased %+v", erased)
	}
	hooks.to = []string{austrian}
	if a := b.ask("DELETE", "/v1/numbers/"+german, bearer(b.admin), "").want(http.StatusOK); !strings.Contains(a.Body.String(), `"hooks":[]`) {
		t.Errorf("erased %s", a.Body)
	}
	a = b.ask("GET", "/v1/numbers/"+german+"/export", bearer(b.admin), "").want(http.StatusOK)
	var empty map[string]json.RawMessage
	a.into(&empty)
	for name, section := range empty {
		if name != "number" && name != "exported_at" && string(section) != "[]" {
			t.Errorf("after it was erased %s has %s", name, section)
		}
	}
	for _, path := range []string{"/v1/numbers/1", "/v1/numbers/1/export", "/v1/numbers/abc", "/v1/numbers/abc/export"} {
		b.ask("GET", path, bearer(b.admin), "").problem(invalidFields, "number")
		b.ask("GET", path, bearer(b.read), "").problem(wrongScope)
	}
}

// An export that fails before its first row is an error; later it is cut off.
func TestExportThatFails(t *testing.T) {
	b := newBox(t, settings{})
	b.queue.OnExport("notes", func(db.Querier, string, []queue.ErasedMessage, func(any) error) error { return errors.New("broken") })
	b.ask("GET", "/v1/numbers/"+german+"/export", bearer(b.admin), "").problem(storage)
}

// A company's name can be asked for while something is kept about it; before and
// after, it is told from a number that is unknown here.
func TestNameIsNoNumber(t *testing.T) {
	b := newBox(t, settings{})
	b.ask("GET", "/v1/numbers/Vodafone", bearer(b.admin), "").problem(invalidFields, "number")
	b.ask("GET", "/v1/numbers/"+german, bearer(b.admin), "").want(http.StatusOK)
	b.receives(1, "00040ED0D637396C7EBBCB00006211822100000002E834")
	b.ask("GET", "/v1/numbers/Vodafone", bearer(b.admin), "").want(http.StatusOK)
	if a := b.ask("GET", "/v1/numbers/Vodafone/export", bearer(b.admin), "").want(http.StatusOK); !strings.Contains(a.Body.String(), `"hi"`) {
		t.Errorf("export %s", a.Body)
	}
	b.ask("DELETE", "/v1/numbers/Vodafone", bearer(b.admin), "").want(http.StatusOK)
	b.ask("GET", "/v1/numbers/Vodafone/export", bearer(b.admin), "").problem(invalidFields, "number")
}
