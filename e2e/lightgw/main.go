// The program lightgw is many gateways in one process: without modems and database, but
// each with a connection of its own, credentials of its own, and the words of package
// mirror. It starts a hub, adds them, has messages posted to them, takes these, tells of
// each that it was stored, sent and delivered, and prints what that took.
//
//	make fleet
//	go run ./e2e/lightgw -binary bin/gatewayd -gateways 100 -messages 10
//
// Or with a hub that runs, which should be one that is thrown away:
//
//	go run ./e2e/lightgw -hub http://127.0.0.1:8080 -nats nats://127.0.0.1:4222 -key KEY -pid PID
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

type settings struct {
	base, nats, key    string
	gateways, messages int
	pid                int
	binary             string
	dir                string // credentials
}

func main() {
	s := settings{key: os.Getenv("GATEWAYD_KEY")}
	flag.StringVar(&s.base, "hub", "http://127.0.0.1:8080", "the hub's API")
	flag.StringVar(&s.nats, "nats", "nats://127.0.0.1:4222", "where its gateways dial in")
	flag.StringVar(&s.key, "key", s.key, "an admin's key; also GATEWAYD_KEY")
	flag.IntVar(&s.gateways, "gateways", 1000, "how many")
	flag.IntVar(&s.messages, "messages", 100, "how many for each")
	flag.IntVar(&s.pid, "pid", 0, "the hub's process, whose memory is printed too")
	flag.StringVar(&s.binary, "binary", "", "a gatewayd to start a hub with, for the time of the run; then -hub, -nats, -key and -pid are not used")
	flag.Parse()
	if err := run(context.Background(), s); err != nil {
		fmt.Fprintln(os.Stderr, "lightgw:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	if s.dir, err = os.MkdirTemp("", "lightgw-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	stop := func() error { return nil }
	if s.binary != "" {
		if stop, err = s.start(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 16
	begun, hub0, own0 := time.Now(), resident(s.pid), resident(os.Getpid())
	all := make([]*gateway, s.gateways)
	var refused, unheard atomic.Int64
	err = each(len(all), 16, func(i int) (err error) {
		if all[i], err = s.add(ctx, fmt.Sprintf("light-%04d", i)); err == nil {
			all[i].refused, all[i].unheard = &refused, &unheard
		}
		return err
	})
	if err != nil {
		return err
	}
	added := time.Now()
	if err := each(len(all), 64, func(i int) error { return all[i].connect(s.nats) }); err != nil {
		return err
	}
	runtime.GC()
	connected, hub1, own1 := time.Now(), resident(s.pid), resident(os.Getpid())
	fmt.Printf("%d gateways added in %v, connected in %v more\n", len(all), added.Sub(begun).Round(time.Millisecond), connected.Sub(added).Round(time.Millisecond))
	fmt.Printf("memory per connected gateway: hub %.0f kB (%d → %d MB), here %.0f kB\n", per(hub1-hub0, len(all)), hub0/1024, hub1/1024, per(own1-own0, len(all)))

	group, taking := errgroup.WithContext(ctx)
	for _, g := range all {
		group.Go(func() error { return g.take(taking, s.messages) })
	}
	if err := each(len(all), 8, func(i int) error { return s.post(ctx, all[i].name) }); err != nil {
		return err
	}
	posted := time.Now()
	fmt.Printf("%d messages posted in %v\n", s.gateways*s.messages, posted.Sub(connected).Round(time.Millisecond))
	if err := group.Wait(); err != nil {
		return err
	}
	taken := time.Now()
	n := s.gateways * s.messages
	fmt.Printf("all taken and their %d events told %v later: %.0f messages a second on the whole\n",
		3*n, taken.Sub(posted).Round(time.Millisecond), float64(n)/taken.Sub(connected).Seconds())
	fmt.Printf("the hub's stream refused %d times, and %d hellos got no answer within 5 s\n", refused.Load(), unheard.Load())
	for _, g := range all {
		if err := s.over(ctx, g.name); err != nil {
			return err
		}
	}
	fmt.Printf("the hub has booked all as delivered %v after that; %v in all\n", time.Since(taken).Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	fmt.Printf("memory then: hub %d MB, here %d MB for %d gateways\n", resident(s.pid)/1024, resident(os.Getpid())/1024, len(all))
	for _, g := range all {
		g.close()
	}
	return nil
}

func per(kb, n int) float64 { return float64(kb) / float64(n) }

// each does n things, some at once.
func each(n, atOnce int, do func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}

// add has the hub know a gateway, and keeps its credentials.
func (s settings) add(ctx context.Context, name string) (*gateway, error) {
	var answer struct{ Credentials string }
	if err := s.ask(ctx, http.MethodPost, "/v1/gateways", map[string]any{"name": name}, &answer); err != nil {
		return nil, err
	}
	path := filepath.Join(s.dir, name+".creds")
	return &gateway{name: name, credentials: path, has: map[string]bool{}}, os.WriteFile(path, []byte(answer.Credentials), 0o600)
}

// post has messages sent by a gateway, each to a number of its own.
func (s settings) post(ctx context.Context, gateway string) error {
	var batch []map[string]any
	for i := range s.messages {
		batch = append(batch, map[string]any{"gateway": gateway, "to": fmt.Sprintf("+49171%07d", i), "text": "a text of ordinary length, as people write them to each other"})
	}
	return s.ask(ctx, http.MethodPost, "/v1/messages/batch", map[string]any{"messages": batch}, nil)
}

// over waits until the hub has nothing open of a gateway.
func (s settings) over(ctx context.Context, name string) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var g struct {
			Waiting int `json:"waiting"`
			InLink  int `json:"in_link"`
			Stored  int `json:"stored"`
		}
		if err := s.ask(ctx, http.MethodGet, "/v1/gateways/"+name, nil, &g); err != nil {
			return err
		}
		if g.Waiting+g.InLink+g.Stored == 0 {
			return nil
		}
	}
	return fmt.Errorf("the hub has not booked what %s told", name)
}

func (s settings) ask(ctx context.Context, method, path string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "application/json")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	said, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode >= 300 {
		err = errors.New(r.Status + " " + string(said))
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(said, answer)
}

// resident is the memory of a process in kB; 0: nobody knows.
func resident(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // none: no such process
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			if n, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil {
				return n
			}
		}
	}
	return 0
}
