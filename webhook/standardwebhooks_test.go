//go:build e2e

package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// post is a delivery as a receiver got it, with the secret that it knows.
type post struct {
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

func (p post) with(change func(*post)) post {
	headers := map[string]string{}
	for k, v := range p.Headers {
		headers[k] = v
	}
	p.Headers = headers
	change(&p)
	return p
}

// verify asks the npm package standardwebhooks, which knows nothing of us.
func verify(t *testing.T, posts []post) []string {
	t.Helper()
	install := exec.Command("../scripts/node-modules")
	install.Stderr = os.Stderr
	modules, err := install.Output()
	if err != nil {
		t.Fatalf("npm packages: %v", err)
	}
	input, err := json.Marshal(posts)
	if err != nil {
		t.Fatal(err)
	}
	node := exec.Command("node", "../scripts/e2e/verify.cjs")
	node.Env = append(os.Environ(), "NODE_PATH="+strings.TrimSpace(string(modules)))
	node.Stdin = bytes.NewReader(input)
	node.Stderr = os.Stderr
	out, err := node.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	var answers []string
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(posts) {
		t.Fatalf("%v: %s", err, out)
	}
	return answers
}

// deliveries sends texts through a real queue to a real receiver.
func deliveries(t *testing.T, secret string, texts ...string) []post {
	t.Helper()
	got := make(chan post, len(texts))
	target := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		p := post{Body: string(body), Headers: map[string]string{}}
		for _, h := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			p.Headers[h] = r.Header.Get(h)
		}
		got <- p
	})
	d, err := db.Open(t.Context(), db.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	q, err := queue.Open(t.Context(), d, queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(Options{Queue: q, DB: d, Endpoints: []Endpoint{{URL: target, Secret: secret, Events: []string{"*"}, AllowPrivate: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { w.client[anywhere].CloseIdleConnections() }()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	for _, text := range texts {
		if _, _, err := q.Submit(t.Context(), []queue.Draft{{Message: sms.Message{To: alice, Text: text}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var all []post
	for range texts {
		all = append(all, <-got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return all
}

const otherSecret = "whsec_YW5vdGhlciBzZWNyZXQgZm9yIHRoZSByb3RhdGlvbg=="

func TestAnIndependentImplementationAcceptsTheSignature(t *testing.T) {
	var asked []post
	var want []bool
	ask := func(accepted bool, p post) { asked, want = append(asked, p), append(want, accepted) }
	for _, p := range deliveries(t, testSecret, "hello", "grüße 👍🏽 €{}[]~\\^|", `<b>&"quoted"</b>`+"\n", "مرحبا") {
		p.Secret = testSecret
		ask(true, p)
		ask(false, p.with(func(p *post) { p.Secret = otherSecret }))
		ask(false, p.with(func(p *post) { p.Body += " " }))
		ask(false, p.with(func(p *post) { p.Headers["webhook-id"] += "x" }))
		ask(false, p.with(func(p *post) {
			p.Headers["webhook-timestamp"] = strconv.FormatInt(time.Now().Add(-400*time.Second).Unix(), 10)
		}))
	}
	// While the secret changes, receivers with either accept it.
	for _, p := range deliveries(t, otherSecret+" "+testSecret, "rotation") {
		ask(true, p.with(func(p *post) { p.Secret = testSecret }))
		ask(true, p.with(func(p *post) { p.Secret = otherSecret }))
		ask(false, p.with(func(p *post) { p.Secret = "whsec_" + strings.Repeat("A", 32) }))
	}
	for i, words := range verify(t, asked) {
		if (words == "") != want[i] {
			t.Errorf("%s: accepted %v, want %v: %s\n%s", asked[i].Headers["webhook-id"], words == "", want[i], words, asked[i].Body)
		}
	}
}
