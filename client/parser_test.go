package client

import (
	"strings"
	"testing"
	"time"
)

func read(s string) (all []*Event, p parser, err error) {
	for line := range strings.SplitSeq(s, "\n") {
		e, err := p.line(strings.TrimSuffix(line, "\r"))
		if err != nil {
			return all, p, err
		}
		if e != nil {
			all = append(all, e)
		}
	}
	return all, p, nil
}

func TestServerSentEvents(t *testing.T) {
	all, p, err := read("retry: 1500\n\n: heartbeat\n\nid: 7\nevent: x\ndata: {\"type\":\ndata:\"x\"}\n\nid:8\r\ndata: {}\r\n\r\nid: 9\ndata: {\"half")
	if err != nil || len(all) != 2 || all[0].ID != 7 || all[0].Type != "x" || all[1].ID != 8 || p.retry != 1500*time.Millisecond {
		t.Fatalf("%+v, %+v, %v", all, p, err)
	}
	for _, bad := range []string{"id: x\n", "id: -1\n", "data: {\n\n"} {
		if _, _, err := read(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzServerSentEvents(f *testing.F) {
	f.Add("retry: 1\n\nid: 1\nevent: a\ndata: {}\n\n")
	f.Add("data\n\nid\n:\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		all, p, _ := read(s)
		for _, e := range all {
			if e.ID < 0 || e.Body == nil {
				t.Errorf("%+v", e)
			}
		}
		if p.retry < 0 {
			t.Errorf("retry %v", p.retry)
		}
	})
}
