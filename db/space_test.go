package db

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"
)

// disk is a space whose file system says what the test wants.
func diskOf(t *testing.T, reserve, ballast int64) (*space, *unix.Statfs_t) {
	t.Helper()
	told := &unix.Statfs_t{Bsize: 1, Bavail: 1 << 30, Files: 100, Ffree: 100}
	s := newSpace(Options{Dir: t.TempDir(), Reserve: reserve, Ballast: ballast})
	s.statfs = func(_ string, into *unix.Statfs_t) error { *into = *told; return nil }
	s.prepare()
	return s, told
}

func (s *space) there() int64 {
	info, err := os.Stat(s.path())
	if err != nil {
		return -1
	}
	return info.Size()
}

const mega = 1 << 20

// New work is refused while less is free than what is kept, and taken again only
// with some more.
func TestRoomIsKept(t *testing.T) {
	s, told := diskOf(t, 64*mega, 4*mega)
	now := time.Now()
	if s.there() != 4*mega {
		t.Fatalf("a ballast of %d bytes", s.there())
	}
	for _, c := range []struct {
		free, promised, spare int64
		full, low             bool
	}{
		{1000 * mega, 0, 0, false, false},
		{100 * mega, 0, 0, false, true},
		{63 * mega, 0, 0, true, true},
		{66 * mega, 0, 0, true, true}, // not back and forth
		{73 * mega, 0, 0, false, true},
		{73 * mega, 20 * mega, 0, true, true},          // what was accepted needs it
		{73 * mega, 20 * mega, 20 * mega, false, true}, // and finds it in the file
		{93 * mega, 20 * mega, 20 * mega, false, true},
		{150 * mega, 0, 0, false, false}, // 128 and an eighth more than what is kept
	} {
		told.Bavail = uint64(c.free)
		d, _ := s.look(now, c.promised, c.spare)
		if d.Full != c.full || d.Low != c.low {
			t.Errorf("%d MB free, %d promised: full %v, low %v", c.free/mega, c.promised/mega, d.Full, d.Low)
		}
		if refused := s.refusal.Load() != nil; refused != c.full {
			t.Errorf("%d MB free: refused %v", c.free/mega, refused)
		}
	}
	told.Ffree = 3
	if d, _ := s.look(now, 0, 0); !d.Low || d.Full {
		t.Errorf("three inodes left: %+v", d)
	}
}

// A write that fails opens the last reserve, whatever the file system tells; the
// making of a new ballast proves that there is room again.
func TestBallastIsGivenUp(t *testing.T) {
	s, told := diskOf(t, 64*mega, 4*mega)
	now := time.Now()
	told.Bavail = 65 * mega // as told where a quota is used up
	if !s.hit(now) || s.there() >= 0 {
		t.Fatalf("the ballast has %d bytes", s.there())
	}
	if s.hit(now) {
		t.Error("there was nothing more to give up")
	}
	if d, _ := s.look(now.Add(time.Hour), 0, 0); !d.Full || s.there() >= 0 {
		t.Errorf("%+v, ballast %d", d, s.there())
	}
	told.Bavail = 100 * mega
	if d, _ := s.look(now, 0, 0); d.Full || s.there() != 4*mega || s.refusal.Load() != nil {
		t.Errorf("%+v, ballast %d", d, s.there())
	}
	told.Bavail = mega
	if d, relieved := s.look(now, 0, 0); !d.Full || !relieved || s.there() >= 0 {
		t.Errorf("hardly anything is left: %+v, ballast %d", d, s.there())
	}
}

// Without a ballast, time must show that writes succeed.
func TestRoomWithoutBallast(t *testing.T) {
	s, _ := diskOf(t, 64*mega, 0)
	now := time.Now()
	s.hit(now)
	if d, _ := s.look(now.Add(quiet/2), 0, 0); !d.Full {
		t.Errorf("%+v", d)
	}
	if d, _ := s.look(now.Add(quiet), 0, 0); d.Full {
		t.Errorf("%+v", d)
	}
}

// A nearly full disk is no reason not to start: what was promised waits there.
func TestStartOnANearlyFullDisk(t *testing.T) {
	s, told := diskOf(t, 64*mega, 4*mega)
	told.Bavail = mega
	s.prepare()
	if s.there() >= 0 {
		t.Error("the ballast was kept though there is nothing else")
	}
	told.Bavail = 40 * mega
	s.prepare()
	if s.there() >= 0 {
		t.Error("a ballast was made of the room that is needed")
	}
	s.ballast = 2 * mega
	told.Bavail = 400 * mega
	s.prepare()
	if s.there() != 2*mega {
		t.Errorf("%d bytes", s.there())
	}
	s.ballast = 3 * mega // it was configured anew
	s.prepare()
	if s.there() != 3*mega {
		t.Errorf("%d bytes", s.there())
	}
	if err := os.WriteFile(filepath.Join(s.dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// A command beside the daemon leaves the daemon's ballast alone.
	d, err := Open(context.Background(), Options{Dir: s.dir})
	if err != nil {
		t.Fatal(err)
	}
	if _ = d.told(sqlite3.Error{Code: sqlite3.ErrFull}); s.there() != 3*mega || d.Room() != nil {
		t.Errorf("%d bytes, %v", s.there(), d.Room())
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBallastWithoutFallocate(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := write(f, 3*mega+5); err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 3*mega+5 {
		t.Errorf("%d bytes (%v)", info.Size(), err)
	}
}

func TestErrorsOfAFullDisk(t *testing.T) {
	for _, c := range []struct {
		err  error
		full bool
	}{
		{sqlite3.Error{Code: sqlite3.ErrFull}, true},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, ExtendedCode: sqlite3.ErrIoErrWrite, SystemErrno: unix.EDQUOT}, true},
		{sqlite3.Error{Code: sqlite3.ErrCantOpen, SystemErrno: unix.ENOSPC}, true},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, ExtendedCode: sqlite3.ErrIoErr.Extend(19)}, true},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, ExtendedCode: sqlite3.ErrIoErrWrite, SystemErrno: unix.EIO}, false},
		{sqlite3.Error{Code: sqlite3.ErrBusy}, false},
		{&os.PathError{Op: "write", Err: unix.ENOSPC}, true},
		{errors.New("something else"), false},
	} {
		if isFull(c.err) != c.full {
			t.Errorf("%v (%T): full %v", c.err, c.err, !c.full)
		}
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("%v", err)
	}
	unlock()
	unlock, err = Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
