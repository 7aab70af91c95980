package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"gatewayd/auth"
	"gatewayd/gateway"
	"gatewayd/queue"
)

// batch is how many messages are handed in with one request.
const batch = 1000

// measureBatches reads the own share a part while batches arrive over HTTP, one
// as soon as the one before is accepted. The floor is the bare loop with one
// commit a part while SQLite inserts the rows of such batches into another file.
func measureBatches(ctx context.Context, s settings, t *table) error {
	device, commit, end, err := besideBare(ctx, s.dir, simulation{modems: 1})
	if err != nil {
		return err
	}
	defer end()
	var bare, product lane
	var arrived series
	parts := s.parts * 2 / 5 // the disk is busy: each takes longer than in measureSending
	for i := range max(2, s.rounds/2) {
		seen, err := besideInserts(ctx, filepath.Join(s.dir, fmt.Sprint("beside", i)), func() (*tap, error) { return onPort(device.port, parts, commit) })
		if err != nil {
			return err
		}
		bare.take(seen)
		seen, rate, err := besideBatches(ctx, filepath.Join(s.dir, fmt.Sprint("batches", i)), device, parts)
		if err != nil {
			return err
		}
		product.take(seen)
		arrived = append(arrived, rate)
	}
	while := fmt.Sprintf("while batches of %d arrive (%s/s)", batch, arrived.spread("%.0f"))
	t.add(compare("own share a part "+while+", median", "", "", product.own, bare.own))
	r := compare("own share a part while batches arrive, p99", "", "≤ 10 ms", product.own99, bare.own99)
	ms := make(series, len(product.own99))
	for i, us := range product.own99 {
		ms[i] = us / 1000
	}
	r.value = ms.spread("%.2f") + " ms"
	t.add(r)
	t.add(compare("parts a second while batches arrive", "/s", "", product.rate, bare.rate))
	return nil
}

// besideInserts runs a bare loop while rows of batches are inserted.
func besideInserts(ctx context.Context, dir string, run func() (*tap, error)) (*tap, error) {
	inserting, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := insertRows(inserting, dir, slots, batch)
		done <- err
	}()
	t, err := run()
	stop()
	if e := <-done; !errors.Is(e, context.Canceled) {
		err = errors.Join(err, e)
	}
	return t, err
}

// besideBatches sends n parts through a gateway that is given batches all the
// time, and tells how many messages a second those were.
func besideBatches(ctx context.Context, dir string, device *simulator, n int) (t *tap, rate float64, err error) {
	defer os.RemoveAll(dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, 0, err
	}
	w, err := watch(ctx, gateway.Options{DataDir: dir, Listener: l, Queue: queue.Options{OutboundCapacity: slots}}, device.modems, n)
	if err != nil {
		l.Close()
		return nil, 0, err
	}
	key, _, err := w.Keys().Create(ctx, "bench", []auth.Scope{auth.Send}, time.Time{})
	if err != nil {
		return nil, 0, err
	}
	w.start(ctx)
	defer func() { err = errors.Join(err, w.stop()) }()
	posting, stop := context.WithCancel(ctx)
	var handedIn int
	done := make(chan error, 1)
	start := time.Now()
	go func() {
		body, err := batchOf(batch, false)
		for err == nil && posting.Err() == nil {
			if err = postBatch(posting, l.Addr().String(), key, body); err == nil {
				handedIn += batch
			}
		}
		if posting.Err() != nil {
			err = nil
		}
		done <- err
	}()
	t, err = w.sent(ctx, 0)
	took := time.Since(start)
	stop()
	err = errors.Join(err, <-done)
	return t, float64(handedIn) / took.Seconds(), err
}

// batchOf is the body of a request that hands in n messages.
func batchOf(n int, report bool) ([]byte, error) {
	type message struct {
		To     string `json:"to"`
		Text   string `json:"text"`
		Report bool   `json:"delivery_report"`
	}
	var all struct {
		Messages []message `json:"messages"`
	}
	for i := range n {
		all.Messages = append(all.Messages, message{recipient(i), benchText, report})
	}
	return json.Marshal(all)
}

func postBatch(ctx context.Context, address, key string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/messages/batch", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusAccepted {
		b, _ := io.ReadAll(r.Body)
		return fmt.Errorf("a batch was answered %s: %s", r.Status, b)
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err
}
