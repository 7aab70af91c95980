package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// inside is the environment variable by which the laboratory knows that it is
// in a mount namespace of its own.
const inside = "GATEWAYD_CRASH_INSIDE"

// isolate runs the laboratory once more in a mount namespace of its own, where
// it may mount small file systems that vanish with it: as root, or as an
// ordinary user who is root in a user namespace. It returns ok false when
// neither can be had; why is what to tell people.
func isolate() (status int, ok bool, why error) {
	self, err := os.Executable()
	if err != nil {
		return 0, false, err
	}
	run := func(attr *syscall.SysProcAttr) (int, bool, error) {
		cmd := exec.Command(self, os.Args[1:]...)
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		attr.Pdeathsig = syscall.SIGKILL
		cmd.SysProcAttr = attr
		runtime.LockOSThread() // the child dies with the thread that made it
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			return 0, false, err
		}
		signals := make(chan os.Signal, 1) // it has to clean up
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		defer func() { signal.Stop(signals); close(signals) }()
		go func() {
			for s := range signals {
				_ = cmd.Process.Signal(s)
			}
		}()
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			return 0, false, err
		}
		if s := cmd.ProcessState.ExitCode(); s != noMount {
			return s, true, nil
		}
		return 0, false, errors.New("a tmpfs can't be mounted here")
	}
	if os.Geteuid() == 0 {
		if status, ok, _ := run(&syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}); ok {
			return status, ok, nil
		}
	}
	return run(&syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	})
}

// noMount is the status of a laboratory that found it can't mount.
const noMount = 77

// mount puts a small file system in memory on a folder.
func mount(dir string, size int) error {
	return unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size))
}

// disk is what a world's database lies on.
type disk struct {
	dir     string
	mounted bool
	wasFull bool // in this life
}

const diskSize = 64 << 20

func newDisk(l *lab, dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d := &disk{dir: dir, mounted: l.mounts}
	if d.mounted {
		if err := mount(dir, diskSize); err != nil {
			return nil, fmt.Errorf("a tmpfs on %s: %w", dir, err)
		}
	}
	return d, nil
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill leaves no more than so many bytes free.
func (d *disk) fill(leave int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(d.dir, &s); err != nil {
		return err
	}
	f, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	defer f.Close()
	d.wasFull = true
	err = unix.Fallocate(int(f.Fd()), 0, 0, max(int64(s.Bavail)*s.Bsize-leave, s.Bsize))
	if errors.Is(err, unix.ENOSPC) { // the daemon was quicker: it is full all the same
		err = nil
	}
	return err
}

func (d *disk) free() { _ = os.Remove(d.ballast()) }

func (d *disk) close() {
	if d.mounted {
		_ = unix.Unmount(d.dir, unix.MNT_DETACH)
	}
}
