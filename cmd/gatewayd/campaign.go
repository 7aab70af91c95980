package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gatewayd/client"
)

// campaign is one sending of a file, which may take several runs. What must be
// known to go on stands in a file beside it, on disk before the first message
// is handed in: its id, of which each row gets a client_id. The daemon takes no
// client_id twice, so what a crash kept from being noted is not sent twice
// either. The file has neither numbers nor texts.
type campaign struct {
	campaignHead
	file  *os.File
	taken map[string]bool // client_ids of what the daemon has
	fresh bool            // this is the first run
}

type campaignHead struct {
	ID    string    `json:"campaign"`
	Begun time.Time `json:"begun"`   // times such as 90m are counted from it
	How   string    `json:"options"` // a digest of the command line
	Key   string    `json:"key"`     // a digest of the API key: client_ids belong to a key
}

// accepted is a line of the file.
type accepted struct {
	ClientID string `json:"client_id"`
	ID       string `json:"id"`
}

// openCampaign opens what is noted in path, or begins.
func openCampaign(path, how, key string, now time.Time) (_ *campaign, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%s is in use: the same file is being sent by another gatewayd send", path)
	}
	c := &campaign{file: f, taken: map[string]bool{}}
	whole, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// What a crash cut off in the middle of a line never was.
	if err := f.Truncate(whole); err != nil {
		return nil, err
	}
	if _, err := f.Seek(whole, io.SeekStart); err != nil {
		return nil, err
	}
	if c.ID == "" {
		c.fresh = true
		c.campaignHead = campaignHead{ID: rand.Text(), Begun: now.UTC().Truncate(time.Second), How: how, Key: key}
		if err := c.write(c.campaignHead); err != nil {
			return nil, err
		}
		return c, syncFolder(path)
	}
	switch {
	case c.Key != key:
		return nil, fmt.Errorf("%s was begun with another API key; go on with that one, or some would get their text twice", path)
	case c.How != how:
		return nil, fmt.Errorf("%s was begun with another --text or other options; give the same to go on, or --again to send it to everybody anew", path)
	}
	return c, nil
}

// read reads the file and returns how long the whole lines of it are.
func (c *campaign) read() (whole int64, err error) {
	for r := bufio.NewReader(c.file); ; {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return whole, nil
		}
		if err != nil {
			return 0, err
		}
		var a accepted
		if whole == 0 {
			err = json.Unmarshal(line, &c.campaignHead)
		} else if err = json.Unmarshal(line, &a); err == nil {
			c.taken[a.ClientID] = true
		}
		if err != nil || c.ID == "" {
			return 0, errors.New("this is not what gatewayd send notes; move it away")
		}
		whole += int64(len(line))
	}
}

// write appends lines and waits until they are on disk.
func (c *campaign) write(lines ...any) error {
	var b []byte
	for _, v := range lines {
		line, err := json.Marshal(v)
		if err != nil {
			return err
		}
		b = append(append(b, line...), '\n')
	}
	if _, err := c.file.Write(b); err != nil {
		return err
	}
	return c.file.Sync()
}

// note notes what the daemon has.
func (c *campaign) note(chunk []row, messages []client.Message) error {
	if len(messages) != len(chunk) {
		return fmt.Errorf("the daemon answered %d messages to %d", len(messages), len(chunk))
	}
	lines := make([]any, len(chunk))
	for i, r := range chunk {
		lines[i] = accepted{*r.m.ClientID, messages[i].ID}
		c.taken[*r.m.ClientID] = true
	}
	return c.write(lines...)
}

func (c *campaign) Close() error { return c.file.Close() }

// name gives each row its client_id, which is the same in every run, and
// returns the lines that say what another says too.
func (c *campaign) name(rows []row) (twins []string, err error) {
	first, times := map[string]int{}, map[string]int{}
	for i := range rows {
		m := &rows[i].m
		b, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		digest := digestOf(c.ID, string(b))
		if times[digest]++; times[digest] == 1 {
			first[digest] = rows[i].line
		} else {
			twins = append(twins, fmt.Sprintf("line %d says what line %d says, to the same number", rows[i].line, first[digest]))
		}
		if m.ClientID == nil {
			m.ClientID = new(fmt.Sprintf("csv-%s-%d", digest, times[digest]))
		}
	}
	return twins, nil
}

func digestOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// syncFolder makes a new file's name durable.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
