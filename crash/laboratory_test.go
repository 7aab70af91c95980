//go:build e2e

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// buildBoth leaves laboratory and daemon where every user may run them.
func buildBoth(t *testing.T) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatewayd-laboratory-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"build", "-o", filepath.Join(dir, "crash"), "gatewayd/crash"},
		{"build", "-tags", "crash", "-o", filepath.Join(dir, "gatewayd"), "gatewayd/cmd/gatewayd"},
	} {
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return dir
}

// laboratory runs it as a user of its own, if attr says so.
func laboratory(t *testing.T, dir string, attr *syscall.SysProcAttr, args ...string) {
	t.Helper()
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	if attr != nil {
		if err := os.Chown(work, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(dir, "crash"), append(args, "-binary", filepath.Join(dir, "gatewayd"), "-dir", work)...)
	cmd.SysProcAttr = attr
	cmd.Dir = work
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "Lost 0, doubled without a mark 0, wrong 0") {
		t.Error("it has not compared")
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("it left %v behind, %v", left, err)
	}
}

// Some dozens of kills, at each failpoint at least one: a failpoint that kills
// nobody checks nothing.
func TestLaboratory(t *testing.T) {
	t.Parallel() // most of the time it waits
	laboratory(t, buildBoth(t), nil, "-kills", "60", "-every", "-worlds", "8")
}

// An ordinary user can run it too. Without root that was the test before.
func TestLaboratoryOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		laboratory(t, buildBoth(t), nobody, "-kills", "10", "-worlds", "4")
	}
}
