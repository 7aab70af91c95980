package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/client"
	"gatewayd/config"
)

const (
	// chunk is how many messages go in one request: few enough that a Pi stores
	// them at once and the bar moves.
	chunk = 100
	// filePatience is how long a file waits for a daemon that is full or away.
	filePatience = 7 * 24 * time.Hour
)

type csvFlags struct {
	file, text    string
	dryRun, again bool
}

func (c *csvFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.file, "csv", "", "file with a message in each line, below a line that names the columns")
	f.StringVar(&c.text, "text", "", "with --csv: the text, with {{.column}} where a column's value belongs")
	f.BoolVar(&c.dryRun, "dry-run", false, "with --csv: check every row, show what would be sent, and send nothing")
	f.BoolVar(&c.again, "again", false, "with --csv: send everything once more though it was sent before")
}

// sendFile sends what a file has.
func (s *sender) sendFile(cmd *cobra.Command, args []string) error {
	for _, name := range []string{"to", "data", "port", "client-id", "wait"} {
		if cmd.Flags().Changed(name) {
			return usageError{fmt.Errorf("send: --%s can't go together with --csv", name)}
		}
	}
	if len(args) > 0 {
		return usageError{errors.New("send: with --csv the text is a column of the file, or --text")}
	}
	region := ""
	if s.config != "" {
		cfg, err := config.Load(s.config, os.Environ())
		if err != nil {
			return err
		}
		region = cfg.DefaultRegion
	}
	out := cmd.ErrOrStderr()
	if s.csv.dryRun {
		rows, err := s.rows(cmd, region, time.Now())
		if err != nil {
			return err
		}
		return show(cmd.OutOrStdout(), rows)
	}
	waited, say := false, sayWait(out)
	d, err := s.connect(client.WithPatience(filePatience), client.WithNotice(func(err error, wait time.Duration) {
		waited = true
		say(err, wait)
	}))
	if err != nil {
		return err
	}
	// A file with mistakes begins nothing.
	if _, err := s.rows(cmd, region, time.Now()); err != nil {
		return fmt.Errorf("%w\nnothing was sent", err)
	}
	d.sayKey(cmd)
	noted := s.csv.file + ".sent"
	if s.csv.again {
		if err := os.Remove(noted); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	how, err := s.digest()
	if err != nil {
		return err
	}
	c, err := openCampaign(noted, how, digestOf(d.key), time.Now())
	if err != nil {
		return err
	}
	defer c.Close()
	rows, err := s.rows(cmd, region, c.Begun)
	if err != nil {
		return err
	}
	twins, err := c.name(rows)
	if err != nil {
		return err
	}
	for _, t := range twins[:min(5, len(twins))] {
		fmt.Fprintln(out, "note:", t)
	}
	if n := len(twins) - 5; n > 0 {
		fmt.Fprintf(out, "note: and %d more like these\n", n)
	}
	err = s.sendRows(cmd, d, c, rows)
	var refused *client.Error
	if errors.As(err, &refused) && refused.Status < 500 && len(c.taken) == 0 && c.fresh && !waited {
		// Nothing was sent for certain, so nothing needs to be gone on with: the
		// next run may have another key.
		return errors.Join(err, os.Remove(noted))
	}
	return err
}

// digest tells command lines apart that would send something else.
func (s *sender) digest() (string, error) {
	o := s.common
	all := []any{s.csv.text, o.from, o.at, o.expires, o.onUnconfirmed, o.callback, o.priority, o.flash, o.noReport, o.metadata}
	if o.unicode != "" || o.rejectIfLate { // what is under way since before there were these goes on
		all = append(all, o.unicode, o.rejectIfLate)
	}
	b, err := json.Marshal(all)
	return digestOf(string(b)), err
}

func (s *sender) rows(cmd *cobra.Command, region string, now time.Time) ([]row, error) {
	base, err := s.common.message(cmd, now)
	if err != nil {
		return nil, err
	}
	return readRows(s.csv.file, s.csv.text, base, region, now)
}

func (s *sender) sendRows(cmd *cobra.Command, d *daemon, c *campaign, rows []row) error {
	var left []row
	for _, r := range rows {
		if !c.taken[*r.m.ClientID] {
			left = append(left, r)
		}
	}
	before := len(rows) - len(left)
	if len(left) == 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "all %d were sent before (%s.sent has their ids); --again sends them once more\n", len(rows), s.csv.file)
		return nil
	}
	bar := &bar{out: cmd.ErrOrStderr(), total: len(rows), done: before}
	if before > 0 {
		fmt.Fprintf(bar.out, "going on: %d of %d were sent before\n", before, len(rows))
	}
	for len(left) > 0 {
		part := left[:min(chunk, len(left))]
		if err := sendChunk(cmd.Context(), d, c, part); err != nil {
			bar.end()
			return s.stopped(d, err, part, bar.done)
		}
		left = left[len(part):]
		bar.add(len(part))
	}
	bar.end()
	fmt.Fprintf(cmd.OutOrStdout(), "%d messages are with the daemon, %d of them since before; their ids are in %s.sent\n", len(rows), before, s.csv.file)
	return nil
}

func sendChunk(ctx context.Context, d *daemon, c *campaign, part []row) error {
	messages := make([]client.NewMessage, len(part))
	for i, r := range part {
		messages[i] = r.m
	}
	accepted, err := d.SendBatch(ctx, messages)
	if err != nil {
		return err
	}
	return c.note(part, accepted)
}

// stopped says where it stopped, and names the lines that the daemon refuses.
func (s *sender) stopped(d *daemon, err error, part []row, done int) error {
	var refused *client.Error
	if errors.Is(err, context.Canceled) {
		err = errors.New("stopped")
	} else if errors.As(err, &refused) && refused.Status == http.StatusUnprocessableEntity && len(refused.Fields) > 0 {
		wrong := &rowErrors{file: s.csv.file}
		for _, f := range refused.Fields {
			index, field, ok := strings.Cut(strings.TrimPrefix(f.Field, "messages["), "].")
			if n, err := strconv.Atoi(index); ok && err == nil && n >= 0 && n < len(part) {
				wrong.add(part[n].line, "%s %s", field, f.Detail)
			} else {
				wrong.add(part[0].line, "or one of the next %d: %s %s", len(part)-1, f.Field, f.Detail)
			}
		}
		err = wrong
	}
	return fmt.Errorf("%w\n%d were sent; the same command again goes on there and sends nothing twice", d.explain(err), done)
}

// show says what would be sent.
func show(out io.Writer, rows []row) error {
	for _, r := range rows[:min(3, len(rows))] {
		fmt.Fprintf(out, "line %d, to %s: %q\n", r.line, r.m.To, *r.m.Text)
	}
	if n := len(rows) - 3; n > 0 {
		fmt.Fprintf(out, "and %d more\n", n)
	}
	_, err := fmt.Fprintf(out, "%d messages; nothing was sent\n", len(rows))
	return err
}

// bar shows how far it is: one line that changes on a terminal, else a line for
// each tenth.
type bar struct {
	out         io.Writer
	total, done int
	said        int // tenths
}

func (b *bar) add(n int) {
	b.done += n
	if isTerminal(b.out) {
		const width = 40
		full := width * b.done / b.total
		fmt.Fprintf(b.out, "\r[%s%s] %d of %d", strings.Repeat("█", full), strings.Repeat("░", width-full), b.done, b.total)
		return
	}
	if tenth := 10 * b.done / b.total; tenth > b.said {
		b.said = tenth
		fmt.Fprintf(b.out, "%d of %d\n", b.done, b.total)
	}
}

func (b *bar) end() {
	if isTerminal(b.out) {
		fmt.Fprintln(b.out)
	}
}
