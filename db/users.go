package db

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// users is the file's share of a lock that everybody holds who has the database
// open: the first one may look at the files behind SQLite's back.
func users(dir string) (f *os.File, alone bool, err error) {
	if f, err = os.OpenFile(filepath.Join(dir, LockName), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, false, inWords(err)
	}
	keepOwner(f, dir)
	// Of the open file, not of the process: a second database of the same
	// process counts too.
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Len: 1})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return f, false, nil
	}
	if err != nil {
		f.Close()
		return nil, false, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return f, true, nil
}

// share lets others in.
func share(f *os.File) error {
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLKW, &unix.Flock_t{Type: unix.F_RDLCK, Len: 1})
}

// keepOwner gives a file that root has made to the owner of the directory, as
// SQLite does with its own.
func keepOwner(f *os.File, dir string) {
	if info, err := os.Stat(dir); err == nil && os.Geteuid() == 0 {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			_ = f.Chown(int(owner.Uid), int(owner.Gid))
		}
	}
}

// inWords says what to do about an error of the file system.
func inWords(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: gatewayd must own data_dir and what is in it; run it as their owner, or give them to its user with chown -R", err)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w: gatewayd must write there; mount it writable (a failing SD card makes itself read-only), or set data_dir to another place", err)
	}
	return err
}

// MakeDir makes a directory, and those above it, for the owner only, so that a
// power cut does not take it away again.
func MakeDir(dir string) error {
	var made []string
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, at)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return inWords(err)
	}
	for _, d := range made {
		if err := syncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the names in a directory durable. A variable for tests.
var syncDir = func(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // a file system that does not need it
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
