package ports

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gatewayd/modem"
)

// Holder is a program that uses a port.
type Holder struct {
	PID     int    `json:"pid"` // 0: only its lock was found
	Program string `json:"program"`
	How     string `json:"how"` // "open", "flock", "lock file", "probably"
}

// String names the program for people.
func (h Holder) String() string {
	switch {
	case h.How == "probably":
		return h.Program + " (probably)"
	case h.PID == 0:
		return h.Program
	}
	return fmt.Sprintf("%s (process %d)", h.Program, h.PID)
}

// Machine is where this machine shows its devices and its programs. The zero
// value of a field leaves that source out.
type Machine struct {
	Sys   fs.FS  // /sys
	Proc  fs.FS  // /proc
	Locks fs.FS  // /run/lock, with the LCK..ttyUSB0 of older programs
	Dev   string // /dev
}

// Holders lists the programs that use the port at path. Other users' open files
// are hidden from all but root; their locks are not.
func (m Machine) Holders(path string) []Holder {
	var all []Holder
	add := func(h Holder) {
		if !slices.ContainsFunc(all, func(o Holder) bool { return o.PID == h.PID }) {
			all = append(all, h)
		}
	}
	real := resolve(path)
	if m.Proc != nil {
		for _, pid := range m.openers(real) {
			add(Holder{PID: pid, Program: m.program(pid), How: "open"})
		}
		for _, pid := range m.lockers(real) {
			add(Holder{PID: pid, Program: m.program(pid), How: "flock"})
		}
	}
	for _, name := range []string{filepath.Base(real), filepath.Base(path)} {
		if pid, ok := m.lockFile(name); ok {
			add(Holder{PID: pid, Program: m.program(pid), How: "lock file"})
		}
	}
	return all
}

// Suspects are running programs that are known to take modems' ports. They are
// asked for when a port is busy and no holder can be seen.
func (m Machine) Suspects() []Holder {
	var all []Holder
	for _, pid := range m.pids() {
		if name := m.program(pid); slices.Contains(takers, name) {
			all = append(all, Holder{PID: pid, Program: name, How: "probably"})
		}
	}
	return all
}

// takers are programs that open modems, most of them unasked.
var takers = []string{"ModemManager", "gatewayd", "gammu-smsd", "smsd", "wvdial", "pppd", "asterisk", "brltty", "minicom", "picocom"}

// Advice says what to do about h's holding a port of d.
func (h Holder) Advice(d Device) string {
	switch h.Program {
	case "ModemManager":
		if d.Vendor == "" {
			return "Stop it: systemctl disable --now ModemManager"
		}
		return fmt.Sprintf(`Let it ignore this modem with a udev rule: ATTRS{idVendor}=="%s", ENV{ID_MM_DEVICE_IGNORE}="1"; or stop it: systemctl disable --now ModemManager`, d.Vendor)
	case "gatewayd":
		return "It is in use by gatewayd; the status page shows how it is."
	case "brltty":
		return "Remove brltty, unless a Braille display is used: apt-get remove brltty"
	case "pppd", "wvdial":
		return "A dial-up connection uses it; end that, or use another port of the modem for it."
	}
	return "Stop that program."
}

func (m Machine) pids() []int {
	if m.Proc == nil {
		return nil
	}
	entries, _ := fs.ReadDir(m.Proc, ".")
	var all []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid > 0 {
			all = append(all, pid)
		}
	}
	return all
}

func (m Machine) program(pid int) string {
	if m.Proc != nil {
		if name := text(m.Proc, strconv.Itoa(pid), "comm"); name != "" {
			return name
		}
	}
	return "another program"
}

// openers are the processes that have real open, as far as we may see.
func (m Machine) openers(real string) []int {
	var all []int
	for _, pid := range m.pids() {
		dir := path.Join(strconv.Itoa(pid), "fd")
		entries, _ := fs.ReadDir(m.Proc, dir)
		for _, e := range entries {
			if to, err := fs.ReadLink(m.Proc, path.Join(dir, e.Name())); err == nil && to == real {
				all = append(all, pid)
				break
			}
		}
	}
	return all
}

// lockers are the processes with a flock on real.
func (m Machine) lockers(real string) []int {
	var st unix.Stat_t
	if err := unix.Stat(real, &st); err != nil {
		return nil
	}
	f, err := m.Proc.Open("locks")
	if err != nil {
		return nil
	}
	defer f.Close()
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	return flocks(f, want)
}

// flocks reads /proc/locks: who has a flock on the inode "major:minor:number".
func flocks(r io.Reader, inode string) []int {
	var all []int
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		// 12: FLOCK  ADVISORY  WRITE 708 00:06:1025 0 EOF; "->" is one that waits
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[1] != "FLOCK" || f[5] != inode {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil && pid > 0 {
			all = append(all, pid)
		}
	}
	return all
}

// lockFile reads LCK..name; ok is false if there is none or its owner is dead.
func (m Machine) lockFile(name string) (pid int, ok bool) {
	if m.Locks == nil {
		return 0, false
	}
	content := raw(m.Locks, ".", "LCK.."+name)
	if content == "" {
		return 0, false
	}
	if pid = lockPID(content); pid == 0 {
		return 0, true
	}
	if m.Proc != nil {
		if _, err := fs.Stat(m.Proc, strconv.Itoa(pid)); err != nil {
			return 0, false // left behind
		}
	}
	return pid, true
}

// lockPID reads a PID as text, or as the four bytes that old programs write; 0
// if it is neither.
func lockPID(content string) int {
	if f := strings.Fields(content); len(f) > 0 {
		if pid, err := strconv.ParseInt(f[0], 10, 31); err == nil && pid > 0 {
			return int(pid)
		}
	}
	if len(content) == 4 {
		if pid := int32(binary.NativeEndian.Uint32([]byte(content))); pid > 0 {
			return int(pid)
		}
	}
	return 0
}

// BusyError says who holds a port. It is a modem.ErrBusy.
type BusyError struct {
	Path    string
	Holders []Holder
}

func (e *BusyError) Error() string {
	if len(e.Holders) == 0 {
		return e.Path + ": " + modem.ErrBusy.Error()
	}
	return e.Path + " is held by " + e.HeldBy()
}

// HeldBy names the programs; "" if they are not known.
func (e *BusyError) HeldBy() string {
	names := make([]string, len(e.Holders))
	for i, h := range e.Holders {
		names[i] = h.String()
	}
	return strings.Join(names, ", ")
}

// Unwrap makes errors.Is(err, modem.ErrBusy) true.
func (e *BusyError) Unwrap() error { return modem.ErrBusy }

// Polite wraps open so that a port which another process uses is left alone:
// root is let in even where a program has asked for exclusive use, and would
// take its answers away. self is our own process, whose use does not count.
func (m Machine) Polite(self int, open Opener) Opener {
	return func(path string) (io.ReadWriteCloser, error) {
		ours := func(h Holder) bool { return h.PID == self }
		if others := slices.DeleteFunc(m.Holders(path), ours); len(others) > 0 {
			return nil, &BusyError{Path: path, Holders: others}
		}
		rwc, err := open(path)
		if errors.Is(err, modem.ErrBusy) {
			return nil, &BusyError{Path: path, Holders: slices.DeleteFunc(m.Suspects(), ours)}
		}
		return rwc, err
	}
}
