// Package transcript keeps what went over a modem's port, byte for byte and with
// its times, as a text that people can read, mask and send in, and that plays
// back as a modem in tests.
package transcript

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatewayd/sms"
)

// Entry is what one read or write carried.
type Entry struct {
	At    time.Duration // since the first entry of the recording
	Out   bool          // to the modem
	Bytes []byte
}

// Transcript is a recorded dialogue.
type Transcript struct {
	Header  map[string]string // modem, firmware, state, masked …
	Entries []Entry
}

const first = "# gatewayd transcript 1"

// Of makes the transcript of a modem's dialogue that began at begin. PINs are
// never in it; masked, neither are numbers and texts.
func Of(m sms.Modem, entries []Entry, begin time.Time, masked bool) Transcript {
	t := Transcript{Entries: HidePIN(entries), Header: map[string]string{
		"modem": m.Manufacturer + " " + m.Model, "firmware": m.Firmware, "state": string(m.State), "reason": m.Reason,
		"masked": strconv.FormatBool(masked),
	}}
	if !begin.IsZero() {
		t.Header["begin"] = begin.UTC().Format(time.RFC3339)
	}
	if masked {
		t.Entries = Mask(entries)
	}
	return t
}

// Write writes the text form: a line per entry with its seconds, a direction
// and the bytes as a Go string.
func (t Transcript) Write(w io.Writer) error {
	var b strings.Builder
	b.WriteString(first + "\n")
	keys := make([]string, 0, len(t.Header))
	for k := range t.Header {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		fmt.Fprintf(&b, "# %s: %s\n", k, strings.Join(strings.Fields(t.Header[k]), " "))
	}
	for _, e := range t.Entries {
		fmt.Fprintf(&b, "%.3f %c %s\n", e.At.Seconds(), direction(e.Out), strconv.QuoteToASCII(string(e.Bytes)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func direction(out bool) byte {
	if out {
		return '>'
	}
	return '<'
}

// Read reads the text form.
func Read(r io.Reader) (Transcript, error) {
	t := Transcript{Header: map[string]string{}}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	if !s.Scan() || s.Text() != first {
		return t, fmt.Errorf("line 1: this is no transcript: it must begin with %q", first)
	}
	for n := 2; s.Scan(); n++ {
		line := s.Text()
		switch {
		case strings.HasPrefix(line, "# "):
			k, v, ok := strings.Cut(line[2:], ": ")
			if ok {
				t.Header[k] = v
			}
		case strings.TrimSpace(line) != "":
			e, err := readEntry(line)
			if err != nil {
				return t, fmt.Errorf("line %d: %w", n, err)
			}
			t.Entries = append(t.Entries, e)
		}
	}
	return t, s.Err()
}

func readEntry(line string) (Entry, error) {
	at, rest, ok := strings.Cut(line, " ")
	way, quoted, ok2 := strings.Cut(rest, " ")
	seconds, err := strconv.ParseFloat(at, 64)
	if !ok || !ok2 || err != nil || seconds < 0 || seconds > 1e7 || way != "<" && way != ">" {
		return Entry{}, fmt.Errorf(`%q is not seconds, "<" or ">", and a quoted text`, line)
	}
	text, err := strconv.Unquote(quoted)
	if err != nil {
		return Entry{}, fmt.Errorf("%s is no quoted text", quoted)
	}
	return Entry{At: time.Duration(seconds * float64(time.Second)).Round(time.Millisecond), Out: way == ">", Bytes: []byte(text)}, nil
}

// Ring keeps the newest entries, up to so many bytes. Anybody may use it.
type Ring struct {
	mu      sync.Mutex
	most    int
	size    int
	start   time.Time
	entries []Entry
	cut     bool // older ones were forgotten
}

// perEntry is what an entry costs besides its bytes.
const perEntry = 64

// NewRing makes a ring that needs at most so many bytes.
func NewRing(most int) *Ring { return &Ring{most: most} }

// Add notes what was read or written now.
func (r *Ring) Add(out bool, b []byte) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.start.IsZero() {
		r.start = now
	}
	r.entries = append(r.entries, Entry{At: now.Sub(r.start), Out: out, Bytes: slices.Clone(b)})
	r.size += len(b) + perEntry
	drop := 0
	for r.size > r.most && drop < len(r.entries)-1 {
		r.size -= len(r.entries[drop].Bytes) + perEntry
		drop++
	}
	r.entries = slices.Delete(r.entries, 0, drop)
	r.cut = r.cut || drop > 0
}

// Entries are those that are kept, the oldest at time 0, and when that was. They
// begin with whole commands and whole answers: what the beginning of was forgotten
// can't be masked.
func (r *Ring) Entries() ([]Entry, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.entries)
	if r.cut {
		all = whole(all)
	}
	if len(all) == 0 {
		return nil, time.Time{}
	}
	begin := all[0].At
	for i := range all {
		all[i].At -= begin
	}
	return all, r.start.Add(begin)
}

// whole leaves out what stands before the first command, and before the end of the
// first answer: a text of several lines may have begun before.
func whole(entries []Entry) (all []Entry) {
	answered, commanded := false, false
	var tail []byte // of what came, so that an end in two pieces is seen
	for _, e := range entries {
		switch {
		case e.Out && !commanded:
			if commanded = atCommand.Match(e.Bytes); !commanded {
				continue
			}
		case !e.Out && !answered:
			before := len(tail)
			tail = append(tail, e.Bytes...)
			end := answerEnd.FindIndex(tail)
			if end == nil {
				tail = tail[max(0, len(tail)-longestEnd):]
				continue
			}
			answered = true
			if e.Bytes = e.Bytes[end[1]-before:]; len(e.Bytes) == 0 {
				continue
			}
		}
		all = append(all, e)
	}
	return all
}

// answerEnd is the last line of an answer; longestEnd is how long one may be.
var answerEnd = regexp.MustCompile(`[\r\n](?:OK|ERROR|\+CM[ES] ERROR: [^\r\n]*)\r\n`)

const longestEnd = 64
