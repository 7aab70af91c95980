package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// describe tells what the figures depend on. It names no paths.
func describe(dir string) (string, error) {
	fs, err := filesystem(dir)
	if err != nil {
		return "", err
	}
	sync, err := syncTime(dir)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Machine: %d cores (%s), %s %s/%s; databases on %s, where 4 KB and fdatasync take %s (median).\n",
		runtime.NumCPU(), processor(), runtime.Version(), runtime.GOOS, runtime.GOARCH, fs, duration(sync))
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Fprintf(&b, "Load average at the start: %s.\n", strings.Fields(string(load))[0])
	}
	if fs == "tmpfs" {
		b.WriteString("A commit costs next to nothing in memory: use -dir to put the databases on a disk, or the floors mean little.\n")
	}
	return b.String(), nil
}

func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			if n := strings.TrimSpace(name); n == "model name" || n == "Model" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "processor unknown"
}

func filesystem(dir string) (string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "", err
	}
	names := map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", unix.F2FS_SUPER_MAGIC: "f2fs",
	}
	if name, ok := names[int64(s.Type)]; ok {
		return name, nil
	}
	return fmt.Sprintf("file system %#x", s.Type), nil
}

// syncTime is what the disk takes to keep one page: most of a commit.
func syncTime(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var s series
	page := make([]byte, 4096)
	for range 50 {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		s = append(s, micros(time.Since(start)))
	}
	return s.median(), nil
}
