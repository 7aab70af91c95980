package main

import (
	"bufio"
	"encoding/binary"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// TestConstantsAreUnmapped reads the whole program in, gives it back, and goes on.
func TestConstantsAreUnmapped(t *testing.T) {
	segments, err := constantSegments()
	if err != nil {
		t.Fatal(err)
	}
	within := func(at uintptr) bool {
		for _, s := range segments {
			if s.from <= at && at < s.to {
				return true
			}
		}
		return false
	}
	if !within(reflect.ValueOf(unmapConstants).Pointer()) {
		t.Error("code is in none of the segments that nobody writes")
	}
	if within(uintptr(unsafe.Pointer(&version))) {
		t.Error("a variable is in a segment that nobody writes")
	}

	// That it was read before is not promised: each page is touched.
	var sum byte
	for _, s := range segments {
		for at := s.from; at < s.to; at += uintptr(os.Getpagesize()) {
			sum += *(*byte)(unsafe.Add(nil, at))
		}
	}
	t.Log("a sum, lest the reads be left out:", sum)
	before := resident(t, segments)
	n, err := unmapConstants()
	if err != nil {
		t.Fatal(err)
	}
	after := resident(t, segments)
	t.Logf("resident of %d bytes of the program: %d kB before, %d after", n, before, after)
	// What runs now, this test above all, is back at once.
	if after > before/2 {
		t.Errorf("%d kB of the program are resident after it was given back, %d before", after, before)
	}
	if again, err := unmapConstants(); again != n || err != nil {
		t.Errorf("a second time gave back %d bytes, %v; the first time %d", again, err, n)
	}
}

// resident is how much of these segments is in memory, in kB.
func resident(t *testing.T, segments []extent) (sum int) {
	t.Helper()
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer smaps.Close()
	counts := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if from, _, isRange := strings.Cut(f[0], "-"); isRange {
			at, err := strconv.ParseUint(from, 16, 64)
			if err != nil {
				continue
			}
			counts = false
			for _, s := range segments {
				counts = counts || s.from <= uintptr(at) && uintptr(at) < s.to
			}
		} else if f[0] == "Rss:" && counts {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

func TestUnchangedMappings(t *testing.T) {
	mapping := func(line, anonymous string) string {
		return line + "\nSize:                 20 kB\nPrivate_Dirty:        20 kB\nAnonymous:  " + anonymous + " kB\nVmFlags: rd ex mr mw me \n"
	}
	got, err := unchanged(strings.NewReader(
		mapping("00400000-00403000 r--p 00000000 fe:00 3   /usr/bin/gatewayd", "0") + // of a file that is not on disk yet
			mapping("00403000-00408000 r-xp 00003000 fe:00 3   /usr/bin/gatewayd", "4") + // with a breakpoint
			mapping("00408000-0040b000 rw-p 00008000 fe:00 3   /usr/bin/gatewayd", "0") + // variables
			mapping("7ffff000-80000000 r-xp 00000000 00:00 0   [vdso]", "0")))
	if err != nil {
		t.Fatal(err)
	}
	if want := []extent{{0x400000, 0x403000}, {0x7ffff000, 0x80000000}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestAuxiliaryVector(t *testing.T) {
	word := func(n uint64) []byte {
		if strconv.IntSize == 32 {
			return binary.NativeEndian.AppendUint32(nil, uint32(n))
		}
		return binary.NativeEndian.AppendUint64(nil, n)
	}
	var vector []byte
	for _, n := range []uint64{6, 4096, atPHDR, 0x400040, 0, 0} {
		vector = append(vector, word(n)...)
	}
	if at, err := auxiliary(vector, atPHDR); at != 0x400040 || err != nil {
		t.Errorf("%x, %v", at, err)
	}
	if _, err := auxiliary(vector[:len(word(0))], atPHDR); err == nil {
		t.Error("half an entry is none")
	}
	if _, err := auxiliary(vector, 33); err == nil {
		t.Error("an entry that is not there was found")
	}
}
