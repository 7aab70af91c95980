//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatewayd/e2e/badlink"
	"gatewayd/sim"
	"gatewayd/sms"
)

// hubSite is a hub, and where its gateways dial in.
type hubSite struct {
	*site
	address string
}

func newHub(t *testing.T, more string) *hubSite {
	t.Helper()
	address := freeAddress(t)
	h := &hubSite{newSite(t, 0, sim.NetworkOptions{}, fmt.Sprintf("hub: {listen: %q%s}\n", address, more)), address}
	h.hub, h.level = true, "info"
	return h
}

// branch is a gateway of the hub, with modems, behind a link of its own.
type branch struct {
	*site
	name string
	link *badlink.Link
}

func (h *hubSite) branch(name, group string, modems int, o sim.NetworkOptions) *branch {
	h.t.Helper()
	link, err := badlink.New(h.address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(link.Close)
	b := h.branchAt("nats://"+link.Address(), name, group, modems, o)
	b.link = link
	return b
}

// branchAt is one that dials what hub.url is to be.
func (h *hubSite) branchAt(url, name, group string, modems int, o sim.NetworkOptions) *branch {
	h.t.Helper()
	credentials, errs, status := h.gatewayd("hub", "add-gateway", "--config", h.config, "--group", group, name)
	if status != 0 {
		h.t.Fatalf("hub add-gateway: %s", errs)
	}
	path := file(h.t, h.t.TempDir(), name+".creds", credentials)
	s := newSite(h.t, modems, o, fmt.Sprintf("queue: {unconfirmed_wait: 2s}\nhub: {url: %q, credentials_file: %q}\n", url, filepath.ToSlash(path)))
	s.level = "info"
	return &branch{site: s, name: name}
}

// give posts a message at the hub for a gateway.
func (h *hubSite) give(gateway, to, text string) sms.Message {
	h.t.Helper()
	body, err := json.Marshal(map[string]any{"gateway": gateway, "to": to, "text": text})
	if err != nil {
		h.t.Fatal(err)
	}
	status, answer := h.call(http.MethodPost, "/v1/messages", string(body))
	if status != http.StatusAccepted {
		h.t.Fatalf("POST answered %d %s", status, answer)
	}
	var m sms.Message
	if err := json.Unmarshal(answer, &m); err != nil {
		h.t.Fatal(err)
	}
	return m
}

// check has both ends' messages compared by the hub.
func (h *hubSite) check(gateway string) (r sms.CheckResult) {
	h.t.Helper()
	status, answer := h.call(http.MethodPost, "/v1/gateways/"+gateway+"/check", "")
	if status != http.StatusOK {
		h.t.Fatalf("the check answered %d %s", status, answer)
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		h.t.Fatal(err)
	}
	return r
}

// A link is cut, half open, two seconds long and loses every fifth packet, and both ends
// are killed, while the hub goes on taking messages and phones go on answering: each
// message ends once, the same at both ends.
func TestHubOverABadLink(t *testing.T) {
	h := newHub(t, "")
	b := h.branch("north", "", 2, sim.NetworkOptions{Latency: 30 * time.Millisecond, Delivery: 20 * time.Millisecond, Report: 20 * time.Millisecond})
	t.Logf("packets are really lost: %v; else a lost one is a wait as long as its retransmission", b.link.Real())
	h.start()
	b.start()
	x := exchange{h: h, b: b}
	x.give(5)
	h.eventually("messages go over a good link", 20*time.Second, x.told)
	for _, trouble := range []struct {
		name  string
		begin func()
		end   func()
		lasts bool // messages go all the same
	}{
		{"a cut", b.link.Cut, b.link.Heal, false},
		{"a half-open link", b.link.Swallow, func() {
			b.log.await(t, "there is no link to the hub", time.Minute) // nobody tells it
			b.link.Heal()
		}, false},
		{"two seconds there and back", func() { b.link.Set(badlink.Weather{Delay: time.Second}) }, func() { b.link.Set(badlink.Weather{}) }, true},
		{"every fifth packet lost", func() { b.link.Set(badlink.Weather{Loss: 0.2}) }, func() { b.link.Set(badlink.Weather{}) }, true},
		{"the gateway killed", func() { b.kill() }, func() { b.start() }, false},
		{"the hub killed", func() { h.kill(); h.start() }, func() {}, false},
		{"both killed", func() { b.kill(); h.kill(); h.start() }, func() { b.start() }, false},
	} {
		b.log.mark()
		begun := time.Now()
		x.give(20) // some are under way when it begins
		x.answer()
		trouble.begin()
		x.give(10)
		if b.cmd != nil {
			x.answer()
		}
		if trouble.lasts {
			h.eventually("with "+trouble.name+" all are delivered", time.Minute, x.told)
		}
		trouble.end()
		over := time.Now()
		// What was lost on the way is handed out again once the gateway is back, and not when
		// its consumer has given up waiting, after half a minute.
		h.eventually("after "+trouble.name+" all are delivered", 25*time.Second, x.told)
		now := time.Now()
		t.Logf("%s: %v until all were delivered, %v after it was over", trouble.name, now.Sub(begun).Round(100*time.Millisecond), now.Sub(over).Round(100*time.Millisecond))
	}

	taken := x.taken()
	doubtful := 0
	for i, id := range x.ids {
		here, there := h.message(id), b.message(id)
		if here.Status != there.Status || here.PossibleDuplicate != there.PossibleDuplicate || here.Attempts != there.Attempts {
			t.Errorf("message %d is %s after %d attempts at the hub, %s after %d at the gateway", i, here.Status, here.Attempts, there.Status, there.Attempts)
		}
		got := b.net.Handset(x.numbers[i]).Received()
		if here.PossibleDuplicate {
			doubtful++
			continue
		}
		if want := fmt.Sprintf("message %d", i); len(got) != 1 || got[0] != want || taken[x.numbers[i]] != 1 {
			t.Errorf("phone %d has %q, want %q once; the service centre took %d", i, got, want, taken[x.numbers[i]])
		}
	}
	h.eventually("every answer is at the hub", 30*time.Second, x.allArrived)
	if n := x.arrived(); n != x.answers {
		t.Errorf("the hub has %d answers, and phones wrote %d", n, x.answers)
	}
	r := h.check(b.name)
	if r.Compared < len(x.ids) || len(r.Differences) > 0 {
		t.Errorf("the check compared %d messages of %d and found %+v", r.Compared, len(x.ids), r.Differences)
	}
	if out, errs, status := h.gatewayd("hub", "check", "--config", h.config); status != 0 || !strings.Contains(out, fmt.Sprintf("%s: %d compared, 0 differences\n", b.name, r.Compared)) {
		t.Errorf("hub check ended with %d and says %q %q", status, out, errs)
	}
	t.Logf("%d messages, of which %d may have gone twice and say so; %d answers; the check compared %d", len(x.ids), doubtful, x.answers, r.Compared)
}
