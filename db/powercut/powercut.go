// Package powercut is a disk whose power can be cut. It is for tests and for
// the crash laboratory, and no part of a released gatewayd.
//
// It is an SQLite VFS around SQLite's own: what is written to a database, its
// write-ahead log or its journal stays in memory until it is synced, and a file
// that was deleted comes back unless its directory was synced. So whatever ends
// the process, kill -9 too, ends it as a power cut would: what was not synced is
// gone. A Cut lets a random part of it reach the disk before, for disks write
// in any order, in sectors of 512 or 4,096 bytes, and only part of a page.
//
// What another process writes at the same time is seen once it is there, but
// two processes that leave writes unsynced at one place are not modelled.
package powercut

// #cgo CFLAGS: -std=gnu99 -Wall
// #cgo LDFLAGS: -Wl,--unresolved-symbols=ignore-in-object-files
// #include <stdlib.h>
// #include "powercut.h"
import "C"

import (
	"fmt"
	"path/filepath"
	"unsafe"

	_ "github.com/mattn/go-sqlite3" // brings SQLite
)

// Name is the VFS's, for the parameter vfs of a connection.
const Name = "powercut"

func init() {
	if rc := C.powercut_register(); rc != 0 {
		panic(fmt.Sprintf("powercut: SQLite takes no VFS: error %d", rc))
	}
}

// Disk is what holds the files of one directory.
type Disk struct{ c *C.disk }

// New makes the directory's files lie on a disk of their own. What a cut
// leaves follows from the seed and from what was written.
func New(dir string, seed uint64) (*Disk, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	return newDisk(dir, seed), nil
}

func newDisk(dir string, seed uint64) *Disk {
	name := C.CString(dir)
	defer C.free(unsafe.Pointer(name))
	return &Disk{C.powercut_disk(name, C.uint64_t(seed))}
}

// Everywhere makes one disk of all that no other has, for a process that is to
// be killed. Some seeds have what is not synced reach the disk early, here and
// there, so that a kill leaves more than nothing of it.
func Everywhere(seed uint64) {
	d := newDisk("", seed)
	C.powercut_spread(d.c, C.int([]int{0, 16, 64, 192}[seed%4]))
}

// Cut cuts the power now. Everything that is tried on the disk fails then.
func (d *Disk) Cut() { C.powercut_cut(d.c) }

// CutAfter cuts the power in the n-th write, sync, truncation or deletion from
// now.
func (d *Disk) CutAfter(n int) { C.powercut_cut_at(d.c, C.longlong(n)) }

// FullAfter makes the disk full from the n-th operation on.
func (d *Disk) FullAfter(n int) { C.powercut_full_at(d.c, C.longlong(n)) }

// Lie makes the disk say that it has synced, and not do it: what a test finds
// then shows that it can find something.
func (d *Disk) Lie() { C.powercut_lie(d.c) }

// Restore brings the power back, after a cut if there was none. All
// connections must be closed.
func (d *Disk) Restore() error {
	if open := C.powercut_restore(d.c); open != 0 {
		return fmt.Errorf("powercut: %d files are still open", open)
	}
	return nil
}

// IsCut tells whether the power is off.
func (d *Disk) IsCut() bool { return C.powercut_is_cut(d.c) != 0 }

// Operations counts since the power came.
func (d *Disk) Operations() int { return int(C.powercut_operations(d.c)) }

// Unsynced counts what a cut might lose now: sectors, lengths, deletions.
func (d *Disk) Unsynced() int { return int(C.powercut_unsynced(d.c)) }

// Lost counts what the last cut did lose.
func (d *Disk) Lost() int { return int(C.powercut_lost(d.c)) }

// Close forgets the disk; its files are as a cut would leave them. All
// connections must be closed.
func (d *Disk) Close() { C.powercut_free(d.c) }
