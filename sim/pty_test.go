package sim

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// line is a port opened as the daemon opens one.
type line struct {
	t    *testing.T
	port serial.Port
	buf  []byte
}

func openSerial(t *testing.T, path string) *line {
	t.Helper()
	port, err := serial.Open(path, &serial.Mode{BaudRate: 115200})
	if err != nil {
		t.Fatalf("opening %s: %v", path, err)
	}
	t.Cleanup(func() { port.Close() })
	if err := port.SetReadTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	return &line{t: t, port: port}
}

func (l *line) say(s string) {
	l.t.Helper()
	if _, err := io.WriteString(l.port, s); err != nil {
		l.t.Fatal(err)
	}
}

// until reads up to and including what ends with end.
func (l *line) until(end string) string {
	l.t.Helper()
	b := make([]byte, 512)
	for {
		if i := bytes.Index(l.buf, []byte(end)); i >= 0 {
			got := string(l.buf[:i+len(end)])
			l.buf = l.buf[i+len(end):]
			return got
		}
		n, err := l.port.Read(b)
		if err != nil || n == 0 {
			l.t.Fatalf("waiting for %q: %q, then %v", end, l.buf, err)
		}
		l.buf = append(l.buf, b[:n]...)
	}
}

func ptyModem(t *testing.T) (n *Network, m *Modem, link string) {
	t.Helper()
	n = NewNetwork(NetworkOptions{})
	t.Cleanup(n.Close)
	m = n.AddModem(ModemOptions{})
	link, err := m.OpenPTY(filepath.Join(t.TempDir(), "ttySIM0"))
	if err != nil {
		t.Fatal(err)
	}
	return n, m, link
}

// eventually waits, without sleeping for luck, until the kernel and the watch
// have caught up.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still not: %s", what)
		}
	}
}

func TestSerialPortSendsAText(t *testing.T) {
	n, _, link := ptyModem(t)
	l := openSerial(t, link)
	l.say("ATE0\r")
	if got := l.until("OK\r\n"); got != "ATE0\r\r\nOK\r\n" {
		t.Fatalf("said %q", got)
	}
	pdu := submitTPDU(t, "+491701234567", "über die Leitung", false)
	l.say(fmt.Sprintf("AT+CMGS=%d\r", len(pdu)))
	if got := l.until("> "); got != "\r\n> " {
		t.Fatalf("prompt %q", got)
	}
	l.say("00" + hex.EncodeToString(pdu))
	l.say("\x1a")
	if got := l.until("OK\r\n"); got != "\r\n+CMGS: 1\r\n\r\nOK\r\n" {
		t.Fatalf("answer %q", got)
	}
	h := n.Handset("+491701234567")
	if err := h.Wait(t.Context(), func(m []Message) bool { return len(m) == 1 }); err != nil {
		t.Fatal(err)
	}
	if got := h.Received()[0]; got != "über die Leitung" {
		t.Fatalf("handset shows %q", got)
	}
}

// The daemon is killed or closes the port, and another opens it: the modem
// goes on, without what was left over.
func TestPortIsOpenedAgain(t *testing.T) {
	_, m, link := ptyModem(t)
	for range 20 {
		l := openSerial(t, link)
		l.say("AT+CGSN\r") // its answer stays unread
		eventually(t, "the command was obeyed", func() bool { return m.Stats().Lines%2 == 1 })
		l.port.Close()
		eventually(t, "the watch saw the close", func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return !m.at().pts.open.Load()
		})
		l = openSerial(t, link)
		l.say("AT\r")
		if got := l.until("OK\r\n"); got != "AT\r\r\nOK\r\n" {
			t.Fatalf("said %q", got)
		}
		l.port.Close()
		eventually(t, "the watch saw the second close", func() bool { return !m.at().pts.open.Load() })
	}
}

func TestUnplugAndPlug(t *testing.T) {
	_, m, link := ptyModem(t)
	seen := map[string]bool{}
	for range 5 {
		path, err := os.Readlink(link)
		if err != nil {
			t.Fatal(err)
		}
		if path != m.Port() {
			t.Fatalf("link to %s, port %s", path, m.Port())
		}
		seen[path] = true
		l := openSerial(t, link)
		l.say("AT\r")
		l.until("OK\r\n")
		m.Unplug()
		if n, err := l.port.Read(make([]byte, 10)); err == nil {
			t.Fatalf("read %d bytes from an unplugged modem", n)
		}
		if _, err := l.port.Write([]byte("AT\r")); !errors.Is(err, syscall.EIO) {
			t.Fatalf("write to an unplugged modem: %v", err)
		}
		l.port.Close()
		if _, err := os.Lstat(link); !os.IsNotExist(err) {
			t.Fatalf("link of an unplugged modem: %v", err)
		}
		if err := m.Plug(); err != nil {
			t.Fatal(err)
		}
		if now := m.Port(); now == path {
			t.Fatalf("plugged in again as %s", now)
		}
	}
	if len(seen) < 2 {
		t.Fatalf("ports %v", seen)
	}
}

// A modem that is pulled and plugged in again and again, in mid-sentence,
// leaves neither descriptors nor goroutines behind.
func TestReplugLeaksNothing(t *testing.T) {
	_, m, link := ptyModem(t)
	descriptors := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before, goroutines := descriptors(), runtime.NumGoroutine()
	for i := range 100 {
		l := openSerial(t, link)
		l.say("ATE0\r")
		if i%2 == 0 {
			l.until("OK\r\n")
			l.say("AT+CMGS=20\r0011")
		}
		m.Unplug()
		l.port.Close()
		if err := m.Plug(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "no more descriptors and goroutines than before", func() bool {
		return descriptors() <= before && runtime.NumGoroutine() <= goroutines
	})
}

// A program killed at the prompt leaves the modem there: what the next one
// writes is message text, until it writes ESC.
func TestPromptSurvivesItsProgram(t *testing.T) {
	n, m, link := ptyModem(t)
	l := openSerial(t, link)
	l.say("ATE0\r")
	l.until("OK\r\n")
	l.say("AT+CMGS=20\r")
	l.until("> ")
	l.port.Close()
	eventually(t, "the watch saw the close", func() bool { return !m.at().pts.open.Load() })
	l = openSerial(t, link)
	l.say("AT\r")
	l.say("\x1b\r")
	if got := l.until("OK\r\n"); got != "\r\nOK\r\n" {
		t.Fatalf("said %q", got)
	}
	l.say("AT+CGSN\r")
	if got := l.until("OK\r\n"); got != "\r\n"+m.IMEI()+"\r\n\r\nOK\r\n" {
		t.Fatalf("said %q", got)
	}
	if len(n.Accepted()) != 0 {
		t.Error("something was sent")
	}
}

// Exclusive use can be seen only by an ordinary user: TIOCEXCL does not stop
// root. The test runs itself again as one.
func TestExclusiveOpen(t *testing.T) {
	if os.Geteuid() == 0 {
		asNobody(t, "TestExclusiveOpen")
		return
	}
	_, m, link := ptyModem(t)
	l := openSerial(t, link)
	if second, err := serial.Open(link, &serial.Mode{}); err == nil {
		second.Close()
		t.Fatal("a port in use was opened a second time")
	} else if !strings.Contains(err.Error(), "busy") {
		t.Fatalf("a port in use: %v", err)
	}
	l.say("AT\r")
	l.until("OK\r\n") // the failed open has not disturbed the first
	l.port.Close()
	openSerial(t, link).port.Close()

	// A killed program gives nothing back; the simulator does.
	killed := exec.Command(os.Args[0], "-test.run=^TestHoldPort$")
	killed.Env = append(os.Environ(), "SIM_HOLD_PORT="+link)
	out, err := killed.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("held"))); err != nil {
		t.Fatalf("the holder did not open the port: %v", err)
	}
	if second, err := serial.Open(link, &serial.Mode{}); err == nil {
		second.Close()
		t.Fatal("a port that another process holds was opened")
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it says that it was killed
	eventually(t, "the port can be opened after its holder was killed", func() bool {
		port, err := serial.Open(link, &serial.Mode{})
		if err == nil {
			port.Close()
		}
		return err == nil
	})
	_ = m
}

// TestHoldPort is the process that TestExclusiveOpen kills.
func TestHoldPort(t *testing.T) {
	path := os.Getenv("SIM_HOLD_PORT")
	if path == "" {
		return
	}
	openSerial(t, path)
	fmt.Print("held")
	select {}
}

// asNobody runs one test of this binary as an ordinary user.
func asNobody(t *testing.T, test string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sim-nobody") // not t.TempDir: others must be able to enter it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self := filepath.Join(dir, "sim.test")
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(self, program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+test+"$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as an ordinary user: %v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("--- PASS: "+test)) {
		t.Fatalf("as an ordinary user the test did not run:\n%s", out)
	}
}

// A program that leaves echo and line editing on must not spoil the next one.
func TestSettingsAreUndone(t *testing.T) {
	_, m, link := ptyModem(t)
	f, err := os.OpenFile(link, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(f.Fd())
	tio, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if tio.Lflag != 0 || tio.Iflag != 0 || tio.Oflag != 0 {
		t.Fatalf("a fresh port is not raw: %+v", tio)
	}
	tio.Lflag |= unix.ECHO | unix.ICANON
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, tio); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetInt(fd, unix.TIOCEXCL, 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	eventually(t, "settings are those of a fresh port", func() bool {
		lflag, excl := uint32(1), 1
		m.mu.Lock()
		defer m.mu.Unlock()
		_ = m.at().pts.rawTTY.Control(func(fd uintptr) {
			if tio, err := unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil {
				lflag = tio.Lflag
			}
			excl, _ = unix.IoctlGetInt(int(fd), unix.TIOCGEXCL)
		})
		return lflag == 0 && excl == 0
	})
}

// One of two programs closes the port: the other notices nothing.
func TestAnotherProgramCloses(t *testing.T) {
	_, m, link := ptyModem(t)
	l := openSerial(t, link)
	l.say("AT+CGSN\r")
	eventually(t, "the command was obeyed", func() bool { return m.Stats().Lines == 1 })
	m.at().pts.closed() // as the watch calls it
	excl := 0
	if err := m.at().pts.rawTTY.Control(func(fd uintptr) { excl, _ = unix.IoctlGetInt(int(fd), unix.TIOCGEXCL) }); err != nil {
		t.Fatal(err)
	}
	if excl != 1 || !m.at().pts.open.Load() {
		t.Errorf("exclusive use %d, open %v", excl, m.at().pts.open.Load())
	}
	if got := l.until("OK\r\n"); !strings.Contains(got, m.IMEI()) {
		t.Errorf("the answer is %q", got)
	}
}

// With nobody reading, the modem does not stand still, and its writer goes on
// where the buffer was full once somebody reads.
func TestSlowReaderLosesNothing(t *testing.T) {
	_, m, link := ptyModem(t)
	l := openSerial(t, link)
	l.say("ATE0\r")
	l.until("OK\r\n")
	const lines = 3000
	m.mu.Lock()
	for i := range lines {
		m.unsolicited(fmt.Sprintf("+NOISE: %d", i))
		m.flush()
	}
	m.mu.Unlock()
	for i := range lines {
		want := fmt.Sprintf("\r\n+NOISE: %d\r\n", i)
		if got := l.until("\r\n+NOISE: ") + l.until("\r\n"); got != want {
			t.Fatalf("line %d is %q", i, got)
		}
	}
}

func BenchmarkPTYRoundTrip(b *testing.B) {
	n := NewNetwork(NetworkOptions{})
	defer n.Close()
	link, err := n.AddModem(ModemOptions{}).OpenPTY("")
	if err != nil {
		b.Fatal(err)
	}
	port, err := serial.Open(link, &serial.Mode{BaudRate: 115200})
	if err != nil {
		b.Fatal(err)
	}
	defer port.Close()
	buf := make([]byte, 256)
	ask := func(s, end string) {
		if _, err := io.WriteString(port, s); err != nil {
			b.Fatal(err)
		}
		var got []byte
		for !bytes.HasSuffix(got, []byte(end)) {
			n, err := port.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			got = append(got, buf[:n]...)
		}
	}
	ask("ATE0\r", "OK\r\n")
	for b.Loop() {
		ask("AT\r", "OK\r\n")
	}
}
