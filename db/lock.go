package db

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// LockName is the file in the data directory that a daemon holds locked.
const LockName = "gatewayd.lock"

// ErrLocked means that a daemon runs on this data directory.
var ErrLocked = errors.New("a gatewayd runs on this data directory")

// Lock keeps the data directory for one daemon, or for what must not be done
// while one runs. The lock ends with the process, however that ends.
func Lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, LockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return func() { f.Close() }, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: %s", ErrLocked, filepath.Clean(dir))
	}
	return nil, fmt.Errorf("locking the data directory: %w", err)
}
