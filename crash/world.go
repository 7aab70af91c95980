package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"gatewayd/sim"
	"gatewayd/sms"
)

// world is one daemon with its database over many lives, and what is around it:
// a phone network, modems, handsets, clients, a webhook receiver. They keep
// their own truth, for they do not die.
type world struct {
	lab    *lab
	seed   uint64
	rand   *rand.Rand // of the goroutine that drives it
	dir    string
	log    string
	config string
	base   string
	key    string
	http   *http.Client
	net    *sim.Network
	modems []*sim.Modem
	hook   *receiver
	disk   *disk
	points []string // failpoints that can be met here

	lives  []string // since the last check
	number int      // of the life
	logged int64    // the log was read up to here
	order  map[string][]told
	final  map[string]sms.Message // by id, as the log told it last

	mu       sync.Mutex
	traffic  bool
	asking   int // requests under way
	underway int // messages that are not at their end
	tag      int
	messages map[string]*message
	letters  map[string]*letter
	seen     int               // Seq of the last submission that was read
	sets     map[string]string // tag by number, reference and count of its parts
}

// families are the modems that a world may have.
var families = []sim.Profile{sim.Generic, sim.HuaweiE3372, sim.HuaweiE173, sim.SIMComSIM800, sim.SIMComSIM7600, sim.QuectelEC25, sim.ZTEMF190, directly}

// directly is a modem that hands everything over at once, instead of storing it,
// and wants acknowledgements.
var directly = func() sim.Profile {
	p := sim.Generic
	p.Name = "modem that stores nothing"
	p.CNMIRefused = [5][]int{nil, {1}, nil, {2}, nil}
	return p
}()

func newRand(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }

// newWorld makes a world; what it is like, and what happens in it, goes by the
// seed alone, but for the time that things take.
func newWorld(l *lab, seed uint64) (w *world, err error) {
	w = &world{lab: l, seed: seed, rand: newRand(seed, 1), messages: map[string]*message{}, letters: map[string]*letter{}, sets: map[string]string{},
		order: map[string][]told{}, final: map[string]sms.Message{}, http: &http.Client{Timeout: 10 * time.Second}}
	w.dir = filepath.Join(l.dir, fmt.Sprintf("world-%d", seed))
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return nil, err
	}
	w.log, w.config = filepath.Join(w.dir, "daemon.log"), filepath.Join(w.dir, "gatewayd.yaml")
	data := filepath.Join(w.dir, "data")
	if w.disk, err = newDisk(l, data); err != nil {
		return nil, err
	}
	if w.hook, err = newReceiver(seed, w.told); err != nil {
		return nil, err
	}
	w.net = sim.NewNetwork(sim.NetworkOptions{Latency: usualLatency, Jitter: usualLatency / 2,
		Delivery: 10 * time.Millisecond, Report: 20 * time.Millisecond, Retry: 300 * time.Millisecond, Seed: seed})
	w.net.SetFate(number(refusedNumber), sim.Fate{CMS: 1})
	w.net.SetFate(number(expiredNumber), sim.Fate{Reports: []byte{0x46}})
	w.net.SetFate(number(silentNumber), sim.Fate{Silent: true})
	address := host(seed) + ":8080"
	w.base = "http://" + address
	var list strings.Builder
	direct := false
	for i := range 1 + w.rand.IntN(3) {
		family := families[w.rand.IntN(len(families))]
		if l.every && i == 0 && seed%4 == 0 {
			family = directly
		}
		direct = direct || family.Name == directly.Name
		m := w.net.AddModem(sim.ModemOptions{Name: fmt.Sprintf("m%d", i+1), Profile: family, Warm: true,
			SIMSlots: 20, FirstMR: byte(w.rand.IntN(256))})
		port := filepath.Join(w.dir, m.Name())
		if _, err := m.OpenPTY(port); err != nil {
			return nil, err
		}
		w.modems = append(w.modems, m)
		fmt.Fprintf(&list, "    - {name: %s, port: %s, number: %q, max_per_minute: 0, max_per_day: 0}\n", m.Name(), port, m.Number())
	}
	w.points = pointsOf(direct)
	wait := []string{"100ms", "500ms", "1500ms", "4s"}[w.rand.IntN(4)]
	yaml := fmt.Sprintf("data_dir: %s\nhttp: {listen: %q}\nqueue: {unconfirmed_wait: %s, outbound_capacity: 1000, inbound_capacity: 1000}\n"+
		"disk: {reserve: 4MB, ballast: 2MB}\nclock: {trust: always}\n"+
		"modems:\n  discover: false\n  list:\n%s"+
		"webhooks:\n  - {url: \"http://%s/hook\", secret: %q, events: [%s], allow_private: true}\n",
		data, address, wait, list.String(), w.hook.address, secret, strings.Join(events(), ", "))
	if err := os.WriteFile(w.config, []byte(yaml), 0o600); err != nil {
		return nil, err
	}
	out, err := exec.Command(l.binary, "keys", "create", "--config", w.config, "--name", "crash", "--scope", "admin").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("keys create: %w", err)
	}
	w.key = strings.TrimSpace(string(out))
	return w, nil
}

const (
	usualLatency = 20 * time.Millisecond
	secret       = "whsec_Y3Jhc2gtbGFib3JhdG9yeS1jcmFzaC1sYWI="
)

// events are all that are about messages.
func events() (all []string) {
	for _, s := range sms.Statuses {
		if s != sms.Scheduled { // nothing is sent later here
			all = append(all, sms.EventOf(s))
		}
	}
	return all
}

func (w *world) close() {
	w.hook.close()
	w.net.Close()
	w.http.CloseIdleConnections()
	w.disk.close()
	if !w.lab.keeps(w) {
		_ = os.RemoveAll(w.dir)
	}
}

// run lives lives until the laboratory has had enough kills or the world is old.
func (w *world) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var clients sync.WaitGroup
	defer clients.Wait()
	defer stop()
	for i := range 4 {
		r := newRand(w.seed, uint64(10+i))
		clients.Go(func() { w.client(ctx, r) })
	}
	r := newRand(w.seed, 9)
	clients.Go(func() { w.write(ctx, r) })
	for age := 0; age < worldKills && w.lab.goesOn(ctx) && !w.lab.isRetired(w); {
		w.setTraffic(true)
		for range livesPerCheck {
			if !w.lab.goesOn(ctx) {
				break
			}
			killed, err := w.live(ctx)
			if err != nil {
				return err
			}
			if killed {
				age++
			}
		}
		if err := w.check(ctx); err != nil {
			return err
		}
	}
	return nil
}

const (
	worldKills    = 300 // then there is a new world, with other modems
	livesPerCheck = 25
	longestLife   = 1500 * time.Millisecond
)

func (w *world) setTraffic(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.traffic = on
}

// write has handsets write to modems while there is traffic.
func (w *world) write(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		sleep(ctx, time.Duration(40+r.IntN(160))*time.Millisecond)
		m := w.modems[r.IntN(len(w.modems))]
		if w.net.Waiting(m.Number()) > 8 {
			continue // nobody reads them just now
		}
		h := w.net.Handset(number(r.IntN(handsets)))
		w.mu.Lock()
		if !w.traffic {
			w.mu.Unlock()
			continue
		}
		l := &letter{tag: w.nextTag("h"), from: h.Number(), taken: map[string]bool{}}
		l.text = words(r, l.tag, length(r))
		w.letters[l.tag] = l
		w.mu.Unlock()
		if err := h.Send(m.Number(), l.text); err != nil {
			w.lab.fail(fmt.Errorf("a handset can't write: %w", err))
		}
	}
}

// nextTag is a sign that no other text of this world has. Called with w.mu held.
func (w *world) nextTag(kind string) string {
	w.tag++
	return fmt.Sprintf("%s%d", kind, w.tag)
}

// told takes what the receiver took.
func (w *world) told(e event) {
	tag := tagOf(e.Data.Text)
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Data.Direction == sms.Outbound {
		if final(e.Data.Status) {
			w.settledNow(tag)
		}
		return
	}
	l := w.letters[tag]
	if l == nil || l.text != e.Data.Text || l.from != e.Data.From {
		w.blame(tag, untrue, "no handset sent what came from %s: %q", e.Data.From, e.Data.Text)
		return
	}
	l.taken[e.Data.ID] = e.Data.PossibleDuplicate
	l.checked = false // a repetition may come long after
}

// settledNow counts a message off those under way. Called with w.mu held.
func (w *world) settledNow(tag string) {
	if m := w.messages[tag]; m != nil && !m.settled {
		m.settled = true
		w.underway--
	}
}

// live is one life of the daemon, up to its kill.
func (w *world) live(ctx context.Context) (killed bool, err error) {
	p := w.plan()
	w.number++
	undo := w.trouble(&p)
	env := ""
	if p.point != "" {
		env = fmt.Sprintf("%s %d %v", p.point, p.hit, p.wait)
	}
	began := time.Now()
	d, err := w.start(env)
	if err != nil {
		return false, err
	}
	kill := time.NewTimer(p.after)
	defer kill.Stop()
	var term <-chan time.Time
	if p.term > 0 {
		term = time.After(p.term)
	}
	byUs := false
	for !d.dead() {
		select {
		case <-d.ended:
		case <-term:
			_ = d.cmd.Process.Signal(syscall.SIGTERM)
		case <-kill.C:
			byUs = true
			d.kill()
		case <-ctx.Done():
			d.kill()
			undo()
			return false, ctx.Err()
		}
	}
	undo()
	killed, status := d.killed()
	how := p.String()
	switch {
	case !killed && status <= 0 && p.term > 0: // -1: before it could take the signal
		how += " (it ended by itself)"
	case !killed && w.disk.wasFull:
		how += fmt.Sprintf(" (exit %d, the disk was full)", status)
	case !killed:
		return false, fmt.Errorf("world %d, life %d (%s): the daemon ended by itself with status %d:\n%s", w.seed, w.number, how, status, w.tail())
	case byUs && p.point != "":
		how = fmt.Sprintf("%s (not reached: kill -9 after %v)", how, p.after)
		w.lab.count("", time.Since(began))
	default:
		w.lab.count(p.point, time.Since(began))
	}
	w.lives = append(w.lives, fmt.Sprintf("life %d: %s", w.number, how))
	return killed, nil
}

// tail is the end of the daemon's log.
func (w *world) tail() string {
	b, err := os.ReadFile(w.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// modem returns one at random.
func (w *world) modem() *sim.Modem { return w.modems[w.rand.IntN(len(w.modems))] }

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
