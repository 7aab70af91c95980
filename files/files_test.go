package files

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

var ctx = context.Background()

type rig struct {
	*Store
	t   testing.TB
	dir string
	db  *db.DB
	now time.Time
	has map[string]bool // what somebody has
}

func newRig(t testing.TB, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), has: map[string]bool{}}
	var err error
	if r.db, err = db.Open(ctx, db.Options{Dir: r.dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close() })
	r.open(change...)
	return r
}

func (r *rig) open(change ...func(*Options)) {
	r.t.Helper()
	o := Options{DB: r.db, Dir: r.dir, Now: func() time.Time { return r.now }}
	for _, f := range change {
		f(&o)
	}
	var err error
	if r.Store, err = Open(o); err != nil {
		r.t.Fatal(err)
	}
	r.Holds(func(_ db.Querier, see func(string)) error {
		for id := range r.has {
			see(id)
		}
		return nil
	})
}

func (r *rig) put(name, stated, content string) sms.File {
	r.t.Helper()
	f, err := r.Put(ctx, name, stated, strings.NewReader(content))
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func (r *rig) content(id string) string {
	r.t.Helper()
	_, content, err := r.Get(ctx, id)
	if err != nil {
		r.t.Fatal(err)
	}
	defer content.Close()
	b, err := io.ReadAll(content)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

func (r *rig) onDisk() (names []string) {
	r.t.Helper()
	entries, err := os.ReadDir(filepath.Join(r.dir, Dir))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

const png = "\x89PNG\r\n\x1a\n and what follows"

func TestAFileIsWholeAndNobodyElses(t *testing.T) {
	r := newRig(t)
	f := r.put(`C:\pictures\cat "1".png`, "text/html", png)
	if f.Name != "cat 1.png" || f.Type != "image/png" || f.Size != int64(len(png)) || !validID(f.ID) {
		t.Errorf("stored as %+v", f)
	}
	if got := r.content(f.ID); got != png || !r.Complete(f.ID) {
		t.Errorf("the content is %q", got)
	}
	info, err := os.Stat(r.path(f.ID))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("on disk it is %v, %v", info.Mode(), err)
	}
	if dir, err := os.Stat(filepath.Join(r.dir, Dir)); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v", dir.Mode(), err)
	}
	for _, id := range []string{"", "../gatewayd.db", strings.ToUpper(f.ID), strings.Repeat("a", 26)} {
		if _, _, err := r.Get(ctx, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if err := r.Remove(f.ID); err != nil || r.Complete(f.ID) || len(r.onDisk()) != 0 {
		t.Errorf("after it was removed: %v, %v", err, r.onDisk())
	}
}

func TestLimitsOfFiles(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Max, o.Room, o.Count = 100, 250, 4 })
	if _, err := r.Put(ctx, "a", "", strings.NewReader(strings.Repeat("a", 101))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	for range 2 {
		r.put("a", "", strings.Repeat("a", 100))
	}
	if _, err := r.Put(ctx, "a", "", strings.NewReader(strings.Repeat("a", 51))); !errors.Is(err, ErrFull) {
		t.Errorf("too much: %v", err)
	}
	broken := errors.New("the line broke")
	if _, err := r.Put(ctx, "a", "", io.MultiReader(strings.NewReader("half"), brokenReader{broken})); !errors.Is(err, broken) {
		t.Errorf("broken: %v", err)
	}
	r.put("a", "", "1")
	r.put("a", "", "2")
	if _, err := r.Put(ctx, "a", "", strings.NewReader("3")); !errors.Is(err, ErrFull) {
		t.Errorf("too many: %v", err)
	}
	if got := r.onDisk(); len(got) != 4 {
		t.Errorf("what was refused lies on disk: %v", got)
	}
}

// A gateway, or a person, that fills its part of the room leaves the rest to others.
func TestNobodyFillsTheRoomOfOthers(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Max, o.Room, o.Count = 100, 400, 12 })
	id := func(n int) string { return strings.Repeat("a", 25) + string(rune('a'+n)) }
	if err := r.Append("north", sms.File{ID: id(0), Size: 90}, 0, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := r.Append("north", sms.File{ID: id(1), Size: 20}, 0, []byte("x")); !errors.Is(err, ErrFull) {
		t.Errorf("more than its part of the bytes: %v", err)
	}
	for i := range 2 {
		if err := r.Append("north", sms.File{ID: id(2 + i), Size: 1}, 0, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Append("north", sms.File{ID: id(4), Size: 1}, 0, []byte("x")); !errors.Is(err, ErrFull) {
		t.Errorf("more than its part of the files: %v", err)
	}
	if err := r.Append("south", sms.File{ID: id(5), Size: 90}, 0, []byte("x")); err != nil {
		t.Errorf("south: %v", err)
	}
	for i := range 2 {
		_, err := r.PutFrom(ctx, "ibx_+491711111111", "a", "", strings.NewReader(strings.Repeat("a", 60)))
		if i == 0 && err != nil || i == 1 && !errors.Is(err, ErrFull) {
			t.Errorf("upload %d of a person: %v", i, err)
		}
	}
	r.put("a", "", strings.Repeat("a", 100)) // of this machine's own people
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func TestTypesAreSniffedAndNotBelieved(t *testing.T) {
	for _, c := range []struct{ content, name, stated, want string }{
		{png, "x.html", "text/html", "image/png"},
		{"<html><script>alert(1)</script>", "cat.png", "image/png", "text/html"},
		{"<svg xmlns='http://www.w3.org/2000/svg'/>", "cat.svg", "image/svg+xml", "text/plain"},
		{"\x00\x00\x00\x18ftypqt  and so on", "film", "application/octet-stream", "video/quicktime"},
		{"\x00\x00\x00\x18ftyp3gp5and so on", "film", "", "video/3gpp"},
		{"#!AMR\n....", "voice", "", "audio/amr"},
		{"PK\x03\x04....", "letter.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
		{"a,b\n1,2\n", "x.csv", "text/csv", "text/csv"},
		{"\x01\x02\x03\x04", "x.bin", "image/png", "application/octet-stream"},
		{"alert(1)", "x.js", "text/javascript", "text/plain"},
	} {
		if got := plainType(sniff([]byte(c.content), c.name, c.stated)); got != c.want {
			t.Errorf("%q as %s (%s): %s, want %s", c.content, c.name, c.stated, got, c.want)
		}
	}
	for _, kind := range []string{"image/svg+xml", "text/html", "application/pdf", "text/plain", "application/xhtml+xml", "image/heic"} {
		if Inline(kind) {
			t.Errorf("%s is shown", kind)
		}
	}
}

func TestNamesOfFiles(t *testing.T) {
	for given, want := range map[string]string{
		"": "file", "../../etc/passwd": "passwd", "a\r\nContent-Type: x": "aContent-Type x", ".. ": "file", "über uns.pdf": "über uns.pdf",
		"gpj.\u202eexe": "gpj.exe", strings.Repeat("ä", 200) + ".jpeg": strings.Repeat("ä", 57) + ".jpeg", "\xff.txt": "_.txt",
	} {
		if got := CleanName(given); got != want {
			t.Errorf("%q is kept as %q, want %q", given, got, want)
		}
	}
}

func TestPiecesComeInOrderOnceOrAgain(t *testing.T) {
	r := newRig(t)
	content := png + strings.Repeat("0123456789", 100)
	f := sms.File{ID: strings.Repeat("a", 26), Name: "a.png", Type: "text/html", Size: int64(len(content))}
	at := func(from, to int) error { return r.Append("north", f, int64(from), []byte(content[from:to])) }
	steps := []struct {
		from, to int
		err      error
	}{{100, 200, ErrRefused}, {0, 100, nil}, {0, 100, nil}, {200, 300, ErrRefused}, {50, 150, nil}, {100, 150, nil}, {150, len(content), nil}, {0, 100, nil}, {100, len(content), nil}}
	for _, s := range steps {
		if _, _, err := r.Get(ctx, f.ID); err == nil && s.from == 150 {
			t.Error("half of it is shown")
		}
		if err := at(s.from, s.to); !errors.Is(err, s.err) || (s.err == nil) != (err == nil) {
			t.Errorf("the piece %d to %d: %v, want %v", s.from, s.to, err, s.err)
		}
	}
	if r.content(f.ID) != content {
		t.Error("the content is another")
	}
	if got, source, err := r.Stat(ctx, f.ID); err != nil || got.Type != "image/png" || source != "north" {
		t.Errorf("stored as %+v of %s, %v", got, source, err)
	}
	if err := r.Append("south", f, 0, []byte("x")); !errors.Is(err, ErrRefused) {
		t.Errorf("another gateway writes to it: %v", err)
	}
	for _, bad := range []sms.File{{ID: "../x", Size: 1}, {ID: strings.Repeat("b", 26), Size: -1}, {ID: strings.Repeat("b", 26), Size: 1}} {
		if err := r.Append("north", bad, 0, []byte("xx")); !errors.Is(err, ErrRefused) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if err := r.Append("north", sms.File{ID: strings.Repeat("b", 26), Size: Largest + 1}, 0, []byte("xx")); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	empty := sms.File{ID: strings.Repeat("c", 26)}
	if err := r.Append("north", empty, 0, nil); err != nil || !r.Complete(empty.ID) || r.content(empty.ID) != "" {
		t.Errorf("an empty file: %v", err)
	}
}

// A crash may come between what is on disk and its row: after the bytes, and after the
// last name. The repetition makes it good.
func TestPiecesAfterACrash(t *testing.T) {
	content := strings.Repeat("0123456789", 20)
	f := sms.File{ID: strings.Repeat("a", 26), Name: "a", Size: int64(len(content))}
	r := newRig(t)
	if err := r.Append("north", f, 0, []byte(content[:100])); err != nil {
		t.Fatal(err)
	}
	if err := r.write(f.ID, 100, []byte("torn to pieces and much longer than the file is"+content), true); err != nil {
		t.Fatal(err)
	}
	r.open()
	if err := r.Append("north", f, 100, []byte(content[100:])); err != nil || r.content(f.ID) != content {
		t.Errorf("after torn bytes: %v", err)
	}
	err := r.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE stored_files SET received = 100`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r.open()
	if err := r.Append("north", f, 100, []byte(content[100:])); err != nil || r.content(f.ID) != content {
		t.Errorf("after the name was given: %v %q", err, r.content(f.ID))
	}
}

func TestWhatNobodyHasIsErased(t *testing.T) {
	r := newRig(t, func(o *Options) { o.KeepTexts = func() time.Duration { return 30 * 24 * time.Hour } })
	sent, shared, unsent := r.put("sent", "", "1"), r.put("shared", "", "2"), r.put("unsent", "", "3")
	r.has[sent.ID], r.has[shared.ID] = true, true
	linked := sms.File{ID: strings.Repeat("a", 26), Name: "linked", Size: 1}
	if err := r.Append("north", linked, 0, []byte("4")); err != nil {
		t.Fatal(err)
	}
	// Its message is erased, and that of the other once of twice.
	delete(r.has, sent.ID)
	err := r.db.Write(func(tx *db.Tx) error { return r.ReleaseTx(tx, []string{sent.ID, shared.ID, "unknown"}) })
	if err != nil {
		t.Fatal(err)
	}
	there := func() (names []string) {
		for _, f := range []sms.File{sent, shared, unsent, linked} {
			if r.Complete(f.ID) {
				names = append(names, f.Name)
			}
		}
		return names
	}
	if err := r.settle(ctx); err != nil || !slices.Equal(there(), []string{"shared", "unsent", "linked"}) {
		t.Errorf("after an erasure: %v, %v", there(), err)
	}
	look := func(after time.Duration, want ...string) {
		t.Helper()
		r.now = r.now.Add(after)
		if err := errors.Join(r.forgetOld(ctx), r.settle(ctx)); err != nil || !slices.Equal(there(), want) {
			t.Errorf("%v later: %v, %v, want %v", after, there(), err, want)
		}
	}
	look(23*time.Hour, "shared", "unsent", "linked")
	look(2*time.Hour, "shared", "linked")
	look(30*24*time.Hour, "shared") // it goes with its message
	delete(r.has, shared.ID)
	look(time.Hour)
	if got := r.onDisk(); len(got) != 0 {
		t.Errorf("left on disk: %v", got)
	}
}

func TestOrphansOfACrash(t *testing.T) {
	r := newRig(t)
	kept := r.put("a", "", "1")
	old := time.Now().Add(-2 * time.Hour)
	for _, name := range []string{strings.Repeat("a", 26), strings.Repeat("b", 26) + ".part", "x.new", "new.new", kept.ID} {
		path := filepath.Join(r.dir, Dir, name)
		if err := os.WriteFile(path, []byte("1"), 0o600); err != nil {
			t.Fatal(err)
		}
		if name != "new.new" {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []string{kept.ID, "new.new"}
	slices.Sort(want)
	if err := r.orphans(ctx); err != nil || !slices.Equal(r.onDisk(), want) {
		t.Errorf("left: %v, %v, want %v", r.onDisk(), err, want)
	}
}

// What goes with a message of the queue is erased with the message's text.
func TestFilesGoWithTheTextOfTheirMessage(t *testing.T) {
	var q *queue.Queue
	r := newRig(t)
	q, err := queue.Open(ctx, r.db, queue.Options{Now: func() time.Time { return r.now }})
	if err != nil {
		t.Fatal(err)
	}
	r.open(func(o *Options) { o.Queue = q })
	f := r.put("a", "", "1")
	send := func(to string) sms.Message {
		t.Helper()
		all, _, err := q.Submit(ctx, []queue.Draft{{Message: sms.Message{Direction: sms.Outbound, To: to, Text: "look", Files: []sms.File{f}}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	first, second := send("+491710000001"), send("+491710000002")
	erase := func(m sms.Message) {
		t.Helper()
		if _, err := q.Cancel(ctx, m.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Redact(ctx, m.ID); err != nil {
			t.Fatal(err)
		}
		if err := r.settle(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if erase(first); !r.Complete(f.ID) {
		t.Error("it is gone, and the other message has it")
	}
	if erase(second); r.Complete(f.ID) {
		t.Error("it is there, and nobody has it")
	}
}

func FuzzPieces(f *testing.F) {
	f.Add(uint64(1), "a.png", "image/png", int64(40))
	f.Add(uint64(2), "../x\x00", "", int64(0))
	content := []byte(png + strings.Repeat("x", 4096))
	r := newRig(f, func(o *Options) { o.Max, o.Count = 4096, 1<<30 })
	n := 0
	f.Fuzz(func(t *testing.T, seed uint64, name, kind string, size int64) {
		n++
		random := rand.New(rand.NewPCG(seed, 1))
		file := sms.File{ID: strings.ToLower(strings.NewReplacer("0", "a", "1", "b", "8", "c", "9", "d").Replace(padded(n))), Name: name, Type: kind, Size: size}
		// Whatever comes in whatever order, what is whole is what was sent.
		had := int64(0)
		for range 40 {
			offset := random.Int64N(max(size, 1) + 10)
			if random.IntN(2) == 0 {
				offset = had
			}
			end := min(offset+random.Int64N(500), int64(len(content)))
			if end < offset {
				continue
			}
			err := r.Append("north", file, offset, content[offset:end])
			if err == nil {
				had = max(had, end)
			} else if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
		}
		got, body, err := r.Get(ctx, file.ID)
		if had < size || had == 0 {
			if err == nil && size > 0 {
				t.Fatalf("it is whole with %d of %d bytes", had, size)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if b, _ := io.ReadAll(body); !bytes.Equal(b, content[:size]) || got.Name == "" || strings.ContainsAny(got.Name, "/\\\r\n\x00") {
			t.Fatalf("another content, or name %q", got.Name)
		}
		if err := r.Remove(file.ID); err != nil {
			t.Fatal(err)
		}
	})
}

// padded is a number with 26 digits.
func padded(n int) string {
	s := make([]byte, 26)
	for i := range s {
		s[25-i] = byte('0' + n%10)
		n /= 10
	}
	return string(s)
}
