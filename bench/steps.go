package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// step is one part of the benchmark.
type step struct {
	name    string
	binary  bool // it measures the built daemon
	measure func(context.Context, settings, *table) error
}

// together are steps that are measured side by side.
type together []step

var groups = []together{
	{{"send", false, measureSending}},
	{{"batches", false, measureBatches}},
	{{"paced", false, measurePaced}},
	{{"line", false, measureLine}, {"crowd", true, measureCrowd}, {"trickle", true, measureTrickle}},
	{{"receive", true, measureReceiving}},
	{{"post", true, measurePosts}},
	{{"webhooks", true, measureWebhooks}},
	{{"listeners", true, measureListeners}},
	{{"daemon", true, measureDaemon}},
	{{"million", true, measureMillion}},
	{{"appliance", true, measureAppliance}},
	{{"chat", true, measureChat}},
	{{"link", true, measureLink}},
	{{"sick", false, measureSick}},
	{{"recovery", false, measureRecovery}},
}

func names() (all []string) {
	for _, g := range groups {
		for _, step := range g {
			all = append(all, step.name)
		}
	}
	return all
}

// measure runs those of the steps that are wanted, and adds what they found to
// the table in their order.
func (g together) measure(ctx context.Context, s *settings, t *table) error {
	var wanted together
	for _, step := range g {
		if s.only != "" && !slices.Contains(strings.Split(s.only, ","), step.name) || s.only == "" && step.name == "recovery" && !s.recovery {
			continue
		}
		wanted = append(wanted, step)
		if step.binary && s.binary == "" {
			var err error
			if s.binary, err = build(ctx, s.dir); err != nil {
				return err
			}
		}
	}
	var wait sync.WaitGroup
	tables, errs := make([]table, len(wanted)), make([]error, len(wanted))
	for i, step := range wanted {
		of := *s
		of.dir = filepath.Join(s.dir, step.name)
		if err := os.Mkdir(of.dir, 0o700); err != nil {
			return err
		}
		wait.Go(func() {
			start := time.Now()
			if err := step.measure(ctx, of, &tables[i]); err != nil {
				errs[i] = fmt.Errorf("%s: %w", step.name, err)
				return
			}
			fmt.Fprintf(os.Stderr, "bench: %s took %.0f s\n", step.name, time.Since(start).Seconds())
		})
	}
	wait.Wait()
	for _, found := range tables {
		t.rows, t.notes = append(t.rows, found.rows...), append(t.notes, found.notes...)
	}
	return errors.Join(errs...)
}
