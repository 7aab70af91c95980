package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// viewers is how many pages are open at once.
const viewers = 100

// measureAppliance takes what a technician waits for, and what a box in a cupboard
// costs when nothing happens: the start, an event and a pulled modem on an open page,
// four idle modems, and a hundred open pages beside them.
func measureAppliance(ctx context.Context, s settings, t *table) error {
	if err := measureStart(ctx, s, t); err != nil {
		return err
	}
	modems, err := startSimulator(ctx, simulation{modems: 4})
	if err != nil {
		return err
	}
	err = measurePage(ctx, s, t, modems)
	_, ended := modems.end()
	return errors.Join(err, ended)
}

// measureStart takes the time from the start of the process until it takes
// messages, and until a modem can send them. The floor is the same program that
// prints its version.
func measureStart(ctx context.Context, s settings, t *table) error {
	var accepts, sends, floor series
	for i := range s.rounds {
		begun := time.Now()
		if err := exec.CommandContext(ctx, s.binary, "version").Run(); err != nil {
			return err
		}
		floor = append(floor, micros(time.Since(begun)))
		modem, err := startSimulator(ctx, simulation{modems: 1})
		if err != nil {
			return err
		}
		p, err := startDaemon(ctx, s.binary, filepath.Join(s.dir, fmt.Sprintf("start%d", i)), list(modem.modems))
		if err != nil {
			return err
		}
		begun = time.Now().Add(-p.start)
		accepts = append(accepts, micros(p.start))
		err = p.modemsReady(ctx, 1)
		sends = append(sends, micros(time.Since(begun)))
		_, ended := modem.end()
		if err := errors.Join(err, p.stop(), ended); err != nil {
			return err
		}
	}
	t.add(row{"start of the process until it takes messages", duration(accepts.median()), duration(floor.median()) + " (gatewayd version)", accepts.over(floor).spread("%.1f"), ""})
	t.add(row{"the same until a simulated modem is ready, the slowest", duration(sends.at(1)), duration(floor.median()), sends.over(floor).spread("%.1f"), "≤ 3 s"})
	return nil
}

// page is an open status page: its stream, and what its script does.
type page struct {
	p       *process
	changed chan string // what the stream says has changed
}

func (p *process) openPage(ctx context.Context) (*page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/live", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if r.StatusCode != http.StatusOK {
		r.Body.Close()
		return nil, fmt.Errorf("GET /live: %s", r.Status)
	}
	o := &page{p, make(chan string, 1000)}
	go func() {
		defer r.Body.Close()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			if what, ok := strings.CutPrefix(lines.Text(), `data: {"what":`); ok {
				o.changed <- what
			}
		}
	}()
	return o, nil
}

// shows waits until the page, read again at each change as its script does, says
// something, and returns how long that was after it had happened.
func (o *page) shows(ctx context.Context, words func(body string) bool, happen func() error) (time.Duration, error) {
	for len(o.changed) > 0 {
		<-o.changed
	}
	begun := time.Now()
	if err := happen(); err != nil {
		return 0, err
	}
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		select {
		case <-o.changed:
		case <-over.C:
			return 0, errors.New("an open page does not show what happened")
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		body, err := o.p.get(ctx, "/")
		if err != nil {
			return 0, err
		}
		if words(body) {
			return time.Since(begun), nil
		}
	}
}

func measurePage(ctx context.Context, s settings, t *table, modems *simulator) (err error) {
	p, err := startDaemon(ctx, s.binary, filepath.Join(s.dir, "page"), list(modems.modems))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := p.modemsReady(ctx, 4); err != nil {
		return err
	}
	if err := pause(ctx, s.settle); err != nil {
		return err
	}
	idle, err := p.share(ctx, s.idle)
	if err != nil {
		return err
	}
	floor := spin(s.rounds)
	t.add(row{figure: fmt.Sprintf("four idle modems, %v: share of a core", s.idle), value: percent(idle), goal: "≤ 0.5 %"})

	watching, end := context.WithCancel(ctx)
	defer end()
	pages := make([]*page, viewers)
	for i := range pages {
		if pages[i], err = p.openPage(watching); err != nil {
			return err
		}
	}
	if err := pause(ctx, s.settle); err != nil {
		return err
	}
	watched, err := p.share(ctx, s.idle)
	if err != nil {
		return err
	}
	t.add(row{figure: fmt.Sprintf("the same with %d open pages", viewers), value: percent(watched), goal: "< 5 %, on a Pi"})
	t.notes = append(t.notes, fmt.Sprintf("Idle shares are of a core of this machine, on which a loop of 100 million additions takes %s. On one that takes x times as long they are x times as large.", duration(floor)))

	var seen, pulled series
	for range s.rounds {
		var id string
		took, err := pages[0].shows(ctx, func(body string) bool { return id != "" && strings.Contains(body, id) }, func() (err error) {
			id, err = p.postOne(ctx)
			return err
		})
		if err != nil {
			return err
		}
		seen = append(seen, micros(took))
		took, err = pages[0].shows(ctx, func(body string) bool { return strings.Contains(body, "not plugged in") }, func() error {
			_, err := modems.ask("pull 3")
			return err
		})
		if err != nil {
			return err
		}
		pulled = append(pulled, micros(took))
		if _, err := modems.ask("plug 3"); err != nil {
			return err
		}
		if err := p.modemsReady(ctx, 4); err != nil {
			return err
		}
	}
	t.add(row{figure: "POST until an open page shows the message, the slowest", value: duration(seen.at(1)), goal: "≤ 1 s"})
	t.add(row{figure: "a modem is pulled out until an open page shows it, the slowest", value: duration(pulled.at(1)), goal: "≤ 3 s"})
	return nil
}

// postOne posts a message and returns its id.
func (p *process) postOne(ctx context.Context) (id string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.address+"/v1/messages", strings.NewReader(one(0)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	req.Header.Set("Content-Type", "application/json")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	var m struct{ ID string }
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil || r.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("POST /v1/messages: %s: %w", r.Status, err)
	}
	return m.ID, nil
}

// share is how much of a core a process takes for some time.
func (p *process) share(ctx context.Context, d time.Duration) (float64, error) {
	before, err := p.used()
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	after, err := p.used()
	return float64(after.cpu-before.cpu) / float64(time.Since(begun)), err
}

func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }

// spin is how many microseconds a core takes for a hundred million additions: what
// shares of a core are to be read by.
func spin(rounds int) float64 {
	var took series
	for range rounds {
		begun, sum := time.Now(), uint64(1)
		for i := range uint64(100_000_000) {
			sum += sum<<1 ^ i
		}
		runtime.KeepAlive(sum)
		took = append(took, micros(time.Since(begun)))
	}
	return took.median()
}
