//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestQuickstart does what docs/quickstart.md says, line by line: each block of
// sh is typed into the terminal that the words before it name, and each block of
// text must show in that terminal, line after line, with … for anything. What is
// to be left running is not waited for.
func TestQuickstart(t *testing.T) {
	b, err := os.ReadFile("../docs/quickstart.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := checkout(t)
	_, port, _ := net.SplitHostPort(freeAddress(t))
	env := append(os.Environ(), "GATEWAYD_HTTP_LISTEN="+freeAddress(t), "PORT="+port)
	terminals := map[string]*terminal{}
	t.Cleanup(func() {
		for _, name := range []string{"third", "second", "first"} {
			if x := terminals[name]; x != nil {
				x.close()
			}
			if t.Failed() && terminals[name] != nil {
				t.Logf("the %s terminal:\n%s", name, terminals[name].out.withoutPolls())
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "demo.env")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the demo left its key behind: %v", err)
		}
	})
	var now *terminal
	blocks := 0
	for _, s := range steps(string(b)) {
		if m := regexp.MustCompile(`(first|second|third) terminal`).FindAllString(s.words, -1); m != nil {
			name := strings.Fields(m[len(m)-1])[0]
			if s.kind == "sh" && terminals[name] == nil {
				terminals[name] = openTerminal(t, dir, env)
			}
			now = terminals[name]
		}
		if now == nil {
			t.Fatalf("in which terminal?\n%s", s.text)
		}
		switch s.kind {
		case "sh":
			blocks++
			now.enter(s.text, strings.Contains(strings.ToLower(s.words), "leave it running"))
		case "text":
			now.shows(s.text)
		default:
			t.Errorf("a block is neither sh nor text:\n%s", s.text)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "demo.env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the key: %v, %v", info, err)
	}
	if blocks < 7 {
		t.Errorf("only %d blocks were run", blocks)
	}
}

// step is a fenced block and the words since the one before.
type step struct{ words, kind, text string }

func steps(doc string) (all []step) {
	fence := regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	end := 0
	for _, m := range fence.FindAllStringSubmatchIndex(doc, -1) {
		all = append(all, step{words: doc[end:m[0]], kind: doc[m[2]:m[3]], text: doc[m[4]:m[5]]})
		end = m[1]
	}
	return all
}

// checkout is a copy of this repository, in which nobody works.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch name := e.Name(); name {
		case ".git", ".cache", "bin", "dist", "demo.env", "webhook.secret":
		default:
			if out, err := exec.Command("cp", "-r", filepath.Join("..", name), dir).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	return dir
}

// terminal is a shell that somebody types into.
type terminal struct {
	t     *testing.T
	in    io.WriteCloser
	out   *logBuffer
	cmd   *exec.Cmd
	ended chan struct{}
	begin int // where in the output the last block began
	n     int
}

func openTerminal(t *testing.T, dir string, env []string) *terminal {
	t.Helper()
	x := &terminal{t: t, out: &logBuffer{}, cmd: exec.Command("bash"), ended: make(chan struct{})}
	x.cmd.Dir, x.cmd.Env = dir, env
	x.cmd.Stdout, x.cmd.Stderr = x.out, x.out
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	x.cmd.WaitDelay = time.Second // what was put behind with & goes on without it
	var err error
	if x.in, err = x.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(x.ended); _ = x.cmd.Wait() }()
	return x
}

func (x *terminal) size() int {
	x.out.mu.Lock()
	defer x.out.mu.Unlock()
	return x.out.b.Len()
}

// enter types a block. One that is left running is not waited for.
func (x *terminal) enter(block string, running bool) {
	x.t.Helper()
	x.begin = x.size()
	if running {
		fmt.Fprint(x.in, block)
		return
	}
	x.n++
	// Each line must do what it says, as it would have to for a person.
	fmt.Fprintf(x.in, "set -e\n%s\nset +e\necho; echo done %d\n", block, x.n)
	x.await(block, regexp.MustCompile(fmt.Sprintf(`(?m)^done %d$`, x.n)))
}

// shows wants lines in the output, in their order, since the last block.
func (x *terminal) shows(lines string) {
	x.t.Helper()
	var pattern strings.Builder
	pattern.WriteString("(?s)")
	for line := range strings.Lines(lines) {
		line = regexp.QuoteMeta(strings.TrimSpace(line))
		pattern.WriteString(".*" + strings.ReplaceAll(line, "…", `[^\n]+`))
	}
	x.await(lines, regexp.MustCompile(pattern.String()))
}

func (x *terminal) await(what string, pattern *regexp.Regexp) {
	x.t.Helper()
	(&site{t: x.t}).eventually("this, as the page has it:\n"+what, 3*time.Minute, func() bool {
		select {
		case <-x.ended:
			x.t.Fatalf("the terminal ended at this:\n%s", what)
		default:
		}
		x.out.mu.Lock()
		defer x.out.mu.Unlock()
		return pattern.Match(x.out.b.Bytes()[x.begin:])
	})
}

// close is Ctrl-C for whatever runs in it, and the end.
func (x *terminal) close() {
	x.in.Close()
	_ = syscall.Kill(-x.cmd.Process.Pid, syscall.SIGINT)
	select {
	case <-x.ended:
	case <-time.After(15 * time.Second):
		x.t.Error("a terminal did not end by Ctrl-C")
	}
	_ = syscall.Kill(-x.cmd.Process.Pid, syscall.SIGKILL) // what was put behind with &
}
