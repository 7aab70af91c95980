package ports

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"gatewayd/modem"
)

// procfs is a /proc with programs and what they have open.
func procfs(t *testing.T, programs map[string][]string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{"uptime": {Data: []byte("1 1\n")}, "self": {Data: []byte("700"), Mode: fs.ModeSymlink}}
	for name, open := range programs {
		pid, comm, _ := strings.Cut(name, " ")
		put(files, pid+"/comm", comm+"\n")
		for i, path := range open {
			files[pid+"/fd/"+string(rune('3'+i))] = &fstest.MapFile{Data: []byte(path), Mode: fs.ModeSymlink}
		}
	}
	return files
}

func TestWhoHasItOpen(t *testing.T) {
	m := Machine{Proc: procfs(t, map[string][]string{
		"700 ModemManager": {"socket:[1]", "/dev/ttyUSB2", "/dev/ttyUSB3", "/dev/ttyUSB2"},
		"701 minicom":      {"/dev/ttyUSB2"},
		"702 bash":         {"/dev/pts/1"},
	})}
	all := m.Holders("/dev/ttyUSB2")
	slices.SortFunc(all, func(a, b Holder) int { return a.PID - b.PID })
	want := []Holder{{700, "ModemManager", "open"}, {701, "minicom", "open"}}
	if !slices.Equal(all, want) {
		t.Errorf("%+v", all)
	}
	if all := m.Holders("/dev/ttyUSB0"); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	if all := m.Suspects(); len(all) != 2 {
		t.Errorf("%+v", all)
	}
	if advice := want[0].Advice(Device{Vendor: "12d1"}); !strings.Contains(advice, `ATTRS{idVendor}=="12d1", ENV{ID_MM_DEVICE_IGNORE}="1"`) {
		t.Error(advice)
	}
	for _, program := range append(takers, "another program") {
		if (Holder{Program: program}).Advice(Device{}) == "" {
			t.Errorf("no advice about %s", program)
		}
	}
}

// The real /proc, and a lock of our own.
func TestOwnLockIsSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ttyUSB0")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := Machine{Proc: os.DirFS("/proc")}
	if all := m.Holders(path); len(all) != 1 || all[0].PID != os.Getpid() || all[0].How != "open" {
		t.Errorf("open: %+v", all)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if pids := m.lockers(path); !slices.Equal(pids, []int{os.Getpid()}) {
		t.Errorf("flock: %v", pids)
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if all := m.Holders(link); len(all) != 1 {
		t.Errorf("through a link: %+v", all)
	}
}

func TestFlocks(t *testing.T) {
	const locks = `1: POSIX  ADVISORY  WRITE 9 00:06:1025 0 EOF
2: FLOCK  ADVISORY  WRITE 708 00:06:1025 0 EOF
2: -> FLOCK  ADVISORY  WRITE 709 00:06:1025 0 EOF
3: FLOCK  ADVISORY  WRITE 710 00:06:1026 0 EOF
4: FLOCK  ADVISORY  READ 711 00:06:1025 0 EOF
5: FLOCK  ADVISORY  WRITE -1 00:06:1025 0 EOF
`
	if got := flocks(strings.NewReader(locks), "00:06:1025"); !slices.Equal(got, []int{708, 711}) {
		t.Error(got)
	}
}

func TestLockFiles(t *testing.T) {
	pid := func(n int32) string { return string(binary.NativeEndian.AppendUint32(nil, uint32(n))) }
	for content, want := range map[string][]Holder{
		"       700\n": {{700, "gammu", "lock file"}},
		"700":          {{700, "gammu", "lock file"}},
		"700 minicom":  {{700, "gammu", "lock file"}},
		pid(700):       {{700, "gammu", "lock file"}},
		"999\n":        nil, // dead
		pid(999):       nil,
		"nonsense":     {{0, "another program", "lock file"}},
		"":             nil,
	} {
		m := Machine{Proc: procfs(t, map[string][]string{"700 gammu": nil}), Locks: fstest.MapFS{"LCK..ttyUSB0": {Data: []byte(content)}}}
		if got := m.Holders("/dev/ttyUSB0"); !slices.Equal(got, want) {
			t.Errorf("%q: %+v, want %+v", content, got, want)
		}
		if got := m.Holders("/dev/ttyUSB1"); len(got) != 0 {
			t.Errorf("%q: %+v", content, got)
		}
	}
}

// A port that another program uses is not even opened: root would get in. Our
// own use does not count. If the kernel says busy, and nobody can be seen,
// those are named who are known for it.
func TestPolite(t *testing.T) {
	opened := 0
	var result error
	open := func(string) (io.ReadWriteCloser, error) { opened++; return nil, result }
	m := Machine{Proc: procfs(t, map[string][]string{"700 ModemManager": {"/dev/ttyUSB2"}, "701 gatewayd": {"/dev/ttyUSB5"}})}
	polite := m.Polite(701, open)
	_, err := polite("/dev/ttyUSB2")
	if !errors.Is(err, modem.ErrBusy) || opened != 0 || err.Error() != "/dev/ttyUSB2 is held by ModemManager (process 700)" {
		t.Errorf("%v, opened %d times", err, opened)
	}
	if _, err := polite("/dev/ttyUSB5"); err != nil || opened != 1 {
		t.Errorf("%v, opened %d times", err, opened)
	}
	result = modem.ErrBusy
	_, err = polite("/dev/ttyUSB0")
	var busy *BusyError
	if !errors.As(err, &busy) || len(busy.Holders) != 1 || busy.Holders[0].String() != "ModemManager (probably)" {
		t.Errorf("%v", err)
	}
	if Why(&BusyError{}) == "" || Why(err) != "held by ModemManager (probably)" {
		t.Error(Why(err))
	}
	// And Probe passes it on.
	m.Proc = procfs(t, map[string][]string{"700 ModemManager": {"/dev/ttyUSB2"}})
	if _, err := Probe(context.Background(), m.Polite(0, open), device(t, ec25)); !errors.As(err, &busy) {
		t.Error(err)
	}
}
