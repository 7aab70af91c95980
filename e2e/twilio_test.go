//go:build e2e

package e2e

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Programs written for Twilio, with its own packages unmodified, work against the
// demo: each sends, schedules, cancels, lists, fetches, redacts and deletes, is
// refused what is wrong, checks its callbacks as Twilio says, and answers a text
// with TwiML, which arrives on the phone.
func TestTwilioClients(t *testing.T) {
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		program := node(t, "../scripts/e2e/twilio.cjs")
		d := startDemo(t)
		d.runTwilio(program, "/sms?app=1", "Hi Node: é 👍",
			"Hello from Node: é 👍", "Reply 1 from <Node> & co: é 👍", "Reply 2 from Node", "Reply 3 from Node")
	})
	t.Run("go", func(t *testing.T) {
		t.Parallel()
		program := twiliogo(t)
		d := startDemo(t)
		d.runTwilio(program, "/sms", "Hi Go: é 👍", "Hello from Go: é 👍", "Reply 1 from <Go> & co: é 👍", "Reply 2 from Go")
	})
}

// node is a program of Node with the packages of scripts/e2e.
func node(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	install := exec.Command("../scripts/node-modules")
	install.Stderr = os.Stderr
	modules, err := install.Output()
	if err != nil {
		t.Fatalf("npm packages: %v", err)
	}
	program := exec.Command("node", args...)
	program.Env = append(os.Environ(), "NODE_PATH="+strings.TrimSpace(string(modules)))
	return program
}

// twiliogo is the program of that folder.
func twiliogo(t *testing.T) *exec.Cmd {
	t.Helper()
	into := filepath.Join(t.TempDir(), "twiliogo")
	// The generated package is large, and its speed does not matter here.
	build := exec.Command("go", "build", "-gcflags=github.com/twilio/...=-N -l", "-o", into, ".")
	build.Dir = "twiliogo"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program := exec.Command(into)
	program.Env = os.Environ()
	return program
}

// Programs that say api.twilio.com and nothing else send through the gateway when
// their environment names its proxy and its certificate.
func TestTwilioWithoutAChange(t *testing.T) {
	proxy := freeAddress(t)
	s := newSite(t, 1, fast(), fmt.Sprintf("twilio: {proxy_listen: %q}\n", proxy))
	s.start()
	out, errs, status := s.gatewayd("keys", "create", "--config", s.config, "--name", "app", "--scope", "send", "--twilio")
	account := strings.Fields(out)
	if status != 0 || len(account) != 2 {
		t.Fatalf("keys create: %s%s", out, errs)
	}
	const send = `require("twilio")(process.env.ACCOUNT_SID, process.env.AUTH_TOKEN).messages
		.create({ to: process.env.TO, from: process.env.FROM, body: "Hello from Node: é 👍" }).then((m) => console.log(m.sid))`
	for name, program := range map[string]*exec.Cmd{"Node": node(t, "-e", send), "Go": twiliogo(t)} {
		certificate := filepath.Join(s.dir, "data", "twilio-ca.pem")
		program.Env = append(program.Env, "HTTP_PROXY=http://"+proxy, "HTTPS_PROXY=http://"+proxy, "NODE_EXTRA_CA_CERTS="+certificate, "SSL_CERT_FILE="+certificate,
			"ACCOUNT_SID="+account[0], "AUTH_TOKEN="+account[1], "FROM="+s.modems[0].Number(), "TO="+phone)
		var failed strings.Builder
		program.Stderr = &failed
		sid, err := program.Output()
		if err != nil || !strings.HasPrefix(string(sid), "SM") {
			t.Fatalf("%s: %v: %s%s", name, err, sid, failed.String())
		}
		s.eventually("the text of "+name+" is on the phone", 30*time.Second, func() bool {
			return slices.Contains(s.net.Handset(phone).Received(), "Hello from "+name+": é 👍")
		})
	}
}

// demo is gatewayd demo, with a browser that is signed in.
type demo struct {
	*site
	browser *http.Client
	printed *lines
}

const demoPhone = "+491555123456"

func startDemo(t *testing.T) *demo {
	t.Helper()
	dir := t.TempDir()
	address := freeAddress(t)
	d := &demo{site: &site{t: t, dir: dir, log: &logBuffer{}, base: "http://" + address, config: filepath.Join(dir, "gatewayd.yaml")}, printed: &lines{}}
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(d.config, []byte("data_dir: "+data+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "demo", "--listen", address, "--data", data, "--latency", "100ms")
	cmd.Stderr = d.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() { defer close(read); d.printed.from(out) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo's end: %v", err)
		}
		if t.Failed() {
			t.Logf("printed:\n%s\nlogged:\n%s", d.printed, d.log.withoutPolls())
		}
	})
	d.eventually("the demo has said how to use it", 20*time.Second, func() bool { return strings.Contains(d.printed.String(), "Ctrl-C") })
	d.key = regexp.MustCompile(`gw_\w+`).FindString(d.printed.String())
	jar, _ := cookiejar.New(nil)
	d.browser = &http.Client{Jar: jar}
	d.form("/sign-in", url.Values{"key": {d.key}, "next": {"/"}})
	return d
}

func (d *demo) form(path string, fields url.Values) {
	d.t.Helper()
	req, _ := http.NewRequest(http.MethodPost, d.base+path, strings.NewReader(fields.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", d.base)
	r, err := d.browser.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode >= 400 {
		b, _ := io.ReadAll(r.Body)
		d.t.Fatalf("POST %s answered %d %s", path, r.StatusCode, b)
	}
}

// handset is what a simulated phone shows.
func (d *demo) handset(number string) string {
	d.t.Helper()
	r, err := d.browser.Get(d.base + "/handsets/" + number + "/")
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return html.UnescapeString(string(b))
}

// runTwilio runs a program with an account of its own, texts to it when it asks
// for that, and waits for what the phone must show.
func (d *demo) runTwilio(program *exec.Cmd, smsPath, says string, shows ...string) {
	d.t.Helper()
	listen := freeAddress(d.t)
	account := d.twoLines("keys", "create", "--config", d.config, "--name", "app", "--scope", "send", "--twilio", "--sms-url", "http://"+listen+smsPath)
	further := d.twoLines("keys", "create", "--config", d.config, "--name", "worker", "--scope", "send", "--twilio", "--account", account[0])
	own := d.modemsNow()["modem1"].Number
	program.Env = append(program.Env, "BASE="+d.base, "ACCOUNT_SID="+account[0], "AUTH_TOKEN="+account[1], "LISTEN="+listen,
		"FROM="+own, "TO="+demoPhone, "KEY_SID="+further[0], "KEY_SECRET="+further[1])
	log := &logBuffer{}
	program.Stderr = log
	said := &lines{}
	out, err := program.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		d.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { said.from(out); ended <- program.Wait() }()
	defer func() { _ = program.Process.Kill() }()
	spoken := false
	deadline := time.After(90 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
			if !spoken && strings.Contains(said.String(), "say") {
				spoken = true
				d.form("/handsets/"+demoPhone+"/", url.Values{"to": {own}, "text": {says}})
			}
		case err := <-ended:
			running = false
			if err != nil || !strings.Contains(said.String(), "done") {
				d.t.Fatalf("the program ended with %v: %s%s", err, said, log.withoutPolls())
			}
		case <-deadline:
			d.t.Fatalf("the program still runs: %s%s", said, log.withoutPolls())
		}
	}
	for _, text := range shows {
		d.eventually(fmt.Sprintf("the phone shows %q", text), 20*time.Second, func() bool { return strings.Contains(d.handset(demoPhone), text) })
		if n := strings.Count(d.handset(demoPhone), text); strings.HasPrefix(text, "Reply") && n != 1 {
			d.t.Errorf("the phone shows %q %d times", text, n)
		}
	}
}

// twoLines runs a command that prints a SID and its secret.
func (d *demo) twoLines(args ...string) []string {
	d.t.Helper()
	out, errs, status := d.gatewayd(args...)
	printed := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if status != 0 || len(printed) != 2 || !regexp.MustCompile(`^(AC|SK)[0-9a-f]{32}$`).MatchString(printed[0]) || !regexp.MustCompile(`^[0-9A-Za-z]+$`).MatchString(printed[1]) {
		d.t.Fatalf("%v: %d %q %s", args, status, out, errs)
	}
	return printed
}
