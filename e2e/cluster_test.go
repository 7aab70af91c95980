//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatewayd/sim"
	"gatewayd/sms"
)

// natsNode is a server of a cluster.
type natsNode struct {
	t                         *testing.T
	address, cluster, monitor string
	program, file             string
	cmd                       *exec.Cmd
}

// cluster makes the configuration of three servers that take a hub; text is what its
// command nats-config prints.
func cluster(t *testing.T, text string, addresses []string) (all []*natsNode) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "natsnode")
	if out, err := exec.Command("go", "build", "-o", program, "gatewayd/e2e/natsnode").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var routes []string
	for _, a := range addresses {
		n := &natsNode{t: t, address: a, cluster: freeAddress(t), monitor: freeAddress(t), program: program}
		routes = append(routes, "nats://"+n.cluster)
		all = append(all, n)
	}
	for i, n := range all {
		dir := t.TempDir()
		n.file = file(t, dir, "nats.conf", fmt.Sprintf(`
listen: %s
http: %s
server_name: n%d
log_file: "nats.log"
jetstream: {store_dir: "./jetstream", sync_interval: always}
cluster: {name: fleet, listen: %s, no_advertise: true, routes: [%s]}
%s`, n.address, n.monitor, i+1, n.cluster, strings.Join(routes, ", "), text))
		n.start()
	}
	t.Cleanup(func() {
		for _, n := range all {
			if n.cmd != nil {
				n.kill()
			}
			if b, err := os.ReadFile(filepath.Join(filepath.Dir(n.file), "nats.log")); err == nil && t.Failed() {
				t.Logf("the log of the server %s:\n%s", n.address, b[max(0, len(b)-4000):])
			}
		}
	})
	return all
}

func (n *natsNode) start() {
	n.t.Helper()
	n.cmd = exec.Command(n.program, n.file)
	n.cmd.Stderr = os.Stderr
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
}

// kill ends it as a power cut would.
func (n *natsNode) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.cmd = nil
}

// ask is what it tells of itself.
func (n *natsNode) ask(path string, into any) bool {
	r, err := http.Get("http://" + n.monitor + path)
	if err != nil {
		return false
	}
	defer r.Body.Close()
	return r.StatusCode == http.StatusOK && (into == nil || json.NewDecoder(r.Body).Decode(into) == nil)
}

// streams are how many servers hold each, as far as one of them knows.
func (n *natsNode) streams() map[string]int {
	var all struct {
		Accounts []struct {
			Streams []struct {
				Name    string `json:"name"`
				Cluster struct {
					Leader   string
					Replicas []struct{ Name string }
				}
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	held := map[string]int{}
	n.ask("/jsz?accounts=true&streams=true", &all)
	for _, a := range all.Accounts {
		for _, s := range a.Streams {
			held[s.Name] = len(s.Cluster.Replicas)
			if s.Cluster.Leader != "" {
				held[s.Name]++
			}
		}
	}
	return held
}

// Three servers of NATS carry the link, each in a process of its own. One is killed while
// messages go both ways: the link goes on, and nothing is lost or sent twice. The one that
// was killed comes back.
func TestHubOnACluster(t *testing.T) {
	addresses := []string{freeAddress(t), freeAddress(t), freeAddress(t)}
	url := "nats://" + strings.Join(addresses, ",nats://")
	h := &hubSite{newSite(t, 0, sim.NetworkOptions{}, fmt.Sprintf("hub: {nats_url: %q}\n", url)), addresses[0]}
	h.hub, h.level = true, "info"
	text, errs, status := h.gatewayd("hub", "nats-config", "--config", h.config)
	if status != 0 {
		t.Fatalf("hub nats-config: %s", errs)
	}
	nodes := cluster(t, text, addresses)
	for _, n := range nodes {
		h.eventually("the server "+n.address+" is ready", 30*time.Second, func() bool { return n.ask("/healthz?js-enabled-only=true", nil) })
	}
	b := h.branchAt(url, "north", "", 2, sim.NetworkOptions{Latency: 30 * time.Millisecond, Delivery: 20 * time.Millisecond, Report: 20 * time.Millisecond})
	h.start()
	b.start()
	x := exchange{h: h, b: b}
	x.give(5)
	h.eventually("messages go over a whole cluster", 45*time.Second, x.told)
	h.eventually("each stream is on three servers", 20*time.Second, func() bool {
		for _, n := range nodes {
			held := n.streams()
			for _, replicas := range held {
				if replicas != 3 {
					return false
				}
			}
			if len(held) < 2 {
				return false
			}
		}
		return true
	})

	x.give(20)
	x.answer()
	victim := nodes[rand.IntN(len(nodes))]
	victim.kill()
	killed := time.Now()
	before := len(x.ids)
	x.give(10)
	x.answer()
	h.eventually("one that was given behind the kill is delivered", time.Minute, func() bool { return h.message(x.ids[before]).Status == sms.Delivered })
	goesOn := time.Since(killed)
	h.eventually("all are delivered with two servers", time.Minute, x.told)
	h.eventually("every answer is at the hub", time.Minute, x.allArrived)
	t.Logf("the server %s was killed: after %v the link went on, after %v all was told", victim.address, goesOn.Round(10*time.Millisecond), time.Since(killed).Round(10*time.Millisecond))
	victim.start()
	x.give(5)
	x.answer()
	h.eventually("all are delivered with three servers again", time.Minute, x.told)
	h.eventually("every answer is at the hub", time.Minute, x.allArrived)

	taken := x.taken()
	for i, id := range x.ids {
		here, there := h.message(id), b.message(id)
		if here.Status != there.Status || here.PossibleDuplicate || taken[x.numbers[i]] != 1 {
			t.Errorf("message %d is %s at the hub, %s at the gateway; the service centre took %d", i, here.Status, there.Status, taken[x.numbers[i]])
		}
	}
	if n := x.arrived(); n != x.answers {
		t.Errorf("the hub has %d answers, and phones wrote %d", n, x.answers)
	}
	if out, errs, status := h.gatewayd("hub", "check", "--config", h.config); status != 0 || !strings.Contains(out, "compared, 0 differences") {
		t.Errorf("hub check ended with %d and says %q %q", status, out, errs)
	}
}
