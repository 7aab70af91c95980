package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// measureChat takes how long the list of conversations takes to open in a browser, and
// the time from +CMTI on an idle modem until a text stands in the window of its
// conversation, in a session that has hundreds open, on a server that has thousands.
// The floor of the list is a page of text of the same server, and that of the text is
// its event at a program that listens.
func measureChat(ctx context.Context, s settings, t *table) (err error) {
	device, err := startSimulator(ctx, simulation{modems: 2, texts: true})
	if err != nil {
		return err
	}
	defer device.end()
	p, err := startDaemon(ctx, s.binary, filepath.Join(s.dir, "chat"), list(device.modems))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := p.modemsReady(ctx, 2); err != nil {
		return err
	}
	if err := pause(ctx, s.settle); err != nil {
		return err
	}
	before, err := p.used()
	if err != nil {
		return err
	}
	if err := p.converse(ctx, s.conversations, s.clients); err != nil {
		return err
	}
	if err := p.allSent(ctx); err != nil {
		return err
	}
	if err := pause(ctx, s.settle); err != nil {
		return err
	}
	after, err := p.used()
	if err != nil {
		return err
	}
	b, err := openBrowser(ctx, s, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.end()) }()

	var listed, page series
	for range s.rounds {
		var took, floor float64
		if err := b.tells("list", &took, &floor); err != nil {
			return err
		}
		listed, page = append(listed, 1000*took), append(page, 1000*floor)
	}
	t.add(compare(fmt.Sprintf("/chat until its list is drawn, %d conversations on the server", s.conversations), "", "≤ 300 ms", listed, page))
	var rows int
	var took, heap float64
	if err := b.tells("rows", &rows, &took, &heap); err != nil {
		return err
	}
	t.add(row{figure: fmt.Sprintf("%d of them listed in one session, by scrolling", rows), value: duration(1000 * took)})
	t.add(row{figure: "the page's own memory then", value: fmt.Sprintf("%.1f MB", heap)})
	t.add(row{figure: fmt.Sprintf("the daemon's resident memory without, and with %d conversations", s.conversations), value: fmt.Sprintf("%.1f MB, %.1f MB", before.resident, after.resident)})

	// The phone begins a conversation, which the browser opens.
	events, err := p.receivedEvents(ctx)
	if err != nil {
		return err
	}
	if _, err := device.ask("write 0"); err != nil {
		return err
	}
	if _, err := next(ctx, events); err != nil {
		return err
	}
	if err := b.tells("ready"); err != nil {
		return err
	}
	var window, event series
	for range s.texts / 10 {
		announced, err := device.ask("text %d %d", 0, 100+rand.IntN(200))
		if err != nil || announced < 0 {
			return errors.Join(err, errors.New("the modem did not announce a text"))
		}
		told, err := next(ctx, events)
		if err != nil {
			return err
		}
		var at float64 // Unix milliseconds
		if err := b.tells("seen", &at); err != nil {
			return err
		}
		window = append(window, at*1000-float64(announced)/1000)
		event = append(event, float64(told.UnixNano()-announced)/1000)
	}
	t.add(compare(fmt.Sprintf("+CMTI on an idle modem until the text is drawn in its window, %d texts, median", len(window)), "", "≤ 1 s", window, event))
	t.add(row{figure: "the same, the slowest", value: duration(window.at(1)), floor: duration(event.at(1)), goal: "≤ 1 s"})
	return nil
}

// converse begins conversations, each with a text that goes out at once.
func (p *process) converse(ctx context.Context, count, clients int) error {
	var work sync.WaitGroup
	failed := make(chan error, clients)
	for c := range clients {
		work.Go(func() {
			for i := c; i < count; i += clients {
				body := fmt.Sprintf(`{"to":"+4915510%06d","name":"Person %d","mode":"open","text":"Hello number %d"}`, i, i, i)
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.address+"/v1/conversations", strings.NewReader(body))
				if err != nil {
					failed <- err
					return
				}
				req.Header.Set("Authorization", "Bearer "+p.key)
				req.Header.Set("Content-Type", "application/json")
				r, err := http.DefaultClient.Do(req)
				if err != nil {
					failed <- err
					return
				}
				answer, _ := io.ReadAll(r.Body)
				r.Body.Close()
				if r.StatusCode != http.StatusCreated {
					failed <- fmt.Errorf("POST /v1/conversations: %s %s", r.Status, answer)
					return
				}
			}
		})
	}
	work.Wait()
	close(failed)
	return <-failed
}

// receivedEvents tells when each message.received comes to a program that listens.
func (p *process) receivedEvents(ctx context.Context) (<-chan time.Time, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/v1/events?types=message.received", nil)
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
		return nil, fmt.Errorf("GET /v1/events: %s", r.Status)
	}
	heard := make(chan time.Time, 100)
	go func() {
		defer r.Body.Close()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			if lines.Text() == "event: message.received" {
				heard <- time.Now()
			}
		}
	}()
	return heard, nil
}

func next(ctx context.Context, from <-chan time.Time) (time.Time, error) {
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case at := <-from:
		return at, nil
	case <-over.C:
		return time.Time{}, errors.New("a text came and no event told of it")
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// surfer is a headless Chromium with the chat page, in the hands of a script.
type surfer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func openBrowser(ctx context.Context, s settings, p *process) (*surfer, error) {
	install := exec.CommandContext(ctx, "scripts/node-modules")
	install.Stderr = os.Stderr
	modules, err := install.Output()
	if err != nil {
		return nil, fmt.Errorf("scripts/node-modules: %w; run it in the module's folder, with node, npm and chromium there (scripts/ensure node chromium)", err)
	}
	b := &surfer{cmd: exec.CommandContext(ctx, "node", "scripts/e2e/browser.cjs", "crowd")}
	b.cmd.Env = append(os.Environ(), "NODE_PATH="+strings.TrimSpace(string(modules)), "BASE=http://"+p.address, "KEY="+p.key, "PHONE="+writer,
		fmt.Sprint("ROUNDS=", s.rounds), fmt.Sprint("OPEN=", min(500, s.conversations)))
	b.cmd.Stderr = os.Stderr
	if b.in, err = b.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	b.out = bufio.NewReader(out)
	return b, b.cmd.Start()
}

// tells reads the script's next line, which has to begin with a word.
func (b *surfer) tells(word string, values ...any) error {
	line, err := b.out.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the browser's script ended: %w", err)
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), word)
	if !ok {
		return fmt.Errorf("the browser's script says %q, not %s", line, word)
	}
	if len(values) > 0 {
		_, err = fmt.Sscan(rest, values...)
	}
	return err
}

func (b *surfer) end() error {
	b.in.Close()
	return b.cmd.Wait()
}
