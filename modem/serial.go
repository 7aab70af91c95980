package modem

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// ErrBusy says that another program holds the port.
var ErrBusy = errors.New("another program holds the port")

// ErrNotPluggedIn is what Open returns while the modem, wherever it may be
// plugged in, is not to be seen.
var ErrNotPluggedIn = errors.New("not plugged in")

// errNotSerial says that the path is there and is no serial port.
var errNotSerial = errors.New("not a serial port")

// serialPort is one tty under two descriptors. line sets the mode and
// exclusive use; file carries the bytes and the flock, because it goes through
// the runtime's poller: closing it wakes a blocked Read and a blocked Write,
// which a plain descriptor does not.
type serialPort struct {
	file *os.File
	line serial.Port
}

// OpenSerial opens the serial port at path, a device or a link to one, for
// this process alone: raw, 115200 baud, no flow control by wires.
func OpenSerial(path string) (io.ReadWriteCloser, error) {
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, openError(path, err)
	}
	if err := lock(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	line, err := serial.Open(path, &serial.Mode{BaudRate: 115200})
	if err != nil {
		file.Close()
		return nil, openError(path, err)
	}
	// What an earlier program left unread is no answer to us.
	_ = line.ResetInputBuffer()
	return &serialPort{file: file, line: line}, nil
}

// lock takes the lock that gammu and other gateways respect too. A file system
// without locks is not an obstacle: TIOCEXCL follows.
func lock(file *os.File) error {
	raw, err := file.SyscallConn() // Fd would make the descriptor blocking
	if err != nil {
		return err
	}
	var locked error
	if err := raw.Control(func(fd uintptr) { locked = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return err
	}
	if errors.Is(locked, unix.EWOULDBLOCK) {
		return ErrBusy
	}
	return nil
}

func openError(path string, err error) error {
	var port *serial.PortError
	if errors.As(err, &port) {
		switch port.Code() {
		case serial.PortBusy:
			return fmt.Errorf("%s: %w", path, ErrBusy)
		case serial.PermissionDenied:
			return fmt.Errorf("%s: %w", path, fs.ErrPermission)
		case serial.PortNotFound:
			return fmt.Errorf("%s: %w", path, fs.ErrNotExist)
		}
		return fmt.Errorf("%s: %w", path, errNotSerial)
	}
	switch {
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%s: %w", path, ErrBusy)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w", path, fs.ErrPermission)
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s: %w", path, errNotSerial)
	}
	return err
}

func (s *serialPort) Read(p []byte) (int, error)  { return s.file.Read(p) }
func (s *serialPort) Write(p []byte) (int, error) { return s.file.Write(p) }

// Close drops what the modem has not taken: the kernel would wait half a
// minute for a modem that stopped reading.
func (s *serialPort) Close() error {
	_ = s.line.ResetOutputBuffer()
	return errors.Join(s.file.Close(), s.line.Close())
}
