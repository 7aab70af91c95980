package main

import (
	"bufio"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// When the program's pages are given back: once what only the start needs is over, and
// once more when modems have been found and the first rounds of everything are done.
const (
	pagesAfter = 2 * time.Second
	pagesAgain = time.Minute
)

// givePagesBack unmaps the program's own code and constants some time after the start,
// which touches a bit of nearly everything. A touch maps what is around it too, so most of
// the file is resident by then, the parts that this box never uses as well; a hub's server
// is a third of it. What goes on being used comes back with the next touch, from the page
// cache.
func givePagesBack(ctx context.Context, log *slog.Logger) {
	for _, wait := range []time.Duration{pagesAfter, pagesAgain} {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		n, err := unmapConstants()
		log.Debug("the program's pages were given back", "bytes", n, "error", err)
	}
}

// piece is how much of the program one touch maps at most. Since 6.18 Linux maps the
// whole folio of the page cache that is touched, of 2 MB where the file system has such,
// but not one that is larger than the mapping.
const piece = 512 << 10

// unmapConstants returns how many bytes of address space it has unmapped.
func unmapConstants() (n int, err error) {
	segments, err := constantSegments()
	if err != nil {
		return 0, err
	}
	for _, s := range segments {
		// Neighbours that differ in a flag stay mappings of their own. A kernel that does
		// not know this flag knows no such folios.
		for at := s.from; at < s.to; at += 2 * piece {
			_ = madvise(extent{at, min(at+piece, s.to)}, unix.MADV_NOHUGEPAGE)
		}
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	mappings, err := unchanged(f)
	if err != nil {
		return 0, err
	}
	for _, m := range mappings {
		for _, s := range segments {
			if s.from <= m.from && m.to <= s.to {
				if err := madvise(m, unix.MADV_DONTNEED); err != nil {
					return n, err
				}
				n += int(m.to - m.from)
			}
		}
	}
	return n, nil
}

// extent is a piece of this process's address space, of whole pages.
type extent struct{ from, to uintptr }

func madvise(e extent, advice int) error {
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, e.from, e.to-e.from, uintptr(advice)); errno != 0 {
		return fmt.Errorf("madvise %d of %x-%x: %w", advice, e.from, e.to, errno)
	}
	return nil
}

// constantSegments are the program's segments that nobody writes. What the loader
// relocates and protects then is not among them: in the list of mappings it looks the
// same, but its pages are not those of the file, and would come back as they were before.
func constantSegments() (all []extent, err error) {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	vector, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return nil, err
	}
	headers, err := auxiliary(vector, atPHDR)
	if err != nil {
		return nil, err
	}
	bias, known := uintptr(0), f.Type == elf.ET_EXEC
	for _, p := range f.Progs {
		if p.Type == elf.PT_PHDR {
			bias, known = headers-uintptr(p.Vaddr), true
		}
	}
	if !known {
		return nil, errors.New("the program's headers don't say where it was loaded")
	}
	page := uintptr(os.Getpagesize())
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_W == 0 {
			from, to := bias+uintptr(p.Vaddr), bias+uintptr(p.Vaddr+p.Filesz)
			all = append(all, extent{from &^ (page - 1), (to + page - 1) &^ (page - 1)})
		}
	}
	return all, nil
}

// atPHDR is the entry of the auxiliary vector with the address of the program's headers.
const atPHDR = 3

// auxiliary finds an entry of what the kernel hands to a program.
func auxiliary(vector []byte, tag uint64) (uintptr, error) {
	const word = int(unsafe.Sizeof(uintptr(0)))
	read := func(b []byte) uint64 {
		if word == 4 {
			return uint64(binary.NativeEndian.Uint32(b))
		}
		return binary.NativeEndian.Uint64(b)
	}
	for ; len(vector) >= 2*word; vector = vector[2*word:] {
		if read(vector) == tag {
			return uintptr(read(vector[word:])), nil
		}
	}
	return 0, fmt.Errorf("the auxiliary vector has no entry %d", tag)
}

// unchanged are the mappings that can't be written and in which nothing was: what a
// debugger puts there must stay.
func unchanged(smaps io.Reader) (all []extent, err error) {
	lines := bufio.NewScanner(smaps)
	var m extent
	constant := false
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 2 {
			continue
		}
		if from, to, isRange := strings.Cut(f[0], "-"); isRange {
			a, errA := strconv.ParseUint(from, 16, strconv.IntSize)
			b, errB := strconv.ParseUint(to, 16, strconv.IntSize)
			m, constant = extent{uintptr(a), uintptr(b)}, errA == nil && errB == nil && strings.HasPrefix(f[1], "r-")
		} else if f[0] == "Anonymous:" && f[1] == "0" && constant {
			all = append(all, m)
		}
	}
	return all, lines.Err()
}
